"""Who this client is, and which numbers it used: in memory for one run, or in a file so that the next run goes on.

The file is a journal of JSON lines. Invariant: a request is in it before it is sent, an answer before it is confirmed; so
after a crash of this program the next run sends what was unanswered again, the same bytes under the same numbers, and
nothing runs twice. A last line cut by a crash is dropped: what it tells was not sent yet.
Not here: the decision to take a new id (`_session`). A file that another program has open is refused with `StateInUse`.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import secrets
import sys
from pathlib import Path
from typing import IO, Any, NamedTuple

from .errors import PixelBoyError, StateInUse

_TRANSFERS_AT_ONCE = 64  # transfer numbers reserved by one line
_COMPACT_BYTES = 1 << 20


class Unanswered(NamedTuple):
    """A request of an earlier run."""

    op: str
    arguments: bytes


class State:
    """In memory: a fresh random id, forgotten at the end."""

    kept = False

    def __init__(self) -> None:
        self.client = secrets.token_bytes(16)
        self.store: bytes | None = None
        self.next_number = 1
        self.next_transfer = 1
        self.unanswered: dict[int, Unanswered] = {}

    def request(self, op: str, arguments: bytes) -> int:
        """The number of a new request, which is remembered before it is sent."""
        number = self.next_number
        self.next_number += 1
        return number

    def answered(self, number: int) -> None:
        """Its final reply has come."""

    def transfer(self) -> int:
        """A number that no transfer of this client had."""
        number = self.next_transfer
        self.next_transfer += 1
        return number

    def met(self, store: bytes) -> None:
        """The device with this store has taken the client in."""
        self.store = store

    def renew(self) -> None:
        """A new id, without a past."""
        self.client = secrets.token_bytes(16)
        self.store = None
        self.next_number = self.next_transfer = 1
        self.unanswered = {}

    def close(self) -> None:
        """The client ends."""


class Journal(State):
    """In a file, which is this client's identity: who has it can pose as the client."""

    kept = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self._path = Path(path)
        self._reserved = 1
        self._lock = _Lock(self._path.with_name(self._path.name + ".lock"))
        self._file: IO[bytes] | None = None
        self._size = 0
        try:
            if self._path.exists():
                self._read()
            self._rewrite()
        except BaseException:
            self.close()
            raise

    def request(self, op: str, arguments: bytes) -> int:
        number = super().request(op, arguments)
        self._write(_request_line(number, op, arguments))
        self.unanswered[number] = Unanswered(op, arguments)
        return number

    def answered(self, number: int) -> None:
        if self.unanswered.pop(number, None) is not None:
            self._write({"answered": number})
            if self._size > _COMPACT_BYTES and not self.unanswered:
                self._rewrite()

    def transfer(self) -> int:
        number = super().transfer()
        if number >= self._reserved:
            self._reserved = number + _TRANSFERS_AT_ONCE
            self._write({"transfers_below": self._reserved})
        return number

    def met(self, store: bytes) -> None:
        if store != self.store:
            super().met(store)
            self._write({"store": store.hex()})

    def renew(self) -> None:
        super().renew()
        self._reserved = 1
        self._rewrite()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._lock.release()

    def _read(self) -> None:
        text = self._path.read_bytes()
        lines = text.split(b"\n")
        lines.pop()  # empty, or a write that was cut
        try:
            for line in lines:
                self._apply(json.loads(line))
        except (ValueError, KeyError, TypeError):
            raise PixelBoyError(
                f"{self._path} is no state file of this package, or is damaged; move it away to begin with a new id"
            ) from None
        self.next_transfer = self._reserved

    def _apply(self, entry: dict[str, Any]) -> None:
        if "client" in entry:
            self.client = bytes.fromhex(entry["client"])
            if len(self.client) != 16:
                raise ValueError("a client id has 16 bytes")
        if "store" in entry:
            self.store = bytes.fromhex(entry["store"])
        if "next" in entry:
            self.next_number = int(entry["next"])
        if "transfers_below" in entry:
            self._reserved = int(entry["transfers_below"])
        if "request" in entry:
            number = int(entry["request"])
            self.unanswered[number] = Unanswered(str(entry["op"]), base64.b64decode(entry["arguments"], validate=True))
            self.next_number = number + 1
        if "answered" in entry:
            self.unanswered.pop(int(entry["answered"]), None)

    def _rewrite(self) -> None:
        head: dict[str, Any] = {"client": self.client.hex(), "next": self.next_number, "transfers_below": self._reserved}
        if self.store is not None:
            head["store"] = self.store.hex()
        lines = [head] + [_request_line(number, *request) for number, request in self.unanswered.items()]
        # A request's line sets the next number; the true one stands last.
        lines.append({"next": self.next_number})
        text = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        fresh = self._path.with_name(self._path.name + ".new")
        descriptor = os.open(str(fresh), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if self._file is not None:
            self._file.close()  # Windows replaces no open file
            self._file = None
        os.replace(fresh, self._path)
        self._file = open(self._path, "ab", buffering=0)
        self._size = len(text)

    def _write(self, entry: dict[str, Any]) -> None:
        if self._file is None:
            raise PixelBoyError(f"the state file {self._path} is closed")
        line = json.dumps(entry).encode() + b"\n"
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._file.truncate(self._size)  # half a line would spoil the next one
            raise PixelBoyError(f"the state file {self._path} cannot be written: {error.strerror or error}") from error
        self._size += len(line)


def _request_line(number: int, op: str, arguments: bytes) -> dict[str, Any]:
    return {"request": number, "op": op, "arguments": base64.b64encode(arguments).decode("ascii")}


class _Lock:
    """An exclusive lock on a file beside the state, which the system drops when this program ends."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] | None = open(path, "ab")
        try:
            _lock(self._file)
        except OSError:
            self._file.close()
            self._file = None
            raise StateInUse(
                f"another program uses the state file {str(path)[:-5]}; give each program its own, or none"
            ) from None

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _lock(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        import msvcrt

        file.seek(0)
        locking: Any = msvcrt.locking
        locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
