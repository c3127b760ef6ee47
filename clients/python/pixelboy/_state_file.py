"""The state in a file, so that the next run goes on after a crash of this one: clients/STATE.md.

Invariant: what `write` returned from is on the disk; one program at a time has the file. Notes gather under the guard and are
written together, by the thread of `_notes`. A damaged file is set aside with a sentence; one of something else is refused.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import IO

from . import _state_lines as lines
from ._lock import Lock, Taken
from ._state import State
from ._state_lines import Unanswered
from .errors import StateInUse, StateUnusable

_BLOCK = 1_024  # numbers of transfers that are written down as used at a time
_LONG_BYTES = 1 << 20  # above it the file is written anew, without what is over


class StateFile(State):
    """In a file, which is this client's identity: who has it can pose as the client."""

    kept = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self._path = Path(path)
        self._file: IO[bytes] | None = None
        self._size = 0
        self._notes: list[bytes] = []
        self._stale = True  # nothing of what is in the file holds any more
        self._whole = False  # what `notes` gave last stands for all of it
        self._lock = self._locked()
        try:
            self._read()
            self._transfers_below = self.next_transfer + _BLOCK
            self._writing_below = self._written_below = self.next_transfer
            self.write(self.notes())
        except BaseException:
            self.close()
            raise

    def request(self, request: Unanswered | None) -> int:
        number = super().request(request)
        if request is None:
            self._notes.append(lines.line(next=self.next_number))
        else:
            self._notes.append(lines.request_line(number, request))
            self.unanswered[number] = request
        return number

    def answered(self, number: int) -> None:
        if self.unanswered.pop(number, None) is not None:
            self._notes.append(lines.line(answered=number))

    def given_up(self, number: int) -> None:
        request = self.unanswered.get(number)
        if request is not None:
            self.unanswered[number] = request._replace(until_ms=0)
            self._notes.append(lines.line(given_up=number))

    def transfer(self) -> int:
        if self.next_transfer >= self._written_below:
            raise StateUnusable(f"the state file {self._path} is not written as fast as transfers begin; begin fewer at once")
        number = super().transfer()
        if number + _BLOCK // 2 >= self._transfers_below:
            self._transfers_below += _BLOCK
            self._notes.append(lines.line(transfers_below=self._transfers_below))
        return number

    def met(self, store: bytes) -> None:
        if store != self.store:
            super().met(store)
            self._notes.append(lines.line(store=store.hex()))

    def renew(self) -> None:
        super().renew()
        self._stale = True

    def has_notes(self) -> bool:
        return self._stale or bool(self._notes)

    def notes(self) -> bytes:
        self._whole = self._stale or self._size > _LONG_BYTES
        notes, self._notes = b"".join(self._notes), []
        if self._whole:
            head = lines.head_line(self.client, self.store, self.next_number, self._transfers_below)
            notes = lines.whole(head, self.unanswered.items())
        self._stale = False
        self._writing_below = self._transfers_below
        return notes

    def write(self, notes: bytes) -> None:
        try:
            if self._whole or self._file is None:
                self._replace(notes)
            else:
                self._append(self._file, notes)
        except OSError as error:
            raise StateUnusable(f"the state file {self._path} cannot be written: {error.strerror or error}") from error
        self._written_below = self._writing_below

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._lock.release()

    def _beside(self, ending: str) -> Path:
        return self._path.with_name(self._path.name + ending)

    def _locked(self) -> Lock:
        try:
            return Lock(self._beside(".lock"))
        except Taken:
            text = f"another program uses the state file {self._path}; give each program its own, or none"
            raise StateInUse(text) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StateUnusable(f"the state file {self._path} cannot be locked: {reason}") from None

    def _read(self) -> None:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise StateUnusable(f"the state file {self._path} cannot be read: {error.strerror or error}") from None
        if not data:
            return  # as `mktemp` leaves it; this package never does
        try:
            kept = lines.read(data)
        except lines.Torn as torn:
            self._set_aside(str(torn))
            return
        except lines.Newer as newer:
            raise StateUnusable(
                f"the state file {self._path} is of version {newer}, which a later pixelboy wrote; update this one, or name another file"
            ) from None
        except lines.Foreign:
            raise StateUnusable(f"{self._path} is no state file of pixelboy, and was left as it is; name another file") from None
        self.client, self.store, self.next_number = kept.client, kept.store, kept.next_number
        self.next_transfer, self.unanswered = kept.transfers_below, kept.unanswered

    def _set_aside(self, place: str) -> None:
        aside = self._beside(".damaged")
        try:
            os.replace(self._path, aside)
        except OSError as error:
            reason = error.strerror or error
            raise StateUnusable(f"the state file {self._path} is damaged ({place}), and cannot be set aside: {reason}") from None
        self.notice = (
            f"the state file {self._path} is damaged ({place}) and was set aside as {aside}; going on as a new client. "
            "What earlier runs sent last may or may not have happened"
        )

    def _replace(self, notes: bytes) -> None:
        fresh = self._beside(".new")
        descriptor = os.open(str(fresh), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(notes)
            file.flush()
            os.fsync(file.fileno())
        if self._file is not None:
            self._file.close()  # Windows replaces no open file
            self._file = None
        os.replace(fresh, self._path)
        if os.name != "nt":
            folder = os.open(str(self._path.parent), os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        self._file = open(self._path, "ab", buffering=0)
        self._size = len(notes)

    def _append(self, file: IO[bytes], notes: bytes) -> None:
        try:
            if file.write(notes) != len(notes):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        except OSError:
            file.truncate(self._size)  # half a line would spoil the next one; what was not acted upon may go
            raise
        self._size += len(notes)
