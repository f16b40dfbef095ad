"""The runs of the pipeline, written down: each a file of JSON lines, one an event."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from scripts import state
from scripts.pipeline import Event

RUNS_KEPT = 20


@contextlib.contextmanager
def record(folder: Path, command: str) -> Iterator[Callable[[Event], None]]:
    """A listener that writes a new run's events; older runs than the last 20 are deleted.

    The first line is {"command", "started"}, each other line an Event's fields.
    """
    started = datetime.now(UTC)
    path = state.ensure_folder(folder) / f"{started:%Y%m%dT%H%M%S.%f}.jsonl"
    for old in sorted(folder.glob("*.jsonl"))[: -(RUNS_KEPT - 1)]:
        old.unlink(missing_ok=True)
    state.write(path, json.dumps({"command": command, "started": started.isoformat()}) + "\n")
    with path.open("a", encoding="utf-8", buffering=1) as file:
        yield lambda event: print(json.dumps(dataclasses.asdict(event)), file=file)
