"""Broken connections, restarts and crashes: everything runs once, and the caller hears what is known."""

from __future__ import annotations

import os
import random
import time
from typing import Any, Callable

import pytest
from fakehost import FakeHost, Peer

from pixelboy import PixelBoy, errors
from pixelboy import _frames as frames


def requests(host: FakeHost) -> list[tuple[int, bytes]]:
    return [(frame.number, frame.digested()) for frame in host.frames(frames.Request)]


def test_a_lost_reply_is_asked_for_again_with_the_same_bytes(host: FakeHost, pb: PixelBoy) -> None:
    lost: list[frames.Reply] = []

    def answer(peer: Peer, reply: frames.Reply) -> None:
        if not lost:
            lost.append(reply)
            peer.cut()
        else:
            peer.send(reply)

    host.answer = answer  # type: ignore[method-assign]
    reply = pb.ss("notes.txt", "once\n")
    assert reply.recorded
    assert "done before" in str(reply)
    assert host.files["notes.txt"] == b"once\n"
    sent = requests(host)
    assert len(sent) == 2 and sent[0] == sent[1]
    assert pb.ss("notes.txt", "twice\n").recorded is False
    assert host.files["notes.txt"] == b"once\ntwice\n"


def test_a_connection_that_breaks_after_any_byte_loses_and_doubles_nothing(host: FakeHost, connect: Callable[..., PixelBoy]) -> None:
    """The host cuts after so many bytes of what it sends: in the greeting, in a reply, between two."""
    for cut in range(0, 400, 7):
        left = [cut]
        original = Peer.send

        def send(peer: Peer, frame: frames.Frame, left: list[int] = left, original: Any = original) -> None:
            if isinstance(frame, frames.Welcome) or left[0] < 0:
                original(peer, frame)
                return
            data = frame.encode()
            if len(data) > left[0]:
                with peer.lock:
                    try:
                        peer.sock.sendall(data[: left[0]])
                    except OSError:
                        pass
                left[0] = -1
                peer.cut()
            else:
                left[0] -= len(data)
                original(peer, frame)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Peer, "send", send)
            pb = connect()
            name = f"f{cut}"
            pending = [pb.submit("ss", name, f"{number},") for number in range(20)]
            for each in pending:
                each.result()
            pb.close()
        assert host.files[name] == b"".join(b"%d," % number for number in range(20))


def test_a_client_that_is_cut_after_any_byte_of_its_own_goes_on(host: FakeHost, connect: Callable[..., PixelBoy]) -> None:
    chance = random.Random(3)
    pb = connect()
    stop = time.monotonic() + 3.0
    number = 0
    while time.monotonic() < stop:
        seen = [0]
        limit = chance.randrange(1, 30)

        def intercept(peer: Peer, frame: frames.Frame, seen: list[int] = seen, limit: int = limit) -> bool:
            if isinstance(frame, frames.Request):
                seen[0] += 1
                if seen[0] == limit:
                    peer.cut()
                    return chance.random() < 0.5
            return False

        host.intercept = intercept
        pending = [pb.submit("ss", "n", f"{number + index},") for index in range(40)]
        number += 40
        for each in pending:
            each.result()
    host.intercept = lambda peer, frame: False
    assert host.files["n"] == b"".join(b"%d," % each for each in range(number))
    assert len(host.ran) == number


def test_uploads_and_calls_survive_random_cuts_together(host: FakeHost, pb: PixelBoy) -> None:
    chance = random.Random(5)

    def intercept(peer: Peer, frame: frames.Frame) -> bool:
        if chance.random() < 0.02:
            peer.cut()
            return True
        return False

    host.intercept = intercept
    contents = [chance.randbytes(chance.randrange(1, 700_000)) for _ in range(12)]
    pending = []
    for number, data in enumerate(contents):
        pending.append(pb.submit("ss", "n", f"{number},"))
        pending.append(pb.submit("si", data, f"picture {number}"))
    for each in pending:
        each.result()
    host.intercept = lambda peer, frame: False
    assert host.files["n"] == b"".join(b"%d," % number for number in range(12))
    assert all(host.files[f"picture {number}"] == data for number, data in enumerate(contents))
    assert [op for _, op, _ in host.ran] == ["ss", "si"] * 12


def test_a_device_that_is_away_for_a_while_is_waited_for(host: FakeHost, pb: PixelBoy) -> None:
    pb.ss("a", "1")
    host.go_deaf()
    pending = [pb.submit("ss", "a", str(number)) for number in range(2, 6)]
    time.sleep(0.3)
    assert not any(each.done() for each in pending)
    host.listen_again()
    assert [each.result().stored for each in pending] == [2, 3, 4, 5]
    assert host.files["a"] == b"12345"


def test_a_new_data_folder_makes_what_was_pending_unknown_and_goes_on(host: FakeHost, pb: PixelBoy) -> None:
    pb.ss("a", "1")
    first = host.frames(frames.Hello)[-1].client
    host.intercept = lambda peer, frame: isinstance(frame, frames.Request)
    pending = pb.submit("ss", "a", "2")
    host.wait_for(lambda: len(host.frames(frames.Request)) == 2)
    host.clients.clear()
    host.store = bytes(16)
    host.intercept = lambda peer, frame: False
    host.peers[-1].cut()
    with pytest.raises(errors.Forgotten, match="may or may not have happened"):
        pending.result()
    assert pb.ss("b", "x").stored
    hello = host.frames(frames.Hello)[-1]
    assert hello.client != first and hello.last_store is None and hello.lowest_unconfirmed == 1
    assert host.frames(frames.Request)[-1].number == 1


def test_a_new_data_folder_that_does_not_say_so_is_noticed(host: FakeHost, pb: PixelBoy) -> None:
    pb.ss("a", "1")
    host.forget_unknown = False
    host.clients.clear()
    host.store = bytes(16)
    host.peers[-1].cut()
    host.wait_for(lambda: len(host.frames(frames.Hello)) == 3)
    pb.ss("b", "x")
    assert host.frames(frames.Hello)[-1].client != host.frames(frames.Hello)[0].client


def test_a_forgotten_client_without_pending_calls_goes_on_in_silence(host: FakeHost, pb: PixelBoy) -> None:
    pb.ss("a", "1")
    host.clients.clear()
    host.peers[-1].cut()
    host.wait_for(lambda: len(host.frames(frames.Hello)) == 3)
    pb.ss("a", "2")
    assert host.files["a"] == b"12"
    assert len(set(hello.client for hello in host.frames(frames.Hello))) == 2


def test_what_was_not_sent_goes_on_under_the_new_id_with_its_upload(host: FakeHost, pb: PixelBoy) -> None:
    pb.ss("a", "1")
    data = os.urandom(300_000)
    held: list[frames.Frame] = []
    host.intercept = lambda peer, frame: isinstance(frame, (frames.Request, frames.Finish)) and not held.append(frame)  # type: ignore[func-returns-value]
    first = pb.submit("ss", "a", "2")
    upload = pb.submit("si", data, "picture")
    host.wait_for(lambda: len(held) == 2)
    host.clients.clear()
    host.intercept = lambda peer, frame: False
    host.peers[-1].cut()
    with pytest.raises(errors.OutcomeUnknown):
        first.result()
    upload.result()
    assert host.files["picture"] == data


def test_a_fenced_client_stops_and_says_why(host: FakeHost, pb: PixelBoy) -> None:
    pb.ss("a", "1")
    host.intercept = lambda peer, frame: isinstance(frame, frames.Request)
    pending = pb.submit("ss", "a", "2")
    host.wait_for(lambda: len(host.frames(frames.Request)) == 2)
    greetings = len(host.frames(frames.Hello))
    host.peers[-1].refuse(frames.FENCED)
    with pytest.raises(errors.OutcomeUnknown, match="another program uses the same client id"):
        pending.result()
    with pytest.raises(errors.Fenced):
        pb.ls()
    time.sleep(0.3)
    assert len(host.frames(frames.Hello)) == greetings


@pytest.mark.parametrize("code", sorted(frames.FATAL))
def test_a_refusal_that_would_come_again_ends_the_client(host: FakeHost, connect: Callable[..., PixelBoy], code: int) -> None:
    pb = connect()
    host.peers[-1].refuse(code, "because")
    host.wait_for(lambda: pb._session.connection.phase == "ended")
    with pytest.raises(errors.ProtocolError, match="because"):
        pb.ls()


def test_an_unknown_outcome_is_not_final(host: FakeHost, pb: PixelBoy) -> None:
    pb.ss("a", "1")
    host.answer = lambda peer, reply: host.reply(peer, reply.number, frames.Failed(24, "the disk did not say"))  # type: ignore[method-assign]
    with pytest.raises(errors.OutcomeUnknown, match="the disk did not say") as unknown:
        pb.ss("a", "2")
    host.answer = lambda peer, reply: peer.send(reply)  # type: ignore[method-assign]
    assert pb.ss("a", "3")
    assert host.frames(frames.Request)[-1].confirmed == 1, "the unknown one must not be confirmed"
    again = unknown.value.again()
    assert not again.done()
    host.peers[-1].cut()  # the device restarts
    reply = again.result()
    assert reply.recorded and reply.stored == 2
    assert host.files["a"] == b"123"
    assert unknown.value.again().result().stored == 2, "the answer can be asked for twice"


def test_giving_up_says_what_is_known_and_can_go_on(host: FakeHost, connect: Callable[..., PixelBoy]) -> None:
    pb = connect(timeout=0.3)
    held: list[Any] = []
    host.answer = lambda peer, reply: held.append((peer, reply))  # type: ignore[method-assign]
    with pytest.raises(errors.GaveUp, match="may or may not have happened") as given_up:
        pb.ss("a", "1")
    assert given_up.value.sent
    assert isinstance(given_up.value, TimeoutError)
    assert host.wait_for(lambda: host.frames(frames.Cancel))[0].number == 1
    again = given_up.value.again(5)
    held[0][0].send(held[0][1])
    assert again.result().stored == 1
    assert host.files["a"] == b"1"


def test_what_was_given_up_is_not_begun_later(host: FakeHost, connect: Callable[..., PixelBoy]) -> None:
    pb = connect(timeout=0.3)
    host.intercept = lambda peer, frame: isinstance(frame, frames.Request)
    with pytest.raises(errors.GaveUp) as given_up:
        pb.rm("song.mp3")
    host.intercept = lambda peer, frame: False
    host.peers[-1].cut()
    host.wait_for(lambda: len(host.frames(frames.Request)) == 2)
    assert host.frames(frames.Request)[-1].deadline_ms == 0
    with pytest.raises(errors.Deadline):
        given_up.value.again(5).result()
    assert host.ran == []


def test_a_deadline_of_the_caller_is_the_device_s_too_and_shrinks(host: FakeHost, pb: PixelBoy) -> None:
    pb.call("ls", timeout=4.0)
    assert 3000 < host.frames(frames.Request)[-1].deadline_ms <= 3600
    pb.ls()
    assert host.frames(frames.Request)[-1].deadline_ms is None
    host.intercept = lambda peer, frame: isinstance(frame, frames.Request)
    pending = pb.submit("ls", timeout=4.0)
    host.wait_for(lambda: len(host.frames(frames.Request)) == 3)
    time.sleep(0.2)
    host.intercept = lambda peer, frame: False
    host.peers[-1].cut()
    pending.result()
    assert 0 < host.frames(frames.Request)[-1].deadline_ms <= 3400


def test_a_call_that_waits_for_its_turn_is_not_given_up_while_others_are_answered(host: FakeHost, connect: Callable[..., PixelBoy]) -> None:
    pb = connect(timeout=0.4)
    original = host.run

    def slow(peer: Peer, request: frames.Request) -> frames.Outcome:
        time.sleep(0.05)
        return original(peer, request)

    host.run = slow  # type: ignore[method-assign]
    pending = [pb.submit("ls") for _ in range(20)]  # a second in all
    for each in pending:
        each.result()


def test_cancelling_before_it_was_sent_drops_it(host: FakeHost, pb: PixelBoy) -> None:
    host.go_deaf()
    host.wait_for(lambda: pb._session.connection.phase != "ready")
    pending = pb.submit("ss", "a", "1")
    assert pending.cancel()
    assert pending.cancelled()
    host.listen_again()
    pb.ss("a", "2")
    assert host.files["a"] == b"2"


def test_cancelling_what_was_sent_asks_the_device(host: FakeHost, pb: PixelBoy) -> None:
    host.intercept = lambda peer, frame: isinstance(frame, frames.Request)
    pending = pb.submit("ss", "a", "1")
    host.wait_for(lambda: host.frames(frames.Request))
    next(iter(host.clients.values())).received_through = 1
    assert not pending.cancel()
    host.wait_for(lambda: host.frames(frames.Cancel))
    host.reply(host.peers[-1], 1, frames.Failed(12, "cancelled"))
    with pytest.raises(errors.Cancelled):
        pending.result()


def test_the_window_is_kept_and_everything_is_confirmed_in_time(host: FakeHost, pb: PixelBoy) -> None:
    held: list[Any] = []
    host.answer = lambda peer, reply: held.append((peer, reply))  # type: ignore[method-assign]
    pending = [pb.submit("ls") for _ in range(1500)]
    host.wait_for(lambda: len(held) == 1024)
    time.sleep(0.1)
    assert len(held) == 1024, "no more than the window"
    answered = held[1:]  # all but the first: nothing can be confirmed up to a number
    del held[1:]
    for peer, reply in answered:
        peer.send(reply)
    host.wait_for(lambda: len(held) > 400)
    assert any(len(confirm.also) > 200 and confirm.through == 0 for confirm in host.frames(frames.Confirm))
    host.answer = lambda peer, reply: peer.send(reply)  # type: ignore[method-assign]
    for peer, reply in held:
        peer.send(reply)
    for each in pending:
        each.result()
    pb.ls()


def test_the_window_of_bytes_is_kept(host: FakeHost, pb: PixelBoy) -> None:
    held: list[Any] = []
    host.answer = lambda peer, reply: held.append((peer, reply))  # type: ignore[method-assign]
    pending = [pb.submit("echo", "x" * 60_000) for _ in range(100)]
    host.wait_for(lambda: len(held) == 69)
    time.sleep(0.1)
    assert len(held) == 69  # 4 MiB by 60 kB
    host.answer = lambda peer, reply: peer.send(reply)  # type: ignore[method-assign]
    for peer, reply in held:
        peer.send(reply)
    for each in pending:
        each.result()


def test_confirmations_that_may_be_lost_are_said_again(host: FakeHost, pb: PixelBoy) -> None:
    held: list[Any] = []

    def answer(peer: Peer, reply: frames.Reply) -> None:
        if reply.number == 1 and not held:
            held.append(reply)
        else:
            peer.send(reply)

    host.answer = answer  # type: ignore[method-assign]
    first = pb.submit("ls")
    for _ in range(10):
        pb.ls()
    host.peers[-1].cut()
    first.result()
    assert host.frames(frames.Confirm)[-1].also == list(range(2, 12))


def test_a_host_that_lost_its_memory_of_reads_is_not_told_numbers_it_never_saw(host: FakeHost, pb: PixelBoy) -> None:
    pb.ss("a", "1")
    for _ in range(5):
        pb.ls()
    memory = next(iter(host.clients.values()))
    memory.received_through = memory.executed_through = 1
    memory.replies.clear()
    host.peers[-1].cut()
    host.wait_for(lambda: len(host.frames(frames.Hello)) == 2)
    for _ in range(3):
        pb.ls()  # the fake host checks what is confirmed
    assert host.frames(frames.Hello)[-1].lowest_unconfirmed == 7


def test_a_number_that_another_program_used_means_a_new_id(host: FakeHost, pb: PixelBoy) -> None:
    pb.ss("a", "1")
    host.intercept = lambda peer, frame: isinstance(frame, frames.Request)
    first, second = pb.submit("ss", "a", "2"), pb.submit("ss", "a", "3")
    host.wait_for(lambda: len(host.frames(frames.Request)) == 3)
    host.intercept = lambda peer, frame: False
    host.reply(host.peers[-1], 2, frames.Failed(22, "not yours"))
    with pytest.raises(errors.NumberReused, match="not yours"):
        first.result()
    with pytest.raises(errors.Forgotten, match="another program uses the same client id"):
        second.result()
    assert pb.ss("a", "4").stored
    hellos = host.frames(frames.Hello)
    assert hellos[-1].client != hellos[0].client and hellos[-1].lowest_unconfirmed == 1
    assert host.files["a"] == b"14"


@pytest.mark.parametrize("code, kind", [(23, errors.RanReplyLost), (33, errors.AlreadyConfirmed)])
def test_a_lost_reply_and_a_confirmed_one_are_final(host: FakeHost, pb: PixelBoy, code: int, kind: Any) -> None:
    original = host.run
    host.run = lambda peer, request: frames.Failed(code, "so it is")  # type: ignore[method-assign]
    with pytest.raises(kind, match="so it is"):
        pb.ss("a", "1")
    host.run = original  # type: ignore[method-assign]
    pb.ss("a", "2")
    assert host.frames(frames.Request)[-1].confirmed == 1


# --- a new session ---


def ops_of(host: FakeHost, peer: int) -> list[tuple[int, str]]:
    return [(frame.number, frame.op) for index, frame in list(host.log) if index == peer and isinstance(frame, frames.Request)]


def test_a_new_session_is_told_the_settings_of_the_one_before(host: FakeHost, pb: PixelBoy) -> None:
    pb.srto(0.5)
    pb.srto(0.2)
    pb.sptt()
    host.resumed = True
    host.peers[-1].cut()
    pb.ls()
    assert ops_of(host, 1) == [(4, "ls")], "the session goes on: nothing is to be told"
    host.resumed = False
    host.peers[-1].cut()
    host.wait_for(lambda: len(ops_of(host, 2)) == 2)
    pb.ls()
    assert ops_of(host, 2) == [(5, "srto"), (6, "sptt"), (7, "ls")]
    assert host.ran[-3][2] == [0.2]


def test_a_setting_that_was_answered_from_the_record_is_told_to_the_session_of_now(host: FakeHost, pb: PixelBoy) -> None:
    lost: list[frames.Reply] = []

    def answer(peer: Peer, reply: frames.Reply) -> None:
        if lost:
            peer.send(reply)
        else:
            lost.append(reply)
            peer.cut()

    host.answer = answer  # type: ignore[method-assign]
    assert pb.srto(0.3).recorded
    host.wait_for(lambda: len(ops_of(host, 1)) == 2)
    assert ops_of(host, 1) == [(1, "srto"), (2, "srto")]


def test_an_offer_that_was_taken_back_while_away_is_told_to_a_session_that_goes_on(host: FakeHost, pb: PixelBoy) -> None:
    pb.bind("stays", print)
    pb.bind("goes", print)
    host.wait_for(lambda: len(host.frames(frames.Bind)) == 2)
    host.go_deaf()
    host.wait_for(lambda: pb._session.connection.phase != "ready")
    pb.unbind("goes")
    host.resumed = True
    host.listen_again()
    host.wait_for(lambda: len(host.frames(frames.Bind)) == 4)
    assert sorted((bind.op, bind.bound) for bind in host.frames(frames.Bind)[2:]) == [("goes", False), ("stays", True)]
    host.resumed = False
    host.peers[-1].cut()
    pb.ls()
    assert [bind.op for bind in host.frames(frames.Bind)[4:]] == ["stays"]
