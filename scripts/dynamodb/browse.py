"""What DynamoDB's tables contain, for people who look at it: keys, indexes, items in pages."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scripts import clients
from scripts.dynamodb import bulk_load, tables
from scripts.dynamodb.tables import Item
from scripts.errors import InvalidError
from scripts.targets import Aws

MOST_EMPTY_PAGES = 20  # in a row: a page may have no item although more follow

OPERATORS = {
    "is": "#sort = :low",
    "begins with": "begins_with(#sort, :low)",
    "less than": "#sort < :low",
    "at most": "#sort <= :low",
    "greater than": "#sort > :low",
    "at least": "#sort >= :low",
    "between": "#sort BETWEEN :low AND :high",
}


@dataclass(frozen=True)
class Attribute:
    """A key attribute and its type: S, N or B."""

    name: str
    kind: str


@dataclass(frozen=True)
class Index:
    """A table (its name is "") or an index of it: how items are found there."""

    name: str
    kind: str
    partition: Attribute
    sort: Attribute | None
    projection: str
    items: int | None


@dataclass(frozen=True)
class Table:
    """A table; the first of `indexes` is the table itself. `items` and `size` may be hours old."""

    name: str
    status: str
    items: int
    size: int
    indexes: list[Index]

    @property
    def key(self) -> list[Attribute]:
        """The attributes that identify an item."""
        own = self.indexes[0]
        return [own.partition, *([own.sort] if own.sort else [])]


@dataclass(frozen=True)
class Search:
    """What to read: all items of an index, or with `partition` those of one key.

    `low` and `high` belong to `operator`, one of OPERATORS; "" asks nothing of the sort key.
    """

    index: str = ""
    partition: str = ""
    operator: str = ""
    low: str = ""
    high: str = ""
    newest_first: bool = False
    size: int = 50


@dataclass(frozen=True)
class Page:
    """Items in DynamoDB's own form, and the key to continue after, None at the end."""

    items: list[Item]
    last: Item | None
    units: float


def list_tables(aws: Aws) -> list[Table]:
    """Every table, by name."""
    found = [tables.find_table(aws, name) for name in tables.list_tables(aws)]
    return [_to_table(table) for table in found if table]


def find_table(aws: Aws, name: str) -> Table | None:
    """One table, None if no table has this name."""
    found = tables.find_table(aws, name)
    return _to_table(found) if found else None


def read_page(aws: Aws, table: Table, search: Search, after: Item | None = None) -> Page:
    """A page of items. Raises InvalidError for a value or a key that DynamoDB refuses."""
    request = _request(table, search)
    client = clients.dynamodb(aws)
    read = client.query if search.partition else client.scan
    units = 0.0
    for _ in range(MOST_EMPTY_PAGES):
        if after:
            request["ExclusiveStartKey"] = after
        try:
            answer = read(**request)
        except client.exceptions.ClientError as error:
            raise InvalidError(error.response["Error"].get("Message", str(error))) from None
        units += answer.get("ConsumedCapacity", {}).get("CapacityUnits", 0.0)
        after = answer.get("LastEvaluatedKey")
        if answer["Items"] or not after:
            break
    return Page(answer["Items"], after, units)


def find_item(aws: Aws, table: Table, key: Item) -> Item | None:
    """One item in DynamoDB's own form. Raises InvalidError for a key that is not the table's."""
    client = clients.dynamodb(aws)
    try:
        item: Item | None = client.get_item(TableName=table.name, Key=key).get("Item")
    except client.exceptions.ClientError as error:
        raise InvalidError(error.response["Error"].get("Message", str(error))) from None
    return item


def to_json(item: Item, indent: int | None = None) -> str:
    """An item of DynamoDB's own form as text; binary values in base64, as AWS writes them."""
    return json.dumps(item, indent=indent, ensure_ascii=False, default=_base64)


def from_json(text: str) -> Item:
    """A key in DynamoDB's own form, as to_json wrote it. Raises InvalidError for other text."""
    try:
        value = json.loads(text)
        if isinstance(value, dict) and value:
            return {name: _typed(**part) for name, part in value.items()}
    except (ValueError, ArithmeticError, TypeError, RecursionError):
        pass
    raise InvalidError(f"{text[:80]} is not a key in DynamoDB JSON", 'write {"pk": {"S": "x"}}')


def to_plain(value: Mapping[str, Any]) -> str:
    """A typed value as it is read: a text itself, anything else as JSON."""
    ((kind, content),) = value.items()
    if kind in ("S", "N"):
        return str(content)
    plain = tables.from_dynamodb({"value": dict(value)})["value"]
    return json.dumps(plain, ensure_ascii=False)


def _request(table: Table, search: Search) -> dict[str, Any]:
    index = next((one for one in table.indexes if one.name == search.index), None)
    if not index:
        raise InvalidError(f"the table {table.name} has no index {search.index}")
    request: dict[str, Any] = {
        "TableName": table.name,
        "Limit": search.size,
        "ReturnConsumedCapacity": "TOTAL",
        **({"IndexName": index.name} if index.name else {}),
    }
    if not search.partition:
        return request
    names = {"#partition": index.partition.name}
    values = {":partition": _of_text(index.partition, search.partition)}
    conditions = ["#partition = :partition"]
    if search.operator and index.sort and search.low:
        if search.operator not in OPERATORS:
            raise InvalidError(
                f"{search.operator} is not a condition", f"use {', '.join(OPERATORS)}"
            )
        conditions.append(OPERATORS[search.operator])
        names["#sort"] = index.sort.name
        values[":low"] = _of_text(index.sort, search.low)
        if search.operator == "between":
            values[":high"] = _of_text(index.sort, search.high)
    return request | {
        "KeyConditionExpression": " AND ".join(conditions),
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
        "ScanIndexForward": not search.newest_first,
    }


def _of_text(attribute: Attribute, text: str) -> dict[str, Any]:
    """A typed value from what was typed; a binary one in base64."""
    try:
        return _typed(**{attribute.kind: text})
    except (ValueError, ArithmeticError):
        form = "a number" if attribute.kind == "N" else "base64"
        raise InvalidError(f"{attribute.name}: {text} is not {form}") from None


def _typed(**part: Any) -> dict[str, Any]:
    """A key's value of one type. Raises ValueError, ArithmeticError or TypeError for another."""
    ((kind, content),) = part.items()
    if kind not in ("S", "N", "B") or not isinstance(content, str):
        raise ValueError(kind)
    if kind == "N":
        return {kind: bulk_load.normalize_number(content)}
    return {kind: base64.b64decode(content, validate=True) if kind == "B" else content}


def _base64(value: Any) -> str:
    return base64.b64encode(bytes(value)).decode()


def _to_table(description: Item) -> Table:
    kinds = {
        part["AttributeName"]: part["AttributeType"] for part in description["AttributeDefinitions"]
    }
    name = description["TableName"]
    indexes = [_to_index(kinds, description, "", "table")]
    for parts, kind in (("Global", "global index"), ("Local", "local index")):
        for index in description.get(f"{parts}SecondaryIndexes") or []:
            indexes.append(_to_index(kinds, index, index["IndexName"], kind))
    return Table(
        name,
        description["TableStatus"],
        description.get("ItemCount", 0),
        description.get("TableSizeBytes", 0),
        indexes,
    )


def _to_index(kinds: Mapping[str, str], part: Item, name: str, kind: str) -> Index:
    keys = {key["KeyType"]: key["AttributeName"] for key in part["KeySchema"]}
    sort = keys.get("RANGE")
    projection = part.get("Projection", {})
    copied = ", ".join(projection.get("NonKeyAttributes") or [])
    shown = projection.get("ProjectionType", "ALL")
    return Index(
        name,
        kind,
        Attribute(keys["HASH"], kinds[keys["HASH"]]),
        Attribute(sort, kinds[sort]) if sort else None,
        f"{shown}: {copied}" if copied else shown,
        part.get("ItemCount"),
    )
