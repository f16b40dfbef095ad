"""What a user of the pool was told is done is so after a kill: sign-up, password, sign-out."""

import concurrent.futures
import signal
from dataclasses import replace
from typing import Any

import pytest

from scripts import clients
from scripts.cognito import user_pool
from tests.stacks.conftest import PASSWORD, TABLE, Emulator, ask, call, sign_in, sign_up

OTHER = "Other-Pass-2"
MANY = 40


@pytest.fixture
def pool(emulator: Emulator) -> str:
    return user_pool.create_pool(replace(emulator.aws(), sign_in="handle"))


@pytest.fixture
def client_id(emulator: Emulator, pool: str) -> str:
    made = clients.cognito(emulator.aws()).create_user_pool_client(
        UserPoolId=pool, ClientName="app"
    )
    return str(made["UserPoolClient"]["ClientId"])


def get_tokens(emulator: Emulator, client_id: str, username: str = "ada") -> Any:
    return sign_in(emulator.aws(), client_id, username)["AuthenticationResult"]


def refresh(emulator: Emulator, client_id: str, tokens: Any) -> Any:
    parameters = {"REFRESH_TOKEN": tokens["RefreshToken"]}
    flow = {"ClientId": client_id, "AuthFlow": "REFRESH_TOKEN_AUTH"}
    return call(emulator.aws(), "InitiateAuth", **flow, AuthParameters=parameters)


def statuses(emulator: Emulator, pool: str) -> dict[str, str]:
    pages = clients.cognito(emulator.aws()).get_paginator("list_users").paginate(UserPoolId=pool)
    users = [user for page in pages for user in page["Users"]]
    return {user["Username"]: user["UserStatus"] for user in users}


def test_a_client_and_its_settings(emulator: Emulator, pool: str, client_id: str) -> None:
    def describe() -> Any:
        client = clients.cognito(emulator.aws())
        return client.describe_user_pool_client(UserPoolId=pool, ClientId=client_id)

    before = describe()["UserPoolClient"]
    emulator.restart()
    assert describe()["UserPoolClient"] == before


def test_sign_up_then_its_confirmation(emulator: Emulator, pool: str, client_id: str) -> None:
    aws = emulator.aws()
    call(aws, "SignUp", ClientId=client_id, Username="ada", Password=PASSWORD)
    emulator.restart()
    assert statuses(emulator, pool) == {"ada": "UNCONFIRMED"}
    aws = emulator.aws()
    call(aws, "ConfirmSignUp", ClientId=client_id, Username="ada", ConfirmationCode="123456")
    emulator.restart()
    assert statuses(emulator, pool) == {"ada": "CONFIRMED"}
    assert get_tokens(emulator, client_id)


def test_a_password_that_an_admin_set(emulator: Emulator, pool: str, client_id: str) -> None:
    user_pool.create_user(emulator.aws(), pool, "ada", "ada@example.com", "Ada")
    clients.cognito(emulator.aws()).admin_set_user_password(
        UserPoolId=pool, Username="ada", Password=PASSWORD, Permanent=True
    )
    emulator.restart()
    assert statuses(emulator, pool) == {"ada": "CONFIRMED"}
    assert get_tokens(emulator, client_id)


def test_what_an_admin_changes_of_a_user_is_a_line_of_the_log(
    emulator: Emulator, pool: str
) -> None:
    aws, client = emulator.aws(), clients.cognito(emulator.aws())
    for handle in ("ada", "ben", "eve", "kim"):
        user_pool.create_user(aws, pool, handle, f"{handle}@example.com", handle)
    log = emulator.state("users.log")
    before = log.read_bytes()
    state = emulator.state("cognito.json").stat().st_mtime_ns
    ada, name = {"UserPoolId": pool, "Username": "ada"}, [{"Name": "name", "Value": "Ada"}]
    client.admin_set_user_password(**ada, Password=OTHER, Permanent=True)
    client.admin_update_user_attributes(**ada, UserAttributes=name)
    for handle in ("ben", "eve"):
        client.admin_disable_user(UserPoolId=pool, Username=handle)
    client.admin_enable_user(UserPoolId=pool, Username="ben")
    client.admin_delete_user(UserPoolId=pool, Username="kim")
    added = log.read_bytes().removeprefix(before)
    assert added.count(b"\n") == 6
    assert len(log.read_bytes()) == len(before) + len(added)
    assert emulator.state("cognito.json").stat().st_mtime_ns == state
    users = user_pool.list_users(aws, pool)
    emulator.restart()
    assert user_pool.list_users(emulator.aws(), pool) == users
    assert {user.handle: user.enabled for user in users} == {"ada": True, "ben": True, "eve": False}
    emulator.end(signal.SIGTERM)
    emulator.start()
    assert user_pool.list_users(emulator.aws(), pool) == users


def test_a_sign_in_by_an_admin_is_a_line_of_the_log(
    emulator: Emulator, pool: str, client_id: str
) -> None:
    sign_up(emulator.aws(), client_id)
    log, state = emulator.state("users.log"), emulator.state("cognito.json")
    before, written = log.read_bytes(), state.stat().st_mtime_ns

    def attempt(flow: str, **parameters: str) -> Any:
        client = clients.cognito(emulator.aws())
        return client.admin_initiate_auth(
            UserPoolId=pool, ClientId=client_id, AuthFlow=flow, AuthParameters=parameters
        )

    by_password = "ADMIN_USER_PASSWORD_AUTH"
    tokens = attempt(by_password, USERNAME="ada", PASSWORD=PASSWORD)["AuthenticationResult"]
    with pytest.raises(clients.cognito(emulator.aws()).exceptions.NotAuthorizedException):
        attempt(by_password, USERNAME="ada", PASSWORD=OTHER)
    assert log.read_bytes().removeprefix(before).count(b"\n") == 1
    assert state.stat().st_mtime_ns == written
    emulator.restart()
    assert call(emulator.aws(), "GetUser", AccessToken=tokens["AccessToken"])["Username"] == "ada"
    written = state.stat().st_mtime_ns
    attempt("REFRESH_TOKEN_AUTH", REFRESH_TOKEN=tokens["RefreshToken"])
    assert state.stat().st_mtime_ns > written


def test_a_password_and_attributes_that_the_user_changed(
    emulator: Emulator, client_id: str
) -> None:
    sign_up(emulator.aws(), client_id)
    token = {"AccessToken": get_tokens(emulator, client_id)["AccessToken"]}
    passwords = {"PreviousPassword": PASSWORD, "ProposedPassword": OTHER}
    assert call(emulator.aws(), "ChangePassword", **token, **passwords) == {}
    name = [{"Name": "name", "Value": "Ada"}]
    call(emulator.aws(), "UpdateUserAttributes", **token, UserAttributes=name)
    emulator.restart()
    assert sign_in(emulator.aws(), client_id)["__type"] == "NotAuthorizedException"
    attributes = call(emulator.aws(), "GetUser", **token)["UserAttributes"]
    assert name[0] in attributes


def test_a_password_that_was_forgotten(emulator: Emulator, client_id: str) -> None:
    sign_up(emulator.aws(), client_id)
    user = {"ClientId": client_id, "Username": "ada"}
    call(emulator.aws(), "ForgotPassword", **user)
    emulator.restart()
    code = {"ConfirmationCode": "654321", "Password": OTHER}
    call(emulator.aws(), "ConfirmForgotPassword", **user, **code)
    emulator.restart()
    assert sign_in(emulator.aws(), client_id)["__type"] == "NotAuthorizedException"


def test_a_sign_in_and_its_keys(emulator: Emulator, pool: str, client_id: str) -> None:
    sign_up(emulator.aws(), client_id)
    tokens = get_tokens(emulator, client_id)
    path = f"/{pool}/.well-known/jwks.json"
    keys = ask(emulator.aws(), "GET", path).text
    emulator.restart()
    assert ask(emulator.aws(), "GET", path).text == keys
    assert call(emulator.aws(), "GetUser", AccessToken=tokens["AccessToken"])["Username"] == "ada"
    assert "AccessToken" in refresh(emulator, client_id, tokens)["AuthenticationResult"]


@pytest.mark.parametrize("operation", ["RevokeToken", "GlobalSignOut"])
def test_a_sign_out(emulator: Emulator, client_id: str, operation: str) -> None:
    sign_up(emulator.aws(), client_id)
    tokens = get_tokens(emulator, client_id)
    if operation == "RevokeToken":
        call(emulator.aws(), operation, ClientId=client_id, Token=tokens["RefreshToken"])
    else:
        call(emulator.aws(), operation, AccessToken=tokens["AccessToken"])
    emulator.restart()
    gone = call(emulator.aws(), "GetUser", AccessToken=tokens["AccessToken"])
    assert gone == {"__type": "NotAuthorizedException", "message": "Access Token has been revoked"}


def test_many_users_at_once(emulator: Emulator, pool: str, client_id: str) -> None:
    """Half sign up themselves, half are created and given a password."""

    def add(number: int) -> None:
        if number % 2:
            sign_up(emulator.aws(), client_id, f"user-{number}")
        else:
            user_pool.create_user(emulator.aws(), pool, f"user-{number}", "u@example.com", "U")

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(MANY)))
    emulator.end(signal.SIGKILL)
    emulator.start()
    found = statuses(emulator, pool)
    assert set(found) == {f"user-{number}" for number in range(MANY)}
    assert set(found.values()) == {"CONFIRMED"}


def test_an_index_that_was_added_to_a_table(emulator: Emulator) -> None:
    emulator.create_table()
    index = {
        "IndexName": "by-text",
        "KeySchema": [{"AttributeName": "text", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    emulator.dynamodb().update_table(
        TableName=TABLE,
        AttributeDefinitions=[{"AttributeName": "text", "AttributeType": "S"}],
        GlobalSecondaryIndexUpdates=[{"Create": index}],
    )
    emulator.restart()
    table = emulator.dynamodb().describe_table(TableName=TABLE)["Table"]
    assert "by-text" in [index["IndexName"] for index in table["GlobalSecondaryIndexes"]]
