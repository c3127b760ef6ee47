"""Uploads and downloads: chunks, credit, checksums, and going on after a break.

Invariant: no byte beyond the credit is sent, no chunk is accepted unchecked, and memory holds a few chunks whatever the size.
Each upload has a thread that reads and hashes ahead; a download is read by whoever wants its bytes. Frames are sent and
received by the connection, under the guard. Not here: which request waits for an upload (`_requests`).
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Callable

from . import _frames as frames
from ._blob import Progress
from ._connection import READY, Connection
from ._crc32c import crc32c
from ._guard import Guard
from ._source import Source
from ._state import State
from .errors import BlobGone, DigestMismatch, Failure, GaveUp, NumberReused, PixelBoyError, ProtocolError

_CHUNKS_AHEAD = 4
_UPLOADS_AT_ONCE = 4
_DOWNLOAD_WINDOW_BYTES = 1 << 20
_BAD_CHUNKS = 3

NEW, OPENING, SENDING, FINISHING, TELLING, DONE, FAILED = (
    "new", "opening", "sending", "finishing", "telling", "done", "failed",
)  # fmt: skip


class Sending:
    """One upload. `number` is its transfer once it was opened; `moved_at` is when it last got further."""

    def __init__(self, source: Source, progress: Progress | None, guard: Guard) -> None:
        self.source = source
        self.progress = progress
        self.number = 0
        self.state = NEW
        self.error: BaseException | None = None
        self.moved_at = time.monotonic()
        self.done_bytes = 0
        self.sha256: bytes | None = None
        # The device's side of it:
        self.epoch = 0  # counts how often it was opened; what was read for an earlier one is dropped
        self.position = 0  # of the next chunk to read
        self.limit = 0
        self.window = 0
        self.ready: deque[bytes] = deque()
        self.changed = guard.condition()
        self.feeder: threading.Thread | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will happen with it."""
        return self.state in (DONE, FAILED)


class Receiving:
    """One download under way."""

    def __init__(self, blob: int, position: int, guard: Guard) -> None:
        self.blob = blob
        self.number = 0
        self.position = position  # of the next chunk that the reader takes
        self.expected = position  # of the next chunk to arrive
        self.limit = 0
        self.chunks: deque[frames.Data] = deque()
        self.finish: frames.Finish | None = None
        self.opened: frames.Opened | None = None
        self.error: BaseException | None = None
        self.moved_at = time.monotonic()
        self.changed = guard.condition()


class Transfers:
    """All transfers of a session. Methods are called under the guard, except `receive` and what begins with `_feed`."""

    def __init__(self, guard: Guard, state: State, settled: Callable[[Sending], None]) -> None:
        self.connection: Connection  # set by the session, right after both exist
        self._guard = guard
        self._state = state
        self._settled = settled
        self._waiting: deque[Sending] = deque()
        self._active: list[Sending] = []
        self._uploads: dict[int, Sending] = {}
        self._downloads: dict[int, Receiving] = {}

    # --- uploads ---

    def start(self, upload: Sending) -> None:
        """Begin it as soon as there is room; several go side by side."""
        upload.state, upload.number, upload.error, upload.done_bytes = NEW, 0, None, 0
        upload.moved_at = time.monotonic()
        self._waiting.append(upload)
        self._fill()

    def abort(self, upload: Sending) -> None:
        """Give it up; the device drops its part."""
        known = upload.number and upload.state != NEW
        self._end(upload, FAILED)
        if known:
            self.connection.send(frames.Abort(upload.number, frames.CANCELLED, "not wanted any more"))

    def dropped(self, upload: Sending) -> None:
        """The request that named it has failed: the device may drop it now."""
        if upload.state == DONE and upload.number:
            self.connection.send(frames.Abort(upload.number, frames.CANCELLED, "its request failed"))

    def _fill(self) -> None:
        while self._waiting and len(self._active) < _UPLOADS_AT_ONCE:
            upload = self._waiting.popleft()
            if upload.state == FAILED:
                continue
            self._active.append(upload)
            upload.moved_at = time.monotonic()
            upload.feeder = threading.Thread(target=self._feed, args=(upload,), name="pixelboy upload", daemon=True)
            upload.feeder.start()

    def _open(self, upload: Sending) -> None:
        if self.connection.phase != READY:
            return
        if not upload.number:
            upload.number = self._state.transfer()
            self._uploads[upload.number] = upload
        upload.epoch += 1
        upload.ready.clear()
        upload.state = OPENING
        self.connection.send(frames.OpenUpload(upload.number, upload.source.length, upload.sha256, 0))

    def _end(self, upload: Sending, state: str, error: BaseException | None = None) -> None:
        upload.state = state
        upload.error = error
        upload.ready.clear()
        upload.changed.notify_all()
        if upload in self._active:
            self._active.remove(upload)
        self._uploads.pop(upload.number, None)
        self._settled(upload)
        self._fill()

    def _feed(self, upload: Sending) -> None:
        """The upload's thread: reads, hashes and checks chunks while there is credit and room."""
        try:
            if self._state.kept and upload.sha256 is None:
                # With the digest at the beginning, the part that an earlier run sent is taken over.
                upload.sha256 = upload.source.sha256()
            self._feed_chunks(upload)
        except BaseException as error:  # of the file, or of the user's progress function
            with self._guard:
                if not upload.over:
                    known = upload.number
                    self._end(upload, FAILED, error)
                    if known:
                        self.connection.send(frames.Abort(known, frames.CANCELLED, "the client could not go on reading"))

    def _feed_chunks(self, upload: Sending) -> None:
        source, length = upload.source, upload.source.length
        digest = hashlib.sha256()
        hashed = told = 0
        me = threading.current_thread()

        def hash_to(end: int) -> None:
            # What the device has of an earlier run was not read in this one.
            nonlocal hashed
            while hashed < end:
                gap = source.read(hashed, min(1 << 20, end - hashed))
                digest.update(gap)
                hashed += len(gap)

        with self._guard:
            if upload.state == NEW:
                self._open(upload)
        while True:
            with self._guard:
                while True:
                    if upload.over or upload.feeder is not me:
                        return
                    done, last = upload.done_bytes, upload.state == TELLING
                    readable, finishable = self._readable(upload), self._finishable(upload)
                    if readable or finishable or last or done != told:
                        break
                    upload.changed.wait()
                epoch, position = upload.epoch, upload.position
                size = min(self.connection.limits.chunk_bytes, upload.limit - position, length - position)
            if done != told and upload.progress is not None:
                upload.progress(done, length)
            told = done
            if last:
                with self._guard:
                    if upload.state == TELLING:
                        self._end(upload, DONE)
            elif readable:
                chunk = source.read(position, size)
                hash_to(position)
                if hashed < position + size:
                    digest.update(chunk[hashed - position :])
                    hashed = position + size
                frame = frames.Data(upload.number, position, crc32c(chunk), chunk).encode()
                with self._guard:
                    if upload.epoch == epoch and upload.state == SENDING:
                        upload.ready.append(frame)
                        upload.position = position + size
                        self.connection.flush()
            elif finishable:
                hash_to(length)
                with self._guard:
                    if upload.epoch == epoch and self._finishable(upload):
                        upload.state = FINISHING
                        self.connection.send(frames.Finish(upload.number, length, digest.digest()))

    @staticmethod
    def _readable(upload: Sending) -> bool:
        return (
            upload.state == SENDING
            and len(upload.ready) < _CHUNKS_AHEAD
            and upload.position < min(upload.limit, upload.source.length)
        )

    @staticmethod
    def _finishable(upload: Sending) -> bool:
        return upload.state == SENDING and upload.position >= upload.source.length and not upload.ready

    def chunk(self) -> bytes | None:
        """The next chunk to send, the uploads in turn."""
        for index, upload in enumerate(self._active):
            if upload.ready and upload.state == SENDING:
                self._active.append(self._active.pop(index))
                upload.changed.notify_all()
                return upload.ready.popleft()
        return None

    # --- downloads ---

    def receive(
        self, blob: int, length: int, offset: int, seconds: float, tell: Callable[[bytes], object]
    ) -> Iterator[bytes]:
        """The bytes of a blob from `offset`; waits at most `seconds` without progress. `tell` gets the SHA-256 of the whole."""
        download = Receiving(blob, offset, self._guard)
        bad = 0
        with self._guard:
            self._open_download(download)
        try:
            while True:
                with self._guard:
                    self._await(download, seconds, length)
                    if not download.chunks:
                        finish = download.finish
                        assert finish is not None
                        break
                    data = download.chunks.popleft()
                    download.position += len(data.chunk)
                if crc32c(data.chunk) != data.crc32c:
                    bad += 1
                    if bad >= _BAD_CHUNKS:
                        text = "chunks arrive damaged again and again; the network or a memory is faulty"
                        raise ProtocolError(text, frames.BAD_CHUNK)
                    with self._guard:
                        download.position = data.offset
                        download.chunks.clear()
                        download.finish = None
                        self._downloads.setdefault(download.number, download)
                        self.connection.fail(frames.BAD_CHUNK, "a chunk does not fit its checksum")
                    continue
                yield data.chunk
                with self._guard:
                    limit = download.position + _DOWNLOAD_WINDOW_BYTES
                    if download.number and download.limit < length and limit >= download.limit + _DOWNLOAD_WINDOW_BYTES // 4:
                        download.limit = limit
                        self.connection.send(frames.Credit(download.number, limit))
            if finish.length != length or download.position != length:
                raise ProtocolError(f"the device announced {length} bytes and sent {download.position}")
            tell(finish.sha256)
        finally:
            with self._guard:
                if self._downloads.pop(download.number, None) is not None and download.finish is None:
                    self.connection.send(frames.Abort(download.number, frames.CANCELLED, "not wanted any more"))

    def _await(self, download: Receiving, seconds: float, length: int) -> None:
        while not download.chunks and download.finish is None:
            if download.error is not None:
                raise download.error
            left = download.moved_at + seconds - time.monotonic()
            if left <= 0:
                raise GaveUp(
                    f"no byte came from {self.connection.address} for {seconds:g} s, {download.position} of {length} are here; "
                    "reading again goes on where it is possible",
                    sent=False,
                )
            download.changed.wait(left)

    def _open_download(self, download: Receiving) -> None:
        if self.connection.phase != READY:
            self._downloads[-id(download)] = download  # until there is a connection
            download.number = -id(download)
            return
        download.number = self._state.transfer()
        self._downloads[download.number] = download
        download.chunks.clear()
        download.finish = download.opened = None
        download.expected = download.position
        download.limit = download.position + _DOWNLOAD_WINDOW_BYTES
        self.connection.send(frames.OpenDownload(download.number, download.blob, download.position, download.limit))

    def moved_at(self, upload: Sending) -> float:
        """When it last got further; one that waits for its turn moves with those before it."""
        if upload in self._active:
            return upload.moved_at
        return max([upload.moved_at, *(active.moved_at for active in self._active)])

    def moving(self) -> bool:
        """Whether something is under way."""
        return bool(self._active or self._downloads)

    # --- what the connection tells ---

    def welcomed(self) -> None:
        """Open everything again; the device says from where to go on."""
        for upload in list(self._active):
            if upload.sha256 is not None or not self._state.kept:
                self._open(upload)
        downloads, self._downloads = list(self._downloads.values()), {}
        for download in downloads:
            if download.error is None and download.finish is None:
                self._open_download(download)

    def lost(self) -> None:
        """What is on the way is lost; nothing is sent until the next greeting."""
        for upload in self._active:
            upload.epoch += 1
            upload.ready.clear()
            if upload.state != NEW:
                upload.state = OPENING

    def renewed(self) -> None:
        """The client has a new id: uploads begin anew under new numbers, and blobs of the old one are gone."""
        self._uploads.clear()
        for upload in self._active:
            upload.number = 0
        for download in self._downloads.values():
            download.error = BlobGone("the device does not know this client any more, nor its blobs", code=BlobGone.code)
            download.changed.notify_all()

    def ended(self, error: PixelBoyError) -> None:
        """No further connection."""
        for upload in [*self._active, *self._waiting]:
            self._end(upload, FAILED, error)
        for download in self._downloads.values():
            download.error = error
            download.changed.notify_all()

    def received(self, frame: frames.Frame) -> bool:
        """Take a frame that is about a transfer."""
        if isinstance(frame, frames.Data):
            self._data(frame)
        elif isinstance(frame, frames.Credit):
            upload = self._uploads.get(frame.transfer)
            if upload is not None and frame.limit > upload.limit:
                upload.limit = frame.limit
                self._done(upload, frame.limit - upload.window)
        elif isinstance(frame, frames.Durable):
            upload = self._uploads.get(frame.transfer)
            if upload is not None:
                self._done(upload, frame.offset)
        elif isinstance(frame, frames.Opened):
            self._opened(frame)
        elif isinstance(frame, frames.Finished):
            upload = self._uploads.get(frame.transfer)
            if upload is not None:
                self._complete(upload)
        elif isinstance(frame, frames.Finish):
            download = self._downloads.get(frame.transfer)
            if download is not None:
                download.finish = frame
                self._moved(download)
        elif isinstance(frame, frames.Abort):
            self._aborted(frame)
        else:
            return False
        return True

    @staticmethod
    def _moved(transfer: Sending | Receiving) -> None:
        transfer.moved_at = time.monotonic()
        transfer.changed.notify_all()

    def _done(self, upload: Sending, offset: int) -> None:
        upload.done_bytes = max(upload.done_bytes, min(offset, upload.source.length))
        self._moved(upload)

    def _complete(self, upload: Sending) -> None:
        upload.done_bytes = upload.source.length
        if upload.progress is None:
            self._end(upload, DONE)
        else:
            upload.state = TELLING  # the progress function hears of the last byte before the call goes on
            self._moved(upload)

    def _data(self, frame: frames.Data) -> None:
        download = self._downloads.get(frame.transfer)
        if download is None:
            return  # it crossed our abort
        end = frame.offset + len(frame.chunk)
        if frame.offset != download.expected or end > download.limit or not frame.chunk:
            self.connection.fail(frames.BAD_CHUNK, f"a chunk at {frame.offset}, expected at {download.expected} below {download.limit}")
            return
        download.expected = end
        download.chunks.append(frame)
        self._moved(download)

    def _opened(self, frame: frames.Opened) -> None:
        download = self._downloads.get(frame.transfer)
        if download is not None:
            download.opened = frame
            self._moved(download)
            return
        upload = self._uploads.get(frame.transfer)
        if upload is None or upload.state != OPENING:
            return
        if isinstance(frame.state, frames.At):
            if frame.state.offset > upload.source.length:
                self._end(upload, FAILED, ProtocolError(f"the device asks for byte {frame.state.offset} of {upload.source.length}"))
                return
            upload.state = SENDING
            upload.position, upload.limit = frame.state.offset, frame.state.limit
            upload.window = frame.state.limit - frame.state.offset
            self._done(upload, frame.state.offset)
        elif isinstance(frame.state, frames.Complete):
            self._complete(upload)
        else:
            self._anew(upload)  # an earlier request has used it

    def _aborted(self, frame: frames.Abort) -> None:
        download = self._downloads.get(frame.transfer)
        if download is not None:
            del self._downloads[frame.transfer]
            download.error = Failure.of(frame.code, frame.message)
            self._moved(download)
            return
        upload = self._uploads.get(frame.transfer)
        if upload is None:
            return
        error = Failure.of(frame.code, frame.message or "the device gave the upload up")
        if isinstance(error, NumberReused):
            self._anew(upload)
            return
        if isinstance(error, DigestMismatch):
            error = DigestMismatch(f"{upload.source.name} changed while it was sent; nothing was stored, send it again")
        self._end(upload, FAILED, error)

    def _anew(self, upload: Sending) -> None:
        self._uploads.pop(upload.number, None)
        upload.number = 0
        self._open(upload)


def uploads_in(tree: object) -> list[Sending]:
    """The uploads inside arguments."""
    if isinstance(tree, Sending):
        return [tree]
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, (list, tuple)):
        return [upload for inner in tree for upload in uploads_in(inner)]
    return []


__all__: tuple[str, ...] = ("Receiving", "Sending", "Transfers", "uploads_in")
