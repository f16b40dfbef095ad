"""`setup` and `--list`, against what they cannot avoid."""

import contextlib
import http.client
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import places
from benchmarks.figures import Figure, measure, pair
from scripts import shell, stacks
from scripts.stacks.embedded import postgres_cluster
from tests.conftest import Checkout, clean_environment

ONE_TASK = "from invoke.tasks import task\n\n\n@task\ndef nothing(context):\n    pass\n"


def figures(checkout: Checkout, rounds: int) -> list[Figure]:
    """Cold setup against raw services, second setup against the SDKs, --list against Invoke."""
    empty = checkout.root.parent / "empty"
    empty.mkdir()
    (empty / "tasks.py").write_text(ONE_TASK, encoding="utf-8")
    imports = places.python("-c", "import boto3, psycopg2")
    listing = places.python("-m", "invoke", "--list")

    def again() -> float:
        return places.invoke(checkout, "setup")

    cold = measure(rounds, lambda: start_cold(checkout), lambda: start_raw(checkout.root.parent))
    cold_run = last_run(checkout)
    second = measure(rounds, again, lambda: places.run(imports))
    second_run = last_run(checkout)
    lists = measure(
        rounds, lambda: places.run(listing, checkout.root), lambda: places.run(listing, empty)
    )
    return [
        Figure(
            "cold setup",
            "Postgres and emulator alone",
            pair(cold),
            "s",
            1.6,
            lambda: cold_run,
        ),
        Figure(
            "second setup", "import boto3, psycopg2", pair(second), "s", 2.5, lambda: second_run
        ),
        Figure(
            "--list",
            "Invoke, one empty task, and 50 ms",
            [(a, b + 0.05) for a, b in pair(lists)],
            "s",
            1,
        ),
    ]


def last_run(checkout: Checkout) -> str:
    """The steps of the last `setup`: which took how long, side by side with what."""
    return checkout.run("timeline", "--command", "setup").stdout


def start_cold(checkout: Checkout) -> float:
    """Seconds of services and pipeline, as `setup` says them, from nothing.

    The last round's data is put aside, not deleted: the disk would still work on that.
    """
    loaded = checkout.settings()
    for service in stacks.get(loaded).services(loaded):
        service.stop()
    if loaded.state.exists():
        loaded.state.rename(Path(tempfile.mkdtemp(dir=checkout.root)) / ".dev")
    found = re.search(r"setup: done in ([0-9.]+) s", checkout.run("setup").stderr)
    assert found
    return float(found[1])


def start_raw(folder: Path) -> float:
    """Seconds until a new Postgres and, beside it, a new emulator answer."""
    home = Path(tempfile.mkdtemp(dir=folder))
    user = postgres_cluster.UNPRIVILEGED if places.is_root() else None
    if user:
        shutil.chown(home, user)
    port = places.free_port()
    environment = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(home / "aws"),
        "TMPDIR": str(home),
        "DOCKER_HOST": "unix:///nonexistent",
    }
    begin = time.perf_counter()
    with (folder / "raw.log").open("ab") as log:
        emulator = subprocess.Popen(
            places.python("-m", "ministack"),
            env=clean_environment() | environment,
            stdout=log,
            stderr=log,
        )
    try:
        with _postgres(home / "data", user):
            while not _answers(port):
                time.sleep(0.005)
            return time.perf_counter() - begin
    finally:
        emulator.kill()
        emulator.wait()


@contextlib.contextmanager
def _postgres(data: Path, user: str | None) -> Iterator[None]:
    """A new Postgres that answers, started as its own programs do it."""
    programs = shell.postgres_home() / "bin"
    control: list[str | Path] = [programs / "pg_ctl", "-D", data, "-l", data / "log"]
    options = f"-p {places.free_port()} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
    done = shell.run([programs / "initdb", "-D", data, "--no-sync", "-A", "trust"], user=user)
    assert done.returncode == 0, done.stderr
    quiet = subprocess.DEVNULL
    try:
        command = [*control, "-o", options, "-w", "start"]
        subprocess.run(command, user=user, check=True, stdout=quiet)
        yield
    finally:
        subprocess.run(
            [*control, "-m", "immediate", "stop"],
            user=user,
            check=False,
            stdout=quiet,
            stderr=quiet,
        )


def _answers(port: int) -> bool:
    """Does an emulator answer there?"""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/_ministack/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
