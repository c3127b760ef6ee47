"""What is asked besides calls: how far the device is, and its opcode table.

Invariant: a question that a break interrupted is asked again on the next connection; whoever asks waits for its time-out at most.
The table is asked for only when it may have changed.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from functools import partial
from typing import Any

from . import _frames as frames
from ._connection import Connection
from ._guard import Guard
from ._standing import Standing
from ._table import Assembly, OpTable
from .errors import PixelBoyError


class Questions:
    """`ping` and `table` are called without the guard, the rest under it."""

    def __init__(self, guard: Guard, connection: Connection, standing: Standing) -> None:
        self.known: OpTable | None = None  # the table as last seen
        self._guard = guard
        self._connection = connection
        self._standing = standing
        self._pings: dict[int, tuple[Future[float], float]] = {}
        self._token = 0
        self._digest: bytes | None = None
        self._parts = Assembly()
        self._waiters: list[Future[OpTable]] = []

    def ping(self, seconds: float) -> float:
        """Seconds to the device and back."""
        future: Future[float] = Future()
        with self._guard:
            self._standing.refuse_when_over()
            self._token += 1
            token = self._token
            self._pings[token] = (future, time.monotonic())
            self._connection.send(frames.Ping(token))
        try:
            return self._standing.waited(future, seconds)
        finally:
            with self._guard:
                self._pings.pop(token, None)

    def table(self, seconds: float, fresh: bool) -> OpTable:
        """The opcode table."""
        future: Future[OpTable] = Future()
        with self._guard:
            self._standing.refuse_when_over()
            if self.known is not None and not fresh and self.known.digest == self._digest:
                return self.known
            self._waiters.append(future)
            if len(self._waiters) == 1:
                self._connection.send(frames.GetTable())
        try:
            return self._standing.waited(future, seconds)
        finally:
            with self._guard:
                if future in self._waiters:
                    self._waiters.remove(future)

    def awaited(self) -> bool:
        """Whether an answer is waited for."""
        return bool(self._pings or self._waiters)

    def welcomed(self, digest: bytes) -> None:
        """Ask again."""
        self._digest = digest
        if self._waiters:
            self._parts = Assembly()
            self._connection.send(frames.GetTable())
        for token in self._pings:
            self._connection.send(frames.Ping(token))

    def received(self, frame: frames.Frame) -> bool:
        """Take an answer."""
        if isinstance(frame, frames.Pong):
            waiting = self._pings.pop(frame.token, None)
            if waiting is not None:
                future, since = waiting
                self._guard.later(partial(future.set_result, time.monotonic() - since))
        elif isinstance(frame, frames.Table):
            table = self._parts.add(frame)
            if table is not None:
                self.known, self._digest = table, table.digest
                for waiter in self._waiters:
                    if not waiter.done():
                        self._guard.later(partial(waiter.set_result, table))
                self._waiters.clear()
        elif isinstance(frame, frames.TableChanged):
            self._digest = frame.digest
        else:
            return False
        return True

    def ended(self, error: PixelBoyError) -> None:
        """There will be no answer."""
        waiters: list[Future[Any]] = [future for future, _ in self._pings.values()]
        for future in waiters + self._waiters:
            if not future.done():
                self._guard.later(partial(future.set_exception, error))
