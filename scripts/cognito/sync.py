"""The app's users in Postgres and in the Cognito pool: the same people, matched by handle.

A user of the pool without a handle has that of the one user in Postgres with the e-mail address.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from scripts.cognito import addresses, app_client, passwords, user_pool, users
from scripts.cognito.user_pool import PoolUser
from scripts.errors import DevError, NotFoundError, count
from scripts.targets import Aws, Database


@dataclass(frozen=True)
class Comparison:
    """Handles in both places and in one only; further, by label, who is special in the pool."""

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
    """Does the pool have each user in Postgres, with a password if there is a local one?"""
    everybody, in_pool = _list_both(database, aws)
    if _find_missing(everybody, in_pool) or _find_unfinished(aws, everybody, in_pool):
        return False
    former = user_pool.list_local_passwords(aws, user_pool.get_pool(aws))
    return not former or former == [aws.user_password]


def create_users(database: Database, aws: Aws) -> str:
    """Create a pool user for each user in Postgres who has none; returns how many.

    A user whose creation was interrupted has no password yet, and gets the local one; so does one
    who still has a former local one.
    """
    pool = user_pool.get_pool(aws)
    everybody = users.list_users(database)
    in_pool = _list_pool(aws, pool, everybody)
    renewed = _renew_passwords(aws, pool, in_pool)
    missing = _find_missing(everybody, in_pool)
    emails = addresses.assign(missing, (user.email for user in in_pool), aws.pool_name)
    new = [user_pool.describe_user(u.handle, emails[u.handle], u.display_name) for u in missing]
    user_pool.create_users(aws, pool, new)
    unfinished = _find_unfinished(aws, everybody, in_pool)
    finish = partial(passwords.set_password, aws, pool, password=aws.user_password)
    user_pool.in_parallel(aws, finish, unfinished)
    in_pool = _list_pool(aws, pool, everybody)
    if refused := [user.handle for user in _find_missing(everybody, in_pool)]:
        raise DevError(
            f"the pool {aws.pool_name} rejected {shorten(refused)}",
            "./invoke cognito.list-users",
        )
    local = sum(emails[user.handle] != user.email for user in missing)
    return _describe_creation(len(missing), local, len(unfinished)) + renewed


def _renew_passwords(aws: Aws, pool: str, in_pool: Sequence[PoolUser]) -> str:
    """Give the local password to the users who have a former one; what was done, "" for nothing."""
    former = user_pool.list_local_passwords(aws, pool)
    if not former or former == [aws.user_password]:
        return ""
    # In the tag before a user has it: after a kill, it may be a former one.
    user_pool.tag_local_passwords(aws, pool, [*dict.fromkeys([*former, aws.user_password])])
    app, renewed, others = app_client.ensure_client(aws, pool), [], []

    def renew(user: PoolUser) -> None:
        accepts = partial(passwords.is_accepted, aws, pool, app, user.username)
        if any(accepts(password) for password in former if password != aws.user_password):
            passwords.set_password(aws, pool, user.username, aws.user_password)
            renewed.append(user)
        elif not accepts(aws.user_password):
            others.append((user.handle or user.label) + ("" if user.enabled else " (disabled)"))

    complete = [user for user in in_pool if user.status != "FORCE_CHANGE_PASSWORD"]
    user_pool.in_parallel(aws, renew, complete)
    user_pool.tag_local_passwords(aws, pool, [aws.user_password])
    text = f", {len(renewed)} given the new local password"
    return f"{text}; with another password: {shorten(sorted(others))}" if others else text


def find_unlinked(database: Database, aws: Aws) -> list[str]:
    """The handles of the users whose Cognito ID is not that of their user in the pool."""
    everybody, pool = users.list_users(database), user_pool.find_pool(aws)
    if not (pool or aws.owned):  # on AWS, the settings may name no pool
        return [user.handle for user in everybody if not user.cognito_user_id]
    in_pool = _list_pool(aws, pool, everybody) if pool else []
    subs, ids = user_pool.subs_by_handle(in_pool), {user.sub for user in in_pool}
    return [
        user.handle
        for user in everybody
        if user.cognito_user_id not in ids
        or user.cognito_user_id != subs.get(user.handle, user.cognito_user_id)
    ]


def is_synced(database: Database, aws: Aws) -> bool:
    """Does every user whose handle is in the pool carry its sub?"""
    everybody, in_pool = _list_both(database, aws)
    subs = user_pool.subs_by_handle(in_pool)
    return all(
        user.cognito_user_id == subs[user.handle] for user in everybody if user.handle in subs
    )


def sync(database: Database, aws: Aws) -> Comparison:
    """Write every `sub` into Postgres, by handle; the comparison. DevError if no handle matches."""
    everybody, in_pool = _list_both(database, aws)
    users.link_cognito(database, user_pool.subs_by_handle(in_pool))
    comparison = _compare(everybody, in_pool)
    if not comparison.matched and comparison.only_in_postgres:
        raise DevError(
            f"no handle is in both {database} and the pool: {comparison}",
            "./invoke setup" if aws.owned else "give the pool's users preferred_username = handle",
        )
    return comparison


def link(database: Database, aws: Aws) -> int:
    """Write every `sub` into Postgres, by handle, if there are any; how many rows changed."""
    try:
        _, in_pool = _list_both(database, aws)
        return users.link_cognito(database, user_pool.subs_by_handle(in_pool))
    except NotFoundError:  # no pool, or no table users
        return 0


def delete_others(database: Database, aws: Aws) -> int:
    """Delete the pool users whose handle is not in Postgres; how many there were.

    An e-mail address of theirs that is one of a user in Postgres becomes that user's.
    """
    pool = user_pool.get_pool(aws)
    everybody = users.list_users(database)
    handles = {user.handle for user in everybody}
    others = [user for user in _list_pool(aws, pool, everybody) if user.handle not in handles]
    user_pool.delete_users(aws, pool, [user.username for user in others])
    _return_addresses(aws, pool, everybody)
    return len(others)


def compare(database: Database, aws: Aws) -> Comparison:
    """Who is in Postgres, in the pool, in both."""
    return _compare(*_list_both(database, aws))


def _compare(everybody: Sequence[users.User], pool_users: Sequence[PoolUser]) -> Comparison:
    subs = user_pool.subs_by_handle(pool_users)
    in_pool = {user.handle for user in pool_users if user.handle}
    in_postgres = {user.handle for user in everybody}
    return Comparison(
        matched=sorted(in_postgres & subs.keys()),
        only_in_cognito=sorted(in_pool - in_postgres),
        only_in_postgres=sorted(in_postgres - in_pool),
        without_handle=sorted(user.label for user in pool_users if not user.handle),
        ambiguous=sorted(in_pool - subs.keys()),
        unconfirmed=sorted(user.label for user in pool_users if user.status == "UNCONFIRMED"),
        disabled=sorted(user.label for user in pool_users if not user.enabled),
    )


def _list_both(database: Database, aws: Aws) -> tuple[list[users.User], list[PoolUser]]:
    everybody = users.list_users(database)
    return everybody, _list_pool(aws, user_pool.get_pool(aws), everybody)


def _list_pool(aws: Aws, pool: str, everybody: Sequence[users.User]) -> list[PoolUser]:
    """The pool's users, each with a handle if there is a way to find one."""
    pool_users = user_pool.list_users(aws, pool)
    taken = {user.handle for user in pool_users}
    times = Counter(user.email.lower() for user in everybody)
    handles = {
        email: user.handle
        for user in everybody
        if times[email := user.email.lower()] == 1 and email and user.handle not in taken
    }
    return [
        user if user.handle else replace(user, handle=handles.get(user.email.lower(), ""))
        for user in pool_users
    ]


def _find_missing(everybody: Sequence[users.User], in_pool: Sequence[PoolUser]) -> list[users.User]:
    """The users without a pool user, one for each handle."""
    handles = {user.handle for user in in_pool}
    return list({u.handle: u for u in everybody if u.handle not in handles}.values())


def _find_unfinished(
    aws: Aws, everybody: Sequence[users.User], in_pool: Sequence[PoolUser]
) -> list[str]:
    """The usernames of those who could not sign in, where there is a password for them."""
    handles = {user.handle for user in everybody}
    waiting = [u for u in in_pool if u.handle in handles and u.status == "FORCE_CHANGE_PASSWORD"]
    return [user.username for user in waiting] if aws.user_password else []


def _return_addresses(aws: Aws, pool: str, everybody: Sequence[users.User]) -> None:
    """Give users with a local address their own one, as far as it is free."""
    in_pool = _list_pool(aws, pool, everybody)
    local = {u.handle: u for u in in_pool if addresses.is_local(u.email, aws.pool_name)}
    taken = [user.email for user in in_pool if user.handle not in local]
    waiting = [user for user in everybody if user.handle in local]
    for handle, email in addresses.assign(waiting, taken, aws.pool_name).items():
        if not addresses.is_local(email, aws.pool_name):
            user_pool.set_email(aws, pool, local[handle].username, email)


def _describe_creation(created: int, local: int, unfinished: int) -> str:
    parts = [f"{count(created, 'user')} created"]
    if local:
        parts.append(f"{local} with a local e-mail address: missing, invalid or taken in Postgres")
    if unfinished:
        parts.append(f"{unfinished} given the local password")
    return ", ".join(parts)


def shorten(names: list[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
