"""A checkout for experiments: its content before each, its servers, its disk."""

import compileall
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import psutil

from scripts import settings, stacks, state
from scripts.errors import DevError
from scripts.settings import Settings
from scripts.stacks import processes
from scripts.stacks.embedded import aws_emulator, postgres_cluster, postgres_server
from scripts.targets import Database
from tests.conftest import clean_environment, copy_project

DISK = 1 << 30  # bytes
PORTS = range(20_000, 30_000, 200)  # each world prefers ports that no other one takes


@contextlib.contextmanager
def make(count: int) -> Iterator[list["World"]]:
    """So many worlds; nothing is left of them afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="interruptions-", dir="/var/tmp"))
    folder.chmod(0o755)  # Postgres, which is not root, passes through
    worlds: list[World] = []
    try:
        for number in range(count):
            worlds.append(World(folder / f"world {number}", number))
        yield worlds
    finally:
        for world in worlds:
            world.remove()
        shutil.rmtree(folder, ignore_errors=True)


def can_mount() -> bool:
    """May we give a checkout a small disk of its own?"""
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        return False
    words = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


class World:
    """One checkout, below a folder of its own, on a disk of its own where that can be mounted."""

    def __init__(self, folder: Path, number: int) -> None:
        """Make it, without any state."""
        self.folder = folder
        self._port = PORTS[number]
        self.disk = folder / "disk"
        self.disk.mkdir(parents=True)
        self.mounted = can_mount()
        if self.mounted:
            _mount("-t", "tmpfs", "-o", f"size={DISK},mode=0755", "tmpfs", str(self.disk))
        self.root = copy_project(self.disk / "a checkout")
        self._prefer_own_ports()
        compileall.compile_dir(self.root / "scripts", quiet=1)  # Invoke keeps no bytecode
        self.home = self.disk / f"{state.identity(self.settings())}-home"
        self.talk = folder / "talk"

    def settings(self) -> Settings:
        """Its settings, with nothing from outside."""
        loaded = settings.load(self.root, {})
        return replace(loaded, postgres_port=self._port, emulator_port=self._port + 100)

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
        """Start a task; what it says is added to the file `talk`."""
        with self.talk.open("ab") as talk:
            return subprocess.Popen(
                [sys.executable, "-m", "invoke", *words],
                cwd=self.root,
                env=clean_environment() | dict(env or {}),
                stdin=subprocess.DEVNULL,
                stdout=talk,
                stderr=talk,
            )

    def start_servers(self) -> None:
        """Start the services with what they hold."""
        loaded = self.settings()
        for service in stacks.get(loaded).services(loaded):
            service.start()

    def stop_servers(self) -> None:
        """Stop the services as `down` does."""
        loaded = self.settings()
        for service in stacks.get(loaded).services(loaded):
            service.stop()

    def ensure_postgres(self) -> Database | None:
        """The app's database on a server that runs; None where no cluster was made."""
        loaded = self.settings()
        service = next(s for s in stacks.get(loaded).services(loaded) if s.name == "postgres")
        if not service.data():
            return None
        if service.health() is not None:
            service.start()
        return stacks.get_database(loaded)

    def kill(self, name: str) -> None:
        """End a service with SIGKILL: `postgres` or `aws`."""
        for process in self._find(name):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def list_servers(self, name: str) -> set[int]:
        """The process ids of a service: `postgres` or `aws`."""
        return {process.pid for process in self._find(name)}

    def get_port(self, name: str) -> int:
        """The port that a service had last. Raises DevError where there was none."""
        if port := processes.find_port(self._server(name)):
            return port
        raise DevError(f"{name} never ran")

    def empty(self) -> None:
        """End its servers and delete its state."""
        for process in self._find("postgres"):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGQUIT)  # it leaves no shared memory behind
        self.kill("aws")
        _wait_until_gone(self.disk)
        for folder in (self.root / ".dev", self.home):
            shutil.rmtree(folder, ignore_errors=True)
        self.talk.unlink(missing_ok=True)
        if os.geteuid() == 0:
            (self.root / ".dev").mkdir(mode=0o700)
            self.home.mkdir(mode=0o700)
            shutil.chown(self.home, postgres_cluster.UNPRIVILEGED)
            (self.root / ".dev" / "postgres").symlink_to(self.home)

    def copy_to(self, folder: Path) -> None:
        """Copy its state to a folder; the services are stopped."""
        folder.mkdir(parents=True)
        _copy(self.root / ".dev", folder / "dev")
        if self.home.exists():
            _copy(self.home, folder / "home")

    def copy_from(self, folder: Path) -> None:
        """Give it the state that was copied, maybe of another world; nothing runs."""
        self.empty()
        shutil.rmtree(self.root / ".dev", ignore_errors=True)
        _copy(folder / "dev", self.root / ".dev")
        if self.home.exists():
            shutil.rmtree(self.home)
            _copy(folder / "home", self.home)
            (self.root / ".dev" / "postgres").unlink()
            (self.root / ".dev" / "postgres").symlink_to(self.home)

    @contextlib.contextmanager
    def full_disk(self, left: int) -> Iterator[None]:
        """Let its disk have so many bytes left."""
        while not self._shrink(left):  # servers took more meanwhile
            time.sleep(0.01)
        try:
            yield
        finally:
            _mount("-o", f"remount,size={DISK}", str(self.disk))

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        """Let nothing in `.dev` be written that is not open already."""
        folder = str(self.root / ".dev")
        _mount("--bind", folder, folder)
        try:
            while not _try_mount("-o", "remount,bind,ro", folder):  # somebody writes just now
                time.sleep(0.01)
            yield
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)

    def remove(self) -> None:
        """Leave nothing behind."""
        self.empty()
        shutil.rmtree(self.home, ignore_errors=True)
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.disk)], check=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _prefer_own_ports(self) -> None:
        """Other defaults in its settings; a port that the user sets would have to be free."""
        path = self.root / "scripts" / "settings" / "__init__.py"
        text = path.read_text(encoding="utf-8")
        ours = self.settings()
        for field in settings.declared():
            if field.name in ("postgres_port", "emulator_port"):
                line = rf'("{field.metadata["variable"]}",\s+){field.default},'
                text, count = re.subn(line, rf"\g<1>{getattr(ours, field.name)},", text)
                assert count == 1
        path.write_text(text, encoding="utf-8")

    def _shrink(self, left: int) -> bool:
        used = DISK - shutil.disk_usage(self.disk).free
        page = os.sysconf("SC_PAGE_SIZE")
        size = -(-(used + left) // page) * page
        return _try_mount("-o", f"remount,size={size}", str(self.disk))

    def _server(self, name: str) -> processes.Server:
        if name == "postgres":
            return postgres_server.server(self.settings())
        return aws_emulator.server(self.settings())

    def _find(self, name: str) -> list[psutil.Process]:
        """The servers, also those that no file tells of."""
        marker = self._server(name).marker
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if marker in process.cmdline():
                    found.append(process)
        return found


def _wait_until_gone(folder: Path) -> None:
    """Wait for who works in a folder, children of those that ended; kill who does not go."""
    deadline = time.monotonic() + 10
    while working := [process for process in psutil.process_iter() if _works_in(folder, process)]:
        if time.monotonic() > deadline:
            for process in working:
                process.kill()
        time.sleep(0.05)


def _works_in(folder: Path, process: psutil.Process) -> bool:
    try:
        return Path(process.cwd()).is_relative_to(folder)
    except psutil.Error:
        return False


def _try_mount(*words: str) -> bool:
    return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
