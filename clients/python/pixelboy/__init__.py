"""pixelboy: show pictures, play music and store text on a device that runs pixelboyd.

::

    from pixelboy import PixelBoy

    with PixelBoy("raspberrypi.local") as pb:
        pb.store("cat.png")
        pb.show("cat.png")

`PixelBoy` is everything; what can go wrong is in `pixelboy.errors`, a tree under `PixelBoyError`.
"""

from __future__ import annotations

from . import errors
from ._blob import Blob
from ._job import Upload
from ._pending import Pending
from ._reply import Reply
from ._table import Argument, Op, OpTable
from ._version import __version__
from .client import PixelBoy
from .errors import Failure, GaveUp, OutcomeUnknown, PixelBoyError, Unreachable

__all__ = [
    "Argument",
    "Blob",
    "Failure",
    "GaveUp",
    "Op",
    "OpTable",
    "OutcomeUnknown",
    "Pending",
    "PixelBoy",
    "PixelBoyError",
    "Reply",
    "Unreachable",
    "Upload",
    "__version__",
    "errors",
]
