"""The app's users in Postgres and in the Cognito pool: the same people, held together by handle."""

from dataclasses import dataclass

from scripts.cognito import user_pool, users
from scripts.errors import DevError, NotFoundError, count
from scripts.targets import Aws, Database


@dataclass(frozen=True)
class Comparison:
    """Handles in both places and in one only; further, by username, who is special in the pool."""

    matched: list[str]
    only_in_cognito: list[str]
    only_in_postgres: list[str]
    without_handle: list[str]
    ambiguous: list[str]
    unconfirmed: list[str]
    disabled: list[str]

    def __str__(self) -> str:
        others = {
            "only in Cognito": self.only_in_cognito,
            "only in Postgres": self.only_in_postgres,
            "without a handle": self.without_handle,
            "handle held twice": self.ambiguous,
            "unconfirmed": self.unconfirmed,
            "disabled": self.disabled,
        }
        lists = [f"{what}: {shorten(names)}" for what, names in others.items() if names]
        return "; ".join([f"{len(self.matched)} matched", *lists])


def is_complete(database: Database, aws: Aws) -> bool:
    """Has the pool a user for each user in Postgres?"""
    return not _list_missing(database, aws, user_pool.get_pool(aws))


def create_users(database: Database, aws: Aws) -> str:
    """Make a user in the pool for each user in Postgres who has none; says how many."""
    pool = user_pool.get_pool(aws)
    missing = _list_missing(database, aws, pool)
    for user in missing:
        user_pool.create_user(aws, pool, user.handle, user.email, user.display_name)
    if refused := [user.handle for user in _list_missing(database, aws, pool)]:
        raise DevError(
            f"the pool {aws.pool_name} did not take {shorten(refused)}",
            "./invoke cognito.list-users",
        )
    return f"{count(len(missing), 'user')} created"


def is_synced(database: Database, aws: Aws) -> bool:
    """Does every user whose handle is in the pool carry its sub?"""
    subs = _subs(aws)
    return all(
        user.cognito_user_id == subs[user.handle]
        for user in users.list_users(database)
        if user.handle in subs
    )


def sync(database: Database, aws: Aws) -> Comparison:
    """Write every `sub` into Postgres, by handle; who was matched. Raises DevError for nobody."""
    users.link_cognito(database, _subs(aws))
    comparison = compare(database, aws)
    if not comparison.matched:
        raise DevError(
            f"no handle is in both {database} and the pool: {comparison}",
            "./invoke setup" if aws.owned else "give the pool's users preferred_username = handle",
        )
    return comparison


def link(database: Database, aws: Aws) -> int:
    """Write every `sub` into Postgres, by handle, if there are any; how many rows changed."""
    try:
        return users.link_cognito(database, _subs(aws))
    except NotFoundError:  # no pool, or no table users
        return 0


def delete_others(database: Database, aws: Aws) -> int:
    """Delete the users of the pool whose handle is not in Postgres; how many there were."""
    pool = user_pool.get_pool(aws)
    handles = {user.handle for user in users.list_users(database)}
    others = [
        user.username for user in user_pool.list_users(aws, pool) if user.handle not in handles
    ]
    user_pool.delete_users(aws, pool, others)
    return len(others)


def compare(database: Database, aws: Aws) -> Comparison:
    """Who is in Postgres, in the pool, in both."""
    pool_users = user_pool.list_users(aws, user_pool.get_pool(aws))
    subs = user_pool.subs_by_handle(pool_users)
    in_pool = {user.handle for user in pool_users if user.handle}
    in_postgres = {user.handle for user in users.list_users(database)}
    return Comparison(
        matched=sorted(in_postgres & subs.keys()),
        only_in_cognito=sorted(in_pool - in_postgres),
        only_in_postgres=sorted(in_postgres - in_pool),
        without_handle=sorted(user.username for user in pool_users if not user.handle),
        ambiguous=sorted(in_pool - subs.keys()),
        unconfirmed=sorted(user.username for user in pool_users if user.status == "UNCONFIRMED"),
        disabled=sorted(user.username for user in pool_users if not user.enabled),
    )


def _list_missing(database: Database, aws: Aws, pool: str) -> list[users.User]:
    handles = {user.handle for user in user_pool.list_users(aws, pool)}
    return [user for user in users.list_users(database) if user.handle not in handles]


def _subs(aws: Aws) -> dict[str, str]:
    return user_pool.subs_by_handle(user_pool.list_users(aws, user_pool.get_pool(aws)))


def shorten(names: list[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
