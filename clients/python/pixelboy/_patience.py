"""When a call has been waited for long enough.

Invariant: every call ends by its time-out, which begins anew whenever something before it moves: an answer to a lower number, a
call of the queue that was sent, a chunk of an upload. Not here: what giving up does (`_requests`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

from ._job import Job
from ._queue import Queue
from ._transfer import DONE, Sending, Transfers

_FAR_SECONDS = 3600.0


class Patience:
    """Called under the guard."""

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers
        self._answers: deque[tuple[int, float]] = deque()  # (number, time), both rising

    def answered(self, number: int, lowest: int) -> None:
        """Remember when an answer came: it shows that calls with higher numbers are waited for with reason."""
        answers = self._answers
        while answers and answers[-1][0] >= number:
            answers.pop()
        answers.append((number, time.monotonic()))
        while len(answers) > 1 and answers[1][0] < lowest:
            answers.popleft()

    def forget(self) -> None:
        """Numbers begin anew."""
        self._answers.clear()

    def look(self, queue: Queue, sent: Iterable[Job], now: float) -> tuple[list[Job], float]:
        """The calls whose time has run out, and when to look again."""
        late, due = [], now + _FAR_SECONDS
        before = queue.moved_at
        for job in [*queue, *sent]:
            if job.number is None:
                own = [self._transfers.moved_at(upload) for upload in job.uploads if upload.state != DONE]
                moved = min(own) if own else before
                before = max(before, *own) if own else before  # the calls behind it wait for its uploads too
            else:
                moved = self._lower_answered_at(job.number)
            if job.pending is not None:
                until = max(moved, job.waiting_since) + job.timeout
                if until <= now:
                    late.append(job)
                else:
                    due = min(due, until)
        return late, due

    def _lower_answered_at(self, this: int) -> float:
        """When a call with a lower number was last answered."""
        last = 0.0
        for number, when in self._answers:
            if number >= this:
                break
            last = when
        return last


def stalled(upload: Sending, seconds: float, why: str) -> str:
    """What is known of an upload that does not move."""
    return (
        f"the upload of {upload.source.name} did not move for {seconds:g} s, {upload.done_bytes} of "
        f"{upload.source.length} bytes are there{why}"
    )
