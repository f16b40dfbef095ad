"""What uses a database while it is renamed, copied or dropped: clients, and what is none."""

import contextlib
import shlex
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from psycopg2.extras import LogicalReplicationConnection

from scripts import clients, stacks
from scripts.errors import DevError
from scripts.postgres import copies, databases
from scripts.targets import Database
from tests.conftest import Checkout


def connect(database: Database, **more: Any) -> Any:
    where = f"host={database.host} port={database.port} dbname={database.name}"
    return psycopg2.connect(where, user=database.user, password=database.password, **more)


def execute(database: Database, *statements: str) -> list[Any]:
    """The rows of the last statement."""
    with clients.cursor(database, autocommit=True) as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


@contextlib.contextmanager
def pool(database: Database, size: int = 6) -> Iterator[list[str]]:
    """Clients that connect again whenever their connection is closed; what connecting refused."""
    refused: list[str] = []
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            try:
                connection = connect(database)
            except psycopg2.Error as error:
                refused.append(str(error))
                continue
            with contextlib.closing(connection), contextlib.suppress(psycopg2.Error):
                for _ in range(50):
                    connection.cursor().execute("SELECT 1")

    workers = [threading.Thread(target=work) for _ in range(size)]
    for worker in workers:
        worker.start()
    try:
        yield refused
    finally:
        ended.set()
        for worker in workers:
            worker.join()


def test_new_connections_wait_while_databases_swap_their_names(database: Database) -> None:
    databases.create(database)
    databases.create(copies.beside(database, copies.PREV))
    oid = copies.find_oid(database)
    with pool(database) as refused:
        for number in range(1, 16):
            copies.swap_in(database, copies.PREV)
            assert (copies.find_oid(database) == oid) == (number % 2 == 0)
    assert refused == []


def test_a_reader_of_pg_database_delays_the_swap_and_does_not_prevent_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "RENAME_SECONDS", 0.3)
    databases.create(database)
    oid = copies.find_oid(database)
    with contextlib.closing(connect(database.named("postgres"))) as reader:
        reader.cursor().execute("SELECT * FROM pg_database")
        copies.swap_in(database, "")
    assert copies.find_oid(copies.beside(database, copies.PREV)) == oid


@pytest.fixture
def server(checkout: Checkout) -> Database:
    """The app's database, on a server that has replication and prepared transactions."""
    checkout.run("setup")
    maintenance = stacks.get_database(checkout.settings()).named("postgres")
    for value in ("max_prepared_transactions = 5", "wal_level = logical", "autovacuum_naptime = 1"):
        execute(maintenance, f"ALTER SYSTEM SET {value}")
    checkout.run("down", "up")
    return stacks.get_database(checkout.settings())


def wait_for(database: Database, kind: str) -> None:
    deadline = time.monotonic() + 30
    while kind not in {session.kind for session in databases.list_sessions(database)}:
        assert time.monotonic() < deadline, f"no {kind}"
        time.sleep(0.1)


def test_sessions_that_are_no_clients_are_listed_and_ended(
    checkout: Checkout, server: Database
) -> None:
    execute(server, "SELECT pg_create_logical_replication_slot('slot', 'test_decoding')")
    with contextlib.closing(
        connect(server, connection_factory=LogicalReplicationConnection)
    ) as connection:
        connection.cursor().start_replication("slot")
        execute(
            server,
            "CREATE TABLE busy AS SELECT n FROM generate_series(1, 50000) AS n",
            "ALTER TABLE busy SET (autovacuum_vacuum_cost_delay = 100,"
            " autovacuum_vacuum_cost_limit = 1)",
            "DELETE FROM busy",
        )
        wait_for(server, "autovacuum worker")
        found = {one.kind: one for one in databases.list_sessions(server)}
        assert found.keys() >= {"walsender", "replication slot", "autovacuum worker"}
        slot = found["replication slot"]
        assert (slot.pid, slot.application, slot.state) == (None, "slot", "active")
        assert slot.query == "SELECT pg_drop_replication_slot('slot')"
        copies.copy(server, server.named("copied"))
    with contextlib.closing(
        connect(server, connection_factory=LogicalReplicationConnection)
    ) as connection:
        connection.cursor().start_replication("slot")
        checkout.run("reset")
    previous = copies.beside(server, copies.PREV)
    with contextlib.closing(
        connect(previous, connection_factory=LogicalReplicationConnection)
    ) as connection:
        connection.cursor().start_replication("slot")
        checkout.run("reset")  # drops it, with its slot
    assert execute(server, "SELECT slot_name FROM pg_replication_slots") == []


@pytest.mark.parametrize(
    ("statements", "reason", "ending"),
    [
        (
            ["BEGIN", "CREATE TABLE t ()", "PREPARE TRANSACTION 'it''s'"],
            "the prepared transaction it's uses the database cruddur",
            "ROLLBACK PREPARED 'it''s'",
        ),
        (
            ["CREATE SUBSCRIPTION \"A\" CONNECTION '' PUBLICATION p WITH (connect = false)"],
            "the subscription A uses the database cruddur",
            'ALTER SUBSCRIPTION "A" DISABLE; ALTER SUBSCRIPTION "A" SET (slot_name = NONE);'
            ' DROP SUBSCRIPTION "A"',
        ),
    ],
    ids=["prepared transaction", "subscription"],
)
def test_what_no_end_of_a_session_ends_is_named_before_anything_changes(
    checkout: Checkout, server: Database, statements: list[str], reason: str, ending: str
) -> None:
    execute(server, *statements)
    (found,) = databases.list_sessions(server)
    assert (found.pid, found.query) == (None, ending)
    hint = databases.list_holders(server)[0][1]
    for task in (["reset"], ["snapshot.save", "one"], ["db.drop"]):
        done = checkout.run(*task, expect=1)
        assert f"{reason}\n      hint: {hint}\n" in done.stderr
    assert checkout.run("db.kill-sessions").stderr == (
        f"closed 0 connections to {server}\n{reason}; to end it: {hint}\n"
    )
    command = hint.removeprefix("./invoke ")
    checkout.run(*shlex.split(command))
    checkout.run("reset")


def test_a_refusal_of_the_server_has_its_detail(server: Database) -> None:
    execute(server, "BEGIN", "CREATE TABLE t ()", "PREPARE TRANSACTION 'x'")
    with pytest.raises(DevError) as caught:
        databases.drop(server)
    assert "There is 1 prepared transaction using the database." in caught.value.reason
