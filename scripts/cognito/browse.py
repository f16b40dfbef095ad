"""The users of the pool with all that Cognito has of them, each with its row in Postgres."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from scripts.cognito import user_pool, users
from scripts.cognito.users import User
from scripts.targets import Aws, Database


@dataclass(frozen=True)
class Account:
    """A user of the pool; `user` is the row of the app with the same sub or, without one, handle.

    `is_linked`: the row has the user's sub.
    """

    username: str
    status: str
    enabled: bool
    created: datetime | None
    attributes: Mapping[str, str]
    user: User | None
    is_linked: bool


def list_accounts(database: Database, aws: Aws) -> list[Account]:
    """Every user of the pool, by handle or e-mail address. Raises NotFoundError without a pool."""
    pool = user_pool.get_pool(aws)
    everybody = users.list_users(database)
    by_sub = {user.cognito_user_id: user for user in everybody if user.cognito_user_id}
    by_handle = {user.handle: user for user in everybody}
    found = []
    for raw in user_pool.list_raw(aws, pool):
        attributes = user_pool.read_attributes(raw)
        linked = by_sub.get(attributes.get("sub", ""))
        account = Account(
            username=str(raw["Username"]),
            status=str(raw.get("UserStatus", "")),
            enabled=bool(raw.get("Enabled", True)),
            created=raw.get("UserCreateDate"),
            attributes=attributes,
            user=linked or by_handle.get(attributes.get("preferred_username", "")),
            is_linked=linked is not None,
        )
        found.append(account)
    return sorted(found, key=_name)


def _name(account: Account) -> str:
    """How people recognize the user: the username may be a sub."""
    attributes = account.attributes
    return attributes.get("preferred_username") or attributes.get("email") or account.username
