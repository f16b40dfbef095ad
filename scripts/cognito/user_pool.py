"""The Cognito user pool and its users, all pages of them."""

import contextlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from scripts import clients
from scripts.errors import DevError, NotFoundError
from scripts.targets import Aws


@dataclass(frozen=True)
class PoolUser:
    """A user of the pool; the handle is the attribute preferred_username, "" for none."""

    username: str
    sub: str
    handle: str
    email: str
    status: str
    enabled: bool


def find_pool(aws: Aws) -> str | None:
    """The id of the pool, None where there is none of this id, or of this name."""
    client = clients.cognito(aws)
    if aws.pool_id:
        try:
            return str(client.describe_user_pool(UserPoolId=aws.pool_id)["UserPool"]["Id"])
        except client.exceptions.ResourceNotFoundException:
            return None
    pages = client.get_paginator("list_user_pools").paginate(MaxResults=60)
    ids = [pool["Id"] for page in pages for pool in page["UserPools"] if _is_ours(aws, pool)]
    if len(ids) > 1:
        raise DevError(
            f"there are {len(ids)} user pools called {aws.pool_name}: {', '.join(ids)}",
            "delete all but one, or set COGNITO_POOL_NAME to another name",
        )
    return ids[0] if ids else None


def get_pool(aws: Aws) -> str:
    """The id of the pool. Raises NotFoundError where there is none."""
    if pool := find_pool(aws):
        return pool
    raise NotFoundError(
        f"there is no user pool {aws.pool_id or aws.pool_name} in {aws}",
        "./invoke setup" if aws.owned else "set AWS_COGNITO_USER_POOL_ID to one that is there",
    )


def create_pool(aws: Aws) -> str:
    """Create the pool; its id."""
    pool = clients.cognito(aws).create_user_pool(PoolName=aws.pool_name)
    return str(pool["UserPool"]["Id"])


def create_user(aws: Aws, pool: str, handle: str, email: str, name: str) -> None:
    """Create a user in the pool, without an invitation. One that is there already is left alone."""
    attributes = {"preferred_username": handle, "email": email, "name": name}
    pairs = [{"Name": key, "Value": value} for key, value in attributes.items()]
    _create(aws, pool, handle, pairs)


def list_users(aws: Aws, pool: str) -> list[PoolUser]:
    """Every user of the pool.

    Without AttributesToGet: with it, one user who lacks an attribute fails the whole call.
    """
    return [_pool_user(user) for user in _list_raw(aws, pool)]


def save_users(aws: Aws, pool: str) -> list[dict[str, Any]]:
    """Every user of the pool with all attributes that can be given to another one.

    The rest is Cognito's own: it tells nobody a password, and makes a new sub each time.
    """
    return [
        {
            "Username": user["Username"],
            "Enabled": user.get("Enabled", True),
            "Attributes": [pair for pair in user["Attributes"] if pair["Name"] != "sub"],
        }
        for user in _list_raw(aws, pool)
    ]


def restore_users(aws: Aws, pool: str, saved: Iterable[dict[str, Any]]) -> None:
    """Let the pool have exactly the saved users; one that is there is left as it is."""
    wanted = {user["Username"]: user for user in saved}
    present = {user.username for user in list_users(aws, pool)}
    client = clients.cognito(aws)
    for name in sorted(wanted.keys() - present):
        _create(aws, pool, name, wanted[name]["Attributes"])
        if not wanted[name]["Enabled"]:
            client.admin_disable_user(UserPoolId=pool, Username=name)
    delete_users(aws, pool, present - wanted.keys())


def delete_users(aws: Aws, pool: str, usernames: Iterable[str]) -> None:
    """Delete users of the pool; one that is not there is no error."""
    client = clients.cognito(aws)
    for name in sorted(usernames):
        with contextlib.suppress(client.exceptions.UserNotFoundException):
            client.admin_delete_user(UserPoolId=pool, Username=name)


def subs_by_handle(users: Iterable[PoolUser]) -> dict[str, str]:
    """The `sub` of each handle; users without a handle, or with one held twice, are left out."""
    users = list(users)
    times = Counter(user.handle for user in users)
    return {user.handle: user.sub for user in users if user.handle and times[user.handle] == 1}


def _create(aws: Aws, pool: str, username: str, attributes: list[dict[str, str]]) -> None:
    client = clients.cognito(aws)
    with contextlib.suppress(client.exceptions.UsernameExistsException):
        client.admin_create_user(
            UserPoolId=pool,
            Username=username,
            UserAttributes=attributes,
            MessageAction="SUPPRESS",
        )


def _list_raw(aws: Aws, pool: str) -> list[dict[str, Any]]:
    pages = clients.cognito(aws).get_paginator("list_users").paginate(UserPoolId=pool)
    return [user for page in pages for user in page["Users"]]


def _is_ours(aws: Aws, pool: dict[str, str]) -> bool:
    return pool["Name"] == aws.pool_name


def _pool_user(user: dict[str, Any]) -> PoolUser:
    attributes = {pair["Name"]: pair["Value"] for pair in user.get("Attributes", [])}
    return PoolUser(
        username=str(user["Username"]),
        sub=attributes.get("sub", ""),
        handle=attributes.get("preferred_username", ""),
        email=attributes.get("email", ""),
        status=str(user.get("UserStatus", "")),
        enabled=bool(user.get("Enabled", True)),
    )
