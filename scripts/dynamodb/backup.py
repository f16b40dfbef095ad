"""DynamoDB tables as wholes: taken out into files, with their definition, and put back."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts import clients
from scripts.dynamodb import bulk_load, json_lines, parallel_scan, tables
from scripts.dynamodb.bulk_load import Rejected, Tally, Writer
from scripts.dynamodb.tables import InvalidDataError, Item
from scripts.errors import DevError, count
from scripts.targets import Aws

_ON_DEMAND = "PAY_PER_REQUEST"


def get_definition(table: Item) -> Item:
    """The CreateTable request that makes a table like the one described.

    Billing, keys, indexes, the stream and deletion protection are part of a description; a time to
    live is not.
    """
    summary = table.get("BillingModeSummary", {})
    described = {**table, "BillingMode": summary.get("BillingMode", "PROVISIONED")}
    definition: Item = _fitting(described, clients.input_shape("dynamodb", "CreateTable"))
    if definition["BillingMode"] == _ON_DEMAND:
        for part in (definition, *definition.get("GlobalSecondaryIndexes", [])):
            part.pop("ProvisionedThroughput", None)
    return definition


def get_identity(table: Item) -> str:
    """The identity of a table: a later table of the same name has another one."""
    return f"{table.get('TableId')} {table['CreationDateTime']}"


def save(aws: Aws, name: str, folder: Path) -> int:
    """Write every item of the table into gzip parts in `folder`; how many there are."""
    folder.mkdir()
    lines = map(json_lines.to_line, parallel_scan.scan(aws, name))
    return sum(count for _, count in json_lines.write_parts(folder, lines))


def find_damage(name: str, definition: Any, folder: Path, expected: int) -> str:
    """Why a saved table could not be restored, with the file; "" if all of it is readable."""
    if problems := tables.shape_problems(definition):
        return f"{folder}: its definition is not a CreateTable request: {problems}"
    if definition["TableName"] != name:
        return f"{folder}: its definition is of the table {definition['TableName']}"
    try:
        found, repeated = _count_items(definition, folder)
    except DevError as error:
        return error.reason
    except OSError as error:
        return f"{folder} cannot be read: {error.strerror}"
    except KeyError as error:
        return f"{folder}: its definition gives no type of the key {error}"
    if found != expected:
        twice = f"; the key {repeated} occurs twice" if repeated else ""
        return f"{folder}: {count(found, 'item')}, expected {expected:,}{twice}"
    return ""


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
            f"{name} accepted {done.acknowledged:,} of {count(expected, 'item')} of {folder}",
            "run the same command again",
        )


def _count_items(definition: Item, folder: Path) -> tuple[int, str]:
    """Read every item to the end; how many keys there are, and one that occurs twice or "".

    Raises DevError, KeyError or OSError for the first bad item.
    """
    keys, parts, repeated = bulk_load.list_keys(definition), sorted(folder.iterdir()), ""
    seen: set[bulk_load.Key] = set()
    if other := next((part for part in parts if not json_lines.is_gzip(part)), None):
        raise DevError(f"{other} is not gzip")
    for line in json_lines.read(parts):
        try:
            key = bulk_load.find_key(json_lines.parse(line.text), keys)
        except ValueError as error:
            raise DevError(f"{line.place}: {error}") from None
        if key in seen:
            repeated = ", ".join(map(str, key))
        seen.add(key)
    return len(seen), repeated


def _accept(tally: Tally, rejected: Sequence[Rejected]) -> None:
    for one in rejected:
        raise InvalidDataError(f"{one.line.place} is refused: {one.reason}")


def _fitting(value: Any, shape: Any) -> Any:
    """The parts of a description that are parameters of the request as well."""
    if shape.type_name == "structure":
        known = {name: part for name, part in shape.members.items() if value.get(name) is not None}
        return {name: _fitting(value[name], part) for name, part in known.items()}
    if shape.type_name == "list":
        return [_fitting(one, shape.member) for one in value]
    return value
