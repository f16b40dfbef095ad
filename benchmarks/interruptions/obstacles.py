"""What stands in a command's way from its start: a protected table, a damaged snapshot, no room."""

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2

from benchmarks.interruptions.runs import Run
from benchmarks.interruptions.scenes import SNAPSHOT
from scripts import clients, stacks
from scripts.cruddur import messages
from scripts.dynamodb import tables
from scripts.environment import snapshots
from scripts.targets import Database

_UNPROTECTED_BY = {"ddb.drop", "undo", "snapshot.restore"}  # these restore a table without


@contextlib.contextmanager
def protect_table(run: Run) -> Iterator[None]:
    """The app's table has deletion protection; maybe SIGKILL of the client, too."""
    aws = stacks.get_aws(run.world.settings())
    client = clients.dynamodb(aws)
    client.update_table(TableName=messages.TABLE, DeletionProtectionEnabled=True)
    if run.rng.random() < 0.5:
        run.start_until_moment()
        run.process.kill()
    else:
        run.start()
    run.end()
    if run.code not in (0, -9):
        run.trouble.append(f"ended with {run.code} because a table is protected")
    yield
    table = tables.get_table(stacks.get_aws(run.world.settings()), messages.TABLE)
    if run.words[0] not in _UNPROTECTED_BY and not table.get("DeletionProtectionEnabled"):
        run.trouble.append("the table has lost its protection")


@contextlib.contextmanager
def damage_snapshot(run: Run) -> Iterator[None]:
    """A file of the snapshot is damaged while the command runs; restoring names it, and ends."""
    folder = snapshots.get_folder(run.world.settings(), SNAPSHOT)
    path = run.rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    whole = path.read_bytes()
    path.write_bytes(_damage(whole, run.rng))
    run.start()
    run.end()
    if path.exists():  # else the snapshot is deleted
        path.write_bytes(whole)
    _check_refusal(run, path)
    yield


@contextlib.contextmanager
def take_connections(run: Run) -> Iterator[None]:
    """An app holds every connection that Postgres lets it have; the server runs on."""
    database = run.world.ensure_postgres()
    assert database
    before = run.world.list_servers("postgres")
    held = list(_connect_all(database))
    try:
        run.start()
        run.end()
    finally:
        for connection in held:
            connection.close()
    if run.words[0] != "down" and not before & run.world.list_servers("postgres"):
        run.trouble.append("Postgres was stopped because its connections were taken")
    yield


def _damage(whole: bytes, rng: random.Random) -> bytes:
    """The content cut off, emptied or overwritten."""
    place = rng.randrange(len(whole) - 1)  # without its last newline a manifest is whole
    return rng.choice((whole[:place], b"", b"x" * len(whole)))


def _check_refusal(run: Run, path: Path) -> None:
    if run.words[0] != "snapshot.restore":
        if run.code != 0:
            run.trouble.append(f"ended with {run.code} because a snapshot is damaged")
        return
    run.only = "old"
    if run.code != 1 or path.name not in run.world.talk.read_text():
        run.trouble.append(f"ended with {run.code}, and did not name the damaged {path.name}")


def _connect_all(database: Database) -> Iterator[Any]:
    while True:
        try:
            yield psycopg2.connect(
                host=database.host,
                port=database.port,
                user=database.user,
                password=database.password,
                dbname=database.name,
            )
        except psycopg2.OperationalError as error:
            assert "too many clients" in str(error) or "slots are reserved" in str(error)
            return
