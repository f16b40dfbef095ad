"""The app's own steps: commands of app.toml that are part of setup and reset."""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from scripts.app import FILE, AppStep
from scripts.engine.pipeline import Step
from scripts.environment import check, variables
from scripts.errors import DevError, did_you_mean
from scripts.postgres import databases
from scripts.settings import Settings
from scripts.targets import Database

SHOWN_LINES = 15


def add(
    settings: Settings, steps: Sequence[Step], database: Callable[[], Database], again: bool = False
) -> list[Step]:
    """The steps together with the app's own; `database` is the one being built.

    With `again`, a step with `once` also runs where it ran before.
    """
    own = settings.app.steps
    _check_names(own, [*(step.name for step in steps), "check"])
    added = [_step(settings, one, database, again) for one in own]
    before = {
        name: [one.name for one in own if name in one.before] for one in own for name in one.before
    }
    waiting = [_after_all(step, before.get(step.name, ())) for step in [*steps, *added]]
    following = _list_followers(waiting, "check")
    needs = tuple(step.name for step in waiting if step.name not in following)
    waiting.append(check.make(settings, needs))
    _check_order(waiting)
    return waiting


def migrate(settings: Settings, database: Database) -> None:
    """Run the app's steps that change the schema: those that need nothing but it, or each other."""
    ready = {"db.create", "db.schema-load", "postgres"}
    left = list(settings.app.steps)
    while one := next((one for one in left if ready.issuperset(one.after)), None):
        _step(settings, one, lambda: database, again=True).action()
        ready.add(one.name)
        left.remove(one)


def _after_all(step: Step, names: Sequence[str]) -> Step:
    for name in names:
        step = step.after(name)
    return step


def _list_followers(steps: Sequence[Step], name: str) -> set[str]:
    """The names of the steps that wait for the one of this name."""
    found = {name}
    while more := {step.name for step in steps if found & set(step.needs)} - found:
        found |= more
    return found


def _step(settings: Settings, one: AppStep, database: Callable[[], Database], again: bool) -> Step:
    run = partial(_run, settings, database)

    def action() -> str:
        done = run(one.run)
        if done.returncode:
            raise DevError(
                f"{one.run} failed with exit code {done.returncode}{_tail(done.stdout)}",
                f"correct it, or the step {one.name} in {FILE}",
            )
        if one.once:
            databases.note_step(database(), one.name)
        lines = done.stdout.strip().splitlines()
        return lines[-1].strip()[:100] if lines else "done"

    def probe() -> str | None:
        if one.once and not again and one.name in databases.list_noted_steps(database()):
            return "already done in this database"
        return "already done" if one.done and run(one.done).returncode == 0 else None

    has_probe = bool(one.done or one.once)
    intent = f"run {one.run}"
    return Step(one.name, intent, action, one.after, probe if has_probe else None, kind="app")


def _run(
    settings: Settings, database: Callable[[], Database], command: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command in the app's folder, with the variables of `env` for this database."""
    return subprocess.run(
        ["sh", "-c", command],  # noqa: S607 - a POSIX shell is on every PATH
        cwd=settings.root,
        env=variables.lend(settings, os.environ, database()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )


def _tail(text: str) -> str:
    lines = text.rstrip().splitlines()[-SHOWN_LINES:]
    return "".join(f"\n  | {line}" for line in lines)


def _check_names(own: Sequence[AppStep], built_in: Sequence[str]) -> None:
    known = [*built_in, "postgres", "aws", "dynamodb"]
    for one in own:
        if one.name in known:
            raise DevError(f"{FILE}: there are two steps {one.name}", "choose another name")
        known.append(one.name)
    for one in own:
        for name in (*one.after, *one.before):
            if name not in known:
                raise DevError(
                    f"{FILE}: the step {one.name} names {name}, which is not a step",
                    f"{did_you_mean(name, known)}the steps are: {', '.join(known)}",
                )


def _check_order(steps: Sequence[Step]) -> None:
    """Raise DevError for steps that wait for each other."""
    needs: Mapping[str, tuple[str, ...]] = {step.name: step.needs for step in steps}
    done: set[str] = {need for step in steps for need in step.needs if need not in needs}
    left = list(needs)
    while ready := [name for name in left if done.issuperset(needs[name])]:
        done.update(ready)
        left = [name for name in left if name not in done]
    if left:
        raise DevError(
            f"{FILE}: these steps wait for each other: {', '.join(left)}",
            "correct after and before of your steps",
        )
