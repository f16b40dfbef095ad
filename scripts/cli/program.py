"""Invoke's program with our own parser, help and overview."""

import contextlib
import shlex
import sys
import tomllib
from collections.abc import Iterator

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
from scripts.cli.values import Choice, Number, Text
from scripts.errors import DevError, UsageError, did_you_mean, list_closest

_START = """\
./invoke setup starts the services and loads the seed data; ./invoke status shows them.
./invoke TASK --help shows a task's options, ./invoke --help those of every task.
"""
_CODES = (
    "Exit codes: 0 success, 1 failure, 2 usage error, 3 destructive action refused,"
    " 130 interrupted."
)
_TITLES = {
    "": "The environment",
    "db": "Postgres",
    "snapshot": "Snapshots",
    "ddb": "DynamoDB",
    "ddb.patterns": "The app's access patterns",
    "cognito": "Cognito",
    "rds": "Production",
}
_NO_EFFECT = {"complete", "echo", "prompt-for-sudo-password", "write-pyc"}
_MAX_SECONDS = 86_400


class DevProgram(Program):
    """The command line of `./invoke`."""

    def __init__(self, tasks: Collection) -> None:
        """Offer these tasks."""
        self._tasks = tasks
        super().__init__(invoke.__version__, tasks, "Invoke", "./invoke", binary_names=["invoke"])

    def core_args(self) -> list[Argument]:
        """Invoke's own options, with the types of ours."""
        options = super().core_args()
        for option in options:
            if option.kind is int:
                option.kind = Number(0, _MAX_SECONDS, unset="none")
            elif option.kind is not bool:
                option.kind = Text(unset="none")
        formats = next(option for option in options if "list-format" in option.names)
        formats.kind = Choice(("flat", "nested", "json"))
        formats.help = "How --list prints the tasks."
        return options

    def parse_core(self, argv: list[str] | None) -> None:
        """Parse the command line; keep the bytecode cache, which Invoke turns off here."""
        with _usage_errors():
            super().parse_core(argv)
        sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)

    def parse_core_args(self) -> None:
        """Read all words at once. Raises UsageError that names the closest word."""
        tasks = self._tasks
        known = {str(context.name): context for context in tasks.to_contexts()}
        programs = {name: getattr(tasks[name], "program", "") for name in known}
        self.line = arguments.read(
            self.argv[1:],
            self.initial_context,
            known,
            {name: words for name, words in programs.items() if words},
        )
        self.core = ParseResult([self.line.core])
        self.core.remainder = shlex.join(self.line.rest)

    def parse_tasks(self) -> None:
        """Hand over the tasks that were read."""
        self.tasks = ParseResult(self.line.tasks)

    def parse_cleanup(self) -> None:
        """Do what is asked for instead of tasks: help, a list, a completion."""
        with _usage_errors(), output.reader_may_go():
            if self.line.help is True:
                self.print_help()
                raise Exit
            if self.line.help:
                self.print_task_help(str(self.line.help))
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
        project = tomllib.loads((settings.ROOT / "pyproject.toml").read_text())["project"]
        output.write(f"{project['name']} {project['version']}")
        output.write(f"Invoke {self.version}")

    def print_help(self) -> None:
        """Print our tasks, then Invoke's options that have an effect here."""
        for line in overview(self.collection):
            output.write(line)
        output.write("\nOptions of every task:\n")
        listed = [one for one in self.core_args() if one.names[0] not in _NO_EFFECT]
        self.print_columns([_row(option) for option in listed])

    def print_task_help(self, name: str) -> None:
        """Print how to use a task: its values, then its options, each with type and default."""
        task = self.collection[name]
        listed = task.get_arguments()
        values = [one for one in listed if one.positional]
        output.write(f"Usage: {usage(name, task)}\n\n{(task.__doc__ or '').strip()}\n")
        if values:
            output.write("Values:\n")
            self.print_columns([(arguments.placeholder(one), describe(one)) for one in values])
        output.write("Options:\n")
        options = [_row(option) for option in listed if not option.positional]
        self.print_columns([*options, ("-h, --help", "Show this help.")])

    def _check_list(self) -> None:
        """Raise UsageError for --list of a collection that does not exist."""
        name, known = self.args.list.value, {one for one, _ in _groups(self.collection)} - {""}
        if isinstance(name, str) and name not in known:
            hint = f"{did_you_mean(name, known)}collections: {', '.join(sorted(known))}"
            raise UsageError(f"there is no collection {name}", hint)


def overview(tasks: Collection) -> list[str]:
    """The lines that `./invoke` alone shows."""
    lines = _START.splitlines()
    for name, group in _groups(tasks):
        names = [f"{name}.{task}" if name else task for task in group.tasks]
        helps = [helpline(task) or "" for task in group.tasks.values()]
        width = max(map(len, names))
        lines += ["", _TITLES.get(name, name)]
        lines += [f"  {task:{width}}  {text}" for task, text in zip(names, helps, strict=True)]
    return [*lines, "", _CODES]


def usage(name: str, task: DevTask) -> str:
    """The line that shows how to call a task: its options, its values, the words after `--`."""
    values = [arguments.placeholder(one) for one in task.get_arguments() if one.positional]
    program = [f"[-- {task.program}]"] if task.program else []
    return " ".join(["./invoke", name, "[options]", *values, *program])


def describe(argument: Argument) -> str:
    """The help of an argument: what it is, the values it takes, the default."""
    if argument.kind is bool:
        facts = ["default: off"]
    else:
        default = argument.default if argument.default not in (None, "") else argument.kind.unset
        facts = [argument.kind.limits, f"default: {default}" if default != "" else ""]
    shown = "; ".join(fact for fact in facts if fact)
    return f"{argument.help or ''} ({shown})" if shown else argument.help or ""


def list_mistyped_settings() -> list[str]:
    """A line for each name in `.env` that is no setting, but almost one; others are the app's."""
    known = [str(field.metadata["variable"]) for field in settings.declared()]
    try:
        names = settings.read_env_file(settings.ROOT / ".env")
    except DevError:  # the task says so
        return []
    near = {name: list_closest(name, known, cutoff=0.9) for name in names if name not in known}
    return [
        f".env: {name} is not a setting; did you mean {found[0]}?"
        for name, found in near.items()
        if found
    ]


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
        raise Exit(error.message, error.code) from None
