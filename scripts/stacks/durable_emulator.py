"""The program that the embedded AWS emulator runs: ministack, its data safe from a kill.

Ministack writes its state when it is stopped, and only then. Here nothing is answered before it is
written: what a request does to items goes into a log, and the rest of a service's state, which is
small and changes rarely, is written anew. It is run by its path and imports nothing of ours, so it
starts as fast as ministack alone.
"""

import json
import logging
import re
import sys
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

from ministack import app
from ministack.core import persistence
from ministack.core.responses import AccountRegionScopedDict, get_account_id
from ministack.services import dynamodb

STATE = Path(persistence.STATE_DIR)
LOG_BYTES = 16_000_000  # a longer log is looked through for what nobody needs any more

SAVED = ("cognito-identity", "cognito-idp", "dynamodb", "ec2", "s3")
ITEM_ACTIONS = {
    *("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"),
    *("ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction", "TransactGetItems"),
}
# Some only seem to read: who asks for an import moves it on, and who asks for an identity makes it.
READ = re.compile(r"(Admin|Batch)?(Get(?!Id$|OpenId)|List|Query|Scan|Describe(?!Import|Export))")

Table = dict[str, Any]
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
        self.lock = threading.Lock()  # imports and expiries write from threads of their own
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


def check_states() -> None:
    """End the program where a state is damaged: ministack would go on without, and overwrite it."""
    logging.getLogger("persistence").setLevel(logging.WARNING)
    for path in sorted(STATE.glob("*.json")):
        try:
            readable = persistence.load_state(path.stem) is not None
        except ValueError:
            readable = False
        if not readable:
            sys.exit(damaged(path, "no state of this version of ministack"))


def save(service: str) -> None:
    """Write a service's state, whole or not at all, in the form that ministack reads."""
    state = {
        "__ministack_format__": persistence._state_format_version(service),
        "payload": sys.modules[f"ministack.services.{service}"].get_state(),
    }
    draft = STATE / f"{service}.draft"
    draft.write_text(json.dumps(state, default=persistence._json_default), encoding="utf-8")
    draft.replace(STATE / f"{service}.json")


def identify(table: Table) -> str:
    """The id of a table, which no later one of the same name has."""
    if "TableId" not in table:  # CloudFormation makes them without
        table["TableId"] = str(uuid.uuid4())
    return str(table["TableId"])


def list_live() -> Iterator[list[Change]]:
    """The changes that make all items that there are, a partition at a time."""
    for table in dynamodb._tables.all_values():
        for partition, items in table["items"].items():
            yield [[identify(table), partition, sort, item] for sort, item in items.items()]


def log_changes(log: ItemLog) -> None:
    """Have ministack tell the log of every item that it stores, removes or replaces."""
    set_item, remove_item = dynamodb._set_item, dynamodb._remove_item
    items_replaced, create_replica = dynamodb._items_replaced, dynamodb._create_replica

    def set_logged(table: Table, partition: str, sort: str, item: Any) -> Any:
        with log.lock:
            log.add(identify(table), partition, sort, item)
            return set_item(table, partition, sort, item)

    def remove_logged(table: Table, partition: str, sort: str) -> Any:
        with log.lock:
            log.add(identify(table), partition, sort, None)
            return remove_item(table, partition, sort)

    def replaced_logged(table: Table) -> None:
        with log.lock:
            items_replaced(table)
            add_all(table)

    def replica_logged(name: str, table: Table, region: str) -> None:
        with log.lock:
            create_replica(name, table, region)
            add_all(dynamodb._tables.get_scoped(get_account_id(), region, name))

    def add_all(table: Table) -> None:
        log.add(identify(table))
        for partition, items in table["items"].items():
            for sort, item in items.items():
                log.add(identify(table), partition, sort, item)

    dynamodb._set_item, dynamodb._remove_item = set_logged, remove_logged
    dynamodb._items_replaced, dynamodb._create_replica = replaced_logged, replica_logged


def keep_items_in(log: ItemLog) -> None:
    """Keep the items out of DynamoDB's state, and put them back when it is read."""
    get_state, load_state = dynamodb.get_state, dynamodb.load_persisted_state
    items_replaced = dynamodb._items_replaced

    def get_state_without_items() -> Any:
        log.write()
        tables = AccountRegionScopedDict()
        for scope, table in dynamodb._tables.all_items():
            tables.set_scoped(*scope, table | {"items": {}})
        # Ministack's own function, so that nothing is forgotten; but what it gives is written at
        # once and needs no copy, which costs most of the time where there are many tables.
        names = {"_tables": tables, "copy": SimpleNamespace(deepcopy=lambda value: value)}
        return FunctionType(get_state.__code__, vars(dynamodb) | names)()

    def load_state_with_items(state: Any) -> None:
        load_state(state)
        tables = dynamodb._tables.all_values()
        without_log = any(table["items"] for table in tables)
        for table in tables:
            if identify(table) in log.items:
                table["items"] = log.items[identify(table)]
            items_replaced(table)
        log.items = {}
        if without_log:  # written by ministack alone: from now on the items are in the log
            log.rewrite()
            save("dynamodb")

    dynamodb.get_state, dynamodb.load_persisted_state = (
        get_state_without_items,
        load_state_with_items,
    )


def answer_when_written(service: str, log: ItemLog) -> None:
    """Have a service answer once the log is written, and its state where that may have changed."""
    handler = app.SERVICE_HANDLERS[service]
    module = app.SERVICE_REGISTRY[service]["module"]

    async def handle(method: str, path: str, headers: dict[str, str], *rest: Any) -> Any:
        answer = await handler(method, path, headers, *rest)
        log.write()
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if not (method in {"GET", "HEAD"} or action in ITEM_ACTIONS or READ.match(action)):
            save(module)
        return answer

    app.SERVICE_HANDLERS[service] = handle


def main() -> None:
    """Serve until SIGTERM."""
    STATE.mkdir(mode=0o700, exist_ok=True)
    check_states()
    log = ItemLog(STATE / "items.log", list_live)
    keep_items_in(log)
    log_changes(log)
    for service in SAVED:
        answer_when_written(service, log)
    app.main()


if __name__ == "__main__":
    main()
