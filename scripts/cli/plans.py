"""What a pipeline would do, as --plan and --dry show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scripts.cli import output
from scripts.engine.pipeline import Step
from scripts.errors import count


@dataclass(frozen=True)
class PlannedStep:
    """A step of a plan: `what` it would do, or why it is already done."""

    step: str
    would_run: bool
    what: str
    after: Sequence[str]

    @property
    def plan(self) -> str:
        """The state in words."""
        return "would run" if self.would_run else "done"


@dataclass(frozen=True)
class Plan:
    """The steps of a pipeline, and how many of them would run."""

    would_run: int
    steps: list[PlannedStep]


def write(steps: Sequence[Step], done: Mapping[str, str], as_json: bool) -> None:
    """Print which steps would run, and which are done and why."""
    planned = [
        PlannedStep(one.name, one.name not in done, done.get(one.name, one.intent), one.needs)
        for one in steps
    ]
    plan = Plan(sum(step.would_run for step in planned), planned)
    if as_json:
        output.write_json(plan)
        return
    output.write_rows(planned, ["step", "plan", "what", "after"], as_json=False)
    output.say(f"{plan.would_run} of {count(len(planned), 'step')} would run")
