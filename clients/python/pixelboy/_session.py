"""The session: puts the parts of a client together, and tells each what the connection tells.

Invariant: all of it is under the guard; results are handed over after that is released. Once the connection is over, everything
that waits ends with the reason. Not here: what calls, transfers and questions are (`_requests`, `_transfer`, `_questions`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, Callable

from . import _frames as frames
from ._blob import Blob, Progress
from ._calls import Calls
from ._connection import READY, Connection
from ._guard import Guard
from ._job import Job, Upload
from ._notes import Notes
from ._patience import stalled
from ._pending import Pending
from ._questions import Questions
from ._requests import Requests
from ._source import Source
from ._standing import Standing, checked_seconds
from ._state import State
from ._table import OpTable
from ._transfer import Sending, Transfers
from ._values import BlobRef
from .errors import Closed, GaveUp, NotSendable, PixelBoyError, Unreachable

_LOG = logging.getLogger("pixelboy")
_LOG.addHandler(logging.NullHandler())

GOODBYE_SECONDS = 3.0


class Session:
    """The owner of a connection."""

    def __init__(self, host: str, port: int, name: str, timeout: float, state: State) -> None:
        self.guard = Guard()
        self.timeout = timeout
        self.state = state
        self.name = name
        self.connection = Connection(host, port, self.guard, self)
        self.standing = Standing(self.connection)
        self.transfers = Transfers(self.guard, state, lambda upload: self.requests.upload_settled(upload))
        self.calls = Calls(self.guard, self.blob)
        self.transfers.connection = self.calls.connection = self.connection
        self.notes = Notes(self.guard, state, self.connection, self.connection.end)
        self.requests = Requests(self.guard, state, self.standing, self.connection, self.transfers, self.notes, self.blob)
        self.questions = Questions(self.guard, self.connection, self.standing)
        self.keeper: Callable[[], object] = lambda: None  # the client object, which must live while its results are in use
        self._changed = self.requests.changed
        self._abandoned = False
        self._renewing = False
        self.carried_over: list[Pending] = []
        for number, kept in state.unanswered.items():
            job = Job.of_earlier_run(number, kept, timeout)
            job.pending = Pending(job, self)
            self.carried_over.append(job.pending)
            self.requests.take_over(job)

    # --- for the client object, without the guard ---

    def start(self) -> None:
        """Connect; raises what prevents the first connection."""
        self.connection.thread.start()
        with self.guard:
            until = time.monotonic() + self.timeout
            standing = self.standing
            while self.connection.phase != READY and standing.over is None and standing.trouble is None:
                left = until - time.monotonic()
                if left <= 0:
                    standing.trouble = Unreachable(f"no answer from {self.connection.address} in {self.timeout:g} s")
                    break
                self._changed.wait(left)
            if self.connection.phase == READY:
                self.connection.due_at(time.monotonic() + self.timeout)
                return
            error = standing.over or standing.trouble or Unreachable(f"no connection to {self.connection.address}")
            self.connection.end(error)
        self.notes.finish(GOODBYE_SECONDS)
        self.state.close()
        raise error

    def submit(
        self,
        op: str,
        args: Sequence[object],
        kwargs: dict[str, object],
        timeout: float | None = None,
    ) -> Pending:
        """Put a call in the queue."""
        seconds = self._seconds(timeout)
        # The device gives up a little earlier than the caller, so that the caller hears that nothing happened.
        deadline = None if timeout is None else max(0.001, seconds - min(0.5, seconds / 10))
        job = Job(op, args, kwargs, seconds, deadline)
        limits = self.connection.limits
        size = len(job.encode(self.state.client, limits, final=False)) + len(op) + 64
        if size > limits.frame_bytes:
            raise NotSendable(
                f"the arguments of {op} take {size} bytes, at most {limits.frame_bytes} travel in a call; "
                "send them in several, or upload what is large"
            )
        job.size = size
        job.pending = pending = Pending(job, self)
        pending.keeps = self.keeper()
        with self.guard:
            self.requests.queue.wait_for_room(job)
            self.standing.refuse_when_over()
            self.requests.submit(job)
            self.connection.due_at(time.monotonic() + job.timeout)
        return pending

    def upload(self, source: Source, progress: Progress | None, timeout: float | None) -> Upload:
        """Upload and wait for it."""
        seconds = self._seconds(timeout)
        upload = Sending(source, progress, self.guard)
        try:
            with self.guard:
                self.standing.refuse_when_over()
                self.transfers.start(upload)
                while not upload.over:
                    left = upload.moved_at + seconds - time.monotonic()
                    if left <= 0:
                        self.transfers.abort(upload)
                        raise GaveUp(stalled(upload, seconds, self.standing.why()), sent=False)
                    upload.changed.wait(left)
                if upload.error is not None:
                    raise upload.error
                return Upload(upload.number, source.length, self.state.client)
        finally:
            source.close()

    def cancel(self, pending: Pending) -> bool:
        """See `Pending.cancel`."""
        with self.guard:
            return self.requests.cancel(pending._job, pending)

    def again(self, job: Job, timeout: float | None) -> Pending:
        """Wait on for a call that was given up."""
        seconds = self._seconds(timeout)
        pending = Pending(job, self)
        with self.guard:
            self.requests.again(job, pending, seconds)
            self.connection.due_at(time.monotonic() + seconds)
        return pending

    def ping(self, timeout: float | None) -> float:
        """Seconds to the device and back."""
        return self.questions.ping(self._seconds(timeout))

    def table(self, timeout: float | None = None, fresh: bool = False) -> OpTable:
        """The opcode table."""
        return self.questions.table(self._seconds(timeout), fresh)

    def blob(self, ref: BlobRef) -> Blob:
        """Something to read what a reply refers to."""

        def chunks(offset: int, timeout: float | None, tell: Callable[[bytes], object]) -> Any:
            seconds = self._seconds(timeout)
            with self.guard:
                self.standing.refuse_when_over()
            return self.transfers.receive(ref.id, ref.length, offset, seconds, tell)

        blob = Blob(ref.length, ref.sha256, chunks)
        blob.keeps = self.keeper()
        return blob

    def refuse_inside_callback(self, pending: Pending) -> None:
        """Waiting on the connection's own thread would wait for ever."""
        if self.standing.on_own_thread() and not pending.done():
            raise RuntimeError("a callback of a Pending must not wait for another call; give that one a callback too")

    def close(self, wait_seconds: float | None, goodbye_seconds: float = GOODBYE_SECONDS) -> None:
        """End: wait for what is under way (None: as long as its deadlines allow), say goodbye, stop the threads."""
        until = float("inf") if wait_seconds is None else time.monotonic() + wait_seconds
        with self.guard:
            self.standing.closing = True
            while self.standing.over is None and self.requests.under_way() and time.monotonic() < until:
                self._changed.wait(min(1.0, max(0.01, until - time.monotonic())))
            if self.standing.over is None:
                self._say_goodbye()
                until = time.monotonic() + goodbye_seconds
                while self.standing.over is None and self.connection.phase == READY and time.monotonic() < until:
                    self._changed.wait(max(0.01, until - time.monotonic()))
                self.connection.end(Closed("this PixelBoy was closed"))
        if threading.current_thread() is not self.connection.thread:
            self.connection.thread.join(goodbye_seconds)
        self.notes.finish(goodbye_seconds)
        self.state.close()

    def abandon(self) -> None:
        """Nobody has the client object any more. Takes no lock: this may be called while it is held, by the garbage collector."""
        self._abandoned = True
        self.connection.due_now()

    # --- for the connection, under the guard ---

    def hello(self) -> frames.Hello:
        """With the lowest number that has no reply yet."""
        return frames.Hello(1, 1, self.state.client, self.name, self.state.store, self.requests.lowest(), 0)

    def welcomed(self, welcome: frames.Welcome) -> None:
        """Compare memories, then send what is due."""
        state = self.state
        if state.store is not None and welcome.store != state.store:
            self._connect_as_another("the device has another data folder than before")
            return
        if state.next_number <= welcome.received_through:
            self._connect_as_another("the device knows more of this client than its state: is it a copy, or an old one?")
            return
        state.met(welcome.store)
        _LOG.debug("connected to %s, %s", self.connection.address, welcome.host)
        self.standing.trouble = None
        self.calls.welcomed(welcome.resumed)
        self.requests.welcomed(welcome)
        self.questions.welcomed(welcome.table)
        self.transfers.welcomed()
        self.requests.advance()
        self._changed.notify_all()

    def received(self, frame: frames.Frame) -> None:
        """One frame from the device."""
        if isinstance(frame, frames.Reply):
            if self.requests.replied(frame):
                self._connect_as_another("another program uses the same client id")
        elif not self.questions.received(frame) and not self.transfers.received(frame):
            self.calls.received(frame)

    def forgotten(self) -> None:
        """A new id, then."""
        self._renew("the device does not know this client any more")

    def lost(self, error: PixelBoyError) -> None:
        """Transfers and calls of the device are interrupted; requests stay, to be sent again."""
        if self._renewing:
            self._renewing = False  # no trouble: the next greeting is with a new id
        else:
            self.standing.trouble = error
            _LOG.info("%s; connecting again", error)
        self.transfers.lost()
        self.calls.lost()
        self.requests.lost()

    def ended(self, error: PixelBoyError) -> None:
        """Everything under way ends."""
        self.standing.over = error
        self.transfers.ended(error)
        self.calls.ended()
        self.requests.ended(error)
        self.questions.ended(error)

    def chunk(self) -> bytes | None:
        """See `Transfers.chunk`."""
        return self.transfers.chunk()

    def awaiting(self) -> bool:
        """Whether somebody waits for the device."""
        return self.requests.awaited() or self.questions.awaited() or self.transfers.moving()

    def tick(self, now: float) -> float:
        """End the calls whose time has run out."""
        if self._abandoned and not self.requests.under_way():
            if self.standing.closing or self.connection.phase != READY:
                self.connection.end(Closed("this PixelBoy was dropped without close()"))
                return now + 3600.0
            self.standing.closing = True
            self._say_goodbye()
            return now + GOODBYE_SECONDS
        return self.requests.tick(now)

    # --- inside ---

    def _seconds(self, timeout: float | None) -> float:
        return self.timeout if timeout is None else checked_seconds(timeout)

    def _connect_as_another(self, why: str) -> None:
        self._renew(why)
        self.connection.restart(Unreachable("connecting with a new client id"))

    def _renew(self, why: str) -> None:
        self._renewing = True
        self.requests.renew(why)

    def _say_goodbye(self) -> None:
        if self.connection.phase != READY or self.connection.closing:
            return
        self.connection.closing = True
        self.requests.confirm()
        if self.state.kept:
            self.requests.say_cc()  # the session ends, the record stays for the next run
        else:
            self.notes.send(frames.Goodbye())
