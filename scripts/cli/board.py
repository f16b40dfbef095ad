"""The live board of a running pipeline, for terminals."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from scripts.cli import progress
from scripts.engine.pipeline import Event, Step

_SIGNS = {
    "finished": ("✓", "green"),
    "skipped": ("·", "dim"),
    "failed": ("✗", "bold red"),
    "blocked": ("-", "dim"),
    "interrupted": ("!", "yellow"),
}


class Board:
    """One line per step: a spinner while it runs, then its result."""

    def __init__(self, steps: Sequence[Step], brief: bool = False) -> None:
        """Show these steps, on stderr; `brief` only counts those that were already done."""
        self._brief = brief
        self._events: dict[str, Event | None] = {step.name: None for step in steps}
        self._started: dict[str, float] = {}
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(
            console=Console(stderr=True, highlight=False), get_renderable=self._render
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, event: Event) -> None:
        """Show what happened to a step."""
        self._events[event.step] = event
        if event.kind == "started":
            self._started[event.step] = time.monotonic()

    def _render(self) -> Group:
        table = Table.grid(padding=(0, 2))
        table.add_column()
        table.add_column()
        table.add_column(justify="right")
        table.add_column(overflow="fold")
        skipped = 0
        for name, event in self._events.items():
            if self._brief and event and event.kind == "skipped":
                skipped += 1
            else:
                table.add_row(*self._row(name, event))
        return Group(table, *([progress.already_done(skipped)] if skipped else []))

    def _row(self, name: str, event: Event | None) -> tuple[Text | Spinner, Text, Text, Text]:
        if event is None:
            return Text(" "), Text(name, style="dim"), Text(), Text()
        if event.kind in ("started", "progress"):
            seconds = time.monotonic() - self._started[name]
            shown = Text(f"{seconds:.1f} s", style="cyan")
            return self._spinner, Text(name), shown, Text(event.detail, style="dim")
        sign, style = _SIGNS[event.kind]
        seconds_text = f"{event.seconds:.2f} s" if event.seconds else ""
        detail = Text(event.detail, style="" if event.kind == "failed" else "dim")
        return Text(sign, style=style), Text(name), Text(seconds_text, style="dim"), detail
