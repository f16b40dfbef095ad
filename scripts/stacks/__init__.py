"""The stacks that provide the services. Each is a module with the functions of `Stack`.

embedded/      Postgres and an AWS emulator as processes, without Docker
docker/        the containers of docker-compose.yml
aws            a production database and AWS itself
processes      servers that outlive us: start, find, wait for, stop
ports          the port that a server gets
passwords      the password of this checkout's own databases
versions       the version of a running emulator
"""

import importlib
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol, cast

from scripts import clients, state
from scripts.app import FILE
from scripts.engine.checks import Check
from scripts.errors import DevError, NotRunningError, UsageError, did_you_mean
from scripts.settings import Settings
from scripts.stacks import passwords
from scripts.targets import Aws, Database, Targets

MODULES = {
    "embedded": "scripts.stacks.embedded.stack",
    "docker": "scripts.stacks.docker.stack",
    "aws": "scripts.stacks.aws",
}
LOG_LINES = 100
# How long an answer about health is good: so that a command asks a hung server once, not each time.
_GOOD_SECONDS, _SILENT_SECONDS = 0.5, 2.0
_asked: dict[tuple[str, str], tuple[float, str | None]] = {}


@dataclass(frozen=True)
class Service:
    """One service of a stack: `postgres`, `aws`, or `dynamodb` where it is a server of its own.

    `launch` returns a line once it is ready; `stop` is False where nothing ran; `ask` is None
    when it is well, else the reason: call `start` and `health`. `log` gives that many of its last
    lines, and to follow it also those that come until the service stops. `data` says what it keeps,
    None for nothing, and `erase` deletes that; the service is stopped then. `has_crashed`: it
    ended, and `stop` did not end it. `needs` are the checks of the stack that must pass before
    it is checked. `port_setting` is the setting of its port, "" if this tool does not choose it.
    `ours`: this tool starts and stops it. `notice` is worth knowing while it is well.
    """

    name: str
    launch: Callable[[], str]
    stop: Callable[[], bool]
    ask: Callable[[], str | None]
    address: Callable[[], str]
    is_running: Callable[[], bool]
    since: Callable[[], datetime | None]
    log_tail: Callable[[], str]
    log: Callable[[int, bool], Iterator[str]]
    data: Callable[[], str | None]
    erase: Callable[[], None]
    has_crashed: Callable[[], bool] = lambda: False
    needs: tuple[str, ...] = ()
    port_setting: str = ""
    ours: bool = True
    notice: Callable[[], str] = lambda: ""

    def start(self) -> str:
        """Start it; a line once it is ready."""
        _asked.pop((self.name, self.address()), None)
        return self.launch()

    def health(self, seconds: float = 0) -> str | None:
        """None when it is well, else the reason: SILENT if it does not answer in time.

        An answer that is at most so many seconds old is good enough.
        """
        key = self.name, self.address()
        at, reason = _asked.get(key, (float("-inf"), None))
        if time.monotonic() - at < (_SILENT_SECONDS if reason == clients.SILENT else seconds):
            return reason
        answers: queue.SimpleQueue[str | Exception | None] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self.ask())
            except Exception as error:  # noqa: BLE001 - raised below
                answers.put(error)

        threading.Thread(target=ask, daemon=True).start()
        try:  # the question itself has the same deadline, as far as it can have one
            answer = answers.get(timeout=clients.ANSWER_SECONDS + 0.5)
        except queue.Empty:
            answer = clients.SILENT
        if isinstance(answer, Exception):
            raise answer
        _asked[key] = time.monotonic(), answer
        return answer

    @property
    def part(self) -> str:
        """The service of app.toml that it belongs to: DynamoDB Local belongs to `aws`."""
        return "postgres" if self.name == "postgres" else "aws"


@dataclass(frozen=True)
class Status:
    """How a service is: `state` is healthy, unhealthy or down, `reason` says why, or a notice."""

    service: str
    state: str
    address: str
    since: datetime | None
    reason: str


class Stack(Protocol):
    """What every module of this folder offers."""

    def targets(self, settings: Settings) -> Targets:
        """Where the data is, or would be; contacts no server."""

    def services(self, settings: Settings) -> list[Service]:
        """What to start, to stop, and to ask for its health."""

    def introduce(self, settings: Settings) -> list[str]:
        """Lines to print before a task runs: the account and the targets."""

    def checks(self, settings: Settings, chosen: bool) -> list[Check]:
        """The checks of doctor for this stack, depending on whether it is the chosen one."""

    def adopt(self, settings: Settings, former: Path) -> None:
        """Stop the servers of a checkout that was moved, and take over its data."""


def get(settings: Settings) -> Stack:
    """The stack that the settings name. Raises DevError for one that is not known."""
    if settings.stack not in MODULES:
        raise DevError(
            f"{settings.variable('stack')}={settings.stack} is not a stack"
            f" (from: {settings.sources.get('stack', 'default')})",
            f"use one of: {', '.join(MODULES)}",
        )
    return _import(settings.stack)


def checks(settings: Settings) -> list[Check]:
    """What doctor asks about every stack: less about those that are not the chosen one."""
    return [
        check
        for name in MODULES
        for check in _import(name).checks(settings, name == settings.stack)
    ]


def adopt(settings: Settings, say: Callable[[str], None]) -> None:
    """Complete the move of a checkout to another path, if it was moved: its data is found again."""
    former = state.find_former(settings)
    if not former or settings.throwaway:
        return
    for name in MODULES:
        _import(name).adopt(settings, former)
    state.claim(settings)
    say(f"this checkout was moved from {former}; its data is used here")


def introduce(settings: Settings) -> list[str]:
    """Lines to say before anything is done. Raises DevError for targets that do not fit."""
    return get(settings).introduce(settings)


def targets(settings: Settings) -> Targets:
    """Where the chosen stack keeps the data, whether it runs or not."""
    return get(settings).targets(settings)


def list_services(settings: Settings) -> list[Service]:
    """The services of the chosen stack that the app has."""
    return [one for one in get(settings).services(settings) if one.part in settings.app.services]


def check_has(settings: Settings, part: str) -> None:
    """Raise DevError for an app that does not have a service (`postgres`, `aws`)."""
    if part not in settings.app.services:
        raise DevError(
            f"{settings.app.name} has no service {part}",
            f"add {part} to services at the top of {FILE}",
        )


def get_database(settings: Settings) -> Database:
    """The database of the chosen stack. Raises DevError where its server does not run."""
    database = _running(settings, "postgres").database
    passwords.check_applied(settings, database)
    return database


def get_aws(settings: Settings) -> Aws:
    """The AWS of the chosen stack. Raises DevError where an emulator of it does not run."""
    return _running(settings, "aws").aws


def local_database(settings: Settings, host: str, port: int) -> Database:
    """The app's database on a server of this checkout."""
    return Database(
        host=host,
        port=port,
        user=settings.postgres_user,
        password=passwords.find(settings) or "",
        name=settings.postgres_db,
        sslmode="disable",  # node-postgres reads "prefer" as TLS required, as lib/pq reads none
        owned=True,
        users=settings.app.users,
    )


def describe_trouble(settings: Settings, starting: Collection[str] = ()) -> str:
    """The services that are not well, each with the reason and the end of its log; "" for none.

    Those that are only `starting` are left out.
    """
    services = [one for one in list_services(settings) if one.name not in starting]
    troubles = zip(services, _ask_all(services), strict=True)
    return "".join(
        f"\n{service.name}: {reason}{service.log_tail()}" for service, reason in troubles if reason
    )


def list_status(settings: Settings) -> list[Status]:
    """Every service of the chosen stack, asked now."""
    services = list_services(settings)
    return list(map(_status, services, _ask_all(services)))


def _ask_all(services: Sequence[Service]) -> list[str | None]:
    """The health of each, asked at the same time."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(Service.health, services))


def _status(service: Service, reason: str | None) -> Status:
    if reason == clients.SILENT:  # its engine, too, may not answer
        return Status(service.name, "unhealthy", service.address(), None, reason)
    state = "healthy" if reason is None else "unhealthy" if service.is_running() else "down"
    return Status(
        service.name, state, service.address(), service.since(), reason or service.notice()
    )


def describe_choice(settings: Settings) -> str:
    """Which stack it is, and why."""
    source = settings.source("stack")
    why = {
        "flag": "--stack",
        "remembered": "chosen with --stack earlier, until: ./invoke down",
        "default": "the default",
    }
    return f"stack: {settings.stack} ({why.get(source) or f'DEV_STACK, from: {source}'})"


def flag(settings: Settings) -> str:
    """The option by which the next command selects this stack; "" where it needs none."""
    if settings.source("stack") != "flag":
        return ""
    remembered = state.find_remembered_stack(settings) == settings.stack
    return "" if remembered else f"--stack {settings.stack}"


def list_data(settings: Settings) -> list[str]:
    """What `down --volumes` removes, a line each; nothing that is not this checkout's."""
    kept = [(service.name, service.data()) for service in list_services(settings)]
    return [f"{name}: {data}" for name, data in kept if data]


def switch(settings: Settings) -> str:
    """Remember the stack if a flag chose it and it runs; a line on another one that also runs."""
    if not targets(settings).mock or not _is_running(settings):  # production is never remembered
        return ""
    before = state.find_remembered_stack(settings) or "embedded"
    state.remember_stack(settings)
    if before == settings.stack or before not in MODULES:
        return ""
    other = replace(settings, stack=before)
    if not _is_running(other):
        return ""
    return (
        f"the {before} stack of this checkout is running too;"
        f" to stop it: ./invoke down --stack {before}"
    )


def unknown_service(name: str, known: Sequence[str]) -> UsageError:
    """The error for a service that the stack does not have."""
    hint = f"{did_you_mean(name, known)}services: {', '.join(known)}"
    return UsageError(f"there is no service {name} in this stack", hint)


def read_logs(settings: Settings, name: str, lines: int, follow: bool) -> Iterator[tuple[str, str]]:
    """The last lines of one service's log, or of every one's, each with the service's name.

    To follow, also those that come, until the services stop. Raises UsageError for another name.
    """
    services = list_services(settings)
    chosen = [service for service in services if name in ("", service.name)]
    if not chosen:
        raise unknown_service(name, [service.name for service in services])
    if follow:
        return _as_they_come(chosen, lines)
    return ((service.name, line) for service in chosen for line in service.log(lines, False))


def _as_they_come(services: Sequence[Service], last: int) -> Iterator[tuple[str, str]]:
    lines: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()

    def read(service: Service) -> None:
        try:
            for line in service.log(last, True):
                lines.put((service.name, line))
        except DevError as error:
            lines.put((service.name, error.reason))
        finally:
            lines.put((service.name, None))

    for service in services:
        threading.Thread(target=read, args=(service,), daemon=True).start()
    left = len(services)
    while left:
        name, line = lines.get()
        if line is None:
            left -= 1
        else:
            yield name, line


def _import(name: str) -> Stack:
    return cast(Stack, importlib.import_module(MODULES[name]))


def check_running(settings: Settings, names: Collection[str]) -> None:
    """Raise DevError for a service of these names that hangs, NotRunningError for a stopped one."""
    for service in list_services(settings) if names else ():
        if service.name not in names:
            continue
        if service.ours and service.health(_GOOD_SECONDS) == clients.SILENT:
            raise DevError(
                f"{service.name} at {service.address()}: {clients.SILENT}",
                f"./invoke restart {service.name}",
            )
        if not service.is_running():
            raise NotRunningError(
                f"{service.name} is not running at {service.address()}", "./invoke up"
            )


def _running(settings: Settings, part: str) -> Targets:
    check_has(settings, part)
    check_running(settings, [one.name for one in list_services(settings) if one.part == part])
    return targets(settings)


def _is_running(settings: Settings) -> bool:
    """Does a service of the chosen stack run? False if the engine cannot be reached."""
    try:
        return any(service.is_running() for service in list_services(settings))
    except DevError:
        return False
