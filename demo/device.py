"""A pixelboyd of its own for the demo: its folder, its start and its end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from steps import Failed

START_SECONDS = 30
STOP_SECONDS = 10


class Device:
    """The daemon with a fresh copy of config.toml and plugins, so that nothing of the user's is touched."""

    def __init__(self, repository: Path) -> None:
        self.folder = Path(os.path.relpath(repository / ".build" / "demo"))
        self.log = self.folder / "pixelboyd.log"
        self.address = "127.0.0.1:0"  # any free port; after the first start the one it got
        self._program = Path(os.environ.get("PIXELBOYD", repository / "target" / "release" / "pixelboyd"))
        self._process: subprocess.Popen[bytes] | None = None
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "plugins").mkdir(parents=True)
        shutil.copy(repository / "config.toml", self.folder)
        for plugin in repository.glob("plugins/*.wasm"):
            shutil.copy(plugin, self.folder / "plugins")

    def start(self, audio: str) -> None:
        """Returns when clients can connect. The pictures go to this terminal, the log to a file."""
        if not self._program.exists():
            raise Failed(f"there is no {self._program}; `make demo` builds all of it and runs the demo")
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        display = "terminal" if sys.stdout.isatty() else "terminal:once"
        command = [
            str(self._program), f"--config={self.folder / 'config.toml'}", f"--listen={self.address}",
            f"--ready-file={ready}", f"--display={display}", f"--audio={audio}",
        ]  # fmt: skip
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
        until = time.monotonic() + START_SECONDS
        while not ready.exists():
            if self._process.poll() is not None:
                raise Failed(f"pixelboyd ended at its start, with exit status {self._process.returncode}")
            if time.monotonic() > until:
                raise Failed(f"pixelboyd was not ready within {START_SECONDS} s")
            time.sleep(0.02)
        self.address = ready.read_text().strip()

    def stop(self) -> None:
        """Ends it as a system does, with SIGTERM."""
        assert self._process is not None, "it was started"
        self._process.terminate()
        try:
            status = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failed(f"pixelboyd did not stop within {STOP_SECONDS} s of SIGTERM") from None
        if status != 0:
            raise Failed(f"pixelboyd ended with exit status {status}, expected 0")

    def kill(self) -> None:
        """Whatever happened: nothing of it runs on. Does nothing after `stop`."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()  # it gives the terminal back then
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def condition(self) -> str:
        """What became of the daemon so far."""
        if self._process is None:
            return "pixelboyd was not started"
        status = self._process.poll()
        return "pixelboyd was running" if status is None else f"pixelboyd had ended with exit status {status}"

    def drop_in(self, name: str, wasm: Path) -> None:
        """What a person does to add a plugin: a file into the folder, two lines into config.toml."""
        shutil.copy(wasm, self.folder / "plugins")
        with open(self.folder / "config.toml", "a", encoding="utf-8") as config:
            config.write(f'\n[plugins.{name}]\nfile = "{wasm.name}"\n')

    def file(self, path: str) -> Path:
        """Where a stored file lies: media are plain files."""
        return self.folder / "data" / "media" / path

    def files(self) -> list[str]:
        """All of them, with their sizes."""
        return [f"{file}  {file.stat().st_size:,} bytes" for file in sorted((self.folder / "data" / "media").glob("*"))]

    def log_end(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(f"    {line}" for line in lines[-15:]) or "    (nothing)"
