"""The tasks without a prefix that act on the environment as a whole."""

import os
import shlex
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated

from scripts import settings, shell, stacks
from scripts.cli import confirmation, output
from scripts.cli.values import Choice, Number, Text
from scripts.engine import history
from scripts.engine.pipeline import Step
from scripts.errors import UsageError, with_option
from scripts.settings import Settings
from scripts.targets import Loss
from scripts.tasks.kinds import (
    JSON,
    PLAN,
    PLAN_AS_JSON,
    STACK,
    Call,
    pipeline,
    replacement,
    task,
)
from scripts.tasks.kinds import step as one_step

Service = Annotated[str, Text("SERVICE", unset="all")]
_SERVICE = {"service": "service name: postgres, aws, or on the docker stack dynamodb"}
_MOST_LINES = 1_000_000


@task(
    STACK,
    PLAN,
    PLAN_AS_JSON,
    help={
        "with-seed": "also load seed data on the aws stack",
        "export-env": "add the variables (see ./invoke env) to the GitHub Actions job",
        "verbose": "also show the steps that were already done, and the addresses",
    },
)
def setup(
    call: Call, with_seed: bool = False, export_env: bool = False, verbose: bool = False
) -> None:
    """Start the services and load the seed data."""
    from scripts.cli import github
    from scripts.environment import setup, variables

    if export_env:
        github.require_job(os.environ)
    only_shows, chosen = call.plan or call.is_dry, call.settings
    runs = history.list_runs(chosen.state / history.FOLDER)
    first = only_shows or not any(run.command == "setup" for run in runs)
    for line in setup.introduce(chosen) if first or verbose else ():
        output.say(line)
    done = call.run(lambda: setup.setup(chosen, with_seed), brief=not verbose)
    if only_shows:
        return
    services = {service.name for service in stacks.get(chosen).services(chosen)}
    if verbose or not done - services:
        _show_addresses(chosen)
    if export_env:
        variables.export(settings.load(stack=call.stack), "github", os.environ)


def _show_addresses(settings: Settings) -> None:
    """Where everything is, if it runs."""
    from scripts.environment import variables

    for line in variables.describe(settings):
        output.say(line)


def _reset_loss(settings: Settings) -> Loss | None:
    from scripts.environment import reset

    return reset.find_reset_loss(settings)


@replacement(_reset_loss)
def reset(settings: Settings, confirmed: str) -> list[Step]:
    """Start over with fresh seed data (undo reverts it).

    Closes every connection to the database, and to the one that was saved for undo, when it is
    replaced; a pool reconnects. Connections to other databases and to AWS are not closed.
    """
    from scripts.environment import reset

    return reset.reset(settings, confirmed)


def _undo_loss(settings: Settings) -> Loss | None:
    from scripts.environment import journal, reset, transaction

    if not journal.find_pending(settings):
        _, saved = transaction.get_last(settings)
        output.say(f"restores {saved},")
        output.say(f"  as of {output.local_time(saved.made)}, before {saved.command}")
    return reset.find_undo_loss(settings)


@replacement(_undo_loss)
def undo(settings: Settings, confirmed: str) -> list[Step]:
    """Restore what the last change replaced or dropped.

    Closes every connection to the database, as reset does.
    """
    from scripts.environment import reset

    return reset.undo(settings, confirmed)


@pipeline(positional=["service"], help=_SERVICE)
def up(settings: Settings, service: Service = "") -> list[Step]:
    """Start the services; wait until they are ready."""
    from scripts.environment import services, setup

    return services.pick(setup.up(settings), service)


@pipeline(positional=["service"], help=_SERVICE)
def restart(settings: Settings, service: Service = "") -> list[Step]:
    """Stop and start the services."""
    from scripts.environment import services

    return services.restart(settings, service)


@task(
    STACK,
    PLAN,
    PLAN_AS_JSON,
    positional=["service"],
    help={
        **_SERVICE,
        "volumes": "also permanently delete the data of this environment, after showing what it is",
        "yes": "delete it without asking",
    },
)
def down(call: Call, service: Service = "", volumes: bool = False, yes: bool = False) -> None:
    """Stop the services; their data is kept."""
    from scripts.environment import services, setup, transaction

    if service:  # not the end of the environment: the stack stays the one in use
        call = replace(call, command=f"down {service}")
    if service and volumes:
        raise UsageError("--volumes deletes the data of all services", "./invoke down --volumes")
    chosen = call.settings
    if volumes and not (call.plan or call.is_dry):
        confirmation.confirm_removal(
            [*stacks.list_data(chosen), *transaction.list_data(chosen)],
            yes,
            "./invoke down --volumes --yes",
        )
    call.run(lambda: services.pick(setup.down(chosen, volumes), service))


@task(STACK, JSON, help={"watch": "repeat every 2 seconds until Ctrl-C"})
def status(call: Call, watch: bool = False) -> None:
    """Show the services; exit code 1 unless all are healthy."""
    columns = ["service", "state", "address", "since", "reason"]
    chosen = call.settings
    branch = shell.find_branch(chosen.root)
    about = {"app": chosen.app.name, "folder": str(chosen.root), "branch": branch or None}
    output.say(f"app: {chosen.app.name} in {chosen.root}{branch and f', branch {branch}'}")
    output.say(stacks.describe_choice(chosen))

    def look() -> list[dict[str, object]]:
        return [asdict(row) | about for row in stacks.list_status(chosen)]

    if watch:
        from scripts.cli import watch as watching

        watching.repeat(look, columns, call.json)
    rows = look()
    output.write_rows(rows, columns, call.json)
    _show_addresses(chosen)
    output.end_with(int(any(row["state"] != "healthy" for row in rows)))


@task(
    STACK,
    JSON,
    positional=["service"],
    help={
        **_SERVICE,
        "tail": "how many lines to print from the end of each log",
        "follow": "also print new lines until the services stop",
        "json": "print one JSON object per line",
    },
)
def logs(
    call: Call,
    service: Service = "",
    tail: Annotated[int, Number(0, _MOST_LINES)] = stacks.LOG_LINES,
    follow: bool = False,
) -> None:
    """Print the last lines of the services' logs."""
    lines = stacks.read_logs(call.settings, service, tail, follow)
    if not output.write_log(lines, call.json):
        output.say("no log lines yet; ./invoke up starts the services")


check = one_step("check", "Read all data back as the app does.")


@task(
    STACK,
    JSON,
    help={
        "all": "show every check, not only problems",
        "fix": "stop leftover servers, remove leftover files;"
        " asks before it deletes the data of deleted checkouts",
        "yes": "delete it without asking",
    },
)
def doctor(call: Call, all: bool = False, fix: bool = False, yes: bool = False) -> None:
    """Show problems with their fixes; exit code 1 if a check fails."""
    from scripts.doctor import examine, report

    fix = fix and not call.would("stop leftover servers and remove leftover files")
    found = examine.run(partial(settings.load, stack=call.stack), fix, yes)
    findings = [replace(one, fix=with_option(one.fix, call.stack_option)) for one in found]
    if call.json:
        output.write_json(findings)
    for line in () if call.json else report.lines(findings, all, output.find_width()):
        output.write(output.one_line(line))
    output.say(report.summary(findings, all or call.json))
    output.end_with(int(any(finding.state == "FAIL" for finding in findings)))


@task(
    STACK,
    help={
        "format": "how to print them; github adds them to the job of GitHub Actions",
        "output": "write them to this file instead, readable only by you",
    },
)
def env(
    call: Call,
    format: Annotated[str, Choice(("dotenv", "shell", "json", "github"))] = "dotenv",
    output: Annotated[str, Text("FILE", "standard output")] = "",
) -> None:
    """Print the variables with which an app connects."""
    from scripts.environment import variables

    variables.export(call.settings, format, os.environ, Path(output) if output else None)


@task(STACK, program="-- COMMAND")
def run(call: Call) -> None:
    """Run COMMAND with the variables that env prints."""
    from scripts.environment import variables

    command = output.words_after_dashes()
    if not call.would(f"run: {shlex.join(command)}"):
        variables.run(call.settings, command)


@pipeline(
    help={
        "name": "the name of a [[step]] in app.toml",
        "again": "run a step with `once` even if it already ran in this database",
    }
)
def step(settings: Settings, name: str, again: bool = False) -> list[Step]:
    """Run one of the app's own steps."""
    from scripts.environment import setup

    return setup.pick(settings, name, again=again)


@task(
    JSON,
    help={"runs": "how many of the last runs", "command": "only runs of this command"},
)
def timeline(
    call: Call,
    runs: Annotated[int, Number(1, history.RUNS_KEPT)] = 1,
    command: Annotated[str, Text("COMMAND", unset="any command")] = "",
) -> None:
    """Draw the last runs, one bar per step."""
    from scripts.engine import timeline

    recorded = history.list_runs(settings.load().state / history.FOLDER)
    drawn = timeline.build(recorded, command)[:runs]
    if not drawn:
        commands = ", ".join(dict.fromkeys(run.command for run in recorded))
        known = f"; recorded: {commands}" if commands else "; ./invoke setup records one"
        output.say(f"no runs{f' of {command}' if command else ' yet'}{known}")
    output.write_timelines(drawn, call.json)


@task(STACK, help={"port": "port to listen on", "open": "open them in the browser"})
def web(
    call: Call,
    port: Annotated[int | None, Number(1, 65_535, unset="WEB_PORT, or the next free port")] = None,
    open: bool = False,
) -> None:
    """Serve the pages in the browser until Ctrl-C."""
    from scripts import web

    chosen = settings.load(stack=call.stack, web_port=str(port or ""))
    if not call.would(
        f"serve the pages on 127.0.0.1, port {chosen.web_port} or the next free port"
    ):

        def tell(address: str) -> None:
            output.write(address)
            output.say("open this address in your browser; Ctrl-C stops the server")

        web.serve(chosen, tell, open)


@task(STACK, program="[-- COMMAND]")
def ci(call: Call) -> None:
    """Run COMMAND in a temporary environment, then delete it."""
    from scripts.environment import ci

    chosen = settings.load(stack=call.stack)
    command = output.words_after_dashes()
    if not call.would(f"set up a temporary environment, and run: {shlex.join(command)}"):
        output.end_with(ci.run(chosen, command))
