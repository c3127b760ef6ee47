"""Pictures and sound from Python objects."""

from __future__ import annotations

import io
import struct
import wave
import zlib
from typing import Any

import pytest
from fakehost import FakeHost

from pixelboy import PixelBoy, errors

numpy = pytest.importorskip("numpy")
Image = pytest.importorskip("PIL.Image")


def picture(height: int, width: int, channels: int = 3) -> Any:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return numpy.random.default_rng(1).integers(0, 256, shape, dtype=numpy.uint8)


def stored(host: FakeHost, name: str) -> Any:
    return Image.open(io.BytesIO(host.files[name]))


@pytest.mark.parametrize("channels, mode", [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_an_array_becomes_a_png_of_the_same_pixels(host: FakeHost, pb: PixelBoy, channels: int, mode: str) -> None:
    for height, width in ((1, 1), (5, 3), (64, 64), (100, 301)):
        array = picture(height, width, channels)
        pb.si(array, "a.png", "RGB" if channels > 1 else None)
        found = stored(host, "a.png")
        assert found.format == "PNG" and found.mode == mode
        assert (numpy.asarray(found) == array).all()


def test_bgr_is_turned(host: FakeHost, pb: PixelBoy) -> None:
    array = picture(4, 5, 4)
    pb.si(array, "a.png", order="BGR")
    assert (numpy.asarray(stored(host, "a.png")) == array[..., [2, 1, 0, 3]]).all()
    pb.si(array[:, ::-1, :3], "a.png", order="bgr")
    assert (numpy.asarray(stored(host, "a.png")) == array[:, ::-1, [2, 1, 0]]).all()


@pytest.mark.parametrize(
    "array, options, says",
    [
        (picture(2, 2), {}, 'say order="RGB" or order="BGR"'),
        (picture(2, 2), {"order": "GRB"}, "order is"),
        (picture(2, 2).astype(float), {"order": "RGB"}, "uint8"),
        (numpy.zeros((2, 2, 5), numpy.uint8), {"order": "RGB"}, r"\(height, width, 3\)"),
        (numpy.zeros((0, 2, 3), numpy.uint8), {"order": "RGB"}, "shape"),
        (picture(2, 2), {"order": "RGB", "name": "a.jpg"}, "name it .png"),
        (b"x", {"order": "RGB"}, "order is for arrays"),
    ],
)
def test_what_does_not_tell_enough_is_refused(host: FakeHost, pb: PixelBoy, array: Any, options: Any, says: str) -> None:
    with pytest.raises(errors.NotSendable, match=says):
        pb.si(array, options.pop("name", "a.png"), **options)
    assert host.files == {}


def test_a_pillow_image_becomes_what_its_name_says(host: FakeHost, pb: PixelBoy) -> None:
    image = Image.fromarray(picture(8, 8, 4))
    for name, form in (("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.bmp", "BMP"), ("a.webp", "WEBP"), ("a", "PNG")):
        pb.si(image, name)
        assert stored(host, name).format == form


def test_pictures_in_a_row_become_a_gif(host: FakeHost, pb: PixelBoy) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "green", "blue")]
    pb.sg(frames, "a.gif", fps=12.5)
    found = stored(host, "a.gif")
    assert found.n_frames == 3 and found.info["duration"] == 80
    pb.sg(numpy.stack([numpy.asarray(frame) for frame in frames]), "b.gif", fps=10, order="RGB")
    assert stored(host, "b.gif").n_frames == 3
    with pytest.raises(errors.NotSendable, match="fps"):
        pb.sg(frames, "c.gif")
    assert [contents[0] for _, op, contents in host.ran] == [12.5, 10]


def test_an_array_of_samples_becomes_a_wav(host: FakeHost, pb: PixelBoy) -> None:
    samples = numpy.arange(-50, 50, dtype=numpy.int16)
    for array, channels, options in (
        (samples, 1, {"channels": 1}),
        (samples, 2, {"channels": 2}),
        (samples.reshape(50, 2), 2, {}),
        (samples.reshape(100, 1).astype(">i2"), 1, {}),
    ):
        if str(array.dtype) != "int16":
            array = array.astype("int16")
        pb.sm(array, "a.wav", 8000, **options)
        with wave.open(io.BytesIO(host.files["a.wav"])) as file:
            assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (channels, 8000, 2)
            assert struct.unpack("<100h", file.readframes(1000)) == tuple(range(-50, 50))
    assert host.ran[-1][2][0] == 8000


@pytest.mark.parametrize(
    "array, options, says",
    [
        (numpy.zeros(4, numpy.int16), {"frame_rate": 8000}, "channels=1"),
        (numpy.zeros((4, 2), numpy.int16), {}, "frame_rate"),
        (numpy.zeros(4, numpy.float32), {"frame_rate": 8000, "channels": 1}, "int16"),
        (numpy.zeros(5, numpy.int16), {"frame_rate": 8000, "channels": 2}, "shape"),
        (b"x", {"channels": 2}, "channels is for arrays"),
    ],
)
def test_sound_that_does_not_tell_enough_is_refused(host: FakeHost, pb: PixelBoy, array: Any, options: Any, says: str) -> None:
    with pytest.raises(errors.NotSendable, match=says):
        pb.sm(array, "a.wav", **options)
    assert host.files == {}


def test_the_png_writer_s_parts_have_right_checksums(host: FakeHost, pb: PixelBoy) -> None:
    pb.si(picture(3, 3), "a.png", "RGB")
    data = host.files["a.png"][8:]
    kinds = []
    while data:
        (size,) = struct.unpack(">I", data[:4])
        assert struct.unpack(">I", data[8 + size : 12 + size])[0] == zlib.crc32(data[4 : 8 + size])
        kinds.append(data[4:8])
        data = data[12 + size :]
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]
