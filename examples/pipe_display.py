#!/usr/bin/env python3
"""A display for pixelboyd: reads frames on standard input and draws them in this terminal.

    pixelboyd --display 'pipe:python3 examples/pipe_display.py'
    pixelboyd --display 'pipe:python3 examples/pipe_display.py --save panel.ppm'

To drive a panel of your own, replace the body of `draw`: `rgb` holds red, green and blue of every
pixel, row by row from the top left. Python 3.9 or later, nothing to install.
"""
import struct
import sys

HEADER = struct.Struct("<4sHHII")  # magic, width, height, sequence number, payload length


def draw(width: int, height: int, rgb: bytes) -> None:
    """Two pixels in every character: the upper one is its ink, the lower one its paper."""
    lines = []
    for y in range(0, height, 2):
        line = ""
        for x in range(width):
            at, below = (y * width + x) * 3, ((y + 1) * width + x) * 3
            upper, lower = rgb[at:at + 3], rgb[below:below + 3] or bytes(3)
            line += "\x1b[38;2;%d;%d;%dm\x1b[48;2;%d;%d;%dm▀" % (*upper, *lower)
        lines.append(line + "\x1b[0m\n")
    sys.stdout.write("\x1b[H" + "".join(lines))
    sys.stdout.flush()


def save(path: str, width: int, height: int, rgb: bytes) -> None:
    with open(path, "wb") as file:
        file.write(b"P6 %d %d 255\n" % (width, height) + rgb)


def main() -> None:
    path = sys.argv[2] if sys.argv[1:2] == ["--save"] else None
    while len(header := sys.stdin.buffer.read(HEADER.size)) == HEADER.size:
        magic, width, height, _sequence, length = HEADER.unpack(header)
        if magic != b"PXF1" or length != width * height * 3:
            sys.exit(f"expected a frame (PXF1), got {header!r}")
        rgb = sys.stdin.buffer.read(length)
        if path:
            save(path, width, height, rgb)
        else:
            draw(width, height, rgb)


if __name__ == "__main__":
    main()
