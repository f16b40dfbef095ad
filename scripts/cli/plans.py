"""What a pipeline would do, as --plan and --dry show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scripts.cli import output
from scripts.engine.pipeline import Event, Step
from scripts.errors import count, with_option

_PLANS = {"skipped": "done", "failed": "would fail", "blocked": "blocked"}


@dataclass(frozen=True)
class PlannedStep:
    """A step of a plan: `what` it would do, why it is already done, or why it would fail.

    `plan` is one of `would run`, `done`, `would fail` and `blocked`.
    """

    step: str
    plan: str
    would_run: bool
    what: str
    after: Sequence[str]


@dataclass(frozen=True)
class Plan:
    """The steps of a pipeline, how many of them would run, and which would fail."""

    would_run: int
    would_fail: list[str]
    steps: list[PlannedStep]


def write(
    steps: Sequence[Step], found: Mapping[str, Event], as_json: bool, option: str = ""
) -> None:
    """Print which steps would run, which are done and why, and which would fail.

    `found` is what `pipeline.foresee` returns; commands in hints get the `option`. Ends with exit
    code 1 if a step would fail.
    """
    planned = [_plan(step, found.get(step.name)) for step in steps]
    failing = {name: event.detail for name, event in found.items() if event.kind == "failed"}
    plan = Plan(sum(step.would_run for step in planned), list(failing), planned)
    if as_json:
        output.write_json(plan)
    else:
        output.write_rows(planned, ["step", "plan", "what", "after"], as_json=False)
        output.say(f"{plan.would_run} of {count(len(planned), 'step')} would run")
        for name, reason in failing.items():
            output.say(f"{name} would fail: {with_option(reason, option)}")
    output.end_with(int(bool(failing)))


def _plan(step: Step, event: Event | None) -> PlannedStep:
    plan, what = (_PLANS[event.kind], event.detail) if event else ("would run", step.intent)
    return PlannedStep(step.name, plan, not event, what, step.needs)
