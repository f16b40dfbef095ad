"""Checks: each looks at one thing and reports what it finds. They run in parallel."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from scripts.engine import pipeline
from scripts.engine.pipeline import Step
from scripts.errors import DevError


@dataclass(frozen=True)
class Finding:
    """What a check found: `note` is worth knowing and no failure; `fix` says what to do.

    A check that needs a failed one is a `skip`: it was not run. `set` shows a setting: no check.
    """

    check: str
    state: Literal["ok", "note", "FAIL", "skip", "set"]
    reason: str
    fix: str = ""


@dataclass(frozen=True)
class Check:
    """One thing to look at: `look` returns what it finds, made by `ok`, `note` or `fail`.

    A DevError is a FAIL. `needs` are checks that must not fail before it. `repair` fixes what can
    be fixed, and returns a line for each thing it did; `loses` lists the data that it deletes.
    """

    name: str
    look: Callable[[], Finding]
    needs: tuple[str, ...] = ()
    repair: Callable[[], list[str]] | None = None
    loses: Callable[[], list[str]] | None = None


def ok(reason: str) -> Finding:
    """There is nothing to report."""
    return Finding("", "ok", reason)


def note(reason: str, fix: str = "") -> Finding:
    """It is worth knowing, and not a failure."""
    return Finding("", "note", reason, fix)


def fail(reason: str, fix: str) -> Finding:
    """It has to be fixed."""
    return Finding("", "FAIL", reason, fix)


def of_error(error: Exception) -> Finding:
    """The finding for an error; one that is not a DevError is a bug."""
    if isinstance(error, DevError):
        return fail(error.reason, error.hint)
    return fail(f"bug in this check: {type(error).__name__}: {error}", "please report it")


def run(checks: Sequence[Check]) -> list[Finding]:
    """What each check finds, in their order. An error is a finding; the others still run."""
    found: dict[str, Finding] = {}

    def look(check: Check) -> str:
        try:
            found[check.name] = check.look()
        except Exception as error:  # noqa: BLE001 - each check is guarded on its own
            found[check.name] = of_error(error)
        if found[check.name].state == "FAIL":
            raise DevError(check.name)
        return ""

    def step(check: Check) -> Step:
        return Step(check.name, check.name, lambda: look(check), check.needs)

    with contextlib.suppress(pipeline.FailedError):
        pipeline.run([step(check) for check in checks], lambda event: None)
    needs = {check.name: check.needs for check in checks}
    return [replace(_find(found, needs, check.name), check=check.name) for check in checks]


def _find(found: Mapping[str, Finding], needs: Mapping[str, Sequence[str]], name: str) -> Finding:
    if name in found:
        return found[name]
    return Finding("", "skip", f"not checked: {', '.join(_causes(found, needs, name))} failed")


def _causes(
    found: Mapping[str, Finding], needs: Mapping[str, Sequence[str]], name: str
) -> list[str]:
    """The failed checks that keep a check from running."""
    if name in found:
        return [name] if found[name].state == "FAIL" else []
    causes = [cause for need in needs[name] for cause in _causes(found, needs, need)]
    return list(dict.fromkeys(causes))
