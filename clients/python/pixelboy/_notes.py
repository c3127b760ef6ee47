"""Frames that must not leave before the state file knows of them.

Invariant: frames leave in order; one that tells of a request or a confirmation leaves when the note of it is on the disk. Without a
state file they leave at once. A thread of its own writes, so that a slow disk holds nothing else up and many calls share one sync.
A file that cannot be written ends the client: what was not sent yet never will be.
"""

from __future__ import annotations

import threading
from typing import Callable

from . import _frames as frames
from ._connection import Connection
from ._guard import Guard
from ._state import State
from .errors import PixelBoyError, StateUnusable


class Notes:
    """Between the requests and the connection. Called under the guard, except `finish`."""

    def __init__(self, guard: Guard, state: State, connection: Connection, failed: Callable[[PixelBoyError], object]) -> None:
        self.written_through = 0  # requests up to here are in the file
        self._guard = guard
        self._state = state
        self._connection = connection
        self._failed = failed
        self._changed = guard.condition()
        self._new: list[frames.Frame] = []
        self._waiting: list[frames.Frame] = []
        self._writing = False
        self._over = False
        self._thread: threading.Thread | None = None

    def send(self, frame: frames.Frame) -> None:
        """Send it, when what it tells is written."""
        if not self._writing and not self._new and not self._state.has_notes():
            self._connection.send(frame)
        else:
            self._new.append(frame)
            self.wake()

    def wake(self) -> None:
        """Something is to be written."""
        if self._state.kept and self._thread is None and not self._over:
            self._thread = threading.Thread(target=self._run, name="pixelboy state", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def lost(self) -> None:
        """The connection broke: everything is made anew for the next."""
        self._new.clear()
        self._waiting.clear()

    def finish(self, seconds: float) -> None:
        """Write the last notes."""
        with self._guard:
            if self._state.has_notes():
                self.wake()
            self._over = True
            self._changed.notify_all()
        if self._thread is not None and threading.current_thread() is not self._thread:
            self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._guard:
                while not self._state.has_notes():
                    for frame in self._new:
                        self._connection.send(frame)
                    self._new.clear()
                    if self._over:
                        return
                    self._changed.wait()
                notes, through, client = self._state.notes(), self._state.next_number - 1, self._state.client
                self._waiting, self._new = self._new, []
                self._writing = True
            failure: PixelBoyError | None = None
            try:
                self._state.write(notes)
            except StateUnusable as error:
                failure = error
            except Exception as error:  # a bug here must not leave callers waiting
                failure = StateUnusable(f"the state file cannot be written: {error!r}")
            with self._guard:
                self._writing = False
                if failure is not None:
                    self._over = True
                    self._failed(failure)
                    return
                if client == self._state.client:
                    self.written_through = through
                for frame in self._waiting:
                    self._connection.send(frame)
                self._waiting.clear()
