"""The Environment page: the services, what they hold, and the last runs."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from scripts import stacks
from scripts.engine import history, timeline
from scripts.environment import statistics
from scripts.settings import Settings

RUNS_SHOWN = 5


def pages(settings: Settings) -> Blueprint:
    """The route of the Environment page."""
    blueprint = Blueprint("environment", __name__, url_prefix="/environment")

    @blueprint.get("/")
    def overview() -> ResponseReturnValue:
        runs = history.list_runs(settings.state / history.FOLDER)
        return render_template(
            "environment.html",
            services=stacks.list_status(settings),
            holdings=statistics.take(settings),
            timelines=timeline.build(runs)[:RUNS_SHOWN],
            ticks=timeline.ticks,
        )

    return blueprint
