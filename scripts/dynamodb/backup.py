"""DynamoDB tables as wholes: taken out into files, with their definition, and put back."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts import clients
from scripts.dynamodb import bulk_load, json_lines, parallel_scan, tables
from scripts.dynamodb.bulk_load import Rejected, Tally, Writer
from scripts.dynamodb.tables import Item
from scripts.errors import DevError, count
from scripts.targets import Aws

_ON_DEMAND = "PAY_PER_REQUEST"


def get_definition(table: Item) -> Item:
    """The CreateTable request that makes a table like the one described.

    Billing, keys, indexes and the stream are told by a description; a time to live is not.
    """
    summary = table.get("BillingModeSummary", {})
    described = {**table, "BillingMode": summary.get("BillingMode", "PROVISIONED")}
    definition: Item = _fitting(described, clients.input_shape("dynamodb", "CreateTable"))
    if definition["BillingMode"] == _ON_DEMAND:
        for part in (definition, *definition.get("GlobalSecondaryIndexes", [])):
            part.pop("ProvisionedThroughput", None)
    return definition


def get_identity(table: Item) -> str:
    """What tells a table from one of the same name that is made after it is deleted."""
    return f"{table.get('TableId')} {table['CreationDateTime']}"


def save(aws: Aws, name: str, folder: Path) -> int:
    """Write every item of the table into gzip parts in `folder`; how many there are."""
    folder.mkdir()
    lines = map(json_lines.to_line, parallel_scan.scan(aws, name))
    return sum(count for _, count in json_lines.write_parts(folder, lines))


def restore(aws: Aws, definition: Item, folder: Path, expected: int) -> None:
    """Make the table where it is missing, and write the saved items into it.

    Raises DevError unless as many as `expected` were acknowledged.
    """
    tables.ensure_table(aws, definition)
    name = definition["TableName"]
    table = tables.get_table(aws, name)
    writer = Writer(aws, table, bulk_load.find_meter(aws, table, rate=None), Tally())
    parts = sorted(folder.iterdir())
    done = writer.run(json_lines.read(parts), _accept, lambda *_: None) if parts else Tally()
    if done.acknowledged != expected:
        raise DevError(
            f"{name} took {done.acknowledged:,} of {count(expected, 'item')} of {folder}",
            "the same command tries again",
        )


def _accept(tally: Tally, rejected: Sequence[Rejected]) -> None:
    for one in rejected:
        raise DevError(f"{one.line.place} is refused: {one.reason}")


def _fitting(value: Any, shape: Any) -> Any:
    """The parts of a description that are parameters of the request as well."""
    if shape.type_name == "structure":
        known = {name: part for name, part in shape.members.items() if value.get(name) is not None}
        return {name: _fitting(value[name], part) for name, part in known.items()}
    if shape.type_name == "list":
        return [_fitting(one, shape.member) for one in value]
    return value
