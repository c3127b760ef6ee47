"""Matches arguments against a row of the opcode table, as the device does, so that a mistake is told before an upload begins.

Invariant: says the same as the device, word for word (`protocol/vectors/arguments.txt`). What is sent is what the caller gave;
defaults are filled in by the device. Not here: where the table comes from (`_questions`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from ._job import Upload
from ._table import Argument, Op
from ._transfer import Sending
from ._values import BlobRef, UploadRef
from .errors import BadArguments

_SHOWN_TYPES = 16
_SHOWN_CHARACTERS = 40
_SHOWN_ELEMENTS = 8
_LARGEST = 1.7976931348623157e308

_FITS = {
    "bool": ("bool",),
    "int": ("int",),
    "float": ("float", "int"),
    "text": ("text",),
    "bytes": ("bytes",),
    "data": ("text", "bytes", "upload"),
    "list": ("list",),
    "map": ("map",),
}


def matched(op: Op, args: Sequence[Any], kwargs: Sequence[tuple[str, Any]]) -> list[Any]:
    """One complete list of values in the row's order, or `BadArguments` with what is taken and what came."""
    args = list(args)
    if args == [True, True] and all(isinstance(each, bool) for each in args) and not kwargs:
        if len(op.args) <= 1 and not any(each.required for each in op.args):
            args = []
    reason = _mismatch(op, args, kwargs)
    if reason is not None:
        came = [_type(value) for value in args] + [f"{_name(name)}: {_type(value)}" for name, value in kwargs]
        if len(came) > _SHOWN_TYPES:
            came[_SHOWN_TYPES:] = ["..."]
        takes = ", ".join(str(each) for each in op.args)
        raise BadArguments(f"{op.op} takes ({takes})" + (f": {reason}" if reason else f", got ({', '.join(came)})"))
    named = dict(kwargs)
    whole = args + [named.get(each.name) for each in op.args[len(args) :]]
    for position, each in enumerate(op.args):
        if whole[position] is None and not each.required:
            whole[position] = each.default
        if each.type == "float" and type_name(whole[position]) == "int":
            whole[position] = float(whole[position])
    return whole


def _mismatch(op: Op, args: Sequence[Any], kwargs: Sequence[tuple[str, Any]]) -> str | None:
    """Why it does not match, empty where the types tell it; None where it does."""
    if len(args) > len(op.args):
        return ""
    for each, value in zip(op.args, args):
        reason = _unfit(each, value)
        if reason is not None:
            return reason
    seen: set[str] = set()
    for name, value in kwargs:
        found = [(position, each) for position, each in enumerate(op.args) if each.name == name]
        if not found:
            return f"no argument named {_name(name)}"
        position, each = found[0]
        if position < len(args) or name in seen:
            return f"{name} is given twice"
        seen.add(name)
        reason = _unfit(each, value)
        if reason is not None:
            return reason
    for each in op.args[len(args) :]:
        if each.required and each.name not in seen:
            return f"{each.name} is missing" if kwargs else ""
    return None


def _unfit(argument: Argument, value: Any) -> str | None:
    kind = type_name(value)
    if value is None and not argument.required:
        return None
    if argument.type in _FITS and kind not in _FITS[argument.type]:
        return ""
    if _holds_blob(value):
        return "a blob comes only in replies"
    number = value if kind in ("int", "float") else None
    if argument.choices and not any(_same(choice, value) for choice in argument.choices):
        return f"{argument.name} must be one of {', '.join(map(shown, argument.choices))}, got {shown(value)}"
    least = argument.min if argument.min is not None and argument.min > -_LARGEST else None
    most = argument.max if argument.max is not None and argument.max < _LARGEST else None
    if number is not None and (argument.min is not None or argument.max is not None):
        if not ((least is None or least <= number) and (most is None or number <= most)) or math.isnan(number):
            if least is not None and most is not None:
                limits = f"{_plain(least)} to {_plain(most)}"
            elif least is not None:
                limits = f"at least {_plain(least)}"
            else:
                limits = f"at most {_plain(most)}" if most is not None else "a number"
            return f"{argument.name} must be {limits}, got {shown(value)}"
    return None


def _same(choice: Any, value: Any) -> bool:
    numbers = ("int", "float")
    if type_name(choice) in numbers:
        return type_name(value) in numbers and bool(choice == value)
    return type_name(choice) == type_name(value) and bool(choice == value)


def _holds_blob(value: Any) -> bool:
    if isinstance(value, BlobRef):
        return True
    if isinstance(value, dict):
        return any(_holds_blob(inner) for inner in value.values())
    return isinstance(value, (list, tuple)) and not _is_upload(value) and any(_holds_blob(inner) for inner in value)


def _is_upload(value: Any) -> bool:
    return isinstance(value, (Sending, Upload, UploadRef))


def type_name(value: Any) -> str:
    """The protocol's name for the type of a value."""
    if value is None:
        return "null"
    if _is_upload(value):
        return "upload"
    if isinstance(value, BlobRef):
        return "blob"
    if hasattr(value, "dtype") and hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()
    for kind, name in (
        (bool, "bool"), (int, "int"), (float, "float"), (str, "text"), ((bytes, bytearray, memoryview), "bytes"),
        ((list, tuple), "list"), (dict, "map"),
    ):  # fmt: skip
        if isinstance(value, kind):
            return name
    return type(value).__name__


def _type(value: Any) -> str:
    """In the words of the table, where an upload is one way to bring data."""
    kind = type_name(value)
    return "data" if kind == "upload" else kind


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() and abs(number) < 1e16 else repr(float(number))


def _name(name: str) -> str:
    return json.dumps(name[:32], ensure_ascii=False)[1:-1]


def shown(value: Any, inner: bool = False) -> str:
    """A value in a few words, as the device writes it."""
    kind = type_name(value)
    if kind == "null":
        return "null"
    if kind == "bool":
        return "true" if value else "false"
    if kind == "float":
        number = float(value)
        if math.isnan(number):
            return "NaN"
        return ("inf" if number > 0 else "-inf") if math.isinf(number) else repr(number)
    if kind == "text":
        cut = value[:_SHOWN_CHARACTERS]
        return json.dumps(cut, ensure_ascii=False) + ("..." if len(value) > len(cut) else "")
    if kind == "bytes":
        return "1 byte" if len(value) == 1 else f"{len(value)} bytes"
    if kind in ("list", "map"):
        if inner:
            return f"[{len(value)} values]" if kind == "list" else f"{{{len(value)} values}}"
        if kind == "list":
            parts = [shown(element, True) for element in value[:_SHOWN_ELEMENTS]]
        else:
            parts = [f"{key}: {shown(element, True)}" for key, element in list(value.items())[:_SHOWN_ELEMENTS]]
        more = f", and {len(value) - len(parts)} more" if len(value) > len(parts) else ""
        text = ", ".join(parts) + more
        return f"[{text}]" if kind == "list" else f"{{{text}}}"
    if isinstance(value, BlobRef):
        return f"blob of {value.length} bytes"
    if isinstance(value, UploadRef):
        return f"upload {value.transfer}"
    return kind if _is_upload(value) else str(value)
