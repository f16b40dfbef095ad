"""The tasks without a prefix that act on the environment as a whole."""

import os
import shlex
from functools import partial

from scripts import settings, stacks
from scripts.cli import output
from scripts.engine.pipeline import Step
from scripts.settings import Settings
from scripts.targets import Loss
from scripts.tasks.kinds import JSON, PLAN, STACK, Call, pipeline, replacement, step, task


@task(
    STACK,
    PLAN,
    help={
        "with-seed": "write the mock data also where it does not belong (aws)",
        "export-env": "add what ./invoke env prints to the job of GitHub Actions",
    },
)
def setup(call: Call, with_seed: bool = False, export_env: bool = False) -> None:
    """Make everything run, filled with seed data."""
    from scripts.cli import github
    from scripts.environment import setup, variables

    if export_env:
        github.require_job(os.environ)
    call.run(lambda: setup.setup(call.settings, with_seed))
    if export_env and not (call.plan or call.is_dry):
        variables.export(settings.load(stack=call.stack), "github", os.environ)


def _reset_loss(settings: Settings) -> Loss | None:
    from scripts.environment import reset, steps

    names = [table["TableName"] for table in steps.read_tables(settings)]
    return reset.find_loss(settings, True, names)


@replacement(_reset_loss)
def reset(settings: Settings, confirmed: str) -> list[Step]:
    """Begin anew, as in a fresh clone."""
    from scripts.environment import reset

    return reset.reset(settings, confirmed)


def _undo_loss(settings: Settings) -> Loss | None:
    from scripts.environment import reset, transaction

    _, saved = transaction.get_last(settings)
    output.say(f"back: {saved}, as of {saved.made.astimezone():%Y-%m-%d %H:%M:%S},")
    output.say(f"      before {saved.command}")
    return reset.find_loss(settings, saved.postgres, list(saved.tables))


@replacement(_undo_loss)
def undo(settings: Settings, confirmed: str) -> list[Step]:
    """Bring back what was replaced or dropped last."""
    from scripts.environment import reset

    return reset.undo(settings, confirmed)


@pipeline()
def up(settings: Settings) -> list[Step]:
    """Start the services; wait until they answer."""
    from scripts.environment import setup

    return setup.up(settings)


@task(
    STACK,
    PLAN,
    help={
        "volumes": "remove this checkout's data too, after showing what goes",
        "yes": "remove it without asking",
    },
)
def down(call: Call, volumes: bool = False, yes: bool = False) -> None:
    """Stop the services; their data stays."""
    from scripts.environment import setup, transaction

    chosen = call.settings
    if volumes and not (call.plan or call.is_dry):
        output.confirm_removal([*stacks.list_data(chosen), *transaction.list_data(chosen)], yes)
    call.run(lambda: setup.down(chosen, volumes))


@task(STACK, JSON)
def status(call: Call) -> None:
    """Show each service; exit 1 unless healthy."""

    rows = stacks.list_status(call.settings)
    output.say(stacks.describe_choice(call.settings))
    output.write_rows(rows, ["service", "state", "address", "since", "reason"], call.json)
    output.end_with(int(any(row.state != "healthy" for row in rows)))


@task(
    STACK,
    positional=["service"],
    help={
        "service": "whose; without it, every service's",
        "follow": "go on with the lines that come, until the services stop",
    },
)
def logs(call: Call, service: str = "", follow: bool = False) -> None:
    """Print the last lines of the services' logs."""

    output.write_log(stacks.read_logs(call.settings, service, follow))


check = step("check", "Read everything back as the app does.")


@task(
    STACK,
    JSON,
    help={"fix": "do what is safe: stop and remove what is left over, lose no data"},
)
def doctor(call: Call, fix: bool = False) -> None:
    """Check everything; exit 1 if a check fails."""
    from scripts.doctor import examine

    fix = fix and not call.would("stop and remove what is left over")
    findings = examine.run(partial(settings.load, stack=call.stack), fix)
    if call.json:
        output.write_json(findings)
    for line in () if call.json else examine.lines(findings):
        output.write(output.one_line(line))
    output.say(examine.summary(findings))
    output.end_with(int(any(finding.state == "FAIL" for finding in findings)))


@task(
    STACK,
    help={"format": "dotenv, shell, json, github; the last one adds them to the job it runs in"},
)
def env(call: Call, format: str = "dotenv") -> None:
    """Print what an app needs to use all this."""
    from scripts.environment import variables

    variables.export(call.settings, format, os.environ)


@task(
    JSON,
    help={"runs": "how many of the last runs", "command": "only the runs of this command"},
)
def timeline(call: Call, runs: str = "1", command: str = "") -> None:
    """Draw the last runs, a bar for each step."""
    from scripts.engine import history, timeline

    most = settings.whole_number("--runs", runs, 1, history.RUNS_KEPT)
    recorded = history.list_runs(settings.load().state / history.FOLDER)
    output.write_timelines(timeline.build(recorded, command)[:most], call.json)


@task(STACK, help={"port": "the port to listen on", "open": "open them in the browser"})
def web(call: Call, port: str = "", open: bool = False) -> None:
    """Serve the pages in the browser, until Ctrl-C."""
    from scripts import web

    chosen = settings.load(stack=call.stack, web_port=port)
    if not call.would(f"serve the pages on 127.0.0.1, port {chosen.web_port} or the next free one"):
        web.serve(chosen, output.say, open)


@task(STACK)
def ci(call: Call) -> None:
    """Set up, check, run what follows --, remove."""
    from scripts.environment import ci

    chosen = settings.load(stack=call.stack)
    command = output.words_after_dashes()
    if not call.would(f"set up a throw-away environment, and run: {shlex.join(command)}"):
        output.end_with(ci.run(chosen, command))
