"""Hosts that are not there, are something else, or fall silent: an error that a person can act on, in time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import pytest
from fakehost import FakeHost

from pixelboy import PixelBoy, errors
from pixelboy import _frames as frames
from pixelboy._connection import parse_address


@contextmanager
def server(answer: Callable[[socket.socket], Any]) -> Iterator[int]:
    """Something on a port that is no pixelboyd."""
    listener = socket.create_server(("127.0.0.1", 0))
    kept = []

    def run() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            kept.append(sock)
            try:
                answer(sock)
            except OSError:
                pass

    threading.Thread(target=run, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
        for sock in kept:
            sock.close()


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(errors.Unreachable, match=f"nothing listens at 127.0.0.1:{port}; is pixelboyd running"):
        PixelBoy(port=port, timeout=5)


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(errors.Unreachable, match="try the device's IP address"):
        PixelBoy("no-such-host.invalid", timeout=20)


@pytest.mark.parametrize(
    "words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", b"\x16\x03\x01\x02\x00", b""]
)
def test_something_else_listens(words: bytes) -> None:
    def answer(sock: socket.socket) -> None:
        sock.sendall(words)
        sock.shutdown(socket.SHUT_WR)

    with server(answer) as port, pytest.raises(errors.Unreachable, match="does not answer as a pixelboyd"):
        PixelBoy(port=port, timeout=5)


def test_something_that_says_nothing() -> None:
    began = time.monotonic()
    with server(lambda sock: None) as port, pytest.raises(errors.Unreachable, match="in 0.5 s"):
        PixelBoy(port=port, timeout=0.5)
    assert time.monotonic() - began < 5


def test_another_version_is_told() -> None:
    def answer(sock: socket.socket) -> None:
        sock.sendall(frames.Close(104, "this host speaks versions 2 to 3").encode())

    with server(answer) as port, pytest.raises(errors.ProtocolError, match="versions 2 to 3") as refused:
        PixelBoy(port=port, timeout=5)
    assert refused.value.code == 104


def test_a_device_that_wants_a_proof_is_told() -> None:
    with server(lambda sock: sock.sendall(frames.Challenge("pin", b"").encode())) as port:
        with pytest.raises(errors.ProtocolError, match="asks for the proof 'pin'"):
            PixelBoy(port=port, timeout=5)


def test_a_full_device_is_told() -> None:
    def answer(sock: socket.socket) -> None:
        sock.sendall(frames.Close(111, "32 clients are here").encode())

    with server(answer) as port, pytest.raises(errors.Unreachable, match="32 clients are here"):
        PixelBoy(port=port, timeout=5)


def test_rubbish_in_the_middle_ends_the_client(host: FakeHost, pb: PixelBoy) -> None:
    pb.ss("a", "1")
    host.peers[-1].sock.sendall(b"\xff\xff\xff\xff\x10")
    host.wait_for(lambda: pb._session.connection.phase == "ended")
    with pytest.raises(errors.ProtocolError, match="does not understand"):
        pb.ls()
    assert host.wait_for(lambda: host.frames(frames.Close))[-1].code == frames.FRAME_TOO_LARGE


def test_no_answer_is_an_error_in_time(host: FakeHost, connect: Callable[..., PixelBoy]) -> None:
    pb = connect(timeout=0.3)
    host.intercept = lambda peer, frame: True
    for ask in (pb.ls, pb.ops, pb.ping, lambda: pb.upload(b"x" * 50_000), lambda: pb.call("ls"), lambda: pb.get("x")):
        began = time.monotonic()
        with pytest.raises(errors.GaveUp):
            ask()  # type: ignore[operator]
        assert time.monotonic() - began < 2


def test_a_device_that_went_away_is_an_error_in_time_and_says_that_nothing_was_sent(host: FakeHost, connect: Callable[..., PixelBoy]) -> None:
    pb = connect(timeout=0.4)
    host.go_deaf()
    host.wait_for(lambda: pb._session.connection.phase != "ready")
    with pytest.raises(errors.GaveUp, match="nothing happened, it can be called again") as given_up:
        pb.ss("a", "1")
    assert not given_up.value.sent
    with pytest.raises(errors.GaveUp):
        pb.ping()
    host.listen_again()
    assert pb.call("ss", "a", "2", timeout=10).stored == 1


def test_a_device_that_takes_bytes_and_says_nothing_is_given_up_and_the_call_is_done_once(
    host: FakeHost, connect: Callable[..., PixelBoy]
) -> None:
    host.limits = {12: 50}  # milliseconds between pings
    pb = connect()
    pb.ss("a", "1")
    host.intercept = lambda peer, frame: peer.index == 0
    assert pb.ss("a", "2").stored == 2
    assert host.files["a"] == b"12"
    assert len(host.frames(frames.Hello)) == 2
    assert host.frames(frames.Close)[-1].code == frames.SILENT


def test_closing_does_not_wait_for_ever(host: FakeHost, connect: Callable[..., PixelBoy]) -> None:
    pb = connect(timeout=0.3)
    host.intercept = lambda peer, frame: True
    pending = pb.submit("ss", "a", "1")
    began = time.monotonic()
    pb.close()
    assert time.monotonic() - began < 6
    with pytest.raises(errors.GaveUp):
        pending.result()


def test_closing_without_waiting_says_what_is_not_known(host: FakeHost, connect: Callable[..., PixelBoy]) -> None:
    pb = connect()
    host.intercept = lambda peer, frame: isinstance(frame, frames.Request)
    sent = pb.submit("ss", "a", "1")
    host.wait_for(lambda: host.frames(frames.Request))
    pb.close(wait=False)
    with pytest.raises(errors.OutcomeUnknown, match="closed"):
        sent.result()


def test_an_error_in_the_with_block_is_not_held_up(host: FakeHost) -> None:
    host.intercept = lambda peer, frame: isinstance(frame, frames.Request)
    began = time.monotonic()
    with pytest.raises(ZeroDivisionError), PixelBoy(port=host.port) as pb:
        pb.submit("ss", "a", "1")
        raise ZeroDivisionError
    assert time.monotonic() - began < 5
    host.wait_for(lambda: host.frames(frames.Goodbye))


def test_a_program_that_forgets_to_close_ends_and_says_goodbye(host: FakeHost) -> None:
    program = f"from pixelboy import PixelBoy; pb = PixelBoy(port={host.port}); pb.submit('ss', 'a', 'b')"
    root = str(Path(__file__).parent.parent)
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": root}, timeout=20, check=True)
    assert host.files == {"a": b"b"}
    assert host.clients == {}


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan"), "5", None, True])
def test_a_time_out_is_a_finite_number(seconds: Any) -> None:
    with pytest.raises(ValueError, match="nothing here waits for ever"):
        PixelBoy(timeout=seconds)


def test_a_full_queue_holds_the_caller_back_and_not_for_ever(
    host: FakeHost, connect: Callable[..., PixelBoy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixelboy._queue.QUEUE_CALLS", 10)
    pb = connect(timeout=0.5)
    host.go_deaf()
    host.wait_for(lambda: pb._session.connection.phase != "ready")
    for _ in range(10):
        pb.submit("ss", "a", "x", timeout=5)
    with pytest.raises(errors.GaveUp, match="10 calls before it do not move"):
        pb.submit("ss", "a", "x")
    host.listen_again()
    for _ in range(30):
        pb.submit("ss", "a", "y", timeout=5)
    pb.ls()
    assert host.files["a"] == b"x" * 10 + b"y" * 30


@pytest.mark.parametrize(
    "text, expected",
    [
        ("pi", ("pi", 7777)),
        ("pi:1234", ("pi", 1234)),
        (" 10.0.0.7 ", ("10.0.0.7", 7777)),
        ("fe80::1", ("fe80::1", 7777)),
        ("[::1]:99", ("::1", 99)),
        ("[::1]", ("::1", 7777)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text, 7777) == expected


def test_a_port_that_is_none() -> None:
    with pytest.raises(ValueError, match="1 to 65535"):
        PixelBoy("pi:http")


@pytest.mark.parametrize("host, port", [(7777, 7777), ("pi", "7777"), (b"pi", 7777), ("pi", True)])
def test_what_is_no_address_is_said_with_an_example(host: Any, port: Any) -> None:
    with pytest.raises(TypeError, match="raspberrypi.local.* and port=7777, got"):
        PixelBoy(host, port)


def test_ipv6_works_where_it_is(host: FakeHost) -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 on this machine")
    host._listener.close()
    host._listener = listener
    host._spawn(host._accept)
    with PixelBoy(f"[::1]:{listener.getsockname()[1]}") as pb:
        assert pb.ss("a", "b").stored
        assert pb.host.startswith("[::1]:")
