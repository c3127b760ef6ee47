"""The bytes of `protocol/vectors`, which the Rust tests read too."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pixelboy import _frames as frames
from pixelboy import _postcard as postcard
from pixelboy._crc32c import crc32c, folded
from pixelboy._limits import MAX_FRAME_BYTES, Limits
from pixelboy._match import matched
from pixelboy._postcard import Reader
from pixelboy._table import OpTable, digest
from pixelboy._values import BlobRef, UploadRef, put_values, take_values
from pixelboy.errors import BadArguments, Failure

VECTORS = Path(__file__).resolve().parents[3] / "protocol" / "vectors"
CODES = {kind.name: code for code, kind in __import__("pixelboy.errors", fromlist=["x"]).FAILURES.items()}
CODES.update(
    {
        "outcome-unknown": 24, "closed": 100, "bad-frame": 101, "unknown-kind": 102, "frame-too-large": 103, "version": 104,
        "hello-expected": 105, "auth-refused": 106, "fenced": 107, "client-forgotten": 108, "bad-number": 109,
        "limit-exceeded": 110, "too-many-clients": 111, "bad-chunk": 112, "silent": 113,
    }
)  # fmt: skip


def unhex(text: str) -> bytes:
    parts = (token.partition("*") for token in text.split())
    return b"".join(bytes.fromhex(byte) * int(times or 1) for byte, _, times in parts)


def sections(*names: str) -> Iterator[dict[str, Any]]:
    for name in names:
        found: list[dict[str, Any]] = []
        for line in (VECTORS / name).read_text(encoding="utf-8").split("\n"):
            match = re.match(r"([a-z-]+): (.*)", line)
            if line.startswith("## "):
                found.append({"title": f"{name}: {line[3:]}", "bytes": b""})
            elif match:
                found[-1][match[1]] = match[2]
            elif line and not line.startswith("# "):
                found[-1]["bytes"] += unhex(line.split("#")[0])
        assert found, name
        yield from found


def value(form: Any) -> Any:
    """A value from its JSON form."""
    if isinstance(form, list):
        return [value(inner) for inner in form]
    if not isinstance(form, dict):
        return form
    ((key, inner),) = form.items()
    if key == "float":
        return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[inner]
    if key == "hex":
        return unhex(inner)
    if key == "repeat":
        return [value(inner[0])] * inner[1]
    if key == "map":
        return {name: value(each) for name, each in inner}
    if key == "upload":
        return UploadRef(inner)
    if key == "blob":
        sha256 = inner["sha256"]
        return BlobRef(inner["id"], inner["length"], sha256 and unhex(sha256["hex"]), inner.get("form", 0))
    raise AssertionError(form)


def pairs(form: Any) -> Any:
    return [(name, value(inner)) for name, inner in form]


def outcome(form: Any) -> Any:
    if "done" in form:
        return frames.Done(value(form["done"]))
    failed = form["failed"]
    return frames.Failed(CODES[failed["code"]], failed["message"], tuple((a, b) for a, b in failed["details"]))


def state(form: Any) -> Any:
    if form == "complete":
        return frames.Complete()
    if "at" in form:
        return frames.At(form["at"]["offset"], form["at"]["limit"])
    return frames.Consumed(form["consumed"]["number"])


def frame(kind: Any, form: dict[str, Any]) -> Any:
    """A frame from its JSON form."""
    fields = {}
    for name, inner in form.items():
        if name == "code":
            fields[name] = CODES[inner]
        elif name == "outcome":
            fields[name] = outcome(inner)
        elif name == "state":
            fields[name] = state(inner)
        elif name == "kwargs":
            fields[name] = pairs(inner)
        elif name == "limits":
            fields[name] = [tuple(pair) for pair in inner]
        else:
            fields[name] = value(inner)
    if kind is frames.Request:
        out = bytearray()
        put_values(out, fields.pop("args"), Limits())
        frames.put_pairs(out, fields.pop("kwargs"), Limits())
        fields["arguments"] = bytes(out)
    return kind(**fields)


def same(left: Any, right: Any) -> bool:
    return repr(left) == repr(right)  # NaN is the same as NaN here


FRAMES = [s for s in sections("connection.txt", "requests.txt", "calls.txt", "transfers.txt", "table.txt", "growth.txt") if "frame" in s]


@pytest.mark.parametrize("section", FRAMES, ids=lambda s: s["title"])
def test_frames_decode_to_their_fields_and_encode_to_their_bytes(section: dict[str, Any]) -> None:
    found = list(frames.Splitter().feed(section["bytes"]))
    assert len(found) == 1
    if section["frame"] == "skip":
        assert frames.decode(*found[0]) is None
        return
    kind = getattr(frames, section["frame"])
    decoded = frames.decode(*found[0])
    expected = frame(kind, json.loads(section["json"]))
    if isinstance(decoded, (frames.Reply, frames.CallReply)) and isinstance(decoded.outcome, frames.Failed):
        # The number of an unknown code is kept here; what it stands for is `failed`.
        if decoded.outcome.code not in CODES.values():
            assert type(Failure.of(decoded.outcome.code, "")) is Failure
            decoded.outcome = decoded.outcome._replace(code=1)
    if isinstance(decoded, (frames.Close, frames.Abort)) and decoded.code not in CODES.values():
        decoded.code = 1
    if isinstance(decoded, frames.Request):
        assert same(decoded.values(), expected.values())
        if "one-way" not in section:
            assert decoded.arguments == expected.arguments
        if "digest" in section:
            assert hashlib.sha256(expected.digested()).digest()[:16].hex() == section["digest"]
    else:
        assert same(decoded, expected)
    if "one-way" not in section:
        assert expected.encode() == section["bytes"]
    if "intact" in section:
        assert (crc32c(decoded.chunk) == decoded.crc32c) == (section["intact"] == "true")
        assert (folded(decoded.chunk) == decoded.crc32c) == (section["intact"] == "true")
    if "whole" in section:
        assert digest(decoded.ops) == decoded.digest
        assert list(OpTable(decoded.digest, decoded.ops)) == [each["op"] for each in decoded.ops]


@pytest.mark.parametrize("section", [s for s in FRAMES if s["frame"] != "skip"], ids=lambda s: s["title"])
def test_a_frame_cut_at_every_byte_arrives_whole(section: dict[str, Any]) -> None:
    data = section["bytes"] * 2
    whole = list(frames.Splitter().feed(data))
    for cut in range(len(data)) if len(data) < 4096 else range(0, len(data), 997):
        splitter = frames.Splitter()
        assert [*splitter.feed(data[:cut]), *splitter.feed(data[cut:])] == whole


@pytest.mark.parametrize("section", [s for s in sections("values.txt") if "value" in s], ids=lambda s: s["title"])
def test_values_decode_and_encode(section: dict[str, Any]) -> None:
    data = b"\x01" + section["bytes"]
    expected = value(json.loads(section["value"]))
    assert same(take_values(Reader(data), Limits()), [expected])
    if "one-way" not in section:
        out = bytearray()
        put_values(out, [expected], Limits())
        assert bytes(out) == data


@pytest.mark.parametrize("section", [s for s in sections("bad.txt") if "error" in s and "opening" not in s], ids=lambda s: s["title"])
def test_bad_bytes_are_refused_with_their_reason(section: dict[str, Any]) -> None:
    splitter = frames.Splitter(int(section.get("limit", MAX_FRAME_BYTES)))
    if section["error"] == "need-more":
        assert list(splitter.feed(section["bytes"])) == []
        return
    with pytest.raises(frames.BadFrame) as refused:
        for kind, body in splitter.feed(section["bytes"]):
            decoded = frames.decode(kind, body)
            if isinstance(decoded, frames.Request):
                try:
                    decoded.values()
                except postcard.Malformed as error:
                    too_much = isinstance(error, postcard.TooMuch)
                    raise frames.BadFrame(frames.LIMIT_EXCEEDED if too_much else frames.BAD_FRAME, str(error)) from None
    assert refused.value.code == CODES[section["close"]]


def test_the_eight_first_bytes() -> None:
    opening = next(s for s in sections("connection.txt") if s.get("opening") == "pixelboy")
    assert opening["bytes"] == frames.PREAMBLE


def arguments() -> Iterator[Any]:
    op: Any = None
    for section in sections("arguments.txt"):
        op = json.loads(section["op"]) if "op" in section else op
        yield pytest.param(op, section, id=section["title"])


@pytest.mark.parametrize("op, section", list(arguments()))
def test_arguments_match_as_the_device_matches_them(op: Any, section: dict[str, Any]) -> None:
    table = OpTable(b"", [value(op)])
    args, kwargs = value(json.loads(section["args"])), pairs(json.loads(section["kwargs"]))
    if "gives" in section:
        assert same(matched(table[next(iter(table))], args, kwargs), value(json.loads(section["gives"])))
    else:
        with pytest.raises(BadArguments) as refused:
            matched(table[next(iter(table))], args, kwargs)
        assert str(refused.value) == section["says"]


def test_numbers_at_their_ends() -> None:
    for number in (0, 1, 127, 128, 16383, 16384, 2**32, 2**63, 2**64 - 1):
        out = bytearray()
        postcard.put_varint(out, number)
        assert Reader(bytes(out)).varint() == number
    for number in (0, -1, 1, 2**63 - 1, -(2**63)):
        out = bytearray()
        postcard.put_zigzag(out, number)
        assert Reader(bytes(out)).zigzag() == number
