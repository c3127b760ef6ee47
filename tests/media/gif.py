"""A tiny GIF writer with nothing hidden: every rectangle, disposal, delay and interlacing is what the caller says.

Image libraries crop and merge frames on their own; files that test disposal need exact frames.
"""

import struct

KEEP, BACKGROUND, PREVIOUS = 1, 2, 3


def lzw(pixels, minimum_bits):
    """Compresses palette indices the way GIF wants it, cut into sub-blocks."""
    clear, end = 1 << minimum_bits, (1 << minimum_bits) + 1
    out, held, held_bits = bytearray(), 0, 0
    table, width = {}, 0

    def emit(code):
        nonlocal held, held_bits
        held |= code << held_bits
        held_bits += width
        while held_bits >= 8:
            out.append(held & 255)
            held >>= 8
            held_bits -= 8

    def reset():
        nonlocal table, width
        table = {(i,): i for i in range(clear)}
        width = minimum_bits + 1

    reset()
    emit(clear)
    prefix = ()
    for pixel in pixels:
        longer = prefix + (pixel,)
        if longer in table:
            prefix = longer
            continue
        emit(table[prefix])
        code = len(table) + 2
        if code == 4096:
            emit(clear)
            reset()
        else:
            table[longer] = code
            if code == 1 << width:
                width += 1
        prefix = (pixel,)
    emit(table[prefix])
    emit(end)
    if held_bits:
        out.append(held & 255)
    blocks = b"".join(bytes([len(out[i : i + 255])]) + out[i : i + 255] for i in range(0, len(out), 255))
    return blocks + b"\0"


def interlaced_rows(height):
    return [y for start, step in ((0, 8), (4, 8), (2, 4), (1, 2)) for y in range(start, height, step)]


def frame(x, y, width, height, pixels, bits, delay_cs=10, disposal=KEEP, transparent=None, interlaced=False):
    """One picture; `pixels` are palette indices, row by row; `delay_cs` in hundredths of a second."""
    assert len(pixels) == width * height
    if interlaced:
        pixels = [p for row in interlaced_rows(height) for p in pixels[row * width : (row + 1) * width]]
    flags = disposal << 2 | (transparent is not None)
    control = struct.pack("<BBBBHBB", 0x21, 0xF9, 4, flags, delay_cs, transparent or 0, 0)
    place = struct.pack("<BHHHHB", 0x2C, x, y, width, height, 0x40 if interlaced else 0)
    return control + place + bytes([max(2, bits)]) + lzw(pixels, max(2, bits))


def gif(width, height, palette, frames, loops=None):
    """`loops`: None writes no loop extension (plays once), 0 means for ever."""
    bits = max(1, (len(palette) - 1).bit_length())
    table = b"".join(bytes(c) for c in palette).ljust(3 << bits, b"\0")
    out = b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF0 | (bits - 1), 0, 0) + table
    if loops is not None:
        out += b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", loops) + b"\0"
    return out + b"".join(frames) + b"\x3b"
