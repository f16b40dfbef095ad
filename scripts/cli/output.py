"""The only writer: results on stdout, messages on stderr, a live board on a terminal."""

import contextlib
import dataclasses
import io
import json
import os
import shutil
import signal
import sys
import textwrap
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from operator import attrgetter
from types import TracebackType
from typing import Any

from invoke.exceptions import Exit

from scripts.cli import github
from scripts.engine import timeline
from scripts.engine.timeline import Timeline

_WIDEST = 120
_CRITICAL = "* on the critical path: a faster step would have made the run faster"


def say(text: str) -> None:
    """A message, on stderr."""
    print(github.without_commands(text, os.environ), file=sys.stderr, flush=True)  # noqa: T201


def write(text: str) -> None:
    """A line of a result, on stdout. Ends quietly when its reader has gone (`| head`)."""
    with reader_may_go():
        print(github.without_commands(text, os.environ))  # noqa: T201


def write_commands(lines: Iterable[str]) -> None:
    """Commands for GitHub Actions, on stdout: no text from elsewhere is one."""
    with reader_may_go():
        print(*lines, sep="\n")  # noqa: T201


def say_command(line: str) -> None:
    """A command for GitHub Actions among the messages, on stderr."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


@contextlib.contextmanager
def reader_may_go() -> Iterator[None]:
    """End quietly, with success, when the reader of what is printed has gone.

    Any other failure to write ends with exit code 1 and the reason.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise Exit(code=0) from None
        raise failure(f"stdout cannot be written: {error.strerror}", 1) from None


def write_json(value: Any) -> None:
    """A value as one line of JSON; dataclasses as objects, times as ISO 8601."""
    write(to_json(value))


def to_json(value: Any) -> str:
    """A value as JSON in which GitHub finds no command; decoded, it is the same value."""
    text = json.dumps(value, default=_jsonable, ensure_ascii=False)
    return text.replace("##[", "#\\u0023[")


def write_rows(rows: Sequence[Any], columns: Sequence[str], as_json: bool, empty: str = "") -> None:
    """Dataclasses (or dicts) as an aligned table, or whole as a JSON list.

    A column is the name of a field, `other.handle` one of a field's own. `empty` is the message
    if there are no rows.
    """
    if not rows and empty:
        say(empty)
    if as_json:
        write_json(rows)
        return
    for line in table(rows, columns) if rows else ():
        write(line)


def table(rows: Sequence[Any], columns: Sequence[str]) -> list[str]:
    """The lines of an aligned table, its header first."""
    cells = [[_cell(_get(row, column)) for column in columns] for row in rows]
    header = [column.rpartition(".")[2].replace("_", " ").upper() for column in columns]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [header, *cells]
    ]


def local_time(at: datetime | str) -> str:
    """A time as every message shows it: 2026-03-28 16:59:00, local; other text as it is."""
    try:
        moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    except ValueError:
        return str(at)
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def width() -> int:
    """How many characters a line of the terminal has; 80 without a terminal."""
    return shutil.get_terminal_size().columns


def find_width() -> int | None:
    """The width of the terminal that stdout is; None if it is a file or a pipe."""
    return width() if sys.stdout.isatty() else None


def one_line(text: str) -> str:
    """Text from outside, safe for a line of a terminal: no breaks, no control characters."""
    return "".join(char if char.isprintable() else " " for char in text)


def write_items(items: Iterable[dict[str, Any]], as_json: bool) -> int:
    """Items as they come, one per line, as JSON or as `name=value` words; how many there were."""
    count = 0
    for count, item in enumerate(items, start=1):  # noqa: B007
        if as_json:
            write_json(item)
        else:
            write("  ".join(f"{name}={_cell(value)}" for name, value in sorted(item.items())))
    return count


def write_report(report: Any, as_json: bool) -> None:
    """A value of several fields, one per line."""
    rows = [{"what": name, "who": value} for name, value in dataclasses.asdict(report).items()]
    if as_json:
        write_json(report)
    else:
        write_rows(rows, ["what", "who"], as_json=False)


def write_timelines(timelines: Sequence[Timeline], as_json: bool) -> None:
    """Runs, each step a bar on the run's axis; the critical path is drawn solid and starred."""
    if as_json:
        write_json(timelines)
        return
    columns = find_width() or _WIDEST
    for one in timelines:
        for line in (*timeline.draw(one, columns), ""):
            write(line)
    if timelines:
        say(textwrap.fill(_CRITICAL, columns))


def write_log(lines: Iterable[tuple[str, str]], as_json: bool) -> int:
    """Lines of logs as they come, each after the name of its service; how many there were."""
    number = 0
    for number, (name, line) in enumerate(lines, start=1):  # noqa: B007
        if as_json:
            write_json({"service": name, "line": line})
        else:
            write(f"{name} | {one_line(line)}")
    return number


def words_after_dashes() -> list[str]:
    """The command line's words after `--`; Invoke's own remainder has lost the quotes."""
    return sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []


def failure(message: str, code: int) -> Exit:
    """The exception that ends the program with a message on stderr and an exit code."""
    return Exit(github.without_commands(message, os.environ), code)


def end_with(code: int) -> None:
    """End with this exit code; the output said why."""
    if code:
        raise Exit(code=code)


def prepare() -> None:
    """Let Ctrl-C end the program with exit code 130; print what the encoding lacks as escapes.

    A stream that is closed becomes an empty one: else the next file would get its number.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def end(number: int, frame: object) -> None:
        if threading.main_thread().is_alive():  # else all is done, and the interpreter is closing
            raise SystemExit(130)

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        import traceback

        say("".join(traceback.format_exception(kind, error, trace)).rstrip())

    sys.excepthook = show
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end)


def _get(row: Any, column: str) -> Any:
    return row[column] if isinstance(row, dict) else attrgetter(column)(row)


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    if hasattr(value, "isoformat"):
        value = local_time(value)
    text = one_line("" if value is None else str(value))
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."


def _jsonable(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value.isoformat()
