"""The steps of single services: pick one of a pipeline, restart."""

from collections.abc import Sequence

from scripts import stacks
from scripts.engine.pipeline import Step
from scripts.environment import setup
from scripts.settings import Settings


def pick(steps: Sequence[Step], service: str) -> list[Step]:
    """The step of one service, or all for "". Raises UsageError for a service without a step."""
    chosen = [step for step in steps if service in ("", step.name)]
    if not chosen:
        raise stacks.unknown_service(service, [step.name for step in steps])
    return chosen


def restart(settings: Settings, service: str = "") -> list[Step]:
    """Stop and start one service, or all; one that this tool does not run is left alone."""
    pairs = zip(setup.down(settings), setup.up(settings), strict=True)
    ours = {one.name for one in stacks.list_services(settings) if one.ours}
    return pick([_restart(stop, start, stop.name in ours) for stop, start in pairs], service)


def _restart(stop: Step, start: Step, ours: bool) -> Step:
    return Step(
        stop.name,
        "stop it and start it again",
        lambda: f"{stop.action()}; {start.action()}",
        probe=None if ours else lambda: "not run by this tool",
    )
