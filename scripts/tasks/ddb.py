"""ddb: the DynamoDB tables."""

from pathlib import Path
from typing import Annotated

from scripts import stacks
from scripts.cli import output
from scripts.cli.values import Number, Text
from scripts.engine.pipeline import Step
from scripts.errors import UsageError, count
from scripts.settings import Settings
from scripts.targets import Loss
from scripts.tasks.kinds import JSON, STACK, Call, listing, pipeline, replacement, step, task

MOST_FURTHER = 10_000_000  # messages of ddb.seed
Table = Annotated[str, Text("TABLE", unset="the table of the app's messages")]

schema_load = step("ddb.schema-load", "Create the tables; wait until they are ACTIVE.")


@listing("table", empty="no tables yet; ./invoke ddb.schema-load creates them")
def list_tables(call: Call) -> list[dict[str, str]]:
    """List the DynamoDB tables."""
    from scripts.dynamodb import tables

    return [{"table": name} for name in tables.list_tables(stacks.get_aws(call.settings))]


def _choose(call: Call, table: str) -> str:
    chosen = table or call.settings.app.messages_table
    if not chosen:
        raise UsageError("TABLE is missing: the app has no messages", "./invoke ddb.list-tables")
    return chosen


def _table_loss(settings: Settings, table: str) -> Loss | None:
    from scripts.dynamodb import tables

    return tables.find_loss(stacks.get_aws(settings), table)


@replacement(_table_loss, help={"table": "table name"})
def drop(settings: Settings, table: str, confirmed: str) -> list[Step]:
    """Delete a table (undo reverts it)."""
    from scripts.environment import reset

    return reset.ddb_drop(settings, table, confirmed)


@pipeline(
    help={"messages": "how many extra messages to write for load tests, the same ones each time"}
)
def seed(settings: Settings, messages: Annotated[int, Number(0, MOST_FURTHER)] = 0) -> list[Step]:
    """Load the seed items and conversations."""
    from scripts.environment import setup

    return setup.ddb_seed(settings, messages)


@task(
    STACK,
    JSON,
    help={
        "table": "table name",
        "limit": "maximum number of items",
        "json": "print one JSON object per line",
    },
)
def scan(
    call: Call,
    table: Table = "",
    limit: Annotated[int | None, Number(1, 10**12 - 1, unset="all items")] = None,
) -> None:
    """Print the items of a table."""
    from scripts.dynamodb import tables

    chosen = _choose(call, table)
    items = tables.scan(stacks.get_aws(call.settings), chosen, limit)
    shown = output.write_items(items, call.json)
    output.say(f"{'first ' if shown == limit else ''}{count(shown, 'item')} of {chosen}")


@task(
    STACK,
    help={
        "path": "file of DynamoDB JSON lines, plain or gzip, or a folder of such files",
        "table": "table name",
        "rate": "maximum write units per second",
    },
)
def load(
    call: Call,
    path: str,
    table: Table = "",
    rate: Annotated[
        int | None, Number(1, 10**9, unset="0.9 of the table's provisioned capacity")
    ] = None,
) -> None:
    """Load items from files; resumes if interrupted."""
    from scripts.environment import transfer

    target, chosen = stacks.targets(call.settings).aws, _choose(call, table)
    if not call.would(f"write the items of {path} into the table {chosen} in {target}"):
        transfer.load(call.settings, Path(path), chosen, rate)


@task(
    STACK,
    help={
        "table": "table name",
        "path": "file (gzip if it ends in .gz), or folder for gzip parts",
    },
)
def export(call: Call, table: str, path: str) -> None:
    """Export a table's items to files."""
    from scripts.environment import transfer

    target = stacks.targets(call.settings).aws
    if not call.would(f"write the items of {table} in {target} to {path}"):
        transfer.export(call.settings, table, Path(path))


@task(
    STACK,
    help={"source": "table name, or file or folder of items", "url": "s3://bucket/prefix"},
)
def export_to_s3(call: Call, source: str, url: str) -> None:
    """Export items to S3 in the format of ddb.import."""
    from scripts.environment import transfer

    chosen = call.settings
    if not call.would(f"write the items of {source} to {url}"):
        transfer.export_to_s3(chosen, source, url)


@task(
    STACK,
    JSON,
    name="import",
    help={"url": "s3://bucket/prefix", "table": "table name, defined in ddb/tables"},
)
def import_table(call: Call, url: str, table: Table = "") -> None:
    """Create a table from items in S3 (ImportTable)."""
    from scripts.environment import transfer

    target, chosen = stacks.targets(call.settings).aws, _choose(call, table)
    if not call.would(f"create the table {chosen} in {target} from the items in {url}"):
        transfer.import_table(call.settings, url, chosen, call.json)
