"""The limits a device announces in Welcome (protocol, section 3); the defaults are those of version 1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

MAX_FRAME_BYTES = 131_072
MAX_GREETING_BYTES = 16_384  # of a frame sent before Welcome
UPLOAD_BY_ITSELF_BYTES = 16_384  # a `data` argument above it travels as an upload


class Limits(NamedTuple):
    """In the units their names say; keys 1 to 14 in this order."""

    frame_bytes: int = MAX_FRAME_BYTES
    inline_bytes: int = 65_536
    chunk_bytes: int = 65_536
    nesting: int = 16
    nodes: int = 4_096
    window_operations: int = 1_024
    window_bytes: int = 4_194_304
    upload_credit_bytes: int = 262_144
    uploads: int = 64
    receive_timeout_ms: int = 5_000
    session_grace_ms: int = 10_000
    ping_ms: int = 15_000
    window_replies_bytes: int = 4_194_304
    later_ms: int = 86_400_000

    @staticmethod
    def announced(pairs: Iterable[tuple[int, int]]) -> Limits:
        """Keys not known here are ignored, missing ones keep their value."""
        known = {Limits._fields[key - 1]: value for key, value in pairs if 1 <= key <= len(Limits._fields)}
        limits = Limits(**known)
        # Keys 1 to 6 are never announced below these; what would make sending impossible is not taken.
        return limits._replace(
            frame_bytes=MAX_FRAME_BYTES,
            chunk_bytes=65_536,
            inline_bytes=max(limits.inline_bytes, 1_024),
            window_operations=max(limits.window_operations, 8),
            window_bytes=max(limits.window_bytes, MAX_FRAME_BYTES),
            ping_ms=max(limits.ping_ms, 100),
        )
