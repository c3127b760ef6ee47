"""What a call returns.

Invariant: a large reply looks the same as a small one: text that came as a transfer is text, values are values; only bytes
stay with the device until they are read (`Blob`). Not here: fetching (`_blob`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Callable

from ._blob import Blob
from ._limits import Limits
from ._postcard import Malformed, Reader
from ._values import AS_TEXT, AS_VALUES, BlobRef, take_values
from .errors import ProtocolError

_MAX_TEXT_BYTES = 64 << 20  # of a reply that is fetched whole; bytes have no limit


class Reply:
    """The answer of the device.

    `values` holds all values, `value` the single one. `stored` is the position in the device's commit order if something
    was written, and then it is on its disk; else None. `recorded`: it had been done before, this is the answer from then.
    A reply with one map or list can be used like it: `reply["size"]`, `for file in pb.ls():`.
    """

    def __init__(
        self,
        op: str,
        raw: Sequence[object],
        stored: int | None = None,
        recorded: bool = False,
        blob: Callable[[BlobRef], Blob] | None = None,
    ) -> None:
        self.op = op
        self.stored = stored
        self.recorded = recorded
        self.raw = list(raw)  # as they came: with references in place of blobs
        self._blob = blob
        self._values: tuple[Any, ...] | None = None

    def fetch(self) -> None:
        """Fetch text and values that were too large for the reply, while the device certainly has them."""
        self._values = tuple(resolved(self.raw, self._blob)) if self._values is None else self._values

    @property
    def values(self) -> tuple[Any, ...]:
        """All values. Fetches them from the device first where they were too large for the reply."""
        self.fetch()
        return self._values or ()

    @property
    def value(self) -> Any:
        """The single value; None if there is none; a tuple of all if there are several."""
        values = self.values
        return values[0] if len(values) == 1 else values or None

    def __getitem__(self, key: str | int | slice) -> Any:
        return self.value[key]

    def __iter__(self) -> Iterator[Any]:
        value = self.value
        return iter(value if isinstance(value, (list, tuple, dict)) else self.values)

    def __len__(self) -> int:
        value = self.value
        return len(value) if isinstance(value, (list, tuple, dict)) else len(self.values)

    def __bool__(self) -> bool:
        return True  # a reply is a success, also an empty one

    def __str__(self) -> str:
        text = ", ".join(_words(value) for value in self.values) or "done"
        notes = [f"stored at {self.stored}"] if self.stored is not None else []
        notes += ["done before"] if self.recorded else []
        return f"{text} ({', '.join(notes)})" if notes else text

    def __repr__(self) -> str:
        return f"<Reply to {self.op}: {self}>"


def _words(value: object, inside: bool = False) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, dict):
        text = ", ".join(f"{key}: {_words(inner, True)}" for key, inner in value.items())
        return f"{{{text}}}" if inside else text
    if isinstance(value, list):
        return f"[{', '.join(_words(inner, True) for inner in value)}]"
    return "null" if value is None else str(value)


def resolved(raw: Sequence[object], blob: Callable[[BlobRef], Blob] | None) -> list[Any]:
    """Values with blobs in place of references; text and value lists that came as blobs are fetched."""
    if len(raw) == 1 and isinstance(raw[0], BlobRef) and raw[0].form == AS_VALUES and blob is not None:
        data = _fetched(blob(raw[0]))
        try:
            raw = take_values(Reader(data), Limits(), unlimited=True)
        except Malformed as error:
            raise ProtocolError(f"the fetched values do not decode: {error}") from None
    return [_resolved(value, blob) for value in raw]


def _resolved(value: object, blob: Callable[[BlobRef], Blob] | None) -> Any:
    if isinstance(value, BlobRef) and blob is not None:
        found = blob(value)
        return _fetched(found).decode("utf-8", "replace") if value.form == AS_TEXT else found
    if isinstance(value, list):
        return [_resolved(inner, blob) for inner in value]
    if isinstance(value, dict):
        return {key: _resolved(inner, blob) for key, inner in value.items()}
    return value


def _fetched(blob: Blob) -> bytes:
    if len(blob) > _MAX_TEXT_BYTES:
        raise ProtocolError(f"a reply of {len(blob)} bytes of text or values; at most {_MAX_TEXT_BYTES} are taken")
    return blob.read()
