"""The buttons of the Environment page: what each runs, its confirmation, the run that it starts."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from scripts import stacks, state
from scripts.engine.pipeline import Step
from scripts.environment import reset, setup, snapshots
from scripts.errors import DevError, NotFoundError
from scripts.settings import Settings, Source
from scripts.targets import Loss
from scripts.web import guard
from scripts.web.guard import FieldError
from scripts.web.live_run import LiveRun, Phase

# Composes the steps of an action, given the settings, a snapshot's name and the confirmed name.
Compose = Callable[[Settings, str, str], Sequence[Step]]


@dataclass(frozen=True)
class Action:
    """What a button runs: `commands` are pipelines of ./invoke, one after the other.

    A `destructive` one is confirmed by a typed name: the database's, or with `by_name` that of the
    snapshot. `asks_name`: a snapshot's name is typed.
    """

    label: str
    does: str
    commands: Sequence[tuple[str, Compose]]
    destructive: bool = False
    asks_name: bool = False
    by_name: bool = False
    finds_loss: Callable[[Settings], Loss | None] | None = None


_UP: tuple[str, Compose] = ("up", lambda settings, name, confirmed: setup.up(settings))
_DOWN: tuple[str, Compose] = ("down", lambda settings, name, confirmed: setup.down(settings))
_KEPT = "The current state is saved: Undo restores it."

ACTIONS = {
    "setup": Action(
        "Set up",
        "Starts the services and creates what is missing. Nothing that exists is changed.",
        [("setup", lambda settings, name, confirmed: setup.setup(settings))],
    ),
    "up": Action("Start", "Starts the services.", [_UP]),
    "down": Action("Stop", "Stops the services. Their data is kept.", [_DOWN]),
    "restart": Action("Restart", "Stops the services and starts them again.", [_DOWN, _UP]),
    "reset": Action(
        "Reset",
        f"Starts over with fresh seed data. {_KEPT}",
        [("reset", lambda settings, name, confirmed: reset.reset(settings, confirmed))],
        destructive=True,
        finds_loss=reset.find_reset_loss,
    ),
    "undo": Action(
        "Undo",
        "Restores what was replaced or dropped last. The current state is saved:"
        " Undo again redoes the change.",
        [("undo", lambda settings, name, confirmed: reset.undo(settings, confirmed))],
        destructive=True,
        finds_loss=reset.find_undo_loss,
    ),
    "snapshot.save": Action(
        "Save snapshot",
        "Saves the database, the tables and the users under a name.",
        [("snapshot.save", lambda settings, name, confirmed: reset.snapshot_save(settings, name))],
        asks_name=True,
    ),
    "snapshot.restore": Action(
        "Restore",
        f"Replaces the current state with the snapshot. {_KEPT}",
        [("snapshot.restore", reset.snapshot_restore)],
        destructive=True,
        finds_loss=lambda settings: reset.find_loss(settings, True, None),
    ),
    "snapshot.delete": Action(
        "Delete",
        "This permanently deletes the snapshot.",
        [
            (
                "snapshot.delete",
                lambda settings, name, confirmed: reset.snapshot_delete(settings, name),
            )
        ],
        destructive=True,
        by_name=True,
    ),
}


def pages(settings: Settings, live: LiveRun) -> Blueprint:
    """The routes that start a run, and the one that shows it."""
    blueprint = Blueprint("actions", __name__, url_prefix="/actions")

    @blueprint.get("/now")
    def now() -> ResponseReturnValue:
        return render_template("_now.html", **describe(settings, live))

    @blueprint.post("/dismiss")
    def dismiss() -> ResponseReturnValue:
        live.dismiss()
        return redirect(url_for("environment.overview"), 303)

    @blueprint.get("/<command>")
    def confirm(command: str) -> ResponseReturnValue:
        return _ask(settings, command, request.args.get("name", ""))

    @blueprint.post("/<command>")
    def run(command: str) -> ResponseReturnValue:
        action, name = _get(settings, command), request.form.get("name", "").strip()
        confirmed = request.form.get("confirmed", "").strip()
        try:
            _check(settings, action, name, confirmed)
        except FieldError as error:
            if guard.wants_json():
                raise
            return _ask(settings, command, name, error), 400
        chosen = _keep_stack(settings)
        if not live.begin(chosen, action.label, _phases(chosen, action, name, confirmed)):
            abort(409, "another action is running: wait until it ends")
        place = url_for("environment.overview")
        return {"place": place} if guard.wants_json() else redirect(place, 303)

    return blueprint


def describe(settings: Settings, live: LiveRun) -> dict[str, object]:
    """What the panel of buttons and steps shows."""
    holder = None if live.is_running else state.find_lock_holder(settings)
    local = is_local(settings)
    return {"now": live.look(), "holder": holder, "local": local, "actions": ACTIONS}


def is_local(settings: Settings) -> bool:
    """Is the stack one that the pages may change? Production is only looked at."""
    where = stacks.targets(settings)
    return where.mock and where.database.owned


def _get(settings: Settings, command: str) -> Action:
    if command not in ACTIONS:
        abort(404, f"there is no action {command}")
    if not is_local(settings):
        abort(403, f"the pages only change local stacks, and this is {settings.stack}")
    return ACTIONS[command]


def _ask(settings: Settings, command: str, name: str, error: FieldError | None = None) -> str:
    """The page of the confirmation. With our script it is shown as a dialog."""
    action = _get(settings, command)
    try:
        loss = action.finds_loss(settings) if action.finds_loss else None
    except NotFoundError as missing:
        abort(404, missing.reason)
    return render_template(
        "confirm.html",
        command=command,
        action=action,
        name=name,
        wanted=_get_wanted(settings, action, name),
        loss=loss,
        error=error,
    )


def _check(settings: Settings, action: Action, name: str, confirmed: str) -> None:
    """Raise FieldError for a name that is missing, or is not the one to confirm."""
    if action.asks_name:
        try:
            folder = snapshots.get_folder(settings, name)
        except DevError as error:
            raise FieldError("name", f"{error.reason}: {error.hint}") from None
        if folder.exists():
            raise FieldError("name", f"the snapshot {name} already exists; choose another name")
    wanted = _get_wanted(settings, action, name)
    if action.destructive and confirmed != wanted:
        raise FieldError("confirmed", f"type {wanted} to confirm")


def _get_wanted(settings: Settings, action: Action, name: str) -> str:
    return name if action.by_name else stacks.targets(settings).database.name


def _phases(settings: Settings, action: Action, name: str, confirmed: str) -> list[Phase]:
    def phase(command: str, compose: Compose) -> Phase:
        line = shlex.join([command, name] if name else [command])
        return command, line, lambda: compose(settings, name, confirmed)

    return [phase(command, compose) for command, compose in action.commands]


def _keep_stack(settings: Settings) -> Settings:
    """The settings as if --stack were given: after Stop, the next action means the same stack."""
    if settings.source("stack") != "remembered":
        return settings
    return replace(settings, sources={**settings.sources, "stack": Source("flag")})
