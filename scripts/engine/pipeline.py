"""Runs steps in parallel, by their dependencies, and emits events about them."""

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from scripts.errors import DevError, NotRunningError, explain

StepKind = Literal["service", "create", "schema", "seed", "link", "check", "app", "change"]


@dataclass(frozen=True)
class Step:
    """One step: what it does, what must be done before, and how to check whether it is done.

    `probe` checks the live target and returns the reason why the step is already done, or None;
    `action` does it, verifies it, and returns a line about it. `intent` describes it beforehand.
    `unit` (postgres, dynamodb, cognito) and `kind` say what it belongs to: they decide which
    pipelines contain it.
    A probe raises the DevError with which the action would fail, if it finds that out.
    `servers` must run before the pipeline starts: no step of it starts them.
    """

    name: str
    intent: str
    action: Callable[[], str]
    needs: tuple[str, ...] = ()
    probe: Callable[[], str | None] | None = None
    unit: str = ""
    kind: StepKind = "change"
    servers: tuple[str, ...] = ()

    def after(self, name: str) -> "Step":
        """The same step, which also needs another one."""
        return replace(self, needs=(*self.needs, name))


Kind = Literal["started", "progress", "finished", "skipped", "failed", "blocked", "interrupted"]


@dataclass(frozen=True)
class Event:
    """What happened to a step: `at` seconds after the run's start, after `seconds` of work.

    progress: how far it is; skipped: it was already done; blocked: a step that it needs failed.
    """

    kind: Kind
    step: str
    at: float
    seconds: float = 0.0
    detail: str = ""


class FailedError(DevError):
    """One or more steps failed; the events have the reasons."""


def foresee(steps: Sequence[Step]) -> dict[str, Event]:
    """What would become of the steps that would not run, by their probes. Runs no action.

    skipped: it is already done; failed: its probe fails, although all that it needs is done;
    blocked: one that it needs would fail. A server that does not run yet is not a failure.
    """
    found: dict[str, Event] = {}

    def ask(step: Step) -> str:
        bad = [need for need in step.needs if need in found and found[need].kind != "skipped"]
        if bad:
            found[step.name] = Event("blocked", step.name, 0, detail=f"needs {', '.join(bad)}")
            return ""
        try:
            if step.probe and (reason := step.probe()):
                found[step.name] = Event("skipped", step.name, 0, detail=reason)
        except Exception as error:
            failure = explain(error)
            if not failure:
                raise
            if not isinstance(error, NotRunningError) and found.keys() >= set(step.needs):
                found[step.name] = Event("failed", step.name, 0, detail=failure.message)
        return ""

    asking = [replace(step, action=partial(ask, step), probe=None) for step in steps]
    run(asking, lambda event: None)
    return found


def list_unfinished() -> set[str]:
    """The steps that have not ended in this thread's run, its own included; none outside a run."""
    found: set[str] = getattr(_here, "unfinished", set)()
    return found


_Outcomes = queue.SimpleQueue[tuple["Event", BaseException | None]]
_here = threading.local()


def report(detail: str) -> None:
    """Report the progress of the step that runs in this thread; outside a run, do nothing."""
    getattr(_here, "report", lambda _: None)(detail)


def done_if(done: bool, reason: str) -> str | None:
    """The answer of a probe: the reason why there is nothing to do, None if there is."""
    return reason if done else None


def run(steps: Sequence[Step], emit: Callable[[Event], None]) -> None:
    """Run every step as soon as those it needs are done; `emit` is called in this thread only.

    A failed step blocks those that need it; the others run. Raises FailedError then; an error that
    is not a DevError is raised unchanged, once the running steps have ended.
    """
    begin = time.monotonic()
    outcomes: _Outcomes = queue.SimpleQueue()
    waiting = {step.name: step for step in steps}
    running: set[str] = set()
    done: set[str] = set()
    failures: dict[str, BaseException] = {}

    def since_begin() -> float:
        return time.monotonic() - begin

    def unfinished() -> set[str]:
        return set(waiting) | set(running)

    try:
        while waiting or running:
            for step in [step for step in waiting.values() if done.issuperset(step.needs)]:
                del waiting[step.name]
                running.add(step.name)
                emit(Event("started", step.name, since_begin()))
                # A daemon: after Ctrl-C nothing waits for it. Every action survives a kill.
                work = partial(_work, step, begin, outcomes, unfinished)
                threading.Thread(target=work, daemon=True).start()
            if not running:
                break
            event, error = outcomes.get()
            if event.kind == "progress":
                emit(event)
                continue
            running.remove(event.step)
            if error:
                failures[event.step] = error
            else:
                done.add(event.step)
            emit(event)
    except (KeyboardInterrupt, SystemExit):
        for name in sorted(running):
            emit(Event("interrupted", name, since_begin()))
        raise
    for step in waiting.values():
        missing = ", ".join(need for need in step.needs if need not in done)
        emit(Event("blocked", step.name, since_begin(), detail=f"needs {missing}"))
    if waiting and not failures:
        raise ValueError(
            f"these steps wait for each other, or for one that is missing: {', '.join(waiting)}"
        )
    _raise(failures)


def _work(
    step: Step, begin: float, outcomes: _Outcomes, unfinished: Callable[[], set[str]]
) -> None:
    """Run a step in its own thread, and put what happens to it into the queue."""
    at = time.monotonic() - begin

    def tell(kind: Kind, detail: str, error: BaseException | None = None) -> None:
        now = time.monotonic() - begin
        outcomes.put((Event(kind, step.name, now, now - at, detail), error))

    _here.unfinished = unfinished
    _here.report = lambda detail: tell("progress", detail)
    event, error = _attempt(step)
    tell(event.kind, event.detail, error)


def _raise(failures: Mapping[str, BaseException]) -> None:
    for error in failures.values():
        if not isinstance(error, DevError):
            raise error
    if failures:
        codes = [error.code for error in failures.values() if isinstance(error, DevError)]
        raise FailedError(f"failed: {', '.join(failures)}", code=max(codes))


def _attempt(step: Step) -> tuple[Event, BaseException | None]:
    try:
        if step.probe and (reason := step.probe()):
            return Event("skipped", step.name, 0, detail=reason), None
        return Event("finished", step.name, 0, detail=step.action()), None
    except BaseException as error:  # noqa: BLE001 - else the run would never end
        if failure := explain(error):
            return Event("failed", step.name, 0, detail=failure.message), failure
        return Event("failed", step.name, 0, detail=f"{type(error).__name__}: {error}"), error
