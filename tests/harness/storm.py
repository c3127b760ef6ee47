"""One Python client of the storm: lines and texts through a network that breaks.

    storm.py HOST:PORT NAME LINES TEXTS

Adds LINES lines to NAME.txt, eight under way at a time, stores TEXTS long texts, and reads the last one back.
"""

import sys

from pixelboy import PixelBoy


def text(name: str, number: int) -> str:
    return "".join(f"{name} {number} {at}\n" for at in range(30_000 + 1_000 * number))


def main() -> None:
    address, name, lines, texts = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    with PixelBoy(address, name=name, timeout=120) as device:
        under_way = []
        for line in range(lines):
            under_way.append(device.submit("ss", f"{name}.txt", f"{name}:{line}\n"))
            if len(under_way) == 8:
                under_way.pop(0).result()
        for pending in under_way:
            pending.result()
        for number in range(texts):
            said = device.ss(f"{name}-{number}.txt", text(name, number), "w")
            assert said.stored, said
        if texts:
            got = device.get(f"{name}-{texts - 1}.txt")
            assert bytes(got).decode() == text(name, texts - 1), "another text came back"


main()
