"""What a PC can ask a device to do, from the first line of text to an opcode that did not exist before.

`make demo` builds everything and runs this. The device is pixelboyd on this machine, with a folder of its own; the PC is
this program, with the Python client. Every step checks what it was promised, and the first that fails ends the demo.
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

from device import Device
from pixelboy import PixelBoy, Reply
from pixelboy.errors import NoDevice, UnknownOp
from steps import Aloud, Failed, check, say, step, wait_until

REPOSITORY = Path(__file__).resolve().parent.parent
MEDIA = REPOSITORY / "tests" / "media"
LINE = "A line from the PC.\n"


def main() -> int:
    device = Device(REPOSITORY)
    try:
        device.start(audio="default")
        with PixelBoy(device.address, name="demo") as pb:
            print(f"pixelboyd runs on this machine, at {device.address}, with {len(pb.ops())} opcodes.")
            print(f"Everything it stores, and its log, is in {device.folder}.", flush=True)
            tour(device, Aloud(pb))
        device.stop()
    except Failed as failed:
        condition = device.condition()
        device.kill()
        print(f"\n{failed}\n\n{condition}; its log, {device.log}, ends with:\n{device.log_end()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        device.kill()
    print("\nAll of it happened. What was stored is still there:")
    for file in device.files():
        print(f"   {file}")
    print("To start a device that stays: make run")
    return 0


def tour(device: Device, pb: Aloud) -> None:
    with step("Append a line of text"):
        stored(pb.ss("notes.txt", LINE))
        check("the device's file notes.txt", expected=LINE, came=device.file("notes.txt").read_text())

    with step("Store a picture, and show it"):
        stored(pb.si(MEDIA / "logo.png", "logo.png"))
        shown(pb.ri("logo.png"), "logo.png")
        time.sleep(1.5)

    with step("Store an animated GIF, and show it"):
        stored(pb.sg(MEDIA / "party.gif", "party.gif"))
        shown(pb.rg("party.gif"), "party.gif")
        time.sleep(1.5)

    with step("Store music, and play it"):
        stored(pb.sm(MEDIA / "music.mp3", "music.mp3"))
        try:
            reply = pb.rm("music.mp3")
        except NoDevice as no_speaker:
            reply = play_without_a_speaker(device, pb, str(no_speaker))
        say(f"playing: {reply['playing']}, {reply['duration_ms'] / 1000:.1f} s long")
        moves_on(pb)

    with step("Pause, resume, and change the volume"):
        say(f"paused at {pb.pause()['position_ms'] / 1000:.1f} s")
        stands_still(pb)
        pb.resume()
        moves_on(pb)
        pb.volume(0.4)
        check("the volume that the device reports", expected=0.4, came=pb.quietly.status()["volume"])
        say("playing again, at volume 0.4")

    with step("List what is stored, and fetch it back"):
        sent = {name: (MEDIA / name).read_bytes() for name in ("logo.png", "music.mp3", "party.gif")}
        sent["notes.txt"] = LINE.encode()
        sizes = {file["name"]: file["size"] for file in pb.ls()}
        check("names and sizes", expected={name: len(data) for name, data in sent.items()}, came=sizes)
        for name, data in sorted(sent.items()):
            fetched = pb.get(name)
            check(f"the bytes of {name}", expected=data, came=fetched.read())
            check(f"the SHA-256 that the device keeps of {name}", expected=hashlib.sha256(data).digest(), came=fetched.sha256)
            check(f"the bytes of {device.file(name)}", expected=data, came=device.file(name).read_bytes())
            say(f"{len(data):,} bytes, the same as sent, SHA-256 {fetched.sha256.hex()[:16]}...")

    with step("Teach the device a new opcode, while it runs"):
        try:
            pb.hello("PC")
            raise Failed("an opcode that no plugin offers was answered")
        except UnknownOp as unknown:
            say(f"refused: {unknown}")
        device.drop_in("hello", REPOSITORY / ".build" / "demo-plugins" / "hello.wasm")
        say("hello.wasm dropped into the device's plugins folder, and named in its config.toml; no restart")
        wait_until("the opcode hello is in the device's table", lambda: "hello" in pb.quietly.ops())
        reply = pb.hello("PC")
        check("the reply", expected="hello, PC", came=reply.value)
        say(f"answered: {reply.value}")


def stored(reply: Reply) -> None:
    """A reply to something that wrote: its position in the device's commit order is the promise that it is on the disk."""
    check("the reply has a position in the device's store", expected=True, came=reply.stored is not None)
    say(f"stored at position {reply.stored}, on the disk: {reply['path']}, {reply['kind']}, {reply['size']:,} bytes")


def shown(reply: Reply, path: str) -> None:
    check("what the device shows", expected=path, came=reply["shown"])
    say(f"shown: {path}")


def position_ms(pb: Aloud) -> int:
    playing = pb.quietly.status()["playing"]
    check("what the device plays", expected="music.mp3", came=playing and playing["path"])
    return playing["position_ms"]


def moves_on(pb: Aloud) -> None:
    """A device takes its time to begin, so this waits for a second of music."""
    before = position_ms(pb)
    wait_until("a second of music", lambda: position_ms(pb) >= before + 1000)


def stands_still(pb: Aloud) -> None:
    """A pause fades out, which takes some milliseconds."""
    time.sleep(0.1)
    before = position_ms(pb)
    time.sleep(0.7)
    check("the position after 0.7 s of pause, in ms", expected=before, came=position_ms(pb))


def play_without_a_speaker(device: Device, pb: Aloud, why: str) -> Reply:
    """The same music in real time, to nobody. The client connects again by itself."""
    say(f"not played: {why}")
    say("So the device is started again with --audio null, which plays in real time to nobody.")
    device.stop()
    device.start(audio="null")
    reply = pb.rm("music.mp3")
    check("what the device shows, as before its restart", expected="party.gif", came=pb.quietly.status()["shown"]["path"])
    return reply


if __name__ == "__main__":
    sys.exit(main())
