"""Which replies have come, and which of them the device was told of.

Invariant: no number is confirmed that the device has not received, also after it forgot some in a crash; what was told on a broken
connection is told again. Not here: requests without a reply (`_requests`).
"""

from __future__ import annotations

from collections.abc import Sequence

from . import _frames as frames
from ._limits import Limits


class Window:
    """Called under the guard. `lowest` is the smallest number without a reply, or the next one."""

    def __init__(self) -> None:
        self._unconfirmed: dict[int, int] = {}  # answered: bytes of the reply
        self._bytes = 0
        self._above: set[int] = set()  # answered, while a lower number is not
        self._received_through = 0  # the highest number that the device has certainly seen

    def __len__(self) -> int:
        return len(self._unconfirmed)

    def through(self, lowest: int) -> int:
        """All numbers up to this one have their replies, and the device knows them: some may have been skipped."""
        return min(lowest - 1, self._received_through)

    def sent(self, number: int, through: int) -> None:
        """A request was sent, which confirms up to `through`."""
        self._received_through = max(self._received_through, number)
        self._confirmed(through, ())

    def answered(self, number: int, reply_bytes: int, lowest: int) -> None:
        """A reply has come."""
        self._unconfirmed[number] = reply_bytes
        self._bytes += reply_bytes
        through = self.through(lowest)
        if number > through:
            self._above.add(number)
        elif self._above:
            self._above = {above for above in self._above if above > through}

    def is_filling(self, limits: Limits) -> bool:
        """Whether it is time to confirm, well before half of the window."""
        return len(self._unconfirmed) >= limits.window_operations // 4 or self._bytes >= limits.window_replies_bytes // 4

    def confirmation(self, lowest: int) -> frames.Confirm | None:
        """What is to be confirmed apart from requests, if anything."""
        if not self._unconfirmed:
            return None
        through, also = self.through(lowest), sorted(self._above & self._unconfirmed.keys())[: frames.CONFIRM_ALSO]
        self._confirmed(through, also)
        return frames.Confirm(through, also)

    def connected(self, received_through: int, lowest: int) -> frames.Confirm | None:
        """A new connection, where Hello confirmed everything below `lowest`; the rest is told again."""
        self._received_through = received_through
        also = sorted(number for number in self._above if number <= received_through)
        self._confirmed(lowest - 1, also)
        return frames.Confirm(self.through(lowest), also[: frames.CONFIRM_ALSO]) if also else None

    def forget(self) -> None:
        """Numbers begin anew."""
        self._unconfirmed.clear()
        self._above.clear()
        self._bytes = self._received_through = 0

    def _confirmed(self, through: int, also: Sequence[int]) -> None:
        gone = set(also)
        if not self._unconfirmed or (not gone and next(iter(self._unconfirmed)) > through):
            return
        for number in [number for number in self._unconfirmed if number <= through or number in gone]:
            self._bytes -= self._unconfirmed.pop(number)


def reply_bytes(outcome: frames.Outcome) -> int:
    """About how many bytes of the window a reply takes; never too few."""
    size = 32
    todo: list[object] = list(outcome.values) if isinstance(outcome, frames.Done) else [outcome.message]
    while todo:
        value = todo.pop()
        size += 10
        if isinstance(value, (str, bytes)):
            size += 3 * len(value) if isinstance(value, str) else len(value)
        elif isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            todo += value.values()
            size += sum(len(key) + 2 for key in value)
    return size
