"""What the device asks and tells: calls of opcodes that this client offers, pushes, time-outs.

Invariant: the user's functions run one after the other on a thread of their own, never on the connection's, so they may call
the device themselves. A function that raises gives the device a failure with its message.
Not here: frames' order and credit, which the device's default of 16 unanswered calls needs nothing for.
"""

from __future__ import annotations

import queue
import threading
import traceback
from typing import Any, Callable

from . import _frames as frames
from ._blob import Blob
from ._connection import READY, Connection
from ._guard import Guard
from ._limits import Limits
from ._reply import resolved
from ._values import BlobRef, encode_arguments
from .errors import Failure, PixelBoyError


class Calls:
    """The functions that a client offers. `bind`, `push_to` and `time_out_to` are called without the guard, the rest under it."""

    def __init__(self, guard: Guard, blob: Callable[[BlobRef], Blob]) -> None:
        self.connection: Connection  # set by the session, right after both exist
        self.time_outs = 0
        self._guard = guard
        self._blob = blob
        self._bound: dict[str, Callable[..., object]] = {}
        self._taken_back: set[str] = set()  # in this session, which may outlive the connection that should have told of it
        self._push: Callable[..., object] | None = None
        self._time_out: Callable[[float], object] | None = None
        self._work: queue.SimpleQueue[tuple[int, frames.Frame] | None] = queue.SimpleQueue()
        self._worker: threading.Thread | None = None
        self._epoch = 0  # of the connection: an answer is for the one that the call came on
        self._queued: set[int] = set()  # numbers of calls that have not begun

    def bind(self, op: str, function: Callable[..., object] | None) -> None:
        """Offer an opcode, or with None take the offer back."""
        with self._guard:
            if function is None:
                if self._bound.pop(op, None) is None:
                    return
                self._taken_back.add(op)
            else:
                self._bound[op] = function
                self._taken_back.discard(op)
                self._start()
            self.connection.send(frames.Bind(op, function is not None))

    def push_to(self, function: Callable[..., object] | None) -> None:
        """Who hears pushes."""
        with self._guard:
            self._push = function
            self._start()

    def time_out_to(self, function: Callable[[float], object] | None) -> None:
        """Who hears of receive time-outs."""
        with self._guard:
            self._time_out = function
            self._start()

    def welcomed(self, resumed: bool) -> None:
        """Offer everything again; a session that goes on may not have heard of what was taken back."""
        if not resumed:
            self._taken_back.clear()
        for op in self._taken_back:
            self.connection.send(frames.Bind(op, False))
        for op in self._bound:
            self.connection.send(frames.Bind(op, True))

    def lost(self) -> None:
        """Calls of before are over: the device takes them as interrupted."""
        self._epoch += 1
        self._queued.clear()

    def ended(self) -> None:
        """No more."""
        self._work.put(None)

    def received(self, frame: frames.Frame) -> bool:
        """Take a frame that is for the user's functions."""
        if isinstance(frame, frames.Call):
            if frame.op in self._bound:
                self._queued.add(frame.number)
                self._work.put((self._epoch, frame))
            else:
                self._answer(self._epoch, frame.number, frames.Failed(2, f"this client does not offer {frame.op!r}"))
        elif isinstance(frame, frames.CallCancel):
            self._queued.discard(frame.number)
        elif isinstance(frame, frames.Push):
            if self._push is not None:
                self._work.put((self._epoch, frame))
        elif isinstance(frame, frames.TimeOut):
            self.time_outs += 1
            if self._time_out is not None:
                self._work.put((self._epoch, frame))
        else:
            return False
        return True

    def _start(self) -> None:
        if self._worker is None:
            self._worker = threading.Thread(target=self._run, name="pixelboy calls", daemon=True)
            self._worker.start()

    def _run(self) -> None:
        while True:
            work = self._work.get()
            if work is None:
                return
            epoch, frame = work
            try:
                if isinstance(frame, frames.Call):
                    self._call(epoch, frame)
                elif isinstance(frame, frames.Push) and self._push is not None:
                    self._push(frame.op, *resolved(frame.args, self._blob))
                elif isinstance(frame, frames.TimeOut) and self._time_out is not None:
                    self._time_out(frame.idle_ms / 1000.0)
            except Exception:  # of a function that nobody waits for: shown, as for a thread
                traceback.print_exc()

    def _call(self, epoch: int, call: frames.Call) -> None:
        with self._guard:
            function = self._bound.get(call.op)
            if epoch != self._epoch or call.number not in self._queued:
                return  # the connection broke, or nobody waits any more
            self._queued.discard(call.number)
        if function is None:
            outcome: frames.Outcome = frames.Failed(2, f"this client does not offer {call.op!r} any more")
        else:
            outcome = self._outcome(function, call)
        with self._guard:
            self._answer(epoch, call.number, outcome)

    def _outcome(self, function: Callable[..., object], call: frames.Call) -> frames.Outcome:
        try:
            args = resolved(call.args, self._blob)
            names = [name for name, _ in call.kwargs]
            kwargs = dict(zip(names, resolved([value for _, value in call.kwargs], self._blob)))
            given = function(*args, **kwargs)
            values: list[Any] = [] if given is None else list(given) if isinstance(given, tuple) else [given]
            if len(encode_arguments(values, {}, Limits())) > Limits().inline_bytes:
                return frames.Failed(7, f"the answer of {call.op!r} is larger than {Limits().inline_bytes} bytes")
            return frames.Done(values)
        except Failure as failure:
            details = tuple(_cut_pair(key, text) for key, text in list(failure.details.items())[: frames.DETAILS])
            return frames.Failed(failure.code, _cut(str(failure)), details)
        except PixelBoyError as error:
            return frames.Failed(1, _cut(str(error)))
        except Exception as error:
            traceback.print_exc()
            return frames.Failed(1, _cut(f"{type(error).__name__}: {error}"))

    def _answer(self, epoch: int, number: int, outcome: frames.Outcome) -> None:
        if epoch == self._epoch and self.connection.phase == READY:
            self.connection.send(frames.CallReply(number, outcome))


def _cut(text: str) -> str:
    return text.encode("utf-8", "replace")[: frames.MESSAGE_BYTES].decode("utf-8", "ignore")


def _cut_pair(name: str, text: str) -> tuple[str, str]:
    name = _cut(name)
    left = frames.MESSAGE_BYTES - len(name.encode("utf-8"))
    return name, text.encode("utf-8", "replace")[:left].decode("utf-8", "ignore")
