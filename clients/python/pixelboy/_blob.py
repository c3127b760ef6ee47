"""Bytes that the device keeps until they are read.

Invariant: what `read` and `save` give is complete and its SHA-256 is checked, however often the connection broke on the way;
`save` never leaves half a file under the asked name. Not here: how bytes travel (`_transfer`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional

from ._part import Part
from .errors import BlobGone, DigestMismatch

Progress = Callable[[int, int], object]
# (offset to begin at, seconds without progress, what to tell the SHA-256 of the whole) -> the chunks from there to the end
Chunks = Callable[[int, Optional[float], Callable[[bytes], object]], Iterator[bytes]]


class Blob:
    """Bytes on the device, or already here where they are few.

    `read()` fetches them, `save(path)` writes them to a file; `len(blob)`, `bytes(blob)`, `blob.sha256` work too.
    """

    def __init__(
        self,
        length: int,
        sha256: bytes | None,
        chunks: Chunks,
        again: Callable[[], Blob] | None = None,
    ) -> None:
        self._length = length
        self.sha256 = sha256
        self._chunks = chunks
        self._again = again
        self._kept: bytes | None = None
        self.keeps: object = None  # the client object lives as long as a blob of it

    @staticmethod
    def inline(data: bytes) -> Blob:
        """Of bytes that came with the reply."""
        blob = Blob(len(data), hashlib.sha256(data).digest(), lambda offset, timeout, tell: iter([data[offset:]]))
        blob._kept = data
        return blob

    def read(self, *, timeout: float | None = None, progress: Progress | None = None) -> bytes:
        """All bytes. They are kept, so that a second `read` costs nothing. `timeout`: seconds without progress."""
        if self._kept is None:
            parts: list[bytes] = []
            for chunk in self._checked(timeout, progress):
                parts.append(chunk)
            self._kept = b"".join(parts)
        return self._kept

    def text(self) -> str:
        """All bytes, as UTF-8 text."""
        return self.read().decode("utf-8")

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Path:
        """Write them to a file, which is replaced in one step when all are there. Needs no memory in proportion.

        What an attempt that failed has got stays in `PATH.part`, and the next one goes on from there.
        """
        target = Path(path)
        part = Part(target)
        try:
            done = self._skip(part)
            while True:
                try:
                    for chunk in self._checked(timeout, progress, part.digest, done):
                        part.file.write(chunk)
                    break
                except DigestMismatch:
                    part.empty()
                    if not done:
                        raise
                    done = 0  # the part was of other bytes
            part.finish()
        finally:
            part.close()
        return target

    def _skip(self, part: Part) -> int:
        done = part.hashed()
        if done > self._length:
            part.empty()
            return 0
        return done

    def _checked(
        self, timeout: float | None, progress: Progress | None, digest: Any = None, done: int = 0
    ) -> Iterator[bytes]:
        """The bytes from `done` on; `digest` has those before."""
        digest = digest or hashlib.sha256()
        if self._kept is not None:
            rest = self._kept[done:]
            digest.update(rest)
            if digest.digest() != self.sha256:
                raise DigestMismatch("what was there already is something else")
            yield rest
            return
        chunks = self._chunks
        announced: list[bytes] = [] if self.sha256 is None else [self.sha256]
        renewed = False
        while True:
            try:
                for chunk in chunks(done, timeout, announced.append):
                    digest.update(chunk)
                    done += len(chunk)
                    renewed = False
                    yield chunk
                    if progress is not None:
                        progress(done, self._length)
                break
            except BlobGone:
                # The device forgot the blob (it restarted, say): where asking again is harmless, go on with the same bytes.
                # The SHA-256 at the end tells whether they were.
                if self._again is None or renewed:
                    raise
                fresh = self._again()
                if len(fresh) != self._length or (self.sha256 is not None and fresh.sha256 not in (None, self.sha256)):
                    raise
                chunks, renewed = fresh._chunks, True
        if any(digest.digest() != sha256 for sha256 in announced):
            raise DigestMismatch("what was fetched is not what the device announced; fetch it again")

    def __bytes__(self) -> bytes:
        return self.read()

    def __len__(self) -> int:
        return self._length

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Blob):
            return self is other or self.read() == other.read()
        if isinstance(other, (bytes, bytearray, memoryview)):
            return self._length == len(other) and self.read() == bytes(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Blob of {self._length} bytes>"
