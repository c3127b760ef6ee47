"""Values: what arguments and replies are made of, in Python's types and on the wire (protocol, section 4).

Invariant: what is encoded keeps the device's limits, and what is decoded is checked against them, so that neither side
has to close the connection over it. Not here: turning files and pictures into uploads (`_arguments`).
A value that cannot travel is `NotSendable`, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Union

from . import _postcard as postcard
from ._limits import Limits
from ._postcard import Malformed, Reader, TooMuch
from .errors import NotSendable

_NULL, _BOOL, _INT, _FLOAT, _TEXT, _BYTES, _LIST, _MAP, _UPLOAD, _BLOB = range(10)


class UploadRef(NamedTuple):
    """A finished upload, as a request names it."""

    transfer: int


class BlobRef(NamedTuple):
    """What is to be fetched, as a reply names it: `form` is one of the three below, any other is taken as bytes."""

    id: int
    length: int
    sha256: bytes | None
    form: int = 0


AS_BYTES, AS_TEXT, AS_VALUES = 0, 1, 2


# Recursive types are not expressible for Python 3.9's checkers without help: lists and dicts hold values again.
Value = Union[None, bool, int, float, str, bytes, list[Any], dict[str, Any], UploadRef, BlobRef]


def encode_arguments(args: Sequence[object], kwargs: dict[str, object], limits: Limits) -> bytes:
    """The fields `args` and `kwargs` of a request."""
    encoder = _Encoder(limits)
    out = encoder.out
    postcard.put_varint(out, len(args))
    for position, value in enumerate(args, 1):
        encoder.value(value, f"argument {position}", 0)
    postcard.put_varint(out, len(kwargs))
    for name, value in kwargs.items():
        postcard.put_text(out, name)
        encoder.value(value, f"argument {name!r}", 0)
    return bytes(out)


def put_values(out: bytearray, values: Sequence[object], limits: Limits) -> None:
    """A list of values, as in the answer to a call of the device."""
    encoder = _Encoder(limits, out)
    postcard.put_varint(out, len(values))
    for position, value in enumerate(values, 1):
        encoder.value(value, f"value {position}", 0)


def put_pairs(out: bytearray, pairs: Sequence[tuple[str, object]], limits: Limits) -> None:
    """A list of named values."""
    encoder = _Encoder(limits, out)
    postcard.put_varint(out, len(pairs))
    for name, value in pairs:
        postcard.put_text(out, name)
        encoder.value(value, f"argument {name!r}", 0)


class _Encoder:
    def __init__(self, limits: Limits, out: bytearray | None = None) -> None:
        self.out = bytearray() if out is None else out
        self._limits = limits
        self._nodes = 0

    def value(self, value: object, where: str, depth: int) -> None:
        """Append one value; `where` is for the message, `depth` counts the lists and maps around it."""
        out = self.out
        self._nodes += 1
        if self._nodes > self._limits.nodes:
            raise NotSendable(f"more than {self._limits.nodes} values in one call; send them in several, or as bytes")
        if value is None:
            out.append(_NULL)
        elif isinstance(value, bool):
            out += bytes((_BOOL, value))
        elif isinstance(value, int):
            if not -(1 << 63) <= value < 1 << 63:
                raise NotSendable(f"{where}: {value} does not fit a 64-bit integer; send it as text")
            out.append(_INT)
            postcard.put_zigzag(out, value)
        elif isinstance(value, float):
            out.append(_FLOAT)
            postcard.put_float(out, value)
        elif isinstance(value, str):
            try:
                data = value.encode("utf-8")
            except UnicodeEncodeError:
                raise NotSendable(f"{where}: the text has lone surrogates, which UTF-8 cannot hold") from None
            out.append(_TEXT)
            self._sized(data, where, "text")
        elif isinstance(value, (bytes, bytearray)):
            out.append(_BYTES)
            self._sized(value, where, "bytes")
        elif isinstance(value, memoryview):
            out.append(_BYTES)
            self._sized(value.tobytes(), where, "bytes")
        elif isinstance(value, UploadRef):
            out.append(_UPLOAD)
            postcard.put_varint(out, value.transfer)
        elif isinstance(value, BlobRef):  # only a host sends these; here for tests that play one
            out.append(_BLOB)
            postcard.put_varint(out, value.id)
            postcard.put_varint(out, value.length)
            postcard.put_option(out, value.sha256, lambda out, digest: postcard.put_fixed(out, digest, 32))
            out.append(value.form)
        elif isinstance(value, (list, tuple)):
            self._nest(depth, where)
            out.append(_LIST)
            postcard.put_varint(out, len(value))
            for position, element in enumerate(value, 1):
                self.value(element, f"{where}, element {position}", depth + 1)
        elif isinstance(value, dict):
            self._nest(depth, where)
            out.append(_MAP)
            postcard.put_varint(out, len(value))
            for key, element in value.items():
                if not isinstance(key, str):
                    raise NotSendable(f"{where}: keys of a map are text, got {key!r}")
                postcard.put_text(out, key)
                self.value(element, f"{where}, key {key!r}", depth + 1)
        elif hasattr(value, "dtype") and hasattr(value, "item") and getattr(value, "shape", None) == ():
            self._nodes -= 1
            self.value(value.item(), where, depth)  # a NumPy scalar
        else:
            raise NotSendable(
                f"{where}: a {type(value).__name__} cannot be sent; "
                "None, bool, int, float, str, bytes, lists and dicts of these can, and files where the opcode takes data"
            )

    def _sized(self, data: bytes | bytearray, where: str, kind: str) -> None:
        if len(data) > self._limits.inline_bytes:
            raise NotSendable(
                f"{where}: {len(data)} bytes of {kind}, at most {self._limits.inline_bytes} travel in a call; "
                "use PixelBoy.upload() if the opcode takes data"
            )
        postcard.put_bytes(self.out, data)

    def _nest(self, depth: int, where: str) -> None:
        if depth >= self._limits.nesting:
            raise NotSendable(f"{where}: lists and maps nested deeper than {self._limits.nesting}")


class _Budget:
    """What one frame may still hold while it is decoded."""

    __slots__ = ("inline", "left", "nesting", "nodes")

    def __init__(self, limits: Limits) -> None:
        self.nodes = limits.nodes
        self.nesting = limits.nesting
        self.inline = limits.inline_bytes
        self.left = 1 << 62  # bytes of text and bytes together

    def sized(self, size: int) -> None:
        self.left -= size
        if size > self.inline or self.left < 0:
            raise TooMuch("text or bytes over the limit")


def take_values(reader: Reader, limits: Limits, *, together: bool = False, unlimited: bool = False) -> list[Value]:
    """A list of values. `together`: the inline limit is for all of them; `unlimited`: only nesting is limited."""
    budget = _Budget(limits)
    if together:
        budget.left = limits.inline_bytes
    if unlimited:
        budget.nodes = budget.inline = reader.left
    return [_take(reader, budget, 0) for _ in range(reader.count())]


def take_arguments(reader: Reader, limits: Limits) -> tuple[list[Value], list[tuple[str, Value]]]:
    """The fields `args` and `kwargs`, which share their limits."""
    budget = _Budget(limits)
    args = [_take(reader, budget, 0) for _ in range(reader.count())]
    return args, [(reader.text(), _take(reader, budget, 0)) for _ in range(reader.count())]


def _take(reader: Reader, budget: _Budget, depth: int) -> Value:
    budget.nodes -= 1
    if budget.nodes < 0:
        raise TooMuch("more values than the limit")
    variant = reader.varint(32)
    if variant == _NULL:
        return None
    if variant == _BOOL:
        return reader.boolean()
    if variant == _INT:
        return reader.zigzag()
    if variant == _FLOAT:
        return reader.f64()
    if variant == _TEXT:
        data = reader.blob()
        budget.sized(len(data))
        return postcard.as_text(data)
    if variant == _BYTES:
        data = reader.blob()
        budget.sized(len(data))
        return data
    if variant in (_LIST, _MAP):
        if depth >= budget.nesting:
            raise TooMuch("lists and maps nested deeper than the limit")
        if variant == _LIST:
            return [_take(reader, budget, depth + 1) for _ in range(reader.count())]
        pairs: dict[str, Any] = {}
        for _ in range(reader.count()):
            key = reader.text()
            if key in pairs:
                raise Malformed(f"a map has the key {key!r} twice")
            pairs[key] = _take(reader, budget, depth + 1)
        return pairs
    if variant == _UPLOAD:
        return UploadRef(reader.varint(64))
    if variant == _BLOB:
        return BlobRef(reader.varint(64), reader.varint(64), reader.option(lambda: reader.fixed(32)), reader.byte())
    raise Malformed(f"no value has the variant {variant}")
