"""What calls set for the session, to be set again when the device has begun a new one.

Invariant: a setting is told again as it was last done, never over a call that changes it and is on its way.
Not here: bound opcodes (`_calls`), and music, which ends with its session on purpose. A setting that the device refuses when it is
told again is left as the device has it.
"""

from __future__ import annotations

from collections.abc import Iterable

from ._job import Job

_SLOTS = {"srto": "receive_timeout", "sptt": "pass_time_out", "sptf": "pass_time_out"}


class _Setting:
    def __init__(self, op: str, arguments: bytes, number: int, missing: bool) -> None:
        self.op = op
        self.arguments = arguments
        self.number = number  # of the request that set it, under the present client id
        self.missing = missing  # the present session may not have it


class Settings:
    """Called under the guard."""

    def __init__(self) -> None:
        self._set: dict[str, _Setting] = {}

    def began_anew(self) -> None:
        """The device began a new session."""
        for setting in self._set.values():
            setting.missing = True

    def renumbered(self) -> None:
        """Numbers begin anew."""
        for setting in self._set.values():
            setting.number = 0

    def done(self, job: Job, recorded: bool) -> None:
        """A call was done. One that was answered from the record was done for a session that may be over."""
        slot = _SLOTS.get(job.op)
        if slot is None or job.number is None or job.arguments is None:
            return
        known = self._set.get(slot)
        if known is None or known.number <= job.number:
            self._set[slot] = _Setting(job.op, job.arguments, job.number, recorded)

    def due(self, under_way: Iterable[Job], timeout: float) -> list[Job]:
        """What is to be told again now; each is given once."""
        if not any(setting.missing for setting in self._set.values()):
            return []
        busy = {_SLOTS.get(job.op) for job in under_way}
        due = [setting for slot, setting in self._set.items() if setting.missing and slot not in busy]
        for setting in due:
            setting.missing = False
        return [Job.of_client(setting.op, setting.arguments, timeout) for setting in due]
