"""Where the bytes of an upload come from: memory or a file, read from any offset so that an upload can go on.

Invariant: the length is known before the first byte is sent, and a file that changes meanwhile is noticed (`_transfer`
compares the SHA-256). What cannot be read from an offset (a pipe) is copied to a temporary file first.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import tempfile
import threading
from typing import IO

from .errors import NotSendable

_READ_BYTES = 1 << 20


class Source:
    """Bytes with a length, a name for messages, and whether it is ours to close."""

    def __init__(self, file: IO[bytes], length: int, start: int, name: str, ours: bool) -> None:
        self.length = length
        self.name = name
        self._file = file
        self._start = start
        self._ours = ours
        self._lock = threading.Lock()

    def read(self, offset: int, size: int) -> bytes:
        """Exactly so many bytes; a file that has become shorter is an error."""
        with self._lock:
            self._file.seek(self._start + offset)
            data = self._file.read(size)
            while data and len(data) < size:  # an unbuffered file may give less
                more = self._file.read(size - len(data))
                if not more:
                    break
                data += more
        if len(data) != size:
            raise NotSendable(f"{self.name} became shorter while it was sent; nothing was stored, send it again")
        return data

    def sha256(self) -> bytes:
        """Of all of it."""
        digest = hashlib.sha256()
        for offset in range(0, self.length, _READ_BYTES):
            digest.update(self.read(offset, min(_READ_BYTES, self.length - offset)))
        return digest.digest()

    def close(self) -> None:
        """Close the file, if it was opened here."""
        if self._ours:
            self._file.close()


def of_bytes(data: bytes | bytearray | memoryview, name: str) -> Source:
    """From memory. A bytearray or memoryview is copied, as its owner may change it."""
    data = bytes(data)
    return Source(io.BytesIO(data), len(data), 0, name, True)


def of_path(path: str | os.PathLike[str]) -> Source:
    """From a file by its path; the usual errors of `open` when it is not there."""
    name = os.fspath(path)
    file = open(name, "rb")
    try:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return _spooled(file, name, close=True)
        return Source(file, status.st_size, 0, name, True)
    except BaseException:
        file.close()
        raise


def of_file(file: IO[bytes]) -> Source:
    """From an open binary file, from where it stands to its end. It stays open."""
    name = str(getattr(file, "name", "the file"))
    if isinstance(file, io.TextIOBase):
        raise NotSendable(f'{name} is open as text; open it with open(path, "rb")')
    try:
        start = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(start)
    except (OSError, AttributeError):
        return _spooled(file, name, close=False)
    return Source(file, max(0, end - start), start, name, False)


def is_file(value: object) -> bool:
    """Whether it can be read like an open file."""
    return callable(getattr(value, "read", None))


def of(value: object, name: str | None = None) -> Source:
    """From a path, an open file, or bytes; text is sent as UTF-8."""
    if isinstance(value, os.PathLike):
        return of_path(value)
    if isinstance(value, str):
        return of_bytes(value.encode("utf-8"), name or "the text")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return of_bytes(value, name or "the bytes")
    if is_file(value):
        file: IO[bytes] = value  # type: ignore[assignment]
        return of_file(file)
    raise NotSendable(f"a {type(value).__name__} cannot be uploaded; give a pathlib.Path, an open binary file, or bytes")


def _spooled(file: IO[bytes], name: str, *, close: bool) -> Source:
    spool = tempfile.TemporaryFile()
    try:
        shutil.copyfileobj(file, spool, _READ_BYTES)
        if close:
            file.close()
        return Source(spool, spool.tell(), 0, name, True)
    except BaseException:
        spool.close()
        raise
