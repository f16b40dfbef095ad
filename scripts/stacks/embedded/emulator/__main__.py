"""The embedded AWS emulator's program: ministack behind a gate, its data safe from a kill.

Ministack writes its state when it is stopped, and only then. Here nothing is answered before it is
written: what a request does to items goes into a log, and so does a new user of a pool; the rest of
a service's state, which is small and changes rarely, is written anew. Of our code it uses only its
own folder, so it starts as fast as ministack alone.
"""

import json
import logging
import os
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

from ministack import app
from ministack.core import persistence, responses
from ministack.core.responses import AccountRegionScopedDict, get_account_id
from ministack.services import dynamodb

from scripts.stacks.embedded.emulator import gate, pool_users, values
from scripts.stacks.embedded.emulator.item_log import Change, ItemLog, damaged
from scripts.stacks.embedded.emulator.signature import Key

STATE = Path(persistence.STATE_DIR)

SAVED = ("cognito-idp", "dynamodb", "ec2", "s3")
ITEM_ACTIONS = {
    *("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"),
    *("ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction", "TransactGetItems"),
    *pool_users.ACTIONS,  # the users of a pool are items to us
}
# Some only seem to read: who asks for an import moves it on.
READ = re.compile(r"(Admin|Batch)?(Get(?!Tokens)|List|Query|Scan|Describe(?!Import|Export))")

# What botocore's models say about the form of an answer.
_MODELS = {
    "cognito-idp": {"protocol": "json", "jsonVersion": "1.1"},
    "dynamodb": {"protocol": "json", "jsonVersion": "1.0"},
    "ec2": {"protocol": "ec2"},
    "s3": {"protocol": "rest-xml"},
    "sts": {"protocol": "query"},
}

Table = dict[str, Any]


def check_states() -> None:
    """End the program where a state is damaged: ministack would go on without, and overwrite it."""
    logging.getLogger("persistence").setLevel(logging.WARNING)
    for name in sorted(app._state_map):
        path = STATE / f"{name}.json"
        if not path.exists():
            continue
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
    if "TableId" not in table:  # CloudFormation made them without, when it was enabled
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
        alone = any(table["items"] or "TableId" not in table for table in tables)
        normalized = STATE / "normalized"
        for table in tables:
            if identify(table) in log.items:
                table["items"] = log.items[identify(table)]
            if not normalized.exists():
                values.normalize_table(table)
            items_replaced(table)
        log.items = {}
        if alone or not normalized.exists():  # what ministack alone or an earlier version wrote
            log.rewrite()
            save("dynamodb")
        normalized.touch()

    dynamodb.get_state, dynamodb.load_persisted_state = (
        get_state_without_items,
        load_state_with_items,
    )


def answer_when_written(service: str, log: ItemLog) -> None:
    """Have a service answer once the log is written, and its state where that may have changed."""
    handler = app.SERVICE_HANDLERS[service]
    module = app.SERVICE_REGISTRY[service]["module"]

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, *rest: Any
    ) -> Any:
        answer = await handler(method, path, headers, body, *rest)
        log.write()
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        of_items = action in ITEM_ACTIONS and (
            action != pool_users.SIGN_IN or pool_users.is_plain(body, answer[2])
        )
        if not (method in {"GET", "HEAD"} or of_items or READ.match(action)):
            save(module)
        return answer

    app.SERVICE_HANDLERS[service] = handle


def import_less() -> None:
    """Have ministack answer its first request without importing API Gateway and botocore.

    They take as long as ministack itself: API Gateway for custom domains, which do not exist
    here, and botocore for the Content-Type of an answer.
    """
    models = {name: SimpleNamespace(metadata=model) for name, model in _MODELS.items()}
    app._resolve_custom_domain_request = lambda host, path: None
    responses._service_model = models.get


def main() -> None:
    """Serve until SIGTERM."""
    STATE.mkdir(mode=0o700, exist_ok=True)
    modules = {app.SERVICE_REGISTRY[service]["module"] for service in SAVED}
    app._state_map = {module: module for module in modules}  # what others left stays as it is
    check_states()
    log = ItemLog(STATE / "items.log", list_live)
    values.normalize_requests()
    keep_items_in(log)
    log_changes(log)
    users = ItemLog(STATE / "users.log", pool_users.list_users)
    pool_users.keep_users_in(users)
    pool_users.check_callers(users)
    for service in SAVED:
        answer_when_written(service, users if service == "cognito-idp" else log)
    import_less()
    key = Key(Path(os.environ["EMULATOR_KEY_FILE"]))
    app.app = gate.guard(app.app, key, int(os.environ["GATEWAY_PORT"]))
    app.main()


if __name__ == "__main__":
    main()
