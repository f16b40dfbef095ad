"""Postgres: create, drop, load a schema and a seed, see and end sessions.

What was loaded is written in the database itself, in the same transaction.
"""

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from scripts import clients, shell
from scripts.app import name_files
from scripts.errors import DevError, RefusedError
from scripts.postgres import csv_load, notes, ownership, relations, sources, sql_errors, sql_files
from scripts.targets import Database, Loss

Kind = Literal["schema", "seed"]
SCRATCH = "__scratch"  # and the pid of the command that uses it


# What no end of a session ends. Each has the statement that ends it, in its own database.
_HOLDERS = """
    SELECT database, 'prepared transaction' AS kind, gid AS name, owner::text, '' AS state,
        prepared AS since, format('ROLLBACK PREPARED %%L', gid) AS statement
    FROM pg_prepared_xacts
    UNION ALL SELECT database, 'replication slot', slot_name, '',
        CASE WHEN active THEN 'active' ELSE 'inactive' END, NULL,
        format('SELECT pg_drop_replication_slot(%%L)', slot_name)
    FROM pg_replication_slots
    UNION ALL SELECT datname, 'subscription', subname, pg_get_userbyid(subowner),
        CASE WHEN subenabled THEN 'active' ELSE 'inactive' END, NULL,
        format('ALTER SUBSCRIPTION %%1$I DISABLE; ALTER SUBSCRIPTION %%1$I SET (slot_name = NONE);'
            ' DROP SUBSCRIPTION %%1$I', subname)
    FROM pg_subscription JOIN pg_database ON pg_database.oid = subdbid"""


@dataclass(frozen=True)
class Session:
    """What uses a database: a connection, as pg_stat_activity has it, or what holds it without one.

    `query` of the latter is the statement that ends it.
    """

    pid: int | None
    kind: str
    user: str
    application: str
    state: str
    since: datetime | None
    query: str


def exists(database: Database) -> bool:
    """Is there a database of this name?"""
    with maintenance(database) as cursor:
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", (database.name,))
        return bool(cursor.fetchall())


def list_others(database: Database) -> list[str]:
    """The other apps' databases that this tool created on a server of this checkout."""
    with maintenance(database) as cursor:
        cursor.execute(
            f"SELECT datname FROM pg_database WHERE {ownership.TAGGED}"  # noqa: S608
            " AND datname <> %s AND strpos(datname, '__') = 0 ORDER BY datname",
            (database.name,),
        )
        return [name for (name,) in cursor.fetchall()] if database.owned else []


def is_disposable(database: Database) -> bool:
    """True if it is on a server of this checkout and has the ownership tag."""
    if not database.owned:
        return False
    with maintenance(database) as cursor:
        return ownership.is_tagged(cursor, database.name)


def check_disposable(database: Database, confirmed: str) -> None:
    """Raise RefusedError for one that is not disposable, unless `confirmed` is its name."""
    if confirmed != database.name and not is_disposable(database):
        raise RefusedError(
            f"{database} was not created here by this tool, so it is not dropped",
            f"--confirm {database.name}",
        )


def tag(database: Database) -> None:
    """Write the ownership tag into a database on a server of this checkout."""
    if database.owned:
        with maintenance(database) as cursor:
            ownership.write(cursor, database.name)


def find_loss(database: Database) -> Loss | None:
    """What dropping would lose that this tool did not create; None if nothing."""
    if not exists(database) or is_disposable(database):
        return None
    counts = count_rows(database)
    return Loss(database.name, [f"the database {database}", describe_counts(counts) or "no tables"])


def create(database: Database) -> str:
    """Create the database, empty; on a server of this checkout it has the ownership tag."""
    with maintenance(database, autocommit=True) as cursor:
        ownership.create(cursor, database)
    return f"created {database}"


def drop(database: Database, confirmed: str = "") -> bool:
    """Drop the database, also while clients are connected; False where there is none.

    Raises RefusedError for one that is not disposable, unless `confirmed` is its name.
    """
    if not exists(database):
        return False
    check_disposable(database, confirmed)
    with maintenance(database, autocommit=True) as cursor:
        end_sessions(cursor, [database.name])  # FORCE does not end one that uses a slot
        cursor.execute(compose("DROP DATABASE IF EXISTS {} WITH (FORCE)", database.name))
    return True


def is_loaded(database: Database, kind: Kind, paths: Sequence[Path]) -> bool:
    """Were these very files loaded, and is there what they make: tables, or for a seed rows?

    They include what they read. Where there are no files, there is nothing to load.
    """
    if not paths:
        return True
    with clients.cursor(database) as cursor:
        note = notes.read(cursor)
        if not notes.is_same(note, kind, sources.digest(paths)):
            return False
        counts = _count_rows(cursor)
    if kind == "seed":
        return any(counts.values()) or "seed" in note.get("empty", [])
    return bool(counts)


def check_loadable(database: Database, kind: Kind, paths: Sequence[Path]) -> None:
    """Raise DevError if tables exist, or for a seed the rows of an earlier version of it."""
    digests = sources.digest(paths)
    with clients.cursor(database) as cursor:
        note, counts = notes.read(cursor), _count_rows(cursor)
        cursor.execute(f"SELECT {relations.EXISTS}")
        (has_tables,) = cursor.fetchone()
    changed = f"{notes.describe_change(note, kind, digests)} {database}"
    if kind == "schema" and has_tables:
        found = describe_counts(counts) or "tables of other users"
        raise DevError(
            f"{changed}, which contains: {found}",
            "./invoke db.reset (rebuilds the database; undo reverts it)",
        )
    is_other = "seed" in note and not notes.is_same(note, "seed", digests)
    if kind == "seed" and is_other and any(counts.values()):
        raise DevError(
            f"{changed}; to load it again could duplicate rows",
            "./invoke db.reset (rebuilds the database with it; undo reverts it)",
        )


def load_schema(database: Database, paths: Sequence[Path], live: str = "") -> str:
    """Load the schema into a database without tables, in one transaction; says which tables.

    `live` is the name that the files have for the database, where it is built beside that one.
    Raises DevError where tables exist already: nothing is dropped.
    """
    if not paths:
        return "there is no schema file"
    digests = sources.digest(paths)
    check_loadable(database, "schema", paths)
    check = f"IF NOT {relations.EXISTS} THEN RAISE '{sql_errors.NO_TABLE}'; END IF;"
    _load(database, paths, {"schema": digests}, live, f"DO $$ BEGIN {check} END $$;")
    return f"created {', '.join(count_rows(database))}"


def load_seed(
    database: Database, paths: Sequence[Path], live: str = "", again: bool = False
) -> str:
    """Load the seed in one transaction; says how many rows there are in which table.

    Raises DevError where rows of an earlier version of it exist, unless it is to be loaded `again`.
    """
    if not paths:
        return "there is no seed file"
    digests, note = sources.digest(paths), loaded(database)
    if not again:
        check_loadable(database, "seed", paths)
    note = {kind: note[kind] for kind in note if kind != "empty"} | {"seed": digests}
    _load(database, paths, note, live)
    counts = count_rows(database)
    if any(counts.values()):
        return f"seeded: {describe_counts(counts)}"
    with clients.cursor(database) as cursor:
        cursor.execute(notes.statements(note | {"empty": ["seed"]}))
    return f"{name_files(paths)} left the tables empty"


def load_rows(database: Database, path: Path, table: str) -> csv_load.Loaded:
    """Load a CSV file, whose first line names the columns, into a table: (billing.)invoices.

    Raises DevError, and keeps nothing, for a bad row: with its line and its value.
    """
    if problem := csv_load.prepare(database, path, table).problem:
        raise problem
    return csv_load.read_result(sql_files.load(database, [path], table=table))


def loaded(database: Database) -> dict[str, Any]:
    """The digests of the schema and seed files that made this database, by kind and file."""
    with clients.cursor(database) as cursor:
        return notes.read(cursor)


def note_step(database: Database, step: str) -> None:
    """Write down in the database that a step of the app filled it."""
    with clients.cursor(database) as cursor:
        note = notes.read(cursor)
        done = {*note.get("steps", []), step}
        cursor.execute(notes.statements(note | {"steps": sorted(done)}))


def list_noted_steps(database: Database) -> list[str]:
    """The steps of the app that filled the database, as `note_step` wrote them down."""
    return list(loaded(database).get("steps", [])) if exists(database) else []


def count_rows(database: Database) -> dict[str, int]:
    """The rows of each table; {} where there are no tables."""
    with clients.cursor(database) as cursor:
        return _count_rows(cursor)


def describe_rows(database: Database) -> str:
    """The rows of each table in words; of a large one the planner's estimate, which is quick."""
    with clients.cursor(database) as cursor:
        parts = [
            f"{relation} {relations.count(cursor, relation):,}"
            if relation.is_small
            else f"{relation} about {relations.estimate(cursor, relation):,}"
            for relation in relations.list_relations(cursor)
        ]
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
    """What uses the database, our own connection not included; the oldest first."""
    with maintenance(database) as cursor:
        cursor.execute(
            "SELECT pid, backend_type, coalesce(usename, ''), application_name,"  # noqa: S608
            " coalesce(state, ''), backend_start AS since, query FROM pg_stat_activity"
            " WHERE datname = %(name)s AND pid <> pg_backend_pid() UNION ALL"
            f" SELECT NULL, kind, owner, name, state, since, statement FROM ({_HOLDERS}) AS holder"
            " WHERE database = %(name)s ORDER BY since",
            {"name": database.name},
        )
        return [Session(*row) for row in cursor.fetchall()]


def list_holders(database: Database, *others: str) -> list[tuple[str, str]]:
    """What keeps these databases from being renamed or dropped and is no session; what ends it.

    A replication slot does not, once the session that reads it ended.
    """
    with maintenance(database) as cursor:
        cursor.execute(
            "SELECT kind, name, database, statement"  # noqa: S608
            f" FROM ({_HOLDERS}) AS holder WHERE database = ANY(%s) AND kind <> 'replication slot'",
            ([database.name, *others],),
        )
        rows = cursor.fetchall()
    return [
        (
            f"the {kind} {name} uses the database {used}",
            shlex.join(["./invoke", "db.connect", "--", "-d", used, "-c", statement]),
        )
        for kind, name, used, statement in rows
    ]


def kill_sessions(database: Database) -> int:
    """End every connection to the database; how many there were."""
    with maintenance(database) as cursor:
        return end_sessions(cursor, [database.name], seconds=5.0)


def end_sessions(cursor: Any, names: Sequence[str], seconds: float = 1.0) -> int:
    """End every connection to the databases of these names; waits a moment until they ended.

    They are those of clients and of replication; for a superuser also background workers.
    """
    cursor.execute(
        "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = ANY(%s) AND pid <> pg_backend_pid()"
        " AND (backend_type IN ('client backend', 'walsender')"
        " OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))",
        (names,),
    )
    ended = [pid for pid, _ in cursor.fetchall()]
    deadline = time.monotonic() + seconds
    while ended and time.monotonic() < deadline:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT FROM pg_stat_activity WHERE pid = ANY(%s)", (ended,))
        if not cursor.fetchall():
            break
        time.sleep(0.005)
    return len(ended)


def list_outdated_roles(database: Database) -> list[str]:
    """The roles whose password an earlier version of this tool had stored with 1 iteration."""
    with maintenance(database) as cursor:
        cursor.execute(
            "SELECT quote_ident(rolname) FROM pg_authid WHERE rolpassword LIKE 'SCRAM-SHA-256$1:%'"
            " AND rolname <> current_user ORDER BY rolname"
        )
        return [name for (name,) in cursor.fetchall()]


def compose(template: str, *identifiers: str) -> Any:
    """An SQL statement with identifiers in its braces."""
    from psycopg2 import sql

    return sql.SQL(template).format(*map(sql.Identifier, identifiers))


def maintenance(database: Database, autocommit: bool = False) -> Any:
    """A cursor in the server's `postgres` database."""
    return clients.cursor(database.named("postgres"), autocommit)


def open_psql(database: Database, arguments: list[str]) -> None:
    """Become psql, connected to the database."""
    shell.replace_process(
        [shell.postgres_home(database.postgres_home) / "bin" / "psql", *arguments],
        clients.psql_environment(database),
    )


def _load(
    database: Database,
    paths: Sequence[Path],
    note: Mapping[str, Any],
    live: str,
    after: str = "",
) -> None:
    """Load the files, and write down that they are loaded.

    Only a file that names the database (ALTER DATABASE) requires `live` to exist meanwhile.
    """
    try:
        sql_files.load(database, paths, notes.statements(note) + after, live)
    except DevError as error:
        if f'database "{live}" does not exist' not in error.reason or not database.owned:
            raise
        create(database.named(live))
        sql_files.load(database, paths, notes.statements(note) + after, live)


def _count_rows(cursor: Any) -> dict[str, int]:
    return {str(one): relations.count(cursor, one) for one in relations.list_relations(cursor)}
