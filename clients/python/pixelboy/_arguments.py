"""From what a caller gives to what can be sent: files and large bytes become uploads.

Invariant: what is `NotSendable` is refused before anything moves. Files that were opened here are closed in every case.
Not here: pictures and sound (`_media`), values (`_values`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional, Union

from . import _source as source
from ._blob import Blob, Progress
from ._guard import Guard
from ._job import Upload
from ._limits import UPLOAD_BY_ITSELF_BYTES, Limits
from ._table import Op
from ._transfer import Sending
from .errors import NotSendable

TypeOf = Callable[[Union[int, str]], Optional[str]]


class Arguments:
    """Arguments on their way; `args` and `kwargs` are final, with `Sending` in place of what is uploaded."""

    def __init__(self, guard: Guard, progress: Progress | None) -> None:
        self.args: list[Any] = []
        self.kwargs: dict[str, Any] = {}
        self._guard = guard
        self._progress = progress
        self._made: list[Sending] = []

    def take(self, args: Sequence[object], kwargs: Mapping[str, object], type_of: TypeOf) -> None:
        """Convert all; closes what it opened when one does not fit."""
        try:
            self.args = [self._convert(value, type_of(position), f"argument {position + 1}") for position, value in enumerate(args)]
            # A trailing underscore keeps clear of Python's own words: from_=…, timeout_=…
            names = {name[:-1] if name.endswith("_") and len(name) > 1 else name: value for name, value in kwargs.items()}
            self.kwargs = {name: self._convert(value, type_of(name), name) for name, value in names.items()}
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Nothing will be sent after all."""
        for upload in self._made:
            upload.source.close()

    def _convert(self, value: Any, kind: str | None, name: str) -> Any:
        if isinstance(value, (str, bool, int, float, type(None), Upload, Sending)):
            most = _inline_bytes(kind)
            if isinstance(value, str) and 4 * len(value) > most and len(value.encode("utf-8", "surrogatepass")) > most:
                return self._upload(value, name)
            return value
        if isinstance(value, Blob):
            value = value.read()
        if isinstance(value, (bytes, bytearray, memoryview)):
            size = len(value) if not isinstance(value, memoryview) else value.nbytes
            if size > _inline_bytes(kind):
                return self._upload(value, name)
            return value
        if isinstance(value, os.PathLike) or source.is_file(value):
            if kind not in (None, "data", "any", "any inside"):
                raise NotSendable(
                    f"{name} is {kind}, not the contents of a file; names on the device are text such as 'cat.png' "
                    f"(got a {type(value).__name__})"
                )
            return self._upload(value, name)
        if isinstance(value, (list, tuple)):
            return [self._convert(inner, "any inside", name) for inner in value]
        if isinstance(value, dict):
            return {key: self._convert(inner, "any inside", name) for key, inner in value.items()}
        return value

    def _upload(self, value: object, name: str) -> Sending:
        upload = Sending(source.of(value, name), self._progress, self._guard)
        self._made.append(upload)
        return upload


def _inline_bytes(kind: str | None) -> int:
    """What travels in the call itself. Where the type is not known, an upload is the last resort; elsewhere it is refused."""
    if kind == "data":
        return UPLOAD_BY_ITSELF_BYTES
    return Limits().inline_bytes if kind in (None, "any") else 1 << 62


# The data arguments of the opcodes that have methods of their own; they need no table.
_KNOWN: dict[str, tuple[tuple[str, str], ...]] = {
    "ss": (("path", "text"), ("text", "data"), ("mode", "text")),
    "si": (("image", "data"), ("name", "text")),
    "sm": (("frame_rate", "int"), ("audio", "data"), ("name", "text")),
    "sg": (("fps", "float"), ("gif", "data"), ("name", "text")),
}


def known_types(op: str) -> TypeOf:
    """The types of an opcode that has a method; text for all that the method passes on."""
    row = _KNOWN.get(op, ())

    def type_of(key: int | str) -> str | None:
        for position, (name, kind) in enumerate(row):
            if key in (position, name):
                return kind
        return "text"

    return type_of


def table_types(row: Op | None) -> TypeOf:
    """The types as the device's table has them; unknown where it has none."""
    return row.type_of if row is not None else lambda key: None
