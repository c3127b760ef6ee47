"""The lines of a state file, version 1, as clients/STATE.md describes them; the Rust client reads and writes the same.

Invariant: what was cut off by a crash is dropped, as it was not acted upon yet; any other damage is told.
Not here: files, locks, syncs (`_state_file`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

VERSION = 1
_BEGINNING = b'{"pixelboy_state":'
_OP = re.compile(r"[a-z0-9_-]{1,32}")


class Unanswered(NamedTuple):
    """A request without an answer."""

    op: str
    arguments: bytes  # the encoded args and kwargs
    until_ms: int | None = None  # the device must not begin it later, since 1970


class Kept:
    """What a state file says."""

    def __init__(self, client: bytes, next_number: int, transfers_below: int) -> None:
        self.client = client
        self.store: bytes | None = None
        self.next_number = next_number
        self.transfers_below = transfers_below
        self.unanswered: dict[int, Unanswered] = {}


class Torn(Exception):
    """It was a state file, but is damaged: where."""


class Newer(Exception):
    """It is of a later version of this package."""


class Foreign(Exception):
    """It is something else, which must not be touched."""


def read(data: bytes) -> Kept:
    """Read a whole file."""
    if data.strip(b"\0") and data[: len(_BEGINNING)] != _BEGINNING[: len(data)]:
        raise Foreign
    kept: Kept | None = None
    lines = data.split(b"\n")
    lines.pop()  # nothing, or a line that a crash cut
    for index, line in enumerate(lines):
        try:
            entry = json.loads(line.decode("utf-8"))
            if not isinstance(entry, dict):
                raise ValueError("no object")
            if kept is None:
                kept = _head(entry)
            _apply(kept, entry)
        except (ValueError, KeyError):
            raise Torn(f"line {index + 1}") from None
    if kept is None:
        raise Torn("its beginning")
    return kept


def _head(entry: dict[str, Any]) -> Kept:
    version = _number(entry["pixelboy_state"])
    if version != VERSION:
        raise Newer(str(version))
    return Kept(_id(entry["client"]), _number(entry["next"]), _number(entry["transfers_below"]))


def _apply(kept: Kept, entry: dict[str, Any]) -> None:
    """Unknown names are of later additions that do not matter to this version."""
    if "store" in entry:
        kept.store = _id(entry["store"])
    if "next" in entry:
        kept.next_number = _number(entry["next"])
    if "transfers_below" in entry:
        kept.transfers_below = _number(entry["transfers_below"])
    if "request" in entry:
        number, op = _number(entry["request"]), entry["op"]
        if not isinstance(op, str) or not _OP.fullmatch(op):
            raise ValueError("no opcode")
        until_ms = _number(entry["until_ms"], 0) if "until_ms" in entry else None
        kept.unanswered[number] = Unanswered(op, _bytes(entry["arguments"]), until_ms)
        kept.next_number = max(kept.next_number, number + 1)
    if "given_up" in entry:
        number = _number(entry["given_up"])
        if number in kept.unanswered:
            kept.unanswered[number] = kept.unanswered[number]._replace(until_ms=0)
    if "answered" in entry:
        kept.unanswered.pop(_number(entry["answered"]), None)


def _number(value: object, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 1 << 64:
        raise ValueError("no number")
    return value


def _bytes(value: object) -> bytes:
    if not isinstance(value, str) or not re.fullmatch("(?:[0-9a-fA-F]{2})*", value):
        raise ValueError("no bytes")
    return bytes.fromhex(value)


def _id(value: object) -> bytes:
    found = _bytes(value)
    if len(found) != 16:
        raise ValueError("an id has 16 bytes")
    return found


def line(**entry: object) -> bytes:
    """One line."""
    return json.dumps(entry, separators=(",", ":")).encode("ascii") + b"\n"


def head_line(client: bytes, store: bytes | None, next_number: int, transfers_below: int) -> bytes:
    """The first line."""
    known = {} if store is None else {"store": store.hex()}
    return line(pixelboy_state=VERSION, client=client.hex(), **known, next=next_number, transfers_below=transfers_below)


def request_line(number: int, request: Unanswered) -> bytes:
    """A request that is about to be sent."""
    until = {} if request.until_ms is None else {"until_ms": request.until_ms}
    return line(request=number, op=request.op, arguments=request.arguments.hex(), **until)


def whole(head: bytes, unanswered: Iterable[tuple[int, Unanswered]]) -> bytes:
    """A file without what is over."""
    return head + b"".join(request_line(number, request) for number, request in unanswered)
