"""Whole Postgres databases: swapped by name in one transaction, copied, saved as templates.

The app's database has companions on the same server, recognized by the suffix of their names:
`__next` is being built, `__prev` was replaced last, `__gone` was replaced before that and is about
to be dropped; `__snap_NAME` belongs to a snapshot, `__seal_HASH` is a template: what the schema and
seed files of that digest create.
"""

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripts import clients
from scripts.errors import DevError, RefusedError
from scripts.postgres import databases, ownership, properties, sources
from scripts.targets import Database

NEXT, PREV, GONE = "__next", "__prev", "__gone"
SNAPSHOT, TEMPLATE = "__snap_", "__seal_"
LONGEST_NAME = 63  # of anything in Postgres, in bytes
_SMALL = 32 << 20  # bytes; up to here a copy through the log is faster than one with a checkpoint
# A client that looks up a name while it changes gets the error that the database is missing. So new
# ones wait for a lock, which only a superuser may take; those that have looked it up come first.
_KEEP_CLIENTS_WAITING = """
    SET LOCAL lock_timeout = '50ms';
    LOCK TABLE pg_catalog.pg_database IN ACCESS EXCLUSIVE MODE;
    DO $$ BEGIN
        IF EXISTS (SELECT FROM pg_locks WHERE locktype = 'object'
            AND classid = 'pg_database'::regclass AND pid <> pg_backend_pid())
        THEN RAISE lock_not_available; END IF;
    END $$"""
RENAME_SECONDS = 10.0  # how long to try to end what uses the databases
TEMPLATE_FROM = 16 << 20  # bytes; a smaller database is as quickly made as copied


def of_snapshot(database: Database, name: str) -> Database:
    """The database that holds a snapshot of `database`."""
    return beside(database, f"{SNAPSHOT}{name}")


def beside(database: Database, suffix: str) -> Database:
    """The database of the same server whose name has this suffix."""
    named = database.named(database.name + suffix)
    return replace(named, shown=f"{database.name} (new)") if suffix == NEXT else named


def check_companions(database: Database) -> None:
    """Check that nothing prevents a change: before anything is built or decided.

    Raises DevError for what uses the databases and is no session, and RefusedError if a database
    that this tool did not create has a name that it would use and drop. On a server of others
    nothing is dropped anyway.
    """
    names = [beside(database, suffix).name for suffix in (NEXT, PREV, GONE)]
    if holders := databases.list_holders(database, *names):
        raise DevError(
            "\n".join(text for text, _ in holders), "; ".join(hint for _, hint in holders)
        )
    if not database.owned:
        return
    exact, prefixes = "|".join((NEXT, PREV, GONE)), "|".join((SNAPSHOT, TEMPLATE))
    with databases.maintenance(database) as cursor:
        ownership.check_tagged(cursor, f"^{re.escape(database.name)}(({exact})$|{prefixes})")


def find_oid(database: Database) -> int | None:
    """The oid of the database, which a rename does not change; None if it does not exist."""
    with databases.maintenance(database) as cursor:
        cursor.execute("SELECT oid FROM pg_database WHERE datname = %s", (database.name,))
        row = cursor.fetchone()
    return int(row[0]) if row else None


def clear_names(database: Database, suffix: str) -> None:
    """Drop the databases whose names swap_in needs; nothing refers to them any more.

    Raises RefusedError on a server of others, where nothing is dropped.
    """
    drop(beside(database, GONE))
    if suffix != PREV and not database.owned:
        drop(beside(database, PREV))


def swap_in(database: Database, suffix: str) -> None:
    """Rename the companion with this suffix to the app's name, and the present one to `__prev`.

    Both in one transaction; the former `__prev` becomes `__gone`. With the suffix `__prev` the two
    swap names; with "" the present one is only renamed. Ends the sessions of all of them, and new
    connections to a server of this checkout wait meanwhile.
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
                _rename(cursor, source, target)
                present = present - {source} | {target}

    _rename_all([beside(database, old) for old, _ in moves], rename)


def arrange(database: Database, places: Mapping[int, str]) -> None:
    """Give the databases of these oids the names with these suffixes, in one transaction.

    Another one that has the app's name, or one of these, becomes `__next`, or else `__gone`.
    """
    involved = [beside(database, suffix) for suffix in ("", NEXT, PREV, GONE)]
    wanted = {oid: beside(database, suffix).name for oid, suffix in places.items()}
    needed = {database.name, *wanted.values()}

    def rename(cursor: Any) -> None:
        names = [one.name for one in involved]
        cursor.execute(
            "SELECT oid, datname FROM pg_database WHERE datname = ANY(%s) OR oid = ANY(%s)",
            (names, [*wanted]),
        )
        present = dict(cursor.fetchall())
        others = {oid: name for oid, name in present.items() if oid not in wanted}
        free = [
            beside(database, suffix).name
            for suffix in (NEXT, GONE)
            if beside(database, suffix).name not in {*needed, *others.values()}
        ]
        targets = {oid: free.pop(0) for oid, name in others.items() if name in needed}
        targets |= {oid: name for oid, name in wanted.items() if present.get(oid, name) != name}
        for number, oid in enumerate(targets):
            _rename(cursor, present[oid], f"{database.name}__{number}")
        for number, target in enumerate(targets.values()):
            _rename(cursor, f"{database.name}__{number}", target)

    _rename_all(involved, rename)


def find_name(database: Database, oid: int) -> str | None:
    """The name of the database with this oid, None if there is none on this server."""
    with databases.maintenance(database) as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE oid = %s", (oid,))
        row = cursor.fetchone()
    return str(row[0]) if row else None


def _rename(cursor: Any, name: str, target: str) -> None:
    cursor.execute(databases.compose("ALTER DATABASE {} RENAME TO {}", name, target))


def copy(source: Database, target: Database) -> None:
    """Make `target` a copy of the database `source`, whose sessions are ended.

    It has the same settings and privileges, and our ownership tag. A database that was `target`
    before is dropped.
    """
    drop(target)
    size = databases.size(source)

    def clone() -> None:
        with databases.maintenance(source, autocommit=True) as cursor:
            ownership.create(cursor, target, source.name, _strategy(cursor, size))
            properties.copy(cursor, source.name, target.name)

    databases.kill_sessions(source)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(clone)
        # A client may come back before Postgres locks it out, which then waits for its session.
        while not wait([running], timeout=0.1).done:
            databases.kill_sessions(source)
        running.result()


def drop(database: Database) -> None:
    """Drop a database that stands beside the app's, if there is one.

    Raises RefusedError for one that does not carry our tag: the name alone proves nothing.
    """
    if not databases.exists(database):
        return
    if not database.owned:
        raise RefusedError(
            f"{database} already exists and was not created by this tool",
            "drop or rename it by hand",
        )
    with databases.maintenance(database) as cursor:
        ownership.check_tagged(cursor, f"^{re.escape(database.name)}$")
    databases.drop(database)


def find_template(database: Database, files: Sequence[Sequence[Path]]) -> Database | None:
    """The template that these very files created on this server; None if there is none.

    `files` are those of the schema and those of the seed.
    """
    template = _template(database, files)
    return template if databases.exists(template) else None


def save_template(built: Database, database: Database, files: Sequence[Sequence[Path]]) -> bool:
    """Save a copy of `built`, just created from the files, as a template; drop older ones.

    Returns False if the database is so small that a template would not be faster, and on a server
    of others, where it could not be dropped again.
    """
    if not database.owned:
        return False
    for old in list_beside(database, TEMPLATE):
        drop(old)
    if databases.size(built) < TEMPLATE_FROM:
        return False
    with clients.cursor(built) as cursor:
        cursor.execute("ANALYZE")  # its copies know how large they are, and plan well
    copy(built, _template(database, files))
    return True


def list_beside(database: Database, suffix: str = "__") -> list[Database]:
    """The databases that stand beside the app's, by name; all, or those of one kind."""
    with databases.maintenance(database) as cursor:
        cursor.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY datname",
            (database.name + suffix,),
        )
        return [database.named(name) for (name,) in cursor.fetchall()]


def list_temporary(database: Database) -> dict[str, int]:
    """The databases that stand beside this one while a command works, with their bytes.

    Where no command works, one that was killed left them.
    """
    names = "|".join((NEXT, GONE, databases.SCRATCH))
    with databases.maintenance(database) as cursor:
        cursor.execute(
            "SELECT datname, pg_database_size(oid) FROM pg_database"  # noqa: S608
            " WHERE datname ~ %s"
            f" AND starts_with(datname, %s) AND (NOT %s OR {ownership.TAGGED}) ORDER BY datname",
            (f"({names})[0-9]*$", database.name[:20], database.owned),
        )
        return dict(cursor.fetchall())


def _template(database: Database, files: Sequence[Sequence[Path]]) -> Database:
    with databases.maintenance(database) as cursor:
        version = str(cursor.connection.server_version)
    parts = [version, *(str([*sources.digest(paths).values()]) for paths in files)]
    return beside(database, TEMPLATE + hashlib.sha256("".join(parts).encode()).hexdigest()[:12])


def _strategy(cursor: Any, size: int) -> str:
    """How to copy so many bytes: through the log, or file by file where the server has a choice."""
    if cursor.connection.server_version < 15_00_00:
        return ""
    return "STRATEGY wal_log" if size < _SMALL else "STRATEGY file_copy"


def _rename_all(involved: Sequence[Database], rename: Callable[[Any], None]) -> None:
    """Rename databases in one transaction, once nothing uses them.

    An attempt is short and is repeated; the last one waits for the server's own error.
    """
    import psycopg2.errors as refused

    names = [one.name for one in involved]
    deadline = time.monotonic() + RENAME_SECONDS
    with databases.maintenance(involved[0]) as cursor:
        while True:
            is_last = time.monotonic() > deadline
            try:
                if not is_last:
                    cursor.execute("SET LOCAL statement_timeout = '1s'")
                if involved[0].owned and not is_last:
                    cursor.execute(_KEEP_CLIENTS_WAITING)
                databases.end_sessions(cursor, names)
                return rename(cursor)
            except (
                refused.DeadlockDetected,
                refused.LockNotAvailable,
                refused.ObjectInUse,
                refused.QueryCanceled,
            ):
                if is_last:
                    raise
                cursor.connection.rollback()
                time.sleep(0.01)
