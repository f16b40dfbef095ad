"""The app's users in Postgres: the table and the columns that app.toml names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scripts import clients
from scripts.app import Users
from scripts.errors import DevError, NotFoundError
from scripts.targets import Database


@dataclass(frozen=True)
class Person:
    """A user as conversations show one."""

    uuid: str
    handle: str
    display_name: str


@dataclass(frozen=True)
class User(Person):
    """A row of the table of users; "" for an e-mail address that is missing."""

    email: str
    cognito_user_id: str | None


def list_users(database: Database) -> list[User]:
    """Every user with a handle, by handle; none if the app has no such table."""
    table = database.users
    if table is None:
        return []
    with clients.cursor(database) as cursor:
        if not _find_columns(cursor, table):
            return []
        columns = [table.id, table.handle, table.name, table.email, table.cognito_id]
        cursor.execute(
            _sql(
                "SELECT {}::text, {}, coalesce({}, ''), coalesce({}, ''), {}::text FROM {table}"
                " WHERE {handle} <> '' ORDER BY {handle}, 1",
                table,
                columns,
            )
        )
        return [User(*row) for row in cursor.fetchall()]


def people(users: Iterable[User]) -> dict[str, Person]:
    """Who the users are, by handle."""
    return {user.handle: to_person(user) for user in users}


def to_person(user: User) -> Person:
    """Who the user is; one without a name has the handle as its name."""
    return Person(user.uuid, user.handle, user.display_name or user.handle)


def get_person(database: Database, handle: str) -> Person:
    """Who the user with this handle is. Raises NotFoundError if there is none."""
    everybody = people(list_users(database))
    if handle in everybody:
        return everybody[handle]
    some = ", ".join(list(everybody)[:10]) or "none"
    raise NotFoundError(f"there is no user {handle} in {database}", f"there are: {some}")


def link_cognito(database: Database, subs: Mapping[str, str]) -> int:
    """Write each `sub` to the user with its handle, in one statement; how many rows changed.

    A user whose `sub` now belongs to another handle, and who has no other, loses it if the column
    can be empty.
    """
    table = database.users
    if table is None or not table.cognito_id:
        return 0
    with clients.cursor(database) as cursor:
        columns = _find_columns(cursor, table)
        if not columns:
            return 0
        kind, is_required = columns[table.cognito_id]
        cursor.execute(
            _sql(
                "WITH pool AS (SELECT * FROM unnest(%s::text[], %s::text[]) AS pool (handle, sub))"
                " UPDATE {table} AS mine SET {id} = wanted.sub::{kind} FROM (SELECT t.{key}"
                " AS key, pool.sub FROM {table} AS t LEFT JOIN pool ON pool.handle = t.{handle})"
                " AS wanted WHERE mine.{key} = wanted.key"
                " AND mine.{id}::text IS DISTINCT FROM wanted.sub AND (wanted.sub IS NOT NULL"
                " OR (NOT %s AND mine.{id}::text IN (SELECT pool.sub FROM pool)))",
                table,
                kind=kind,
            ),
            (list(subs.keys()), list(subs.values()), is_required),
        )
        return int(cursor.rowcount)


def _find_columns(cursor: Any, table: Users) -> dict[str, tuple[str, bool]]:
    """The type of each column, and whether it must have a value; {} if the table does not exist.

    Raises DevError for a column of app.toml that the table lacks.
    """
    cursor.execute(
        "SELECT attname, atttypid::regtype::text, attnotnull FROM pg_attribute"
        " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
        (table.table,),
    )
    found = {name: (kind, is_required) for name, kind, is_required in cursor.fetchall()}
    named = (table.id, table.handle, table.email, table.name, table.cognito_id)
    if found and (missing := [name for name in named if name and name not in found]):
        raise DevError(
            f"the table {table.table} has no column {', '.join(missing)}",
            f"name its columns in [users] of app.toml; they are: {', '.join(found)}",
        )
    return found


def _sql(template: str, table: Users, columns: Iterable[str] = (), kind: str = "text") -> Any:
    """A statement with the table and its columns; a column that is "" becomes NULL."""
    from psycopg2 import sql

    return sql.SQL(template).format(
        *(sql.Identifier(name) if name else sql.NULL for name in columns),
        table=sql.Identifier(*table.table.split(".")),
        handle=sql.Identifier(table.handle),
        id=sql.Identifier(table.cognito_id) if table.cognito_id else sql.NULL,
        key=sql.Identifier(table.id),
        kind=sql.SQL(kind),
    )
