"""The recorded runs of pipelines: one JSON Lines file per run, one line per event."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts import state
from scripts.engine.pipeline import Event, Step
from scripts.errors import DevError

RUNS_KEPT = 20
FOLDER = "runs"


@dataclass(frozen=True)
class Run:
    """A recorded run: what each step needed, and what happened to it.

    `needs` is empty in older records, which do not have it. A run that was killed, or is still
    running, has steps that only started.
    """

    command: str
    started: datetime
    needs: Mapping[str, Sequence[str]]
    events: Sequence[Event]


@contextlib.contextmanager
def record(
    folder: Path, command: str, steps: Sequence[Step] = ()
) -> Iterator[Callable[[Event], None]]:
    """A listener that writes a new run's events; older runs than the last 20 are deleted.

    The first line is {"command", "started", "needs"}, each other line an Event's fields.
    """
    started = datetime.now(UTC)
    path = state.ensure_folder(folder) / f"{started:%Y%m%dT%H%M%S.%f}.jsonl"
    for old in state.list_files(folder, "*.jsonl")[: -(RUNS_KEPT - 1)]:
        with contextlib.suppress(OSError):  # a folder, for example
            old.unlink(missing_ok=True)
    needs = {"needs": {step.name: step.needs for step in steps}} if steps else {}
    head = {"command": command, "started": started.isoformat(), **needs}
    try:
        state.write(path, json.dumps(head) + "\n")
        file = path.open("ab", buffering=0)
    except (DevError, OSError):  # a full disk does not stop the run
        yield lambda event: None
        return
    with file:

        def write(event: Event) -> None:
            with contextlib.suppress(OSError):
                file.write(json.dumps(dataclasses.asdict(event)).encode() + b"\n")

        yield write


def list_runs(folder: Path) -> list[Run]:
    """The recorded runs, newest first. A file that is not a record is skipped."""
    runs = [read(path) for path in reversed(state.list_files(folder, "*.jsonl"))]
    return [run for run in runs if run]


def read(path: Path) -> Run | None:
    """One run, None if its first line is incomplete. It ends at the first broken line."""
    try:
        head, *lines = (state.read(path) or "").splitlines() or [""]
        fields = json.loads(head)
        started = datetime.fromisoformat(fields["started"])
        return Run(fields["command"], started, fields.get("needs", {}), list(_events(lines)))
    except (DevError, ValueError, KeyError, TypeError):
        return None


def _events(lines: Sequence[str]) -> Iterator[Event]:
    for line in lines:
        try:
            fields: dict[str, Any] = json.loads(line)
            yield Event(**fields)
        except (ValueError, TypeError):  # the process was killed while it wrote
            return
