"""The file that takes the bytes of a download until all have come: `NAME.part` beside it.

Invariant: it belongs to one program at a time, as two that add to it would spoil it; it gets its name when all of it is on the disk.
Not here: fetching and checking (`_blob`). What an attempt that failed has got stays for the next one.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO

from ._lock import Taken, lock
from .errors import PixelBoyError

_READ_BYTES = 1 << 20


class Part:
    """Open from the beginning until `close`."""

    def __init__(self, target: Path) -> None:
        self.digest = hashlib.sha256()  # of what is in it
        self._target = target
        self._path = target.with_name(target.name + ".part")
        self.file = self._opened()

    def _opened(self) -> IO[bytes]:
        while True:
            file = open(os.open(str(self._path), os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b")
            try:
                lock(file)
            except Taken:
                file.close()
                raise PixelBoyError(f"{self._target}: another program is fetching to it now") from None
            except BaseException:
                file.close()
                raise
            # Who had it before may just have finished, and given the file its name.
            if self._path.exists():
                return file
            file.close()

    def hashed(self) -> int:
        """How much is there of an earlier attempt; `digest` has it then, and what is written goes behind it."""
        done = 0
        while data := self.file.read(_READ_BYTES):
            self.digest.update(data)
            done += len(data)
        return done

    def empty(self) -> None:
        """Begin anew."""
        self.file.seek(0)
        self.file.truncate()
        self.digest = hashlib.sha256()

    def finish(self) -> None:
        """All is there: give the file its name."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()  # Windows renames no open file
        os.replace(self._path, self._target)

    def close(self) -> None:
        """Done, or given up."""
        if self.file.closed:
            return
        self.file.flush()
        if os.fstat(self.file.fileno()).st_size == 0 and os.name != "nt":
            self._path.unlink(missing_ok=True)
        self.file.close()
