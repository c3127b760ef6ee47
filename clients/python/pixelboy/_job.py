"""One call on its way: its arguments, its number, how long it may take.

Invariant: once it has a number its bytes never change, however often it is sent. Not here: when it is sent (`_requests`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from ._limits import Limits
from ._pending import Pending
from ._reply import Reply
from ._state_lines import Unanswered
from ._transfer import Sending, uploads_in
from ._values import BlobRef, UploadRef, encode_arguments
from .errors import NotSendable, PixelBoyError

_PLACEHOLDER = UploadRef((1 << 63) - 1)
_LONGEST_KEPT_SECONDS = 86_400.0  # what an earlier run allowed is not stretched by a clock that was set back
OF_SESSION = frozenset(("srto", "sptt", "sptf", "cc"))  # of no use to a next run


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
        self.deadline = deadline  # seconds that the device is given, from when it is sent first
        self.begin_by: float | None = None  # the device must not begin it later
        self.waiting_since = time.monotonic()  # of the step it is in
        self.pending: Pending | None = None
        self.own = False  # the client asks for it by itself: nobody waits, and it is begun all the same
        self.cancelling = False
        self.outcome: Reply | PixelBoyError | None = None

    @staticmethod
    def of_earlier_run(number: int, kept: Unanswered, timeout: float) -> Job:
        """What an earlier run sent and got no answer to."""
        job = Job(kept.op, (), {}, timeout, None)
        job.number, job.arguments, job.size = number, kept.arguments, len(kept.arguments) + 64
        if kept.until_ms is not None:
            left = kept.until_ms / 1000.0 - time.time()
            job.begin_by = time.monotonic() + min(max(0.0, left), _LONGEST_KEPT_SECONDS)
        return job

    @staticmethod
    def of_client(op: str, arguments: bytes, timeout: float) -> Job:
        """What the client asks by itself."""
        job = Job(op, (), {}, timeout, None)
        job.arguments, job.size, job.own = arguments, len(arguments) + 64, True
        return job

    def to_keep(self, now: float) -> Unanswered | None:
        """As the state keeps it for a next run; None where that has no use for it."""
        if self.own or self.op in OF_SESSION or self.arguments is None:
            return None
        until_ms = None if self.begin_by is None else max(0, int((time.time() + self.begin_by - now) * 1000))
        return Unanswered(self.op, self.arguments, until_ms)

    def deadline_ms(self, now: float) -> int | None:
        """What the device may take for it from now."""
        if self.pending is None and not self.own:
            return 0  # given up: learn what became of it, but do not begin it now
        return None if self.begin_by is None else max(0, int((self.begin_by - now) * 1000))

    def encode(self, client: bytes, limits: Limits, final: bool) -> bytes:
        """Its arguments; `final` when the numbers of its uploads are known."""
        if self.own or (not self.uploads and self.arguments is not None and self.client == client):
            return self.arguments or b""
        self.client = client
        args = [self._final(value, final) for value in self.args]
        kwargs = {name: self._final(value, final) for name, value in self.kwargs.items()}
        self.arguments = encode_arguments(args, kwargs, limits)
        return self.arguments

    def _final(self, value: object, final: bool) -> object:
        if isinstance(value, Sending):
            return UploadRef(value.number) if final else _PLACEHOLDER
        if isinstance(value, Upload):
            if value.client != self.client:
                raise NotSendable("this upload was made under an earlier client id, which the device forgot; upload anew")
            return UploadRef(value.transfer)
        if isinstance(value, (list, tuple)) and not isinstance(value, (UploadRef, BlobRef)):
            return [self._final(inner, final) for inner in value]
        if isinstance(value, dict):
            return {key: self._final(inner, final) for key, inner in value.items()}
        return value
