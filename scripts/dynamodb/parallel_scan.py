"""Reads a whole table, several segments at once."""

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any

from scripts import clients
from scripts.dynamodb import batch_write
from scripts.errors import DevError
from scripts.targets import Aws

SEGMENTS = 4

Item = dict[str, Any]


def scan(aws: Aws, table: str) -> Iterator[Item]:
    """Every item in DynamoDB's own form, in no order; memory holds a page of each segment."""
    first = [{"Segment": number, "TotalSegments": SEGMENTS} for number in range(SEGMENTS)]
    with ThreadPoolExecutor(SEGMENTS) as pool:
        left = {pool.submit(_read_page, aws, table, request) for request in first}
        while left:
            done, left = wait(left, return_when=FIRST_COMPLETED)
            for future in done:
                items, following = future.result()
                if following:
                    left.add(pool.submit(_read_page, aws, table, following))
                yield from items


def _read_page(aws: Aws, table: str, request: Item) -> tuple[list[Item], Item | None]:
    """One page, and the request for the one that follows it."""
    client = clients.dynamodb(aws)
    for tries in range(batch_write.PATIENCE):
        try:
            page = client.scan(TableName=table, **request)
        except client.exceptions.ClientError as error:
            if not batch_write.is_throttle(error):
                raise
            batch_write.pause(tries)
            continue
        last = page.get("LastEvaluatedKey")
        return page["Items"], request | {"ExclusiveStartKey": last} if last else None
    raise DevError(
        f"{table} returned no page in {batch_write.PATIENCE} tries",
        "raise the table's read capacity",
    )
