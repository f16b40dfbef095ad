"""Runs as timelines: one bar per step, the critical path, the change since the run before."""

import itertools
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from scripts.engine.history import Run
from scripts.engine.pipeline import Event

_MOST_CELLS, _LEAST_CELLS = 48, 16  # of the axis beside the names of the steps
_FIXED = len("*   100.00 s   +0.00")  # characters beside a bar that is alone on its line
_GAPS = 2 * len("  ")  # and those between it, its step and its state on one line


@dataclass(frozen=True)
class Bar:
    """One step on the run's axis of seconds: finished, skipped, failed, blocked or unfinished.

    A step on the critical path is `critical`: if it had been faster, so had the run. `change` is
    the difference in seconds to the run before; None if that did not have the step.
    """

    step: str
    state: str
    start: float
    seconds: float
    critical: bool
    change: float | None
    detail: str

    @property
    def end(self) -> float:
        """When it ended, in seconds from the run's start."""
        return self.start + self.seconds


@dataclass(frozen=True)
class Timeline:
    """A run to draw: `state` is done, failed or unfinished; `change` compares its seconds.

    `before` is when the previous run of the same command started, None if there is none.
    """

    command: str
    started: datetime
    state: str
    seconds: float
    before: datetime | None
    change: float | None
    bars: list[Bar]


def build(runs: Sequence[Run], command: str = "") -> list[Timeline]:
    """The timelines of runs, newest first as given; only of one command if it is named.

    Each is compared with the next older run of its command.
    """
    chosen = [run for run in runs if run.events and command in ("", run.command)]
    return [
        _draw(run, next((old for old in chosen[place:] if old.command == run.command), None))
        for place, run in enumerate(chosen, start=1)
    ]


def draw(timeline: Timeline, width: int) -> Iterator[str]:
    """Lines of at most `width` characters: what the run was, and a bar for each step.

    The critical path is solid and starred. In a narrow terminal a bar is below its step's name.
    """
    change = f", {timeline.change:+.2f} s compared with the run before" if timeline.before else ""
    started = f"{timeline.started.astimezone():%Y-%m-%d %H:%M:%S}"
    head = f"{timeline.command} at {started}: {timeline.state} in {timeline.seconds:.2f} s{change}"
    yield from textwrap.wrap(head, width, break_on_hyphens=False)
    names = max(len(bar.step) for bar in timeline.bars)
    states = max(len(_shown_state(bar)) for bar in timeline.bars)
    cells = min(width - names - states - _FIXED - _GAPS, _MOST_CELLS)
    for bar in timeline.bars:
        star = "*" if bar.critical else " "
        if cells >= _LEAST_CELLS:
            line = f"{star} {bar.step:{names}}  {_draw_bar(bar, timeline.seconds, cells)}"
            yield f"{line}  {_shown_state(bar)}".rstrip()
        else:
            yield f"{star} {bar.step}  {_shown_state(bar)}".rstrip()
            yield f"  {_draw_bar(bar, timeline.seconds, max(width - _FIXED, 1))}".rstrip()


def ticks(seconds: float, most: int = 6) -> list[float]:
    """Round moments to mark on an axis of this length: 0, then steps of 1, 2 or 5."""
    for exponent, factor in itertools.product(range(-3, 6), (1, 2, 5)):
        step = factor * 10.0**exponent
        if seconds <= step * most:
            break
    return [round(number * step, 3) for number in range(int(seconds / step) + 1)]


def _draw(run: Run, before: Run | None) -> Timeline:
    spans, earlier = _spans(run), _spans(before) if before else {}
    critical = _critical_path(spans, run.needs)
    bars = [
        Bar(
            step,
            event.kind if event.kind not in ("started", "interrupted") else "unfinished",
            event.at - event.seconds,
            event.seconds,
            step in critical,
            event.seconds - earlier[step].seconds if step in earlier else None,
            event.detail,
        )
        for step, event in spans.items()
    ]
    seconds, then = _length(spans), _length(earlier)
    return Timeline(
        run.command,
        run.started,
        _state({bar.state for bar in bars}),
        seconds,
        before.started if before else None,
        seconds - then if before else None,
        bars,
    )


def _spans(run: Run) -> dict[str, Event]:
    """The last event of each step, in the order of their starts; one without an end lasts to it."""
    last = max(event.at for event in run.events)
    begun = {event.step: event.at for event in run.events if event.kind == "started"}
    spans = {step: Event("started", step, last, last - at) for step, at in begun.items()}
    for event in run.events:
        if event.kind == "interrupted":
            spans[event.step] = Event(
                "interrupted", event.step, event.at, event.at - begun[event.step]
            )
        elif event.kind != "started":
            spans[event.step] = event
    return spans


def _critical_path(spans: Mapping[str, Event], needs: Mapping[str, Sequence[str]]) -> set[str]:
    """From the step that ended last back to a first one, each time to the need that ended last."""
    path: set[str] = set()
    candidates = [event for event in spans.values() if event.kind != "blocked"]
    while candidates:
        last = max(candidates, key=lambda event: event.at)
        path.add(last.step)
        start = last.at - last.seconds
        if needs:
            candidates = [spans[name] for name in needs.get(last.step, ()) if name in spans]
        else:  # an older record: a step needed what had ended when it started
            candidates = [event for event in candidates if event.at <= start]
        candidates = [event for event in candidates if event.step not in path]
    return path


def _length(spans: Mapping[str, Event]) -> float:
    return max((event.at for event in spans.values()), default=0.0)


def _state(states: set[str]) -> str:
    if states & {"failed", "blocked"}:
        return "failed"
    return "unfinished" if "unfinished" in states else "done"


def _shown_state(bar: Bar) -> str:
    return "" if bar.state == "finished" else bar.state


def _draw_bar(bar: Bar, whole: float, axis: int) -> str:
    """A step's bar on an axis of so many cells, its seconds and their change.

    A bar is at least one cell, and ends within the axis.
    """
    cells = max(1, round(bar.seconds / whole * axis)) if whole else 1
    offset = min(round(bar.start / whole * axis), axis - cells) if whole else 0
    drawn = " " * offset + ("█" if bar.critical else "░") * cells
    if bar.state == "blocked":
        drawn = ""
    change = f"{bar.change:+.2f}" if bar.change is not None else ""
    return f"{drawn:{axis}}  {bar.seconds:6.2f} s  {change:>6}"
