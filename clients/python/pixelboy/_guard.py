"""The one lock of a PixelBoy, and what must happen after it is released.

Invariant: no code of the user (a callback of a future, a progress function) runs while the lock is held.
Not here: what the lock guards (`_session` and its parts).
"""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Callable

_LOG = logging.getLogger("pixelboy")


class Guard:
    """`with guard:` holds the lock; functions given to `later` run when it has been released, in order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._later: list[Callable[[], object]] = []

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        later, self._later = self._later, []
        self._lock.release()
        try:
            while later:
                try:
                    later.pop(0)()
                except Exception:
                    _LOG.exception("a callback failed")
        finally:
            if later:  # interrupted by the keyboard: whoever comes next goes on
                with self._lock:
                    self._later[:0] = later

    def later(self, function: Callable[[], object]) -> None:
        """Run this after the lock is released. To be called with the lock held."""
        self._later.append(function)

    def condition(self) -> threading.Condition:
        """A condition on this lock. To be waited for inside `with guard:`, never on the socket's thread."""
        return threading.Condition(self._lock)
