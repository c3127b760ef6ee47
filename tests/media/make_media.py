"""Draws the pictures and computes the malformed files. Called by make_media.sh; needs Pillow."""

import math
import random
import struct
import sys
import wave
import zlib

from PIL import Image, ImageDraw

from gif import BACKGROUND, KEEP, PREVIOUS, frame, gif

NIGHT, DEEP, INK = (13, 16, 38), (23, 28, 64), (10, 11, 24)
STEEL, LIGHT, SHADE = (150, 168, 196), (214, 226, 242), (92, 106, 140)
GLASS, EYE, MOUTH = (18, 30, 52), (72, 240, 220), (255, 190, 80)
RED, PINK, GOLD, LIME, SKY, VIOLET = (255, 82, 82), (255, 110, 190), (255, 205, 70), (140, 230, 90), (80, 170, 255), (170, 110, 255)
BRIGHT = [RED, GOLD, LIME, SKY, VIOLET, PINK]


def robot(draw, dx=0, dy=0, squash=0, left_up=False, right_up=True, wink=False, lamp=RED, heart=PINK):
    """A little robot, about 40 x 52 pixels, centred on a 64 x 64 picture. `squash` lowers the head by pixels."""

    def box(x0, y0, x1, y1, fill, edge=None):
        draw.rectangle((x0 + dx, y0 + dy, x1 + dx, y1 + dy), fill=fill, outline=edge)

    def soft(x0, y0, x1, y1, radius, fill, edge):
        draw.rounded_rectangle((x0 + dx, y0 + dy, x1 + dx, y1 + dy), radius, fill=fill, outline=edge)

    # Legs and feet stand on the floor whatever the body does.
    for x in (24, 34):
        draw.rectangle((x + 1, 51, x + 4, 57), fill=SHADE, outline=INK)
        draw.rounded_rectangle((x - 2, 56, x + 7, 60), 2, fill=STEEL, outline=INK)
        draw.line((x, 57, x + 4, 57), fill=LIGHT)
    # Arms: a bent segment and a claw, up or down.
    for side, up in ((-1, left_up), (1, right_up)):
        shoulder = 32 + side * 13
        hand = 32 + side * 20
        y = 26 + squash if up else 48
        bend = 32 + side * 19
        for width, colour in ((5, INK), (3, SHADE)):
            draw.line(
                [(shoulder + dx, 38 + dy), (bend + dx, 41 + dy), (hand + dx, y + dy)], fill=colour, width=width, joint="curve"
            )
        soft(hand - 3, y - 3, hand + 3, y + 3, 2, STEEL, INK)
        box(hand - 1, y - 3 if up else y + 2, hand + 1, y - 2 if up else y + 3, GLASS)
        box(hand - 2, y - 1, hand - 1, y, LIGHT)
    # Body with a heart.
    soft(20, 34, 43, 52, 4, STEEL, INK)
    box(22, 36, 24, 49, LIGHT)
    box(40, 37, 41, 50, SHADE)
    box(24, 50, 40, 51, SHADE)
    soft(26, 38, 37, 48, 2, GLASS, INK)
    for row, spans in enumerate((((29, 30), (33, 34)), ((28, 35),), ((28, 35),), ((29, 34),), ((30, 33),), ((31, 32),))):
        for x0, x1 in spans:
            box(x0, 40 + row, x1, 40 + row, heart)
    box(29, 41, 29, 41, LIGHT)
    # Neck, head, ears, antenna.
    dy += squash
    box(28, 31, 35, 34, SHADE, INK)
    soft(13, 19, 17, 26, 1, SHADE, INK)
    soft(46, 19, 50, 26, 1, SHADE, INK)
    soft(16, 12, 47, 32, 5, STEEL, INK)
    box(20, 13, 43, 14, LIGHT)
    box(17, 17, 18, 27, LIGHT)
    box(45, 17, 46, 28, SHADE)
    box(20, 30, 43, 31, SHADE)
    soft(20, 16, 43, 29, 3, GLASS, INK)
    box(24, 19, 28, 24, EYE)
    box(25, 20, 26, 21, LIGHT)
    if wink:
        box(35, 22, 39, 23, EYE)
    else:
        box(35, 19, 39, 24, EYE)
        box(36, 20, 37, 21, LIGHT)
    for x, y in ((28, 26), (29, 27), (30, 27), (31, 27), (32, 27), (33, 27), (34, 27), (35, 26)):
        box(x, y, x, y, MOUTH)
    box(31, 7, 32, 12, SHADE)
    soft(29, 3, 34, 8, 2, lamp, INK)
    box(30, 4, 31, 5, LIGHT)


def logo():
    picture = Image.new("RGB", (64, 64), NIGHT)
    draw = ImageDraw.Draw(picture)
    for radius, colour in ((28, (17, 21, 50)), (23, DEEP), (18, (32, 40, 88))):
        draw.ellipse((32 - radius, 28 - radius, 31 + radius, 27 + radius), fill=colour)
    for x, y in ((6, 8), (55, 12), (9, 30), (57, 36), (14, 51), (51, 4), (3, 45), (60, 52), (20, 4)):
        picture.putpixel((x, y), LIGHT)
    for x, y in ((8, 18), (57, 22)):
        for ox, oy in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
            picture.putpixel((x + ox, y + oy), GOLD)
    draw.rectangle((0, 60, 63, 63), fill=(40, 34, 84))
    draw.line((0, 60, 63, 60), fill=VIOLET)
    robot(draw)
    picture.save("logo.png", optimize=True)


def party():
    frames_count = 10
    chance = random.Random(7)
    confetti = [(chance.randrange(64), chance.randrange(60), chance.choice(BRIGHT)) for _ in range(26)]
    pictures = []
    for i in range(frames_count):
        picture = Image.new("RGB", (64, 64), NIGHT)
        draw = ImageDraw.Draw(picture)
        phase = 2 * math.pi * i / frames_count
        # Two swinging beams of light.
        for top, start in ((8, 0.0), (55, math.pi)):
            reach = 32 + 22 * math.sin(phase + start)
            draw.polygon([(top, 0), (reach - 9, 60), (reach + 9, 60)], fill=(38, 28, 84) if top == 8 else (22, 44, 84))
        # A floor of changing tiles.
        for tile in range(8):
            draw.rectangle((tile * 8, 60, tile * 8 + 7, 63), fill=BRIGHT[(tile + i // 2) % 5])
        # Confetti falls 6 pixels a frame and comes round after 10.
        for x, y, colour in confetti:
            fall = (y + 6 * i) % 60
            sway = (x + round(2 * math.sin(phase + y))) % 64
            draw.point((sway, fall), fill=colour)
            draw.point(((sway + 1) % 64, fall), fill=colour)
        beat = i % 5
        robot(
            draw,
            dx=round(3 * math.sin(phase)),
            dy=(0, -2, -3, -2, 0)[beat],
            squash=(2, 1, 0, 0, 1)[beat],
            left_up=i < 5,
            right_up=i >= 5,
            wink=i in (7, 8),
            lamp=BRIGHT[(i // 2) % 5],
            heart=PINK if beat < 3 else RED,
        )
        pictures.append(picture)
    # One palette for all frames, so that colours do not flicker.
    strip = Image.new("RGB", (64, 64 * frames_count))
    for i, picture in enumerate(pictures):
        strip.paste(picture, (0, 64 * i))
    quantised = strip.quantize(32, dither=Image.Dither.NONE)
    flat = quantised.getpalette()[: 32 * 3]
    palette = [tuple(flat[i : i + 3]) for i in range(0, len(flat), 3)]
    indices = quantised.tobytes()
    frames = [frame(0, 0, 64, 64, list(indices[4096 * i : 4096 * (i + 1)]), 5, delay_cs=8) for i in range(frames_count)]
    write("party.gif", gif(64, 64, palette, frames, loops=0))


def disposals():
    black, red, green, blue, yellow, none = range(6)
    palette = [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 255, 255), (0, 0, 0), (0, 0, 0)]
    corners = ((0, 0, red), (8, 0, green), (0, 8, blue), (8, 8, yellow))
    write(
        "disposal-none.gif",
        gif(16, 16, palette, [frame(x, y, 8, 8, [c] * 64, 3, 10 * (n + 1), KEEP) for n, (x, y, c) in enumerate(corners)], 0),
    )
    write(
        "disposal-background.gif",
        gif(16, 16, palette, [frame(x, y, 8, 8, [c] * 64, 3, 10, BACKGROUND, none) for x, y, c in corners], 3),
    )
    # A red ring with a see-through middle wanders over a blue ground that comes back each time.
    ring = [none if 2 <= x < 6 and 2 <= y < 6 else red for y in range(8) for x in range(8)]
    ground = frame(0, 0, 16, 16, [blue] * 256, 3, 5, KEEP)
    moves = [frame(x, y, 8, 8, ring, 3, 20, PREVIOUS, none) for x, y in ((0, 0), (4, 4), (8, 8))]
    write("disposal-previous.gif", gif(16, 16, palette, [ground, *moves], None))
    # Sixteen bars of grey, row n has grey value 16 n: a mistake in row order is seen at once.
    greys = [(16 * n,) * 3 for n in range(16)]
    write("interlaced.gif", gif(16, 16, greys, [frame(0, 0, 16, 16, [n // 16 for n in range(256)], 4, 0, KEEP, None, True)]))


def sprite():
    rows = """
......RRRR......
....RRrrrrRR....
...RrrWWrrrrR...
..RrrWWWrrWWrR..
..RrrrWrrWWWrR..
.RrrrrrrrrWrrrR.
.RrWWrrrrrrrrrR.
.RrWWWrrWWrrrrR.
.RRrrrrrWWrrRRR.
..RRRRRRRRRRRR..
....KwwwwwwK....
....KwKwwKwK....
....KwKwwKwK....
....KwwwwwwK....
.....KwwwwK.....
......KKKK......
""".split()
    colours = {".": (0, 0, 0, 0), "R": (140, 20, 40, 255), "r": (230, 50, 60, 255), "W": (255, 250, 240, 255), "w": (250, 220, 180, 255), "K": (60, 40, 50, 255)}
    picture = Image.new("RGBA", (16, 16))
    picture.putdata([colours[c] for row in rows for c in row])
    picture.save("sprite.png", optimize=True)


def landscape(width, height):
    picture = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(picture)
    horizon = int(height * 0.62)
    for y in range(horizon):
        t = y / horizon
        draw.line((0, y, width, y), fill=(int(40 + 215 * t), int(60 + 110 * t), int(120 + 10 * t)))
    sun = height // 7
    draw.ellipse((width * 0.62 - sun, horizon - sun * 1.5, width * 0.62 + sun, horizon + sun * 0.5), fill=(255, 236, 160))
    for base, swing, colour in ((0.10, 0.08, (110, 70, 110)), (0.03, 0.05, (70, 50, 90))):
        hills = [
            (x, horizon - height * (base + swing * math.sin(x / width * 9 + base * 60) + swing / 2 * math.sin(x / width * 23)))
            for x in range(width + 1)
        ]
        draw.polygon([*hills, (width, horizon), (0, horizon)], fill=colour)
    for y in range(horizon, height):
        t = (y - horizon) / (height - horizon)
        draw.line((0, y, width, y), fill=(int(180 - 150 * t), int(100 - 50 * t), int(110 - 10 * t)))
    chance = random.Random(3)
    for y in range(horizon + 1, height, 2):
        spread = sun * (0.4 + 2 * (y - horizon) / (height - horizon))
        x = width * 0.62 + chance.uniform(-spread, spread) / 2
        draw.line((x - spread / 3, y, x + spread / 3, y), fill=(255, 200, 140))
    return picture


def pictures():
    landscape(320, 240).save("photo.jpg", quality=80)
    landscape(80, 60).save("picture.bmp")
    landscape(160, 120).save("picture.webp", quality=75, method=6)
    steps = []
    for i in range(4):
        picture = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
        ImageDraw.Draw(picture).ellipse((4 * i, 8, 4 * i + 15, 23), fill=(*BRIGHT[i], 255))
        steps.append(picture)
    steps[0].save("animated.webp", save_all=True, append_images=steps[1:], duration=120, loop=2, lossless=True)
    landscape(32, 24).convert("RGB").save("cover.jpg", quality=60)


def melody():
    """Six seconds at 120 beats a minute: a lead, a bass and a soft snare, all computed."""
    rate, beat = 44_100, 0.25
    lead = "E5 G5 A5 - C6 A5 G5 E5 D5 E5 G5 - E5 D5 C5 - A4 C5 D5 E5 G5 E5 C5 C5".split()
    bass = "C3 A2 F2 G2 F2 C3".split()
    steps = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}

    def hertz(note):
        return 440 * 2 ** ((steps[note[0]] - 9 + 12 * (int(note[1]) - 4)) / 12)

    total = int(6 * rate)
    mix = [0.0] * total

    def add(start_s, length_s, level, voice):
        first = int(start_s * rate)
        for n in range(min(int(length_s * rate), total - first)):
            t = n / rate
            fade = min(1.0, t * 200, (length_s - t) * 60)
            mix[first + n] += level * fade * voice(t)

    for i, note in enumerate(lead):
        if note != "-":
            f = hertz(note)
            held = 2 * beat if i + 1 < len(lead) and lead[i + 1] == "-" else beat
            add(i * beat, held, 0.22, lambda t, f=f: (math.sin(2 * math.pi * f * t) + 0.3 * math.sin(6 * math.pi * f * t)) * math.exp(-3 * t))
    for i, note in enumerate(bass):
        f = hertz(note)
        for k in range(4):
            add(i + k * beat, beat, 0.25, lambda t, f=f: (2 / math.pi) * math.asin(math.sin(2 * math.pi * f * t)) * math.exp(-4 * t))
    noise = random.Random(1)
    for i in range(12):
        add(i * 0.5 + 0.25, 0.12, 0.08, lambda t: noise.uniform(-1, 1) * math.exp(-40 * t))
    with wave.open(sys.argv[1], "wb") as out:
        out.setparams((1, 2, rate, 0, "NONE", ""))
        out.writeframes(b"".join(struct.pack("<h", int(max(-1, min(1, s)) * 30_000)) for s in mix))


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def malformed():
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100_000), 9)) + chunk(b"IEND", b"")
    write("bomb.png", bomb)
    write("empty.png", b"")
    write("wrong-name.png", b"This is a line of text that somebody named .png.\n")
    for name, of, part in (("truncated.gif", "party.gif", 0.6), ("truncated.png", "logo.png", 0.7)):
        whole = read(of)
        write(name, whole[: int(len(whole) * part)])


def read(name):
    with open(name, "rb") as file:
        return file.read()


def write(name, data):
    with open(name, "wb") as file:
        file.write(data)


if __name__ == "__main__":
    logo()
    party()
    disposals()
    sprite()
    pictures()
    malformed()
    melody()
