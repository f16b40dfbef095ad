"""Invoke's program with our own parser, help and overview."""

import contextlib
import inspect
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import invoke
from invoke.collection import Collection
from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.parser.parser import ParseResult
from invoke.program import Program
from invoke.util import helpline

from scripts import settings
from scripts.cli import arguments, output
from scripts.cli.task import DevTask
from scripts.cli.values import Choice, Number, Text, Value
from scripts.errors import DevError, UsageError, did_you_mean, list_closest

_START = """\
./invoke setup         start the services and load the seed data
./invoke status        show the services
./invoke TASK --help   show the options of a task
./invoke --help        show the options of every task
"""
_CODES = """\
Exit codes: 0 success, 1 failure, 2 usage error, 3 destructive action refused,
130 interrupted.
"""
_TITLES = {
    "": "The environment",
    "db": "Postgres",
    "snapshot": "Snapshots",
    "ddb": "DynamoDB",
    "ddb.patterns": "The app's access patterns",
    "cognito": "Cognito",
    "rds": "Production",
}
# Invoke's options that have an effect here, and what that is.
_PROGRAMS = "for the programs of test, bench and screenshots"
_CORE_HELP = {
    "help": "show this help, or that of a task",
    "app": "the folder whose app.toml to use",
    "version": "show the version of this project and of Invoke",
    "list": "list the tasks, or those of a collection such as db",
    "list-depth": "list only so many levels; 0 for all",
    "list-format": "how to list",
    "dry": "show what the tasks would do; do nothing",
    "debug": "print Invoke's debug messages",
    "config": "Invoke's runtime configuration file",
    "command-timeout": f"timeout in seconds {_PROGRAMS}",
    "hide": f"hide output {_PROGRAMS}",
    "pty": f"use a pseudo-terminal {_PROGRAMS}",
    "warn-only": f"continue after a failure {_PROGRAMS}",
}
_CHOICES = {"list-format": ("flat", "nested", "json"), "hide": ("out", "err", "both")}
_DONE_AT_ONCE = {"help", "version", "list"}  # they have no default
_MAX_NUMBER = 86_400


class DevProgram(Program):
    """The command line of `./invoke`."""

    def __init__(self, tasks: Collection) -> None:
        """Offer these tasks."""
        self._tasks = tasks
        super().__init__(invoke.__version__, tasks, "Invoke", "./invoke", binary_names=["invoke"])

    def core_args(self) -> list[Argument]:
        """Invoke's own options, with this project's types."""
        options = super().core_args()
        for option in options:
            option.help = _CORE_HELP.get(option.names[0], option.help)
            if option.kind is not bool:
                option.kind = _core_value(option)
        app = Argument(name="app", kind=Text("FOLDER", unset=f"${settings.APP_VARIABLE}"))
        app.help = _CORE_HELP["app"]
        return [*options, app]

    def parse_core(self, argv: list[str] | None) -> None:
        """Parse the command line; keep the bytecode cache, which Invoke turns off here."""
        with _usage_errors():
            super().parse_core(argv)
        if self.args.app.value:  # for this process and the programs that it starts
            os.environ[settings.APP_VARIABLE] = str(Path(self.args.app.value).resolve())
        sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)

    def parse_core_args(self) -> None:
        """Read all words at once. Raises UsageError that names the closest word."""
        tasks = self._tasks
        known = {str(context.name): context for context in tasks.to_contexts()}
        programs = {name for name in known if getattr(tasks[name], "program", "")}
        self.line = arguments.read(self.argv[1:], self.initial_context, known, programs)
        self.core = ParseResult([self.line.core])
        self.core.remainder = shlex.join(self.line.rest)

    def update_config(self, merge: bool = True) -> None:
        """Read the file of --config. Raises Exit for one that is no configuration."""
        try:
            super().update_config(merge)
        except Exception as error:
            path = self.args.config.value
            if not path:
                raise
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise output.failure(f"{path} is no configuration of Invoke: {reason}", 2) from None

    def parse_tasks(self) -> None:
        """Hand over the tasks that were read."""
        self.tasks = ParseResult(self.line.tasks)

    def parse_cleanup(self) -> None:
        """Do what is asked for instead of tasks: help, a list, a completion."""
        with _usage_errors(), output.reader_may_go():
            if self.line.help is True:
                self.print_help()
                raise Exit
            if self.line.help in self._tasks.task_names:
                self.print_task_help(str(self.line.help))
                raise Exit
            if asked := str(self.line.help or ""):
                lists_all = asked in arguments.LISTS
                tasks = self.collection
                for line in overview(tasks) if lists_all else list_tasks(tasks, asked):
                    output.write(line)
                raise Exit
            self._check_list()
            super().parse_cleanup()

    def execute(self) -> None:
        """Run the tasks, after a warning about names in `.env` that are probably mistyped."""
        for line in list_mistyped_settings():
            output.say(line)
        super().execute()

    def no_tasks_given(self) -> None:
        """Show how to start, the tasks in groups, and the exit codes."""
        for line in overview(self.collection):
            output.write(line)
        raise Exit

    def print_version(self) -> None:
        """Print the version of this project, then Invoke's."""
        import tomllib

        project = tomllib.loads((settings.ROOT / "pyproject.toml").read_text())["project"]
        output.write(f"{project['name']} {project['version']}")
        output.write(f"Invoke {self.version}")

    def print_help(self) -> None:
        """Print our tasks, then Invoke's options that have an effect here."""
        for line in overview(self.collection):
            output.write(line)
        output.write("\nOptions of every task:\n")
        options = {option.names[0]: option for option in self.core_args()}
        shared = self._tasks["setup"].get_arguments()
        stack = [_row(one) for one in shared if arguments.flag(one) == arguments.SHARED]
        self.print_columns([*stack, *(_row(options[name]) for name in _CORE_HELP)])

    def print_task_help(self, name: str) -> None:
        """Print how to use a task: its values, then its options, each with type and default."""
        task = self.collection[name]
        listed = task.get_arguments()
        values = [one for one in listed if one.positional]
        output.write(f"Usage: {usage(name, task)}\n\n{inspect.cleandoc(task.__doc__ or '')}\n")
        if values:
            output.write("Values:\n")
            self.print_columns([(arguments.placeholder(one), describe(one)) for one in values])
        output.write("Options:\n")
        options = [_row(option) for option in listed if not option.positional]
        self.print_columns([*options, ("-h, --help", "show this help")])

    def _check_list(self) -> None:
        """Raise UsageError for --list of a collection that does not exist."""
        name, known = self.args.list.value, {one for one, _ in _groups(self.collection)} - {""}
        if isinstance(name, str) and name not in known:
            hint = f"{did_you_mean(name, known)}collections: {', '.join(sorted(known))}"
            raise UsageError(f"there is no collection {name}", hint)


def overview(tasks: Collection) -> list[str]:
    """The lines that `./invoke` alone shows."""
    return [*_START.splitlines(), "", *list_tasks(tasks), "", *_CODES.splitlines()]


def list_tasks(tasks: Collection, collection: str = "") -> list[str]:
    """The tasks of a collection, or all, in groups with their titles."""
    lines: list[str] = []
    for name, group in _groups(tasks):
        if not f"{name}.".startswith(f"{collection}." if collection else ""):
            continue
        names = [f"{name}.{task}" if name else task for task in group.tasks]
        helps = [helpline(task) or "" for task in group.tasks.values()]
        width = max(map(len, names))
        lines += [*([""] if lines else []), _TITLES.get(name, name)]
        lines += [f"  {task:{width}}  {text}" for task, text in zip(names, helps, strict=True)]
    return lines


def usage(name: str, task: DevTask) -> str:
    """The line that shows how to call a task: its options, its values, the words after `--`."""
    values = [arguments.placeholder(one) for one in task.get_arguments() if one.positional]
    return " ".join(["./invoke", name, "[options]", *values, task.program]).rstrip()


def describe(argument: Argument) -> str:
    """The help of an argument: what it is, the values it takes, the default."""
    facts: list[str] = []
    if argument.kind is bool:
        facts = ["default: off"] if argument.names[0] not in _DONE_AT_ONCE else []
    elif argument.names[0] not in _DONE_AT_ONCE:
        default = argument.default if argument.default not in (None, "") else argument.kind.unset
        facts = [argument.kind.limits, f"default: {default}" if default != "" else ""]
    shown = "; ".join(fact for fact in facts if fact)
    return f"{argument.help or ''} ({shown})" if shown else argument.help or ""


def list_mistyped_settings() -> list[str]:
    """A line for each name in `.env` that is no setting, but almost one; others are the app's."""
    known = settings.list_names()
    try:
        names = settings.read_env_file(settings.find_app(os.environ) / ".env")
    except DevError:  # the task says so
        return []
    near = {name: list_closest(name, known, cutoff=0.9) for name in names if name not in known}
    return [
        f".env: {name} is not a setting; did you mean {found[0]}?"
        for name, found in near.items()
        if found
    ]


def _core_value(option: Argument) -> Value:
    if option.kind is int:
        return Number(0, _MAX_NUMBER, unset="none")
    if choices := _CHOICES.get(option.names[0]):
        return Choice(choices, unset="none")
    return Text("NAME", unset="none")


def _row(option: Argument) -> tuple[str, str]:
    """The names of an option with the type of its value, and its description."""
    names = [*(f"-{name}" for name in option.names[1:] if len(name) == 1)]
    long = arguments.flag(option)
    if option.takes_value:
        long += f"[={option.kind.name}]" if option.optional else f"={option.kind.name}"
    return ", ".join([*names, long]), describe(option)


def _groups(tasks: Collection, name: str = "") -> Iterator[tuple[str, Collection]]:
    """Each collection with its full name, in the order in which tasks.py has them."""
    yield name, tasks
    for child, inner in tasks.collections.items():
        yield from _groups(inner, f"{name}.{child}" if name else child)


@contextlib.contextmanager
def _usage_errors() -> Iterator[None]:
    """End with the message and the code of a UsageError."""
    try:
        yield
    except UsageError as error:
        raise output.failure(error.message, error.code) from None
