"""Where the containers are published: which ports to try, and where they were found last."""

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts import state
from scripts.errors import DevError
from scripts.settings import Settings
from scripts.stacks import ports
from scripts.stacks.docker import engine
from scripts.targets import is_loopback


@dataclass(frozen=True)
class Part:
    """One container: its name in docker-compose.yml, its port's setting, and the query it answers.

    `answer` raises DevError while the container does not serve.
    """

    name: str
    port_setting: str
    query: str
    answer: Callable[[Settings], object]


@dataclass(frozen=True)
class Place:
    """Where a part was published last: `former` is the port before, if that was taken, else 0.

    `root` was the checkout's path then: the names of container and volume depend on it.
    """

    host: str
    port: int
    former: int = 0
    root: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def find(settings: Settings, part: Part) -> Place:
    """Where it was published last, or would be; the file is a hint, `is_right` checks."""
    try:
        return Place(**json.loads(state.read(_path(settings, part)) or ""))
    except (ValueError, TypeError):
        return Place("127.0.0.1", getattr(settings, part.port_setting))


def is_recorded(settings: Settings, part: Part) -> bool:
    """Was it published before?"""
    return _path(settings, part).exists()


def record(settings: Settings, part: Part, place: Place) -> None:
    """Keep where a part is published, for the commands that follow."""
    state.write(_path(settings, part), json.dumps(asdict(place)))


def find_former(settings: Settings, part: Part) -> Path | None:
    """The path of the checkout when the part was published, if it was moved since then."""
    root = find(settings, part).root
    moved = root and root != str(settings.root.resolve()) and state.is_gone(Path(root))
    return Path(root) if moved else None


def is_right(settings: Settings, part: Part, container: Any) -> bool:
    """Is it our container that answers at the address of our targets?"""
    here = engine.endpoint().host, engine.published_port(container)
    place = find(settings, part)
    return here == (place.host, place.port)


def ports_to_try(settings: Settings, part: Part, ours: int | None) -> Iterator[int]:
    """The port that the container has already, if it may keep that; else those that may be free."""
    pinned = ports.find_pinned(settings, part.port_setting)
    if ours and pinned in (None, ours):
        yield ours
    remote = not is_loopback(engine.endpoint().host)
    if pinned and pinned != ours and not remote and not ports.is_free(pinned):
        raise taken(settings, part, pinned)
    last = find(settings, part).port
    yield from ports.to_try(settings, part.port_setting, last, anywhere=remote)


def taken(settings: Settings, part: Part, port: int) -> DevError:
    """The DevError for a port that the user set; says which container or process holds it."""
    host = engine.endpoint().host
    other = ports.holder(port) if is_loopback(host) else f"another process on {host}"
    holder = engine.find_publisher(port) or other
    return ports.taken(settings, part.port_setting, holder)


def publish_address(settings: Settings) -> str:
    """127.0.0.1; for a remote engine, its address."""
    host = engine.endpoint().host
    if is_loopback(host):
        return "127.0.0.1"
    try:
        return settings.docker_publish or socket.gethostbyname(host)
    except OSError as error:
        variable = settings.variable("docker_publish")
        raise DevError(f"{host} has no address: {error.strerror}", f"set {variable}") from None


def _path(settings: Settings, part: Part) -> Path:
    return settings.state / f"docker-{part.name}.json"
