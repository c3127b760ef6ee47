"""A call under way.

Invariant: it always ends, with a reply or an error, at the latest when its time has run out (`_patience`).
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

from ._reply import Reply

if TYPE_CHECKING:
    from ._job import Job
    from ._session import Session


class Pending(Future[Reply]):
    """What `PixelBoy.submit` returns: a `concurrent.futures.Future` of a `Reply`.

    `result()` waits for as long as the call's own time-out allows, and raises what went wrong. Works with
    `concurrent.futures.wait`, `as_completed` and `asyncio.wrap_future`.
    """

    def __init__(self, job: Job, session: Session) -> None:
        super().__init__()
        self._job = job
        self._session = session
        self.keeps: object = None  # the client object lives as long as a call of it is waited for

    @property
    def op(self) -> str:
        """The opcode."""
        return self._job.op

    @property
    def number(self) -> int | None:
        """Its number once it was sent; the device's log shows the same."""
        return self._job.number

    def result(self, timeout: float | None = None) -> Reply:
        """The reply. With `timeout` in seconds it stops waiting earlier (`concurrent.futures.TimeoutError`), and the call goes on."""
        self._session.refuse_inside_callback(self)
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What went wrong, or None."""
        self._session.refuse_inside_callback(self)
        return super().exception(timeout)

    def cancel(self) -> bool:
        """True where it was not sent yet: it never will be.

        Otherwise the device is asked to drop it: the result is the error `Cancelled`, or the reply where it was too late.
        """
        return self._session.cancel(self)

    def cancel_future(self) -> None:
        """For the session: end as cancelled."""
        super().cancel()
        self.set_running_or_notify_cancel()

    def session_again(self, job: Job, timeout: float | None) -> Pending:
        """For errors: wait on for the same operation."""
        return self._session.again(job, timeout)

    def __repr__(self) -> str:
        number = f" #{self.number}" if self.number is not None else ""
        state = "waiting" if not self.done() else "cancelled" if self.cancelled() else "done"
        return f"<Pending {self.op}{number}, {state}>"
