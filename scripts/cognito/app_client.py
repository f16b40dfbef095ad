"""The app client of the pool: what a frontend needs, beside the pool's id, to sign users in."""

from typing import Any

from scripts import clients
from scripts.errors import NotFoundError
from scripts.targets import Aws

FLOWS = (
    "ALLOW_ADMIN_USER_PASSWORD_AUTH",
    "ALLOW_REFRESH_TOKEN_AUTH",
    "ALLOW_USER_PASSWORD_AUTH",
    "ALLOW_USER_SRP_AUTH",
)


def find_client(aws: Aws, pool: str) -> str | None:
    """The id of the client that is named like the pool, None if there is none.

    Names are not unique: a client that has a secret, or lacks a flow, was created elsewhere.
    """
    client = clients.cognito(aws)
    pages = client.get_paginator("list_user_pool_clients").paginate(UserPoolId=pool, MaxResults=60)
    for one in [one for page in pages for one in page["UserPoolClients"]]:
        if one["ClientName"] == aws.pool_name:
            found = client.describe_user_pool_client(UserPoolId=pool, ClientId=one["ClientId"])
            if _is_usable(found["UserPoolClient"]):
                return str(one["ClientId"])
    return None


def get_client(aws: Aws, pool: str) -> str:
    """The id of the client. Raises NotFoundError if there is none."""
    if client := find_client(aws, pool):
        return client
    raise NotFoundError(
        f"the user pool {pool} has no client {aws.pool_name} that allows signing in by password",
        "./invoke cognito.create-pool",
    )


def ensure_client(aws: Aws, pool: str) -> str:
    """The id of the client, which is created if there is none."""
    return find_client(aws, pool) or _create(aws, pool)


def _create(aws: Aws, pool: str) -> str:
    created = clients.cognito(aws).create_user_pool_client(
        UserPoolId=pool, ClientName=aws.pool_name, GenerateSecret=False, ExplicitAuthFlows=FLOWS
    )
    return str(created["UserPoolClient"]["ClientId"])


def _is_usable(client: dict[str, Any]) -> bool:
    return "ClientSecret" not in client and set(FLOWS) <= set(client.get("ExplicitAuthFlows", []))
