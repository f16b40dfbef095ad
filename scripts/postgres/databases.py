"""Postgres: create, drop, load a schema and a seed, see and end sessions.

What was loaded is written in the database itself, in the same transaction: as the comment of its
schema `public`. A database that we may destroy says so in its own comment, together with the server
that it was made on: a dump that is restored elsewhere brings the words, but is not on that server.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from scripts import clients, shell
from scripts.errors import DevError, RefusedError
from scripts.postgres import sql_files
from scripts.targets import Database, Loss

Kind = Literal["schema", "seed"]
SMALL = 8 << 20  # bytes of a table that is counted row by row
DRAFT = "__draft"
SCRATCH = "__scratch"  # and the pid of the command that uses it


@dataclass(frozen=True)
class Session:
    """One connection to a database, as pg_stat_activity tells it."""

    pid: int
    user: str
    application: str
    state: str
    since: datetime
    query: str


def exists(database: Database) -> bool:
    """Is there a database of this name?"""
    return _comment(database) is not None


def is_disposable(database: Database) -> bool:
    """May we destroy it? It is on this checkout's own server, and carries our mark of it."""
    if not database.owned:
        return False
    with maintenance(database) as cursor:
        wanted = _mark(cursor)
    return _comment(database) == wanted


def check_disposable(database: Database, confirmed: str) -> None:
    """Raise RefusedError for one that is not disposable, unless `confirmed` is its name."""
    if confirmed != database.name and not is_disposable(database):
        raise RefusedError(
            f"{database} is not disposable, so it is not dropped", f"--confirm {database.name}"
        )


def find_loss(database: Database) -> Loss | None:
    """What dropping would take that is not ours to take; None for a disposable one, or for none."""
    if not exists(database) or is_disposable(database):
        return None
    counts = count_rows(database)
    return Loss(database.name, [f"the database {database}", describe_counts(counts) or "no tables"])


def create(database: Database) -> str:
    """Create the database, empty. It gets its name once it is complete with its mark."""
    draft = database.named(f"{database.name}{DRAFT}")
    with maintenance(database, autocommit=True) as cursor:
        cursor.execute(compose("DROP DATABASE IF EXISTS {} WITH (FORCE)", draft.name))
        cursor.execute(compose("CREATE DATABASE {}", draft.name))
        write_ownership_tag(cursor, draft)
        cursor.execute(compose("ALTER DATABASE {} RENAME TO {}", draft.name, database.name))
    return f"created {database}"


def drop(database: Database, confirmed: str = "") -> bool:
    """Drop the database, also while clients are connected; False where there is none.

    Raises RefusedError for one that is not disposable, unless `confirmed` is its name.
    """
    if not exists(database):
        return False
    check_disposable(database, confirmed)
    with maintenance(database, autocommit=True) as cursor:
        cursor.execute(compose("DROP DATABASE IF EXISTS {} WITH (FORCE)", database.name))
    return True


def is_loaded(database: Database, kind: Kind, path: Path) -> bool:
    """Was this very file loaded, and is there what it makes: tables, or for a seed rows?"""
    with clients.cursor(database) as cursor:
        if _loaded(cursor).get(kind) != digest(path):
            return False
        counts = _count_rows(cursor)
    return bool(counts) if kind == "schema" else any(counts.values())


def load_schema(database: Database, path: Path) -> str:
    """Load the schema into a database without tables, in one transaction; says which tables.

    Where tables stand already from another schema, they are replaced if they are all empty, and
    DevError is raised if they are not.
    """
    before = []
    if counts := count_rows(database):
        if any(counts.values()) or not is_disposable(database):
            since = "changed since" if "schema" in loaded(database) else "is not what made"
            raise DevError(
                f"{path.name} {since} {database}, which has data: {describe_counts(counts)}",
                "./invoke db.reset (rebuilds the database; undo reverts it)",
            )
        before = ["DROP SCHEMA public CASCADE", "CREATE SCHEMA public"]
    sql_files.load(database, path, _note({"schema": digest(path)}), before)
    tables = sorted(count_rows(database))
    if not tables:
        raise DevError(f"{path} made no table", "write CREATE TABLE statements in it")
    return f"created {', '.join(tables)}"


def load_seed(database: Database, path: Path) -> str:
    """Load the seed in one transaction; says how many rows there are in which table."""
    sql_files.load(database, path, _note(loaded(database) | {"seed": digest(path)}))
    counts = count_rows(database)
    if not any(counts.values()):
        raise DevError(f"{path} left every table empty", "write INSERT statements in it")
    return f"seeded: {describe_counts(counts)}"


def loaded(database: Database) -> dict[str, str]:
    """The digests of the schema and seed files that made this database, by kind."""
    with clients.cursor(database) as cursor:
        return _loaded(cursor)


def count_rows(database: Database) -> dict[str, int]:
    """The rows of each table of the schema `public`; {} where it has no tables."""
    with clients.cursor(database) as cursor:
        return _count_rows(cursor)


def describe_rows(database: Database) -> str:
    """The rows of each table in words; of a large one the planner's estimate, which is quick."""
    parts = []
    with clients.cursor(database) as cursor:
        for table, small in _list_tables(cursor):
            if small:
                parts.append(f"{table} {_count(cursor, table):,}")
                continue
            cursor.execute(compose("EXPLAIN (FORMAT JSON) SELECT FROM public.{}", table))
            ((plan,),) = cursor.fetchone()
            parts.append(f"{table} about {round(plan['Plan']['Plan Rows'], -3):,}")
    return ", ".join(parts) or "no tables"


def size(database: Database) -> int:
    """How many bytes the database takes on disk."""
    with maintenance(database) as cursor:
        cursor.execute("SELECT pg_database_size(%s)", (database.name,))
        return int(cursor.fetchone()[0])


def describe_counts(counts: dict[str, int]) -> str:
    """Row counts for people: `activities 1, users 2`."""
    return ", ".join(f"{table} {rows:,}" for table, rows in counts.items())


def list_sessions(database: Database) -> list[Session]:
    """The connections of clients to the database, ours not among them; the oldest first."""
    with maintenance(database) as cursor:
        cursor.execute(
            "SELECT pid, usename, application_name, coalesce(state, ''), backend_start, query"
            " FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend' ORDER BY backend_start",
            (database.name,),
        )
        return [Session(*row) for row in cursor.fetchall()]


def kill_sessions(database: Database) -> int:
    """End every client's connection to the database; how many there were."""
    with maintenance(database) as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
            (database.name,),
        )
        return int(cursor.fetchone()[0])


def compose(template: str, *identifiers: str) -> Any:
    """An SQL statement with identifiers in its braces."""
    from psycopg2 import sql

    return sql.SQL(template).format(*map(sql.Identifier, identifiers))


def maintenance(database: Database, autocommit: bool = False) -> Any:
    """A cursor of the server that stands in no database of the app's."""
    return clients.cursor(database.named("postgres"), autocommit)


def write_ownership_tag(cursor: Any, database: Database) -> None:
    """Let the database say that we may destroy it, where its server is this checkout's own."""
    if database.owned:
        cursor.execute(compose("COMMENT ON DATABASE {} IS %s", database.name), (_mark(cursor),))


def digest(path: Path) -> str:
    """The digest of a schema or seed file. Raises DevError where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DevError(f"{path} cannot be read: {error.strerror}", "git checkout sql/") from None


def open_psql(database: Database, arguments: list[str]) -> None:
    """Become psql, connected to the database."""
    shell.replace_process(
        [shell.postgres_home() / "bin" / "psql", *arguments], clients.psql_environment(database)
    )


def _loaded(cursor: Any) -> dict[str, str]:
    cursor.execute("SELECT obj_description(to_regnamespace('public'), 'pg_namespace')")
    (comment,) = cursor.fetchone()
    try:
        digests = json.loads(comment or "")
    except ValueError:
        return {}
    return digests if isinstance(digests, dict) else {}


def _count_rows(cursor: Any) -> dict[str, int]:
    return {table: _count(cursor, table) for table, _ in _list_tables(cursor)}


def _count(cursor: Any, table: str) -> int:
    cursor.execute(compose("SELECT count(*) FROM public.{}", table))
    return int(cursor.fetchone()[0])


def _list_tables(cursor: Any) -> list[tuple[str, bool]]:
    """The tables of the schema `public`, and whether each is so small that counting is quick."""
    cursor.execute(
        "SELECT relname, coalesce(pg_relation_size(oid), 0) < %s FROM pg_class"
        " WHERE relnamespace = to_regnamespace('public')"
        " AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY relname",
        (SMALL,),
    )
    return list(cursor.fetchall())


def _mark(cursor: Any) -> str:
    cursor.execute("SELECT system_identifier FROM pg_control_system()")
    return f"disposable: made by ./invoke for development on server {cursor.fetchone()[0]}"


def _comment(database: Database) -> str | None:
    """The database's comment, "" for none; None where there is no such database."""
    with maintenance(database) as cursor:
        cursor.execute(
            "SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database"
            " WHERE datname = %s",
            (database.name,),
        )
        row = cursor.fetchone()
    return row[0] if row else None


def _note(digests: dict[str, str]) -> str:
    """The statement that writes down which files made the database."""
    return f"COMMENT ON SCHEMA public IS '{json.dumps(digests)}'"
