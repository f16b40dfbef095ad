"""The start page: the services, what is saved, doctor's findings, the last runs; and the logs."""

from dataclasses import dataclass

from flask import Blueprint, abort, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from scripts import stacks, state
from scripts.doctor import examine, report
from scripts.engine import history, timeline
from scripts.environment import statistics, variables
from scripts.errors import DevError
from scripts.settings import Settings
from scripts.web import actions
from scripts.web.live_run import LiveRun

RUNS_SHOWN = 5
# The variables that lead to a service; the first of each is shown, the others on request.
_OF_POSTGRES = ("DATABASE_URL", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE")
_HIDDEN = "••••••••"


@dataclass(frozen=True)
class Variable:
    """An environment variable to copy; a secret one has its password replaced by dots."""

    name: str
    value: str
    is_secret: bool


def pages(settings: Settings, live: LiveRun) -> Blueprint:
    """The routes of the Environment page."""
    blueprint = Blueprint("environment", __name__)

    @blueprint.get("/")
    def overview() -> ResponseReturnValue:
        return _show(settings, live)

    @blueprint.get("/environment/")
    def former() -> ResponseReturnValue:
        return redirect(url_for(".overview"), 308)

    @blueprint.post("/variables/<name>")
    def reveal(name: str) -> ResponseReturnValue:
        if not actions.is_local(settings):
            abort(403, "only passwords of local stacks are shown")
        values = variables.collect(settings)
        if name not in values:
            abort(404, f"there is no variable {name}")
        return {"value": values[name]}

    @blueprint.get("/doctor/")
    def doctor() -> ResponseReturnValue:
        if state.find_lock_holder(settings):  # half of a change would look like a fault
            return render_template("doctor.html", findings=[], summary="")
        findings = examine.run(lambda: settings)
        summary = report.summary(findings, everything=True)
        return render_template("doctor.html", findings=findings, summary=summary)

    @blueprint.get("/logs/<service>")
    def logs(service: str) -> ResponseReturnValue:
        names = [one.name for one in stacks.list_services(settings)]
        if service not in names:
            abort(404, f"there is no service {service} in this stack")
        found = stacks.read_logs(settings, service, stacks.LOG_LINES, follow=False)
        lines = [line for _, line in found]
        return render_template("logs.html", service=service, services=names, lines=lines)

    return blueprint


def _show(settings: Settings, live: LiveRun) -> str:
    runs = history.list_runs(settings.state / history.FOLDER)
    services = stacks.list_status(settings)
    saved, undo, trouble = _list_saved(settings)
    return render_template(
        "environment.html",
        choice=stacks.describe_choice(settings),
        services=services,
        holdings=statistics.take(settings),
        variables=_list_variables(settings),
        snapshots=saved,
        undo=undo,
        trouble=trouble,
        timelines=timeline.build(runs)[:RUNS_SHOWN],
        ticks=timeline.ticks,
        **actions.describe(settings, live),
    )


def _list_saved(
    settings: Settings,
) -> tuple[list[statistics.Saved], statistics.Saved | None, DevError | None]:
    """The snapshots and what undo restores; or the reason why they cannot be listed."""
    try:
        return statistics.list_snapshots(settings), statistics.find_undo(settings), None
    except DevError as error:
        return [], None, error


def _list_variables(settings: Settings) -> dict[str, list[Variable]]:
    """What an app needs to reach each service; nothing while they do not run."""
    try:
        values = variables.collect(settings)
    except DevError:
        return {}
    secrets = variables.list_secrets(settings)

    def variable(name: str) -> Variable:
        shown = values[name]
        for secret in secrets:
            shown = shown.replace(secret, _HIDDEN)
        return Variable(name, shown, shown != values[name])

    shown = {"postgres": [variable(name) for name in _OF_POSTGRES if name in values]}
    return shown | {"aws": [variable(name) for name in values if name.startswith("AWS_")]}
