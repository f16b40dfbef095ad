"""Which port a server takes: the one that the user set, or else the next free one."""

import contextlib
import socket
from collections.abc import Iterator

import psutil

from scripts.errors import DevError
from scripts.settings import Settings, add_prefix

PORTS_TRIED = 100
OF_APPS = {3000, 4567, 5000}  # where frontends and backends listen by default


def find_pinned(settings: Settings, setting: str) -> int | None:
    """The port that the user set, None where the default stands."""
    pinned = settings.source(setting) != "default" and not settings.throwaway
    return int(getattr(settings, setting)) if pinned else None


def choose(settings: Settings, setting: str) -> int:
    """A free port for a server inside this process: the one that the user set, else the next free.

    Raises DevError that names who holds it where the user's own is taken.
    """
    check_pinned(settings, setting, None)
    for port in to_try(settings, setting, None):
        return port
    raise none_free(setting)


def check_pinned(settings: Settings, setting: str, ours: int | None) -> None:
    """Raise DevError if another program uses the port that is set; `ours` is the service's own."""
    port = find_pinned(settings, setting)
    if port and port != ours and not is_free(port):
        raise taken(settings, setting, holder(port))


def taken(settings: Settings, setting: str, holder: str) -> DevError:
    """The DevError for a port that is set and that another program uses."""
    variable = settings.variable(setting)
    return DevError(
        f"{settings.describe_source(setting)}={getattr(settings, setting)} is taken by {holder}",
        f"stop it, set {add_prefix(variable)} to a free port,"
        f" or unset {variable} to take the next free one",
    )


def describe_former(port: int | None) -> str:
    """A sentence on the port that a server had before, if it has another one now; else ""."""
    if not port:
        return ""
    return f"its port was {port}" + ("" if is_free(port) else f", which {holder(port)} uses")


def none_free(name: str) -> DevError:
    """The DevError if none of the ports to try is free."""
    return DevError(
        f"there is no free port for {name}; {PORTS_TRIED} were tried",
        "stop programs that listen on them, or set another port in .env",
    )


def to_try(
    settings: Settings, setting: str, last: int | None, anywhere: bool = False
) -> Iterator[int]:
    """Ports to try: the one that the user set; else the last one, the default and those above.

    Those of apps are left out, and those that are not free here, unless it runs `anywhere`. A
    temporary environment takes any others.
    """
    while settings.throwaway:
        yield _any_free_port()
    if pinned := find_pinned(settings, setting):
        yield pinned
        return
    preferred = getattr(settings, setting)
    candidates = [*([last] if last else []), *range(preferred, preferred + PORTS_TRIED)]
    usable = (port for port in candidates if port < 65536 and port not in OF_APPS)
    yield from (port for port in usable if anywhere or is_free(port))


def is_free(port: int) -> bool:
    """Could a server listen on this port of 127.0.0.1 now?"""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _any_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def holder(port: int) -> str:
    """Who listens on a port, in words."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.laddr[1:] == (port,) and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return "another user's process"
