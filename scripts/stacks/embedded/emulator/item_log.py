"""The log of the emulator's items: every change is a line of it before it is answered."""

import json
import logging
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

LOG_BYTES = 16_000_000  # a longer log is shortened if much of it is obsolete

Items = dict[str, dict[str, Any]]  # by partition key and sort key
Change = list[Any]

logger = logging.getLogger("durable")


class ItemLog:
    """Every change of an item, in order; a line of JSON for what one request changed.

    A change is [table's id, partition key, sort key, item], None for an item that is gone; or the
    table's id alone, when the table was emptied. Applied twice, the changes give the same again.
    A line that a kill cut off was never answered, and counts as not written.
    """

    def __init__(self, path: Path, live: Callable[[], Iterator[list[Change]]]) -> None:
        self.lock = threading.RLock()  # imports, expiries and Cognito have threads of their own
        self._path, self._live = path, live
        self._pending: list[Change] = []
        self.items, self._size, self._changes = read(path)
        self._most = max(LOG_BYTES, 2 * self._size)
        self._file = path.open("ab", buffering=0)
        self._file.truncate(self._size)

    def add(self, *change: Any) -> None:
        """Take a change, to be written before the next answer."""
        self._pending.append(list(change))

    def write(self) -> None:
        """Write down what was added. Raises OSError; then it is written the next time."""
        with self.lock:
            if self._pending:
                self._append(encode(self._pending))
                self._changes += len(self._pending)
                self._pending = []
        if self._size > self._most:
            self._shorten()

    def rewrite(self) -> None:
        """Start a log that has only what is there, in place of this one."""
        draft = self._path.with_suffix(".draft")
        with self.lock:
            changes = 0
            with draft.open("wb") as file:
                for part in self._live():
                    file.write(encode(part))
                    changes += len(part)
            draft.replace(self._path)
            self._file.close()
            self._file = self._path.open("ab", buffering=0)
            self._pending, self._changes = [], changes
            self._size = self._path.stat().st_size

    def _append(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(self._size)
            raise
        self._size += len(line)

    def _shorten(self) -> None:
        """Start a new log when more than half of this one is of no use any more."""
        try:
            with self.lock:
                needed = sum(len(part) for part in self._live())
            if self._changes > 2 * needed:
                self.rewrite()
        except OSError as error:
            logger.warning("%s could not be shortened: %s", self._path, error)
        self._most = max(LOG_BYTES, 2 * self._size)


def encode(changes: Iterable[Change]) -> bytes:
    """Changes as a line of the log."""
    return json.dumps(changes, check_circular=False).encode() + b"\n"


def read(path: Path) -> tuple[dict[str, Items], int, int]:
    """What a log says: each table's items, its length in bytes, and how many changes it holds.

    Ends the program where a line is damaged.
    """
    tables: dict[str, Items] = defaultdict(lambda: defaultdict(dict))
    size = count = 0
    for line in path.open("rb") if path.exists() else ():
        if not line.endswith(b"\n"):
            break
        try:
            changes = json.loads(line)
        except ValueError as error:
            sys.exit(damaged(path, f"at byte {size}: {error}"))
        for table, *change in changes:
            apply(tables[table], *change)
        size += len(line)
        count += len(changes)
    return tables, size, count


def apply(items: Items, partition: str = "", sort: str = "", item: Any = ...) -> None:
    """Make a change in a table's items."""
    if item is ...:
        items.clear()
    elif item is not None:
        items[partition][sort] = item
    elif partition in items:
        items[partition].pop(sort, None)
        if not items[partition]:
            del items[partition]


def damaged(path: Path, reason: str) -> str:
    """What the log and so `./invoke up` say of a file that cannot be read."""
    return f"{path} is damaged ({reason}); remove it to start without what it held"
