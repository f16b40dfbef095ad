"""ddb: the DynamoDB tables."""

from pathlib import Path

from scripts import settings as options
from scripts import stacks
from scripts.cli import output
from scripts.engine.pipeline import Step
from scripts.settings import Settings
from scripts.targets import Loss
from scripts.tasks.kinds import JSON, STACK, Call, listing, pipeline, replacement, step, task

TABLE = "cruddur-messages"

schema_load = step("ddb.schema-load", "Create the tables; wait until ACTIVE.")


@listing("table")
def list_tables(call: Call) -> list[dict[str, str]]:
    """List the DynamoDB tables."""
    from scripts.dynamodb import tables

    return [{"table": name} for name in tables.list_tables(stacks.get_aws(call.settings))]


def _table_loss(settings: Settings, table: str) -> Loss | None:
    from scripts.dynamodb import tables

    return tables.find_loss(stacks.get_aws(settings), table)


@replacement(_table_loss, help={"table": "its name"})
def drop(settings: Settings, table: str, confirmed: str) -> list[Step]:
    """Delete a table; wait until it is gone."""
    from scripts.environment import reset

    return reset.ddb_drop(settings, table, confirmed)


@pipeline(help={"messages": "write so many further ones, for load tests; the same every time"})
def seed(settings: Settings, messages: str = "") -> list[Step]:
    """Write the conversations of ddb/seeds."""
    from scripts.cruddur import conversations
    from scripts.environment import setup

    most = conversations.MOST_FURTHER
    further = options.whole_number("--messages", messages or "0", 0, most)
    return setup.ddb_seed(settings, further)


@task(
    STACK,
    JSON,
    help={
        "table": "its name",
        "limit": "how many items at most",
        "json": "print one JSON item a line",
    },
)
def scan(call: Call, table: str = TABLE, limit: str = "") -> None:
    """Print every item of a table."""
    from scripts.dynamodb import tables

    most = options.whole_number("--limit", limit, 1, 10**12 - 1) if limit else None
    items = tables.scan(stacks.get_aws(call.settings), table, most)
    output.say(f"{output.write_items(items, call.json)} items in {table}")


@task(
    STACK,
    help={
        "path": "a file of DynamoDB JSON lines, plain or gzip, or a folder of such files",
        "table": "into which table",
        "rate": "write units a second at most; without it, 0.9 of what the table provides",
    },
)
def load(call: Call, path: str, table: str = TABLE, rate: str = "") -> None:
    """Load items from files; goes on after a kill."""
    from scripts.environment import transfer

    most = options.whole_number("--rate", rate, 1, 10**9) if rate else None
    target = stacks.targets(call.settings).aws
    if not call.would(f"write the items of {path} into the table {table} in {target}"):
        transfer.load(call.settings, Path(path), table, most)


@task(
    STACK,
    help={
        "table": "which one",
        "path": "a file (gzip if it ends in .gz), or a folder for gzip parts",
    },
)
def export(call: Call, table: str, path: str) -> None:
    """Write a table's items into files."""
    from scripts.environment import transfer

    target = stacks.targets(call.settings).aws
    if not call.would(f"write the items of {table} in {target} to {path}"):
        transfer.export(call.settings, table, Path(path))


@task(
    STACK,
    help={"source": "a table, or a file or folder of items", "url": "where to: s3://bucket/prefix"},
)
def export_to_s3(call: Call, source: str, url: str) -> None:
    """Write items into S3, as an import takes them."""
    from scripts.environment import transfer

    chosen = call.settings
    if not call.would(f"write the items of {source} to {url}"):
        transfer.export_to_s3(chosen, source, url)


@task(
    STACK,
    JSON,
    name="import",
    help={"url": "where from: s3://bucket/prefix", "table": "one of ddb/tables"},
)
def import_table(call: Call, url: str, table: str = TABLE) -> None:
    """Have AWS make a table from items in S3."""
    from scripts.environment import transfer

    target = stacks.targets(call.settings).aws
    if not call.would(f"make the table {table} in {target} from the items of {url}"):
        transfer.import_table(call.settings, url, table, call.json)
