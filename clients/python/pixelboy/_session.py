"""The session: numbers, order, window, confirmation, sending again, deadlines. The heart of *exactly once* on this side.

Invariant: requests leave in the order of `submit`, each under its number with the same bytes however often it is sent; a reply
is confirmed only after it was noted; every call ends by its deadline, which begins anew whenever something before it moves.
All fields are under the guard; results are handed over after it is released.
Not here: sockets (`_connection`), bytes of transfers (`_transfer`), Python's arguments (`_arguments`).
"""

from __future__ import annotations

import concurrent.futures
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Callable, NamedTuple, TypeVar

from . import _frames as frames
from ._blob import Blob, Progress
from ._calls import Calls
from ._connection import READY, Connection
from ._guard import Guard
from ._pending import Pending
from ._reply import Reply
from ._source import Source
from ._state import State
from ._table import Assembly, OpTable
from ._transfer import DONE, Sending, Transfers, uploads_in
from ._values import BlobRef, UploadRef, encode_arguments
from .errors import Closed, Failure, GaveUp, NotSendable, OutcomeUnknown, PixelBoyError, Unreachable

T = TypeVar("T")
_LOG = logging.getLogger("pixelboy")
_LOG.addHandler(logging.NullHandler())

QUEUE_CALLS = 4_096
QUEUE_BYTES = 16 << 20
GOODBYE_SECONDS = 3.0
_PLACEHOLDER = UploadRef((1 << 63) - 1)


class Upload(NamedTuple):
    """Bytes that lie on the device already, to be named in one call; made by `PixelBoy.upload`."""

    transfer: int
    length: int
    client: bytes

    def __repr__(self) -> str:
        return f"<Upload of {self.length} bytes>"


class Job:
    """One call on its way: waiting for its uploads and its turn, then sent, then settled."""

    def __init__(self, op: str, args: Sequence[object], kwargs: dict[str, object], timeout: float, deadline: float | None) -> None:
        self.op = op
        self.args = args
        self.kwargs = kwargs
        self.uploads = uploads_in([list(args), kwargs])
        self.arguments: bytes | None = None
        self.client = b""  # the id that `arguments` were made for
        self.number: int | None = None
        self.size = 0
        self.timeout = timeout
        self.deadline = deadline  # seconds that the device is given
        self.waiting_since = time.monotonic()  # of the step it is in
        self.sent_at = 0.0
        self.pending: Pending | None = None
        self.cancelling = False
        self.outcome: Reply | PixelBoyError | None = None


class Session:
    """The owner of a connection."""

    def __init__(self, host: str, port: int, name: str, timeout: float, state: State) -> None:
        self.guard = Guard()
        self.timeout = timeout
        self.state = state
        self.name = name
        self.host_name = ""
        self.connection = Connection(host, port, self.guard, self)
        self.transfers = Transfers(self.guard, state, self._upload_settled)
        self.calls = Calls(self.guard, self.blob)
        self.transfers.connection = self.calls.connection = self.connection
        self.trouble: PixelBoyError | None = None  # why there is no connection
        self._over: PixelBoyError | None = None  # why there will be none
        self._closing = False
        self._abandoned = False
        self._renewing = False
        self.keeper: Callable[[], object] = lambda: None  # the client object, which must live while its results are in use
        self._changed = self.guard.condition()
        self._queue: deque[Job] = deque()
        self._queued_bytes = 0
        self._sent: dict[int, Job] = {}  # without a final reply, in the order of their numbers
        self._sent_bytes = 0
        self._unconfirmed: dict[int, int] = {}  # answered: bytes of the reply
        self._unconfirmed_bytes = 0
        self._above: set[int] = set()  # answered, while a lower number is not
        self._answers: deque[tuple[int, float]] = deque()  # (number, time), both rising: see `_noted`
        self._queue_moved_at = time.monotonic()
        self._pings: dict[int, tuple[Future[float], float]] = {}
        self._ping_token = 0
        self._table: OpTable | None = None
        self._table_digest: bytes | None = None
        self._table_parts = Assembly()
        self._table_waiters: list[Future[OpTable]] = []
        self.carried_over: list[Pending] = []
        self._received_through = 0  # the highest number that the device has certainly seen
        for number, (op, arguments) in list(state.unanswered.items()):
            if op == "cc":  # the end of the earlier run; sent now it would end this one
                state.answered(number)
                continue
            job = Job(op, (), {}, timeout, None)
            job.number, job.arguments, job.size = number, arguments, len(arguments) + 64
            job.pending = Pending(job, self)
            self.carried_over.append(job.pending)
            self._sent[number] = job
            self._sent_bytes += job.size

    # --- for the client object, without the guard ---

    def start(self) -> None:
        """Connect; raises what prevents the first connection."""
        self.connection.thread.start()
        with self.guard:
            until = time.monotonic() + self.timeout
            while self.connection.phase != READY and self._over is None and self.trouble is None:
                left = until - time.monotonic()
                if left <= 0:
                    self.trouble = Unreachable(f"no answer from {self.connection.address} in {self.timeout:g} s")
                    break
                self._changed.wait(left)
            if self.connection.phase == READY:
                return
            error = self._over or self.trouble or Unreachable(f"no connection to {self.connection.address}")
            self.connection.end(error)
        self.state.close()
        raise error

    def submit(
        self,
        op: str,
        args: Sequence[object],
        kwargs: dict[str, object],
        timeout: float | None = None,
    ) -> Pending:
        """Put a call in the queue. Its arguments are final; uploads among them begin at once."""
        seconds = self.timeout if timeout is None else checked_seconds(timeout)
        # The device gives up a little earlier than the caller, so that the caller hears that nothing happened.
        deadline = None if timeout is None else max(0.001, seconds - min(0.5, seconds / 10))
        job = Job(op, args, kwargs, seconds, deadline)
        size = len(self._encoded(job, final=False)) + len(op) + 64
        if size > self.connection.limits.frame_bytes:
            raise NotSendable(
                f"the arguments of {op} take {size} bytes, at most {self.connection.limits.frame_bytes} travel in a call; "
                "send them in several, or upload what is large"
            )
        job.size = size
        job.pending = pending = Pending(job, self)
        pending.keeps = self.keeper()
        with self.guard:
            self._wait_for_room(job)
            self._refuse_when_over()
            self._queue.append(job)
            self._queued_bytes += size
            for upload in job.uploads:
                self.transfers.start(upload)
            self._advance()
            self.connection.due_at(time.monotonic() + job.timeout)
        return pending

    def upload(self, source: Source, progress: Progress | None, timeout: float | None) -> Upload:
        """Upload and wait for it."""
        seconds = self.timeout if timeout is None else checked_seconds(timeout)
        upload = Sending(source, progress, self.guard)
        try:
            with self.guard:
                self._refuse_when_over()
                self.transfers.start(upload)
                while not upload.over:
                    left = upload.moved_at + seconds - time.monotonic()
                    if left <= 0:
                        self.transfers.abort(upload)
                        raise GaveUp(self._stalled(upload, seconds), sent=False)
                    upload.changed.wait(left)
                if upload.error is not None:
                    raise upload.error
                return Upload(upload.number, source.length, self.state.client)
        finally:
            source.close()

    def cancel(self, pending: Pending) -> bool:
        """See `Pending.cancel`."""
        job = pending._job
        with self.guard:
            if job.pending is not pending or pending.done():
                return False
            if job.number is None:
                self._unqueue(job)
                job.pending = None
                self.guard.later(pending.cancel_future)
                self._advance()
                return True
            job.cancelling = True
            self.connection.send(frames.Cancel(job.number))
            return False

    def again(self, job: Job, timeout: float | None) -> Pending:
        """Wait on for a call that was given up; it keeps its number."""
        pending = Pending(job, self)
        with self.guard:
            if job.outcome is not None:
                self._hand_over(pending, job.outcome)
            elif self._over is not None:
                self._hand_over(pending, self._unknown(job, self._over))
            else:
                job.timeout = self.timeout if timeout is None else checked_seconds(timeout)
                job.waiting_since = time.monotonic()
                job.deadline = None
                job.pending = pending
                pending.set_running_or_notify_cancel()
                self.connection.due_at(job.waiting_since + job.timeout)
        return pending

    def ping(self, timeout: float | None) -> float:
        """Seconds to the device and back."""
        seconds = self.timeout if timeout is None else checked_seconds(timeout)
        future: Future[float] = Future()
        with self.guard:
            self._refuse_when_over()
            self._ping_token += 1
            token = self._ping_token
            self._pings[token] = (future, time.monotonic())
            self.connection.send(frames.Ping(token))
        try:
            return self._waited(future, seconds)
        finally:
            with self.guard:
                self._pings.pop(token, None)

    def table(self, timeout: float | None = None, fresh: bool = False) -> OpTable:
        """The opcode table; asked for only when it may have changed."""
        seconds = self.timeout if timeout is None else checked_seconds(timeout)
        future: Future[OpTable] = Future()
        with self.guard:
            self._refuse_when_over()
            if self._table is not None and not fresh and self._table.digest == self._table_digest:
                return self._table
            self._table_waiters.append(future)
            if len(self._table_waiters) == 1:
                self.connection.send(frames.GetTable())
        try:
            return self._waited(future, seconds)
        finally:
            with self.guard:
                if future in self._table_waiters:
                    self._table_waiters.remove(future)

    def known_table(self) -> OpTable | None:
        """The table as last seen, without asking."""
        return self._table

    def blob(self, ref: BlobRef) -> Blob:
        """Something to read what a reply refers to."""

        def chunks(offset: int, timeout: float | None, tell: Callable[[bytes], object]) -> Any:
            seconds = self.timeout if timeout is None else checked_seconds(timeout)
            with self.guard:
                self._refuse_when_over()
            return self.transfers.receive(ref.id, ref.length, offset, seconds, tell)

        blob = Blob(ref.length, ref.sha256, chunks)
        blob.keeps = self.keeper()
        return blob

    def refuse_inside_callback(self, pending: Pending) -> None:
        """Waiting on the connection's own thread would wait for ever."""
        if threading.current_thread() is self.connection.thread and not pending.done():
            raise RuntimeError("a callback of a Pending must not wait for another call; give that one a callback too")

    def close(self, wait_seconds: float | None, goodbye_seconds: float = GOODBYE_SECONDS) -> None:
        """End: wait for what is under way (None: as long as its deadlines allow), say goodbye, stop the thread."""
        until = float("inf") if wait_seconds is None else time.monotonic() + wait_seconds
        with self.guard:
            self._closing = True
            while self._over is None and self._under_way() and time.monotonic() < until:
                self._changed.wait(min(1.0, max(0.01, until - time.monotonic())))
            if self._over is None:
                self._say_goodbye()
                until = time.monotonic() + goodbye_seconds
                while self._over is None and self.connection.phase == READY and time.monotonic() < until:
                    self._changed.wait(max(0.01, until - time.monotonic()))
                self.connection.end(Closed("this PixelBoy was closed"))
        if threading.current_thread() is not self.connection.thread:
            self.connection.thread.join(goodbye_seconds)
        with self.guard:
            self.state.close()

    def abandon(self) -> None:
        """Nobody has the client object any more. Takes no lock: this may be called while it is held, by the garbage collector."""
        self._abandoned = True
        self.connection.due_now()

    # --- for the connection, under the guard ---

    def hello(self) -> frames.Hello:
        """With the lowest number that has no reply yet."""
        lowest = next(iter(self._sent), self.state.next_number)
        return frames.Hello(1, 1, self.state.client, self.name, self.state.store, lowest, 0)

    def welcomed(self, welcome: frames.Welcome) -> None:
        """Compare memories, then send what has no reply again."""
        state = self.state
        if state.store is not None and welcome.store != state.store:
            self._renew("the device has another data folder than before")
            self.connection.restart(Unreachable("connecting with a new client id"))
            return
        if state.next_number <= welcome.received_through:
            self._renew("the device knows more of this client than its state: is it a copy, or an old one?")
            self.connection.restart(Unreachable("connecting with a new client id"))
            return
        state.met(welcome.store)
        self.host_name = welcome.host
        _LOG.debug("connected to %s, %s", self.connection.address, welcome.host)
        self.trouble = None
        self._table_digest = welcome.table
        self._received_through = welcome.received_through
        self.calls.welcomed()
        also = sorted(number for number in self._above if number <= welcome.received_through)
        if also:
            self.connection.send(frames.Confirm(self._through(), also[: frames.CONFIRM_ALSO]))
        self._confirmed(next(iter(self._sent), state.next_number) - 1, also)  # the first part by Hello
        now = time.monotonic()
        for job in list(self._sent.values()):
            self._send(job, now)
            if job.cancelling and job.number is not None:
                self.connection.send(frames.Cancel(job.number))
        if self._table_waiters:
            self._table_parts = Assembly()
            self.connection.send(frames.GetTable())
        for token in self._pings:
            self.connection.send(frames.Ping(token))
        self.transfers.welcomed()
        self._advance()
        self._changed.notify_all()

    def received(self, frame: frames.Frame) -> None:
        """One frame from the device."""
        if isinstance(frame, frames.Reply):
            self._replied(frame)
        elif isinstance(frame, frames.Pong):
            waiting = self._pings.pop(frame.token, None)
            if waiting is not None:
                future, since = waiting
                seconds = time.monotonic() - since
                self.guard.later(partial(future.set_result, seconds))
        elif isinstance(frame, frames.Table):
            table = self._table_parts.add(frame)
            if table is not None:
                self._table, self._table_digest = table, table.digest
                self._answer_all(self._table_waiters, table)
        elif isinstance(frame, frames.TableChanged):
            self._table_digest = frame.digest
        elif not self.transfers.received(frame):
            self.calls.received(frame)

    def forgotten(self) -> None:
        """A new id, then."""
        self._renew("the device does not know this client any more")

    def lost(self, error: PixelBoyError) -> None:
        """Transfers and calls of the device are interrupted; requests stay, to be sent again."""
        if self._renewing:
            self._renewing = False  # no trouble: the next greeting is with a new id
        else:
            self.trouble = error
            _LOG.info("%s; connecting again", error)
        self.transfers.lost()
        self.calls.lost()
        self._changed.notify_all()

    def ended(self, error: PixelBoyError) -> None:
        """Everything under way ends."""
        self._over = error
        self.transfers.ended(error)
        self.calls.ended()
        for job in list(self._queue):
            self._unqueue(job)
            self._settle(job, error)
        for job in self._sent.values():
            if job.pending is not None:
                self._settle(job, self._unknown(job, error), final=False)
        waiters: list[Future[Any]] = [future for future, _ in self._pings.values()]
        waiters += self._table_waiters
        for future in waiters:
            if not future.done():
                self.guard.later(partial(future.set_exception, error))
        self._changed.notify_all()

    def chunk(self) -> bytes | None:
        """See `Transfers.chunk`."""
        return self.transfers.chunk()

    def awaiting(self) -> bool:
        """Whether somebody waits for the device."""
        return bool(self._sent or self._queue or self._pings or self._table_waiters or self.transfers.moving())

    def tick(self, now: float) -> float:
        """End the calls whose time has run out."""
        if self._abandoned and not self._under_way():
            if self._closing or self.connection.phase != READY:
                self.connection.end(Closed("this PixelBoy was dropped without close()"))
                return now + 3600.0
            self._closing = True
            self._say_goodbye()
            return now + GOODBYE_SECONDS
        due = now + 3600.0
        before = self._queue_moved_at
        for job in [*self._queue, *self._sent.values()]:
            if job.number is None:
                own = [self.transfers.moved_at(upload) for upload in job.uploads if upload.state != DONE]
                moved = min(own) if own else before
                before = max(before, *own) if own else before  # the calls behind it wait for its uploads too
            else:
                moved = self._lower_answered_at(job.number)
            if job.pending is not None:
                until = max(moved, job.waiting_since) + job.timeout
                if until <= now:
                    self._give_up(job)
                else:
                    due = min(due, until)
        return due

    # --- inside ---

    def _under_way(self) -> bool:
        return bool(self._queue) or any(job.pending is not None for job in self._sent.values())

    def _encoded(self, job: Job, final: bool) -> bytes:
        if not job.uploads and job.arguments is not None and job.client == self.state.client:
            return job.arguments
        job.client = self.state.client
        args = [self._final(value, final) for value in job.args]
        kwargs = {name: self._final(value, final) for name, value in job.kwargs.items()}
        job.arguments = encode_arguments(args, kwargs, self.connection.limits)
        return job.arguments

    def _final(self, value: object, final: bool) -> object:
        if isinstance(value, Sending):
            return UploadRef(value.number) if final else _PLACEHOLDER
        if isinstance(value, Upload):
            if value.client != self.state.client:
                raise NotSendable("this upload was made under an earlier client id, which the device forgot; upload anew")
            return UploadRef(value.transfer)
        if isinstance(value, (list, tuple)) and not isinstance(value, (UploadRef, BlobRef)):
            return [self._final(inner, final) for inner in value]
        if isinstance(value, dict):
            return {key: self._final(inner, final) for key, inner in value.items()}
        return value

    def _wait_for_room(self, job: Job) -> None:
        if threading.current_thread() is self.connection.thread:
            return  # a callback must not wait
        until = time.monotonic() + job.timeout
        moved = self._queue_moved_at
        while len(self._queue) >= QUEUE_CALLS or self._queued_bytes + job.size > max(QUEUE_BYTES, job.size):
            self._refuse_when_over()
            if self._queue_moved_at != moved:
                moved = self._queue_moved_at
                until = time.monotonic() + job.timeout
            left = until - time.monotonic()
            if left <= 0:
                raise GaveUp(f"{job.op} was not sent: {len(self._queue)} calls before it do not move{self._why()}", sent=False)
            self._changed.wait(min(left, 1.0))

    def _refuse_when_over(self) -> None:
        if self._over is not None:
            raise type(self._over)(*self._over.args) from self._over
        if self._closing:
            raise Closed("this PixelBoy was closed; make a new one")

    def _advance(self) -> None:
        """Number and send what may be sent now."""
        moved = False
        while self._queue and self.connection.phase == READY:
            job = self._queue[0]
            if any(upload.state != DONE for upload in job.uploads):
                break
            limits = self.connection.limits
            if len(self._sent) + len(self._unconfirmed) >= limits.window_operations:
                break
            if self._sent and self._sent_bytes + job.size > limits.window_bytes:
                break
            self._unqueue(job, keep_uploads=True)
            moved = True
            try:
                arguments = self._encoded(job, final=True)
                job.number = self.state.request(job.op, arguments)
            except Exception as error:  # the file of the state may not take it
                self._settle(job, error if isinstance(error, PixelBoyError) else NotSendable(f"{job.op}: {error}"))
                continue
            job.args, job.kwargs = (), {}
            if job.pending is not None:
                job.pending.set_running_or_notify_cancel()
            now = time.monotonic()
            job.waiting_since = job.sent_at = now
            self._sent[job.number] = job
            self._sent_bytes += job.size
            self._send(job, now)
        if moved:
            self._queue_moved_at = time.monotonic()
            self._changed.notify_all()

    def _send(self, job: Job, now: float) -> None:
        assert job.number is not None and job.arguments is not None
        deadline_ms: int | None = None
        if job.deadline is not None:
            passed = now - job.sent_at
            deadline_ms = max(0 if passed else 1, int((job.deadline - passed) * 1000))
        if job.pending is None:
            deadline_ms = 0  # given up: learn what became of it, but do not begin it now
        through = self._through()
        self.connection.send(frames.Request(job.number, through, deadline_ms, job.op, job.arguments))
        self._received_through = max(self._received_through, job.number)
        self._confirmed(through, ())

    def _through(self) -> int:
        """All numbers up to this one have their replies; the device has seen it, for it may not know a number that was skipped."""
        return min(next(iter(self._sent), self.state.next_number) - 1, self._received_through)

    def _confirmed(self, through: int, also: Sequence[int]) -> None:
        if self.connection.phase != READY:
            return
        gone = set(also)
        if not self._unconfirmed or (not gone and next(iter(self._unconfirmed)) > through):
            return
        for number in [number for number in self._unconfirmed if number <= through or number in gone]:
            self._unconfirmed_bytes -= self._unconfirmed.pop(number)

    def _replied(self, reply: frames.Reply) -> None:
        job = self._sent.get(reply.number)
        if job is None:
            return
        outcome = reply.outcome
        if isinstance(outcome, frames.Failed) and outcome.code == frames.OUTCOME_UNKNOWN:
            # Not final: it keeps its number, and is asked for again on the next connection.
            if job.pending is not None:
                text = outcome.message or "it may or may not be on the device's disk"
                error = OutcomeUnknown(f"{job.op}: {text}", lambda timeout: self.again(job, timeout))
                self._settle(job, error, final=False)
            return
        del self._sent[reply.number]
        self._sent_bytes -= job.size
        self.state.answered(reply.number)
        self._noted(reply.number)
        if isinstance(outcome, frames.Done):
            self._settle(job, Reply(job.op, outcome.values, reply.stored, reply.recorded, self.blob))
        else:
            for upload in job.uploads:
                self.transfers.dropped(upload)
            self._settle(job, Failure.of(outcome.code, outcome.message, outcome.details))
        for upload in job.uploads:
            upload.source.close()
        self._unconfirmed[reply.number] = size = _reply_bytes(outcome)
        self._unconfirmed_bytes += size
        through = self._through()
        if reply.number > through:
            self._above.add(reply.number)
        elif self._above:
            self._above = {number for number in self._above if number > through}
        limits = self.connection.limits
        if len(self._unconfirmed) >= limits.window_operations // 4 or self._unconfirmed_bytes >= limits.window_replies_bytes // 4:
            also = sorted(self._above & self._unconfirmed.keys())[: frames.CONFIRM_ALSO]
            self.connection.send(frames.Confirm(through, also))
            self._confirmed(through, also)
        self._advance()
        if job.op == "cc" and isinstance(outcome, frames.Done) and not reply.recorded:
            self.connection.closing = True
        self._changed.notify_all()

    def _noted(self, number: int) -> None:
        """Remember when an answer came: it shows that calls with higher numbers are waited for with reason."""
        answers = self._answers
        while answers and answers[-1][0] >= number:
            answers.pop()
        answers.append((number, time.monotonic()))
        lowest = next(iter(self._sent), number + 1)
        while len(answers) > 1 and answers[1][0] < lowest:
            answers.popleft()
        self._queue_moved_at = time.monotonic()

    def _lower_answered_at(self, this: int) -> float:
        """When a call with a lower number was last answered."""
        last = 0.0
        for number, when in self._answers:
            if number >= this:
                break
            last = when
        return last

    def _give_up(self, job: Job) -> None:
        seconds = f"{job.timeout:g} s"
        if job.number is None:
            stuck = [upload for upload in job.uploads if upload.state != DONE]
            text = self._stalled(stuck[0], job.timeout) if stuck else f"not sent within {seconds}{self._why()}"
            self._unqueue(job)
            self._settle(job, GaveUp(f"{job.op}: {text}; nothing happened, it can be called again", sent=False))
            self._advance()
            return
        job.cancelling = True
        self.connection.send(frames.Cancel(job.number))
        text = (
            f"{job.op}: no answer in {seconds}{self._why()}; it may or may not have happened. "
            "again() of this error asks on for the same call, which never runs twice"
        )
        self._settle(job, GaveUp(text, True, lambda timeout: self.again(job, timeout)), final=False)

    def _stalled(self, upload: Sending, seconds: float) -> str:
        return (
            f"the upload of {upload.source.name} did not move for {seconds:g} s, {upload.done_bytes} of "
            f"{upload.source.length} bytes are there{self._why()}"
        )

    def _why(self) -> str:
        if self.connection.phase == READY:
            return ""
        return f" ({self.trouble})" if self.trouble is not None else " (no connection)"

    def _unknown(self, job: Job, error: PixelBoyError) -> PixelBoyError:
        later = "; the next run with the same state file asks for it again" if self.state.kept else ""
        unknown = OutcomeUnknown(f"{job.op}: it may or may not have happened: {error}{later}")
        unknown.__cause__ = error
        return unknown

    def _unqueue(self, job: Job, keep_uploads: bool = False) -> None:
        self._queue.remove(job)
        self._queued_bytes -= job.size
        if not keep_uploads:
            for upload in job.uploads:
                if upload.over:
                    self.transfers.dropped(upload)
                else:
                    self.transfers.abort(upload)
                upload.source.close()

    def _settle(self, job: Job, outcome: Reply | PixelBoyError | BaseException, final: bool = True) -> None:
        if final and isinstance(outcome, (Reply, PixelBoyError)):
            job.outcome = outcome
        pending, job.pending = job.pending, None
        if pending is not None:
            self._hand_over(pending, outcome)

    def _hand_over(self, pending: Pending, outcome: Reply | BaseException) -> None:
        if isinstance(outcome, Reply):
            self.guard.later(partial(pending.set_result, outcome))
        else:
            self.guard.later(partial(pending.set_exception, outcome))

    def _answer_all(self, waiters: list[Future[OpTable]], table: OpTable) -> None:
        for future in waiters:
            if not future.done():
                self.guard.later(partial(future.set_result, table))
        waiters.clear()

    def _upload_settled(self, upload: Sending) -> None:
        if upload.state != DONE and upload.error is not None:
            for job in list(self._queue):
                if upload in job.uploads:
                    error = upload.error
                    self._unqueue(job)
                    self._settle(job, error)
        self._queue_moved_at = time.monotonic()
        if self._over is None:
            self._advance()

    def _renew(self, why: str) -> None:
        """Take a new client id. What was sent is unknown for good; what waits goes on under the new id."""
        for job in self._sent.values():
            self._settle(job, OutcomeUnknown(f"{job.op}: it may or may not have happened: {why}"))
            for upload in job.uploads:
                upload.source.close()
        self._sent.clear()
        self._sent_bytes = self._unconfirmed_bytes = 0
        self._unconfirmed.clear()
        self._above.clear()
        self._answers.clear()
        self.state.renew()
        self._renewing = True
        self.transfers.renewed()
        for job in self._queue:
            for upload in job.uploads:
                if upload.state == DONE:
                    self.transfers.start(upload)

    def _say_goodbye(self) -> None:
        if self.connection.phase != READY or self.connection.closing:
            return
        self.connection.closing = True
        through = self._through()
        if self._unconfirmed:
            self.connection.send(frames.Confirm(through, sorted(self._above)[: frames.CONFIRM_ALSO]))
        if not self.state.kept:
            self.connection.send(frames.Goodbye())
        else:
            # The session ends, the record stays for the next run. Its reply is not waited for by anybody: a call of the next.
            arguments = encode_arguments((), {}, self.connection.limits)
            number = self.state.request("cc", arguments)
            job = Job("cc", (), {}, self.timeout, None)
            job.number, job.arguments, job.size = number, arguments, 64
            self._sent[number] = job
            self.connection.send(frames.Request(number, through, None, "cc", arguments))

    def _waited(self, future: Future[T], seconds: float) -> T:
        if threading.current_thread() is self.connection.thread:
            raise RuntimeError("a callback of a Pending must not wait for the device")
        try:
            return future.result(seconds)
        except concurrent.futures.TimeoutError:
            if future.done():
                raise
            raise GaveUp(f"no answer from {self.connection.address} in {seconds:g} s{self._why()}", sent=False) from None


def _reply_bytes(outcome: frames.Outcome) -> int:
    size = 32
    todo: list[object] = list(outcome.values) if isinstance(outcome, frames.Done) else [outcome.message]
    while todo:
        value = todo.pop()
        size += 10
        if isinstance(value, (str, bytes)):
            size += 3 * len(value) if isinstance(value, str) else len(value)
        elif isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            todo += value.values()
            size += sum(len(key) + 2 for key in value)
    return size


def checked_seconds(seconds: float) -> float:
    """A time to wait: positive and finite, so that nothing waits for ever."""
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not 0 < seconds < 1e9:
        raise ValueError(f"timeout: expected a number of seconds above 0, got {seconds!r}; nothing here waits for ever")
    return float(seconds)
