"""Sign-in as apps do it: by password and by SRP, with tokens that backends verify."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
import pytest

from scripts import clients, stacks
from scripts.cognito import app_client, sign_in, sync, user_pool, users
from scripts.errors import InvalidError, NotFoundError
from scripts.settings import Settings
from scripts.targets import Aws, Database
from tests.sign_in import (
    LOCAL,
    OTHER,
    Tokens,
    by_password,
    by_srp,
    find,
    refusal,
    sub_in_postgres,
    verify,
)

# Sign-in


@pytest.mark.parametrize("sign", [by_password, by_srp])
@pytest.mark.parametrize("handle", ["korney", "smirnov"])
def test_every_user_signs_in_by_e_mail_with_tokens_that_a_backend_verifies(
    seeded: Database, aws: Aws, pool: str, sign: Callable[[Aws, str], Tokens], handle: str
) -> None:
    tokens = sign(aws, f"{handle}@example.com")
    client = app_client.get_client(aws, pool)
    access = verify(aws, tokens["AccessToken"])
    assert access["sub"] == access["username"] == sub_in_postgres(seeded, handle)
    assert (access["token_use"], access["client_id"]) == ("access", client)
    identity = verify(aws, tokens["IdToken"], audience=client)
    assert identity["sub"] == identity["cognito:username"] == access["sub"]
    assert identity["email"] == f"{handle}@example.com"
    assert identity["email_verified"] is True
    assert identity["preferred_username"] == handle
    assert identity["name"] == find_name(seeded, handle)


def find_name(database: Database, handle: str) -> str:
    return users.get_person(database, handle).display_name


def test_a_refresh_token_gives_new_tokens(aws: Aws, pool: str) -> None:
    first = by_password(aws, "korney@example.com")
    answer = clients.cognito(aws).initiate_auth(
        ClientId=app_client.get_client(aws, pool),
        AuthFlow="REFRESH_TOKEN_AUTH",
        AuthParameters={"REFRESH_TOKEN": first["RefreshToken"]},
    )
    fresh = verify(aws, answer["AuthenticationResult"]["AccessToken"])
    assert fresh["sub"] == verify(aws, first["AccessToken"])["sub"]


def test_a_token_that_was_changed_is_not_verified(aws: Aws, pool: str) -> None:
    head, body, signature = by_password(aws, "korney@example.com")["AccessToken"].split(".")
    _, other, _ = by_password(aws, "smirnov@example.com")["AccessToken"].split(".")
    assert verify(aws, f"{head}.{body}.{signature}")
    with pytest.raises(jwt.InvalidSignatureError):
        verify(aws, f"{head}.{other}.{signature}")


@pytest.mark.parametrize("sign", [by_password, by_srp])
def test_another_password_is_refused(
    aws: Aws, pool: str, sign: Callable[[Aws, str, str], Tokens]
) -> None:
    with pytest.raises(clients.cognito(aws).exceptions.NotAuthorizedException):
        sign(aws, "korney@example.com", OTHER)


def test_the_local_password_is_the_setting(environment: Settings, seeded: Database) -> None:
    aws = replace(stacks.targets(environment).aws, user_password=OTHER)
    user_pool.create_pool(aws)
    sync.create_users(seeded, aws)
    assert by_password(aws, "korney@example.com", OTHER)


# Tokens from the tool


def test_tokens_are_given_by_handle_and_by_address(seeded: Database, aws: Aws, pool: str) -> None:
    for name in ("korney", "korney@example.com"):
        tokens = sign_in.get_tokens(aws, name)
        claims = verify(aws, tokens.access_token)
        assert claims["sub"] == sub_in_postgres(seeded, "korney")
        assert claims["exp"] - tokens.expires_at.timestamp() < 5
        assert tokens.access_token not in repr(tokens)


def test_who_is_not_in_the_pool_is_said_with_some_who_are(aws: Aws, pool: str) -> None:
    error = refusal(lambda: sign_in.get_tokens(aws, "nobody"))
    assert type(error) is NotFoundError
    assert error.message == (
        "there is no user nobody in the pool cruddur; users: korney, smirnov\n"
        "hint: all users: ./invoke cognito.list-users"
    )


def test_who_is_disabled_is_said_with_the_command_that_enables(aws: Aws, pool: str) -> None:
    user = find(aws, "korney")
    clients.cognito(aws).admin_disable_user(UserPoolId=pool, Username=user.username)
    assert refusal(lambda: sign_in.get_tokens(aws, "korney")).message == (
        "korney is disabled in the pool cruddur\n"
        'hint: eval "$(./invoke env --format shell)"; aws cognito-idp admin-enable-user'
        f" --user-pool-id {pool} --username {user.username}"
    )


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            lambda client, user: client.admin_set_user_password(
                **user, Password=OTHER, Permanent=True
            ),
            "it's me does not have the local password",
        ),
        (
            lambda client, user: client.admin_set_user_password(
                **user, Password=LOCAL, Permanent=False
            ),
            "the pool asks it's me for more than a password: NEW_PASSWORD_REQUIRED",
        ),
        (
            lambda client, user: client.admin_reset_user_password(**user),
            "it's me must reset the password",
        ),
        (
            lambda client, user: (
                client.admin_delete_user(**user),
                client.sign_up(
                    ClientId=client.list_user_pool_clients(UserPoolId=user["UserPoolId"])[
                        "UserPoolClients"
                    ][0]["ClientId"],
                    Username=user["Username"],
                    Password=LOCAL,
                    UserAttributes=[{"Name": "preferred_username", "Value": "it's me"}],
                ),
            ),
            "it's me signed up, but is not confirmed",
        ),
    ],
)
def test_who_cannot_sign_in_can_after_set_password(
    aws: Aws, pool: str, spoil: Callable[[Any, dict[str, str]], object], reason: str
) -> None:
    user_pool.create_user(aws, pool, "it's me", "me@x.org", "Me")
    spoil(clients.cognito(aws), {"UserPoolId": pool, "Username": "me@x.org"})
    error = refusal(lambda: sign_in.get_tokens(aws, "it's me"))
    assert error.reason == reason
    assert error.hint == """./invoke cognito.set-password 'it'"'"'s me'"""
    assert sign_in.set_password(aws, "it's me") == (
        "it's me signs in as me@x.org with the local password"
    )
    assert sign_in.get_tokens(aws, "it's me")


def test_another_password_can_be_set_if_it_follows_the_policy(aws: Aws, pool: str) -> None:
    assert sign_in.set_password(aws, "korney", OTHER) == (
        "korney signs in as korney@example.com with the given password"
    )
    assert by_password(aws, "korney@example.com", OTHER)
    error = refusal(lambda: sign_in.set_password(aws, "korney", "short"))
    assert type(error) is InvalidError
    assert error.message == (
        "the pool cruddur refuses the password: Password did not conform with policy: Password"
        " must have length greater than or equal to 8; Password must have uppercase characters;"
        " Password must have numeric characters; Password must have symbol characters\n"
        "hint: choose another one; the local password is the setting COGNITO_PASSWORD"
    )
    assert by_password(aws, "korney@example.com", OTHER)
