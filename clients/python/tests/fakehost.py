"""A small host on real sockets, for tests: keeps records, uploads and blobs like a device, and can be told to misbehave.

`intercept(connection, frame)` sees every frame first; what it returns true for is not handled further. `ran` lists what was
executed, once each, which is what the tests of *exactly once* look at.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
import threading
import time
import traceback
from typing import Any, Callable

from pixelboy import _frames as frames
from pixelboy._crc32c import folded
from pixelboy._limits import Limits
from pixelboy._table import digest as table_digest
from pixelboy._values import BlobRef, UploadRef

LIMITS = Limits()


def row(op: str, *args: tuple[str, str], doc: str = "", **defaults: Any) -> dict[str, Any]:
    """A row of the table."""
    arguments = []
    for name, kind in args:
        argument: dict[str, Any] = {"name": name, "type": kind, "doc": ""}
        if name in defaults:
            argument["default"] = defaults[name]
        arguments.append(argument)
    return {"op": op, "plugin": "test", "doc": doc, "args": arguments, "returns": ""}


class Peer:
    """One connection of a client."""

    def __init__(self, host: FakeHost, sock: socket.socket, index: int) -> None:
        self.host = host
        self.sock = sock
        self.index = index
        self.client = b""
        self.requested: set = set()
        self.offset: dict[int, int] = {}  # of uploads moving here
        self.lock = threading.Lock()
        self.closed = False

    def send(self, frame: frames.Frame) -> None:
        data = frame.encode()
        with self.lock:
            try:
                if self.host.dribble:
                    for byte in data:
                        self.sock.sendall(bytes([byte]))
                else:
                    self.sock.sendall(data)
            except OSError:
                pass

    def cut(self) -> None:
        """Break the connection; what was received and not handled yet is dropped."""
        self.closed = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def refuse(self, code: int, message: str = "") -> None:
        self.send(frames.Close(code, message))
        self.cut()


class Memory:
    """What the host knows of one client."""

    def __init__(self) -> None:
        self.replies: dict[int, tuple[bytes, frames.Reply]] = {}
        self.received_through = 0
        self.executed_through = 0
        self.confirmed = 0
        self.also: set = set()
        self.uploads: dict[int, Part] = {}


class Part:
    def __init__(self, length: int | None, sha256: bytes | None) -> None:
        self.length = length
        self.sha256 = sha256
        self.data = bytearray()
        self.complete = False
        self.consumed = 0


class FakeHost:
    """Start with `with FakeHost() as host:`; `host.port`."""

    def __init__(self, port: int = 0) -> None:
        self.store = secrets.token_bytes(16)
        self.clients: dict[bytes, Memory] = {}
        self.files: dict[str, bytes] = {}
        self.blobs: dict[int, bytes] = {}
        self.ran: list[tuple[int, str, list]] = []
        self.log: list[tuple[int, frames.Frame]] = []
        self.raw: list[tuple[int, int, bytes]] = []
        self.peers: list[Peer] = []
        self.intercept: Callable[[Peer, frames.Frame], bool] = lambda peer, frame: False
        self.dribble = False
        self.deaf = False
        self.resumed = False  # whether a session outlives its connection
        self.faults: list[str] = []
        self.forget_unknown = True
        self.credit_bytes = 262_144
        self.limits: dict[int, int] = {}
        self.commits = 0
        self.rows = [
            row("echo", ("value", "any")),
            row("keep", ("data", "data"), ("name", "text")),
            row("scroll_text", ("text", "text"), ("speed", "int"), speed=3, doc="Scrolls text."),
            row("with-dash"),
        ]
        self.lock = threading.RLock()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._stopping = False
        self._spawn(self._accept)

    # --- for tests ---

    def __enter__(self) -> FakeHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stopping = True
        self._listener.close()
        for peer in self.peers:
            peer.cut()

    def go_deaf(self) -> None:
        """Drop every connection at once, as if the device were off; `listen_again` ends it."""
        self.deaf = True
        for peer in self.peers:
            peer.cut()

    def listen_again(self) -> None:
        self.deaf = False

    def frames(self, kind: type) -> list[Any]:
        return [frame for _, frame in list(self.log) if isinstance(frame, kind)]

    def wait_for(self, condition: Callable[[], Any], seconds: float = 10.0) -> Any:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = condition()
            if found:
                return found
            time.sleep(0.002)
        raise AssertionError("it did not happen")

    def blob(self, data: bytes, form: int = 0) -> BlobRef:
        number = secrets.randbits(60)
        self.blobs[number] = data
        return BlobRef(number, len(data), hashlib.sha256(data).digest(), form)

    @property
    def table(self) -> bytes:
        return table_digest(self.rows)

    # --- connections ---

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()

    def _accept(self) -> None:
        listener = self._listener
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            if self.deaf:
                sock.close()
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = Peer(self, sock, len(self.peers))
            self.peers.append(peer)
            self._spawn(self._serve, peer)

    def _serve(self, peer: Peer) -> None:
        try:
            preamble = b""
            while len(preamble) < 8:
                data = peer.sock.recv(8 - len(preamble))
                if not data:
                    return
                preamble += data
            assert preamble == frames.PREAMBLE, preamble
            splitter = frames.Splitter()
            while True:
                data = peer.sock.recv(65536)
                if not data:
                    return
                for kind, body in splitter.feed(data):
                    frame = frames.decode(kind, body)
                    self.raw.append((peer.index, kind, body))
                    self.log.append((peer.index, frame))
                    if not self.intercept(peer, frame):
                        with self.lock:
                            if not peer.closed:
                                self.handle(peer, frame)
                    if peer.closed:
                        return
        except OSError:
            pass
        except Exception:  # the client broke a rule, or the test: the fixture looks here at the end
            self.faults.append(traceback.format_exc())
            peer.cut()

    def handle(self, peer: Peer, frame: frames.Frame) -> None:
        """As a device would."""
        name = "_" + type(frame).__name__.lower()
        getattr(self, name)(peer, frame)

    def _hello(self, peer: Peer, hello: frames.Hello) -> None:
        peer.client = hello.client
        memory = self.clients.get(hello.client)
        if memory is None:
            if self.forget_unknown and (hello.last_store is not None or hello.lowest_unconfirmed > 1):
                peer.refuse(frames.CLIENT_FORGOTTEN, "not known here")
                return
            memory = self.clients[hello.client] = Memory()
        self._confirm_through(memory, hello.lowest_unconfirmed - 1)
        for other in self.peers:
            if other is not peer and other.client == peer.client and other.client:
                other.refuse(frames.FENCED)
        peer.send(
            frames.Welcome(
                1, self.store, self.resumed, memory.executed_through, memory.received_through,
                sorted(self.limits.items()), self.table, "fakehost 1",
            )
        )  # fmt: skip

    def _confirm_through(self, memory: Memory, through: int) -> None:
        memory.confirmed = max(memory.confirmed, through)
        for number in [number for number in memory.replies if number <= memory.confirmed]:
            del memory.replies[number]

    def _request(self, peer: Peer, request: frames.Request) -> None:
        memory = self.clients[peer.client]
        assert not peer.requested or request.number > max(peer.requested), "bad-number"
        assert request.confirmed <= memory.received_through, "confirms what was never received"
        peer.requested.add(request.number)
        memory.received_through = max(memory.received_through, request.number)
        self._confirm_through(memory, request.confirmed)
        unconfirmed = [n for n in memory.replies if n not in memory.also]
        assert len(unconfirmed) <= LIMITS.window_operations, "limit-exceeded"
        digest = hashlib.sha256(request.digested()).digest()[:16]
        if request.number in memory.replies:
            known, reply = memory.replies[request.number]
            if known != digest:
                self.reply(peer, request.number, frames.Failed(22, "number reused"))
            else:
                peer.send(frames.Reply(reply.number, reply.stored, True, reply.outcome))
            return
        if request.number <= memory.confirmed:
            self.reply(peer, request.number, frames.Failed(33, "confirmed"))
            return
        if request.deadline_ms == 0:
            outcome: frames.Outcome = frames.Failed(11, "not begun")
        else:
            outcome = self.run(peer, request)
        stored = None
        if isinstance(outcome, frames.Done) and request.op in ("ss", "keep", "si", "sm", "sg"):
            self.commits += 1
            stored = self.commits
        reply = frames.Reply(request.number, stored, False, outcome)
        memory.replies[request.number] = (digest, reply)
        memory.executed_through = max(memory.executed_through, request.number)
        self.answer(peer, reply)
        if request.op == "cc":
            peer.refuse(frames.CLOSED)

    def answer(self, peer: Peer, reply: frames.Reply) -> None:
        """Send a reply; tests replace it to lose some."""
        peer.send(reply)

    def reply(self, peer: Peer, number: int, outcome: frames.Outcome) -> None:
        peer.send(frames.Reply(number, None, False, outcome))

    def run(self, peer: Peer, request: frames.Request) -> frames.Outcome:
        """Execute an opcode."""
        args, pairs = request.values()
        named = dict(pairs)
        memory = self.clients[peer.client]
        contents: list[Any] = []
        for value in args + list(named.values()):
            if isinstance(value, UploadRef):
                part = memory.uploads.get(value.transfer)
                if part is None:
                    return frames.Failed(18, "no such upload")
                if not part.complete:
                    return frames.Failed(17, "not ready")
                if part.consumed:
                    return frames.Failed(19, "consumed")
                part.consumed = request.number
                value = bytes(part.data)
            contents.append(value)
        self.ran.append((request.number, request.op, contents))
        op = request.op
        if op == "ss":
            path, text, mode = (*contents, "a")[:3]
            text = text if isinstance(text, bytes) else text.encode()
            before = b"" if mode == "w" else self.files.get(path, b"")
            self.files[path] = before + text
            return frames.Done([{"path": path, "size": len(self.files[path])}])
        if op in ("keep", "si"):
            data, name = contents
            self.files[name] = data.encode() if isinstance(data, str) else data
            return frames.Done([{"size": len(data), "sha256": hashlib.sha256(self.files[name]).hexdigest()}])
        if op in ("sm", "sg"):
            _, data, name = contents
            self.files[name] = data
            return frames.Done([{"size": len(data)}])
        if op == "get":
            if contents[0] not in self.files:
                return frames.Failed(4, f"there is no file {contents[0]!r}", (("path", contents[0]),))
            data = self.files[contents[0]]
            value = data if len(data) <= 1000 else self.blob(data)
            return frames.Done([value, {"size": len(data)}])
        if op == "ls":
            return frames.Done([[{"name": name} for name in sorted(self.files)]])
        if op == "echo":
            return frames.Done(contents)
        if op == "del":
            self.files.pop(contents[0])
            return frames.Done([{"path": contents[0]}])
        return frames.Done([{"op": op, "args": [each for each in contents if not isinstance(each, bytes)]}])

    def _confirm(self, peer: Peer, frame: frames.Confirm) -> None:
        memory = self.clients[peer.client]
        assert frame.through <= memory.received_through and all(n <= memory.received_through for n in frame.also)
        assert frame.also == sorted(set(frame.also)) and len(frame.also) <= 1024
        self._confirm_through(memory, frame.through)
        memory.also.update(frame.also)

    def _cancel(self, peer: Peer, frame: frames.Cancel) -> None:
        pass

    def _goodbye(self, peer: Peer, frame: frames.Goodbye) -> None:
        self.clients.pop(peer.client, None)
        peer.refuse(frames.CLOSED)

    def _close(self, peer: Peer, frame: frames.Close) -> None:
        peer.cut()

    def _ping(self, peer: Peer, frame: frames.Ping) -> None:
        peer.send(frames.Pong(frame.token))

    def _pong(self, peer: Peer, frame: frames.Pong) -> None:
        pass

    def _bind(self, peer: Peer, frame: frames.Bind) -> None:
        pass

    def _callreply(self, peer: Peer, frame: frames.CallReply) -> None:
        pass

    # --- transfers ---

    def _openupload(self, peer: Peer, frame: frames.OpenUpload) -> None:
        memory = self.clients[peer.client]
        part = memory.uploads.get(frame.transfer)
        if part is None:
            part = Part(frame.length, frame.sha256)
            for number, other in list(memory.uploads.items()):
                if not other.complete and frame.sha256 and (other.length, other.sha256) == (frame.length, frame.sha256):
                    part = memory.uploads.pop(number)
            memory.uploads[frame.transfer] = part
        if part.consumed:
            peer.send(frames.Opened(frame.transfer, frames.Consumed(part.consumed), part.length, part.sha256))
        elif part.complete:
            peer.send(frames.Opened(frame.transfer, frames.Complete(), part.length, part.sha256))
        else:
            peer.offset[frame.transfer] = len(part.data) + self.credit_bytes
            at = frames.At(len(part.data), peer.offset[frame.transfer])
            peer.send(frames.Opened(frame.transfer, at, part.length, part.sha256))

    def _data(self, peer: Peer, frame: frames.Data) -> None:
        part = self.clients[peer.client].uploads.get(frame.transfer)
        if part is None or frame.transfer not in peer.offset:
            return
        assert folded(frame.chunk) == frame.crc32c, "bad-chunk"
        assert frame.offset == len(part.data), f"a gap: {frame.offset}, {len(part.data)}"
        assert frame.offset + len(frame.chunk) <= peer.offset[frame.transfer], "beyond the credit"
        part.data += frame.chunk
        peer.offset[frame.transfer] = len(part.data) + self.credit_bytes
        peer.send(frames.Credit(frame.transfer, peer.offset[frame.transfer]))

    def _finish(self, peer: Peer, frame: frames.Finish) -> None:
        part = self.clients[peer.client].uploads.get(frame.transfer)
        if part is None:
            return
        sha256 = hashlib.sha256(part.data).digest()
        if len(part.data) != frame.length or sha256 != frame.sha256 or part.sha256 not in (None, sha256):
            del self.clients[peer.client].uploads[frame.transfer]
            peer.send(frames.Abort(frame.transfer, 20, "digest mismatch"))
            return
        part.complete = True
        peer.send(frames.Finished(frame.transfer, sha256))

    def _abort(self, peer: Peer, frame: frames.Abort) -> None:
        self.clients[peer.client].uploads.pop(frame.transfer, None)

    def _opendownload(self, peer: Peer, frame: frames.OpenDownload) -> None:
        data = self.blobs.get(frame.blob)
        if data is None:
            peer.send(frames.Abort(frame.transfer, 21, "gone"))
            return
        sha256 = hashlib.sha256(data).digest()
        peer.send(frames.Opened(frame.transfer, frames.At(frame.offset, frame.limit), len(data), sha256))
        self._spawn(self._pump, peer, frame, data, sha256)

    def _pump(self, peer: Peer, frame: frames.OpenDownload, data: bytes, sha256: bytes) -> None:
        offset = frame.offset
        while offset < len(data):
            limit = max([frame.limit] + [c.limit for c in self.frames(frames.Credit) if c.transfer == frame.transfer])
            if offset >= limit:
                time.sleep(0.001)
                if peer.sock.fileno() < 0:
                    return
                continue
            chunk = data[offset : min(offset + 65536, limit)]
            self.send_chunk(peer, frames.Data(frame.transfer, offset, folded(chunk), chunk))
            offset += len(chunk)
        peer.send(frames.Finish(frame.transfer, len(data), sha256))

    def send_chunk(self, peer: Peer, chunk: frames.Data) -> None:
        """Send a chunk of a download; tests replace it to damage or cut."""
        peer.send(chunk)

    def _credit(self, peer: Peer, frame: frames.Credit) -> None:
        pass

    # --- the table ---

    def _gettable(self, peer: Peer, frame: frames.GetTable) -> None:
        for first, each in enumerate(self.rows):
            peer.send(frames.Table(self.table, len(self.rows), first, [each]))
