"""The real daemon, both clients, and everything that breaks: wires, programs, the daemon, the state file.

The command and this package share a state file here, run by run.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import pytest
from device import Daemon, free_port, program
from proxy import Proxy

from pixelboy import PixelBoy, errors

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "RUST_BACKTRACE": "0"}


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "device", free_port(), "[host]\nsession_grace_s = 0.3\n")
    yield made
    made.kill()


@pytest.fixture
def wire(device: Daemon) -> Iterator[Proxy]:
    with Proxy(device.address) as made:
        yield made


def line(address: str, *words: object, state: Path | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """The command, to its end."""
    command = [str(program("pixelboy")), "--host", address, *([] if state is None else ["--state", str(state)]), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=ENVIRONMENT)


def eventually(what: Callable[[], Any], seconds: float = 20.0) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = what()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen")


# --- a client that is killed ---


def test_a_line_of_the_command_that_is_killed_at_any_point_is_gone_on_with(device: Daemon, tmp_path: Path) -> None:
    state, chance = tmp_path / "state", random.Random(7)
    began = time.monotonic()
    assert line(device.address, "ss", "log.txt", "0 ", state=state).returncode == 0
    whole = time.monotonic() - began
    done, told = set(), set()
    for number in range(1, 300):
        if number > 60 and told:
            break
        command = [str(program("pixelboy")), "--host", device.address, "--state", str(state), "ss", "log.txt", f"{number} "]
        killed = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
        time.sleep(chance.uniform(0, whole * 1.1))
        killed.kill()
        said, _ = killed.communicate()
        if b"on disk" in said:
            done.add(number)
        # The next run is the other language's, every second time.
        if number % 2:
            after = line(device.address, "stat", "log.txt", state=state)
            assert after.returncode == 0, after.stderr
            assert "Traceback" not in after.stderr and "panicked" not in after.stderr
            if "ss of an earlier line: stored" in after.stderr:
                told.add(number)
            else:
                assert "may or may not" not in after.stderr
        else:
            with PixelBoy(device.address, state=state, timeout=30) as pb:
                for pending in pb.carried_over:
                    assert pending.op == "ss" and pending.result().stored is not None
                    told.add(number)
    with PixelBoy(device.address) as pb:
        lines = [int(each) for each in pb.get("log.txt").text().split()]
    assert lines == sorted(set(lines)), "in order, none twice"
    assert done | told <= set(lines), "what was said to be done is there"
    assert told, "some were cut between sending and hearing"


def test_an_upload_of_a_killed_run_is_gone_on_with_by_another_in_the_other_language(device: Daemon, wire: Proxy, tmp_path: Path) -> None:
    text = os.urandom(6_000_000).hex()
    here = tmp_path / "large.txt"
    here.write_text(text)
    python = f"from pixelboy import PixelBoy; PixelBoy({wire.address!r}, state='STATE').store({str(here)!r})"
    for index, first in enumerate(("command", "python")):
        state, name = tmp_path / f"state {index}", f"large {index}.txt"
        if first == "command":
            command = [str(program("pixelboy")), "--host", wire.address, "--state", str(state), "store", str(here), name]
        else:
            command = [sys.executable, "-c", python.replace("STATE", str(state))]
        wire.up = 0
        limit = wire.up + 5_000_000
        killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
        eventually(lambda limit=limit: wire.up > limit)
        wire.stall_up = True
        # The device tells about every second what is on its disk; by then most of what came is.
        time.sleep(1.5)
        killed.kill()
        killed.wait()
        wire.cut()
        wire.stall_up = False
        wire.up = 0
        if first == "command":
            with PixelBoy(wire.address, state=state, timeout=30) as pb:
                assert pb.store(here, name)["size"] == len(text)
        else:
            ended = line(wire.address, "store", here, name, state=state)
            assert ended.returncode == 0, ended.stderr
        assert wire.up < len(text) - 3_000_000, f"{wire.up} bytes went over the wire again"
        with PixelBoy(device.address) as pb:
            assert pb.get(name).text() == text


# --- wires ---


def test_uploads_downloads_and_calls_get_through_a_wire_that_breaks_all_the_time(device: Daemon, wire: Proxy, tmp_path: Path) -> None:
    chance = random.Random(11)
    wire.budget = lambda: chance.randrange(50, 900_000)
    text = os.urandom(2_000_000).hex()
    with PixelBoy(wire.address, timeout=60) as pb:
        pending = [pb.submit("ss", "log.txt", f"{number} ") for number in range(40)]
        assert pb.ss("large.txt", text, "w")["sha256"] == hashlib.sha256(text.encode()).hexdigest()
        for each in pending:
            each.result()
        assert pb.get("large.txt").save(tmp_path / "here").read_text() == text
        assert pb.get("log.txt").text() == "".join(f"{number} " for number in range(40))
        wire.budget = lambda: None
    assert wire.connections > 5


def test_the_command_gets_through_a_wire_that_breaks_all_the_time(device: Daemon, wire: Proxy, tmp_path: Path) -> None:
    chance = random.Random(13)
    text = os.urandom(2_000_000).hex()
    here, back = tmp_path / "large.txt", tmp_path / "back.txt"
    here.write_text(text)
    greetings = [None, *[chance.randrange(200_000, 1_500_000) for _ in range(30)]]
    wire.budget = lambda: greetings.pop() if greetings else None
    for words in (("store", here), ("get", "large.txt", "-o", back)):
        ended = line(wire.address, *words)
        assert ended.returncode == 0, ended.stderr
    assert back.read_text() == text
    assert wire.connections > 5
    assert not list(tmp_path.glob("*.part"))


def test_a_wire_that_swallows_everything_is_noticed_and_the_call_is_done_once(device: Daemon, wire: Proxy) -> None:
    with PixelBoy(wire.address, timeout=60) as pb:
        pb.ss("log.txt", "1 ")
        wire.stall_down = True
        pending = pb.submit("ss", "log.txt", "2 ")
        eventually(lambda: (device.folder / "data/media/log.txt").read_bytes() == b"1 2 ")
        # Nothing comes any more, and nothing breaks: the client's own pings tell, and it connects again by itself.
        pb._session.connection.limits = pb._session.connection.limits._replace(ping_ms=50)
        pb._session.connection.due_now()
        before = wire.connections
        eventually(lambda: wire.connections > before)
        wire.stall_down = False
        assert pending.result().stored is not None
        assert pb.get("log.txt").text() == "1 2 "


def test_a_new_session_is_told_the_settings_of_the_one_before(device: Daemon, wire: Proxy) -> None:
    with PixelBoy(wire.address, timeout=30) as pb:
        pb.srto(0.2)
        pb.sptt()
        wire.stall_down = wire.stall_up = True
        wire.cut()
        time.sleep(1.0)  # the session ends 0.3 s after its connection
        wire.stall_down = wire.stall_up = False
        status = pb.status()
        assert (status["receive_timeout_s"], status["pass_time_out"]) == (0.2, True)


# --- what a device says of the client itself ---


def test_a_reply_that_a_crash_of_the_device_lost_is_said_to_be_lost(device: Daemon, wire: Proxy) -> None:
    with PixelBoy(wire.address, timeout=60) as pb:
        pb.ss("log.txt", "1 ")
        wire.stall_down = True
        lost, kept = pb.submit("stat", "log.txt"), pb.submit("ss", "log.txt", "2 ")
        eventually(lambda: (device.folder / "data/media/log.txt").read_bytes() == b"1 2 ")
        device.kill()
        device.start()
        wire.cut()
        wire.stall_down = False
        with pytest.raises(errors.RanReplyLost):
            lost.result()
        assert kept.result().recorded
        assert pb.get("log.txt").text() == "1 2 "


def test_a_device_with_a_new_data_folder_makes_what_was_pending_unknown(device: Daemon, wire: Proxy) -> None:
    with PixelBoy(wire.address, timeout=60) as pb:
        pb.ss("log.txt", "1 ")
        wire.stall_down = True
        pending = pb.submit("ss", "log.txt", "2 ")
        eventually(lambda: (device.folder / "data/media/log.txt").read_bytes() == b"1 2 ")
        device.kill()
        shutil.rmtree(device.folder / "data")
        device.start()
        wire.cut()
        wire.stall_down = False
        with pytest.raises(errors.Forgotten):
            pending.result()
        assert pb.ss("log.txt", "3 ")["size"] == 2


def test_a_line_that_was_killed_is_unknown_to_a_device_with_a_new_data_folder(device: Daemon, wire: Proxy, tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert line(wire.address, "ss", "log.txt", "1 ", state=state).returncode == 0
    wire.only_greetings = True
    here = tmp_path / "log.txt"
    here.write_text("2 ")
    command = [str(program("pixelboy")), "--host", wire.address, "--state", str(state), "store", str(here), "--append"]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    eventually(lambda: (device.folder / "data/media/log.txt").read_bytes() == b"1 2 ")
    killed.kill()
    killed.wait()
    device.kill()
    shutil.rmtree(device.folder / "data")
    device.start()
    ended = line(device.address, "ss", "log.txt", "3 ", state=state)
    assert ended.returncode == 0, ended.stderr
    assert "ss of an earlier line: ss: outcome unknown: the device does not know this client any more" in ended.stderr
    assert line(device.address, "ls", state=state).stderr == ""
    assert (device.folder / "data/media/log.txt").read_bytes() == b"3 "


def test_a_copy_of_a_state_file_in_use_fences_the_first_and_its_numbers_are_not_used_twice(device: Daemon, tmp_path: Path) -> None:
    state, copy = tmp_path / "state", tmp_path / "copy"
    with PixelBoy(device.address, state=state, timeout=30) as pb:
        pb.ss("log.txt", "1 ")
        copy.write_bytes(state.read_bytes())
        pb.ss("log.txt", "2 ")
        ended = line(device.address, "ss", "log.txt", "3 ", state=copy)
        assert ended.returncode == 0, ended.stderr
        with pytest.raises(errors.Fenced, match="another program uses the same client id"):
            eventually(lambda: pb.ping())
            pb.ss("log.txt", "4 ")
    with PixelBoy(device.address) as other:
        assert other.get("log.txt").text() == "1 2 3 "


def forged(state: Path, number: int, text: str) -> None:
    """Another program's request under this number, without an answer."""
    from pixelboy import _state_lines as lines
    from pixelboy._limits import Limits
    from pixelboy._values import encode_arguments

    request = lines.Unanswered("ss", encode_arguments(("log.txt", text), {}, Limits()))
    state.write_bytes(state.read_bytes() + lines.request_line(number, request))


@pytest.mark.parametrize("by", ["python", "command"])
def test_a_number_that_another_program_used_and_one_that_was_confirmed_have_their_errors(device: Daemon, tmp_path: Path, by: str) -> None:
    state = tmp_path / "state"
    source = (
        f"from pixelboy import PixelBoy; pb = PixelBoy({device.address!r}, state={str(state)!r})\n"
        "pb.ss('log.txt', '1 '); print('go', flush=True); input()"
    )
    first: Any = subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT)
    with first:
        assert first.stdout.readline().strip() == b"go"
        first.kill()
    forged(state, 1, "forged ")

    def told(kind: type[errors.PixelBoyError], words: str) -> None:
        if by == "python":
            with PixelBoy(device.address, state=state, timeout=30) as pb, pytest.raises(kind):
                pb.carried_over[0].result()
        else:
            ended = line(device.address, "ls", state=state)
            assert ended.returncode == 0 and words in ended.stderr, ended.stderr

    told(errors.NumberReused, "ss of an earlier line: ss did not happen: another program uses the same client id")
    # The client has a new id now, and goes on.
    assert line(device.address, "ss", "log.txt", "2 ", state=state).returncode == 0
    forged(state, 1, "forged ")
    told(errors.AlreadyConfirmed, "ss was answered to an earlier run")
    with PixelBoy(device.address) as pb:
        assert pb.get("log.txt").text() == "1 2 "


# --- one name, two clients ---


def test_two_clients_that_store_under_one_name_at_once_each_win_or_lose_whole(device: Daemon, tmp_path: Path) -> None:
    contents = [letter * 3_000_000 for letter in "ab"]
    files = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for file, content in zip(files, contents):
        file.write_text(content)
    for _ in range(4):
        with ThreadPoolExecutor() as beside, PixelBoy(device.address, timeout=30) as pb:
            command = beside.submit(line, device.address, "store", files[0], "same.txt")
            reply = pb.store(files[1], "same.txt")
            ended = command.result()
            assert ended.returncode == 0, ended.stderr
            won = pb.get("same.txt").text()
        assert won in contents
        assert reply["sha256"] == hashlib.sha256(contents[1].encode()).hexdigest()
        first = int(re.search(r"position (\d+)", ended.stdout).group(1))  # type: ignore[union-attr]
        assert won == contents[0 if first > reply.stored else 1], "the later one in the device's order"


def test_a_file_that_changes_while_it_is_sent_is_refused(device: Daemon, wire: Proxy, tmp_path: Path) -> None:
    here = tmp_path / "here.txt"
    here.write_text("a" * 4_000_000)
    changed = threading.Event()

    def progress(done: int, total: int) -> None:
        if not changed.is_set():
            changed.set()
            with here.open("r+b") as file:
                file.seek(3_999_000)
                file.write(b"b")

    with PixelBoy(wire.address, state=tmp_path / "state", timeout=30) as pb:
        with pytest.raises(errors.DigestMismatch, match="here.txt changed while it was sent; nothing was stored"):
            pb.ss("there.txt", here, progress=progress)
        with pytest.raises(errors.NotFound):
            pb.stat("there.txt")
