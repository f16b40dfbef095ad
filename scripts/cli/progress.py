"""How far the work is: a live board or line on a terminal, plain lines elsewhere."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from scripts import errors
from scripts.cli import github, output
from scripts.engine.pipeline import Event, Step

_LIVE_SECONDS, _PLAIN_SECONDS = 0.2, 10.0
_MARKS = {
    "progress": "goes",
    "finished": "done",
    "skipped": "same",
    "failed": "FAIL",
    "blocked": "skip",
    "interrupted": "stop",
}


@contextlib.contextmanager
def count(noun: str, before: int = 0) -> Iterator[Callable[[int, float], None]]:
    """A listener for long work: how many things (`noun`) are done, and the share, from 0 to 1.

    One live line on a terminal, a plain line now and then elsewhere. `before` were done earlier.
    """
    live = is_live()
    begin = last = time.monotonic()
    first: list[float] = []

    def show(count: int, share: float) -> None:
        nonlocal last
        first.append(share) if not first else None
        now = time.monotonic()
        if now - last < (_LIVE_SECONDS if live else _PLAIN_SECONDS):
            return
        last = now
        rate = (count - before) / (now - begin)
        left = _time_left(now - begin, first[0], share)
        text = f"{errors.count(count, noun)}  {rate:,.0f}/s  {left}"
        if live:
            sys.stderr.write(f"\r\x1b[2K{text[: output.width() - 1]}")
            sys.stderr.flush()
        else:
            output.say(text)

    try:
        yield show
    finally:
        if live:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


@contextlib.contextmanager
def show(steps: Sequence[Step], brief: bool = False) -> Iterator[Callable[[Event], None]]:
    """A listener that shows events: a live board on a terminal, plain lines elsewhere.

    `brief`: the steps that were already done are only counted.
    """
    if is_live():
        from scripts.cli.board import Board

        with Board(steps, brief) as board:
            yield board.show
        return
    skipped: list[str] = []
    plain = _plain_listener(max(len(step.name) for step in steps))

    def show(event: Event) -> None:
        if brief and event.kind == "skipped":
            skipped.append(event.step)
        else:
            plain(event)

    try:
        yield show
    finally:
        if skipped:
            output.say(already_done(len(skipped)))


def already_done(number: int) -> str:
    """The line that stands for steps that had nothing to do."""
    return f"{errors.count(number, 'step')} {'was' if number == 1 else 'were'} already done"


def is_live() -> bool:
    """True if stderr is a terminal, NO_COLOR and CI are not set, and this is no GitHub job."""
    quiet = os.environ.get("NO_COLOR") or os.environ.get("CI") or os.environ.get("TERM") == "dumb"
    return sys.stderr.isatty() and not quiet and not github.is_here(os.environ)


def event_line(event: Event, width: int) -> str:
    """An event as a plain line: state, step, seconds, what was done or why not."""
    seconds = f"{event.seconds:5.2f} s" if event.seconds else " " * 7
    first, *rest = event.detail.splitlines() or [""]
    lines = [f"{_MARKS[event.kind]}  {event.step:{width}}  {seconds}  {first}".rstrip()]
    return "\n".join([*lines, *(f"      {line}" for line in rest)])


def _time_left(seconds: float, first: float, share: float) -> str:
    if share <= first:
        return "..."
    left = round(seconds * (1 - share) / (share - first))
    return f"{share:.0%}, {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"


def _plain_listener(width: int) -> Callable[[Event], None]:
    """A line for the end of each step, and now and then for how far it is."""
    said: dict[str, float] = {}

    def show(event: Event) -> None:
        if event.kind == "progress":
            if event.seconds - said.get(event.step, 0.0) < _PLAIN_SECONDS:
                return
            said[event.step] = event.seconds
        if event.kind != "started":
            output.say(event_line(event, width))

    return show
