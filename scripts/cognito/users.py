"""The app's users in Postgres."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scripts import clients
from scripts.errors import NotFoundError
from scripts.targets import Database


@dataclass(frozen=True)
class Person:
    """Who somebody is, as conversations show it."""

    uuid: str
    handle: str
    display_name: str


@dataclass(frozen=True)
class User(Person):
    """A row of the table users."""

    email: str
    cognito_user_id: str | None


def list_users(database: Database) -> list[User]:
    """Every user, by handle; none where the app's schema has no table users."""
    with clients.cursor(database) as cursor:
        cursor.execute("SELECT to_regclass('users') IS NULL")
        if cursor.fetchone()[0]:
            return []
        cursor.execute(
            "SELECT uuid::text, handle, display_name, email, cognito_user_id"
            " FROM users ORDER BY handle"
        )
        return [User(*row) for row in cursor.fetchall()]


def people(users: Iterable[User]) -> dict[str, Person]:
    """Who the users are, by handle."""
    return {user.handle: Person(user.uuid, user.handle, user.display_name) for user in users}


def get_person(database: Database, handle: str) -> Person:
    """Who the user with this handle is. Raises NotFoundError where there is none."""
    everybody = people(list_users(database))
    if handle in everybody:
        return everybody[handle]
    some = ", ".join(list(everybody)[:10]) or "none"
    raise NotFoundError(f"there is no user {handle} in {database}", f"there are: {some}")


def link_cognito(database: Database, subs: Mapping[str, str]) -> int:
    """Write each `sub` to the user with its handle, in one statement; how many rows changed.

    A user whose `sub` has gone to another handle, and who has no other, loses it.
    """
    with clients.cursor(database) as cursor:
        cursor.execute(
            "WITH pool AS (SELECT * FROM unnest(%s::text[], %s::text[]) AS pool (handle, sub))"
            " UPDATE users SET cognito_user_id = wanted.sub"
            " FROM (SELECT uuid, sub FROM users LEFT JOIN pool USING (handle)) AS wanted"
            " WHERE users.uuid = wanted.uuid"
            " AND users.cognito_user_id IS DISTINCT FROM wanted.sub"
            " AND (wanted.sub IS NOT NULL"
            " OR users.cognito_user_id IN (SELECT sub FROM pool))",
            (list(subs.keys()), list(subs.values())),
        )
        return int(cursor.rowcount)
