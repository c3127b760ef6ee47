"""Fixtures: a fake host, and clients that are closed at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fakehost import FakeHost  # noqa: E402

from pixelboy import PixelBoy  # noqa: E402


@pytest.fixture
def host() -> Iterator[FakeHost]:
    with FakeHost() as fake:
        yield fake
        assert fake.faults == [], fake.faults[0]


@pytest.fixture
def connect(host: FakeHost) -> Iterator[Callable[..., PixelBoy]]:
    """Makes clients of the fake host."""
    made: list[PixelBoy] = []

    def make(**options: Any) -> PixelBoy:
        options.setdefault("timeout", 10.0)
        made.append(PixelBoy("127.0.0.1", host.port, **options))
        return made[-1]

    yield make
    for client in made:
        client.close(wait=False)


@pytest.fixture
def pb(connect: Callable[..., PixelBoy]) -> PixelBoy:
    return connect()
