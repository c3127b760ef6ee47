"""The connection: one thread that connects, reads, pings and connects again; writing is done by whoever has something.

Invariant: at most one connection at a time, and every phase of it has an end: connecting, greeting, silence. A frame that is
partly sent is finished before another begins; control frames go before chunks. Everything here is under the guard.
The thread blocks only in `select`; connecting, which may block in name resolution, has a short-lived thread of its own.
Not here: what frames mean (`_session`). A broken connection is told to the owner, who decides nothing but what to send next.
"""

from __future__ import annotations

import random
import selectors
import socket
import threading
import time
from collections import deque
from typing import Protocol

from . import _frames as frames
from ._guard import Guard
from ._limits import MAX_FRAME_BYTES, MAX_GREETING_BYTES, Limits
from .errors import Closed, Fenced, PixelBoyError, ProtocolError, Unreachable

CONNECT_SECONDS = 10.0
GREETING_SECONDS = 10.0
IMPATIENT_PING_SECONDS = 5.0  # while an answer is awaited, a dead peer should be noticed before the caller gives up
UNANSWERED_PINGS = 4
LONGEST_PAUSE_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.05
_READ_BYTES = 256 * 1024
_STEADY_SECONDS = 5.0

DOWN, CONNECTING, GREETING, READY, ENDED = "down", "connecting", "greeting", "ready", "ended"


class Owner(Protocol):
    """What the connection asks of the session. All of it is called under the guard."""

    def hello(self) -> frames.Hello:
        """How to present itself now."""

    def welcomed(self, welcome: frames.Welcome) -> None:
        """The device took it in: send what is due."""

    def received(self, frame: frames.Frame) -> None:
        """A frame that is not about the connection itself."""

    def forgotten(self) -> None:
        """The device does not know the client id any more."""

    def lost(self, error: PixelBoyError) -> None:
        """The connection broke, or could not be made; another attempt follows."""

    def ended(self, error: PixelBoyError) -> None:
        """There will be no further connection."""

    def chunk(self) -> bytes | None:
        """The next frame of a transfer that may be sent now."""

    def tick(self, now: float) -> float:
        """Look after deadlines; when to come again."""

    def awaiting(self) -> bool:
        """Whether an answer is awaited."""


class Connection:
    """Keeps a connection to one address for its owner, until `end`."""

    def __init__(self, host: str, port: int, guard: Guard, owner: Owner) -> None:
        self.host = host
        self.port = port
        self.phase = DOWN
        self.closing = False  # the owner asked for the end: a close by the device is what it wants
        self.limits = Limits()
        self._guard = guard
        self._owner = owner
        self._socket: socket.socket | None = None
        self._doomed: list[socket.socket] = []  # closed by the thread only, when it does not watch them any more
        self._outbox: deque[bytes] = deque()
        self._partial: memoryview | None = None
        self._splitter = frames.Splitter()
        self._made: socket.socket | OSError | None = None
        self._attempt = 0
        self._failures = 0
        self._retry_at = 0.0
        self._phase_at = 0.0
        self._heard_at = 0.0
        self._ping_at = 0.0
        self._pings = 0
        self._patient = False  # the thread sleeps as long as it may where no answer is awaited
        self._broken: PixelBoyError | None = None
        self._due = 0.0
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._awake = False
        self.thread = threading.Thread(target=self._run, name=f"pixelboy {host}:{port}", daemon=True)

    @property
    def address(self) -> str:
        """For messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    # --- for the owner, under the guard ---

    def send(self, frame: frames.Frame) -> None:
        """Send it as soon as the socket takes it. While not connected it is dropped: the owner sends anew when welcomed."""
        self.send_bytes(frame.encode())

    def send_bytes(self, data: bytes) -> None:
        """The same for an encoded frame."""
        if self.phase == READY:
            self._outbox.append(data)
            self.flush()
            if self._patient:
                self.wake()  # it was going to look after a long time only, as nothing was awaited

    def flush(self) -> None:
        """Send as much as the socket takes now: frames in order, then chunks while there are no frames."""
        if self._socket is None or self._broken is not None:
            return
        try:
            while True:
                if self._partial is None:
                    data = self._outbox.popleft() if self._outbox else None
                    if data is None and self.phase == READY:
                        data = self._owner.chunk()
                    if data is None:
                        return
                    self._partial = memoryview(data)
                sent = self._socket.send(self._partial)
                self._partial = self._partial[sent:] if sent < len(self._partial) else None
        except (BlockingIOError, InterruptedError):
            if threading.current_thread() is not self.thread:
                self.wake()  # the thread waits until the socket takes more
        except OSError as error:
            self._broken = Unreachable(f"the connection to {self.address} broke: {_reason(error)}")
            self.wake()

    def due_at(self, when: float) -> None:
        """Call `tick` by then."""
        if when < self._due:
            self._due = when
            self.wake()

    def restart(self, error: PixelBoyError) -> None:
        """Drop this connection and make another at once."""
        self._drop(error, pause=False)

    def end(self, error: PixelBoyError) -> None:
        """No further connection; what is still to be sent is tried once."""
        if self.phase != ENDED:
            self.flush()
            self._shut()
            self.phase = ENDED
            self._owner.ended(error)
            self.wake()

    def fail(self, code: int, message: str) -> None:
        """The device broke a rule: tell it and connect anew, or end where that cannot help."""
        self._close_frame(code, message)
        self._drop(ProtocolError(f"{self.address} sent what it must not: {message}", code), pause=True)

    # --- for anyone ---

    def wake(self) -> None:
        """Get the thread out of `select`. Takes no lock, so it may be called from anywhere."""
        if not self._awake:
            self._awake = True
            try:
                self._wake_out.send(b"\0")
            except OSError:
                pass  # full: it will wake; closed: it ended

    def due_now(self) -> None:
        """Call `tick` now. Takes no lock."""
        self._due = 0.0
        self.wake()

    # --- the thread ---

    def _run(self) -> None:
        selector = selectors.DefaultSelector()
        selector.register(self._wake_in, selectors.EVENT_READ)
        watched: socket.socket | None = None
        interest = 0
        try:
            while True:
                with self._guard:
                    wait = self._step(time.monotonic())
                    if self.phase == ENDED:
                        return
                    if watched is not self._socket:
                        if watched is not None:
                            selector.unregister(watched)
                        watched = self._socket
                        if watched is not None:
                            interest = selectors.EVENT_READ
                            selector.register(watched, interest)
                    self._bury()
                    wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._partial is not None else 0)
                    if watched is not None and wanted != interest:
                        interest = wanted
                        selector.modify(watched, interest)
                for key, events in selector.select(wait):
                    if key.fileobj is self._wake_in:
                        self._drain()
                    elif events & selectors.EVENT_READ:
                        self._read(watched)
                    if events & selectors.EVENT_WRITE:
                        with self._guard:
                            self.flush()
        except Exception as error:  # a bug here must not leave callers waiting
            with self._guard:
                self.end(ProtocolError(f"internal error, please report it: {error!r}"))
            raise
        finally:
            selector.close()
            with self._guard:
                self._shut()
                self._bury()
                self._wake_in.close()
                self._wake_out.close()

    def _drain(self) -> None:
        try:
            while self._wake_in.recv(4096):
                pass
        except OSError:
            pass
        self._awake = False  # after the reading: what is done meanwhile is seen by the next step

    def _step(self, now: float) -> float:
        """What is due now; how long to wait for the next."""
        if self._broken is not None:
            broken, self._broken = self._broken, None
            self._drop(broken, pause=True)
        if now >= self._due and self.phase != ENDED:
            self._due = now + 3600.0
            self._due = min(self._due, max(self._owner.tick(now), now + 0.01))
        due = self._due
        if self.phase == DOWN:
            if now >= self._retry_at:
                self._dial(now)
            else:
                due = min(due, self._retry_at)
        if self.phase == CONNECTING:
            self._dialled(now)
            due = min(due, self._phase_at + CONNECT_SECONDS + 1.0)
        if self.phase == GREETING:
            if now >= self._phase_at + GREETING_SECONDS:
                self._drop(Unreachable(f"{self.address} accepts connections, but does not answer as a pixelboyd"), pause=True)
            due = min(due, self._phase_at + GREETING_SECONDS)
        elif self.phase == READY:
            due = min(due, self._look_alive(now))
        return max(0.0, due - now)

    def _dial(self, now: float) -> None:
        self.phase, self._phase_at, self._made = CONNECTING, now, None
        self._attempt += 1
        attempt = self._attempt

        def dial() -> None:
            made: socket.socket | OSError
            try:
                made = socket.create_connection((self.host, self.port), timeout=CONNECT_SECONDS)
            except OSError as error:
                made = error
            except UnicodeError as error:  # a host name that IDNA refuses
                made = OSError(str(error))
            with self._guard:
                if attempt == self._attempt and self.phase == CONNECTING:
                    self._made = made
                    self.wake()
                elif isinstance(made, socket.socket):
                    made.close()

        threading.Thread(target=dial, name=f"pixelboy dials {self.address}", daemon=True).start()

    def _dialled(self, now: float) -> None:
        made, self._made = self._made, None
        if isinstance(made, OSError):
            self._drop(Unreachable(_no_connection(self.address, made)), pause=True)
        elif made is not None:
            try:
                made.setblocking(False)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                made.close()
                self._drop(Unreachable(_no_connection(self.address, error)), pause=True)
                return
            self._socket, self.phase, self._phase_at = made, GREETING, now
            self._splitter = frames.Splitter(MAX_GREETING_BYTES)
            self._heard_at, self._pings = now, 0
            self._outbox.append(frames.PREAMBLE + self._owner.hello().encode())
            self.flush()
        elif now >= self._phase_at + CONNECT_SECONDS + 1.0:
            self._drop(Unreachable(f"no answer from {self.address} in {CONNECT_SECONDS:g} s; is the address right?"), pause=True)

    def _look_alive(self, now: float) -> float:
        every = self.limits.ping_ms / 1000.0
        self._patient = not self._owner.awaiting()
        if not self._patient:
            every = min(every, IMPATIENT_PING_SECONDS)
        since = max(self._heard_at, self._ping_at if self._pings else 0.0)
        if now >= since + every:
            if self._pings >= UNANSWERED_PINGS:
                self._close_frame(frames.SILENT, f"nothing came for {UNANSWERED_PINGS} pings")
                self._drop(Unreachable(f"{self.address} fell silent"), pause=True)
                return now
            self._pings += 1
            self._ping_at = since = now
            self.send(frames.Ping(token=0))
        return since + every

    def _read(self, watched: socket.socket | None) -> None:
        if watched is None:
            return
        try:
            data = watched.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            with self._guard:
                if watched is self._socket:
                    self._drop(Unreachable(f"the connection to {self.address} broke: {_reason(error)}"), pause=True)
            return
        with self._guard:
            if watched is not self._socket:
                return
            if not data:
                self._over(Unreachable(f"{self.address} closed the connection"))
                return
            self._heard_at, self._pings = time.monotonic(), 0
            try:
                for kind, body in self._splitter.feed(data):
                    frame = frames.decode(kind, body)
                    if frame is not None:
                        self._accept(frame)
                    if watched is not self._socket:
                        return
            except frames.BadFrame as error:
                if self.phase == GREETING:
                    text = f"{self.address} does not answer as a pixelboyd; is it the right port?"
                    self._drop(Unreachable(text), pause=True)
                else:
                    self._close_frame(error.code, str(error))
                    self.end(ProtocolError(f"{self.address} sent what this client does not understand: {error}", error.code))

    def _accept(self, frame: frames.Frame) -> None:
        if isinstance(frame, frames.Ping):
            self.send(frames.Pong(frame.token))
        elif isinstance(frame, frames.FROM_CLIENTS):
            raise frames.BadFrame(frames.UNKNOWN_KIND, f"{type(frame).__name__} is for clients to send")
        elif isinstance(frame, frames.Close):
            self._closed_by_device(frame.code, frame.message)
        elif self.phase == GREETING:
            self._greeted(frame)
        elif isinstance(frame, (frames.Welcome, frames.Challenge)):
            self._close_frame(frames.HELLO_EXPECTED, "a second greeting")
            self.end(ProtocolError(f"{self.address} greeted twice"))
        else:
            if self._failures:
                self._failures = 0  # it does more than greet
            self._owner.received(frame)

    def _greeted(self, frame: frames.Frame) -> None:
        if isinstance(frame, frames.Challenge):
            self.end(ProtocolError(
                f"{self.address} asks for the proof {frame.method!r}, which this version of the client cannot give; update it",
                frames.AUTH_REFUSED,
            ))  # fmt: skip
        elif not isinstance(frame, frames.Welcome):
            self.end(ProtocolError(f"{self.address} does not answer as a pixelboyd"))
        elif frame.version != frames.VERSION:
            self.end(ProtocolError(f"{self.address} chose version {frame.version}", frames.NO_COMMON_VERSION))
        else:
            self.phase, self._phase_at = READY, time.monotonic()
            self.limits = Limits.announced(frame.limits)
            self._splitter.max_frame_bytes = MAX_FRAME_BYTES
            self._owner.welcomed(frame)

    def _closed_by_device(self, code: int, message: str) -> None:
        said = f": {message}" if message else ""
        if code == frames.CLIENT_FORGOTTEN:
            self._owner.forgotten()
            self._drop(Unreachable(f"{self.address} does not know this client any more{said}"), pause=self._failures > 0)
            self._failures += 1
        elif code == frames.CLOSED:
            self.end(Closed("this PixelBoy was closed" if self.closing else "the device has ended the session" + said))
        elif code == frames.FENCED:
            self.end(Fenced(f"another program uses the same client id at {self.address}{said}; give each its own state file"))
        elif code in frames.FATAL:
            self.end(ProtocolError(f"{self.address} refuses this client (code {code}){said}", code))
        else:
            self._drop(Unreachable(f"{self.address} closed the connection (code {code}){said}"), pause=True)

    def _over(self, error: PixelBoyError) -> None:
        """The device closed without a word."""
        if self.closing:
            self.end(Closed("this PixelBoy was closed"))
        elif self.phase == GREETING:
            self._drop(Unreachable(f"{self.address} does not answer as a pixelboyd; is it the right port?"), pause=True)
        else:
            self._drop(error, pause=True)

    def _close_frame(self, code: int, message: str) -> None:
        if self.phase in (GREETING, READY) and self._socket is not None:
            self._outbox.append(frames.Close(code, message[:512]).encode())
            self.flush()

    def _drop(self, error: PixelBoyError, *, pause: bool) -> None:
        if self.phase == ENDED:
            return
        if self.phase == READY and time.monotonic() - self._phase_at > _STEADY_SECONDS:
            self._failures = 0
        self._shut()
        if self.closing:
            self.end(Closed("this PixelBoy was closed"))
            return
        seconds = 0.0
        if pause:
            seconds = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(self._failures, 10))
            seconds *= random.uniform(0.75, 1.0)  # many clients of one device should not come back together
            self._failures += 1
        self.phase, self._retry_at = DOWN, time.monotonic() + seconds
        self._owner.lost(error)
        self.wake()

    def _shut(self) -> None:
        self._attempt += 1  # a dial under way is of no use any more
        self._outbox.clear()
        self._partial = self._broken = None
        made, self._made = self._made, None
        self._doomed += [each for each in (self._socket, made) if isinstance(each, socket.socket)]
        self._socket = None

    def _bury(self) -> None:
        while self._doomed:
            self._doomed.pop().close()


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


def _no_connection(address: str, error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {address}; is pixelboyd running there, and open to this computer?"
    if isinstance(error, socket.gaierror):
        return f"the name in {address} is not known here ({_reason(error)}); try the device's IP address"
    if isinstance(error, socket.timeout):
        return f"no answer from {address} in {CONNECT_SECONDS:g} s; is the address right, and the device on?"
    return f"no connection to {address}: {_reason(error)}"


def parse_address(host: str, port: int) -> tuple[str, int]:
    """`H`, `H:PORT`, `[V6]:PORT`; a bare IPv6 address keeps its colons."""
    text = host.strip()
    if text.startswith("["):
        inner, _, rest = text[1:].partition("]")
        return inner, _port(rest[1:], host) if rest.startswith(":") else port
    if text.count(":") == 1:
        name, _, number = text.partition(":")
        return name, _port(number, host)
    return text, port


def _port(text: str, host: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError(f"{host!r}: the port must be a number from 1 to 65535")
    return int(text)
