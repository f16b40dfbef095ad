"""Invoke's program, with an overview of our own, and the nearest name for a mistyped one."""

import ast
import contextlib
import re
import sys
from collections.abc import Iterable, Iterator, Sequence

import invoke
from invoke.collection import Collection
from invoke.exceptions import Exit, ParseError
from invoke.program import Program
from invoke.util import helpline

from scripts.cli import output
from scripts.errors import DevError

MISTYPED = 2
_START = """\
./invoke setup makes everything run, filled with data; ./invoke status shows it.
./invoke TASK --help tells what a task takes, ./invoke --help what all take.
"""
_CODES = (
    f"Exit codes: 0 done, 1 failed, {MISTYPED} mistyped, 3 refused to destroy, 130 interrupted."
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


class DevProgram(Program):
    """The command line of `./invoke`."""

    def __init__(self, tasks: Collection) -> None:
        """Offer these tasks."""
        super().__init__(invoke.__version__, tasks, "Invoke", "./invoke", binary_names=["invoke"])

    def parse_core(self, argv: list[str] | None) -> None:
        """Parse what is not of a task; keep the bytecode cache, which Invoke turns off here."""
        with _mistyped({}):
            super().parse_core(argv)
        sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)

    def parse_tasks(self) -> None:
        """Parse the tasks and their options. Raises DevError with the nearest name."""
        with _mistyped(self.collection.task_names):
            super().parse_tasks()

    def parse_cleanup(self) -> None:
        """Do what is asked for instead of tasks: help, a list, a completion."""
        with _mistyped(self.collection.task_names), output.reader_may_go():
            super().parse_cleanup()

    def no_tasks_given(self) -> None:
        """Show how to start, the tasks in groups, and the exit codes."""
        for line in overview(self.collection):
            output.write(line)
        raise Exit


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


def _groups(tasks: Collection, name: str = "") -> Iterator[tuple[str, Collection]]:
    """Each collection with its full name, in the order in which tasks.py has them."""
    yield name, tasks
    for child, inner in tasks.collections.items():
        yield from _groups(inner, f"{name}.{child}" if name else child)


@contextlib.contextmanager
def _mistyped(tasks: Iterable[str]) -> Iterator[None]:
    """Turn what Invoke cannot parse into a DevError that says what may have been meant."""
    try:
        yield
    except ParseError as error:
        raise _usage_error(_explain(error, list(tasks))) from None
    except ValueError as error:  # a word where a core option wants a number
        word = str(error).rpartition(": ")[2]
        failure = DevError(f"{word} is not a number", "./invoke --help", MISTYPED)
        raise _usage_error(failure) from None


def _usage_error(error: DevError) -> Exit:
    return Exit(error.message, error.code)


def _explain(error: ParseError, tasks: Sequence[str]) -> DevError:
    task = error.context.name if error.context else None
    options = f"./invoke {task} --help" if task else "./invoke --help"
    if needy := re.match(r"Flag <Argument: (\S+).*> needed value", str(error)):
        return DevError(f"--{needy[1]} needs a value", options, MISTYPED)
    if needy := re.match(r".* did not receive required positional arguments: (.*)", str(error)):
        return DevError(f"{task} needs {needy[1]}", options, MISTYPED)
    unknown = re.match(r"No idea what (.+) is!", str(error), re.S)
    if not unknown:
        return DevError(str(error), options, MISTYPED)
    word = ast.literal_eval(unknown[1])
    if word.startswith("-"):
        known = [*error.context.flags, *error.context.inverse_flags] if error.context else []
        return _unknown(word, f"{task or './invoke'} has no option", known, options)
    return _unknown(word, "there is no task", tasks, "./invoke shows them all")


def _unknown(word: str, what: str, known: Sequence[str], otherwise: str) -> DevError:
    """A word that is not known; names that end in it, as `seed` in `db.seed`, are near too."""
    import difflib

    near = [name for name in known if name.endswith(f".{word}")]
    near += difflib.get_close_matches(word, known, n=2, cutoff=0.7)
    hint = f"did you mean {' or '.join(dict.fromkeys(near))}? " if near else ""
    return DevError(f"{what} {word}", f"{hint}{otherwise}", MISTYPED)
