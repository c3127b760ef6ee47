"""Calls that were not sent yet, in the order of `submit`.

Invariant: bounded, in calls and in bytes; who submits more waits, and not for ever. Not here: when they are sent (`_requests`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from ._guard import Guard
from ._job import Job
from ._standing import Standing
from .errors import GaveUp

QUEUE_CALLS = 4_096
QUEUE_BYTES = 16 << 20


class Queue:
    """Called under the guard."""

    def __init__(self, guard: Guard, standing: Standing) -> None:
        self.moved_at = time.monotonic()
        self._standing = standing
        self._changed = guard.condition()
        self._jobs: deque[Job] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs))

    def first(self) -> Job | None:
        """Whose turn it is."""
        return self._jobs[0] if self._jobs else None

    def add(self, job: Job) -> None:
        """At the end."""
        self._jobs.append(job)
        self._bytes += job.size

    def remove(self, job: Job) -> None:
        """It is sent, or was given up."""
        self._jobs.remove(job)
        self._bytes -= job.size

    def moved(self) -> None:
        """There is reason to go on waiting."""
        self.moved_at = time.monotonic()
        self._changed.notify_all()

    def wait_for_room(self, job: Job) -> None:
        """Until there is room for one more. Gives the guard up meanwhile."""
        if self._standing.on_own_thread():
            return  # a callback must not wait
        until = time.monotonic() + job.timeout
        moved = self.moved_at
        while len(self._jobs) >= QUEUE_CALLS or self._bytes + job.size > max(QUEUE_BYTES, job.size):
            self._standing.refuse_when_over()
            if self.moved_at != moved:
                moved = self.moved_at
                until = time.monotonic() + job.timeout
            left = until - time.monotonic()
            if left <= 0:
                text = f"{job.op} was not sent: {len(self._jobs)} calls before it do not move{self._standing.why()}"
                raise GaveUp(text, sent=False)
            self._changed.wait(min(left, 1.0))
