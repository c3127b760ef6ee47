"""Pictures and sound from Python objects: NumPy arrays and Pillow images to PNG, GIF and WAV.

Invariant: nothing is guessed: the order of colours, the number of channels and the rate are asked for where an array does not
tell. Neither NumPy nor Pillow is imported unless the caller's object comes from it; PNG and WAV need the standard library only.
What does not fit is `NotSendable`, before anything is sent.
"""

from __future__ import annotations

import io
import struct
import wave
import zlib
from collections.abc import Sequence
from typing import Any

from .errors import NotSendable

_PNG = b"\x89PNG\r\n\x1a\n"
_FORMATS = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "bmp": "BMP", "gif": "GIF", "webp": "WEBP"}


def is_array(value: object) -> bool:
    """A NumPy array, or what looks like one."""
    return hasattr(value, "__array_interface__") and hasattr(value, "dtype") and not is_picture(value)


def is_picture(value: object) -> bool:
    """A Pillow image."""
    return any(kind.__module__.partition(".")[0] == "PIL" for kind in type(value).__mro__)


def picture_bytes(value: Any, name: str, order: str | None) -> bytes:
    """A picture as a file: of an array PNG, of a Pillow image what the name's ending says, else PNG."""
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    if is_picture(value):
        if order is not None:
            raise NotSendable("order is for arrays; a Pillow image knows its own")
        return _pillow_bytes(value, _FORMATS.get(ending, "PNG"))
    if ending in _FORMATS and ending != "png":
        raise NotSendable(f"an array is sent as PNG, so {name!r} would not be what it says; name it .png, or give a Pillow image")
    return png_bytes(value, order)


def _pillow_bytes(picture: Any, form: str) -> bytes:
    out = io.BytesIO()
    if form == "JPEG" and picture.mode not in ("L", "RGB", "CMYK"):
        picture = picture.convert("RGB")
    picture.save(out, format=form)
    return out.getvalue()


def png_bytes(array: Any, order: str | None) -> bytes:
    """PNG of a uint8 array (height, width), (height, width, 3) or (height, width, 4); `order` is "RGB" or "BGR"."""
    shape = tuple(int(each) for each in array.shape)
    if str(array.dtype) != "uint8":
        raise NotSendable(f"a picture is an array of uint8 (0 to 255), got {array.dtype}; scale it and use .astype('uint8')")
    if len(shape) not in (2, 3) or 0 in shape or (len(shape) == 3 and shape[2] not in (3, 4)):
        raise NotSendable(f"a picture has the shape (height, width, 3) or (height, width, 4), got {shape}")
    if len(shape) == 3:
        if order is None:
            raise NotSendable('say order="RGB" or order="BGR": an array does not tell (OpenCV makes BGR, Pillow RGB)')
        if order.upper() not in ("RGB", "BGR"):
            raise NotSendable(f'order is "RGB" or "BGR", got {order!r}')
        if order.upper() == "BGR":
            array = array[..., [2, 1, 0, 3][: shape[2]]]
    height, width = shape[:2]
    channels = shape[2] if len(shape) == 3 else 1
    rows = array.tobytes()
    stride = width * channels
    # Filter 0 in each row: photographs pack a little worse, pixel art does not, and nothing but zlib is needed.
    raw = b"".join(b"\0" + rows[start : start + stride] for start in range(0, len(rows), stride))
    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    return _PNG + _part(b"IHDR", header) + _part(b"IDAT", zlib.compress(raw, 6)) + _part(b"IEND", b"")


def _part(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def gif_bytes(pictures: Sequence[Any], fps: float, order: str | None) -> bytes:
    """A GIF of Pillow images or arrays, made by Pillow."""
    if not pictures:
        raise NotSendable("an animation needs at least one picture")
    if not fps > 0:
        raise NotSendable("say fps=…: a list of pictures does not tell how fast they follow one another")
    try:
        from PIL import Image
    except ImportError:
        raise NotSendable("a GIF of single pictures is made with Pillow: pip install pillow, or give a GIF file") from None
    frames: list[Any] = []
    for picture in pictures:
        if is_array(picture):
            picture = Image.open(io.BytesIO(png_bytes(picture, order)))
        elif not is_picture(picture):
            raise NotSendable(f"an animation is a list of arrays or Pillow images, got a {type(picture).__name__}")
        frames.append(picture.convert("RGBA") if "A" in picture.getbands() else picture.convert("RGB"))
    out = io.BytesIO()
    # GIF counts in hundredths of a second; the last time of each picture is rounded so that errors do not add up.
    ends = [round(100 * number / fps) for number in range(len(frames) + 1)]
    durations = [10 * max(1, end - begin) for begin, end in zip(ends, ends[1:])]
    frames[0].save(
        out, format="GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0, disposal=2, optimize=False
    )
    return out.getvalue()


def wav_bytes(array: Any, frame_rate: int, channels: int | None) -> bytes:
    """WAV of an int16 array: (samples, channels), or (samples,) with `channels` saying 1, or 2 for interleaved stereo."""
    shape = tuple(int(each) for each in array.shape)
    if str(array.dtype) != "int16":
        raise NotSendable(f"sound is an array of int16 (-32768 to 32767), got {array.dtype}; scale it and use .astype('int16')")
    if not frame_rate:
        raise NotSendable("say frame_rate=… (such as 44100): an array does not tell its samples per second")
    if len(shape) == 2 and shape[1] in (1, 2) and channels in (None, shape[1]):
        channels = shape[1]
    elif len(shape) == 1 and channels is None:
        raise NotSendable("say channels=1 (mono) or channels=2 (left and right in turn): a flat array does not tell")
    elif len(shape) != 1 or channels not in (1, 2) or shape[0] % channels:
        raise NotSendable(f"sound has the shape (samples,), (samples, 1) or (samples, 2), got {shape} for {channels} channels")
    assert channels is not None
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(frame_rate)
        file.writeframes(array.astype("<i2").tobytes())
    return out.getvalue()
