"""Every task: `./invoke --list`. What they do is in scripts/; docs/architecture.md is the map."""

import shlex
import sys
from collections.abc import Callable
from typing import Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import Task, task

from scripts import (
    accounts,
    bootstrap,
    cognito,
    console,
    dynamodb,
    journal,
    messages,
    postgres,
    settings,
    stacks,
    timeline,
    users,
    web,
)
from scripts.optional import OptionalPositional
from scripts.pipeline import Step

console.end_on_interrupt()

STACK = {"stack": f"who provides the services: {', '.join(stacks.MODULES)}"}
JSON = {"json": "print JSON on stdout"}
PLAN = {"plan": "print the steps and what each would do, and do nothing", **STACK}


@task(help=PLAN)
def setup(context: Context, stack: str = "", plan: bool = False) -> None:
    """Make everything run, filled with seed data."""
    _run(context, "setup", bootstrap.setup, stack, plan)


@task(help=PLAN)
def up(context: Context, stack: str = "", plan: bool = False) -> None:
    """Start the services; wait until they answer."""
    _run(context, "up", bootstrap.up, stack, plan)


@task(help=PLAN)
def down(context: Context, stack: str = "", plan: bool = False) -> None:
    """Stop the services; their data stays."""
    _run(context, "down", bootstrap.down, stack, plan)


@task(help=STACK | JSON)
def status(context: Context, stack: str = "", json: bool = False) -> None:
    """Show each service; exit 1 unless healthy."""
    rows = stacks.list_status(settings.load(stack=stack))
    console.write_rows(rows, ["service", "state", "address", "since", "reason"], json)
    console.end_with(all(row.state == "healthy" for row in rows))


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


@task
def screenshots(context: Context) -> None:
    """Take the README's pictures of the pages."""
    with context.cd(str(settings.ROOT)):
        context.run(f"{shlex.quote(sys.executable)} -m tests.screenshots", echo=True)


@task
def test(context: Context) -> None:
    """Check format, lint, types; run all tests."""
    python = shlex.quote(sys.executable)
    with context.cd(str(settings.ROOT)):
        for tool in ("ruff format --check --quiet", "ruff check --quiet", "mypy", "pytest"):
            context.run(f"{python} -m {tool}", echo=True)


@task(help=PLAN)
def db_create(context: Context, stack: str = "", plan: bool = False) -> None:
    """Create the database."""
    _run_steps(context, "db.create", ("db.create",), stack, plan)


@task(help=PLAN)
def db_drop(context: Context, stack: str = "", plan: bool = False) -> None:
    """Drop the database, clients or not."""
    _run_steps(context, "db.drop", ("db.drop",), stack, plan)


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
    _run_steps(context, "db.setup", bootstrap.DB_SETUP, stack, plan)


@task(help=PLAN)
def db_reset(context: Context, stack: str = "", plan: bool = False) -> None:
    """Drop, create, schema, seed; data is lost."""
    _run_steps(context, "db.reset", bootstrap.DB_RESET, stack, plan)


@task(help=STACK)
def db_connect(context: Context, stack: str = "") -> None:
    """Open psql; words after -- go to it."""
    chosen = settings.load(stack=stack)
    if not _is_dry(context, f"open psql on {stacks.targets(chosen).database}"):
        postgres.open_psql(stacks.database(chosen), console.words_after_dashes())


@task(help=STACK | JSON)
def db_sessions(context: Context, stack: str = "", json: bool = False) -> None:
    """List who is connected to the database."""
    rows = postgres.list_sessions(stacks.database(settings.load(stack=stack)))
    console.write_rows(rows, ["pid", "user", "application", "state", "since", "query"], json)


@task(help=STACK)
def db_kill_sessions(context: Context, stack: str = "") -> None:
    """End every connection to the database."""
    chosen = settings.load(stack=stack)
    if not _is_dry(context, f"end every connection to {stacks.targets(chosen).database}"):
        database = stacks.database(chosen)
        console.say(f"ended {postgres.kill_sessions(database)} sessions of {database}")


@task(help=PLAN)
def ddb_schema_load(context: Context, stack: str = "", plan: bool = False) -> None:
    """Create the tables; wait until ACTIVE."""
    _run_steps(context, "ddb.schema-load", ("ddb.schema-load",), stack, plan)


@task(help=STACK | JSON)
def ddb_list_tables(context: Context, stack: str = "", json: bool = False) -> None:
    """List the DynamoDB tables."""
    tables = dynamodb.list_tables(stacks.aws(settings.load(stack=stack)))
    console.write_rows([{"table": name} for name in tables], ["table"], json)


@task(help=STACK | {"table": "its name"})
def ddb_drop(context: Context, table: str, stack: str = "") -> None:
    """Delete a table; wait until it is gone."""
    chosen = settings.load(stack=stack)
    target = stacks.targets(chosen).aws
    if not _is_dry(context, f"delete the table {table} in {target}, if it is disposable"):
        aws = stacks.aws(chosen)
        dynamodb.drop_table(aws, table)
        console.say(f"dropped the table {table} in {aws}; next: ./invoke ddb.schema-load ddb.seed")


@task(help=PLAN)
def ddb_seed(context: Context, stack: str = "", plan: bool = False) -> None:
    """Write the conversations of ddb/seeds."""
    _run_steps(context, "ddb.seed", ("ddb.seed",), stack, plan)


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
    items = dynamodb.scan(stacks.aws(settings.load(stack=stack)), table, most)
    console.say(f"{console.write_items(items, json)} items in {table}")


@task(positional=["handle"], help=STACK | JSON | {"handle": "whose conversations"})
def list_conversations(context: Context, handle: str, stack: str = "", json: bool = False) -> None:
    """List a user's conversations."""
    chosen = settings.load(stack=stack)
    person = users.get_person(stacks.database(chosen), handle)
    rows = messages.list_conversations(stacks.aws(chosen), person)
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
    page = messages.get_page(stacks.aws(settings.load(stack=stack)), group, most, before)
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
    chosen = settings.load(stack=stack)
    author = users.get_person(stacks.database(chosen), handle)
    aws = stacks.aws(chosen)
    group = group or messages.get_latest(aws, author).group
    if not _is_dry(context, f"write a message of {handle} into the conversation {group}"):
        sent = messages.send(aws, group, author, message)
        console.say(f"sent at {sent.at} into {sent.group}")


@task(help=STACK | {"handle": "who starts", "other": "with whom", "message": "the first message"})
def start_conversation(
    context: Context, handle: str, other: str, message: str, stack: str = ""
) -> None:
    """Start a conversation with another user."""
    chosen = settings.load(stack=stack)
    database = stacks.database(chosen)
    pair = users.get_person(database, handle), users.get_person(database, other)
    if not _is_dry(context, f"start a conversation of {handle} with {other}"):
        sent = messages.start(stacks.aws(chosen), *pair, message)
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
    aws = stacks.aws(settings.load(stack=stack))
    rows = cognito.list_users(aws, cognito.get_pool(aws))
    console.write_rows(rows, ["username", "handle", "email", "status", "enabled", "sub"], json)


@task(help=STACK | JSON)
def cognito_sync(context: Context, stack: str = "", json: bool = False) -> None:
    """Write Cognito ids into Postgres; report."""
    chosen = settings.load(stack=stack)
    where = stacks.targets(chosen)
    if not _is_dry(context, f"write the Cognito ids of {where.aws} into {where.database}"):
        comparison = accounts.sync(stacks.database(chosen), stacks.aws(chosen))
        console.write_report(comparison, json)


def _run(
    context: Context,
    command: str,
    steps: Callable[[settings.Settings], list[Step]],
    stack: str,
    plan: bool,
) -> None:
    chosen = settings.load(stack=stack)
    if plan or context.config.run.dry:
        console.write_plan(steps(chosen))
    else:
        bootstrap.run(chosen, command, steps(chosen))


def _run_steps(
    context: Context, command: str, names: tuple[str, ...], stack: str, plan: bool
) -> None:
    _run(context, command, lambda chosen: bootstrap.pick(chosen, *names), stack, plan)


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


ns = Collection(setup, up, down, status, check, show_timeline, serve_pages, screenshots, test)
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
    )
)
_ddb = _collection(
    "ddb",
    schema_load=ddb_schema_load,
    list_tables=ddb_list_tables,
    drop=ddb_drop,
    seed=ddb_seed,
    scan=ddb_scan,
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
