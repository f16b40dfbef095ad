"""Puts in batches: paced, and sent again until DynamoDB has acknowledged every item.

The one place that resends. What DynamoDB did not take (UnprocessedItems, throttles) goes out again
after a pause that doubles, is capped and jittered.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts import clients
from scripts.dynamodb import json_lines
from scripts.errors import DevError, count
from scripts.targets import Aws

MOST_ITEMS = 25
PATIENCE = 12  # attempts in a row that get nothing written before we give up
LONGEST_PAUSE = 8.0
UNIT = 1024  # bytes of an item that one unit of write capacity pays for

Item = dict[str, Any]
_THROTTLED = (
    "InternalServerError",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
)
_INVALID = (
    "ItemCollectionSizeLimitExceededException",
    "SerializationException",
    "ValidationException",
)


@dataclass(frozen=True)
class Refused:
    """An item, as its line of text, that DynamoDB will never take, and why."""

    text: bytes
    reason: str


class StuckError(DevError):
    """DynamoDB takes nothing more; what was acknowledged until then was counted."""


class Meter:
    """Keeps the write units of a table and of each of its indexes under a rate a second.

    A write waits for its estimated units, and is charged what it really consumed afterwards.
    """

    def __init__(self, rates: Mapping[str, float]) -> None:
        """`rates` by resource: "" is the table, the others are its indexes."""
        self._rates = dict(rates)
        self._balances = dict(rates)  # a second's worth may go out at once
        self._at = time.monotonic()
        self._lock = threading.Lock()

    def __str__(self) -> str:
        indexes = [f", {rate:g} in {name}" for name, rate in self._rates.items() if name]
        return f"{self._rates['']:g} write units a second{''.join(indexes)}"

    def wait(self, units: float) -> None:
        """Take the units of a write from every balance; wait until they have been earned."""
        with self._lock:
            now = time.monotonic()
            seconds, self._at = now - self._at, now
            for name, rate in self._rates.items():
                earned = self._balances[name] + rate * seconds
                self._balances[name] = min(rate, earned) - units
            debt = max(-self._balances[name] / rate for name, rate in self._rates.items())
        if debt > 0:
            time.sleep(debt)

    def settle(self, estimated: float, consumed: Sequence[Item]) -> None:
        """Replace the estimate by what DynamoDB says that a write consumed, where it says so."""
        with self._lock:
            for report in consumed:
                parts = {"": report.get("Table"), **report.get("GlobalSecondaryIndexes", {})}
                for name in self._rates:
                    units = (parts.get(name) or {}).get("CapacityUnits", 0.0)
                    self._balances[name] += estimated - units


def write_items(aws: Aws, table: str, items: Sequence[Item]) -> int:
    """Put items of DynamoDB's own form, one batch after another; how many were acknowledged.

    Raises DevError with the count where one is refused, or when DynamoDB takes nothing more.
    """
    written = 0

    def add(number: int) -> None:
        nonlocal written
        written += number

    texts = list(map(json_lines.to_line, items))
    for start in range(0, len(texts), MOST_ITEMS):
        try:
            refused = write(aws, table, texts[start : start + MOST_ITEMS], add)
        except StuckError as error:
            raise DevError(
                f"{table} accepted {written} of {count(len(items), 'item')},"
                f" then none in {PATIENCE} tries",
                error.hint,
            ) from None
        if refused:
            raise DevError(
                f"{table} accepted {written} of {count(len(items), 'item')}, and refuses"
                f" {refused[0].text.decode()}: {refused[0].reason}",
                "correct the item",
            )
    return written


def write(
    aws: Aws,
    table: str,
    texts: Sequence[bytes],
    acknowledged: Callable[[int], None],
    meter: Meter | None = None,
) -> list[Refused]:
    """Put one batch of lines (`{"Item": {...}}`, of different keys) to the end; those refused.

    `acknowledged` is told how many items were taken, as they are. A batch that is refused for an
    item of it is halved, until that item is alone. Raises StuckError when nothing more is taken.
    """
    left = list(texts)
    tries = 0
    while left:
        try:
            unprocessed = _send(aws, table, left, meter)
        except _InvalidError as error:
            if len(left) == 1:
                return [Refused(left[0], str(error))]
            halves = left[: len(left) // 2], left[len(left) // 2 :]
            return [one for half in halves for one in write(aws, table, half, acknowledged, meter)]
        if len(unprocessed) < len(left):
            acknowledged(len(left) - len(unprocessed))
            tries = 0
        else:
            tries += 1
        left = unprocessed
        if tries == PATIENCE:
            raise StuckError(
                f"{table} accepted none of {count(len(left), 'item')} in {PATIENCE} tries",
                "raise the table's write capacity",
            )
        if left:
            pause(tries)
    return []


def pause(tries: int) -> None:
    """Wait before an attempt after so many that got nothing done."""
    time.sleep(random.uniform(0, min(LONGEST_PAUSE, 0.05 * 2**tries)))  # noqa: S311


def is_throttle(error: Any) -> bool:
    """Does this botocore ClientError say: later, please?"""
    return error.response["Error"]["Code"] in _THROTTLED


class _InvalidError(Exception):
    """The batch was refused for what is in it."""


def _send(aws: Aws, table: str, texts: list[bytes], meter: Meter | None) -> list[bytes]:
    """Send one batch; the lines that were not taken."""
    client = clients.dynamodb(aws)
    units = sum(-(-len(text) // UNIT) for text in texts) if meter else 0
    if meter:
        meter.wait(units)
    try:
        answer = client.batch_write_item(
            RequestItems={table: [b'{"PutRequest":%b}' % text for text in texts]},
            ReturnConsumedCapacity="INDEXES" if meter else "NONE",
        )
    except client.exceptions.ClientError as error:
        code, reason = error.response["Error"]["Code"], error.response["Error"].get("Message")
        if is_throttle(error):
            return texts
        if code in _INVALID:
            raise _InvalidError(reason) from None
        raise DevError(f"{aws} does not accept items in {table}: {code}: {reason}") from None
    if meter:
        meter.settle(units, answer.get("ConsumedCapacity", []))
    left = answer.get("UnprocessedItems", {}).get(table, [])
    return [json_lines.to_line(request["PutRequest"]["Item"]) for request in left]
