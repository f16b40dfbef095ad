"""Seeds tables from files of items: writes the items whose keys do not exist yet."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from scripts import clients
from scripts.dynamodb import batch_write, bulk_load, json_lines, tables
from scripts.dynamodb.bulk_load import Rejected, Tally, Writer
from scripts.dynamodb.json_lines import Line
from scripts.dynamodb.tables import Item
from scripts.errors import DevError
from scripts.targets import Aws

ENDINGS = (".jsonl", ".jsonl.gz")
MOST_KEYS = 100  # of one BatchGetItem


def list_files(folder: Path | None) -> dict[str, Path]:
    """The files of a folder by the table they are for: <table>.jsonl or <table>.jsonl.gz."""
    paths = sorted(folder.iterdir()) if folder and folder.is_dir() else []
    return {
        path.name.removesuffix(ending): path
        for path in paths
        for ending in ENDINGS
        if path.name.endswith(ending)
    }


def is_seeded(aws: Aws, table: str, path: Path) -> bool:
    """Does an item exist for every line of the file?"""
    description = tables.get_table(aws, table)
    return next(_list_missing(aws, description, path), None) is None


def seed(aws: Aws, table: str, path: Path, show: Callable[[int, float], None]) -> int:
    """Write the items whose keys do not exist; how many. An existing item is never overwritten.

    Raises DevError with file:line for a line that is no item of the table.
    """
    description = tables.get_table(aws, table)
    meter = bulk_load.find_meter(aws, description, rate=None)
    writer = Writer(aws, description, meter, Tally())
    return writer.run(_list_missing(aws, description, path), _accept, show).acknowledged


def _list_missing(aws: Aws, table: Item, path: Path) -> Iterator[Line]:
    """The lines whose keys do not exist in the table, as it is when they are read."""
    names = [key["AttributeName"] for key in table["KeySchema"]]
    lines = json_lines.read([path])
    while chunk := list(itertools.islice(lines, MOST_KEYS)):
        keys = {repr(key): key for line in chunk for key in [_key(line, names)]}
        found = {repr(key) for key in _find_keys(aws, table["TableName"], list(keys.values()))}
        yield from (line for line in chunk if repr(_key(line, names)) not in found)


def _key(line: Line, names: Sequence[str]) -> Item:
    try:
        item = json_lines.parse(line.text)
        return {name: item[name] for name in names}
    except KeyError as error:
        raise DevError(f"{line.place}: the item has no key {error}", "correct the line") from None
    except ValueError as error:
        raise DevError(f"{line.place}: {error}", "correct the line") from None


def _find_keys(aws: Aws, table: str, keys: list[Item]) -> Iterator[Item]:
    """Those of the keys that exist, in the form in which they were asked for."""
    names = list(keys[0])
    aliases = {f"#k{number}": name for number, name in enumerate(names)}
    request = {"ProjectionExpression": ", ".join(aliases), "ExpressionAttributeNames": aliases}
    left, tries = keys, 0
    while left:
        answer = clients.dynamodb(aws).batch_get_item(
            RequestItems={table: {"Keys": left, "ConsistentRead": True, **request}}
        )
        for item in answer["Responses"].get(table, []):
            yield {name: item[name] for name in names}
        unread = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
        tries = tries + 1 if len(unread) == len(left) else 0
        if tries == batch_write.PATIENCE:
            raise DevError(f"{table} returned no item in {tries} tries", "try again later")
        left = unread
        if left:
            batch_write.pause(tries)


def _accept(tally: Tally, rejected: Sequence[Rejected]) -> None:
    for one in rejected:
        raise DevError(f"{one.line.place} is refused: {one.reason}", "correct the line")
