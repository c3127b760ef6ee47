"""An exclusive lock on a file, which the system drops when this program ends, however it ends.

Not here: what it keeps others from (`_state_file`, `_part`).
"""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import IO, Any


class Taken(Exception):
    """Another program has the lock."""


class Lock:
    """Held from the beginning until `release`."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] | None = open(path, "ab")
        try:
            lock(self._file)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let another program have it."""
        if self._file is not None:
            self._file.close()
            self._file = None


def lock(file: IO[bytes]) -> None:
    """Lock an open file for as long as it is open, or raise `Taken`."""
    try:
        _lock(file)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            raise Taken from None
        raise


def _lock(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        import msvcrt

        file.seek(0)
        locking: Any = msvcrt.locking
        locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
