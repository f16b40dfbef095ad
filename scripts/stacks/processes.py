"""Servers that outlive us: start them detached, find them again, wait for them, stop them."""

import contextlib
import json
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

import psutil

from scripts import state
from scripts.errors import DevError
from scripts.settings import Settings
from scripts.stacks import ports

STOP_SECONDS = 60.0
_FOLLOW_SECONDS = 0.1


@dataclass(frozen=True)
class Launch:
    """How to start a server: its arguments, its environment, and the user it runs as."""

    argv: Sequence[str | Path]
    env: Mapping[str, str]
    user: str | None = None


@dataclass(frozen=True)
class Server:
    """One server of this checkout.

    `marker` is one of its arguments, so a process can be known for ours whatever a file says.
    """

    name: str
    state: Path
    marker: str
    stop_signal: signal.Signals

    @property
    def log(self) -> Path:
        """Where it writes what it has to say."""
        return self.state / f"{self.name}.log"

    @property
    def record(self) -> Path:
        """Its last pid and port: the port to prefer, and a hint where to look for the process."""
        return self.state / f"{self.name}.json"


def find(server: Server) -> psutil.Process | None:
    """The running server, None where there is none. A reused pid is not taken for it."""
    try:
        process = psutil.Process(_read_record(server).get("pid", 0))
    except (psutil.Error, ValueError):
        return None
    return process if _is_ours(process, server.marker) else None


def find_port(server: Server) -> int | None:
    """The port it had last, None if it never ran."""
    return _read_record(server).get("port")


def find_start(server: Server) -> datetime | None:
    """When the running server was started, as aware UTC; None where there is none."""
    process = find(server)
    return datetime.fromtimestamp(process.create_time(), UTC) if process else None


def start(
    server: Server,
    settings: Settings,
    port_setting: str,
    launch: Callable[[int], Launch],
    not_ready: Callable[[int], str | None],
) -> int:
    """Start the server on the first port that it gets, and wait until it is ready; its port.

    `port_setting` is the field that holds the preferred port, `launch` says how to start on a port,
    `not_ready` is the reason why a port does not serve yet. Raises DevError with the last lines of
    the log when it ends early or READY_TIMEOUT is over, and names who holds a port the user set.
    """
    last = find_port(server)
    ports.check_pinned(settings, port_setting, last if find(server) else None)
    stop(server)
    stop_strays(server)
    for port in ports.to_try(settings, port_setting, last):
        process = _spawn(server, launch(port))
        state.write(server.record, json.dumps({"pid": process.pid, "port": port}))
        reason = _wait(process, partial(not_ready, port), settings.ready_timeout)
        if reason is None:
            return port
        if process.poll() is None:
            stop(server)
        elif not ports.is_free(port):  # somebody was faster: take the next one
            continue
        raise DevError(f"{server.name} did not get ready: {reason}{log_tail(server)}")
    raise ports.none_free(server.name)


def has_crashed(server: Server) -> bool:
    """Did it end, and neither `stop` nor a shutdown of the machine ended it?"""
    if "pid" not in _read_record(server) or find(server):
        return False
    return server.record.stat().st_mtime > psutil.boot_time()


def stop(server: Server) -> bool:
    """Stop the server gracefully, by force when that takes too long. False if it did not run."""
    process = find(server)
    if process:
        end(process, server.stop_signal)
    ran = process is not None or stop_strays(server)
    record = _read_record(server)
    if record.pop("pid", None):  # its end was no crash; the port is the one to prefer
        state.write(server.record, json.dumps(record))
    return ran


def log_tail(server: Server, lines: int = 8) -> str:
    """The last lines of the log, each on a line of its own, ready to follow a message."""
    return as_tail(server.name, (state.read(server.log) or "").splitlines()[-lines:])


def as_tail(name: str, lines: Iterable[str]) -> str:
    """Lines of a server's log, each on a line of its own, ready to follow a message."""
    return "".join(f"\n  {name}.log: {line}" for line in lines)


def read_log(server: Server, lines: int, follow: bool) -> Iterator[str]:
    """The last lines of the log; then, to follow, those that come until the server has gone."""
    try:
        log = server.log.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    with log:
        yield from (line.rstrip("\n") for line in deque(log, lines))
        while follow:
            gone = find(server) is None
            yield from (line.rstrip("\n") for line in log)
            if gone:
                return
            time.sleep(_FOLLOW_SECONDS)


def list_strays(server: Server) -> list[psutil.Process]:
    """Processes of this server that no record tells of; not its new children, who look alike."""
    ours = {one.pid: one for one in psutil.process_iter(["ppid"]) if _is_ours(one, server.marker)}
    known = find(server)
    return [one for one in ours.values() if one != known and one.info["ppid"] not in ours]


def stop_strays(server: Server) -> bool:
    """End servers of ours that no record tells of; at once where their `.dev` was deleted."""
    first = server.stop_signal if server.log.exists() else signal.SIGKILL
    strays = list_strays(server)
    for process in strays:
        end(process, first)
    return bool(strays)


def end(process: psutil.Process, first: signal.Signals) -> None:
    """Send the signal and wait for the end; a process that takes too long is killed."""
    for number in (first, signal.SIGKILL):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            if not _is_alive(process):
                return
            time.sleep(0.01)


def _spawn(server: Server, launch: Launch) -> "subprocess.Popen[bytes]":
    groups: dict[str, object] = {"extra_groups": []} if launch.user else {}
    with _open_log(server) as log:
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            launch.argv,
            env=launch.env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            user=launch.user,
            **groups,
        )


def _open_log(server: Server) -> BinaryIO:
    try:
        log = server.log.open("ab")
        server.log.chmod(0o600)
    except OSError as error:
        raise state.not_writable(server.log, error) from None
    return log


def _wait(
    process: "subprocess.Popen[bytes]", not_ready: Callable[[], str | None], timeout: float
) -> str | None:
    """None once it is ready, else the reason why it will not be."""
    deadline = time.monotonic() + timeout
    while (reason := not_ready()) is not None:
        if process.poll() is not None:
            return f"it ended with code {process.returncode}"
        if time.monotonic() > deadline:
            return f"{reason} after {timeout:.0f} s (READY_TIMEOUT)"
        time.sleep(0.01)
    return None


def _is_ours(process: psutil.Process, marker: str) -> bool:
    try:
        return marker in process.cmdline() and _is_alive(process)
    except psutil.Error:
        return False


def _is_alive(process: psutil.Process) -> bool:
    """Is it running? A zombie, which in a container may wait long for its reaper, is not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _read_record(server: Server) -> dict[str, int]:
    try:
        record = json.loads(state.read(server.record) or "{}")
    except ValueError:
        return {}
    fields = record.items() if isinstance(record, dict) else ()
    return {name: value for name, value in fields if isinstance(value, int)}
