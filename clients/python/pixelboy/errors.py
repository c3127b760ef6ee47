"""What can go wrong, as a tree; every message says what to do.

PixelBoyError
├── Unreachable (ConnectionError)     no connection to the device
├── Closed                            this PixelBoy was closed, or its session ended with `cc`
├── Fenced                            another program uses the same client id
├── ProtocolError                     the two sides do not understand each other; also: another version
├── NotSendable (ValueError)          the arguments cannot be sent: nothing was
├── StateUnusable                     the state file cannot be read, written or understood
│   └── StateInUse                    another program has it
├── GaveUp (TimeoutError)             no answer in time; `.sent` and `.again()` say and do what is possible
├── OutcomeUnknown                    it may or may not have happened; `.again()` where asking again can tell
│   └── Forgotten                     the device does not know this client any more: nothing can tell
└── Failure                           the device said no: `.code`, `.name`, `.details`; nothing happened, unless noted
    ├── UnknownOp (2)                 ├── Deadline (11)               ├── BlobGone (21)
    ├── BadArguments (3)              ├── Cancelled (12)              ├── NumberReused (22)
    ├── NotFound (4)                  ├── NotGranted (13)             ├── RanReplyLost (23)
    ├── Exists (5)                    ├── PluginCrashed (14)          ├── Interrupted (25): a later answer was lost
    ├── UnsupportedMedia (6)          ├── PluginLimit (15)            ├── NothingPlaying (26)
    ├── TooLarge (7)                  ├── PluginUnavailable (16)      ├── NoDevice (27)
    ├── NoSpace (8)                   ├── UploadNotReady (17)         ├── Unsupported (28)
    ├── BadPath (9)                   ├── UploadUnknown (18)          ├── ReadOnly (29)
    ├── Busy (10)                     ├── UploadConsumed (19)         ├── StorageFailed (30)
    └── ...                           ├── DigestMismatch (20)         ├── ShuttingDown (31)
                                      └── ...                         ├── BadState (32)
                                                                      └── AlreadyConfirmed (33)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from ._pending import Pending

__all__ = [
    "PixelBoyError", "Unreachable", "Closed", "Fenced", "ProtocolError", "NotSendable", "StateUnusable",
    "StateInUse", "StateDamaged", "GaveUp", "OutcomeUnknown", "Forgotten", "Failure", "UnknownOp", "BadArguments",
    "NotFound", "Exists", "UnsupportedMedia", "TooLarge", "NoSpace", "BadPath", "Busy", "Deadline", "Cancelled",
    "NotGranted", "PluginCrashed", "PluginLimit", "PluginUnavailable", "UploadNotReady", "UploadUnknown",
    "UploadConsumed", "DigestMismatch", "BlobGone", "NumberReused", "RanReplyLost", "Interrupted", "NothingPlaying",
    "NoDevice", "Unsupported", "ReadOnly", "StorageFailed", "ShuttingDown", "BadState", "AlreadyConfirmed",
]  # fmt: skip


class PixelBoyError(Exception):
    """All errors of this package."""


class Unreachable(PixelBoyError, ConnectionError):
    """No connection to the device could be made."""


class Closed(PixelBoyError):
    """This PixelBoy was closed: make a new one."""


class Fenced(PixelBoyError):
    """Another program connected with the same client id, which ended this one's session."""


class ProtocolError(PixelBoyError):
    """The two sides do not understand each other. `code` is the reason of section 11 of the protocol, 0 where this side found it."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class NotSendable(PixelBoyError, ValueError):
    """The arguments cannot be sent. Nothing was."""


class StateUnusable(PixelBoyError):
    """The state file cannot be read, written or understood. What was not sent yet never will be."""


class StateInUse(StateUnusable):
    """Another program uses the state file; a client id is for one program at a time."""


class StateDamaged(UserWarning):
    """The state file was damaged: it was set aside, and the client is a new one. A warning, no error."""


class _MayGoOn(PixelBoyError):
    """An error after which the same operation can be waited for again."""

    def __init__(self, message: str, again: Callable[[float | None], Pending] | None = None) -> None:
        super().__init__(message)
        self._again = again

    def again(self, timeout: float | None = None) -> Pending:
        """Wait on for the same operation, under its number: it never runs twice. `timeout` in seconds, as for a call."""
        if self._again is None:
            raise PixelBoyError(f"there is nothing to ask for: {self}") from self
        return self._again(timeout)


class GaveUp(_MayGoOn, TimeoutError):
    """No answer in time.

    `sent` False: nothing happened. True: it may have, and the device was asked to drop it if it has not begun; `again()` tells
    what became of it, or goes on with it.
    """

    def __init__(
        self, message: str, sent: bool, again: Callable[[float | None], Pending] | None = None
    ) -> None:
        super().__init__(message, again)
        self.sent = sent


class OutcomeUnknown(_MayGoOn):
    """It may or may not have happened. Look (`ls`, `stat`, `status`) before doing it once more."""


class Forgotten(OutcomeUnknown):
    """The device does not know this client any more, so nothing can tell. Look (`ls`, `stat`, `status`) before doing it once more."""


class Failure(PixelBoyError):
    """The device refused, or failed at it. `code` and `name` are those of the protocol, `details` is for programs."""

    code: int = 1
    name: str = "failed"

    def __init__(self, message: str = "", details: Mapping[str, str] | None = None, code: int | None = None) -> None:
        super().__init__(message or self.name)
        self.message = message
        self.details: dict[str, str] = dict(details or {})
        if code is not None:
            self.code = code

    @staticmethod
    def of(code: int, message: str, details: tuple[tuple[str, str], ...] = ()) -> Failure:
        """The class for a code; a code that this version does not know is a plain `Failure` that keeps its number."""
        return FAILURES.get(code, Failure)(message, dict(details), code)


class UnknownOp(Failure):
    """No plugin of the device offers this opcode."""

    code, name = 2, "unknown-op"


class BadArguments(Failure):
    """The opcode takes other arguments; the message shows which."""

    code, name = 3, "bad-arguments"


class NotFound(Failure):
    """No such file, folder or key on the device."""

    code, name = 4, "not-found"


class Exists(Failure):
    """It is there already."""

    code, name = 5, "exists"


class UnsupportedMedia(Failure):
    """The bytes are not what the opcode takes, or do not decode."""

    code, name = 6, "unsupported-media"


class TooLarge(Failure):
    """Over a limit, which the message names."""

    code, name = 7, "too-large"


class NoSpace(Failure):
    """The device's disk, or its quota, is full."""

    code, name = 8, "no-space"


class BadPath(Failure):
    """A path against the rules: relative, parts joined by `/`, at most 8, no `..`."""

    code, name = 9, "bad-path"


class Busy(Failure):
    """A queue on the device is full; try again later."""

    code, name = 10, "busy"


class Deadline(Failure):
    """The time given to the device ran out. Nothing happened."""

    code, name = 11, "deadline"


class Cancelled(Failure):
    """It was cancelled. Nothing happened."""

    code, name = 12, "cancelled"


class NotGranted(Failure):
    """The plugin lacks a grant in the device's config.toml."""

    code, name = 13, "not-granted"


class PluginCrashed(Failure):
    """The plugin trapped. Nothing happened."""

    code, name = 14, "plugin-crashed"


class PluginLimit(Failure):
    """The plugin ran out of time or memory. Nothing happened."""

    code, name = 15, "plugin-limit"


class PluginUnavailable(Failure):
    """The plugin is not loaded, or is quarantined."""

    code, name = 16, "plugin-unavailable"


class UploadNotReady(Failure):
    """The upload is not finished."""

    code, name = 17, "upload-not-ready"


class UploadUnknown(Failure):
    """The upload was never opened, has expired or was aborted: upload anew."""

    code, name = 18, "upload-unknown"


class UploadConsumed(Failure):
    """Another request used the upload: upload anew."""

    code, name = 19, "upload-consumed"


class DigestMismatch(Failure):
    """The bytes are not those that were announced; did the file change meanwhile?"""

    code, name = 20, "digest-mismatch"


class BlobGone(Failure):
    """The device keeps these bytes no longer: repeat the call that gave them."""

    code, name = 21, "blob-gone"


class NumberReused(Failure):
    """It did not happen: another program sent something else under its number. Give each program its own state file."""

    code, name = 22, "number-reused"


class RanReplyLost(Failure):
    """Its reply is gone; nothing of it is on disk. Calling again is safe where only the storing matters."""

    code, name = 23, "ran-reply-lost"


class Interrupted(Failure):
    """A later answer was lost, on the way or in a crash."""

    code, name = 25, "interrupted"


class NothingPlaying(Failure):
    """Nothing to pause, resume or stop."""

    code, name = 26, "nothing-playing"


class NoDevice(Failure):
    """The device has no display or speaker for it."""

    code, name = 27, "no-device"


class Unsupported(Failure):
    """Not offered by this device."""

    code, name = 28, "unsupported"


class ReadOnly(Failure):
    """The device refuses writes until it is restarted, or its disk is read-only."""

    code, name = 29, "read-only"


class StorageFailed(Failure):
    """The device's disk failed. Nothing was stored."""

    code, name = 30, "storage-failed"


class ShuttingDown(Failure):
    """The device is stopping. Nothing happened."""

    code, name = 31, "shutting-down"


class BadState(Failure):
    """Not possible as things are; the message tells what to do first."""

    code, name = 32, "bad-state"


class AlreadyConfirmed(Failure):
    """An earlier run got the reply and said so; what it was is not kept. Or two programs use one client id."""

    code, name = 33, "already-confirmed"


_KINDS: list[type[Failure]] = [Failure, *Failure.__subclasses__()]
FAILURES: dict[int, type[Failure]] = {kind.code: kind for kind in _KINDS}
