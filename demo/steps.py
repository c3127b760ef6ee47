"""How the demo speaks and checks."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pixelboy import PixelBoy, PixelBoyError

PATIENCE_SECONDS = 10


class Failed(Exception):
    """A step that did not do what it should: which, what was expected, what came."""


_begun: list[str] = []


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """One step of the demo. Whatever goes wrong in it is told with its name."""
    _begun.append(title)
    print(f"\n{len(_begun)}. {title}", flush=True)
    try:
        yield
    except Failed as failed:
        raise Failed(f"Step {len(_begun)} failed: {title}\n{failed}") from None
    except (PixelBoyError, OSError, LookupError, TypeError) as error:
        came = f"{type(error).__name__}: {error}"
        raise Failed(f"Step {len(_begun)} failed: {title}\n    expected: no error\n    came:     {came}") from error


def check(what: str, *, expected: object, came: object) -> None:
    if came != expected:
        raise Failed(f"    {what}\n    expected: {_short(expected)}\n    came:     {_short(came)}")


def wait_until(what: str, holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > until:
            raise Failed(f"    expected: {what}, within {PATIENCE_SECONDS} s\n    came:     it is not so")
        time.sleep(0.05)


def say(text: str) -> None:
    """A line of the step that runs."""
    print(f"   {text}", flush=True)


class Aloud:
    """A `PixelBoy` whose calls are printed before they are made. `quietly` is the same one without that."""

    def __init__(self, quietly: PixelBoy) -> None:
        self.quietly = quietly

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.quietly, name)

        def called(*args: object) -> Any:
            say(f">>> pb.{name}({', '.join(map(_short, args))})")
            return method(*args)

        return called


def _short(value: object) -> str:
    if isinstance(value, Path):
        return repr(os.path.relpath(value))
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text):,} characters)"
