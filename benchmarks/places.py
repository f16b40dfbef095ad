"""A checkout to measure in, with servers of its own, and how its commands are timed."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.conftest import Checkout, clean_environment, copy_project, remove_state

PINNED = ("--require-hashes", "--only-binary", ":all:")


@contextlib.contextmanager
def open_checkout() -> Iterator[Checkout]:
    """A copy of the project in a temporary folder; its servers and data are gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        root = copy_project(Path(folder) / "checkout")
        try:
            yield Checkout(root)
        finally:
            for link in root.rglob("*/.dev/postgres"):  # of the rounds before
                if link.is_symlink():
                    shutil.rmtree(link.readlink(), ignore_errors=True)
            remove_state(root)


def invoke(checkout: Checkout, *words: str, env: Mapping[str, str] | None = None) -> float:
    """Seconds that a whole task of the checkout takes."""
    return run(checkout.command(*words), checkout.root, env)


def run(
    command: Sequence[str | Path],
    folder: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> float:
    """Seconds that a whole process takes. Raises where it fails, with what it said."""
    begin = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean_environment() | dict(env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return seconds


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def python(*words: str) -> list[str]:
    """A command of this very Python."""
    return [sys.executable, *words]


def is_root() -> bool:
    """Postgres refuses to run as root."""
    return os.geteuid() == 0
