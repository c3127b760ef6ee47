"""Against the real daemon: every opcode with real media, and crashes of the daemon."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from device import MEDIA, Daemon, free_port

from pixelboy import Blob, PixelBoy, errors


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    made = Daemon(tmp_path_factory.mktemp("device"))
    yield made
    made.stop()


@pytest.fixture
def device(daemon: Daemon) -> Iterator[PixelBoy]:
    with PixelBoy(daemon.address, timeout=20, name="test_device.py") as pb:
        yield pb


def test_text_is_appended_replaced_and_overwritten(device: PixelBoy) -> None:
    first = device.ss("text/a.txt", "hello\n")
    assert first.stored is not None and first["offset"] == 0 and first["size"] == 6
    assert first["sha256"] == hashlib.sha256(b"hello\n").hexdigest()
    second = device.ss("text/a.txt", "world\n")
    assert (second["offset"], second["size"]) == (6, 12) and second.stored > first.stored
    assert device.get("text/a.txt").text() == "hello\nworld\n"
    device.ss("text/a.txt", "J", mode="r+")
    assert device.get("text/a.txt").text() == "Jello\nworld\n"
    device.ss("text/a.txt", "new", "w")
    assert device.get("text/a.txt").text() == "new"
    with pytest.raises(errors.NotFound):
        device.ss("text/none.txt", "x", "r+")
    with pytest.raises(errors.BadArguments, match='mode must be one of "a", "w", "r\\+"'):
        device.ss("text/a.txt", "x", "x")


def test_large_text_travels_as_upload(device: PixelBoy) -> None:
    text = "zeile äöü\n" * 30_000
    assert device.ss("text/large.txt", text, "w")["size"] == len(text.encode())
    assert device.get("text/large.txt").text() == text


@pytest.mark.parametrize("name", ["logo.png", "photo.jpg", "picture.bmp", "picture.webp", "sprite.png", "party.gif", "animated.webp"])
def test_pictures_are_stored_shown_and_fetched(device: PixelBoy, name: str) -> None:
    reply = device.si(MEDIA / name, f"pictures/{name}")
    data = (MEDIA / name).read_bytes()
    assert reply.stored is not None
    assert reply["size"] == len(data) and reply["sha256"] == hashlib.sha256(data).hexdigest()
    assert device.ri(f"pictures/{name}")["shown"] == f"pictures/{name}"
    assert device.status()["shown"] is not None
    assert device.get(f"pictures/{name}") == data
    assert device.stat(f"pictures/{name}")["size"] == len(data)


@pytest.mark.parametrize("name", ["party.gif", "interlaced.gif", "disposal-none.gif", "disposal-background.gif", "disposal-previous.gif"])
def test_animations_are_stored_and_played(device: PixelBoy, name: str) -> None:
    assert device.sg(MEDIA / name, name, fps=12.5).stored is not None
    assert device.rg(name).value == {"shown": name, "fps": 12.5}
    assert device.show(name)["shown"] == name
    assert device.clear().stored is None
    assert device.status()["shown"] is None


@pytest.mark.parametrize(
    "name, rate",
    [("music.mp3", 44_100), ("tone.mp3", 44_100), ("tone.wav", 11_025), ("tone.flac", 22_050), ("tone.ogg", 44_100)],
)
def test_sound_is_stored_played_paused_and_stopped(device: PixelBoy, name: str, rate: int) -> None:
    reply = device.sm(MEDIA / name, name, frame_rate=rate)
    assert reply["sample_rate"] == rate
    with pytest.raises(errors.BadArguments, match=f"the file has {rate} Hz"):
        device.sm(MEDIA / name, name, frame_rate=12_345)
    assert device.rm(name)["playing"] == name
    assert device.status()["playing"] is not None
    assert device.pm()["paused"] == name
    assert device.um()["playing"] == name
    assert device.stop()["stopped"] == name
    with pytest.raises(errors.NothingPlaying):
        device.pause()


def test_music_of_a_session_ends_with_it_unless_told_to_go_on(daemon: Daemon, device: PixelBoy) -> None:
    device.sm(MEDIA / "music.mp3", "music.mp3")
    for thread in (False, True):
        with PixelBoy(daemon.address, timeout=20) as other:
            other.play("music.mp3", thread=thread)
        assert (device.status()["playing"] is not None) == thread
    device.stop()


def test_the_volume_is_of_the_device(device: PixelBoy) -> None:
    assert device.sv(0.25)["volume"] == 0.25
    assert device.status()["volume"] == 0.25
    assert device.volume(1).value == {"volume": 1.0}
    for wrong in (1.5, -0.1, float("nan")):
        with pytest.raises(errors.BadArguments, match="volume must be 0 to 1"):
            device.sv(wrong)


def test_folders_are_listed_and_files_removed(device: PixelBoy) -> None:
    for name in ("one.txt", "two.txt", "sub/three.txt"):
        device.ss(f"listing/{name}", name, "w")
    assert [entry["name"] for entry in device.ls("listing")] == ["one.txt", "sub/", "two.txt"]
    assert [entry["name"] for entry in device.ls("listing", after="one.txt", limit=1)] == ["sub/"]
    assert device.delete("listing/one.txt").stored is not None
    assert [entry["name"] for entry in device.ls("listing")] == ["sub/", "two.txt"]
    with pytest.raises(errors.NotFound):
        device.delete("listing/one.txt")
    with pytest.raises(errors.NotFound):
        device.ls("no/such/folder")


@pytest.mark.parametrize("name", ["empty.png", "wrong-name.png", "truncated.png", "bomb.png"])
def test_what_is_no_picture_is_refused_with_the_reason(device: PixelBoy, name: str) -> None:
    with pytest.raises((errors.UnsupportedMedia, errors.TooLarge)) as refused:
        device.si(MEDIA / name, "refused.png")
    assert len(str(refused.value)) > 20
    with pytest.raises(errors.NotFound):
        device.stat("refused.png")


@pytest.mark.parametrize("name", ["a.png", "deep/a.JPEG", "a.mp3", "a.gif"])
def test_text_under_the_name_of_a_picture_or_of_sound_is_refused(device: PixelBoy, name: str) -> None:
    with pytest.raises(errors.BadArguments, match="promises (a picture|sound), the bytes are text"):
        device.ss(name, "hi")
    assert device.ss("a.png.txt", "hi").stored and device.ss("my.png/notes", "hi").stored


def test_a_folder_is_told_from_nothing(device: PixelBoy) -> None:
    device.ss("box/one.txt", "hi")
    for ask in (device.delete, device.get, device.stat):
        with pytest.raises(errors.NotFound, match='"box" is a folder'):
            ask("box")
        with pytest.raises(errors.NotFound, match='there is no file "bo"'):
            ask("bo")


@pytest.mark.parametrize("path", ["", "/a", "a/../b", "a//b", "a/./b", "a\0b", "/".join("a" * 9)])
def test_paths_against_the_rules_are_refused(device: PixelBoy, path: str) -> None:
    with pytest.raises(errors.BadPath):
        device.ss(path, "x")


def test_a_long_listing_and_a_large_file_come_whole(device: PixelBoy, tmp_path: Path) -> None:
    pending = [device.submit("ss", f"many/a file with a rather long name {number:05}.txt", "x", "w") for number in range(1500)]
    for each in pending:
        each.result()
    assert len(device.ls("many")) == 1500
    text = "".join(random.Random(1).choices("abcdefgh\n", k=5_000_000))
    device.ss("large.txt", text, "w")
    blob = device.get("large.txt")
    assert isinstance(blob, Blob) and len(blob) == 5_000_000
    assert blob.save(tmp_path / "large.txt").read_text() == text


def test_the_table_tells_what_there_is(device: PixelBoy) -> None:
    table = device.ops()
    for op in "ss si sm sg ls get del stat ri rg clear rm pm um stop sv status srto cc sptt sptf".split():
        assert op in table and table[op].doc
    assert str(table["ss"]) == 'ss(path: text, text: data, mode: text = "a")'
    assert table["srto"].plugin == "host"
    with pytest.raises(errors.UnknownOp):
        device.no_such_opcode()


def test_the_session_s_own_opcodes(daemon: Daemon) -> None:
    with PixelBoy(daemon.address, timeout=20) as pb:
        heard = threading.Event()
        pb.on_timeout(lambda seconds: heard.set())
        pb.srto(0.1)
        assert heard.wait(5)
        pb.sptt()
        time.sleep(0.3)
        quiet = pb.timeouts
        time.sleep(0.5)
        assert pb.timeouts == quiet
        pb.sptf()
        time.sleep(0.5)
        assert pb.timeouts > quiet
        pb.call("sptt", True, True)  # as old clients send it
        with pytest.raises(errors.BadArguments):
            pb.srto(0)
        pb.cc()
        with pytest.raises(errors.Closed):
            pb.ls()


def test_a_picture_from_an_array(device: PixelBoy) -> None:
    numpy = pytest.importorskip("numpy")
    reply = device.si(numpy.zeros((64, 48, 3), numpy.uint8), "array.png", order="BGR")
    assert (reply["format"], reply["width"], reply["height"]) == ("png", 48, 64)
    sound = device.sm(numpy.zeros((8000, 2), numpy.int16), "array.wav", 8000)
    assert (sound["channels"], sound["sample_rate"], sound["duration_ms"]) == (2, 8000, 1000)


def test_many_threads_append_and_nothing_is_lost(device: PixelBoy) -> None:
    def work(name: str) -> None:
        for number in range(50):
            device.ss("threads.txt", f"{name}{number}\n")

    workers = [threading.Thread(target=work, args=(name,)) for name in "abcdefgh"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lines = device.get("threads.txt").text().split()
    assert len(lines) == 400
    for name in "abcdefgh":
        assert [line for line in lines if line[0] == name] == [f"{name}{number}" for number in range(50)]


# --- crashes ---


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path, free_port())
    yield made
    made.kill()


def test_appends_survive_crashes_of_the_device_each_exactly_once(mortal: Daemon) -> None:
    total = 0
    with PixelBoy(mortal.address, timeout=60) as pb:
        for crash in range(4):
            pending = [pb.submit("ss", "log.txt", f"{total + number}\n") for number in range(300)]
            total += 300
            pending[50 * crash + 20].result()
            mortal.kill()
            mortal.start()
            for each in pending:
                assert each.result().stored is not None
        assert pb.get("log.txt").text() == "".join(f"{number}\n" for number in range(total))


def test_an_upload_goes_on_after_a_crash_of_the_device(mortal: Daemon) -> None:
    text = os.urandom(12_000_000).hex()
    crashed = threading.Event()

    def progress(done: int, total: int) -> None:
        if done > total // 2 and not crashed.is_set():
            crashed.set()
            mortal.kill()
            mortal.start()

    with PixelBoy(mortal.address, timeout=60) as pb:
        reply = pb.ss("large.txt", text, "w", progress=progress)
        assert crashed.is_set()
        assert reply["sha256"] == hashlib.sha256(text.encode()).hexdigest()
        assert pb.get("large.txt").text() == text


def test_a_download_goes_on_after_a_crash_of_the_device(mortal: Daemon, tmp_path: Path) -> None:
    text = os.urandom(4_000_000).hex()
    crashed = threading.Event()

    def progress(done: int, total: int) -> None:
        if done > total // 2 and not crashed.is_set():
            crashed.set()
            mortal.kill()
            mortal.start()

    with PixelBoy(mortal.address, timeout=60) as pb:
        pb.ss("large.txt", text, "w")
        assert pb.get("large.txt").save(tmp_path / "here", progress=progress).read_text() == text
        assert crashed.is_set()


def test_a_client_and_a_device_that_both_crash_do_everything_once(mortal: Daemon, tmp_path: Path) -> None:
    state = tmp_path / "state"
    source = (
        "import sys; from pixelboy import PixelBoy\n"
        f"pb = PixelBoy({mortal.address!r}, state={str(state)!r}, timeout=60)\n"
        "begin = int(sys.argv[1])\n"
        "pending = [pb.submit('ss', 'log.txt', f'{begin + n}\\n') for n in range(200)]\n"
        "pending[60].result(); print('go', flush=True)\n"
        "[each.result() for each in pending]; sys.stdin.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    for run in range(3):
        command = [sys.executable, "-c", source, str(run * 200)]
        child: Any = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        with child:
            assert child.stdout.readline().strip() == b"go"
            child.kill()
            if run == 1:
                mortal.kill()
                mortal.start()
        # What the journal holds goes on here; what it does not hold was never sent.
        with PixelBoy(mortal.address, state=state, timeout=60) as pb:
            for each in pb.carried_over:
                each.result()
            lines = [int(line) for line in pb.get("log.txt").text().split()]
        assert lines == sorted(set(lines)), "in order, none twice"
        assert len([line for line in lines if line >= run * 200]) > 60
