"""A table that is repeated until Ctrl-C."""

import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NoReturn

from scripts.cli import output

SECONDS = 2.0


def repeat(look: Callable[[], Sequence[Any]], columns: Sequence[str], as_json: bool) -> NoReturn:
    """Show the rows every 2 seconds: redrawn on a terminal, elsewhere a line for each change."""
    drawn: list[str] = []
    while True:
        rows = look()
        now = output.local_time(datetime.now().astimezone())
        if as_json:
            output.write_json(rows)
        elif sys.stdout.isatty():
            drawn = _redraw(drawn, [f"{now}, Ctrl-C ends", *output.table(rows, columns)])
        else:
            drawn = _append(drawn, output.table(rows, columns)[1:], now)
        time.sleep(SECONDS)


def _redraw(before: Sequence[str], lines: Sequence[str]) -> list[str]:
    """Draw the lines in the place of those before; cut, so that each is one line."""
    up = f"\x1b[{len(before)}A\x1b[J" if before else ""
    drawn = [line[: output.width() - 1] for line in lines]
    output.write(up + "\n".join(drawn))
    return drawn


def _append(before: Sequence[str], lines: list[str], now: str) -> list[str]:
    for line in lines:
        if line not in before:
            output.write(f"{now}  {line}")
    return lines
