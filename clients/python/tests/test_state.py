"""A state file over runs that crash: nothing is sent that is not in it, and the next run goes on.

A crash at a moment is the file as it is at that moment, copied.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from fakehost import FakeHost, Peer

from pixelboy import PixelBoy, _state_lines, errors
from pixelboy import _frames as frames
from pixelboy._state_file import StateFile

CASES = Path(__file__).resolve().parents[2] / "state-cases"


def told(data: bytes) -> Any:
    """What state-cases/*.json say of the files beside them."""
    try:
        kept = _state_lines.read(data)
    except _state_lines.Torn:
        return "torn"
    except _state_lines.Foreign:
        return "foreign"
    except _state_lines.Newer as newer:
        return {"newer": int(str(newer))}
    return {
        "client": kept.client.hex(),
        "store": kept.store and kept.store.hex(),
        "next": kept.next_number,
        "transfers_below": kept.transfers_below,
        "unanswered": [[number, each.op, each.arguments.hex(), each.until_ms] for number, each in kept.unanswered.items()],
    }


@pytest.mark.parametrize("case", sorted(CASES.glob("*.state")), ids=lambda path: path.stem)
def test_the_files_that_both_languages_read_say_the_same(case: Path) -> None:
    assert told(case.read_bytes()) == json.loads(case.with_suffix(".json").read_text("utf-8"))


def test_a_state_file_keeps_the_client(host: FakeHost, connect: Callable[..., PixelBoy], tmp_path: Path) -> None:
    state = tmp_path / "state"
    with connect(state=state) as pb:
        pb.ss("a", "1")
    with connect(state=state) as pb:
        assert pb.carried_over == []
        pb.ss("a", "2")
    hellos = host.frames(frames.Hello)
    assert hellos[0].client == hellos[1].client
    assert hellos[1].last_store == host.store
    assert hellos[1].lowest_unconfirmed == 3  # 1 was the call, 2 the `cc` of the end
    assert len(host.clients) == 1, "no goodbye"
    assert os.name == "nt" or state.stat().st_mode & 0o077 == 0


def test_a_call_of_a_run_that_crashed_is_done_once_by_the_next(host: FakeHost, connect: Callable[..., PixelBoy], tmp_path: Path) -> None:
    state = tmp_path / "state"
    host.answer = lambda peer, reply: None  # type: ignore[method-assign]
    program = (
        "import sys; from pixelboy import PixelBoy\n"
        f"pb = PixelBoy('127.0.0.1', {host.port}, state={str(state)!r})\n"
        "pb.submit('ss', 'a', 'one,'); pb.submit('ss', 'a', 'two,')\n"
        "print('ready', flush=True); sys.stdin.read()\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    with run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"ready\n" or os.name == "nt"
        host.wait_for(lambda: len(host.ran) == 2)
        run.kill()
        run.wait()
    assert run.returncode == (-signal.SIGKILL if os.name != "nt" else 1)
    host.answer = lambda peer, reply: peer.send(reply)  # type: ignore[method-assign]
    with state.open("ab") as file:
        file.write(b'{"request":3,"op":"ss","arg')  # a write that the crash cut: it was not sent
    pb = connect(state=state)
    assert [(each.op, each.number, each.result().recorded) for each in pb.carried_over] == [("ss", 1, True), ("ss", 2, True)]
    pb.ss("a", "three")
    assert host.frames(frames.Request)[-1].number == 3
    assert host.files["a"] == b"one,two,three"


def test_an_upload_of_a_crashed_run_goes_on_in_the_next(host: FakeHost, connect: Callable[..., PixelBoy], tmp_path: Path) -> None:
    state, picture = tmp_path / "state", tmp_path / "picture"
    data = os.urandom(1_000_000)
    picture.write_bytes(data)
    received = [0]

    def intercept(peer: Peer, frame: frames.Frame) -> bool:
        if isinstance(frame, frames.Data):
            received[0] += 1
            if received[0] == 9:
                peer.cut()
                host.go_deaf()
                return True
        return False

    host.intercept = intercept
    pb = connect(state=state, timeout=0.3)
    with pytest.raises(errors.GaveUp, match="did not move"):
        pb.si(picture, "p")
    pb.close(wait=False)
    host.intercept = lambda peer, frame: False
    host.listen_again()
    sent = len(host.frames(frames.Data))
    with connect(state=state) as pb:
        pb.si(picture, "p")
    assert host.files["p"] == data
    assert host.frames(frames.Data)[sent].offset == 8 * 65536
    opened = host.frames(frames.OpenUpload)
    assert opened[-1].transfer > opened[0].transfer


def test_a_state_file_is_for_one_program(host: FakeHost, connect: Callable[..., PixelBoy], tmp_path: Path) -> None:
    connect(state=tmp_path / "state")
    with pytest.raises(errors.StateInUse, match="another program"):
        connect(state=tmp_path / "state")


def test_an_old_copy_of_a_state_file_takes_a_new_id(host: FakeHost, connect: Callable[..., PixelBoy], tmp_path: Path) -> None:
    state, old = tmp_path / "state", tmp_path / "old"
    with connect(state=state) as pb:
        pb.ss("a", "1")
        old.write_bytes(state.read_bytes())
        pb.ss("a", "2")
    with connect(state=old) as pb:
        pb.ss("a", "3")
    assert host.files["a"] == b"123"
    assert len(set(hello.client for hello in host.frames(frames.Hello))) == 2


def test_a_long_run_keeps_the_state_file_small(host: FakeHost, connect: Callable[..., PixelBoy], tmp_path: Path) -> None:
    with connect(state=tmp_path / "state") as pb:
        for _ in range(60):
            pb.ss("a", "x" * 15_000)
        assert (tmp_path / "state").stat().st_size < 1_200_000
        for _ in range(30):
            pb.ss("a", "x" * 15_000)
        assert (tmp_path / "state").stat().st_size < 1_200_000


def test_what_is_sent_is_in_the_file_before(host: FakeHost, connect: Callable[..., PixelBoy], tmp_path: Path) -> None:
    state = tmp_path / "state"
    seen: list[tuple[int, Any]] = []

    def intercept(peer: Peer, frame: frames.Frame) -> bool:
        if isinstance(frame, frames.Request) and frame.op != "cc":
            seen.append((frame.number, told(state.read_bytes())["unanswered"]))
        return False

    host.intercept = intercept
    with connect(state=state) as pb:
        for each in [pb.submit("ss", "a", f"{number},") for number in range(200)]:
            each.result()
    assert len(seen) == 200
    for number, unanswered in seen:
        assert number in [each[0] for each in unanswered]
    assert told(state.read_bytes())["unanswered"] == []
    assert host.files["a"] == b"".join(b"%d," % number for number in range(200))


def test_many_calls_share_a_sync(host: FakeHost, connect: Callable[..., PixelBoy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []

    def slow(descriptor: int) -> None:
        syncs.append(descriptor)
        time.sleep(0.02)

    monkeypatch.setattr(os, "fsync", slow)
    with connect(state=tmp_path / "state") as pb:
        before = len(syncs)
        for each in [pb.submit("ss", "a", "x") for _ in range(500)]:
            each.result()
        assert len(syncs) - before < 100


def test_a_file_that_cannot_be_written_ends_the_client_and_what_was_not_sent_says_so(
    host: FakeHost, connect: Callable[..., PixelBoy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    pb = connect(state=state)
    pb.ss("a", "1")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.StateUnusable, match="No space left on device"):
        pb.ss("a", "2")
    with pytest.raises(errors.StateUnusable):
        pb.ss("a", "3")
    monkeypatch.undo()
    pb.close()
    assert host.files["a"] == b"1"
    with connect(state=state) as pb:
        # The note of the first answer may be lost with the rest; the second call was never sent.
        assert all(pending.number == 1 and pending.result().recorded for pending in pb.carried_over)
    assert host.files["a"] == b"1"


def test_what_a_caller_gave_until_then_or_gave_up_is_not_begun_later(
    host: FakeHost, connect: Callable[..., PixelBoy], tmp_path: Path
) -> None:
    state, copy = tmp_path / "state", tmp_path / "copy"
    pb = connect(state=state, timeout=0.3)
    host.intercept = lambda peer, frame: isinstance(frame, frames.Request)
    brief, given_up = pb.submit("rm", "a.mp3", timeout=0.2), pb.submit("rm", "b.mp3")
    for pending in (brief, given_up):
        with pytest.raises(errors.GaveUp, match="safe to send again with this client"):
            pending.result()
    host.wait_for(lambda: state.read_bytes().count(b"given_up") == 2)
    copy.write_bytes(state.read_bytes())
    host.intercept = lambda peer, frame: False
    with connect(state=copy) as pb:
        for pending in pb.carried_over:
            with pytest.raises(errors.Deadline):
                pending.result()
    assert [frame.deadline_ms for frame in host.frames(frames.Request)[2:4]] == [0, 0]
    assert host.ran[-1][1] == "cc" and len(host.ran) == 1


def test_a_time_that_is_not_over_goes_on_in_the_next_run(host: FakeHost, connect: Callable[..., PixelBoy], tmp_path: Path) -> None:
    state, copy = tmp_path / "state", tmp_path / "copy"
    pb = connect(state=state)
    host.intercept = lambda peer, frame: isinstance(frame, frames.Request)
    pb.submit("ss", "a", "1", timeout=30.0)
    host.wait_for(lambda: host.frames(frames.Request))
    copy.write_bytes(state.read_bytes())
    host.intercept = lambda peer, frame: False
    with connect(state=copy) as pb:
        assert pb.carried_over[0].result().stored == 1
    assert 10_000 < host.frames(frames.Request)[1].deadline_ms <= 29_500


def test_a_new_data_folder_makes_what_an_earlier_run_sent_unknown(host: FakeHost, connect: Callable[..., PixelBoy], tmp_path: Path) -> None:
    state, copy = tmp_path / "state", tmp_path / "copy"
    pb = connect(state=state)
    host.intercept = lambda peer, frame: isinstance(frame, frames.Request)
    pb.submit("ss", "a", "1")
    host.wait_for(lambda: host.frames(frames.Request))
    copy.write_bytes(state.read_bytes())
    host.intercept = lambda peer, frame: False
    host.peers[-1].refuse(frames.FENCED)
    host.clients.clear()
    with connect(state=copy) as pb:
        with pytest.raises(errors.Forgotten):
            pb.carried_over[0].result()
        pb.ss("b", "2")
        client = host.frames(frames.Hello)[-1].client
    assert told(copy.read_bytes())["client"] == client.hex() and told(copy.read_bytes())["unanswered"] == []
    assert "a" not in host.files


def test_settings_and_the_end_of_a_session_are_not_carried_over(host: FakeHost, connect: Callable[..., PixelBoy], tmp_path: Path) -> None:
    state, copy = tmp_path / "state", tmp_path / "copy"
    pb = connect(state=state)
    host.intercept = lambda peer, frame: isinstance(frame, frames.Request)
    pb.submit("srto", 1.0)
    pb.submit("sptt")
    host.wait_for(lambda: len(host.frames(frames.Request)) == 2)
    copy.write_bytes(state.read_bytes())
    host.intercept = lambda peer, frame: False
    with connect(state=copy) as pb:
        assert pb.carried_over == []
        assert host.frames(frames.Hello)[-1].lowest_unconfirmed == 3


@pytest.fixture
def torn(tmp_path: Path) -> Iterator[Callable[[bytes], Path]]:
    path = tmp_path / "state"

    def make(data: bytes) -> Path:
        path.write_bytes(data)
        return path

    yield make


def test_a_torn_file_is_set_aside_with_a_sentence_and_a_new_id(
    host: FakeHost, connect: Callable[..., PixelBoy], torn: Callable[[bytes], Path]
) -> None:
    path = torn(b'{"pixelboy_state":1,"cli')
    with pytest.warns(errors.StateDamaged, match="going on as a new client"), connect(state=path) as pb:
        assert pb.carried_over == []
        pb.ss("a", "1")
    assert path.with_name("state.damaged").read_bytes() == b'{"pixelboy_state":1,"cli'
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        connect(state=path).close()


def test_an_empty_file_is_a_new_one(torn: Callable[[bytes], Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state = StateFile(torn(b""))
    assert state.notice is None and state.next_number == 1
    state.close()


@pytest.mark.parametrize("data, words", [(b"my diary\n", "is no state file"), (b'{"pixelboy_state":2}\n', "a later pixelboy wrote")])
def test_a_file_of_something_else_or_of_a_later_version_is_left_alone(torn: Callable[[bytes], Path], data: bytes, words: str) -> None:
    path = torn(data)
    with pytest.raises(errors.StateUnusable, match=words):
        PixelBoy(state=path)
    assert path.read_bytes() == data


def test_a_place_where_no_file_can_be_is_a_sentence(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no" / "folder", tmp_path / "zero\0"):
        with pytest.raises(errors.StateUnusable):
            PixelBoy(state=path)


def test_numbers_of_transfers_are_on_the_disk_before_they_are_used(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "state")
    used = [state.transfer() for _ in range(1024)]
    with pytest.raises(errors.StateUnusable):
        state.transfer()
    state.write(state.notes())
    state.transfer()
    state.close()
    again = StateFile(tmp_path / "state")
    assert again.transfer() > used[-1] + 1
    again.close()


def test_a_long_run_keeps_what_has_no_answer(host: FakeHost, connect: Callable[..., PixelBoy], tmp_path: Path) -> None:
    state = tmp_path / "state"
    pb = connect(state=state)
    kept = host.answer
    host.answer = lambda peer, reply: None if reply.number == 1 else kept(peer, reply)  # type: ignore[method-assign]
    pb.submit("ss", "first", "x", timeout=60)
    for _ in range(100):
        pb.ss("a", "x" * 15_000)
    assert state.stat().st_size < 1_200_000
    assert [each[0] for each in told(state.read_bytes())["unanswered"] if each[1] == "ss"][0] == 1
