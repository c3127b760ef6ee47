"""The real daemon, for tests.

PIXELBOYD and PIXELBOY name the programs; without them those of ../../../target are tried, release first. The plugins are those of
../../../plugins, or of the folder that PIXELBOY_PLUGINS names.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MEDIA = ROOT / "tests" / "media"
CONFIG = """
[plugins.store-media]
file = "store-media.wasm"
allow = ["store", "probe"]
[plugins.show-gif]
file = "show-gif.wasm"
allow = ["store", "display"]
[plugins.play-audio]
file = "play-audio.wasm"
allow = ["store", "audio"]
"""
START_SECONDS = 60.0


def program(name: str = "pixelboyd") -> Path:
    """A built program: what PIXELBOYD or PIXELBOY names, else that of this folder."""
    named = os.environ.get(name.upper())
    tried = [Path(named)] if named else [ROOT / "target" / kind / name for kind in ("release", "debug")]
    for path in tried:
        if path.is_file():
            return path
    places = " or ".join(map(str, tried))
    pytest.fail(f"there is no {name} at {places}; build it with `cargo build --release`, or set {name.upper()}")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class Daemon:
    """A pixelboyd with a data folder of its own."""

    def __init__(self, folder: Path, port: int = 0, more: str = "") -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.port = port
        self.log = folder / "log.txt"
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "config.toml").write_text(CONFIG + more)
        self.start()

    def start(self) -> None:
        """Start it, again too; returns when it takes connections."""
        plugins = Path(os.environ.get("PIXELBOY_PLUGINS", ROOT / "plugins"))
        if not (plugins / "store-media.wasm").is_file():
            pytest.fail(f"there is no store-media.wasm in {plugins}; build the plugins with `make plugins`")
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        command = [program(), "--config", self.folder / "config.toml", "--listen", f"127.0.0.1:{self.port}"]
        command += ["--data", self.folder / "data", "--plugins", plugins, "--display", "none", "--audio", "null"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*map(str, command), "--ready-file", str(ready)], stdout=log, stderr=log)
        until = time.monotonic() + START_SECONDS
        while not (ready.exists() and ready.read_text().endswith("\n")):
            if self.process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"pixelboyd did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.02)
        self.address = ready.read_text().strip()

    def kill(self) -> None:
        """As a power cut for the process."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """As the system stops it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
