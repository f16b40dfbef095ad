"""Sign-in as apps do it: by password and by SRP, with tokens that a backend verifies."""

from collections.abc import Callable
from typing import Any

import jwt
import pytest
from pycognito.aws_srp import AWSSRP  # type: ignore[import-untyped]

from scripts import clients
from scripts.cognito import app_client, sign_in, user_pool, users
from scripts.cognito.user_pool import PoolUser
from scripts.errors import DevError
from scripts.targets import Aws, Database

LOCAL = "Local-Passw0rd!"
OTHER = "Another-1-Passw0rd"

Tokens = dict[str, Any]


def by_password(aws: Aws, name: str, password: str = LOCAL) -> Tokens:
    """The tokens that a password gives."""
    pool = user_pool.get_pool(aws)
    answer = clients.cognito(aws).initiate_auth(
        ClientId=app_client.get_client(aws, pool),
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": name, "PASSWORD": password},
    )
    return dict(answer["AuthenticationResult"])


def by_srp(aws: Aws, name: str, password: str = LOCAL) -> Tokens:
    """The same without the password on the wire, as Amplify does."""
    pool = user_pool.get_pool(aws)
    client = app_client.get_client(aws, pool)
    srp = AWSSRP(name, password, pool, client, client=clients.cognito(aws))
    return dict(srp.authenticate_user()["AuthenticationResult"])


def verify(aws: Aws, token: str, **options: Any) -> dict[str, Any]:
    """The claims of a token, verified as a backend does."""
    pool = user_pool.get_pool(aws)
    keys = jwt.PyJWKClient(f"{aws.endpoint}/{pool}/.well-known/jwks.json")
    issuer = f"https://cognito-idp.{aws.region}.amazonaws.com/{pool}"
    key = keys.get_signing_key_from_jwt(token)
    claims: dict[str, Any] = jwt.decode(token, key, ["RS256"], issuer=issuer, **options)
    return claims


def sign_up(aws: Aws, address: str, **attributes: str) -> None:
    """Sign up through the app; nobody has confirmed it yet."""
    clients.cognito(aws).sign_up(
        ClientId=app_client.get_client(aws, user_pool.get_pool(aws)),
        Username=address,
        Password=OTHER,
        UserAttributes=[{"Name": key, "Value": value} for key, value in attributes.items()],
    )


def find(aws: Aws, handle: str) -> PoolUser:
    """The user of the pool with this handle."""
    return sign_in.get_user(aws, user_pool.get_pool(aws), handle)


def sub_in_postgres(database: Database, handle: str) -> str | None:
    """The Cognito ID that Postgres has for the user."""
    return {user.handle: user.cognito_user_id for user in users.list_users(database)}[handle]


def refusal(action: Callable[[], object]) -> DevError:
    """The failure of an action."""
    with pytest.raises(DevError) as error:
        action()
    return error.value
