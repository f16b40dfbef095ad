"""Servers that outlive us: start them detached, find them again, wait for them, stop them."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import psutil

from scripts import clients, shell, state
from scripts.errors import DevError, LoginRefusedError
from scripts.settings import Settings
from scripts.stacks import ports

STOP_SECONDS, STOP_SECONDS_SILENT = 60.0, 4.0  # until a server is killed
LOG_LIMIT, LOG_KEPT = 10 << 20, 2 << 20  # bytes: a log beyond the first is cut to the second
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

    `marker` is one of its arguments and identifies its process, whatever the record says.
    """

    name: str
    state: Path
    marker: str
    stop_signal: signal.Signals

    @property
    def log(self) -> Path:
        """The log file."""
        return self.state / f"{self.name}.log"

    @property
    def record(self) -> Path:
        """Its last pid and port, which to prefer; and the port before, if that was taken."""
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


def find_former_port(server: Server) -> int | None:
    """The port that it had before its present start, if that was taken then."""
    return _read_record(server).get("former")


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
    `not_ready` is the reason why a port does not serve yet; it may raise LoginRefusedError, which
    is final. A server that runs is only waited for, unless it is SILENT or the user set another
    port. Raises DevError with the last lines of the log when it ends early or READY_TIMEOUT is
    over, and names who holds a port the user set.
    """
    last, running = find_port(server), find(server)
    pinned = ports.find_pinned(settings, port_setting)
    ports.check_pinned(settings, port_setting, last if running else None)
    if running and last and pinned in (None, last):
        reason = _wait(running, last, not_ready, settings.ready_timeout, final=clients.SILENT)
        if reason is None:
            return last
        if _is_alive(running):
            raise _not_ready(server, reason)
    stop(server)
    stop_strays(server)
    for port in ports.to_try(settings, port_setting, last):
        process = _spawn(server, launch(port))
        former = {"former": last} if last and not pinned and last != port else {}
        state.write(server.record, json.dumps({"pid": process.pid, "port": port} | former))
        reason = _wait(process, port, not_ready, settings.ready_timeout)
        if reason is None:
            return port
        if _is_alive(process) or ports.is_free(port):
            raise _not_ready(server, reason)
    raise ports.none_free(server.name)


def _not_ready(server: Server, reason: str) -> DevError:
    """The error for a server that is not ready in time; it keeps running."""
    return DevError(
        f"{server.name} did not get ready: {reason}{log_tail(server)}",
        f"./invoke restart {server.name}",
    )


def has_crashed(server: Server) -> bool:
    """True if it ended other than by `stop` or a shutdown of the machine."""
    if "pid" not in _read_record(server) or find(server):
        return False
    return server.record.stat().st_mtime > psutil.boot_time()


def stop(server: Server, seconds: float = STOP_SECONDS) -> bool:
    """Stop the server gracefully, by force after `seconds`. False if it did not run."""
    if process := find(server):
        end(process, server.stop_signal, seconds)
    ran = process is not None or stop_strays(server)
    record = _read_record(server)
    if record.pop("pid", None):  # its end was no crash; the port is the one to prefer
        server.record.unlink(missing_ok=True)
        with contextlib.suppress(DevError):  # a full disk does not keep its data from being erased
            state.write(server.record, json.dumps(record))
    return ran


def log_tail(server: Server, lines: int = 8) -> str:
    """The last lines of the log, each on a line of its own, ready to follow a message."""
    try:
        return as_tail(server.name, list(read_log(server, lines, follow=False)))
    except DevError:  # a damaged log must not hide the message that it would follow
        return ""


def as_tail(name: str, lines: Iterable[str]) -> str:
    """Lines of a server's log, each on a line of its own, ready to follow a message."""
    return "".join(f"\n  {name}.log: {line}" for line in lines)


def trim_logs(folder: Path) -> None:
    """Cut the logs in the folder that have grown too long, also while their servers write them."""
    for path in folder.glob("*.log"):
        with contextlib.suppress(OSError, DevError):  # a damaged one is said by what needs it
            if path.lstat().st_size > LOG_LIMIT:
                _trim(path)


def _trim(path: Path) -> None:
    with os.fdopen(state.open_file(path, os.O_RDWR | os.O_APPEND), "rb+") as log:
        log.seek(-LOG_KEPT, os.SEEK_END)
        log.readline()  # cut in two
        kept = log.read()
        log.truncate(0)
        log.write(kept)  # appended, after what a server may have written meanwhile


def read_log(server: Server, lines: int, follow: bool) -> Iterator[str]:
    """The last lines of the log; then, to follow, those that come until the server has gone."""
    try:
        log = server.log.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise state.not_readable(server.log, error) from None
    with log:
        yield from (line.rstrip("\n") for line in deque(log, lines))
        while follow:
            gone = find(server) is None
            if os.lseek(log.fileno(), 0, os.SEEK_CUR) > os.fstat(log.fileno()).st_size:
                log.seek(0, os.SEEK_END)  # it was cut
            yield from (line.rstrip("\n") for line in log)
            if gone:
                return
            time.sleep(_FOLLOW_SECONDS)


def list_strays(server: Server) -> list[psutil.Process]:
    """Processes with this server's marker that its record does not name, without their children."""
    ours = {one.pid: one for one in psutil.process_iter(["ppid"]) if _is_ours(one, server.marker)}
    known = find(server)
    return [one for one in ours.values() if one != known and one.info["ppid"] not in ours]


def stop_strays(server: Server) -> bool:
    """End this server's processes without a record; kill them if their `.dev` was deleted."""
    first = server.stop_signal if server.log.exists() else signal.SIGKILL
    strays = list_strays(server)
    for process in strays:
        end(process, first)
    return bool(strays)


def end(process: psutil.Process, first: signal.Signals, seconds: float = STOP_SECONDS) -> None:
    """Send the signal and wait for the end; after `seconds`, kill it with its children."""
    family = [process]
    with contextlib.suppress(psutil.Error):
        family += process.children(recursive=True)
    for number, patience in ((first, seconds), (signal.SIGKILL, STOP_SECONDS)):
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                if one == process or number == signal.SIGKILL:
                    one.send_signal(number)
                one.send_signal(signal.SIGCONT)  # one that is suspended handles no signal
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not _is_alive(process):
                return
            time.sleep(0.01)


def _spawn(server: Server, launch: Launch) -> psutil.Popen:
    with _open_log(server) as log:
        return psutil.Popen(
            launch.argv,
            env=launch.env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **shell.as_user(launch.user),
        )


def _open_log(server: Server) -> BinaryIO:
    opened = state.open_file(server.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.fchmod(opened, 0o600)
    return os.fdopen(opened, "ab")


def _wait(
    process: psutil.Process,
    port: int,
    not_ready: Callable[[int], str | None],
    timeout: float,
    final: str = "",
) -> str | None:
    """None once it is ready, else the reason why it will not be; `final` is one."""
    deadline = time.monotonic() + timeout
    while (reason := _ask(process, port, not_ready)) is not None:
        if not _is_alive(process):
            return _describe_end(process)
        if reason == final:
            return reason
        if time.monotonic() > deadline:
            return f"{reason} after {timeout:.0f} s (READY_TIMEOUT)"
        time.sleep(0.01)
    return None


def _describe_end(process: psutil.Process) -> str:
    psutil.wait_procs([process], timeout=5)  # the last of its threads may still be ending
    code = getattr(process, "returncode", None)  # None when another process started it
    return "it ended" if code is None else f"it ended with code {code}"


def _ask(process: psutil.Process, port: int, not_ready: Callable[[int], str | None]) -> str | None:
    try:
        return not_ready(port)
    except LoginRefusedError as error:
        if not _listens(process, port):  # another server has the port, and refuses the login
            return error.reason
        raise


def _listens(process: psutil.Process, port: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return any(one.laddr and one.laddr.port == port for one in process.net_connections("tcp"))
    return False


def _is_ours(process: psutil.Process, marker: str) -> bool:
    try:
        return marker in process.cmdline() and _is_alive(process)
    except psutil.Error:
        return False


def _is_alive(process: psutil.Process) -> bool:
    """True if it is running; a zombie is not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _read_record(server: Server) -> dict[str, int]:
    try:
        record = json.loads(state.read(server.record) or "{}")
        kept = {name: record[name] for name in ("port", "pid", "former") if name in record}
        sound = 0 < kept["port"] < 65536 and kept.get("pid", 1) > 0
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return kept if sound and all(type(one) is int for one in kept.values()) else {}
