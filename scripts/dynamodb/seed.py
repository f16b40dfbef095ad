"""Seeds tables from files of items: writes the items whose keys do not exist yet."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from scripts import clients
from scripts.dynamodb import batch_write, bulk_load, json_lines, tables
from scripts.dynamodb.bulk_load import Key, Rejected, Tally, Writer
from scripts.dynamodb.json_lines import Line
from scripts.dynamodb.tables import Item
from scripts.errors import DevError
from scripts.targets import Aws

ENDINGS = (".jsonl", ".jsonl.gz")
MOST_KEYS = 100  # of one BatchGetItem

Keys = Sequence[tuple[str, str]]  # the key attributes, each with its type


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
    keys, lines = bulk_load.list_keys(table), json_lines.read([path])
    while chunk := list(itertools.islice(lines, MOST_KEYS)):
        wanted = [_find_key(line, keys) for line in chunk]
        found = set(_find_existing(aws, table["TableName"], keys, wanted, path))
        yield from (line for line, key in zip(chunk, wanted, strict=True) if key not in found)


def _find_key(line: Line, keys: Keys) -> Key:
    try:
        return bulk_load.find_key(json_lines.parse(line.text), keys)
    except ValueError as error:
        raise DevError(f"{line.place}: {error}", "correct the line") from None


def _find_existing(
    aws: Aws, table: str, keys: Keys, wanted: Sequence[Key], path: Path
) -> Iterator[Key]:
    """Those of the wanted keys that exist."""
    aliases = {f"#k{number}": name for number, (name, _) in enumerate(keys)}
    request = {"ProjectionExpression": ", ".join(aliases), "ExpressionAttributeNames": aliases}
    left, tries = [], 0
    for key in dict.fromkeys(wanted):
        left.append({name: {kind: value} for value, (name, kind) in zip(key, keys, strict=True)})
    while left:
        answer = _get({table: {"Keys": left, "ConsistentRead": True, **request}}, aws, path)
        for item in answer["Responses"].get(table, []):
            yield tuple(item[name][kind] for name, kind in keys)
        unread = answer["UnprocessedKeys"].get(table, {}).get("Keys", [])
        tries = tries + 1 if len(unread) == len(left) else 0
        if tries == batch_write.PATIENCE:
            raise DevError(f"{table} returned no item in {tries} tries", "try again later")
        left = unread
        if left:
            batch_write.pause(tries)


def _get(request: Item, aws: Aws, path: Path) -> Any:
    """The answer of BatchGetItem, in which nothing was read where it is refused for its rate."""
    client = clients.dynamodb(aws)
    try:
        return {"UnprocessedKeys": {}} | client.batch_get_item(RequestItems=request)
    except client.exceptions.ClientError as error:
        if batch_write.is_throttle(error):
            return {"Responses": {}, "UnprocessedKeys": request}
        if error.response["Error"]["Code"] != "ValidationException":
            raise
        reason = error.response["Error"]["Message"]
        raise DevError(f"{path}: a key is refused: {reason}", "correct the line") from None


def _accept(tally: Tally, rejected: Sequence[Rejected]) -> None:
    for one in rejected:
        raise DevError(f"{one.line.place} is refused: {one.reason}", "correct the line")
