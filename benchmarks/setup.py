"""Times `setup` against what it cannot avoid: `python -m benchmarks.setup [ROUNDS]`.

Prints ratios. Each round measures both sides one after the other, on the same machine; the figures
are medians over the rounds. Nothing of this checkout's own environment is touched.

- cold setup: services and pipeline from nothing, against initdb + start of Postgres beside the
  start of the emulator, both alone (goal: 1.6).
- second setup: with nothing to do, against `python -c "import boto3, psycopg2"` (goal: 2.5).
- --list: against Invoke on an empty tasks.py (goal: 50 ms more).
"""

import http.client
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from scripts import settings, shell, stacks
from scripts.stacks import postgres_server

PROJECT = Path(__file__).resolve().parent.parent
INVOKE = [sys.executable, "-m", "invoke"]
RAW_POSTGRES, RAW_EMULATOR = 5998, 4998


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        checkout = Path(folder) / "checkout"
        for part in ("scripts", "sql", "ddb"):
            shutil.copytree(PROJECT / part, checkout / part)
        shutil.copy(PROJECT / "tasks.py", checkout)
        empty = Path(folder) / "empty"
        empty.mkdir()
        (empty / "tasks.py").touch()
        try:
            compare("cold setup", lambda: cold(checkout), lambda: raw(Path(folder)), rounds, 1.6)
            imports = [sys.executable, "-c", "import boto3, psycopg2"]
            again = [*INVOKE, "setup"]
            compare(
                "second setup", lambda: timed(again, checkout), lambda: timed(imports), rounds, 2.5
            )
            listing = [*INVOKE, "--list"]
            compare(
                "--list", lambda: timed(listing, checkout), lambda: timed(listing, empty), rounds
            )
        finally:
            remove(checkout)


def compare(
    what: str,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    rounds: int,
    goal: float | None = None,
) -> None:
    """Measure in turn after one warm-up, print the medians, their ratio and their difference."""
    pairs = [(ours(), theirs()) for _ in range(rounds + 1)][1:]
    ratio = statistics.median(mine / other for mine, other in pairs)
    mine, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    aim = f"  goal {goal}" if goal else ""
    print(
        f"{what:13} {mine:6.3f} s   baseline {other:6.3f} s   ratio {ratio:5.2f}"
        f"   {(mine - other) * 1000:+5.0f} ms{aim}"
    )


def timed(command: list[str], cwd: Path | None = None) -> float:
    """Seconds that a whole process takes."""
    begin = time.perf_counter()
    subprocess.run(command, cwd=cwd, check=False, capture_output=True)
    return time.perf_counter() - begin


def cold(checkout: Path) -> float:
    """Seconds of services and pipeline, as `setup` says them, from nothing.

    The last round's data is put aside, not deleted: the disk would still work on that.
    """
    stop(checkout)
    if (checkout / ".dev").exists():
        (checkout / ".dev").rename(Path(tempfile.mkdtemp(dir=checkout)) / ".dev")
    done = subprocess.run(
        [*INVOKE, "setup"], cwd=checkout, check=True, capture_output=True, text=True
    )
    found = re.search(r"setup: done in ([0-9.]+) s", done.stderr)
    assert found, done.stderr
    return float(found[1])


def stop(checkout: Path) -> None:
    """Stop the checkout's servers."""
    loaded = settings.load(checkout, {})
    for service in stacks.get(loaded).services(loaded):
        service.stop()


def remove(checkout: Path) -> None:
    """Stop the checkout's servers and delete the data of every round."""
    stop(checkout)
    for link in checkout.rglob(".dev/postgres"):
        if link.is_symlink():
            shutil.rmtree(link.readlink())


def raw(folder: Path) -> float:
    """Seconds until a new Postgres and, beside it, a new emulator answer."""
    home = Path(tempfile.mkdtemp(dir=folder))
    user = postgres_server.UNPRIVILEGED if os.geteuid() == 0 else None
    if user:
        shutil.chown(home, user)
    programs, data = shell.postgres_home() / "bin", home / "data"
    environment = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(RAW_EMULATOR),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(home / "aws"),
        "DOCKER_HOST": "unix:///nonexistent",
    }
    begin = time.perf_counter()
    with (folder / "raw.log").open("ab") as log:
        emulator = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            env=os.environ | environment,
            stdout=log,
            stderr=log,
        )
    done = shell.run([programs / "initdb", "-D", data, "--no-sync", "-A", "trust"], user=user)
    assert done.returncode == 0, done.stderr
    options = f"-p {RAW_POSTGRES} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
    control: list[str | Path] = [programs / "pg_ctl", "-D", data, "-l", home / "data" / "log"]
    subprocess.run(  # waits until the server answers
        [*control, "-o", options, "-w", "start"], user=user, check=True, stdout=subprocess.DEVNULL
    )
    while not answers(RAW_EMULATOR):
        time.sleep(0.005)
    seconds = time.perf_counter() - begin
    emulator.kill()
    emulator.wait()
    subprocess.run(
        [*control, "-m", "immediate", "stop"], user=user, check=True, stdout=subprocess.DEVNULL
    )
    return seconds


def answers(port: int) -> bool:
    """Does an emulator answer there?"""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/_ministack/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main()
