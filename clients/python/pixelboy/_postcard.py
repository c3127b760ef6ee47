"""Postcard, the encoding of the protocol's bodies: pure functions over bytes.

Invariant: a decoder never reads past its end and never makes more than the bytes allow; a bad body is `Malformed`.
Not here: what the fields mean (`_frames`, `_values`).
"""

from __future__ import annotations

import struct
from typing import Callable, TypeVar

T = TypeVar("T")

_F64 = struct.Struct("<d")


class Malformed(ValueError):
    """A body that does not decode."""


class TooMuch(Malformed):
    """A body that decodes, but over a limit of the protocol."""


def put_varint(out: bytearray, number: int) -> None:
    """Append an unsigned integer, little-endian base 128."""
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def put_zigzag(out: bytearray, number: int) -> None:
    """Append a signed 64-bit integer."""
    put_varint(out, number << 1 if number >= 0 else (-number << 1) - 1)


def put_bytes(out: bytearray, data: bytes | bytearray | memoryview) -> None:
    """Append bytes with their length."""
    put_varint(out, len(data))
    out += data


def put_text(out: bytearray, text: str) -> None:
    """Append text as UTF-8 with its length in bytes."""
    put_bytes(out, text.encode("utf-8"))


def put_float(out: bytearray, number: float) -> None:
    """Append an f64, little-endian."""
    out += _F64.pack(number)


def put_fixed(out: bytearray, data: bytes, size: int) -> None:
    """Append bytes whose number both sides know."""
    if len(data) != size:
        raise ValueError(f"expected {size} bytes, got {len(data)}")
    out += data


def put_option(out: bytearray, value: T | None, put: Callable[[bytearray, T], None]) -> None:
    """Append `00`, or `01` and the value."""
    if value is None:
        out.append(0)
    else:
        out.append(1)
        put(out, value)


def as_text(data: bytes) -> str:
    """UTF-8, or `Malformed`."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("a text is not UTF-8") from None


class Reader:
    """Takes fields off the front of a body."""

    __slots__ = ("_data", "_end", "position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._end = len(data)
        self.position = 0

    @property
    def left(self) -> int:
        """Bytes not yet taken."""
        return self._end - self.position

    def byte(self) -> int:
        """A u8."""
        if self.position >= self._end:
            raise Malformed("the body ends in the middle of a field")
        value = self._data[self.position]
        self.position += 1
        return value

    def varint(self, bits: int = 64) -> int:
        """An unsigned integer that fits `bits`, in no more bytes than it needs."""
        number = shift = 0
        while True:
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                if byte == 0 and shift:
                    raise Malformed("a number is longer than it needs to be")
                break
            shift += 7
            if shift >= bits:
                raise Malformed(f"a varint is longer than {bits} bits need")
        if number >> bits:
            raise Malformed(f"a number does not fit {bits} bits")
        return number

    def zigzag(self) -> int:
        """A signed 64-bit integer."""
        number = self.varint(64)
        return number >> 1 ^ -(number & 1)

    def fixed(self, size: int) -> bytes:
        """So many bytes."""
        end = self.position + size
        if end > self._end:
            raise Malformed("the body ends in the middle of a field")
        data = self._data[self.position : end]
        self.position = end
        return data

    def blob(self) -> bytes:
        """Bytes with their length in front."""
        return self.fixed(self.varint(64))

    def text(self) -> str:
        """UTF-8 text with its length in front."""
        return as_text(self.blob())

    def f64(self) -> float:
        """An f64."""
        (number,) = _F64.unpack(self.fixed(8))
        return float(number)

    def boolean(self) -> bool:
        """0 or 1."""
        byte = self.byte()
        if byte > 1:
            raise Malformed(f"expected a bool, got the byte {byte}")
        return byte == 1

    def option(self, take: Callable[[], T]) -> T | None:
        """None, or what `take` takes."""
        return take() if self.boolean() else None

    def count(self) -> int:
        """The number of elements of a list; each needs at least one byte, so more than bytes are left is a lie."""
        count = self.varint(64)
        if count > self.left:
            raise Malformed("a list is longer than its body")
        return count
