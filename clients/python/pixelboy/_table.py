"""The device's opcode table: what can be called, with which arguments (protocol, section 10).

Invariant: a row with keys that this version does not know still works. Not here: checking arguments, which the device does,
with the signature in its message; the table is for names, types that decide about uploads, and help.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from . import _frames as frames
from ._limits import Limits
from ._values import put_values
from .errors import UnknownOp


class Argument(NamedTuple):
    """One argument of an opcode. `default` is None for *absent*; `required` tells whether there is none."""

    name: str
    type: str
    doc: str = ""
    required: bool = True
    default: Any = None
    choices: tuple[Any, ...] = ()
    min: float | None = None
    max: float | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.type}" + ("" if self.required else f" = {json.dumps(self.default, ensure_ascii=False)}")


class Op(NamedTuple):
    """One row of the table."""

    op: str
    plugin: str
    doc: str
    args: tuple[Argument, ...]
    returns: str

    def __str__(self) -> str:
        return f"{self.op}({', '.join(map(str, self.args))})"

    def help(self) -> str:
        """Several lines for a person."""
        lines = [str(self), *(f"    {line}" for line in self.doc.splitlines())]
        for each in self.args:
            extra = f" (one of {', '.join(map(repr, each.choices))})" if each.choices else ""
            if each.min is not None or each.max is not None:
                extra += f" ({'' if each.min is None else f'{each.min:g}'} to {'' if each.max is None else f'{each.max:g}'})"
            lines.append(f"    {each.name}: {each.doc}{extra}")
        if self.returns:
            lines.append(f"    Returns: {self.returns}")
        return "\n".join(lines + [f"    From the plugin {self.plugin}."])

    def type_of(self, key: int | str) -> str | None:
        """The type of the argument at a position or of a name."""
        for position, each in enumerate(self.args):
            if key in (position, each.name):
                return each.type
        return None


def _argument(row: Mapping[str, Any]) -> Argument:
    return Argument(
        name=str(row.get("name", "")),
        type=str(row.get("type", "any")),
        doc=str(row.get("doc", "")),
        required="default" not in row,
        default=row.get("default"),
        choices=tuple(row.get("choices") or ()),
        min=row.get("min"),
        max=row.get("max"),
    )


class OpTable(Mapping[str, Op]):
    """All opcodes of the device, by name: `table["ss"]`, `for name in table`, `print(table)`."""

    def __init__(self, digest: bytes, rows: Sequence[Mapping[str, Any]]) -> None:
        self.digest = digest
        self._ops: dict[str, Op] = {}
        for row in rows:
            op = Op(
                op=str(row.get("op", "")),
                plugin=str(row.get("plugin", "")),
                doc=str(row.get("doc", "")),
                args=tuple(_argument(each) for each in row.get("args") or () if isinstance(each, dict)),
                returns=str(row.get("returns", "")),
            )
            self._ops[op.op] = op

    def __getitem__(self, name: str) -> Op:
        return self._ops[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ops)

    def __len__(self) -> int:
        return len(self._ops)

    def find(self, name: str) -> Op | None:
        """The row of a name; `-` and `_` are taken for one another where that is not ambiguous."""
        if name in self._ops:
            return self._ops[name]
        plain = name.replace("-", "_")
        alike = [op for known, op in self._ops.items() if known.replace("-", "_") == plain]
        return alike[0] if len(alike) == 1 else None

    def unknown(self, name: str) -> UnknownOp:
        """The error for a name that is not here, with what may have been meant."""
        close = difflib.get_close_matches(name, self._ops, 3, 0.6)
        meant = f"; did you mean {' or '.join(close)}?" if close else "; pb.ops() lists what there is"
        return UnknownOp(f"the device has no opcode {name!r}{meant}")

    def __str__(self) -> str:
        width = max((len(str(op)) for op in self._ops.values()), default=0)
        width = min(width, 60)
        return "\n".join(f"{str(op):{width}}  {op.doc.partition(chr(10))[0]}".rstrip() for op in self._ops.values())

    def __repr__(self) -> str:
        return f"<OpTable of {len(self)} opcodes: {', '.join(self)}>"


def digest(rows: Sequence[Any]) -> bytes:
    """The digest of a whole table, as the device computes it."""
    sha = hashlib.sha256()
    limits = Limits(nodes=1 << 30, inline_bytes=1 << 30)
    for row in rows:
        out = bytearray()
        put_values(out, [row], limits)
        sha.update(out[1:])  # without the count of one
    return sha.digest()[:16]


class Assembly:
    """Puts the parts of one answer to GetTable together."""

    def __init__(self) -> None:
        self._digest: bytes | None = None
        self._parts: dict[int, list[Any]] = {}

    def add(self, frame: frames.Table) -> OpTable | None:
        """The table once it is whole. Parts of another version of it begin a new one; None then too."""
        if frame.digest != self._digest:
            self._digest, self._parts = frame.digest, {}
        self._parts[frame.first] = frame.ops
        rows: list[Any] = []
        while len(rows) in self._parts and self._parts[len(rows)]:
            rows += self._parts[len(rows)]
        if len(rows) < frame.total:
            return None
        self._digest, self._parts = None, {}
        return OpTable(frame.digest, [row for row in rows if isinstance(row, dict)])
