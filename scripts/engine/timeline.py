"""Runs as timelines: a bar for each step, the critical path, and the run before in comparison."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from scripts.engine.history import Run
from scripts.engine.pipeline import Event

_CELLS = 48  # of the axis


@dataclass(frozen=True)
class Bar:
    """One step on the run's axis of seconds: finished, skipped, failed, blocked or unfinished.

    A step on the critical path is `critical`: had it been faster, the run would have been.
    `change` is how many seconds more than in the run before; None where it was not in that.
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
    """A run, drawn: `state` is done, failed or unfinished; `change` compares its seconds.

    `before` is when the run before of the same command started, None where there is none.
    """

    command: str
    started: datetime
    state: str
    seconds: float
    before: datetime | None
    change: float | None
    bars: list[Bar]


def build(runs: Sequence[Run], command: str = "") -> list[Timeline]:
    """The timelines of runs, the newest first as they are given; of one command if it is named.

    Each is compared with the next older run of its command.
    """
    chosen = [run for run in runs if run.events and command in ("", run.command)]
    return [
        _draw(run, next((old for old in chosen[place:] if old.command == run.command), None))
        for place, run in enumerate(chosen, start=1)
    ]


def draw(timeline: Timeline) -> Iterator[str]:
    """Lines for a terminal: what it was, and a bar for each step; the critical path is solid."""
    change = f", {timeline.change:+.2f} s against the run before" if timeline.before else ""
    started = f"{timeline.started.astimezone():%Y-%m-%d %H:%M:%S}"
    yield f"{timeline.command} at {started}: {timeline.state} in {timeline.seconds:.2f} s{change}"
    width = max(len(bar.step) for bar in timeline.bars)
    yield from (_bar_line(bar, timeline.seconds, width).rstrip() for bar in timeline.bars)


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
    """What became of each step, in the order they started; one without an end goes on to it."""
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
        else:  # an older record: what had ended when it started is taken for what it needed
            candidates = [event for event in candidates if event.at <= start]
        candidates = [event for event in candidates if event.step not in path]
    return path


def _length(spans: Mapping[str, Event]) -> float:
    return max((event.at for event in spans.values()), default=0.0)


def _state(states: set[str]) -> str:
    if states & {"failed", "blocked"}:
        return "failed"
    return "unfinished" if "unfinished" in states else "done"


def _bar_line(bar: Bar, whole: float, width: int) -> str:
    """A step's line: its bar is at least one cell, and ends within the axis."""
    cells = max(1, round(bar.seconds / whole * _CELLS)) if whole else 1
    offset = min(round(bar.start / whole * _CELLS), _CELLS - cells) if whole else 0
    drawn = " " * offset + ("█" if bar.critical else "░") * cells
    if bar.state == "blocked":
        drawn = ""
    change = f"{bar.change:+.2f}" if bar.change is not None else ""
    state = "" if bar.state == "finished" else bar.state
    star = "*" if bar.critical else " "
    return (
        f"{star} {bar.step:{width}}  {drawn:{_CELLS}}  {bar.seconds:6.2f} s  {change:>6}  {state}"
    )
