"""What the device asks and tells: calls of bound opcodes, pushes, time-outs, pings."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable

import pytest
from fakehost import FakeHost

from pixelboy import PixelBoy, errors
from pixelboy import _frames as frames


def answer(host: FakeHost, number: int) -> Any:
    """The client's answer to a call."""
    return host.wait_for(lambda: [f for f in host.frames(frames.CallReply) if f.number == number])[0].outcome


def test_a_bound_function_answers_the_device(host: FakeHost, pb: PixelBoy) -> None:
    @pb.bind("add")
    def add(a: int, b: int = 10) -> int:
        return a + b

    pb.bind("pair", lambda: (1, "two"))
    pb.bind("nothing", lambda: None)
    host.wait_for(lambda: len(host.frames(frames.Bind)) == 3)
    peer = host.peers[-1]
    peer.send(frames.Call(1, "add", [1], [], None))
    peer.send(frames.Call(2, "add", [1], [("b", 2)], None))
    peer.send(frames.Call(3, "pair", [], [], None))
    peer.send(frames.Call(4, "nothing", [], [], None))
    assert [answer(host, number) for number in (1, 2, 3, 4)] == [
        frames.Done([11]), frames.Done([3]), frames.Done([1, "two"]), frames.Done([]),
    ]  # fmt: skip


def test_a_function_that_raises_is_a_failure_at_the_device(host: FakeHost, pb: PixelBoy, capfd: Any) -> None:
    def refuse() -> None:
        raise errors.NotFound("no such lamp", {"lamp": "3"})

    pb.bind("refuse", refuse)
    pb.bind("crash", lambda: 1 / 0)
    pb.bind("odd", lambda: object())
    pb.bind("huge", lambda: b"x" * 65_000 and ["x" * 60_000, "y" * 60_000])
    peer = host.peers[-1]
    for number, op in enumerate(["refuse", "crash", "odd", "huge", "unbound"], 1):
        peer.send(frames.Call(number, op, [], [], None))
    assert answer(host, 1) == frames.Failed(4, "no such lamp", (("lamp", "3"),))
    assert answer(host, 2) == frames.Failed(1, "ZeroDivisionError: division by zero")
    assert answer(host, 3).code == 1
    assert answer(host, 4).code == 7
    assert answer(host, 5).code == 2


def test_a_function_may_call_the_device(host: FakeHost, pb: PixelBoy) -> None:
    pb.bind("ring", lambda: pb.ss("doorbell", "ring\n")["size"])
    host.peers[-1].send(frames.Call(1, "ring", [], [], None))
    assert answer(host, 1) == frames.Done([5])


def test_offers_are_made_again_after_a_break_and_old_calls_are_not_answered(host: FakeHost, pb: PixelBoy) -> None:
    gate = threading.Event()
    pb.bind("slow", lambda: gate.wait(5) and 1)
    pb.bind("fast", lambda: 2)
    host.peers[-1].send(frames.Call(1, "slow", [], [], None))
    host.peers[-1].send(frames.Call(2, "fast", [], [], None))
    time.sleep(0.05)
    host.peers[-1].cut()
    host.wait_for(lambda: len(host.frames(frames.Bind)) == 4)
    gate.set()
    host.peers[-1].send(frames.Call(3, "fast", [], [], None))
    assert answer(host, 3) == frames.Done([2])
    assert [f.number for f in host.frames(frames.CallReply)] == [3]


def test_a_call_that_nobody_waits_for_is_not_begun(host: FakeHost, pb: PixelBoy) -> None:
    gate = threading.Event()
    ran: list[int] = []
    pb.bind("slow", lambda: gate.wait(5) and None)
    pb.bind("fast", lambda: ran.append(1))
    peer = host.peers[-1]
    peer.send(frames.Call(1, "slow", [], [], None))
    peer.send(frames.Call(2, "fast", [], [], None))
    peer.send(frames.CallCancel(2))
    pb.ping()
    gate.set()
    answer(host, 1)
    peer.send(frames.Call(3, "fast", [], [], None))
    answer(host, 3)
    assert ran == [1]


def test_an_offer_can_be_taken_back(host: FakeHost, pb: PixelBoy) -> None:
    pb.bind("x", lambda: 1)
    pb.unbind("x")
    assert [(f.op, f.bound) for f in host.wait_for(lambda: len(host.frames(frames.Bind)) == 2 and host.frames(frames.Bind))] == [
        ("x", True), ("x", False),
    ]  # fmt: skip
    host.peers[-1].send(frames.Call(1, "x", [], [], None))
    assert answer(host, 1).code == 2


def test_a_name_that_is_no_opcode_cannot_be_offered(pb: PixelBoy) -> None:
    with pytest.raises(errors.NotSendable, match="a-z"):
        pb.bind("Ring!", lambda: None)


def test_pushes_and_time_outs_are_heard(host: FakeHost, pb: PixelBoy) -> None:
    heard: list[Any] = []
    both = threading.Event()
    pb.on_push(lambda op, *values: heard.append((op, values)))

    @pb.on_timeout
    def late(seconds: float) -> None:
        heard.append(seconds)
        both.set()

    host.peers[-1].send(frames.Push("button", [1, host.blob(b"x" * 70_000)]))
    host.peers[-1].send(frames.TimeOut(5000))
    assert both.wait(5)
    assert heard[0][0] == "button" and heard[0][1][0] == 1 and heard[0][1][1].read() == b"x" * 70_000
    assert heard[1] == 5.0
    assert pb.timeouts == 1


def test_time_outs_are_counted_and_no_error(host: FakeHost, pb: PixelBoy) -> None:
    for _ in range(3):
        host.peers[-1].send(frames.TimeOut(5000))
    assert pb.ss("a", "b").stored
    assert pb.timeouts == 3


def test_a_ping_of_the_device_is_answered(host: FakeHost, pb: PixelBoy) -> None:
    host.peers[-1].send(frames.Ping(77))
    assert host.wait_for(lambda: host.frames(frames.Pong))[0].token == 77


def test_optional_frames_of_a_later_version_are_skipped(host: FakeHost, pb: PixelBoy) -> None:
    host.peers[-1].sock.sendall(frames.pack(0x85, b"progress"))
    assert pb.ss("a", "b").stored


def test_a_silent_device_is_noticed_and_left(host: FakeHost, connect: Callable[..., PixelBoy], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixelboy._connection.IMPATIENT_PING_SECONDS", 0.1)
    pb = connect()
    host.intercept = lambda peer, frame: peer.index == 0
    pending = pb.submit("ss", "a", "1")
    assert pending.result().stored == 1
    assert len([f for index, f in host.log if index == 0 and isinstance(f, frames.Ping)]) == 4
    assert [f.code for index, f in host.log if index == 0 and isinstance(f, frames.Close)] == [frames.SILENT]


def test_silence_is_noticed_as_soon_for_a_later_call(
    host: FakeHost, connect: Callable[..., PixelBoy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixelboy._connection.IMPATIENT_PING_SECONDS", 0.1)
    pb = connect(timeout=60)
    pb.ss("a", "1")
    time.sleep(0.05)  # the connection's thread rests
    host.intercept = lambda peer, frame: peer.index == 0
    began = time.monotonic()
    assert pb.ss("a", "2").stored == 2
    assert time.monotonic() - began < 10


def test_an_idle_connection_is_pinged(host: FakeHost, connect: Callable[..., PixelBoy]) -> None:
    host.limits[12] = 100
    connect()
    host.wait_for(lambda: len(host.frames(frames.Ping)) >= 3)
    assert len(host.peers) == 1
