"""The run that a page started: one at a time, its steps as they come, and how it ended."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scripts.engine.pipeline import Event, Step
from scripts.environment import runner
from scripts.errors import explain
from scripts.settings import Settings

# A command, its line on a terminal, and what composes its steps.
Phase = tuple[str, str, Callable[[], Sequence[Step]]]


@dataclass(frozen=True)
class Line:
    """A step as it is shown: waiting, started, or what its last event says."""

    command: str
    step: str
    state: str
    seconds: float
    detail: str


@dataclass(frozen=True)
class Picture:
    """A run as it is at one moment: `state` is running, done or failed."""

    title: str
    state: str
    lines: Sequence[Line]
    notes: Sequence[str]
    reason: str
    hint: str


class LiveRun:
    """Runs commands in a thread of its own; the pages look at what becomes of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._title = self._state = self._reason = self._hint = ""
        self._steps: list[tuple[str, str]] = []
        self._events: dict[tuple[str, str], Event] = {}
        self._begun: dict[tuple[str, str], float] = {}
        self._notes: list[str] = []

    @property
    def is_running(self) -> bool:
        """Has it begun and not ended?"""
        return self._state == "running"

    def begin(self, settings: Settings, title: str, phases: Sequence[Phase]) -> bool:
        """Start to run the phases one after the other; False while others are running."""
        with self._lock:
            if self.is_running:
                return False
            self._title, self._state, self._reason, self._hint = title, "running", "", ""
            self._steps, self._events, self._begun, self._notes = [], {}, {}, []
        threading.Thread(target=self._run, args=(settings, phases), daemon=True).start()
        return True

    def dismiss(self) -> None:
        """Show an ended run no more."""
        with self._lock:
            if not self.is_running:
                self._title = self._state = ""

    def look(self) -> Picture | None:
        """The run as it is now, None where there was none."""
        with self._lock:
            if not self._state:
                return None
            lines = [self._line(*step) for step in self._steps]
            notes = list(self._notes)
            return Picture(self._title, self._state, lines, notes, self._reason, self._hint)

    def _line(self, command: str, step: str) -> Line:
        event = self._events.get((command, step))
        if not event:
            return Line(command, step, "waiting", 0.0, "")
        if event.kind not in ("started", "progress"):
            return Line(command, step, event.kind, event.seconds, event.detail)
        seconds = time.monotonic() - self._begun[command, step]
        return Line(command, step, "started", seconds, event.detail)

    def _run(self, settings: Settings, phases: Sequence[Phase]) -> None:
        state, reason, hint = "done", "", ""
        try:
            for command, line, compose in phases:
                show = self._listener(command)
                runner.run(settings, command, compose, line=line, say=self._note, show=show)
        except Exception as error:
            state, reason = "failed", "this is a bug: the terminal of ./invoke web shows it"
            if failure := explain(error):
                reason, hint = failure.reason, failure.hint
            else:
                logging.getLogger(__name__).exception("a run failed")
        with self._lock:
            self._state, self._reason, self._hint = state, reason, hint

    def _note(self, text: str) -> None:
        with self._lock:
            self._notes.append(text)

    def _listener(self, command: str) -> runner.Show:
        @contextlib.contextmanager
        def show(steps: Sequence[Step]) -> Iterator[Callable[[Event], None]]:
            with self._lock:
                self._steps += [(command, step.name) for step in steps]

            def listen(event: Event) -> None:
                with self._lock:
                    self._events[command, event.step] = event
                    if event.kind == "started":
                        self._begun[command, event.step] = time.monotonic()

            yield listen

        return show
