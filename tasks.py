"""Every task: `./invoke --list`. What they do is in scripts/; docs/architecture.md is the map."""

import os
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import Task, task

from scripts import (
    accounts,
    bootstrap,
    changes,
    ci,
    cognito,
    completion,
    console,
    doctor,
    dynamodb,
    execution,
    github,
    journal,
    loads,
    messages,
    postgres,
    rds,
    resets,
    seeds,
    settings,
    snapshots,
    stacks,
    steps,
    timeline,
    users,
    variables,
    web,
)
from scripts.optional import OptionalPositional
from scripts.pipeline import Step
from scripts.program import DevProgram
from scripts.targets import Loss

console.end_on_interrupt()
variables.restore(os.environ)

CONFIRM = {"confirm": "the name of what may go although it is not disposable"}
STACK = {"stack": f"who provides the services: {', '.join(stacks.MODULES)}"}
JSON = {"json": "print JSON on stdout"}
PLAN = {"plan": "print the steps and what each would do, and do nothing", **STACK}


@task(
    help=PLAN
    | {
        "with-seed": "write the mock data also where it does not belong (aws)",
        "export-env": "add what ./invoke env prints to the job of GitHub Actions",
    }
)
def setup(
    context: Context,
    stack: str = "",
    plan: bool = False,
    with_seed: bool = False,
    export_env: bool = False,
) -> None:
    """Make everything run, filled with seed data."""
    if export_env:
        github.require_job(os.environ)
    _run(context, "setup", lambda chosen: bootstrap.setup(chosen, with_seed), stack, plan)
    if export_env and not (plan or context.config.run.dry):
        variables.export(settings.load(stack=stack), "github", os.environ)


@task(help=PLAN)
def up(context: Context, stack: str = "", plan: bool = False) -> None:
    """Start the services; wait until they answer."""
    _run(context, "up", bootstrap.up, stack, plan)


@task(
    help=PLAN
    | {
        "volumes": "remove this checkout's data too, after showing what goes",
        "yes": "remove it without asking",
    }
)
def down(
    context: Context,
    stack: str = "",
    volumes: bool = False,
    yes: bool = False,
    plan: bool = False,
) -> None:
    """Stop the services; their data stays."""
    chosen = _load(stack)
    if volumes and not (plan or context.config.run.dry):
        console.confirm_removal([*stacks.list_data(chosen), *changes.list_data(chosen)], yes)
    _execute(context, "down", chosen, lambda: bootstrap.down(chosen, volumes), plan)


@task(help=PLAN | CONFIRM)
def reset(context: Context, stack: str = "", plan: bool = False, confirm: str = "") -> None:
    """Begin anew, as in a fresh clone."""

    def loss(chosen: settings.Settings) -> Loss | None:
        names = [table["TableName"] for table in steps.read_tables(chosen)]
        return resets.find_loss(chosen, True, names)

    _run_change(context, "reset", resets.reset, loss, stack, plan, confirm)


@task(help=PLAN | CONFIRM)
def undo(context: Context, stack: str = "", plan: bool = False, confirm: str = "") -> None:
    """Bring back what was replaced or dropped last."""

    def loss(chosen: settings.Settings) -> Loss | None:
        _, kept = changes.get_last(chosen)
        console.say(f"back: {kept}, as of {kept.made.astimezone():%Y-%m-%d %H:%M:%S},")
        console.say(f"      before {kept.command}")
        return resets.find_loss(chosen, kept.postgres, list(kept.tables))

    _run_change(context, "undo", resets.undo, loss, stack, plan, confirm)


NAME = {"name": "its name"}


@task(help=PLAN | NAME)
def snapshot_save(context: Context, name: str, stack: str = "", plan: bool = False) -> None:
    """Keep the present state under a name."""
    _run(
        context,
        "snapshot.save",
        lambda chosen: resets.snapshot_save(chosen, name),
        stack,
        plan,
    )


@task(help=STACK | JSON)
def snapshot_list(context: Context, stack: str = "", json: bool = False) -> None:
    """List the snapshots."""
    rows = snapshots.list_all(_load(stack))
    console.write_rows(rows, ["name", "made", "megabytes", "content"], json)


@task(help=PLAN | NAME | CONFIRM)
def snapshot_restore(
    context: Context, name: str, stack: str = "", plan: bool = False, confirm: str = ""
) -> None:
    """Go back to a snapshot; undo comes back."""

    def steps(chosen: settings.Settings, confirmed: str) -> list[Step]:
        return resets.snapshot_restore(chosen, name, confirmed)

    def loss(chosen: settings.Settings) -> Loss | None:
        return resets.find_loss(chosen, True, None)

    _run_change(context, "snapshot.restore", steps, loss, stack, plan, confirm)


@task(help=PLAN | NAME)
def snapshot_delete(context: Context, name: str, stack: str = "", plan: bool = False) -> None:
    """Delete a snapshot."""
    _run(
        context,
        "snapshot.delete",
        lambda chosen: resets.snapshot_delete(chosen, name),
        stack,
        plan,
    )


@task(help=STACK | JSON)
def status(context: Context, stack: str = "", json: bool = False) -> None:
    """Show each service; exit 1 unless healthy."""
    chosen = _load(stack)
    rows = stacks.list_status(chosen)
    console.say(stacks.describe_choice(chosen))
    console.write_rows(rows, ["service", "state", "address", "since", "reason"], json)
    console.end_with(int(any(row.state != "healthy" for row in rows)))


@task(
    name="env",
    help=STACK
    | {
        "format": f"{', '.join(variables.FORMATS)}; the last one adds them to the job it runs in",
    },
)
def export_variables(context: Context, format: str = "dotenv", stack: str = "") -> None:
    """Print what an app needs to use all this."""
    variables.export(_load(stack), format, os.environ)


@task(
    name="doctor",
    help=STACK | JSON | {"fix": "do what is safe: stop and remove what is left over, lose no data"},
)
def examine(context: Context, stack: str = "", fix: bool = False, json: bool = False) -> None:
    """Check everything; exit 1 if a check fails."""
    if fix and context.config.run.dry:
        fix = not _is_dry(context, "stop and remove what is left over")
    findings = doctor.examine(partial(settings.load, stack=stack), fix)
    if json:
        console.write_json(findings)
    for line in () if json else doctor.lines(findings):
        console.write(console.one_line(line))
    console.say(doctor.summary(findings))
    console.end_with(int(any(finding.state == "FAIL" for finding in findings)))


@task(
    klass=OptionalPositional,
    positional=["service"],
    help=STACK
    | {
        "service": "whose; without it, every service's",
        "follow": "go on with the lines that come, until the services stop",
    },
)
def logs(context: Context, service: str = "", follow: bool = False, stack: str = "") -> None:
    """Print the last lines of the services' logs."""
    lines = stacks.read_logs(_load(stack), service, follow)
    console.write_log(lines)


@task(help=PLAN)
def check(context: Context, stack: str = "", plan: bool = False) -> None:
    """Read everything back as the app does."""
    _run_steps(context, "check", ("check",), stack, plan)


@task(
    name="timeline",
    help=JSON | {"runs": "how many of the last runs", "command": "only the runs of this command"},
)
def show_timeline(context: Context, runs: str = "1", command: str = "", json: bool = False) -> None:
    """Draw the last runs, a bar for each step."""
    most = settings.whole_number("--runs", runs, 1, journal.RUNS_KEPT)
    kept = journal.list_runs(settings.load().state / journal.FOLDER)
    console.write_timelines(timeline.build(kept, command)[:most], json)


@task(name="web", help=STACK | {"port": "the port to listen on"})
def serve_pages(context: Context, stack: str = "", port: str = "") -> None:
    """Serve the pages in the browser, until Ctrl-C."""
    chosen = settings.load(stack=stack, web_port=port)
    if not _is_dry(
        context, f"serve the pages on 127.0.0.1, port {chosen.web_port} or the next free one"
    ):
        web.serve(chosen, console.say)


@task(name="ci", help=STACK)
def run_ci(context: Context, stack: str = "") -> None:
    """Set up, check, run what follows --, remove."""
    chosen = settings.load(stack=stack)
    command = console.words_after_dashes()
    if not _is_dry(context, f"set up a throw-away environment, and run: {shlex.join(command)}"):
        console.end_with(ci.run(chosen, command))


@task
def screenshots(context: Context) -> None:
    """Take the README's pictures of the pages."""
    with context.cd(str(settings.ROOT)):
        context.run(f"{shlex.quote(sys.executable)} -m tests.screenshots", echo=True)


@task(help={"quick": "few rounds and small loads, and write nothing down"})
def bench(context: Context, quick: bool = False) -> None:
    """Measure against other ways; docs/benchmarks.md."""
    words = " --quick" if quick else ""
    with context.cd(str(settings.ROOT)):
        context.run(f"{shlex.quote(sys.executable)} -m benchmarks{words}", echo=True)


@task
def test(context: Context) -> None:
    """Check format, lint, types; run all tests."""
    python = shlex.quote(sys.executable)
    with context.cd(str(settings.ROOT)):
        for tool in ("ruff format --check --quiet", "ruff check --quiet", "mypy", "pytest"):
            context.run(f"{python} -m {tool}", echo=True)


@task(
    name="completion",
    help={
        "install": "put it where the shell finds it, instead of printing it",
        "shell": f"which one: {', '.join(completion.SHELLS)}; without it, the one of $SHELL",
    },
)
def complete(context: Context, install: bool = False, shell: str = "") -> None:
    """Print or install completion for the shell."""
    chosen = completion.choose_shell(shell, os.environ)
    if not install:
        console.write(completion.script(chosen).rstrip())
    elif not _is_dry(context, f"install the completion of {chosen}"):
        for line in completion.install(chosen, os.environ):
            console.say(line)


@task(help=PLAN)
def db_create(context: Context, stack: str = "", plan: bool = False) -> None:
    """Create the database."""
    _run_steps(context, "db.create", ("db.create",), stack, plan)


@task(help=PLAN | CONFIRM)
def db_drop(context: Context, stack: str = "", plan: bool = False, confirm: str = "") -> None:
    """Drop the database, clients or not."""
    _run_change(context, "db.drop", resets.db_drop, _of_database, stack, plan, confirm)


@task(help=PLAN)
def db_schema_load(context: Context, stack: str = "", plan: bool = False) -> None:
    """Load sql/schema.sql, in one transaction."""
    _run_steps(context, "db.schema-load", ("db.schema-load",), stack, plan)


@task(help=PLAN)
def db_seed(context: Context, stack: str = "", plan: bool = False) -> None:
    """Load sql/seed.sql, in one transaction."""
    _run_steps(context, "db.seed", ("db.seed",), stack, plan)


@task(help=PLAN)
def db_setup(context: Context, stack: str = "", plan: bool = False) -> None:
    """Create, schema, seed: what is missing."""
    _run(context, "db.setup", bootstrap.db_setup, stack, plan)


@task(help=PLAN | CONFIRM)
def db_reset(context: Context, stack: str = "", plan: bool = False, confirm: str = "") -> None:
    """Put a freshly made database in its place."""
    _run_change(context, "db.reset", resets.db_reset, _of_database, stack, plan, confirm)


@task(help=STACK)
def db_connect(context: Context, stack: str = "") -> None:
    """Open psql; words after -- go to it."""
    chosen = _load(stack)
    if not _is_dry(context, f"open psql on {stacks.targets(chosen).database}"):
        postgres.open_psql(stacks.get_database(chosen), console.words_after_dashes())


@task(help=STACK | JSON)
def db_sessions(context: Context, stack: str = "", json: bool = False) -> None:
    """List who is connected to the database."""
    rows = postgres.list_sessions(stacks.get_database(_load(stack)))
    console.write_rows(rows, ["pid", "user", "application", "state", "since", "query"], json)


@task(help=STACK)
def db_kill_sessions(context: Context, stack: str = "") -> None:
    """End every connection to the database."""
    chosen = _load(stack)
    if not _is_dry(context, f"end every connection to {stacks.targets(chosen).database}"):
        database = stacks.get_database(chosen)
        console.say(f"ended {postgres.kill_sessions(database)} sessions of {database}")


@task(help=STACK | {"path": "a CSV file; its first line names the columns", "table": "which one"})
def db_load(context: Context, path: str, table: str, stack: str = "") -> None:
    """Load a CSV file, in one transaction."""
    chosen = _load(stack)
    if not _is_dry(context, f"load {path} into {table} of {stacks.targets(chosen).database}"):
        loads.load_rows(chosen, Path(path), table)


@task(help=PLAN)
def ddb_schema_load(context: Context, stack: str = "", plan: bool = False) -> None:
    """Create the tables; wait until ACTIVE."""
    _run_steps(context, "ddb.schema-load", ("ddb.schema-load",), stack, plan)


@task(help=STACK | JSON)
def ddb_list_tables(context: Context, stack: str = "", json: bool = False) -> None:
    """List the DynamoDB tables."""
    tables = dynamodb.list_tables(stacks.get_aws(_load(stack)))
    console.write_rows([{"table": name} for name in tables], ["table"], json)


@task(help=PLAN | CONFIRM | {"table": "its name"})
def ddb_drop(
    context: Context, table: str, stack: str = "", plan: bool = False, confirm: str = ""
) -> None:
    """Delete a table; wait until it is gone."""

    def steps(chosen: settings.Settings, confirmed: str) -> list[Step]:
        return resets.ddb_drop(chosen, table, confirmed)

    def loss(chosen: settings.Settings) -> Loss | None:
        return dynamodb.find_loss(stacks.get_aws(chosen), table)

    _run_change(context, "ddb.drop", steps, loss, stack, plan, confirm)


@task(help=PLAN | {"messages": "write so many further ones, for load tests; the same every time"})
def ddb_seed(context: Context, messages: str = "", stack: str = "", plan: bool = False) -> None:
    """Write the conversations of ddb/seeds."""
    further = settings.whole_number("--messages", messages or "0", 0, seeds.MOST_FURTHER)
    _run(context, "ddb.seed", lambda chosen: bootstrap.ddb_seed(chosen, further), stack, plan)


@task(
    help=STACK
    | {"table": "its name", "limit": "how many items at most", "json": "print one JSON item a line"}
)
def ddb_scan(
    context: Context,
    table: str = messages.TABLE,
    limit: str = "",
    stack: str = "",
    json: bool = False,
) -> None:
    """Print every item of a table."""
    most = settings.whole_number("--limit", limit, 1, 10**12 - 1) if limit else None
    items = dynamodb.scan(stacks.get_aws(_load(stack)), table, most)
    console.say(f"{console.write_items(items, json)} items in {table}")


@task(
    help=STACK
    | {
        "path": "a file of DynamoDB JSON lines, plain or gzip, or a folder of such files",
        "table": "into which table",
        "rate": "write units a second at most; without it, 0.9 of what the table provides",
    }
)
def ddb_load(
    context: Context, path: str, table: str = messages.TABLE, rate: str = "", stack: str = ""
) -> None:
    """Load items from files; goes on after a kill."""
    most = settings.whole_number("--rate", rate, 1, 10**9) if rate else None
    chosen = _load(stack)
    target = stacks.targets(chosen).aws
    if not _is_dry(context, f"write the items of {path} into the table {table} in {target}"):
        loads.load(chosen, Path(path), table, most)


@task(
    help=STACK
    | {"table": "which one", "path": "a file (gzip if it ends in .gz), or a folder for gzip parts"}
)
def ddb_export(context: Context, table: str, path: str, stack: str = "") -> None:
    """Write a table's items into files."""
    chosen = _load(stack)
    if not _is_dry(
        context, f"write the items of {table} in {stacks.targets(chosen).aws} to {path}"
    ):
        loads.export(chosen, table, Path(path))


@task(
    help=STACK
    | {"source": "a table, or a file or folder of items", "url": "where to: s3://bucket/prefix"}
)
def ddb_export_to_s3(context: Context, source: str, url: str, stack: str = "") -> None:
    """Write items into S3, as an import takes them."""
    chosen = _load(stack)
    if not _is_dry(context, f"write the items of {source} to {url}"):
        loads.export_to_s3(chosen, source, url)


@task(help=STACK | JSON | {"url": "where from: s3://bucket/prefix", "table": "one of ddb/tables"})
def ddb_import(
    context: Context, url: str, table: str = messages.TABLE, stack: str = "", json: bool = False
) -> None:
    """Have AWS make a table from items in S3."""
    chosen = _load(stack)
    target = stacks.targets(chosen).aws
    if not _is_dry(context, f"make the table {table} in {target} from the items of {url}"):
        loads.import_table(chosen, url, table, json)


@task(positional=["handle"], help=STACK | JSON | {"handle": "whose conversations"})
def list_conversations(context: Context, handle: str, stack: str = "", json: bool = False) -> None:
    """List a user's conversations."""
    chosen = _load(stack)
    person = users.get_person(stacks.get_database(chosen), handle)
    rows = messages.list_conversations(stacks.get_aws(chosen), person)
    console.write_rows(rows, ["at", "other.handle", "text", "group"], json)


@task(
    klass=OptionalPositional,
    positional=["group"],
    help=STACK
    | JSON
    | {
        "group": "the conversation's uuid; without it, the one with the newest message",
        "limit": "how many messages at most",
        "before": "only messages before this time, to page back",
    },
)
def get_conversation(
    context: Context,
    group: str = "",
    limit: str = "20",
    before: str = "",
    stack: str = "",
    json: bool = False,
) -> None:
    """Print a conversation's newest messages."""
    most = settings.whole_number("--limit", limit, 1, 100_000)
    page = messages.get_page(stacks.get_aws(_load(stack)), group, most, before)
    if json:
        console.write_json(page)
        return
    for message in page.messages:
        console.write(console.one_line(messages.in_journal_layout(message)))
    console.say(f"consumed capacity: {page.capacity:g} units")
    if page.messages:
        console.say(f"older: --before {page.messages[0].at}")


@task(help=STACK | {"handle": "who writes", "message": "the text", "group": "into which one"})
def send_message(
    context: Context, handle: str, message: str, group: str = "", stack: str = ""
) -> None:
    """Write a message into a conversation."""
    chosen = _load(stack)
    author = users.get_person(stacks.get_database(chosen), handle)
    aws = stacks.get_aws(chosen)
    group = group or messages.get_latest(aws, author).group
    if not _is_dry(context, f"write a message of {handle} into the conversation {group}"):
        sent = messages.send(aws, group, author, message)
        console.say(f"sent at {sent.at} into {sent.group}")


@task(help=STACK | {"handle": "who starts", "other": "with whom", "message": "the first message"})
def start_conversation(
    context: Context, handle: str, other: str, message: str, stack: str = ""
) -> None:
    """Start a conversation with another user."""
    chosen = _load(stack)
    database = stacks.get_database(chosen)
    pair = users.get_person(database, handle), users.get_person(database, other)
    if not _is_dry(context, f"start a conversation of {handle} with {other}"):
        sent = messages.start(stacks.get_aws(chosen), *pair, message)
        console.say(f"started the conversation {sent.group} at {sent.at}")


@task(help=PLAN)
def cognito_create_pool(context: Context, stack: str = "", plan: bool = False) -> None:
    """Create the user pool."""
    _run_steps(context, "cognito.create-pool", ("cognito.create-pool",), stack, plan)


@task(help=PLAN)
def cognito_create_users(context: Context, stack: str = "", plan: bool = False) -> None:
    """Create a pool user for each Postgres user."""
    _run_steps(context, "cognito.create-users", ("cognito.create-users",), stack, plan)


@task(help=STACK | JSON)
def cognito_list_users(context: Context, stack: str = "", json: bool = False) -> None:
    """List the users of the pool."""
    aws = stacks.get_aws(_load(stack))
    rows = cognito.list_users(aws, cognito.get_pool(aws))
    console.write_rows(rows, ["username", "handle", "email", "status", "enabled", "sub"], json)


@task(help=STACK | JSON)
def cognito_sync(context: Context, stack: str = "", json: bool = False) -> None:
    """Write Cognito ids into Postgres; report."""
    chosen = _load(stack)
    where = stacks.targets(chosen)
    if not _is_dry(context, f"write the Cognito ids of {where.aws} into {where.database}"):
        comparison = accounts.sync(stacks.get_database(chosen), stacks.get_aws(chosen))
        console.write_report(comparison, json)


@task(help=STACK | {"ip": "the address to let in; my public one if not given"})
def rds_update_sg_rule(context: Context, ip: str | None = None, stack: str = "") -> None:
    """Let my address in to the database."""
    chosen = _load(stack)
    aws = stacks.get_aws(chosen)
    rule = rds.get_rule(aws, chosen.sg_id, chosen.sg_rule_id)
    cidr = rds.find_my_cidr(chosen.ip_lookup_url) if ip is None else rds.parse_cidr(ip)
    console.say(f"before: {rule}")
    if not _is_dry(context, f"let in {cidr} instead"):
        console.say(f"after:  {rds.update_rule(aws, rule, cidr)}")


def _load(stack: str) -> settings.Settings:
    chosen = settings.load(stack=stack)
    for line in [*stacks.introduce(chosen), *changes.describe(chosen)]:
        console.say(line)
    return chosen


def _run(
    context: Context,
    command: str,
    steps: Callable[[settings.Settings], list[Step]],
    stack: str,
    plan: bool,
) -> None:
    chosen = _load(stack)
    _execute(context, command, chosen, partial(steps, chosen), plan)


def _execute(
    context: Context,
    command: str,
    chosen: settings.Settings,
    compose: Callable[[], list[Step]],
    plan: bool,
) -> None:
    if plan or context.config.run.dry:
        console.write_plan(compose())
    else:
        execution.run(chosen, command, compose, resets.following(chosen, command))


def _run_steps(
    context: Context, command: str, names: tuple[str, ...], stack: str, plan: bool
) -> None:
    _run(context, command, lambda chosen: bootstrap.pick(chosen, *names), stack, plan)


def _run_change(
    context: Context,
    command: str,
    steps: Callable[[settings.Settings, str], list[Step]],
    find_loss: Callable[[settings.Settings], Loss | None],
    stack: str,
    plan: bool,
    confirm: str,
) -> None:
    """Run what takes something away; what is not ours to take has to be confirmed by its name."""
    chosen = _load(stack)
    if not plan and not context.config.run.dry:
        confirm = console.confirm(find_loss(chosen), confirm) or confirm
    _execute(context, command, chosen, partial(steps, chosen, confirm), plan)


def _of_database(chosen: settings.Settings) -> Loss | None:
    return postgres.find_loss(stacks.get_database(chosen))


def _is_dry(context: Context, intent: str) -> bool:
    dry = bool(context.config.run.dry)
    if dry:
        console.say(f"would {intent}")
    return dry


def _collection(name: str, **tasks: Task[Any]) -> Collection:
    collection = Collection(name)
    for task_name, body in tasks.items():
        collection.add_task(body, name=task_name.replace("_", "-"))
    return collection


ns = Collection(
    *(setup, reset, undo, up, down, status, logs, check, examine, export_variables),
    *(show_timeline, serve_pages, run_ci, complete, bench, screenshots, test),
)
ns.add_collection(
    _collection(
        "db",
        create=db_create,
        drop=db_drop,
        schema_load=db_schema_load,
        seed=db_seed,
        setup=db_setup,
        reset=db_reset,
        connect=db_connect,
        sessions=db_sessions,
        kill_sessions=db_kill_sessions,
        load=db_load,
    )
)
ns.add_collection(
    _collection(
        "snapshot",
        save=snapshot_save,
        list=snapshot_list,
        restore=snapshot_restore,
        delete=snapshot_delete,
    )
)
_ddb = _collection(
    "ddb",
    schema_load=ddb_schema_load,
    list_tables=ddb_list_tables,
    drop=ddb_drop,
    seed=ddb_seed,
    scan=ddb_scan,
    load=ddb_load,
    export=ddb_export,
    export_to_s3=ddb_export_to_s3,
    **{"import": ddb_import},
)
_ddb.add_collection(
    _collection(
        "patterns",
        list_conversations=list_conversations,
        get_conversation=get_conversation,
        send_message=send_message,
        start_conversation=start_conversation,
    )
)
ns.add_collection(_ddb)
ns.add_collection(
    _collection(
        "cognito",
        create_pool=cognito_create_pool,
        create_users=cognito_create_users,
        list_users=cognito_list_users,
        sync=cognito_sync,
    )
)
ns.add_collection(_collection("rds", update_sg_rule=rds_update_sg_rule))

if __name__ == "__main__":
    DevProgram(ns).run()
