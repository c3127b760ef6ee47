"""CRC-32C by Python alone."""

from __future__ import annotations

import random

import pytest

from pixelboy._crc32c import _SPARSE, _bytewise, crc32c, folded


@pytest.mark.parametrize(
    "data, expected",
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_known_checksums(data: bytes, expected: int) -> None:
    assert crc32c(data) == folded(data) == expected


def test_folding_gives_what_going_byte_by_byte_gives() -> None:
    chance = random.Random(1)
    for size in [*range(200, 300), 700, 847, 848, 1023, 1024, 4096, 16384, 50_001, 65_535, 65_536, 200_000]:
        data = chance.randbytes(size)
        assert folded(data) == _bytewise(data, 0xFFFFFFFF) ^ 0xFFFFFFFF, size
        assert folded(bytearray(data)) == folded(memoryview(data)) == folded(data)


def test_the_sparse_polynomials_are_multiples_of_the_checksum_s_own() -> None:
    def power(exponent: int) -> int:
        value = 1
        for _ in range(exponent):
            value <<= 1
            if value >> 32:
                value ^= 0x11EDC6F41
        return value

    for exponents in _SPARSE:
        rest = 1
        for exponent in exponents:
            rest ^= power(exponent)
        assert rest == 0
