"""Reset, drop, undo: what is there now is kept, and comes back whole."""

import json
import re
import threading
from collections.abc import Callable

import psycopg2
import pytest

from scripts import clients, stacks
from scripts.cruddur import messages
from scripts.doctor import examine
from scripts.dynamodb import parallel_scan, tables
from scripts.engine import pipeline
from scripts.engine.pipeline import FailedError, Step
from scripts.environment import journal, recovery, reset, setup, snapshots, transaction
from scripts.errors import DevError, NotFoundError, RefusedError
from scripts.postgres import copies, databases
from scripts.settings import Settings
from tests.conftest import Checkout
from tests.contents import content, is_linked, run, without_ids, without_times

TABLE = messages.TABLE


CHANGES: dict[str, Callable[[Settings], list[Step]]] = {
    "reset": reset.reset,
    "db.reset": reset.db_reset,
    "db.drop": reset.db_drop,
    "ddb.drop": lambda settings: reset.ddb_drop(settings, TABLE),
}


@pytest.mark.parametrize("command", CHANGES)
def test_undo_brings_everything_back_and_undo_again_goes_forward(
    lived_in: Settings, command: str
) -> None:
    before = content(lived_in)
    run(CHANGES[command](lived_in))
    after = content(lived_in)
    assert after != before
    for expected in (before, after, before):
        run(reset.undo(lived_in))
        now = content(lived_in)
        if command == "reset":  # a user who went and comes back is a new one to Cognito
            now["users"], expected["users"] = map(without_ids, (now["users"], expected["users"]))
        assert now == expected
    assert is_linked(lived_in)


def test_a_reset_environment_is_that_of_a_fresh_clone(lived_in: Settings) -> None:
    run(reset.reset(lived_in))
    held = content(lived_in)
    assert [user.handle for user in held["users"]] == ["korney", "smirnov"]
    assert [message for _, _, message in held["activities"]] != ["changed"]
    assert len(held[TABLE]) == 122
    assert len(held["pool"]) == 2
    assert is_linked(lived_in)


def test_a_reset_begins_from_nothing_too(environment: Settings) -> None:
    transaction.erase(environment)
    run(reset.reset(environment))
    assert len(content(environment)[TABLE]) == 122
    run(reset.undo(environment))
    held = content(environment)
    assert held == {"users": None, "activities": None, "pool": []}


def test_nothing_to_undo_says_what_undo_is_for(environment: Settings) -> None:
    transaction.erase(environment)
    with pytest.raises(NotFoundError) as error:
        reset.undo(environment)
    assert error.value.reason == "there is nothing to undo"
    assert error.value.hint == (
        "undo reverts db.drop, db.reset, ddb.drop, reset and snapshot.restore"
    )


def test_a_table_that_is_dropped_keeps_its_structure_for_undo(lived_in: Settings) -> None:
    aws = stacks.get_aws(lived_in)
    definition = {
        "TableName": "orders",
        "KeySchema": [
            {"AttributeName": "id", "KeyType": "HASH"},
            {"AttributeName": "at", "KeyType": "RANGE"},
        ],
        "AttributeDefinitions": [
            {"AttributeName": "id", "AttributeType": "S"},
            {"AttributeName": "at", "AttributeType": "N"},
            {"AttributeName": "who", "AttributeType": "B"},
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": "by-who",
                "KeySchema": [{"AttributeName": "who", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["price"]},
                "ProvisionedThroughput": {"ReadCapacityUnits": 3, "WriteCapacityUnits": 4},
            }
        ],
        "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6},
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    }
    tables.ensure_table(aws, definition)
    item = {
        "id": {"S": "1"},
        "at": {"N": "1.5"},
        "who": {"B": b"\x00\xff"},
        "more": {"NULL": True},
    }
    clients.dynamodb(aws).put_item(TableName="orders", Item=item)
    run(reset.ddb_drop(lived_in, "orders"))
    assert tables.find_table(aws, "orders") is None
    run(reset.undo(lived_in))
    table = tables.get_table(aws, "orders")
    assert tables.list_differences(definition, table) == []
    assert table["ProvisionedThroughput"]["WriteCapacityUnits"] == 6
    (index,) = table["GlobalSecondaryIndexes"]
    assert index["ProvisionedThroughput"]["ReadCapacityUnits"] == 3
    assert table["StreamSpecification"]["StreamViewType"] == "KEYS_ONLY"
    assert list(parallel_scan.scan(aws, "orders")) == [item]
    assert tables.is_disposable(aws, table)


def test_clients_always_find_a_whole_database_and_cannot_hold_up_the_exchange(
    lived_in: Settings,
) -> None:
    database = stacks.get_database(lived_in)
    found: set[tuple[int, int]] = set()
    refusals: set[str] = set()
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            try:
                with clients.cursor(database) as cursor:
                    cursor.execute("SELECT (SELECT count(*) FROM users), count(*) FROM activities")
                    found.add(cursor.fetchone())
                    cursor.execute("SELECT pg_sleep(0.2)")  # still there when the exchange comes
            except (DevError, psycopg2.Error) as error:
                refusals.add(str(error))

    clients_at_work = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients_at_work:
        client.start()
    for pipe in (reset.db_reset, reset.undo, reset.undo, reset.db_reset):
        run(pipe(lived_in))
    ended.set()
    for client in clients_at_work:
        client.join()
    assert found == {(3, 1), (2, 1)}
    assert all("server closed the connection" in text for text in refusals), refusals


@pytest.fixture
def large(checkout: Checkout) -> Settings:
    """A checkout with a seed that takes its time."""
    checkout.run("setup")
    with (checkout.root / "sql" / "seed.sql").open("a") as seed:
        seed.write(
            "INSERT INTO activities (user_uuid, message) SELECT uuid, repeat('x', 100)"
            " FROM users, generate_series(1, 50000);"
        )
    return checkout.settings()


def list_seals(settings: Settings) -> list[str]:
    database = stacks.get_database(settings)
    return [seal.name for seal in copies.list_beside(database, copies.TEMPLATE)]


def test_a_large_seed_is_sealed_and_copied_until_a_file_changes(large: Settings) -> None:
    database = stacks.targets(large).database
    first = run(reset.db_reset(large))
    assert first["db.seed"].detail.endswith("kept as a template")
    (seal,) = list_seals(large)
    again = run(reset.db_reset(large))
    assert again["db.create"].detail == (
        f"copied a template to {database.name} (new) on 127.0.0.1:{database.port}"
    )
    assert (again["db.schema-load"].kind, again["db.seed"].kind) == ("skipped", "skipped")
    assert databases.count_rows(database) == {"activities": 100_001, "users": 2}
    assert re.fullmatch(r"activities about 100,000, users 2", databases.describe_rows(database))
    with (large.root / "sql" / "seed.sql").open("a") as seed:
        seed.write("-- changed\n")
    run(reset.db_reset(large))
    (other,) = list_seals(large)
    assert other != seal
    assert databases.is_disposable(database)


def test_a_small_seed_is_not_sealed(lived_in: Settings) -> None:
    run(reset.db_reset(lived_in))
    assert list_seals(lived_in) == []


def test_a_broken_seed_leaves_everything_as_it_was(large: Settings) -> None:
    before = content(large)
    with (large.root / "sql" / "seed.sql").open("a") as seed:
        seed.write("INSERT INTO users (handle) VALUES ('nobody');")
    for pipe in (reset.reset, reset.db_reset):
        with pytest.raises(pipeline.FailedError) as error:
            run(pipe(large))
        assert error.value.reason == "failed: db.seed"
        assert content(large) == before
    assert journal.find_pending(large) is None
    assert stacks.describe_trouble(large) == ""


def test_a_reset_leaves_tables_alone_that_are_not_the_apps(lived_in: Settings) -> None:
    aws = stacks.get_aws(lived_in)
    definition = tables.read_definitions(lived_in.root / "ddb" / "tables")[0]
    tables.ensure_table(aws, definition | {"TableName": "other"})
    run(reset.reset(lived_in))
    assert tables.list_tables(aws) == [TABLE, "other"]


def test_what_is_not_disposable_is_kept_unless_it_is_confirmed(lived_in: Settings) -> None:
    database = stacks.get_database(lived_in)
    with clients.cursor(database.named("postgres"), autocommit=True) as cursor:
        cursor.execute(f"ALTER DATABASE {database.name} RESET invoke.server")
    before = content(lived_in)
    loss = reset.find_loss(lived_in, True, [TABLE])
    assert loss
    assert loss.name == database.name
    for pipe in (reset.reset, reset.db_reset, reset.db_drop):
        with pytest.raises(pipeline.FailedError) as error:
            run(pipe(lived_in))
        assert error.value.code == RefusedError("").code
        assert content(lived_in) == before
    run(reset.reset(lived_in, database.name))
    assert content(lived_in) != before
    run(reset.undo(lived_in))
    assert without_ids(content(lived_in)["users"]) == without_ids(before["users"])


def interrupt(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let the change end as by a kill when it comes to this function."""

    def die(*_: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(transaction, name, die)


def change_found(settings: Settings) -> str:
    """What doctor says of changes."""
    findings = examine.run(lambda: settings)
    return next(finding.state for finding in findings if finding.check == "changes")


@pytest.mark.parametrize("pipe", [reset.reset, reset.undo])
def test_setup_completes_a_change_whose_databases_are_exchanged(
    lived_in: Settings, monkeypatch: pytest.MonkeyPatch, pipe: Callable[[Settings], list[Step]]
) -> None:
    run(reset.reset(lived_in))
    after = content(lived_in)
    if pipe is reset.reset:
        run(reset.undo(lived_in))
    with monkeypatch.context() as patch:
        interrupt(patch, "complete")
        with pytest.raises(RuntimeError):
            run(pipe(lived_in))
    command = journal.find_pending(lived_in)
    assert reset.find_undo_loss(lived_in) is None
    assert command
    assert recovery.describe(lived_in) == [
        f"{command.command} is running, or was interrupted: ./invoke setup (waits for it, or"
        " completes it), ./invoke undo (reverts it)"
    ]
    assert change_found(lived_in) == "FAIL"
    done = run(setup.setup(lived_in))
    assert change_found(lived_in) == "ok"
    assert done["recover"].detail.startswith(f"completed {command.command}: replaced the items of")
    assert journal.find_pending(lived_in) is None
    now, after = without_times(content(lived_in)), without_times(after)
    for held in (now, after):  # who was deleted and is created again has another id
        held["users"] = without_ids(held["users"])
    assert (now == after) == (pipe is reset.reset)
    assert is_linked(lived_in)


def test_setup_takes_back_a_change_whose_databases_are_not_exchanged(
    lived_in: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(lived_in)

    def die(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(copies, "swap_in", die)
        with pytest.raises(RuntimeError):
            run(reset.reset(lived_in))
    done = run(setup.pick(lived_in, "db.create"))
    assert done["recover"].detail == "./invoke reset had not taken effect; nothing was changed"
    assert content(lived_in) == before
    database = stacks.get_database(lived_in)
    assert copies.list_beside(database) == []


def test_the_command_line_says_what_undo_will_bring_back(checkout: Checkout) -> None:
    checkout.run("setup")
    done = checkout.run("reset")
    assert "next: ./invoke undo (reverts this)" in done.stderr
    done = checkout.run("undo")
    assert re.match(
        r"restores activities 1, users 2, cruddur-messages 122, pool users 2,\n"
        r"  as of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d, before \./invoke reset\n",
        done.stderr,
    )
    assert "next: ./invoke undo (again, to redo)" in done.stderr
    plan = checkout.run("undo", "--plan")
    assert "restore activities 1, users 2, cruddur-messages 122, pool users 2" in plan.stdout
    checkout.run("down", "--volumes", "--yes")
    assert "there is nothing to undo" in checkout.run("undo", expect=1).stderr


def test_a_state_that_could_not_be_restored_is_refused_before_anything_is_replaced(
    lived_in: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two items of equal keys, as an emulator that compares keys by their text can hold."""
    before = content(lived_in)
    aws = stacks.get_aws(lived_in)
    item = '{"Item": {"pk": {"S": "a"}, "sk": {"S": "b"}}}\n'
    scan = parallel_scan.scan
    monkeypatch.setattr(
        parallel_scan, "scan", lambda *args: [*scan(*args), *[json.loads(item)["Item"]] * 2]
    )
    for steps in (reset.reset(lived_in), reset.snapshot_save(lived_in, "one")):
        with pytest.raises(FailedError):
            run(steps)
    monkeypatch.undo()
    assert content(lived_in) == before
    assert snapshots.list_all(lived_in) == []
    assert journal.find_pending(lived_in) is None
    run(reset.reset(lived_in))
    assert tables.list_tables(aws)
