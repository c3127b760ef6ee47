"""Calls from `submit` to their final reply: numbers, order, window, sending again, giving up. *Exactly once* on this side.

Invariant: requests leave in the order of `submit`, each under its number with the same bytes however often it is sent; a reply is
confirmed only after it was noted; every call ends by its time-out. Results are handed over after the guard is released.
Not here: sockets (`_connection`), bytes of transfers (`_transfer`), Python's arguments (`_arguments`).
When the device no longer knows the client, what was sent is unknown for good, and what was not goes on under a new id.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Callable

from . import _frames as frames
from ._blob import Blob
from ._connection import READY, Connection
from ._guard import Guard
from ._job import Job
from ._notes import Notes
from ._patience import Patience, stalled
from ._pending import Pending
from ._queue import Queue
from ._reply import Reply
from ._settings import Settings
from ._standing import Standing
from ._state import State
from ._transfer import DONE, Sending, Transfers
from ._values import BlobRef, encode_arguments
from ._window import Window, reply_bytes
from .errors import Failure, Forgotten, GaveUp, NotSendable, NumberReused, OutcomeUnknown, PixelBoyError


class Requests:
    """Called under the guard."""

    def __init__(
        self,
        guard: Guard,
        state: State,
        standing: Standing,
        connection: Connection,
        transfers: Transfers,
        notes: Notes,
        blob: Callable[[BlobRef], Blob],
    ) -> None:
        self.queue = Queue(guard, standing)
        self.changed = guard.condition()
        self._guard = guard
        self._state = state
        self._standing = standing
        self._connection = connection
        self._transfers = transfers
        self._notes = notes
        self._blob = blob
        self._window = Window()
        self._patience = Patience(transfers)
        self._settings = Settings()
        self._sent: dict[int, Job] = {}  # without a final reply, in the order of their numbers
        self._sent_bytes = 0

    # --- for callers ---

    def take_over(self, job: Job) -> None:
        """What an earlier run sent and got no answer to."""
        assert job.number is not None
        self._sent[job.number] = job
        self._sent_bytes += job.size
        self._notes.written_through = max(self._notes.written_through, job.number)

    def submit(self, job: Job) -> None:
        """Its arguments are final; uploads among them begin at once."""
        self.queue.add(job)
        for upload in job.uploads:
            self._transfers.start(upload)
        self.advance()

    def cancel(self, job: Job, pending: Pending) -> bool:
        """See `Pending.cancel`."""
        if job.pending is not pending or pending.done():
            return False
        if job.number is None:
            self._unqueue(job)
            job.pending = None
            self._guard.later(pending.cancel_future)
            self.advance()
            return True
        job.cancelling = True
        self._notes.send(frames.Cancel(job.number))
        return False

    def again(self, job: Job, pending: Pending, timeout: float) -> None:
        """Wait on for a call that was given up; it keeps its number."""
        if job.outcome is not None:
            self._hand_over(pending, job.outcome)
        elif self._standing.over is not None:
            self._hand_over(pending, self._unknown(job, self._standing.over))
        else:
            job.timeout, job.waiting_since = timeout, time.monotonic()
            job.begin_by = None
            job.pending = pending
            pending.set_running_or_notify_cancel()

    def under_way(self) -> bool:
        """Whether somebody waits for a call."""
        return len(self.queue) > 0 or any(job.pending is not None for job in self._sent.values())

    def awaited(self) -> bool:
        """Whether an answer is to come, waited for or not."""
        return bool(self._sent or len(self.queue))

    # --- for the session ---

    def lowest(self) -> int:
        """The smallest number without a reply, or the next one."""
        return next(iter(self._sent), self._state.next_number)

    def welcomed(self, welcome: frames.Welcome) -> None:
        """Send what has no reply again."""
        if not welcome.resumed:
            self._settings.began_anew()
        confirm = self._window.connected(welcome.received_through, self.lowest())
        if confirm is not None:
            self._notes.send(confirm)
        now = time.monotonic()
        for job in list(self._sent.values()):
            self._send(job, now)
            if job.cancelling and job.number is not None:
                self._notes.send(frames.Cancel(job.number))

    def lost(self) -> None:
        """Requests stay, to be sent again."""
        self._notes.lost()
        self.changed.notify_all()

    def ended(self, error: PixelBoyError) -> None:
        """There will be no further connection."""
        for job in self.queue:
            self._unqueue(job)
            self._settle(job, error)
        for number, job in list(self._sent.items()):
            if self._state.kept and number > self._notes.written_through:
                # It waited for the state file, and was never sent; the next run must not send it.
                self._state.answered(number)
                self._settle(job, error)
            elif job.pending is not None:
                self._settle(job, self._unknown(job, error), final=False)
        self._notes.lost()
        self.changed.notify_all()

    def renew(self, why: str) -> None:
        """Take a new client id."""
        for job in self._sent.values():
            text = f"{job.op}: outcome unknown, it may or may not have happened: {why}; look (ls, stat, status) before doing it again"
            self._settle(job, Forgotten(text))
            for upload in job.uploads:
                upload.source.close()
        self._sent.clear()
        self._sent_bytes = 0
        self._window.forget()
        self._patience.forget()
        self._settings.renumbered()
        self._notes.lost()
        self._notes.written_through = 0
        self._state.renew()
        self._transfers.renewed()
        for job in self.queue:
            for upload in job.uploads:
                if upload.state == DONE:
                    self._transfers.start(upload)

    def advance(self) -> None:
        """Number and send what may be sent now."""
        if self._connection.phase != READY:
            return
        for own in self._settings.due(self._sent.values(), self._connection.limits.session_grace_ms / 1000.0):
            self._number_and_send(own)
        moved = False
        while (job := self.queue.first()) is not None and self._connection.phase == READY and self._has_turn(job):
            self._unqueue(job, keep_uploads=True)
            moved = True
            try:
                job.encode(self._state.client, self._connection.limits, final=True)
            except Exception as error:
                self._settle(job, error if isinstance(error, PixelBoyError) else NotSendable(f"{job.op}: {error}"))
                continue
            self._number_and_send(job)
        if moved:
            self.queue.moved()
            self.changed.notify_all()

    def replied(self, reply: frames.Reply) -> bool:
        """A reply has come. Whether it shows that the client id is not this client's alone."""
        job = self._sent.get(reply.number)
        if job is None:
            return False
        outcome = reply.outcome
        if isinstance(outcome, frames.Failed) and outcome.code == frames.OUTCOME_UNKNOWN:
            self._not_final(job, outcome.message or "it may or may not be on the device's disk")
            return False
        del self._sent[reply.number]
        self._sent_bytes -= job.size
        self._patience.answered(reply.number, self.lowest())
        if isinstance(outcome, frames.Done):
            self._settings.done(job, reply.recorded)
            self._settle(job, Reply(job.op, outcome.values, reply.stored, reply.recorded, self._blob))
        else:
            for upload in job.uploads:
                self._transfers.dropped(upload)
            self._settle(job, Failure.of(outcome.code, outcome.message, outcome.details))
        for upload in job.uploads:
            upload.source.close()
        if isinstance(job.outcome, NumberReused):
            return True
        self._state.answered(reply.number)
        if self._state.kept:
            self._notes.wake()
        self._window.answered(reply.number, reply_bytes(outcome), self.lowest())
        if self._window.is_filling(self._connection.limits):
            self.confirm()
        self.queue.moved()
        self.advance()
        if job.op == "cc" and isinstance(outcome, frames.Done) and not reply.recorded:
            self._connection.closing = True
        self.changed.notify_all()
        return False

    def confirm(self) -> None:
        """Tell the device which replies have come."""
        confirm = self._window.confirmation(self.lowest())
        if confirm is not None:
            self._notes.send(confirm)

    def say_cc(self) -> None:
        """End the session. Nobody waits for the reply."""
        own = Job.of_client("cc", encode_arguments((), {}, self._connection.limits), 1.0)
        self._number_and_send(own)

    def upload_settled(self, upload: Sending) -> None:
        """An upload is complete, or failed."""
        if upload.state != DONE and upload.error is not None:
            for job in self.queue:
                if upload in job.uploads:
                    error = upload.error
                    self._unqueue(job)
                    self._settle(job, error)
        self.queue.moved()
        if self._standing.over is None:
            self.advance()

    def tick(self, now: float) -> float:
        """End the calls whose time has run out. When to come again."""
        late, due = self._patience.look(self.queue, self._sent.values(), now)
        for job in late:
            self._give_up(job)
        return due

    # --- inside ---

    def _has_turn(self, job: Job) -> bool:
        limits = self._connection.limits
        return (
            all(upload.state == DONE for upload in job.uploads)
            and len(self._sent) + len(self._window) < limits.window_operations
            and not (self._sent and self._sent_bytes + job.size > limits.window_bytes)
        )

    def _number_and_send(self, job: Job) -> None:
        now = time.monotonic()
        job.args, job.kwargs = (), {}
        job.waiting_since = now
        job.begin_by = None if job.deadline is None else now + job.deadline
        job.number = self._state.request(job.to_keep(now) if self._state.kept else None)
        if job.pending is not None:
            job.pending.set_running_or_notify_cancel()
        self._sent[job.number] = job
        self._sent_bytes += job.size
        self._send(job, now)

    def _send(self, job: Job, now: float) -> None:
        assert job.number is not None and job.arguments is not None
        through = self._window.through(self.lowest())
        self._notes.send(frames.Request(job.number, through, job.deadline_ms(now), job.op, job.arguments))
        self._window.sent(job.number, through)

    def _not_final(self, job: Job, text: str) -> None:
        """It keeps its number, and is asked for again on the next connection."""
        if job.pending is not None:
            text = f"{job.op}: outcome unknown: {text}; safe to send again with this client, by again() of this error"
            self._settle(job, OutcomeUnknown(text, self._asking_on(job)), final=False)

    def _give_up(self, job: Job) -> None:
        why = self._standing.why()
        if job.number is None:
            stuck = [upload for upload in job.uploads if upload.state != DONE]
            text = stalled(stuck[0], job.timeout, why) if stuck else f"not sent within {job.timeout:g} s{why}"
            self._unqueue(job)
            self._settle(job, GaveUp(f"{job.op}: {text}; nothing happened, it can be called again", sent=False))
            self.advance()
            return
        job.cancelling = True
        self._state.given_up(job.number)
        self._notes.send(frames.Cancel(job.number))
        text = (
            f"{job.op}: outcome unknown: no answer in {job.timeout:g} s{why}; it may or may not have happened; "
            "safe to send again with this client: again() of this error asks on for the same call, which never runs twice"
        )
        self._settle(job, GaveUp(text, True, self._asking_on(job)), final=False)

    def _asking_on(self, job: Job) -> Callable[[float | None], Pending]:
        assert job.pending is not None
        return partial(job.pending.session_again, job)

    def _unknown(self, job: Job, error: PixelBoyError) -> PixelBoyError:
        later = "; the next run with the same state file asks for it again" if self._state.kept else ""
        unknown = OutcomeUnknown(f"{job.op}: outcome unknown, it may or may not have happened: {error}{later}")
        unknown.__cause__ = error
        return unknown

    def _unqueue(self, job: Job, keep_uploads: bool = False) -> None:
        self.queue.remove(job)
        if not keep_uploads:
            for upload in job.uploads:
                if upload.over:
                    self._transfers.dropped(upload)
                else:
                    self._transfers.abort(upload)
                upload.source.close()

    def _settle(self, job: Job, outcome: Reply | PixelBoyError | BaseException, final: bool = True) -> None:
        if final and isinstance(outcome, (Reply, PixelBoyError)):
            job.outcome = outcome
        pending, job.pending = job.pending, None
        if pending is not None:
            self._hand_over(pending, outcome)

    def _hand_over(self, pending: Pending, outcome: Reply | BaseException) -> None:
        if isinstance(outcome, Reply):
            self._guard.later(partial(pending.set_result, outcome))
        else:
            self._guard.later(partial(pending.set_exception, outcome))
