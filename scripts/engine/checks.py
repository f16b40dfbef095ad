"""Checks: each looks at one thing and finds it well or not. They look side by side."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from scripts.engine import pipeline
from scripts.engine.pipeline import Step
from scripts.errors import DevError


@dataclass(frozen=True)
class Finding:
    """What a check found: `note` is worth knowing and no failure; `fix` says what to do."""

    check: str
    state: Literal["ok", "note", "FAIL"]
    reason: str
    fix: str = ""


@dataclass(frozen=True)
class Check:
    """One thing to look at: `look` returns what it finds, made by `ok`, `note` or `fail`.

    A DevError is a FAIL. `needs` are checks that must not fail before it. `mend` does what is safe
    about it, and says what it did, a line each.
    """

    name: str
    look: Callable[[], Finding]
    needs: tuple[str, ...] = ()
    repair: Callable[[], list[str]] | None = None


def ok(reason: str) -> Finding:
    """All is well."""
    return Finding("", "ok", reason)


def note(reason: str, fix: str = "") -> Finding:
    """Nothing fails, and it is worth knowing."""
    return Finding("", "note", reason, fix)


def fail(reason: str, fix: str) -> Finding:
    """It has to be mended."""
    return Finding("", "FAIL", reason, fix)


def of_error(error: Exception) -> Finding:
    """The finding that an error is; one that is no DevError is a fault of ours."""
    if isinstance(error, DevError):
        return fail(error.reason, error.hint)
    return fail(f"the check broke: {type(error).__name__}: {error}", "please report it")


def run(checks: Sequence[Check]) -> list[Finding]:
    """What each check finds, in their order. An error is a finding, never the end."""
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
    return [replace(_find(found, check), check=check.name) for check in checks]


def _find(found: dict[str, Finding], check: Check) -> Finding:
    if check.name in found:
        return found[check.name]
    return note(f"not looked at: that needs {', '.join(check.needs)}")
