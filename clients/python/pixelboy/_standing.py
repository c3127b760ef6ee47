"""How it stands with the device: connected, in trouble, over.

Invariant: once over, always over, and every call says why. Not here: what is done about it (`_session`).
"""

from __future__ import annotations

import concurrent.futures
import threading
from concurrent.futures import Future
from typing import TypeVar

from ._connection import READY, Connection
from .errors import Closed, GaveUp, PixelBoyError

T = TypeVar("T")


class Standing:
    """Shared by the parts of a session. Under the guard, except `waited` and `refuse_inside_callback`."""

    def __init__(self, connection: Connection) -> None:
        self.trouble: PixelBoyError | None = None  # why there is no connection
        self.over: PixelBoyError | None = None  # why there will be none
        self.closing = False
        self._connection = connection

    def refuse_when_over(self) -> None:
        """Raise why nothing can be asked any more."""
        if self.over is not None:
            raise type(self.over)(*self.over.args) from self.over
        if self.closing:
            raise Closed("this PixelBoy was closed; make a new one")

    def why(self) -> str:
        """For messages: why there is no connection, where there is none."""
        if self._connection.phase == READY:
            return ""
        return f" ({self.trouble})" if self.trouble is not None else " (no connection)"

    def on_own_thread(self) -> bool:
        """Whether this is the connection's thread, which must not wait for itself."""
        return threading.current_thread() is self._connection.thread

    def waited(self, future: Future[T], seconds: float) -> T:
        """The result of something the device was asked."""
        if self.on_own_thread():
            raise RuntimeError("a callback of a Pending must not wait for the device")
        try:
            return future.result(seconds)
        except concurrent.futures.TimeoutError:
            if future.done():
                raise
            text = f"no answer from {self._connection.address} in {seconds:g} s{self.why()}"
            raise GaveUp(text, sent=False) from None


def checked_seconds(seconds: float) -> float:
    """A time to wait: positive and finite, so that nothing waits for ever."""
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not 0 < seconds < 1e9:
        raise ValueError(f"timeout: expected a number of seconds above 0, got {seconds!r}; nothing here waits for ever")
    return float(seconds)
