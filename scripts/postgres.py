"""Postgres: create, drop, load a schema and a seed, see and end sessions.

What was loaded is written in the database itself, in the same transaction: as the comment of its
schema `public`. A database that we may destroy says so in its own comment (MARK).
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from scripts import clients, shell
from scripts.errors import DevError, RefusedError
from scripts.targets import Database

MARK = "disposable: made by ./invoke for development"
_STOPPERS = re.compile(
    r"(?:^|;)[ \t]*((?:BEGIN|COMMIT|ROLLBACK|ABORT|START\s+TRANSACTION)\b[^;$]*;)", re.I | re.M
)
_PSQL_ERROR = re.compile(r"^psql:.*?:(\d+): (?:ERROR|FATAL):\s+(.*)$", re.M)
_STATEMENT = re.compile(r"^psql:.*?:\d+: STATEMENT:\s+(.*)", re.M | re.S)
_LINE_IN_STATEMENT = re.compile(r"^LINE (\d+): ", re.M)

Kind = Literal["schema", "seed"]


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
    """May we destroy it? Its server is for development, and it carries our mark."""
    return database.is_for_development and _comment(database) == MARK


def create(database: Database) -> str:
    """Create the database, empty. It gets its name once it is complete with its mark."""
    draft = database.named(f"{database.name}__draft")
    with _maintenance(database, autocommit=True) as cursor:
        cursor.execute(_compose("DROP DATABASE IF EXISTS {} WITH (FORCE)", draft.name))
        cursor.execute(_compose("CREATE DATABASE {}", draft.name))
    with _maintenance(database) as cursor:
        if database.is_for_development:
            cursor.execute(_compose("COMMENT ON DATABASE {} IS %s", draft.name), (MARK,))
        cursor.execute(_compose("ALTER DATABASE {} RENAME TO {}", draft.name, database.name))
    return f"created {database}"


def drop(database: Database) -> bool:
    """Drop the database, also while clients are connected; False where there is none.

    Raises RefusedError for a database without the mark.
    """
    if not exists(database):
        return False
    if not is_disposable(database):
        raise RefusedError(
            f"{database} is not marked as disposable, so it is not dropped",
            "drop it yourself if you are sure that nobody needs it",
        )
    with _maintenance(database, autocommit=True) as cursor:
        cursor.execute(_compose("DROP DATABASE IF EXISTS {} WITH (FORCE)", database.name))
    return True


def is_loaded(database: Database, kind: Kind, path: Path) -> bool:
    """Was this very file loaded? For a seed also: does any table have rows?"""
    same = loaded(database).get(kind) == _digest(path)
    return same and (kind == "schema" or any(count_rows(database).values()))


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
                f"{path.name} {since} {database}, which has data: {in_words(counts)}",
                "./invoke db.reset builds it anew; what is in it is lost",
            )
        before = ["DROP SCHEMA public CASCADE", "CREATE SCHEMA public"]
    _load(database, path, {"schema": _digest(path)}, before)
    tables = sorted(count_rows(database))
    if not tables:
        raise DevError(f"{path} made no table", "write CREATE TABLE statements in it")
    return f"created {', '.join(tables)}"


def load_seed(database: Database, path: Path) -> str:
    """Load the seed in one transaction; says how many rows there are in which table."""
    _load(database, path, loaded(database) | {"seed": _digest(path)})
    counts = count_rows(database)
    if not any(counts.values()):
        raise DevError(f"{path} left every table empty", "write INSERT statements in it")
    return f"seeded: {in_words(counts)}"


def loaded(database: Database) -> dict[str, str]:
    """The digests of the schema and seed files that made this database, by kind."""
    with clients.cursor(database) as cursor:
        cursor.execute("SELECT obj_description(to_regnamespace('public'), 'pg_namespace')")
        (comment,) = cursor.fetchone()
    try:
        digests = json.loads(comment or "")
    except ValueError:
        return {}
    return digests if isinstance(digests, dict) else {}


def count_rows(database: Database) -> dict[str, int]:
    """The rows of each table of the schema `public`; {} where it has no tables."""
    with clients.cursor(database) as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('public')"
            " AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY relname"
        )
        tables = [name for (name,) in cursor.fetchall()]
        counts = {}
        for table in tables:
            cursor.execute(_compose("SELECT count(*) FROM public.{}", table))
            counts[table] = cursor.fetchone()[0]
    return counts


def in_words(counts: dict[str, int]) -> str:
    """Row counts for people: `activities 1, users 2`."""
    return ", ".join(f"{table} {rows:,}" for table, rows in counts.items())


def list_sessions(database: Database) -> list[Session]:
    """The connections of clients to the database, ours not among them; the oldest first."""
    with _maintenance(database) as cursor:
        cursor.execute(
            "SELECT pid, usename, application_name, coalesce(state, ''), backend_start, query"
            " FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend' ORDER BY backend_start",
            (database.name,),
        )
        return [Session(*row) for row in cursor.fetchall()]


def kill_sessions(database: Database) -> int:
    """End every client's connection to the database; how many there were."""
    with _maintenance(database) as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
            (database.name,),
        )
        return int(cursor.fetchone()[0])


def open_psql(database: Database, arguments: list[str]) -> None:
    """Become psql, connected to the database."""
    shell.replace_process(
        [shell.postgres_home() / "bin" / "psql", *arguments], clients.psql_environment(database)
    )


def _maintenance(database: Database, autocommit: bool = False) -> Any:
    return clients.cursor(database.named("postgres"), autocommit)


def _comment(database: Database) -> str | None:
    """The database's comment, "" for none; None where there is no such database."""
    with _maintenance(database) as cursor:
        cursor.execute(
            "SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database"
            " WHERE datname = %s",
            (database.name,),
        )
        row = cursor.fetchone()
    return row[0] if row else None


def _compose(template: str, *identifiers: str) -> Any:
    from psycopg2 import sql

    return sql.SQL(template).format(*map(sql.Identifier, identifiers))


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DevError(f"{path} cannot be read: {error.strerror}", "git checkout sql/") from None


def _load(
    database: Database, path: Path, digests: dict[str, str], before: list[str] | None = None
) -> None:
    """Run the file and note its digest, in one transaction, through psql: it reads any SQL file."""
    _check_one_transaction(path)
    note = f"COMMENT ON SCHEMA public IS '{json.dumps(digests)}'"
    first = [word for statement in before or [] for word in ("-c", statement)]
    options = ["-X", "-q", "-b", "-1", "-v", "ON_ERROR_STOP=1"]
    done = shell.run(
        [shell.postgres_home() / "bin" / "psql", *options, *first, "-f", path, "-c", note],
        env=clients.psql_environment(database),
    )
    if done.returncode:
        raise _sql_error(path, done.stderr)


def _check_one_transaction(path: Path) -> None:
    """COMMIT and its like would end our transaction; in a function's body they are its own."""

    def blank(body: re.Match[str]) -> str:
        return "\n" * body[0].count("\n")

    text = re.sub(
        r"\$(\w*)\$.*?\$\1\$", blank, path.read_text(encoding="utf-8", errors="replace"), flags=re.S
    )
    if found := _STOPPERS.search(text):
        line = text.count("\n", 0, found.start(1)) + 1
        raise DevError(
            f"{_shown(path)}:{line}: {found[1]} is not allowed, each file is one transaction",
            "delete that line",
        )


def _sql_error(path: Path, stderr: str) -> DevError:
    """What psql said, as file:line, the cause and the statement."""
    error = _PSQL_ERROR.search(stderr)
    if not error:
        return DevError(f"{_shown(path)}: {stderr.strip()}", "./invoke status")
    message = f"{_shown(path)}:{error[1]}: {error[2]}"
    if statement := _STATEMENT.search(stderr):
        text = statement[1].strip()
        # psql counts to the statement's last line, and its LINE n from the statement's first.
        within = _LINE_IN_STATEMENT.search(stderr)
        start = int(error[1]) - text.count("\n")
        line = start + int(within[1]) - 1 if within else start
        message = f"{_shown(path)}:{line}: {error[2]}" + _indented(text)
    return DevError(message, f"correct {_shown(path)}; nothing of it was kept")


def _indented(statement: str, most: int = 8) -> str:
    lines = statement.splitlines()
    shown = lines[:most] + (["..."] if len(lines) > most else [])
    return "".join(f"\n  | {line}" for line in shown)


def _shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
