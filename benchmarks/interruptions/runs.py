"""One run of a command that something happens to."""

import contextlib
import json
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.interruptions.worlds import World
from scripts.engine import history

END_SECONDS = 300.0  # a stranger who never answers is asked three times, a minute each
INTERRUPT_SECONDS = 15.0  # on a busy machine


@dataclass(frozen=True)
class Moment:
    """A moment of a run: so many seconds after so many events were noted in its record."""

    events: int
    seconds: float


@dataclass
class Run:
    """A command in a world.

    `code` is its exit code once it ended. `trouble` is what was wrong with how it went. `only`
    names the one state that may follow, "" where the exit code tells. `is_settled`: a `setup` has
    followed already.
    """

    world: World
    words: tuple[str, ...]
    moment: Moment
    rng: random.Random
    code: int | None = None
    only: str = ""
    is_settled: bool = False
    trouble: list[str] = field(default_factory=list)
    _before: set[str] = field(default_factory=set)
    _process: "subprocess.Popen[bytes] | None" = None

    def start(self, env: Mapping[str, str] | None = None) -> None:
        """Start the command."""
        self._before = self._records()
        self._process = self.world.start(*self.words, env=env)

    def wait(self) -> None:
        """Wait for the moment, or for the end if that comes first."""
        while self.process.poll() is None and self._count_events() < self.moment.events:
            time.sleep(0.001)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(self.moment.seconds)

    def end(self) -> None:
        """Wait for the end."""
        try:
            self.code = self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.trouble.append(f"did not end in {END_SECONDS:.0f} s")
            self.process.kill()
            self.code = self.process.wait()

    def start_until_moment(self) -> None:
        """Start, and wait for the moment."""
        self.start()
        self.wait()

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The command's process, once it is started."""
        assert self._process
        return self._process

    def read_events(self) -> list[float]:
        """When each event was noted, in seconds of the run; for one that was not interrupted."""
        return [event["at"] for event in self._events()]

    def read_boundaries(self) -> list[int]:
        """After how many events each step had ended."""
        ends = {"finished", "skipped"}
        return [n for n, event in enumerate(self._events(), start=1) if event["kind"] in ends]

    def interrupt(self) -> None:
        """Press Ctrl-C, and expect a quick end."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.end()
        if (seconds := time.monotonic() - begin) > INTERRUPT_SECONDS:
            self.trouble.append(f"took {seconds:.1f} s to end after SIGINT")
        if self.code not in (0, 130, -signal.SIGINT):  # the last: all was done already
            self.trouble.append(f"ended with {self.code} after SIGINT")

    def _events(self) -> Iterator[dict[str, Any]]:
        lines = self._lines()
        return (json.loads(line) for line in lines[1:])

    def _count_events(self) -> int:
        return len(self._lines()) - 1

    def _lines(self) -> list[str]:
        folder = self.world.root / ".dev" / history.FOLDER
        for name in sorted(self._records() - self._before):
            text = (folder / name).read_text(encoding="utf-8")
            return text[: text.rfind("\n") + 1].splitlines()
        return []

    def _records(self) -> set[str]:
        folder = self.world.root / ".dev" / history.FOLDER
        return {path.name for path in folder.glob("*.jsonl")}
