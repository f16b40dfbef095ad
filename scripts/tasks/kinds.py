"""How tasks are declared: what all tasks of one kind share is written here once.

A task is a function of its own arguments; its docstring is its line in `--list`. The shared options
(--stack, --plan, --confirm, --json, and Invoke's --dry) are added, parsed and obeyed here. A body
imports what it needs when it runs, so that listing the tasks stays fast.
"""

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from invoke.context import Context

from scripts import settings, stacks
from scripts.cli import output
from scripts.cli.task import DevTask
from scripts.engine.pipeline import Step
from scripts.settings import Settings
from scripts.targets import Loss

Body = Callable[..., Any]
Declare = Callable[[Body], DevTask]


@dataclass(frozen=True)
class Option:
    """An option that many tasks share."""

    name: str
    default: str | bool
    help: str


STACK = Option("stack", "", f"who provides the services: {', '.join(stacks.MODULES)}")
PLAN = Option("plan", False, "print the steps and what each would do, and do nothing")
CONFIRM = Option("confirm", "", "the name of what may go although it is not disposable")
JSON = Option("json", False, "print JSON on stdout")
TOP_LEVEL = ("environment", "project")  # modules whose tasks have no prefix


@dataclass(frozen=True)
class Call:
    """One call of a task: the values of the shared options."""

    command: str
    context: Context
    stack: str = ""
    plan: bool = False
    confirm: str = ""
    json: bool = False

    @property
    def is_dry(self) -> bool:
        """Was Invoke's --dry given?"""
        return bool(self.context.config.run.dry)

    @cached_property
    def settings(self) -> Settings:
        """The settings; at the first use, prints what the user should know about the target."""
        from scripts.environment import transaction

        chosen = settings.load(stack=self.stack)
        for line in [*stacks.introduce(chosen), *transaction.describe(chosen)]:
            output.say(line)
        return chosen

    def would(self, intent: str) -> bool:
        """With --dry, print the intent and return True: the task does nothing."""
        if self.is_dry:
            output.say(f"would {intent}")
        return self.is_dry

    def run(self, compose: Callable[[], Sequence[Step]]) -> None:
        """Run a pipeline, or print it with --plan or --dry."""
        from scripts.environment import parts, reset, runner

        chosen = self.settings
        if self.command in ("setup", "reset") and (skipped := parts.describe_missing(chosen)):
            output.say(skipped)
        if self.plan or self.is_dry:
            output.write_plan(compose())
        else:
            runner.run(chosen, self.command, compose, reset.get_next_hint(chosen, self.command))


def task(
    *shared: Option,
    help: Mapping[str, str] | None = None,
    name: str = "",
    positional: Iterable[str] | None = None,
) -> Declare:
    """A task that does its work itself: its body takes a Call and its own arguments."""

    def declare(body: Body) -> DevTask:
        return _declare(body, body, shared, help or {}, name, positional)

    return declare


def listing(*columns: str, name: str = "", help: Mapping[str, str] | None = None) -> Declare:
    """A task whose body returns rows: printed as a table of these columns, or as JSON."""

    def declare(body: Body) -> DevTask:
        def run(call: Call, **own: Any) -> None:
            output.write_rows(body(call, **own), columns, call.json)

        return _declare(body, run, (STACK, JSON), help or {}, name)

    return declare


def pipeline(*, help: Mapping[str, str] | None = None) -> Declare:
    """A task whose body returns steps: it takes the settings and its own arguments."""

    def declare(body: Body) -> DevTask:
        def run(call: Call, **own: Any) -> None:
            call.run(lambda: body(call.settings, **own))

        return _declare(body, run, (STACK, PLAN), help or {})

    return declare


def replacement(
    find_loss: Callable[..., Loss | None], *, help: Mapping[str, str] | None = None
) -> Declare:
    """A pipeline that replaces or drops data: its body takes the confirmed name, too.

    `find_loss(settings, **own)` says what would be lost that this tool did not create; the user
    has to confirm it by name.
    """

    def declare(body: Body) -> DevTask:
        def run(call: Call, **own: Any) -> None:
            chosen, confirmed = call.settings, call.confirm
            if not call.plan and not call.is_dry:
                confirmed = output.confirm(find_loss(chosen, **own), confirmed) or confirmed
            call.run(lambda: body(chosen, confirmed=confirmed, **own))

        return _declare(body, run, (STACK, PLAN, CONFIRM), help or {})

    return declare


def step(command: str, doc: str) -> DevTask:
    """A task that runs the one step of its name."""

    def run(call: Call) -> None:
        from scripts.environment import setup

        call.run(lambda: setup.pick(call.settings, command))

    run.__doc__ = doc
    name = command.rpartition(".")[2]
    return _declare(run, run, (STACK, PLAN), {}, name, command=command)


def _declare(
    body: Body,
    run: Body,
    shared: Sequence[Option],
    help: Mapping[str, str],
    name: str = "",
    positional: Iterable[str] | None = None,
    command: str = "",
) -> DevTask:
    """The Invoke task of a body: `run` is called with a Call and the body's own arguments."""
    names = {option.name for option in shared}
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    own = [
        one.replace(kind=kind)
        for one in inspect.signature(body).parameters.values()
        if one.name not in ("call", "settings", "confirmed")
    ]
    added = [inspect.Parameter(one.name, kind, default=one.default) for one in shared]
    context = inspect.Parameter("context", kind)

    def invoked(context: Context, **given: Any) -> None:
        from scripts.environment import variables

        variables.restore(os.environ)
        values = {option: given.pop(option) for option in names}
        run(Call(command or _command(body, name), context, **values), **given)

    invoked.__name__, invoked.__doc__ = name or body.__name__, body.__doc__
    invoked.__module__ = body.__module__
    invoked.__signature__ = inspect.Signature([context, *own, *added])  # type: ignore[attr-defined]
    texts = {option.name: option.help for option in shared} | dict(help)
    return DevTask(invoked, name=name or None, help=texts, positional=positional)


def _command(body: Body, name: str) -> str:
    """The task's full name, as the user types it."""
    collection = body.__module__.rpartition(".")[2]
    task_name = (name or body.__name__).replace("_", "-")
    return task_name if collection in TOP_LEVEL else f"{collection}.{task_name}"
