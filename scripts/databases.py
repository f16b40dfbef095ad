"""Postgres databases as wholes: their names exchanged in one transaction, copies, sealed templates.

Beside the app's database stand others of the same server, known by their names: `__next` is being
built, `__prev` is the one that was replaced last, `__gone` the one before that, on its way out;
`__snap_NAME` belongs to a snapshot, `__seal_HASH` is what the schema and seed files made.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from scripts import clients, postgres
from scripts.errors import RefusedError
from scripts.targets import Database

NEXT, PREV, GONE = "__next", "__prev", "__gone"
SNAPSHOT, SEAL = "__snap_", "__seal_"
LONGEST_NAME = 63  # of anything in Postgres, in bytes
_SMALL = 32 << 20  # bytes; up to here a copy through the log is faster than one with a checkpoint
SEALED_FROM = 16 << 20  # bytes; a smaller database is as quickly made as copied


def of_snapshot(database: Database, name: str) -> Database:
    """The database that holds a snapshot of `database`."""
    return beside(database, f"{SNAPSHOT}{name}")


def beside(database: Database, suffix: str) -> Database:
    """The database of the same server whose name has this suffix."""
    return database.named(database.name + suffix)


def find_oid(database: Database) -> int | None:
    """What identifies the database also under another name; None where there is none."""
    with postgres.maintenance(database) as cursor:
        cursor.execute("SELECT oid FROM pg_database WHERE datname = %s", (database.name,))
        row = cursor.fetchone()
    return int(row[0]) if row else None


def make_room(database: Database, suffix: str) -> None:
    """Remove what stands in the way of put_in_place; nothing refers to it any more.

    On a server that is not ours an older `__prev` stands in the way too, and is not removed:
    RefusedError is raised.
    """
    drop(beside(database, GONE))
    if suffix != PREV and not database.owned:
        drop(beside(database, PREV))


def put_in_place(database: Database, suffix: str) -> None:
    """Give the database beside it the app's name, and the present one `__prev`, both at once.

    With `__prev` itself, the two change places; with "", the present one only goes. Sessions of
    all of them are ended. The one that was `__prev` becomes `__gone`.
    """
    moves = [("", GONE), (PREV, ""), (GONE, PREV)]
    if suffix != PREV:
        moves = [(PREV, GONE), ("", PREV), *([(suffix, "")] if suffix else [])]

    def rename(cursor: Any) -> None:
        cursor.execute("SELECT datname FROM pg_database")
        present = {name for (name,) in cursor.fetchall()}
        for old, new in moves:
            source, target = beside(database, old).name, beside(database, new).name
            if source in present:
                cursor.execute(postgres.compose("ALTER DATABASE {} RENAME TO {}", source, target))
                present = present - {source} | {target}

    _without_clients([beside(database, old) for old, _ in moves], rename, autocommit=False)


def copy(source: Database, target: Database) -> None:
    """Make `target` a copy of the database `source`, whose sessions are ended; with our mark.

    A database that was `target` before is dropped.
    """
    drop(target)
    size = postgres.size(source)

    def clone(cursor: Any) -> None:
        statement = f"CREATE DATABASE {{}} TEMPLATE {{}} {_strategy(cursor, size)}"
        cursor.execute(postgres.compose(statement, target.name, source.name))
        postgres.mark(cursor, target)

    _without_clients([source], clone, autocommit=True)


def drop(database: Database) -> None:
    """Drop a database that stands beside the app's; whether it may go was asked before.

    Raises RefusedError for one on a server that is not ours: the name alone does not prove it.
    """
    if not database.owned and postgres.exists(database):
        raise RefusedError(
            f"{database} is in the way, and not ours to drop", "drop or rename it by hand"
        )
    postgres.drop(database, confirmed=database.name)


def find_seal(database: Database, files: Iterable[Path]) -> Database | None:
    """The sealed template that these very files made on this server; None where there is none."""
    sealed = _sealed(database, files)
    return sealed if postgres.exists(sealed) else None


def seal(built: Database, database: Database, files: Iterable[Path]) -> bool:
    """Keep a copy of `built`, just made from the files, as a template; older ones are dropped.

    False where that does not pay, since making it anew is as quick.
    """
    for old in list_beside(database, SEAL):
        drop(old)
    if postgres.size(built) < SEALED_FROM:
        return False
    with clients.cursor(built) as cursor:
        cursor.execute("ANALYZE")  # its copies know how large they are, and plan well
    copy(built, _sealed(database, files))
    return True


def list_beside(database: Database, suffix: str = "__") -> list[Database]:
    """The databases that stand beside the app's, by name; all, or those of one kind."""
    with postgres.maintenance(database) as cursor:
        cursor.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY datname",
            (database.name + suffix,),
        )
        return [database.named(name) for (name,) in cursor.fetchall()]


def list_passing(database: Database) -> dict[str, int]:
    """The databases that stand beside this one while a command works, with their bytes.

    Where no command works, one that was killed left them.
    """
    names = "|".join((postgres.DRAFT, NEXT, GONE, postgres.SCRATCH))
    with postgres.maintenance(database) as cursor:
        cursor.execute(
            "SELECT datname, pg_database_size(oid) FROM pg_database"
            " WHERE datname ~ %s AND starts_with(datname, %s) ORDER BY datname",
            (f"({names})[0-9]*$", database.name[:20]),
        )
        return dict(cursor.fetchall())


def _sealed(database: Database, files: Iterable[Path]) -> Database:
    with postgres.maintenance(database) as cursor:
        version = str(cursor.connection.server_version)
    parts = [version, *(postgres.digest(path) for path in files)]
    return beside(database, SEAL + hashlib.sha256("".join(parts).encode()).hexdigest()[:12])


def _strategy(cursor: Any, size: int) -> str:
    """How to copy so many bytes: through the log, or file by file where the server has a choice."""
    if cursor.connection.server_version < 15_00_00:
        return ""
    return "STRATEGY wal_log" if size < _SMALL else "STRATEGY file_copy"


def _without_clients(
    databases: Sequence[Database], work: Callable[[Any], None], autocommit: bool
) -> None:
    """Do the work while sessions of the databases are ended: a client may come back at once.

    Postgres waits some seconds for sessions to end, and lets in no new ones meanwhile.
    """

    def run() -> None:
        with postgres.maintenance(databases[0], autocommit) as cursor:
            work(cursor)

    for database in databases:
        postgres.kill_sessions(database)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        while not wait([running], timeout=0.1).done:
            for database in databases:
                postgres.kill_sessions(database)
        running.result()
