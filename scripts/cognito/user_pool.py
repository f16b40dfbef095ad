"""The Cognito user pool and its users, all pages of them.

A pool that signs in by e-mail makes each user's Username itself (the sub); so users are recognized
by handle or e-mail. A pool that was created differently is used as it is.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from scripts import clients
from scripts.cognito import addresses, app_client, passwords
from scripts.errors import DevError, NotFoundError
from scripts.settings import Settings
from scripts.targets import Aws

Item = dict[str, Any]
_TAG = "invoke:local-passwords"
_FIRST = Settings.cognito_password  # that of a pool of an earlier version, which has no tag
WORKERS = 4  # client and emulator each keep one core busy: 1.5 times as fast as one


@dataclass(frozen=True)
class PoolUser:
    """A user of the pool; the handle is the attribute preferred_username, "" for none."""

    username: str
    sub: str
    handle: str
    email: str
    status: str
    enabled: bool

    @property
    def label(self) -> str:
        """How people recognize the user: a Username that is the sub is no name."""
        return self.username if self.username != self.sub else self.handle or self.email


def find_pool(aws: Aws) -> str | None:
    """The ID of the pool, None if no pool has this ID or name."""
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
            "set COGNITO_POOL_NAME to another name",
        )
    return ids[0] if ids else None


def get_pool(aws: Aws) -> str:
    """The id of the pool. Raises NotFoundError where there is none."""
    if pool := find_pool(aws):
        return pool
    raise no_pool(aws)


def no_pool(aws: Aws) -> NotFoundError:
    """The error for a pool that does not exist."""
    return clients.not_found(
        aws,
        f"there is no user pool {aws.pool_id or aws.pool_name} in {aws}",
        "./invoke setup" if aws.owned else "set AWS_COGNITO_USER_POOL_ID to an existing pool",
        find_pool,
    )


def is_complete(aws: Aws) -> bool:
    """Does the pool exist, and on a local stack its client?"""
    pool = find_pool(aws)
    return bool(pool and (not aws.user_password or app_client.find_client(aws, pool)))


def complete_pool(aws: Aws) -> str:
    """Create what is missing of the pool and its client; returns what that was."""
    if pool := find_pool(aws):
        return f"created the client {app_client.ensure_client(aws, pool)}"
    return f"created {create_pool(aws)}"


def create_pool(aws: Aws) -> str:
    """Create the pool and its client; its id. Users sign in by e-mail, or else also by handle."""
    names = ("email", "name", "preferred_username")
    email: Item = {
        "UsernameAttributes": ["email"],
        "UsernameConfiguration": {"CaseSensitive": False},
    }
    pool = clients.cognito(aws).create_user_pool(
        PoolName=aws.pool_name,
        AutoVerifiedAttributes=["email"],
        Schema=[{"Name": n, "AttributeDataType": "String", "Mutable": True} for n in names],
        UserPoolTags=_describe_passwords([aws.user_password]) if aws.user_password else {},
        **(email if aws.sign_in == "email" else {"AliasAttributes": ["email"]}),
    )
    app_client.ensure_client(aws, pool["UserPool"]["Id"])
    return str(pool["UserPool"]["Id"])


def list_local_passwords(aws: Aws, pool: str) -> list[str]:
    """The local passwords that users may have, from the pool's tag; [] where there is none."""
    if not aws.user_password:
        return []
    tags = clients.cognito(aws).describe_user_pool(UserPoolId=pool)["UserPool"]["UserPoolTags"]
    return [unquote(text) for text in tags[_TAG].split()] if _TAG in tags else [_FIRST]


def tag_local_passwords(aws: Aws, pool: str, passwords: Sequence[str]) -> None:
    """Write the local passwords that users may have into the pool's tag."""
    client = clients.cognito(aws)
    arn = client.describe_user_pool(UserPoolId=pool)["UserPool"]["Arn"]
    client.tag_resource(ResourceArn=arn, Tags=_describe_passwords(passwords))


def create_user(aws: Aws, pool: str, handle: str, email: str, name: str) -> None:
    """Create a confirmed user; one that exists is left alone."""
    create_users(aws, pool, [describe_user(handle, email, name)])


def describe_user(handle: str, email: str, name: str) -> Item:
    """A user as `create_users` takes it."""
    attributes = {"preferred_username": handle, "email": email, "name": name}
    return {
        "Username": "",
        "Enabled": True,
        "Status": "CONFIRMED",
        "Attributes": _to_pairs(attributes | {"email_verified": "true"}),
    }


def create_users(aws: Aws, pool: str, users: Sequence[Item]) -> None:
    """Create users in the form of `save_users`, without an invitation.

    Where there is a local password, a confirmed one gets it. One that exists is left alone.
    """
    client = clients.cognito(aws)
    described = client.describe_user_pool(UserPoolId=pool)["UserPool"]
    sign_in = described.get("UsernameAttributes") or []
    app = app_client.ensure_client(aws, pool) if any(map(_signs_up, users)) else ""

    def create(user: Item) -> None:
        _create(aws, pool, app, _with_username(aws, user, sign_in))

    in_parallel(aws, create, users)


def list_users(aws: Aws, pool: str) -> list[PoolUser]:
    """Every user of the pool, by handle."""
    found = [_pool_user(user) for user in list_raw(aws, pool)]
    return sorted(found, key=lambda user: (user.handle, user.label))


def list_raw(aws: Aws, pool: str) -> list[Item]:
    """Every user of the pool, as Cognito describes them.

    Without AttributesToGet: with it, one user who lacks an attribute fails the whole call.
    """
    pages = clients.cognito(aws).get_paginator("list_users").paginate(UserPoolId=pool)
    return [user for page in pages for user in page["Users"]]


def read_attributes(user: Item) -> dict[str, str]:
    """The attributes of a user as Cognito describes it, by name."""
    return {pair["Name"]: pair["Value"] for pair in user.get("Attributes", [])}


def save_users(aws: Aws, pool: str) -> list[Item]:
    """Every user of the pool with all that can be given to another one.

    The rest is Cognito's own: it never reveals a password, and makes a new sub each time. A
    Username that is the sub is saved as "".
    """
    return [_save(user) for user in list_raw(aws, pool)]


def restore_users(aws: Aws, pool: str, saved: Iterable[Item]) -> None:
    """Let the pool have exactly the saved users.

    One who is as saved is left alone, and so keeps sub and password. Any other is created anew.
    """
    wanted = {_key(user): user for user in ({"Status": "CONFIRMED"} | one for one in saved)}
    present = {_key(_save(user)): user["Username"] for user in list_raw(aws, pool)}
    delete_users(aws, pool, [present[key] for key in present.keys() - wanted.keys()])
    create_users(aws, pool, [wanted[key] for key in sorted(wanted.keys() - present.keys())])


def delete_users(aws: Aws, pool: str, usernames: Sequence[str]) -> None:
    """Delete users of the pool; one that does not exist is no error."""
    client = clients.cognito(aws)

    def delete(name: str) -> None:
        with contextlib.suppress(client.exceptions.UserNotFoundException):
            client.admin_delete_user(UserPoolId=pool, Username=name)

    in_parallel(aws, delete, usernames)


def set_email(aws: Aws, pool: str, username: str, email: str) -> None:
    """Give a user another e-mail address, as verified."""
    pairs = _to_pairs({"email": email, "email_verified": "true"})
    clients.cognito(aws).admin_update_user_attributes(
        UserPoolId=pool, Username=username, UserAttributes=pairs
    )


def in_parallel(aws: Aws, action: Callable[[Any], object], items: Iterable[Any]) -> None:
    """Do it for each item; on AWS, which limits the rate, for one after the other."""
    with ThreadPoolExecutor(WORKERS if aws.owned else 1) as executor:
        for _ in executor.map(action, items):
            pass


def subs_by_handle(users: Iterable[PoolUser]) -> dict[str, str]:
    """The `sub` of each handle; users without a handle, or with one held twice, are left out."""
    users = list(users)
    times = Counter(user.handle for user in users)
    return {user.handle: user.sub for user in users if user.handle and times[user.handle] == 1}


def _create(aws: Aws, pool: str, app: str, user: Item) -> None:
    client = clients.cognito(aws)
    given = {"Username": user["Username"], "UserAttributes": user["Attributes"]}
    local = {"TemporaryPassword": aws.user_password} if aws.user_password else {}
    name = user["Username"]
    try:
        with passwords.refusals(aws, name):
            if _signs_up(user):
                client.sign_up(ClientId=app, Password=aws.user_password, **given)
            else:
                created = client.admin_create_user(
                    UserPoolId=pool, MessageAction="SUPPRESS", **given, **local
                )
                name = created["User"]["Username"]  # the emulator finds it much faster
    except client.exceptions.UsernameExistsException:
        return
    if user["Status"] == "CONFIRMED" and aws.user_password:
        passwords.set_password(aws, pool, name, aws.user_password)
    if not user["Enabled"]:
        client.admin_disable_user(UserPoolId=pool, Username=name)


def _with_username(aws: Aws, user: Item, sign_in: Sequence[str]) -> Item:
    """The user with the Username that a pool takes in which users sign in by these attributes."""
    attributes = read_attributes(user)
    name = user["Username"] or attributes.get("preferred_username") or attributes.get("email", "")
    if sign_in:
        if "email" in sign_in and not attributes.keys() & set(sign_in):
            attributes["email"] = addresses.make_local(name, aws.pool_name)
        name = next((attributes[one] for one in sign_in if one in attributes), name)
    return {**user, "Username": name, "Attributes": _to_pairs(attributes)}


def _signs_up(user: Item) -> bool:
    """Only who signs up is unconfirmed."""
    return bool(user["Status"] == "UNCONFIRMED")


def _describe_passwords(passwords: Sequence[str]) -> dict[str, str]:
    return {_TAG: " ".join(quote(one, safe="") for one in passwords)}


def _is_ours(aws: Aws, pool: dict[str, str]) -> bool:
    return pool["Name"] == aws.pool_name


def _save(user: Item) -> Item:
    attributes = read_attributes(user)
    sub = attributes.pop("sub", "")
    return {
        "Username": "" if user["Username"] == sub else user["Username"],
        "Enabled": user.get("Enabled", True),
        "Status": user.get("UserStatus", ""),
        "Attributes": _to_pairs(attributes),
    }


def _key(user: Item) -> str:
    return json.dumps(user, sort_keys=True)


def _to_pairs(attributes: dict[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": attributes[name]} for name in sorted(attributes)]


def _pool_user(user: Item) -> PoolUser:
    attributes = read_attributes(user)
    return PoolUser(
        username=str(user["Username"]),
        sub=attributes.get("sub", ""),
        handle=attributes.get("preferred_username", ""),
        email=attributes.get("email", ""),
        status=str(user.get("UserStatus", "")),
        enabled=bool(user.get("Enabled", True)),
    )
