"""The stacks: who provides the services. Each is a module with the same two functions."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, cast

from scripts.errors import DevError
from scripts.settings import Settings
from scripts.targets import Aws, Database, Targets

MODULES = {"embedded": "scripts.stacks.embedded", "aws": "scripts.stacks.aws"}


@dataclass(frozen=True)
class Service:
    """One service of a stack: `postgres` or `aws`.

    `start` returns a line once it is ready; `stop` is False where nothing ran; `health` is None
    when it is well, else the reason.
    """

    name: str
    start: Callable[[], str]
    stop: Callable[[], bool]
    health: Callable[[], str | None]
    address: Callable[[], str]
    is_running: Callable[[], bool]
    since: Callable[[], datetime | None]
    log_tail: Callable[[], str]


@dataclass(frozen=True)
class Status:
    """How a service is: `state` is healthy, unhealthy or down, `reason` says why."""

    service: str
    state: str
    address: str
    since: datetime | None
    reason: str


class Stack(Protocol):
    """What every module of this folder offers."""

    def targets(self, settings: Settings) -> Targets:
        """Where the data is, or would be; asks nobody."""

    def services(self, settings: Settings) -> list[Service]:
        """What to start, to stop, and to ask for its health."""

    def introduce(self, settings: Settings) -> list[str]:
        """Lines to say before anything is done: who we are there, where that is."""


def get(settings: Settings) -> Stack:
    """The stack that the settings name. Raises DevError for one that is not known."""
    if settings.stack not in MODULES:
        raise DevError(
            f"{settings.variable('stack')}={settings.stack} is not a stack"
            f" (from: {settings.source('stack')})",
            f"use one of: {', '.join(MODULES)}",
        )
    return cast(Stack, importlib.import_module(MODULES[settings.stack]))


def introduce(settings: Settings) -> list[str]:
    """Lines to say before anything is done. Raises DevError for targets that do not fit."""
    return get(settings).introduce(settings)


def targets(settings: Settings) -> Targets:
    """Where the chosen stack keeps the data, whether it runs or not."""
    return get(settings).targets(settings)


def get_database(settings: Settings) -> Database:
    """The database of the chosen stack. Raises DevError where its server does not run."""
    return _running(settings, "postgres").database


def get_aws(settings: Settings) -> Aws:
    """The AWS of the chosen stack. Raises DevError where its emulator does not run."""
    return _running(settings, "aws").aws


def describe_trouble(settings: Settings) -> str:
    """The services that are not well, each with the reason and the end of its log; "" for none."""
    services = get(settings).services(settings)
    troubles = [(service, service.health()) for service in services]
    return "".join(
        f"\n{service.name}: {reason}{service.log_tail()}" for service, reason in troubles if reason
    )


def list_status(settings: Settings) -> list[Status]:
    """Every service of the chosen stack, asked now."""
    return [_status(service) for service in get(settings).services(settings)]


def _status(service: Service) -> Status:
    reason = service.health()
    state = "healthy" if reason is None else "unhealthy" if service.is_running() else "down"
    return Status(service.name, state, service.address(), service.since(), reason or "")


def _running(settings: Settings, name: str) -> Targets:
    stack = get(settings)
    for service in stack.services(settings):
        if service.name == name and not service.is_running():
            raise DevError(f"{name} does not run at {service.address()}", "./invoke up")
    return stack.targets(settings)
