"""Writes any number of items into a table: in chunks, each spread over partitions and workers.

Memory holds two chunks at most: one being written, the next being read. A chunk holds a key once
(its last line wins) and is acknowledged to its end before the next one goes out, so the order of
the lines decides between items of one key although a chunk has no order of its own.
"""

import base64
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from decimal import Context, Inexact, InvalidOperation, Overflow, Subnormal
from typing import Any

from scripts.dynamodb import batch_write, json_lines
from scripts.dynamodb.batch_write import Item, Meter, Refused
from scripts.dynamodb.json_lines import Line
from scripts.errors import count
from scripts.targets import Aws

WORKERS = 4
SHARE = 0.9  # of a table's provisioned write capacity; the rest is left to the app
FEWEST, MOST = 100, 10_000  # lines of a chunk
GROWTH = 3  # of a chunk over the one before it: it must be read while that one is written
CHUNK_BYTES = 16_000_000
CHUNK_SECONDS = 3.0  # what a chunk should take, so that a kill loses little

# What DynamoDB stores: 38 digits, from 1e-130 to 9.99e125.
_NUMBERS = Context(38, Emin=-130, Emax=125, traps=[Inexact, InvalidOperation, Overflow, Subnormal])

Key = tuple[str | bytes, ...]


@dataclass(frozen=True)
class Tally:
    """What became of the lines: every one was acknowledged, replaced by a later one, or rejected.

    `lines` counts all lines that were read, also empty ones: a load goes on after them.
    """

    lines: int = 0
    acknowledged: int = 0
    replaced: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class Rejected:
    """A line that could not be written, and why."""

    line: Line
    reason: str


@dataclass
class _Chunk:
    lines: dict[Key, Line] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    replaced: int = 0
    count: int = 0
    size: int = 0
    first_done: float = 0.0
    last: Line | None = None
    pending: list["Future[list[Refused]]"] = field(default_factory=list)
    begun: float = 0.0


def find_meter(aws: Aws, table: Item, rate: int | None) -> Meter | None:
    """Keeps writes under `rate` units a second, else under a share of the table's capacity.

    None, no limit, for a table on demand and for an emulator on this machine.
    """
    resources = {"": table} | {i["IndexName"]: i for i in table.get("GlobalSecondaryIndexes", [])}
    if rate:
        return Meter(dict.fromkeys(resources, float(rate)))
    rates = {
        name: SHARE * resource.get("ProvisionedThroughput", {}).get("WriteCapacityUnits", 0)
        for name, resource in resources.items()
    }
    if aws.owned or not all(rates.values()):
        return None
    return Meter(rates)


class Writer:
    """One load into one table: `tally` tells at any time how far it is."""

    def __init__(self, aws: Aws, table: Item, meter: Meter | None, tally: Tally) -> None:
        """`table` is its description; `tally` what was done before."""
        self.tally = tally
        self._aws, self._name, self._meter = aws, table["TableName"], meter
        self._keys = list_keys(table)
        self._most = FEWEST
        self._acknowledged = tally.acknowledged
        self._lock = threading.Lock()

    def run(
        self,
        lines: Iterable[Line],
        save: Callable[[Tally, Sequence[Rejected]], None],
        show: Callable[[int, float], None],
    ) -> Tally:
        """Write every line, and say what became of them.

        `save` is told after each chunk, when all of it is acknowledged; `show` now and then: items
        acknowledged, and the share of the work. Raises StuckError when nothing more is taken.
        """
        try:
            self._feed(lines, save, show)
        except batch_write.StuckError as error:
            raise batch_write.StuckError(
                f"{error.reason}; acknowledged: {count(self._acknowledged, 'item')}", error.hint
            ) from None
        return self.tally

    def _feed(
        self,
        lines: Iterable[Line],
        save: Callable[[Tally, Sequence[Rejected]], None],
        show: Callable[[int, float], None],
    ) -> None:
        """Read and pack a chunk while the one before it is written, so that no worker waits."""
        pool = ThreadPoolExecutor(WORKERS)
        running: _Chunk | None = None
        try:
            for chunk in self._chunks(lines):
                packed = list(pack(chunk.lines))
                if running:
                    self._finish(running, show)
                self._start(pool, chunk, packed)
                if running:
                    save(self.tally, running.rejected)
                running = chunk
            if running:
                self._finish(running, show)
                save(self.tally, running.rejected)
        finally:
            pool.shutdown(cancel_futures=True)  # what is under way still counts

    def _chunks(self, lines: Iterable[Line]) -> Iterator[_Chunk]:
        chunk = _Chunk()
        for line in lines:
            self._add(chunk, line)
            if chunk.count >= self._most or chunk.size > CHUNK_BYTES:
                yield chunk
                chunk = _Chunk()
        if chunk.last:
            yield chunk

    def _add(self, chunk: _Chunk, line: Line) -> None:
        if not chunk.last:
            chunk.first_done = line.done
        chunk.last = line
        chunk.count += 1
        chunk.size += len(line.text)
        try:
            key = self._key(json_lines.parse(line.text))
        except ValueError as error:
            chunk.rejected.append(Rejected(line, str(error)))
            return
        chunk.replaced += key in chunk.lines
        chunk.lines[key] = line

    def _key(self, item: Item) -> Key:
        return find_key(item, self._keys)

    def _start(self, pool: ThreadPoolExecutor, chunk: _Chunk, packed: list[list[bytes]]) -> None:
        chunk.begun = time.monotonic()
        chunk.pending = [pool.submit(self._write, batch) for batch in packed]

    def _write(self, texts: list[bytes]) -> list[Refused]:
        return batch_write.write(self._aws, self._name, texts, self._count, self._meter)

    def _count(self, number: int) -> None:
        with self._lock:
            self._acknowledged += number

    def _finish(self, chunk: _Chunk, show: Callable[[int, float], None]) -> None:
        """Wait until the chunk is acknowledged to its end, and count it."""
        assert chunk.last  # noqa: S101 - no chunk is empty
        left = set(chunk.pending)
        first, last, count = chunk.first_done, chunk.last.done, len(left)
        while left:
            done, left = wait(left, timeout=0.2, return_when=FIRST_EXCEPTION)
            for future in done:
                self._reject(chunk, future.result())
            show(self._acknowledged, last - (last - first) * len(left) / count)
        seconds = time.monotonic() - chunk.begun
        growth = min(GROWTH, CHUNK_SECONDS / seconds)
        self._most = int(min(MOST, max(FEWEST, chunk.count * growth)))
        before = self.tally
        self.tally = replace(
            before,
            lines=chunk.last.ordinal,
            acknowledged=self._acknowledged,
            replaced=before.replaced + chunk.replaced,
            rejected=before.rejected + len(chunk.rejected),
        )
        chunk.rejected.sort(key=lambda one: one.line.ordinal)

    def _reject(self, chunk: _Chunk, refused: Sequence[Refused]) -> None:
        for one in refused:
            line = chunk.lines[self._key(json_lines.parse(one.text))]
            chunk.rejected.append(Rejected(line, one.reason))


def pack(lines: dict[Key, Line]) -> Iterator[list[bytes]]:
    """Batches that take one item of each partition in turn, so that none is hammered in file order.

    A line that may be over the limit of an item travels alone: so a batch stays under 16 MB.
    """
    turns: Counter[object] = Counter()
    order = []
    for key, line in lines.items():
        turns[key[0]] += 1
        order.append((turns[key[0]], line))
    order.sort(key=lambda pair: pair[0])
    batch: list[bytes] = []
    for _, line in order:
        text = line.text.strip()
        if len(text) > json_lines.LARGEST_ITEM:
            yield [text]
            continue
        batch.append(text)
        if len(batch) == batch_write.MOST_ITEMS:
            yield batch
            batch = []
    if batch:
        yield batch


def list_keys(table: Item) -> list[tuple[str, str]]:
    """The key attributes of a table, or of a CreateTable request, each with its type."""
    types = {part["AttributeName"]: part["AttributeType"] for part in table["AttributeDefinitions"]}
    return [(key["AttributeName"], types[key["AttributeName"]]) for key in table["KeySchema"]]


def find_key(item: Item, keys: Sequence[tuple[str, str]]) -> Key:
    """The item's key as boto3 returns it, so equal keys are equal. ValueError if it has none."""
    return tuple(_key_value(item, name, kind) for name, kind in keys)


def normalize_number(text: str) -> str:
    """A number as DynamoDB returns it: 100 for 1e2 and 100.0. ArithmeticError if it stores none."""
    value = _NUMBERS.plus(_NUMBERS.create_decimal(text))  # of "-0", plus makes 0
    if not value.is_finite():
        raise ArithmeticError(text)
    return f"{value.normalize(_NUMBERS):f}"


def _key_value(item: Item, name: str, kind: str) -> str | bytes:
    """The value of a key attribute, as boto3 sends and returns it."""
    attribute: Any = item.get(name)
    value = attribute.get(kind) if isinstance(attribute, dict) else None
    if not isinstance(value, str):
        raise ValueError(f"the item has no key {name} ({kind})")
    if kind == "S":
        return value
    try:
        return normalize_number(value) if kind == "N" else base64.b64decode(value, validate=True)
    except ArithmeticError:
        raise ValueError(f"the key {name} is not a number of DynamoDB: {value[:80]}") from None
    except ValueError:
        raise ValueError(f"the key {name} is not base64: {value[:80]}") from None
