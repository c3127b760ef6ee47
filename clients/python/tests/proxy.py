"""A wire that can be cut: between a client and a device, on real sockets.

`budget` is how many bytes may still pass in one direction; when it is used up, both ends are closed. `stall` holds bytes back and
keeps the connections open, as a network does that lost its way.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Callable


class Proxy:
    """Listens at `address`, hands everything to `to`."""

    def __init__(self, to: str) -> None:
        self.to = to
        self.budget: Callable[[], int | None] = lambda: None  # bytes of a new connection; None: no end
        self.stall_up = self.stall_down = self.closed = False
        self.only_greetings = False  # what comes from the device behind its first bytes is held back
        self.up = 0  # bytes from clients to the device
        self.connections = 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Break what is connected now."""
        for sock in self._open:
            _close(sock)
        self._open.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                host, _, port = self.to.rpartition(":")
                device = socket.create_connection((host, int(port)), 5)
            except OSError:
                client.close()
                continue
            self.connections += 1
            self._open += [client, device]
            left, lock = [self.budget()], threading.Lock()
            for source, target, up in ((client, device, True), (device, client, False)):
                threading.Thread(target=self._pump, args=(source, target, up, left, lock), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, up: bool, left: list[int | None], lock: threading.Lock) -> None:
        is_first = True
        try:
            while True:
                data = source.recv(16_384)
                while self._stalls(up, is_first) and not self.closed:
                    time.sleep(0.005)
                is_first = False
                whole = len(data)
                with lock:
                    room = left[0]
                    if room is not None:
                        data = data[:room]
                        left[0] = 0 if len(data) < whole else room - whole
                target.sendall(data)
                if up:
                    self.up += len(data)
                if not data or len(data) < whole:
                    break
        except OSError:
            pass
        _close(source)
        _close(target)


    def _stalls(self, up: bool, is_first: bool) -> bool:
        return self.stall_up if up else self.stall_down or (self.only_greetings and not is_first)


def _close(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    sock.close()
