"""Calls and replies with a well-behaved host."""

from __future__ import annotations

import concurrent.futures
import math
import random
import threading
from pathlib import Path
from typing import Any, Callable

import pytest
from fakehost import FakeHost, row

from pixelboy import PixelBoy, errors
from pixelboy import _frames as frames
from pixelboy._limits import Limits
from pixelboy._values import AS_TEXT, AS_VALUES, put_values


def test_a_reply_reads_like_what_it_is(pb: PixelBoy) -> None:
    reply = pb.ss("notes.txt", "hello\n")
    assert reply.value == {"path": "notes.txt", "size": 6}
    assert reply["size"] == 6
    assert reply.stored == 1
    assert not reply.recorded
    assert str(reply) == "path: notes.txt, size: 6 (stored at 1)"
    assert pb.ls().stored is None
    assert [file["name"] for file in pb.ls()] == ["notes.txt"]


def any_value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(8 if depth < 5 else 6)
    if kind == 0:
        return None
    if kind == 1:
        return chance.random() < 0.5
    if kind == 2:
        return chance.choice([0, 1, -1, 2**63 - 1, -(2**63), chance.getrandbits(40) - 2**39])
    if kind == 3:
        return chance.choice([0.0, -0.0, 1.5, math.inf, -math.inf, chance.random()])
    if kind == 4:
        return "".join(chance.choice("aä€😀\n\0") for _ in range(chance.randrange(40)))
    if kind == 5:
        return chance.randbytes(chance.randrange(300))
    if kind == 6:
        return [any_value(chance, depth + 1) for _ in range(chance.randrange(5))]
    return {f"k{i}": any_value(chance, depth + 1) for i in range(chance.randrange(5))}


def test_any_value_comes_back_as_it_was(pb: PixelBoy) -> None:
    chance = random.Random(7)
    for _ in range(200):
        value = any_value(chance)
        assert repr(pb.echo(value).value if value is not None else pb.echo(value).values[0]) == repr(value)


def test_tuples_and_numpy_numbers_are_values_too(pb: PixelBoy) -> None:
    numpy = pytest.importorskip("numpy")
    assert pb.echo((1, 2)).value == [1, 2]
    assert pb.echo([numpy.int16(5), numpy.float32(0.5), numpy.bool_(True), numpy.float64(2)]).value == [5, 0.5, True, 2.0]


@pytest.mark.parametrize(
    "value, says",
    [
        (2**63, "64-bit"),
        (object(), "object cannot be sent"),
        ({1: 2}, "keys of a map are text"),
        ("\ud800", "surrogates"),
        ([[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]], "nested deeper than 16"),
        ([0] * 4096, "more than 4096 values"),
        (["x" * 65_537], "65537 bytes of text"),
        ([b"x" * 60_000, b"x" * 60_000, b"x" * 60_000], "131072"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is(host: FakeHost, pb: PixelBoy, value: Any, says: str) -> None:
    pb.ops()
    with pytest.raises(errors.NotSendable, match=says):
        pb.echo(value)
    assert host.frames(frames.Request) == []
    assert pb.echo(1).value == 1


def test_a_failure_is_its_class_with_code_and_details(pb: PixelBoy) -> None:
    with pytest.raises(errors.NotFound, match="there is no file 'x'") as failure:
        pb.get("x")
    assert failure.value.code == 4
    assert failure.value.details == {"path": "x"}
    assert isinstance(failure.value, errors.Failure)


def test_an_unknown_code_is_a_plain_failure(host: FakeHost, pb: PixelBoy) -> None:
    host.run = lambda peer, request: frames.Failed(999, "new")  # type: ignore[method-assign]
    with pytest.raises(errors.Failure, match="new") as failure:
        pb.clear()
    assert type(failure.value) is errors.Failure
    assert failure.value.code == 999


def test_every_code_of_the_protocol_has_its_class() -> None:
    assert sorted(errors.FAILURES) == [*range(1, 24), *range(25, 34)]
    for kind in errors.FAILURES.values():
        assert kind.__name__ in errors.__all__
        assert kind.__name__ in (errors.__doc__ or "")


def test_opcodes_of_the_table_are_methods(host: FakeHost, pb: PixelBoy) -> None:
    assert pb.scroll_text("hi", speed=5)["args"] == ["hi", 5]
    assert pb.with_dash()["op"] == "with-dash"
    assert pb.call("with-dash")["op"] == "with-dash"
    assert "scroll_text" in dir(pb)
    assert pb.ops()["scroll_text"].doc == "Scrolls text."
    assert "Scrolls text." in pb.scroll_text.help
    assert not hasattr(pb, "_repr_html_")


def test_an_unknown_opcode_says_what_may_be_meant(host: FakeHost, pb: PixelBoy) -> None:
    with pytest.raises(errors.UnknownOp, match="did you mean scroll_text"):
        pb.scrol_text("hi")
    assert host.frames(frames.Request) == []


def test_an_opcode_that_appears_while_running_can_be_called(host: FakeHost, pb: PixelBoy) -> None:
    pb.ops()
    host.rows.append(row("zz"))
    host.peers[0].send(frames.TableChanged(host.table))
    assert pb.zz()["op"] == "zz"
    host.rows.append(row("zzz"))
    assert pb.zzz()["op"] == "zzz"  # also without the notice


def test_wrong_arguments_are_told_before_an_upload_begins(host: FakeHost, pb: PixelBoy, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(bytes(100_000))
    with pytest.raises(errors.BadArguments, match=r"keep takes \(data: data, name: text\), got \(data, int\)"):
        pb.keep(path, 5)
    assert host.frames(frames.OpenUpload) == []


def test_a_name_of_python_s_own_is_given_with_an_underscore(host: FakeHost, pb: PixelBoy) -> None:
    host.rows.append(row("wait", ("timeout", "int"), ("from", "text")))
    pb.wait(timeout_=5, from_="me")
    assert dict(host.frames(frames.Request)[-1].values()[1]) == {"timeout": 5, "from": "me"}


def test_submitted_calls_run_in_their_order(host: FakeHost, pb: PixelBoy) -> None:
    pending = [pb.submit("ss", "n", f"{number},") for number in range(3000)]
    assert [each.result().stored for each in pending] == list(range(1, 3001))
    assert host.files["n"] == b"".join(b"%d," % number for number in range(3000))


def test_a_pending_is_a_future(pb: PixelBoy) -> None:
    done = []
    pending = pb.submit("echo", 5)
    pending.add_done_callback(lambda each: done.append(each.result().value))
    assert concurrent.futures.wait([pending], 5).done == {pending}
    assert pb.poll(pending).value == 5  # type: ignore[union-attr]
    assert done == [5]
    assert pending.op == "echo" and pending.number == 1


def test_poll_says_none_while_there_is_no_answer(host: FakeHost, pb: PixelBoy) -> None:
    host.intercept = lambda peer, frame: isinstance(frame, frames.Request)
    pending = pb.send("ss", "a", "b")
    assert pb.poll(pending) is None
    assert pb.poll(pending, 0.02) is None


def test_a_callback_that_would_wait_for_itself_is_told_so(pb: PixelBoy) -> None:
    said: concurrent.futures.Future[str] = concurrent.futures.Future()

    def callback(_: object) -> None:
        try:
            pb.ss("a", "b")
        except RuntimeError as error:
            said.set_result(str(error))

    pb.ls()
    pending = pb.submit("ss", "x", "y" * 1000)
    pending.add_done_callback(callback)
    if threading.current_thread() is threading.main_thread() and pending.done() and not said.done():
        pytest.skip("the answer was faster than the callback")
    assert "callback" in said.result(5)


def test_threads_share_one_client(host: FakeHost, pb: PixelBoy) -> None:
    def work(name: str) -> None:
        for number in range(100):
            assert pb.echo([name, number]).value == [name, number]
            pb.ss(name, "x")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [f"t{number}" for number in range(8)]))
    assert all(host.files[f"t{number}"] == b"x" * 100 for number in range(8))


def test_large_replies_look_like_small_ones(host: FakeHost, pb: PixelBoy) -> None:
    names = [{"name": f"file {number}" * 5} for number in range(3000)]
    out = bytearray()
    put_values(out, [names], Limits(nodes=1 << 20))
    text = "ä" * 50_000

    def run(peer: Any, request: frames.Request) -> frames.Outcome:
        if request.op == "ls":
            return frames.Done([host.blob(bytes(out), AS_VALUES)])
        return frames.Done([host.blob(text.encode(), AS_TEXT), host.blob(b"x" * 70_000)])

    host.run = run  # type: ignore[method-assign]
    assert pb.ls().value == names
    found = pb.status().values
    assert found[0] == text
    assert found[1].read() == b"x" * 70_000


def test_friendly_words_are_the_same_opcodes(host: FakeHost, pb: PixelBoy, tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(b"PNG")
    pb.store(path)
    pb.store(str(path), "dog.png")
    pb.store(b"GIF", "party.gif")
    pb.store(b"ID3", "song.mp3")
    pb.store(b"hi", "n.txt")
    pb.show("cat.png")
    pb.show("PARTY.GIF")
    pb.play("song.mp3", thread=True)
    pb.pause()
    pb.resume()
    pb.quiet()
    pb.volume(0.5)
    pb.delete("n.txt")
    pb.cc()
    assert [op for _, op, _ in host.ran] == "si si sg sm ss ri rg rm pm um stop sv del cc".split()
    assert host.files["dog.png"] == b"PNG"
    with pytest.raises(errors.Closed):
        pb.ls()


def test_store_asks_for_a_name_that_tells(pb: PixelBoy) -> None:
    with pytest.raises(errors.BadArguments, match="does not tell what it is"):
        pb.store(b"x", "thing")
    with pytest.raises(errors.NotSendable, match="name="):
        pb.store(b"x")


def test_a_file_where_text_belongs_is_refused(host: FakeHost, pb: PixelBoy) -> None:
    with pytest.raises(errors.NotSendable, match="argument 1 is text, not the contents of a file"):
        pb.ri(Path("cat.png"))  # type: ignore[arg-type]
    assert host.frames(frames.Request) == []


def test_replies_byte_by_byte(host: FakeHost, connect: Callable[..., PixelBoy]) -> None:
    host.dribble = True
    pb = connect()
    assert pb.echo("x" * 500).value == "x" * 500
    assert len(pb.ops()) == 4


def test_the_session_ends_with_goodbye_and_leaves_no_record(host: FakeHost, connect: Callable[..., PixelBoy]) -> None:
    with connect() as pb:
        pb.ss("a", "b")
        assert len(host.clients) == 1
    assert host.clients == {}
    with pytest.raises(errors.Closed):
        pb.ss("a", "b")


def test_closing_waits_for_what_was_submitted(host: FakeHost, connect: Callable[..., PixelBoy]) -> None:
    with connect() as pb:
        pending = [pb.submit("ss", "n", "x") for _ in range(500)]
    assert all(each.done() for each in pending)
    assert len(host.files["n"]) == 500


def test_a_client_that_nobody_holds_says_goodbye(host: FakeHost) -> None:
    import gc

    pb = PixelBoy("127.0.0.1", host.port)
    pb.ss("a", "b")
    del pb
    gc.collect()
    host.wait_for(lambda: host.clients == {})


def test_results_keep_their_client_alive(host: FakeHost) -> None:
    host.files["big"] = bytes(200_000)
    blob = PixelBoy("127.0.0.1", host.port).get("big")
    assert len(blob.read()) == 200_000
    pending = PixelBoy("127.0.0.1", host.port).submit("echo", 1)
    assert pending.result().value == 1


def test_ping_takes_time(pb: PixelBoy) -> None:
    assert 0 < pb.ping() < 5


def test_the_host_can_come_from_the_environment(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXELBOY_HOST", f"127.0.0.1:{host.port}")
    with PixelBoy() as pb:
        assert pb.host == f"127.0.0.1:{host.port}"


def test_the_name_is_shown_to_the_device_and_cut_where_it_must_be(host: FakeHost, connect: Callable[..., PixelBoy]) -> None:
    connect(name="ä" * 40)
    assert host.frames(frames.Hello)[-1].name == "ä" * 32
