"""Frames: one class for each kind, and the splitter that finds them in the byte stream (protocol, sections 1 to 10).

Invariant: a length is checked before anything is kept for it. A field is written here once, for both directions.
Not here: when a frame is sent, and what it causes (`_session`). A bad frame is `BadFrame`, with the reason's code.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Callable, ClassVar, NamedTuple, Union, cast

from . import _postcard as postcard
from ._limits import MAX_FRAME_BYTES, Limits
from ._postcard import Malformed, Reader, TooMuch
from ._values import Value, put_pairs, put_values, take_arguments, take_values

PREAMBLE = b"\0PXLBOY\x01"
VERSION = 1
HEADER = struct.Struct("<IB")
_LENGTH = struct.Struct("<I")
_DEFAULTS = Limits()

CANCELLED, OUTCOME_UNKNOWN = 12, 24
MESSAGE_BYTES = 1_024  # of a failure's message, and of a detail: name and text together
DETAILS = 16
CONFIRM_ALSO = 1_024

# Reasons of Close and Abort that this side sends or tells apart (protocol, section 11).
CLOSED, BAD_FRAME, UNKNOWN_KIND, FRAME_TOO_LARGE, NO_COMMON_VERSION = 100, 101, 102, 103, 104
HELLO_EXPECTED, AUTH_REFUSED, FENCED, CLIENT_FORGOTTEN, BAD_NUMBER = 105, 106, 107, 108, 109
LIMIT_EXCEEDED, TOO_MANY_CLIENTS, BAD_CHUNK, SILENT = 110, 111, 112, 113

# After these a client stops and reports: sending the same again would end the same.
FATAL = frozenset(
    (BAD_FRAME, UNKNOWN_KIND, FRAME_TOO_LARGE, NO_COMMON_VERSION, HELLO_EXPECTED, AUTH_REFUSED, BAD_NUMBER, LIMIT_EXCEEDED, BAD_CHUNK)
)


class BadFrame(Exception):
    """The other side broke a rule of the protocol; `code` is the reason to close with."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


# --- how each kind of field is written and read -------------------------------------------------------------------


class _Field(NamedTuple):
    put: Callable[[bytearray, Any], None]
    take: Callable[[Reader], Any]


def _number(bits: int) -> _Field:
    return _Field(postcard.put_varint, lambda reader: reader.varint(bits))


def _fixed(size: int) -> _Field:
    return _Field(lambda out, data: postcard.put_fixed(out, data, size), lambda reader: reader.fixed(size))


def _option(field: _Field) -> _Field:
    return _Field(
        lambda out, value: postcard.put_option(out, value, field.put),
        lambda reader: reader.option(lambda: field.take(reader)),
    )


def _list(field: _Field) -> _Field:
    def put(out: bytearray, values: Any) -> None:
        postcard.put_varint(out, len(values))
        for value in values:
            field.put(out, value)

    return _Field(put, lambda reader: [field.take(reader) for _ in range(reader.count())])


def _both(first: _Field, second: _Field) -> _Field:
    def put(out: bytearray, pair: Any) -> None:
        first.put(out, pair[0])
        second.put(out, pair[1])

    return _Field(put, lambda reader: (first.take(reader), second.take(reader)))


_U8 = _Field(lambda out, value: out.append(value), lambda reader: reader.byte())
_BOOL = _Field(lambda out, value: out.append(1 if value else 0), lambda reader: reader.boolean())
_U16, _U32, _U64 = _number(16), _number(32), _number(64)
_TEXT = _Field(postcard.put_text, lambda reader: reader.text())
_BYTES = _Field(postcard.put_bytes, lambda reader: reader.blob())
_ID, _DIGEST = _fixed(16), _fixed(32)
_VALUES = _Field(lambda out, values: put_values(out, values, _DEFAULTS), lambda reader: take_values(reader, _DEFAULTS))
_ROWS = _Field(_VALUES.put, lambda reader: take_values(reader, _DEFAULTS, unlimited=True))


# --- enums ----------------------------------------------------------------------------------------------------------


class Done(NamedTuple):
    """It succeeded."""

    values: list[Value]


class Failed(NamedTuple):
    """It did not."""

    code: int
    message: str
    details: tuple[tuple[str, str], ...] = ()


Outcome = Union[Done, Failed]
_DETAILS = _list(_both(_TEXT, _TEXT))


def _put_outcome(out: bytearray, outcome: Outcome) -> None:
    if isinstance(outcome, Done):
        out.append(0)
        _VALUES.put(out, outcome.values)
    else:
        out.append(1)
        _U16.put(out, outcome.code)
        _TEXT.put(out, outcome.message)
        _DETAILS.put(out, outcome.details)


def _take_outcome(reader: Reader) -> Outcome:
    variant = reader.varint(32)
    if variant == 0:
        return Done(take_values(reader, _DEFAULTS, together=True))
    if variant == 1:
        code, message, details = _U16.take(reader), _TEXT.take(reader), tuple(_DETAILS.take(reader))
        sizes = [len((name + text).encode("utf-8")) for name, text in details]
        if len(message.encode("utf-8")) > MESSAGE_BYTES or len(details) > DETAILS or any(size > MESSAGE_BYTES for size in sizes):
            raise TooMuch("a failure whose message or details are over the limit")
        return Failed(code, message, details)
    raise Malformed(f"no outcome has the variant {variant}")


class At(NamedTuple):
    """Send, or expect, from this offset; at first up to `limit`."""

    offset: int
    limit: int


class Complete(NamedTuple):
    """Nothing to send."""


class Consumed(NamedTuple):
    """That request has used the upload."""

    number: int


OpenState = Union[At, Complete, Consumed]


def _put_state(out: bytearray, state: OpenState) -> None:
    if isinstance(state, At):
        out.append(0)
        _U64.put(out, state.offset)
        _U64.put(out, state.limit)
    elif isinstance(state, Complete):
        out.append(1)
    else:
        out.append(2)
        _U64.put(out, state.number)


def _take_state(reader: Reader) -> OpenState:
    variant = reader.varint(32)
    if variant == 0:
        return At(reader.varint(64), reader.varint(64))
    if variant == 1:
        return Complete()
    if variant == 2:
        return Consumed(reader.varint(64))
    raise Malformed(f"no state of a transfer has the variant {variant}")


_OUTCOME = _Field(_put_outcome, _take_outcome)
_STATE = _Field(_put_state, _take_state)


# --- the frames -----------------------------------------------------------------------------------------------------


class Frame:
    """What all kinds share. A subclass lists its fields in `__slots__` order and their forms in `form`."""

    __slots__ = cast(tuple[str, ...], ())
    kind: ClassVar[int]
    form: ClassVar[tuple[_Field, ...]] = ()

    def __init__(self, *values: Any, **named: Any) -> None:
        names = self.__slots__
        if len(values) + len(named) != len(names):
            raise TypeError(f"{type(self).__name__} takes {names}")
        for name, value in zip(names, values):
            setattr(self, name, value)
        for name, value in named.items():
            setattr(self, name, value)

    def body(self) -> bytes:
        """The encoded fields."""
        out = bytearray()
        for field, name in zip(self.form, self.__slots__):
            field.put(out, getattr(self, name))
        return bytes(out)

    def encode(self) -> bytes:
        """Header and body."""
        return pack(self.kind, self.body())

    @classmethod
    def decode(cls, body: bytes) -> Frame:
        """The frame in a body; what is left over after its fields came with a later version and is ignored."""
        reader = Reader(body)
        return cls(*[field.take(reader) for field in cls.form])

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(getattr(self, n) == getattr(other, n) for n in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


class Hello(Frame):
    """A client presents itself."""

    __slots__ = ("min_version", "max_version", "client", "name", "last_store", "lowest_unconfirmed", "flags")
    kind = 0x01
    form = (_U16, _U16, _ID, _TEXT, _option(_ID), _U64, _U64)
    min_version: int
    max_version: int
    client: bytes
    name: str
    last_store: bytes | None
    lowest_unconfirmed: int
    flags: int

    @classmethod
    def decode(cls, body: bytes) -> Hello:
        reader = Reader(body)
        hello = cls(*[field.take(reader) for field in cls.form])
        if len(hello.name.encode("utf-8")) > 64:
            raise Malformed("a client's name of more than 64 bytes")
        return hello


class Welcome(Frame):
    """The host takes the client in."""

    __slots__ = ("version", "store", "resumed", "executed_through", "received_through", "limits", "table", "host")
    kind = 0x02
    form = (_U16, _ID, _BOOL, _U64, _U64, _list(_both(_U8, _U64)), _ID, _TEXT)
    version: int
    store: bytes
    resumed: bool
    executed_through: int
    received_through: int
    limits: list[tuple[int, int]]
    table: bytes
    host: str


class Challenge(Frame):
    """The host asks for a proof."""

    __slots__ = ("method", "data")
    kind = 0x03
    form = (_TEXT, _BYTES)
    method: str
    data: bytes


class Auth(Frame):
    """The client proves who it is."""

    __slots__ = ("method", "data")
    kind = 0x04
    form = (_TEXT, _BYTES)
    method: str
    data: bytes


class Close(Frame):
    """The last frame."""

    __slots__ = ("code", "message")
    kind = 0x05
    form = (_U16, _TEXT)
    code: int
    message: str


class Goodbye(Frame):
    """The client will not come back under this id."""

    __slots__ = ()
    kind = 0x06


class Ping(Frame):
    """Are you there?"""

    __slots__ = ("token",)
    kind = 0x07
    form = (_U64,)
    token: int


class Pong(Frame):
    """Yes."""

    __slots__ = ("token",)
    kind = 0x08
    form = (_U64,)
    token: int


class Request(Frame):
    """One call of an opcode. `arguments` holds the encoded fields `args` and `kwargs`, which must stay the same bytes."""

    __slots__ = ("number", "confirmed", "deadline_ms", "op", "arguments")
    kind = 0x10
    number: int
    confirmed: int
    deadline_ms: int | None
    op: str
    arguments: bytes

    def body(self) -> bytes:
        out = bytearray()
        _U64.put(out, self.number)
        _U64.put(out, self.confirmed)
        _option(_U64).put(out, self.deadline_ms)
        _TEXT.put(out, self.op)
        out += self.arguments
        return bytes(out)

    @classmethod
    def decode(cls, body: bytes) -> Request:
        reader = Reader(body)
        head = (reader.varint(64), reader.varint(64), reader.option(lambda: reader.varint(64)), reader.text())
        return cls(*head, body[reader.position :])

    def digested(self) -> bytes:
        """What the digest is over: `op`, `args` and `kwargs` as they are sent."""
        out = bytearray()
        _TEXT.put(out, self.op)
        return bytes(out) + self.arguments

    def values(self) -> tuple[list[Value], list[tuple[str, Value]]]:
        """`args` and `kwargs`, decoded."""
        return take_arguments(Reader(self.arguments), _DEFAULTS)


class Reply(Frame):
    """The answer to a request."""

    __slots__ = ("number", "stored", "recorded", "outcome")
    kind = 0x11
    form = (_U64, _option(_U64), _BOOL, _OUTCOME)
    number: int
    stored: int | None
    recorded: bool
    outcome: Outcome


class Confirm(Frame):
    """The client has all replies up to and including `through`, and those of the numbers in `also`."""

    __slots__ = ("through", "also")
    kind = 0x12
    form = (_U64, _list(_U64))
    through: int
    also: list[int]

    @classmethod
    def decode(cls, body: bytes) -> Confirm:
        reader = Reader(body)
        confirm = cls(*[field.take(reader) for field in cls.form])
        if len(confirm.also) > CONFIRM_ALSO:
            raise TooMuch(f"more than {CONFIRM_ALSO} numbers in one confirmation")
        if any(left >= right for left, right in zip(confirm.also, confirm.also[1:])):
            raise Malformed("the numbers of a confirmation do not rise")
        return confirm


class Cancel(Frame):
    """Drop that operation if it has not begun to commit."""

    __slots__ = ("number",)
    kind = 0x13
    form = (_U64,)
    number: int


class TimeOut(Frame):
    """Nothing came from the client for its receive time-out."""

    __slots__ = ("idle_ms",)
    kind = 0x18
    form = (_U64,)
    idle_ms: int


class Push(Frame):
    """The device tells something."""

    __slots__ = ("op", "args")
    kind = 0x19
    form = (_TEXT, _VALUES)
    op: str
    args: list[Value]


class Bind(Frame):
    """The client offers an opcode, or takes the offer back."""

    __slots__ = ("op", "bound")
    kind = 0x1A
    form = (_TEXT, _BOOL)
    op: str
    bound: bool


class Call(Frame):
    """The device calls an opcode that the client offers."""

    __slots__ = ("number", "op", "args", "kwargs", "deadline_ms")
    kind = 0x1B
    number: int
    op: str
    args: list[Value]
    kwargs: list[tuple[str, Value]]
    deadline_ms: int | None

    def body(self) -> bytes:
        out = bytearray()
        _U64.put(out, self.number)
        _TEXT.put(out, self.op)
        put_values(out, self.args, _DEFAULTS)
        put_pairs(out, self.kwargs, _DEFAULTS)
        _option(_U64).put(out, self.deadline_ms)
        return bytes(out)

    @classmethod
    def decode(cls, body: bytes) -> Call:
        reader = Reader(body)
        number, op = reader.varint(64), reader.text()
        args, kwargs = take_arguments(reader, _DEFAULTS)
        return cls(number, op, args, kwargs, reader.option(lambda: reader.varint(64)))


class CallReply(Frame):
    """The client's answer to a call."""

    __slots__ = ("number", "outcome")
    kind = 0x1C
    form = (_U64, _OUTCOME)
    number: int
    outcome: Outcome


class CallCancel(Frame):
    """Nobody waits for that call any more."""

    __slots__ = ("number",)
    kind = 0x1D
    form = (_U64,)
    number: int


class CallCredit(Frame):
    """Calls up to this number may be sent."""

    __slots__ = ("through",)
    kind = 0x1E
    form = (_U64,)
    through: int


class OpenUpload(Frame):
    """The client wants to send bytes."""

    __slots__ = ("transfer", "length", "sha256", "mode")
    kind = 0x20
    form = (_U64, _option(_U64), _option(_DIGEST), _U8)
    transfer: int
    length: int | None
    sha256: bytes | None
    mode: int


class OpenDownload(Frame):
    """The client wants the bytes of a blob."""

    __slots__ = ("transfer", "blob", "offset", "limit")
    kind = 0x21
    form = (_U64, _U64, _U64, _U64)
    transfer: int
    blob: int
    offset: int
    limit: int


class Opened(Frame):
    """The transfer may begin."""

    __slots__ = ("transfer", "state", "length", "sha256")
    kind = 0x22
    form = (_U64, _STATE, _option(_U64), _option(_DIGEST))
    transfer: int
    state: OpenState
    length: int | None
    sha256: bytes | None


class Credit(Frame):
    """The receiver allows bytes below `limit`."""

    __slots__ = ("transfer", "limit")
    kind = 0x23
    form = (_U64, _U64)
    transfer: int
    limit: int


class Data(Frame):
    """A chunk. Its CRC is little-endian as a varint; the raw bytes reach to the end of the body."""

    __slots__ = ("transfer", "offset", "crc32c", "chunk")
    kind = 0x24
    transfer: int
    offset: int
    crc32c: int
    chunk: bytes

    def body(self) -> bytes:
        out = bytearray()
        _U64.put(out, self.transfer)
        _U64.put(out, self.offset)
        _U32.put(out, self.crc32c)
        out += self.chunk
        return bytes(out)

    @classmethod
    def decode(cls, body: bytes) -> Data:
        reader = Reader(body)
        head = (reader.varint(64), reader.varint(64), reader.varint(32))
        if reader.left > _DEFAULTS.chunk_bytes:
            raise TooMuch(f"a chunk of more than {_DEFAULTS.chunk_bytes} bytes")
        return cls(*head, body[reader.position :])


class Finish(Frame):
    """All bytes were sent."""

    __slots__ = ("transfer", "length", "sha256")
    kind = 0x25
    form = (_U64, _U64, _DIGEST)
    transfer: int
    length: int
    sha256: bytes


class Finished(Frame):
    """The upload is whole and on disk."""

    __slots__ = ("transfer", "sha256")
    kind = 0x26
    form = (_U64, _DIGEST)
    transfer: int
    sha256: bytes


class Durable(Frame):
    """So much of the upload is on disk."""

    __slots__ = ("transfer", "offset")
    kind = 0x27
    form = (_U64, _U64)
    transfer: int
    offset: int


class Abort(Frame):
    """The transfer ends here."""

    __slots__ = ("transfer", "code", "message")
    kind = 0x28
    form = (_U64, _U16, _TEXT)
    transfer: int
    code: int
    message: str


class GetTable(Frame):
    """The client asks for the opcode table."""

    __slots__ = ()
    kind = 0x30


class Table(Frame):
    """A part of the opcode table."""

    __slots__ = ("digest", "total", "first", "ops")
    kind = 0x31
    form = (_ID, _U32, _U32, _ROWS)
    digest: bytes
    total: int
    first: int
    ops: list[Value]


class TableChanged(Frame):
    """The opcode table is another one now."""

    __slots__ = ("digest",)
    kind = 0x80
    form = (_ID,)
    digest: bytes


# What only clients send: a host that does has lost its way.
FROM_CLIENTS = (
    Hello, Auth, Goodbye, Request, Confirm, Cancel, Bind, CallReply, CallCredit, OpenUpload, OpenDownload, GetTable,
)  # fmt: skip

KINDS: dict[int, type[Frame]] = {kind.kind: kind for kind in Frame.__subclasses__()}


def pack(kind: int, body: bytes) -> bytes:
    """A frame with its header."""
    return HEADER.pack(len(body), kind) + body


def decode(kind: int, body: bytes) -> Frame | None:
    """The frame, or None for an optional kind that this version does not know (`Splitter` refuses the others)."""
    known = KINDS.get(kind)
    if known is None:
        return None
    try:
        return known.decode(body)
    except Malformed as error:
        code = LIMIT_EXCEEDED if isinstance(error, TooMuch) else BAD_FRAME
        raise BadFrame(code, f"{known.__name__}: {error}") from None


class Splitter:
    """Finds frames in a byte stream, however it was cut."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self.max_frame_bytes = max_frame_bytes
        self._kept = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Kind and body of each frame that is whole now."""
        kept = self._kept
        kept += data
        position, end, header = 0, len(kept), HEADER.size
        try:
            while end - position >= 4:
                (length,) = _LENGTH.unpack_from(kept, position)
                if length > self.max_frame_bytes:
                    raise BadFrame(FRAME_TOO_LARGE, f"a frame of {length} bytes, at most {self.max_frame_bytes} are allowed")
                if end - position < header:
                    break
                kind = kept[position + 4]
                if kind < 0x80 and kind not in KINDS:
                    raise BadFrame(UNKNOWN_KIND, f"frame of the unknown kind 0x{kind:02x}")
                if end - position - header < length:
                    break
                start = position + header
                position = start + length
                with memoryview(kept) as whole:
                    body = bytes(whole[start:position])
                yield kind, body
        finally:
            del kept[:position]
