"""Who this client is, and which numbers it used: in memory, for one run.

Not here: keeping it from run to run (`_state_file`); the decision to take a new id (`_requests`).
"""

from __future__ import annotations

import secrets

from ._state_lines import Unanswered


class State:
    """In memory: a fresh random id, forgotten at the end. Called under the guard, except `write` and `close`."""

    kept = False
    notice: str | None = None

    def __init__(self) -> None:
        self.client = secrets.token_bytes(16)
        self.store: bytes | None = None
        self.next_number = 1
        self.next_transfer = 1
        self.unanswered: dict[int, Unanswered] = {}

    def request(self, request: Unanswered | None) -> int:
        """The number of a new request, which the next run asks for again; None where that has no use for it."""
        number = self.next_number
        self.next_number += 1
        return number

    def answered(self, number: int) -> None:
        """Its final reply has come."""

    def given_up(self, number: int) -> None:
        """Nobody waits for it any more: it must not be begun later."""

    def transfer(self) -> int:
        """A number that no transfer of this client had."""
        number = self.next_transfer
        self.next_transfer += 1
        return number

    def met(self, store: bytes) -> None:
        """The device with this store has taken the client in."""
        self.store = store

    def renew(self) -> None:
        """A new id, without a past. Numbers of transfers go on, so that no old upload is taken for a new one."""
        self.client = secrets.token_bytes(16)
        self.store = None
        self.next_number = 1
        self.unanswered = {}

    def has_notes(self) -> bool:
        """Whether something is to be written."""
        return False

    def notes(self) -> bytes:
        """What is to be written, for `write`."""
        return b""

    def write(self, notes: bytes) -> None:
        """Write it; returns when it is on the disk. Without the guard, by one thread."""

    def close(self) -> None:
        """The client ends."""
