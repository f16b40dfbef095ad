"""DynamoDB tables and their items: ensure, drop, wait, scan.

A table that this tool created carries OWNERSHIP_TAG and may be deleted without confirmation.
DynamoDB Local has no tags: all tables of a checkout's own server count as created by this tool.
"""

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts import clients
from scripts.dynamodb import deletion
from scripts.errors import DevError, RefusedError, count, did_you_mean
from scripts.targets import Aws, Loss

OWNERSHIP_TAG = {"Key": "disposable", "Value": "made by ./invoke for development"}
ACTIVE_SECONDS = 120.0
NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")

Item = dict[str, Any]


class InvalidDataError(DevError):
    """DynamoDB rejects a definition or an item: trying again does not help."""


def list_definitions(folder: Path) -> list[str]:
    """The tables that the files of a folder define: a file is named after its table."""
    return sorted(path.stem for path in folder.glob("*.json"))


def read_definitions(folder: Path) -> list[Item]:
    """Every table definition of a folder, as CreateTable requests. DevError names a bad one."""
    definitions = [read_definition(folder / f"{name}.json") for name in list_definitions(folder)]
    if not definitions:
        raise DevError(
            f"{folder} contains no table definition",
            "write a CreateTable request as TABLE.json in it",
        )
    return definitions


def read_definition(path: Path) -> Item:
    """One table definition, checked as far as the CreateTable request's shape goes."""
    hint = "write the input of `aws dynamodb create-table --cli-input-json`"
    shown = f"ddb/tables/{path.name}"
    try:
        definition = json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        raise DevError(f"{shown}:{error.lineno}: {error.msg}", hint) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DevError(f"{shown} cannot be read: {type(error).__name__}", hint) from None
    if not isinstance(definition, dict):
        raise DevError(f"{shown} is not a JSON object", hint)
    if problems := shape_problems(definition):
        raise DevError(f"{shown} is not a CreateTable request: {problems}", hint)
    if definition["TableName"] != path.stem:
        raise DevError(
            f"{shown} defines the table {definition['TableName']}", "name the file after its table"
        )
    return definition


def find_table(aws: Aws, name: str) -> Item | None:
    """The table's description, None where there is no such table."""
    client = clients.dynamodb(aws)
    try:
        table: Item = client.describe_table(TableName=name)["Table"]
    except client.exceptions.ResourceNotFoundException:
        return None
    return table


def get_table(aws: Aws, name: str) -> Item:
    """The table's description. Raises NotFoundError where there is no such table."""
    if table := find_table(aws, name):
        return table
    names = list_tables(aws)
    reason, hint = f"there are no tables in {aws}", "./invoke ddb.schema-load"
    if names:
        reason = f"there is no table {name} in {aws}"
        hint = f"{did_you_mean(name, names)}tables: {', '.join(names)}"
    raise clients.not_found(aws, reason, hint, lambda other: find_table(other, name))


def is_ready(aws: Aws, definition: Item) -> bool:
    """Is the table ACTIVE? Raises DevError where it differs from its definition."""
    table = find_table(aws, definition["TableName"])
    if table is None or table["TableStatus"] == "DELETING":
        return False
    if differences := list_differences(definition, table):
        name = definition["TableName"]
        raise DevError(
            f"the table {name} in {aws} differs from ddb/tables/{name}.json:"
            + "".join(f"\n  {difference}" for difference in differences),
            f"./invoke ddb.drop {name} ddb.schema-load ddb.seed"
            " (creates it again; its items are saved for undo)",
        )
    return bool(table["TableStatus"] == "ACTIVE")


def ensure_table(aws: Aws, definition: Item) -> None:
    """Create the table where it is missing, and wait until it is ACTIVE."""
    client = clients.dynamodb(aws)
    request = _create_request(aws, definition)
    deadline = time.monotonic() + ACTIVE_SECONDS
    while not is_ready(aws, definition):
        if time.monotonic() > deadline:
            raise DevError(
                f"the table {definition['TableName']} is not ACTIVE after {ACTIVE_SECONDS:.0f} s",
                "./invoke ddb.schema-load (waits again)",
            )
        try:
            if find_table(aws, definition["TableName"]) is None:
                client.create_table(**request)
                continue
        except client.exceptions.ResourceInUseException:  # another process was faster
            pass
        except client.exceptions.LimitExceededException:  # too many are being created at a time
            pass
        except client.exceptions.ClientError as error:
            name, reason = definition["TableName"], error.response["Error"].get("Message")
            kind = InvalidDataError if _is_invalid(error) else DevError
            raise kind(
                f"{aws} refuses ddb/tables/{name}.json: {reason}", "correct that file"
            ) from None
        time.sleep(0.2)


def list_tags(aws: Aws, definition: Item) -> list[Item]:
    """The tags that a table is made with: its definition's, and our mark on servers of our own."""
    if not aws.keeps_tags:
        return []
    return [*definition.get("Tags", []), *([OWNERSHIP_TAG] if aws.owned else [])]


def _create_request(aws: Aws, definition: Item) -> Item:
    rest = {name: value for name, value in definition.items() if name != "Tags"}
    tags = list_tags(aws, definition)
    return rest | ({"Tags": tags} if tags else {})


def list_differences(definition: Item, table: Item) -> list[str]:
    """How a table's keys and indexes differ from its definition, a line each."""
    wanted, found = _structure(definition), _structure(table)
    return [
        f"{part}: {found.get(part, 'missing')}, wanted: {wanted.get(part, 'none')}"
        for part in sorted(wanted.keys() | found.keys())
        if wanted.get(part) != found.get(part)
    ]


def list_tables(aws: Aws) -> list[str]:
    """The names of all tables."""
    pages = clients.dynamodb(aws).get_paginator("list_tables").paginate()
    return [name for page in pages for name in page["TableNames"]]


def is_disposable(aws: Aws, table: Item) -> bool:
    """May we delete this table? It is in this checkout's own emulator, and carries our tag.

    Without tags, all tables of a checkout's own server count as created by this tool.
    """
    if not aws.owned or not aws.keeps_tags:
        return aws.owned
    tags = clients.dynamodb(aws).list_tags_of_resource(ResourceArn=table["TableArn"])
    return OWNERSHIP_TAG in tags["Tags"]


def find_loss(aws: Aws, name: str) -> Loss | None:
    """What deleting the table would lose that this tool did not create; None if nothing."""
    table = get_table(aws, name)
    if is_disposable(aws, table):
        return None
    size = f"about {count(table['ItemCount'], 'item')}, {count(table['TableSizeBytes'], 'byte')}"
    return Loss(name, [f"the table {table['TableArn']}", size, "a backup is made first"])


def check_disposable(aws: Aws, table: Item, confirmed: str) -> bool:
    """Is the table disposable? RefusedError for one that is not, unless `confirmed` is its name.

    One with deletion protection is refused all the same.
    """
    if is_disposable(aws, table):
        return True
    deletion.check_protection(aws, table)
    if confirmed == table["TableName"]:
        return False
    raise RefusedError(
        f"the table {table['TableName']} in {aws} was not created here by this tool, so it is not"
        " dropped",
        f"--confirm {table['TableName']}",
    )


def drop_table(aws: Aws, name: str, confirmed: str = "") -> str:
    """Delete a table and wait until it is gone; says what was done.

    Raises RefusedError for one that is not disposable, unless `confirmed` is its name; then a
    backup is made first, and named. The deletion protection of a disposable one is lifted.
    """
    backup = ""
    if not check_disposable(aws, get_table(aws, name), confirmed):
        backup = f", after the backup {_back_up(aws, name)}"
    deletion.delete(aws, name, find_table)
    return f"dropped the table {name} in {aws}{backup}"


def scan(aws: Aws, table: str, limit: int | None = None, **options: Any) -> Iterator[Item]:
    """Every item of a table or index as plain values, page by page, `limit` at most."""
    get_table(aws, table)
    pages = clients.dynamodb(aws).get_paginator("scan")
    paging = {"MaxItems": limit, "PageSize": min(limit, 1000)} if limit else {}
    for page in pages.paginate(TableName=table, PaginationConfig=paging, **options):
        yield from map(from_dynamodb, page["Items"])


def from_dynamodb(item: Item) -> Item:
    """An item as plain Python values; numbers as int or float, sets sorted into lists."""
    return {name: _plain(value) for name, value in item.items()}


def to_dynamodb(item: Item) -> Item:
    """An item of strings in DynamoDB's own form."""
    return {name: {"S": value} for name, value in item.items()}


def _is_invalid(error: Any) -> bool:
    return bool(error.response["Error"]["Code"] == "ValidationException")


def _back_up(aws: Aws, name: str) -> str:
    """Make an on-demand backup of the table and wait until it is whole; its name."""
    client = clients.dynamodb(aws)
    backup = f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    arn = client.create_backup(TableName=name, BackupName=backup)["BackupDetails"]["BackupArn"]
    deadline = time.monotonic() + ACTIVE_SECONDS
    while True:
        description = client.describe_backup(BackupArn=arn)["BackupDescription"]
        if description["BackupDetails"]["BackupStatus"] == "AVAILABLE":
            return backup
        if time.monotonic() > deadline:
            raise RefusedError(
                f"the backup {backup} is not ready, so nothing is dropped", "try again"
            )
        time.sleep(0.2)


def shape_problems(definition: Any) -> str:
    """What botocore's own model of CreateTable finds wrong, on one line; "" for nothing."""
    # After clients has loaded the SDK: threads that load parts of it at once may lock each other.
    shape = clients.input_shape("dynamodb", "CreateTable")
    from botocore.validate import ParamValidator

    report = ParamValidator().validate(definition, shape).generate_report().splitlines()
    # The model lets a replica of a global table omit these; a table needs them.
    missing = [part for part in ("AttributeDefinitions", "KeySchema") if part not in definition]
    return "; ".join([*report, *(f'Missing parameter "{part}"' for part in missing)])


def _structure(table: Item) -> dict[str, str]:
    """The parts that a table cannot change later, in words: its keys, its indexes."""
    types = {part["AttributeName"]: part["AttributeType"] for part in table["AttributeDefinitions"]}

    def keys(schema: list[Item]) -> str:
        names = [f"{key['AttributeName']} ({types.get(key['AttributeName'])})" for key in schema]
        return " + ".join(names)

    parts = {"key": keys(table["KeySchema"])}
    for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
        for index in table.get(kind) or []:
            projection = index["Projection"].get("ProjectionType", "ALL")
            copied = "".join(
                f" {name}" for name in sorted(index["Projection"].get("NonKeyAttributes") or [])
            )
            parts[f"index {index['IndexName']}"] = (
                f"{keys(index['KeySchema'])}, {projection}{copied}"
            )
    return parts


def _plain(value: Item) -> Any:
    # boto3's own TypeDeserializer fails for numbers such as 1e125.
    ((kind, content),) = value.items()
    if kind == "N":
        from decimal import Decimal

        number = Decimal(content)
        return int(number) if number == number.to_integral_value() else float(number)
    if kind in ("SS", "NS", "BS"):
        return sorted(_plain({kind[0]: one}) for one in content)
    if kind == "L":
        return [_plain(part) for part in content]
    if kind == "M":
        return from_dynamodb(content)
    if kind == "NULL":
        return None
    return content.hex() if kind == "B" else content
