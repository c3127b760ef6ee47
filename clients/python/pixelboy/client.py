"""`PixelBoy`: a device, as Python methods.

Invariant: a method returns when the device has answered; what it stored is on the device's disk then. Nothing waits for ever.
Not here: everything that a method stands on; this file is the words. What goes wrong is in `errors`.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import os
import warnings
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Callable, TypeVar, Union, overload

from . import _media as media
from . import _source as source
from ._arguments import Arguments, TypeOf, known_types, table_types
from ._blob import Blob, Progress
from ._connection import parse_address
from ._job import Upload
from ._match import matched
from ._pending import Pending
from ._reply import Reply
from ._session import Session
from ._standing import checked_seconds
from ._state import State
from ._state_file import StateFile
from ._table import Op, OpTable
from ._values import AS_VALUES, BlobRef
from ._version import __version__
from .errors import BadArguments, NotSendable, StateDamaged

F = TypeVar("F", bound=Callable[..., object])
Data = Union[str, bytes, bytearray, memoryview, "os.PathLike[str]", IO[bytes], Upload, Blob]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 7777
_OPEN: weakref.WeakSet[PixelBoy] = weakref.WeakSet()


class PixelBoy:
    """A connection to a device that runs pixelboyd.

    ::

        with PixelBoy("raspberrypi.local") as pb:
            pb.si("cat.png", "cat.png")      # a file here, its name there
            pb.ri("cat.png")
            pb.ss("notes.txt", "hello\\n")

    Every opcode of the device is a method, also those of plugins that this package has never heard of: `pb.scroll_text("hi")`.
    `pb.ops()` lists them. The connection comes back by itself, and nothing is done twice. Threads may share one PixelBoy.
    """

    def __init__(
        self,
        host: str | None = None,
        port: int = DEFAULT_PORT,
        *,
        name: str = "",
        timeout: float = 30.0,
        state: None | str | os.PathLike[str] = None,
    ) -> None:
        """Connect, or raise `Unreachable`.

        `host`: name or address, also as "host:port"; the environment variable PIXELBOY_HOST, else 127.0.0.1, when left out.
        `name`: shown in the device's log.
        `timeout`: seconds that a call waits while nothing moves; uploads and calls before it count as moving.
        `state`: a file that keeps who this client is and what has no answer yet, so that the next run goes on after a crash
        of this one: each call is done once. One program at a time, and a sync of the file for each call. Without it each
        PixelBoy is a new client. The `pixelboy` command (`--state`) uses the same files.
        """
        if not isinstance(host, (str, type(None))) or not isinstance(port, int) or isinstance(port, bool):
            raise TypeError(f'expected a host such as "raspberrypi.local" and port=7777, got {host!r} and port={port!r}')
        address = host or os.environ.get("PIXELBOY_HOST") or DEFAULT_HOST
        where, at = parse_address(address, port)
        seconds = checked_seconds(timeout)
        label = (name or f"python {__version__}").encode("utf-8", "replace")[:64].decode("utf-8", "ignore")
        kept = State() if state is None else StateFile(state)
        if kept.notice is not None:
            warnings.warn(kept.notice, StateDamaged, stacklevel=2)
        self._session = Session(where, at, label, seconds, kept)
        self._session.start()
        self._session.keeper = weakref.ref(self)
        self._finalizer = weakref.finalize(self, self._session.abandon)
        self._finalizer.atexit = False  # type: ignore[misc,unused-ignore]
        _OPEN.add(self)

    # --- the connection ---

    @property
    def host(self) -> str:
        """`host:port` of the device."""
        return self._session.connection.address

    @property
    def timeouts(self) -> int:
        """How often the device said that it had heard nothing for its receive time-out. Not an error."""
        return self._session.calls.time_outs

    @property
    def carried_over(self) -> list[Pending]:
        """With `state`: calls of an earlier run that had no answer; they go on in this one, as far as the time they were given allows."""
        return self._session.carried_over

    def close(self, wait: bool = True) -> None:
        """End the session. Waits for calls under way, unless `wait` is False. Music without `thread=True` stops."""
        self._session.close(None if wait else 0.0)
        _OPEN.discard(self)
        self._finalizer.detach()

    def __enter__(self) -> PixelBoy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(wait=error is None)

    def __repr__(self) -> str:
        return f"<PixelBoy at {self.host}, {self._session.connection.phase}>"

    def ping(self, timeout: float | None = None) -> float:
        """Seconds to the device and back."""
        return self._session.ping(timeout)

    # --- any opcode ---

    def call(
        self, op: str, *args: Any, timeout: float | None = None, progress: Progress | None = None, **kwargs: Any
    ) -> Reply:
        """Call any opcode and wait for its reply.

        A `pathlib.Path` or an open binary file among the arguments is uploaded, large bytes too where the opcode takes data.
        `timeout` in seconds; `progress(done, total)` in bytes, for uploads. An argument of the opcode that has such a name
        is given with an underscore behind it (`timeout_=…`).
        """
        return _whole(self.submit(op, *args, timeout=timeout, progress=progress, **kwargs).result())

    def submit(
        self, op: str, *args: Any, timeout: float | None = None, progress: Progress | None = None, **kwargs: Any
    ) -> Pending:
        """Like `call`, but returns at once: a future. The device does calls in the order in which they were submitted."""
        if op in _OWN_WORDS:
            return self._submit(op, args, kwargs, known_types(op), timeout, progress)
        row = self._session.table().find(op)
        if row is None:
            row = self._session.table(fresh=True).find(op)  # it may have come this very moment
        if row is None:
            raise self._session.table().unknown(op)
        return self._submit(row.op, args, kwargs, table_types(row), timeout, progress, row)

    send = submit

    @staticmethod
    def poll(pending: Pending, timeout: float = 0.0) -> Reply | None:
        """The reply of a submitted call if it has come, else None; waits for it up to `timeout` seconds."""
        concurrent.futures.wait([pending], timeout)
        return pending.result() if pending.done() else None

    def __getattr__(self, name: str) -> Opcode:
        if name.startswith("_"):
            raise AttributeError(name)
        return Opcode(self, name)

    def __dir__(self) -> list[str]:
        table = self._session.questions.known
        return sorted({*super().__dir__(), *(op.replace("-", "_") for op in table or ())})

    def ops(self) -> OpTable:
        """The device's opcodes with their arguments and what they do. `print(pb.ops())`, `print(pb.ops()["ss"].help())`."""
        return self._session.table()

    def upload(
        self, data: Data, *, timeout: float | None = None, progress: Progress | None = None
    ) -> Upload:
        """Bring bytes to the device ahead of the call that uses them, once. Text is a path, as for `si`."""
        if isinstance(data, Upload):
            return data
        return self._session.upload(source.of(_as_data(data)), progress, timeout)

    def _submit(
        self,
        op: str,
        args: Sequence[object],
        kwargs: Any,
        types: TypeOf,
        timeout: float | None,
        progress: Progress | None,
        row: Op | None = None,
    ) -> Pending:
        arguments = Arguments(self._session.guard, progress)
        arguments.take(args, kwargs, types)
        try:
            if row is not None:
                matched(row, arguments.args, list(arguments.kwargs.items()))
            return self._session.submit(op, arguments.args, arguments.kwargs, timeout)
        except BaseException:
            arguments.close()
            raise

    def _do(
        self, op: str, *args: object, timeout: float | None = None, progress: Progress | None = None
    ) -> Reply:
        return _whole(self._submit(op, args, {}, known_types(op), timeout, progress).result())

    # --- from the device to here ---

    @overload
    def bind(self, op: str) -> Callable[[F], F]: ...

    @overload
    def bind(self, op: str, function: F) -> F: ...

    def bind(self, op: str, function: F | None = None) -> Any:
        """Offer an opcode: the device's plugins can call `function`, whose result is their answer.

        Also as a decorator: `@pb.bind("doorbell")`. Functions run one after the other on a thread of their own and may call
        the device. None answers nothing, a tuple several values; an exception is a failure.
        """
        if not 1 <= len(op) <= 32 or not set(op) <= _OP_LETTERS:
            raise NotSendable(f"an opcode is 1 to 32 of a-z, 0-9, _ and -, got {op!r}")
        if function is None:
            return lambda later: self.bind(op, later)
        self._session.calls.bind(op, function)
        return function

    def unbind(self, op: str) -> None:
        """Take an offer back."""
        self._session.calls.bind(op, None)

    def on_push(self, function: Callable[..., object]) -> Callable[..., object]:
        """`function(op, *values)` hears what plugins push to this client. Also as a decorator."""
        self._session.calls.push_to(function)
        return function

    def on_timeout(self, function: Callable[[float], object]) -> Callable[[float], object]:
        """`function(idle_seconds)` hears of receive time-outs. Also as a decorator."""
        self._session.calls.time_out_to(function)
        return function

    # --- storing ---

    def ss(
        self,
        path: str,
        text: Data,
        mode: str = "a",
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Reply:
        """Store text: mode "a" adds it at the end of the file, "w" replaces the file, "r+" writes over its start."""
        return self._do("ss", path, text, mode, timeout=timeout, progress=progress)

    def si(
        self,
        image: Any,
        name: str,
        order: str | None = None,
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Reply:
        """Store a picture: PNG, JPEG, BMP, GIF or WebP, as a path here, an open file, or bytes.

        Also a Pillow image, or a NumPy array of uint8, (height, width, 3 or 4), with order="RGB" or order="BGR".
        """
        if media.is_picture(image) or media.is_array(image):
            image = media.picture_bytes(image, name, order)
        elif order is not None:
            raise NotSendable("order is for arrays; a file knows its own")
        return self._do("si", _as_data(image), name, timeout=timeout, progress=progress)

    def sm(
        self,
        audio: Any,
        name: str,
        frame_rate: int = 0,
        *,
        channels: int | None = None,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Reply:
        """Store sound: MP3, WAV, FLAC or OGG, as a path here, an open file, or bytes; frame_rate 0 takes the file's own.

        Also a NumPy array of int16, (samples, 2), or flat with channels=1 or channels=2, and its frame_rate.
        """
        if media.is_array(audio):
            audio = media.wav_bytes(audio, frame_rate, channels)
        elif channels is not None:
            raise NotSendable("channels is for arrays; a file knows its own")
        return self._do("sm", frame_rate, _as_data(audio), name, timeout=timeout, progress=progress)

    def sg(
        self,
        gif: Any,
        name: str,
        fps: float = 0,
        *,
        order: str | None = None,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Reply:
        """Store an animation: a GIF, as a path here, an open file, or bytes; fps 0 takes its own timing.

        Also a list of Pillow images, or of arrays as for `si`, with fps (needs Pillow).
        """
        many = isinstance(gif, (list, tuple)) and not isinstance(gif, Upload)
        if many or (media.is_array(gif) and len(gif.shape) == 4):
            gif = media.gif_bytes(list(gif), fps, order)
        elif order is not None:
            raise NotSendable("order is for arrays; a file knows its own")
        return self._do("sg", fps, _as_data(gif), name, timeout=timeout, progress=progress)

    def store(
        self,
        what: Any,
        name: str | None = None,
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Reply:
        """Store a file, by its name's ending: pictures, GIFs, sound, else text. `name` on the device is the file's own by default.

        With bytes or an open file `name` decides.
        """
        if name is None:
            if not isinstance(what, (str, os.PathLike)):
                raise NotSendable("say name=…: only a path tells a name")
            name = Path(what).name
        ending = name.rpartition(".")[2].lower()
        if ending == "gif":
            return self.sg(what, name, timeout=timeout, progress=progress)
        if ending in ("mp3", "wav", "flac", "ogg", "oga"):
            return self.sm(what, name, timeout=timeout, progress=progress)
        if ending in ("png", "jpg", "jpeg", "bmp", "webp") or media.is_picture(what) or media.is_array(what):
            return self.si(what, name, timeout=timeout, progress=progress)
        if ending in ("txt", "md", "csv", "json", "log", "toml", "yaml", "yml", "ini", "html", "xml"):
            return self.ss(name, _as_data(what), "w", timeout=timeout, progress=progress)
        raise BadArguments(f"the name {name!r} does not tell what it is; use si, sg, sm or ss")

    # --- what is stored ---

    def ls(
        self, folder: str = "", after: str | None = None, limit: int | None = None, *, timeout: float | None = None
    ) -> Reply:
        """List a folder, "" for the top: `for file in pb.ls(): print(file["name"])`. `after` and `limit` page through a long one."""
        page = [] if after is None and limit is None else [after, limit]
        return self._do("ls", *([folder] if folder or page else []), *page, timeout=timeout)

    def get(
        self, path: str, *, timeout: float | None = None, progress: Progress | None = None
    ) -> Blob:
        """The bytes of a stored file, complete and checked: `bytes(blob)`, `blob.text()`, `blob.save("here.png")`.

        A large file is fetched when it is read, and again from where it broke off.
        """
        blob = self._get(path, timeout)
        blob._again = lambda: self._get(path, timeout)
        if progress is not None:
            blob.read(timeout=timeout, progress=progress)
        return blob

    def _get(self, path: str, timeout: float | None) -> Blob:
        reply = self._submit("get", (path,), {}, known_types("get"), timeout, None).result()
        raw = reply.raw
        first = reply.values[0] if raw and isinstance(raw[0], BlobRef) and raw[0].form == AS_VALUES else (raw or [b""])[0]
        if isinstance(first, BlobRef):
            return self._session.blob(first)
        if isinstance(first, str):
            first = first.encode("utf-8")
        if isinstance(first, Blob):
            return first
        return Blob.inline(first if isinstance(first, bytes) else b"")

    def stat(self, path: str, *, timeout: float | None = None) -> Reply:
        """What is known about a stored file: `pb.stat("cat.png")["size"]`."""
        return self._do("stat", path, timeout=timeout)

    def delete(self, path: str, *, timeout: float | None = None) -> Reply:
        """Remove a stored file. The opcode is `del`, a word of Python's own."""
        return self._do("del", path, timeout=timeout)

    del_ = delete

    # --- showing ---

    def ri(self, path: str, *, timeout: float | None = None) -> Reply:
        """Show a stored picture; of an animation the first frame."""
        return self._do("ri", path, timeout=timeout)

    def rg(self, path: str, *, timeout: float | None = None) -> Reply:
        """Show a stored animation, moving."""
        return self._do("rg", path, timeout=timeout)

    def show(self, path: str, *, timeout: float | None = None) -> Reply:
        """Show what is stored: a GIF moving, else as a picture."""
        if isinstance(path, str) and path.lower().endswith(".gif"):
            return self.rg(path, timeout=timeout)
        return self.ri(path, timeout=timeout)

    def clear(self, *, timeout: float | None = None) -> Reply:
        """Make the display dark."""
        return self._do("clear", timeout=timeout)

    # --- sound ---

    def rm(self, path: str, thread: bool = False, *, timeout: float | None = None) -> Reply:
        """Play stored sound in place of what plays; returns when it starts. `thread=True`: goes on after this program."""
        return self._do("rm", path, thread, timeout=timeout)

    play = rm

    def pm(self, *, timeout: float | None = None) -> Reply:
        """Pause."""
        return self._do("pm", timeout=timeout)

    pause = pm

    def um(self, thread: bool = False, *, timeout: float | None = None) -> Reply:
        """Go on from the pause."""
        return self._do("um", thread, timeout=timeout)

    resume = um

    def stop(self, *, timeout: float | None = None) -> Reply:
        """Stop what plays."""
        return self._do("stop", timeout=timeout)

    quiet = stop

    def sv(self, volume: float, *, timeout: float | None = None) -> Reply:
        """The device's volume, from 0.0 to 1.0."""
        return self._do("sv", volume, timeout=timeout)

    volume = sv

    # --- the device and the session ---

    def status(self, *, timeout: float | None = None) -> Reply:
        """What is shown and played, how loud, and versions."""
        return self._do("status", timeout=timeout)

    def srto(self, seconds: float, *, timeout: float | None = None) -> Reply:
        """The receive time-out of this session, 0.05 to 86,400 s: after so long without a call the device says so."""
        return self._do("srto", seconds, timeout=timeout)

    def sptt(self, *, timeout: float | None = None) -> Reply:
        """Let receive time-outs pass in silence."""
        return self._do("sptt", timeout=timeout)

    def sptf(self, *, timeout: float | None = None) -> Reply:
        """Hear of receive time-outs again."""
        return self._do("sptf", timeout=timeout)

    def cc(self, *, timeout: float | None = None) -> Reply:
        """Close the connection after everything before it; this PixelBoy is over then."""
        reply = self._do("cc", timeout=timeout)
        self.close()
        return reply


class Opcode:
    """An opcode of the device's table, as a method. Looked up when it is called or asked for help."""

    def __init__(self, device: PixelBoy, name: str) -> None:
        self._device = device
        self._name = name

    def __call__(
        self, *args: Any, timeout: float | None = None, progress: Progress | None = None, **kwargs: Any
    ) -> Reply:
        return self._device.call(self._name, *args, timeout=timeout, progress=progress, **kwargs)

    @property
    def help(self) -> str:
        """What the device says about it."""
        table = self._device.ops()
        row = table.find(self._name)
        if row is None:
            raise table.unknown(self._name)
        return row.help()

    def __repr__(self) -> str:
        return f"<opcode {self._name} of {self._device!r}>"


_OP_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")
_OWN_WORDS = frozenset(
    "ss si sm sg ls get del stat ri rg clear rm pm um stop sv status srto cc sptt sptf".split()
)


def _as_data(value: Any) -> Any:
    """For arguments that are never text: a str is the path of a file here."""
    return Path(value) if isinstance(value, str) else value


def _whole(reply: Reply) -> Reply:
    reply.fetch()
    return reply


@atexit.register
def _close_all() -> None:
    for device in list(_OPEN):
        device._session.close(5.0, 1.0)


__all__ = ["Opcode", "PixelBoy"]
