"""How tasks are declared: what all tasks of one kind share is written here once.

A task is a function of its own arguments; its docstring is its line in `--list`. A parameter is
annotated with the values it takes: `limit: Annotated[int, Number(1, 100)] = 20`. The shared options
(--stack, --plan, --confirm, --json, and Invoke's --dry) are added, parsed and obeyed here. A body
imports what it needs when it runs, so that listing the tasks stays fast.
"""

import inspect
import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Annotated, Any

from invoke.context import Context

from scripts import settings, stacks
from scripts.cli import confirmation, output
from scripts.cli.task import DevTask
from scripts.cli.values import Choice, Text, Value
from scripts.engine import pipeline as engine
from scripts.engine.pipeline import Step
from scripts.errors import DevError, UsageError, with_option
from scripts.settings import Settings
from scripts.targets import Loss

Body = Callable[..., Any]
Declare = Callable[[Body], DevTask]


@dataclass(frozen=True)
class Option:
    """An option that many tasks share; `value` is the type of its value, None for a switch."""

    name: str
    default: str | bool
    help: str
    value: Value | None = None

    @property
    def parameter(self) -> inspect.Parameter:
        """The option as a parameter of a task's function."""
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        annotation = Annotated[str, self.value] if self.value else bool
        return inspect.Parameter(self.name, kind, default=self.default, annotation=annotation)


STACK = Option(
    "stack",
    "",
    "which stack to use",
    Choice(tuple(stacks.MODULES), unset="DEV_STACK, else the one chosen last, else embedded"),
)
PLAN = Option("plan", False, "show which steps would run and which are already done; do nothing")
PLAN_AS_JSON = Option("json", False, "print the plan as JSON; requires --plan or --dry")
CONFIRM = Option(
    "confirm",
    "",
    "name of the database or table to lose, required if this tool did not create it",
    Text("NAME", unset="ask"),
)
JSON = Option("json", False, "print JSON on stdout")
TOP_LEVEL = ("environment", "project")  # modules whose tasks have no prefix


@dataclass(frozen=True)
class Call:
    """One call of a task: the values of the shared options; `line` repeats it with its values."""

    command: str
    context: Context
    line: str = ""
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
        from scripts.environment import recovery

        chosen = settings.load(stack=self.stack)
        for line in [*stacks.introduce(chosen), *recovery.describe(chosen)]:
            output.say(line)
        return chosen

    @cached_property
    def stack_option(self) -> str:
        """The option that the next command needs for the same stack: `--stack docker`, or ""."""
        try:
            return stacks.flag(settings.load(stack=self.stack)) if self.stack else ""
        except DevError:
            return f"--stack {self.stack}"

    def would(self, intent: str) -> bool:
        """With --dry, print the intent and return True: the task does nothing."""
        if self.is_dry:
            output.say(f"would {intent}")
        return self.is_dry

    def run(self, compose: Callable[[], Sequence[Step]], brief: bool = False) -> set[str]:
        """Run a pipeline; with --plan or --dry, show what it would do.

        Returns the names of the steps that were already done, which `brief` only counts.
        """
        from scripts.cli import plans, progress
        from scripts.environment import parts, reset, runner

        chosen = self.settings
        if self.command == "reset" and (missing := parts.describe_missing(chosen.app)):
            output.say(missing)
        if self.plan or self.is_dry:
            steps = compose()
            plans.write(steps, engine.foresee(steps), self.json, self.stack_option)
            return set()
        if self.json:
            raise UsageError("--json requires --plan", f"./invoke {self.line} --plan --json")
        following = reset.get_next_hint(chosen, self.command)
        show = partial(progress.show, brief=brief)
        return runner.run(chosen, self.command, compose, following, self.line, show=show)


def task(
    *shared: Option,
    help: Mapping[str, str] | None = None,
    name: str = "",
    positional: Iterable[str] | None = None,
    program: str = "",
) -> Declare:
    """A task that does its work itself: its body takes a Call and its own arguments.

    `positional` names the arguments without an option; by default those without a default value.
    `program` names the words after `--`, for a task that passes them to a program.
    """

    def declare(body: Body) -> DevTask:
        declared = _declare(body, body, shared, help or {}, name, positional)
        declared.program = program
        return declared

    return declare


def listing(
    *columns: str, empty: str, name: str = "", help: Mapping[str, str] | None = None
) -> Declare:
    """A task whose body returns rows: printed as a table of these columns, or as JSON.

    `empty` is the message on stderr if there are none.
    """

    def declare(body: Body) -> DevTask:
        def run(call: Call, **own: Any) -> None:
            rows = body(call, **own)
            output.write_rows(rows, columns, call.json, with_option(empty, call.stack_option))

        return _declare(body, run, (STACK, JSON), help or {}, name)

    return declare


def pipeline(
    *, help: Mapping[str, str] | None = None, positional: Iterable[str] | None = None
) -> Declare:
    """A task whose body returns steps: it takes the settings and its own arguments."""

    def declare(body: Body) -> DevTask:
        def run(call: Call, **own: Any) -> None:
            call.run(lambda: body(call.settings, **own))

        return _declare(body, run, (STACK, PLAN, PLAN_AS_JSON), help or {}, "", positional)

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
                loss = find_loss(chosen, **own)
                confirmed = confirmation.confirm(loss, confirmed, call.line) or confirmed
            call.run(lambda: body(chosen, confirmed=confirmed, **own))

        return _declare(body, run, (STACK, PLAN, PLAN_AS_JSON, CONFIRM), help or {})

    return declare


def step(command: str, doc: str) -> DevTask:
    """A task that runs the one step of its name."""

    def run(call: Call) -> None:
        from scripts.environment import setup

        call.run(lambda: setup.pick(call.settings, command))

    run.__doc__ = doc
    name = command.rpartition(".")[2]
    return _declare(run, run, (STACK, PLAN, PLAN_AS_JSON), {}, name, command=command)


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
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    own = [
        one.replace(kind=kind)
        for one in inspect.signature(body).parameters.values()
        if one.name not in ("call", "settings", "confirmed")
    ]
    task_name = command or _command(body, name)

    def invoked(context: Context, **given: Any) -> None:
        from scripts.environment import variables

        variables.restore(os.environ)
        line = _repeat(task_name, own, given)
        values = {option.name: given.pop(option.name) for option in shared}
        call = Call(task_name, context, line, **values)
        try:
            run(call, **given)
        except DevError as error:
            hint = with_option(error.hint, call.stack_option)
            raise DevError(error.reason, hint, error.code) from None

    added = [option.parameter for option in shared]
    invoked.__name__, invoked.__doc__ = name or body.__name__, body.__doc__
    invoked.__module__ = body.__module__
    invoked.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("context", kind), *own, *added]
    )
    texts = {option.name: option.help for option in shared} | dict(help)
    # No short options: a letter would mean something else in each task, and hide one of Invoke's.
    return DevTask(
        invoked, name=name or None, help=texts, positional=positional, auto_shortflags=False
    )


def _repeat(name: str, own: Sequence[inspect.Parameter], given: Mapping[str, Any]) -> str:
    """A call as the user can type it again, without the shared options."""
    words = [name]
    for one in own:
        value = given[one.name]
        option = f"--{one.name.replace('_', '-')}"
        if one.default is inspect.Parameter.empty:
            words.append(str(value))
        elif value is True:
            words.append(option)
        elif value != one.default:
            words.append(f"{option}={value}")
    return shlex.join(words)


def _command(body: Body, name: str) -> str:
    """The task's full name, as the user types it."""
    collection = body.__module__.rpartition(".")[2]
    task_name = (name or body.__name__).replace("_", "-")
    return task_name if collection in TOP_LEVEL else f"{collection}.{task_name}"
