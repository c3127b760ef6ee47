"""Uploads and downloads: going on after a break, checks, progress, limits."""

from __future__ import annotations

import io
import os
import random
import threading
import time
from pathlib import Path
from typing import Any, Callable

import pytest
from fakehost import FakeHost, Peer

from pixelboy import PixelBoy, errors
from pixelboy import _frames as frames

CHUNK = 65_536


def test_files_bytes_and_open_files_arrive_whole(host: FakeHost, pb: PixelBoy, tmp_path: Path) -> None:
    for size in (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 262_144, 262_145, 1_000_000):
        data = random.Random(size).randbytes(size)
        path = tmp_path / "file"
        path.write_bytes(data)
        with path.open("rb") as file:
            for source in (path, str(path), file, io.BytesIO(data), data, bytearray(data), memoryview(data)):
                pb.si(source, "p")
                assert host.files["p"] == data


def test_small_bytes_travel_in_the_call_and_large_ones_as_upload(host: FakeHost, pb: PixelBoy) -> None:
    pb.si(b"x" * 16_384, "p")
    pb.ss("t", "ä" * 8_192)
    assert host.frames(frames.OpenUpload) == []
    pb.si(b"x" * 16_385, "p")
    pb.ss("t", "ä" * 8_193, "w")
    assert len(host.frames(frames.OpenUpload)) == 2
    assert host.files["t"].decode() == "ä" * 8_193


def test_an_open_file_is_sent_from_where_it_stands_and_stays_open(host: FakeHost, pb: PixelBoy) -> None:
    file = io.BytesIO(b"headerbody")
    file.seek(6)
    pb.si(file, "p")
    assert host.files["p"] == b"body"
    assert not file.closed


def test_a_pipe_is_sent_too(host: FakeHost, pb: PixelBoy) -> None:
    inner, outer = os.pipe()
    data = os.urandom(300_000)

    def fill() -> None:
        with os.fdopen(outer, "wb") as file:
            file.write(data)

    threading.Thread(target=fill).start()
    with os.fdopen(inner, "rb") as file:
        pb.si(file, "p")
    assert host.files["p"] == data


def test_what_is_no_file_is_refused_at_once(host: FakeHost, pb: PixelBoy, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pb.si(tmp_path / "none", "p")
    with pytest.raises(errors.NotSendable, match='open it with open'):
        pb.si(io.StringIO("x"), "p")
    with pytest.raises(IsADirectoryError if os.name != "nt" else PermissionError):
        pb.si(tmp_path, "p")
    assert host.frames(frames.Request) == []


@pytest.mark.parametrize("cut", [1, 2, 5, 15])
def test_an_upload_goes_on_where_the_device_has_it(host: FakeHost, pb: PixelBoy, cut: int) -> None:
    data = os.urandom(CHUNK * 16 + 5)
    seen = [0]

    def intercept(peer: Peer, frame: frames.Frame) -> bool:
        if isinstance(frame, frames.Data):
            seen[0] += 1
            if seen[0] == cut:
                peer.cut()
                return True
        return False

    host.intercept = intercept
    pb.si(data, "p")
    assert host.files["p"] == data
    opened = host.frames(frames.OpenUpload)
    assert len(opened) == 2 and opened[0].transfer == opened[1].transfer
    after = [frame.offset for index, frame in host.log if isinstance(frame, frames.Data) and index == 1]
    assert after[0] == (cut - 1) * CHUNK


def test_an_upload_whose_end_was_lost_is_found_complete(host: FakeHost, pb: PixelBoy) -> None:
    data = os.urandom(100_000)
    original = Peer.send

    def send(peer: Peer, frame: frames.Frame) -> None:
        if isinstance(frame, frames.Finished) and peer.index == 0:
            peer.cut()
        else:
            original(peer, frame)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Peer, "send", send)
        pb.si(data, "p")
    assert host.files["p"] == data
    assert len(host.frames(frames.Finish)) == 1


def test_little_credit_is_enough(host: FakeHost, pb: PixelBoy) -> None:
    host.credit_bytes = 1000
    data = os.urandom(50_000)
    pb.si(data, "p")
    assert host.files["p"] == data


def test_a_file_that_changes_while_it_is_sent_is_noticed(host: FakeHost, pb: PixelBoy, tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(bytes(CHUNK * 40))
    seen = [0]

    def intercept(peer: Peer, frame: frames.Frame) -> bool:
        if isinstance(frame, frames.Data):
            seen[0] += 1
            if seen[0] == 2:
                with path.open("r+b") as file:  # without making it shorter on the way
                    file.write(b"\1" * CHUNK * 40)
                peer.host.clients[peer.client].uploads.clear()  # so that the beginning is asked for again
                peer.cut()
                return True
        return False

    host.intercept = intercept
    with pytest.raises(errors.DigestMismatch, match="changed while it was sent"):
        pb.si(path, "p")
    assert host.ran == []


def test_a_file_that_becomes_shorter_is_an_error_and_the_part_is_dropped(host: FakeHost, pb: PixelBoy, tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(bytes(CHUNK * 40))

    def intercept(peer: Peer, frame: frames.Frame) -> bool:
        if isinstance(frame, frames.Data) and frame.offset == 0:
            path.write_bytes(b"short")
        return False

    host.intercept = intercept
    with pytest.raises(errors.NotSendable, match="became shorter"):
        pb.si(path, "p")
    host.wait_for(lambda: host.frames(frames.Abort))
    assert pb.ls()


def test_a_full_disk_is_told_and_later_calls_go_on(host: FakeHost, pb: PixelBoy) -> None:
    def intercept(peer: Peer, frame: frames.Frame) -> bool:
        if isinstance(frame, frames.OpenUpload):
            peer.send(frames.Abort(frame.transfer, 8, "the disk is full"))
            return True
        return False

    host.intercept = intercept
    refused = pb.submit("si", bytes(50_000), "p")
    later = pb.submit("ss", "a", "b")
    with pytest.raises(errors.NoSpace, match="the disk is full"):
        refused.result()
    assert later.result().stored


def test_an_upload_that_does_not_move_ends_with_what_is_known(host: FakeHost, connect: Callable[..., PixelBoy]) -> None:
    pb = connect(timeout=0.4)
    host.intercept = lambda peer, frame: isinstance(frame, frames.Finish) or (isinstance(frame, frames.Data) and frame.offset > 0)
    with pytest.raises(errors.GaveUp, match="65536 of 200000 bytes are there; nothing happened") as given_up:
        pb.si(bytes(200_000), "p")
    assert not given_up.value.sent
    host.intercept = lambda peer, frame: False
    assert pb.ls()


def test_a_slow_upload_is_not_given_up_while_it_moves(host: FakeHost, connect: Callable[..., PixelBoy]) -> None:
    pb = connect(timeout=0.4)
    original = host._data

    def slow(peer: Peer, frame: frames.Data) -> None:
        time.sleep(0.1)
        original(peer, frame)

    host._data = slow  # type: ignore[method-assign]
    data = os.urandom(CHUNK * 10)
    after = []
    pending = pb.submit("si", data, "p")
    after = [pb.submit("ls") for _ in range(3)]  # these wait for the upload before them
    pending.result()
    for each in after:
        each.result()
    assert host.files["p"] == data


def test_progress_is_told_to_the_end(host: FakeHost, pb: PixelBoy) -> None:
    told: list[tuple[int, int]] = []
    pb.si(bytes(5_000_000), "p", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (5_000_000, 5_000_000)
    assert told == sorted(told) and len(told) > 3
    told.clear()
    host.files["big"] = os.urandom(500_000)
    pb.get("big", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (500_000, 500_000)


def test_a_progress_function_that_raises_stops_the_upload(host: FakeHost, pb: PixelBoy) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        pb.si(bytes(500_000), "p", progress=stop)
    host.wait_for(lambda: host.frames(frames.Abort))
    assert host.ran == []


def test_an_upload_ahead_can_be_named_in_a_call(host: FakeHost, pb: PixelBoy, tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(os.urandom(100_000))
    upload = pb.upload(path)
    pb.si(upload, "p")
    assert host.files["p"] == path.read_bytes()
    with pytest.raises(errors.UploadConsumed):
        pb.si(upload, "q")


def test_the_parts_of_a_refused_call_are_dropped(host: FakeHost, pb: PixelBoy) -> None:
    host.run = lambda peer, request: frames.Failed(6, "no picture")  # type: ignore[method-assign]
    with pytest.raises(errors.UnsupportedMedia):
        pb.si(bytes(100_000), "p")
    host.wait_for(lambda: next(iter(host.clients.values())).uploads == {})


def test_calls_go_before_the_next_chunk(host: FakeHost, pb: PixelBoy) -> None:
    pending = pb.call("keep", bytes(200_000), "warm up") and pb.submit("si", os.urandom(20_000_000), "p")
    host.wait_for(lambda: len(host.frames(frames.Data)) > 10)
    before = pb.ping()
    assert not pending.done() or before < 0.5
    pending.result()


def test_several_uploads_in_one_call(host: FakeHost, pb: PixelBoy) -> None:
    host.run = lambda peer, request: frames.Done([len(host.clients[peer.client].uploads)])  # type: ignore[method-assign]
    assert pb.echo([io.BytesIO(bytes(1000)) for _ in range(70)]).value == 70


# --- downloads ---


def test_a_blob_reads_saves_and_compares(host: FakeHost, pb: PixelBoy, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    host.files["big"], host.files["small"], host.files["empty"] = data, b"hello", b""
    blob = pb.get("big")
    assert len(blob) == len(data)
    assert blob.save(tmp_path / "here").read_bytes() == data
    assert bytes(blob) == data and blob == data
    assert pb.get("small").text() == "hello"
    assert pb.get("empty").read() == b""
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


@pytest.mark.parametrize("cut", [1, 4, 20])
def test_a_download_goes_on_after_a_break(host: FakeHost, pb: PixelBoy, cut: int) -> None:
    data = os.urandom(CHUNK * 20 + 7)
    host.files["big"] = data
    sent = [0]

    def send_chunk(peer: Peer, chunk: frames.Data) -> None:
        sent[0] += 1
        if sent[0] == cut:
            peer.cut()
        peer.send(chunk)

    host.send_chunk = send_chunk  # type: ignore[method-assign]
    assert pb.get("big").read() == data
    opened = host.frames(frames.OpenDownload)
    assert len(opened) == 2 and opened[0].offset == 0 and opened[1].offset % CHUNK == 0


def test_damaged_chunks_are_fetched_again_but_not_for_ever(host: FakeHost, pb: PixelBoy, tmp_path: Path) -> None:
    data = os.urandom(CHUNK * 4)
    host.files["big"] = data
    damage = [1]

    def send_chunk(peer: Peer, chunk: frames.Data) -> None:
        if damage[0] and chunk.offset == CHUNK:
            damage[0] -= 1
            chunk.chunk = b"\0" + chunk.chunk[1:]
        peer.send(chunk)

    host.send_chunk = send_chunk  # type: ignore[method-assign]
    assert pb.get("big").read() == data
    damage[0] = 100
    with pytest.raises(errors.ProtocolError, match="damaged again and again"):
        pb.get("big").save(tmp_path / "big")
    assert (tmp_path / "big.part").read_bytes() == data[:CHUNK], "what came intact stays for the next attempt"
    damage[0] = 0
    assert pb.get("big").read() == data


def test_a_saved_file_goes_on_from_the_part_of_an_earlier_attempt(host: FakeHost, pb: PixelBoy, tmp_path: Path) -> None:
    data = os.urandom(CHUNK * 6)
    host.files["big"] = data
    (tmp_path / "big.part").write_bytes(data[:100_000])
    told: list[int] = []
    assert pb.get("big").save(tmp_path / "big", progress=lambda done, total: told.append(done)).read_bytes() == data
    assert host.frames(frames.OpenDownload)[-1].offset == 100_000 and told[-1] == len(data)
    for spoilt in (os.urandom(70_000), data + b"more", b"x" * len(data)):
        (tmp_path / "big.part").write_bytes(spoilt)
        assert pb.get("big").save(tmp_path / "big").read_bytes() == data
    host.files["small"] = b"small"
    for part in (b"sm", b"la", b"small and more"):
        (tmp_path / "small.part").write_bytes(part)
        assert pb.get("small").save(tmp_path / "small").read_bytes() == b"small"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big", "small"]


def test_two_that_save_under_one_name_at_once_do_not_spoil_it(host: FakeHost, pb: PixelBoy, tmp_path: Path) -> None:
    data = os.urandom(CHUNK * 6)
    host.files["big"] = data
    first, second = pb.get("big"), pb.get("big")

    def progress(done: int, total: int) -> None:
        with pytest.raises(errors.PixelBoyError, match="another program is fetching to it now"):
            second.save(tmp_path / "big")

    assert first.save(tmp_path / "big", progress=progress).read_bytes() == data
    assert second.save(tmp_path / "big").read_bytes() == data


def test_bytes_that_are_not_what_was_announced_are_refused(host: FakeHost, pb: PixelBoy, tmp_path: Path) -> None:
    host.files["big"] = bytes(100_000)
    blob = pb.get("big")
    host.blobs = {number: b"\1" * 100_000 for number in host.blobs}
    with pytest.raises(errors.DigestMismatch):
        blob.save(tmp_path / "big")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_the_device_forgot_to_hold_is_asked_for_again(host: FakeHost, pb: PixelBoy) -> None:
    data = os.urandom(CHUNK * 20)
    host.files["big"] = data
    blob = pb.get("big")

    def send_chunk(peer: Peer, chunk: frames.Data) -> None:
        if chunk.offset == CHUNK * 10 and peer.index == 0:
            host.blobs.clear()  # the device restarts
            peer.cut()
        peer.send(chunk)

    host.send_chunk = send_chunk  # type: ignore[method-assign]
    assert blob.read() == data
    assert [op for _, op, _ in host.ran] == ["get", "get"]


def test_a_file_that_was_replaced_meanwhile_is_an_error(host: FakeHost, pb: PixelBoy) -> None:
    host.files["big"] = bytes(100_000)
    blob = pb.get("big")
    host.blobs.clear()
    host.files["big"] = b"\1" * 100_000
    with pytest.raises(errors.BlobGone):
        blob.read()


def test_a_blob_of_another_call_that_is_gone_says_so(host: FakeHost, pb: PixelBoy) -> None:
    host.run = lambda peer, request: frames.Done([host.blob(bytes(100_000))])  # type: ignore[method-assign]
    blob = pb.echo(1).value
    host.blobs.clear()
    with pytest.raises(errors.BlobGone):
        blob.read()


def test_a_download_that_stalls_is_given_up(host: FakeHost, connect: Callable[..., PixelBoy]) -> None:
    pb = connect(timeout=0.4)
    host.files["big"] = bytes(200_000)
    host.send_chunk = lambda peer, chunk: peer.send(chunk) if chunk.offset == 0 else time.sleep(3)  # type: ignore[method-assign,func-returns-value]
    with pytest.raises(errors.GaveUp, match="65536 of 200000 are here"):
        pb.get("big").read()


def test_a_download_needs_no_memory_in_proportion(host: FakeHost, pb: PixelBoy, tmp_path: Path) -> None:
    host.files["big"] = bytes(20_000_000)
    blob = pb.get("big")
    ahead: list[int] = []
    original = host.send_chunk
    reader = [0]

    def send_chunk(peer: Peer, chunk: frames.Data) -> None:
        ahead.append(chunk.offset + len(chunk.chunk) - reader[0])
        original(peer, chunk)

    host.send_chunk = send_chunk  # type: ignore[method-assign]

    def progress(done: int, total: int) -> Any:
        reader[0] = done
        time.sleep(0.0005)

    blob.save(tmp_path / "big", progress=progress)
    assert max(ahead) <= (1 << 20) + CHUNK
