"""Pools of both kinds: who is created, how they sign in, what is saved and restored."""

from dataclasses import replace
from typing import Any

import pytest

from scripts import clients, stacks
from scripts.app import Cognito
from scripts.cognito import app_client, passwords, sign_in, sync, user_pool, users
from scripts.environment import reset, setup
from scripts.errors import NotFoundError
from scripts.settings import Settings
from scripts.targets import Aws, Database
from tests.cognito.conftest import COGNITO_STEPS
from tests.contents import content, is_linked, run
from tests.sign_in import (
    LOCAL,
    OTHER,
    by_password,
    by_srp,
    find,
    refusal,
    sign_up,
    sub_in_postgres,
    verify,
)


@pytest.fixture
def made_by_hand(seeded: Database, aws: Aws) -> str:
    """A pool of the app's name as somebody else creates one, where the user names are the keys."""
    pool = clients.cognito(aws).create_user_pool(PoolName=aws.pool_name)
    return str(pool["UserPool"]["Id"])


def add(database: Database, handle: str, email: str) -> None:
    with clients.cursor(database) as cursor:
        cursor.execute(
            "INSERT INTO users (handle, display_name, email) VALUES (%s, 'N', %s)", (handle, email)
        )


# Both kinds of pools


def test_the_pool_is_created_as_cruddurs_is(aws: Aws, pool: str) -> None:
    found = clients.cognito(aws).describe_user_pool(UserPoolId=pool)["UserPool"]
    assert found["UsernameAttributes"] == found["AutoVerifiedAttributes"] == ["email"]
    mutable = {one["Name"]: one["Mutable"] for one in found["SchemaAttributes"]}
    assert mutable["name"]
    assert mutable["preferred_username"]


def test_in_a_pool_by_handle_the_handle_and_the_e_mail_address_sign_in(
    seeded: Database, aws: Aws
) -> None:
    user_pool.create_pool(replace(aws, sign_in="handle"))
    sync.create_users(seeded, aws)
    assert find(aws, "korney").username == "korney"
    for name in ("korney", "korney@example.com"):
        for sign in (by_password, by_srp):
            assert verify(aws, sign(aws, name)["AccessToken"])["username"] == "korney"


def test_a_pool_created_otherwise_is_used_as_it_is(
    environment: Settings, seeded: Database, aws: Aws, made_by_hand: str
) -> None:
    before = clients.cognito(aws).describe_user_pool(UserPoolId=made_by_hand)["UserPool"]
    events = run(setup.pick(environment, *COGNITO_STEPS))
    client = app_client.get_client(aws, made_by_hand)
    assert events["cognito.create-pool"].detail == f"created the client {client}"
    after = clients.cognito(aws).describe_user_pool(UserPoolId=made_by_hand)["UserPool"]
    assert before | {"EstimatedNumberOfUsers": 2} == after
    assert find(aws, "korney").username == "korney"
    claims = verify(aws, by_password(aws, "korney")["AccessToken"])
    assert claims["sub"] == sub_in_postgres(seeded, "korney")
    events = run(setup.pick(environment, *COGNITO_STEPS))
    assert {event.kind for event in events.values()} == {"skipped"}


@pytest.mark.parametrize("by_hand", [False, True])
def test_reset_undo_and_snapshots_keep_everybody_able_to_sign_in(
    lived_in: Settings, by_hand: bool
) -> None:
    database, aws = stacks.get_database(lived_in), stacks.get_aws(lived_in)
    if by_hand:
        clients.cognito(aws).delete_user_pool(UserPoolId=user_pool.get_pool(aws))
        clients.cognito(aws).create_user_pool(PoolName=aws.pool_name)
        run(setup.setup(lived_in))
    run(reset.snapshot_save(lived_in, "mine"))
    everybody = {"ada": "ada@x.org", "korney": "korney@example.com"}

    def check(*present: str) -> None:
        assert is_linked(lived_in)
        assert {user.handle for user in user_pool.list_users(aws, user_pool.get_pool(aws))} == {
            "smirnov",
            *present,
        }
        for handle in present:
            tokens = by_password(aws, handle if by_hand else everybody[handle])
            assert verify(aws, tokens["AccessToken"])["sub"] == sub_in_postgres(database, handle)

    check("ada", "korney")
    run(reset.reset(lived_in))
    check("korney")
    run(reset.undo(lived_in))
    check("ada", "korney")
    clients.cognito(aws).delete_user_pool(UserPoolId=user_pool.get_pool(aws))
    run(reset.snapshot_restore(lived_in, "mine"))
    by_hand = False  # the pool that the restored one needs is ours
    check("ada", "korney")


def test_a_lost_pool_of_an_app_by_handle_is_restored_as_one(lived_in: Settings) -> None:
    by_handle = replace(lived_in, app=replace(lived_in.app, cognito=Cognito(sign_in="handle")))
    aws = stacks.get_aws(by_handle)
    clients.cognito(aws).delete_user_pool(UserPoolId=user_pool.get_pool(aws))
    run(setup.setup(by_handle))
    run(reset.snapshot_save(by_handle, "mine"))
    clients.cognito(aws).delete_user_pool(UserPoolId=user_pool.get_pool(aws))
    run(reset.snapshot_restore(by_handle, "mine"))
    for name in ("ada", "ada@x.org"):
        assert verify(aws, by_password(aws, name)["AccessToken"])["username"] == "ada"


# Who is created, and how


def test_users_without_an_address_of_their_own_get_a_local_one(seeded: Database, aws: Aws) -> None:
    for handle, email in {
        "a1": "same@example.com",
        "a2": "SAME@example.com",
        "a3": "",
        "a4": "lorem",
        "a5": "smirnov@example.com",
    }.items():
        add(seeded, handle, email)
    user_pool.create_pool(aws)
    assert sync.create_users(seeded, aws) == (
        "7 users created, 4 with a local e-mail address: missing, invalid or taken in Postgres"
    )
    found = {user.handle: user.email for user in user_pool.list_users(aws, user_pool.get_pool(aws))}
    assert found == {
        "a1": "same@example.com",
        "a2": "a2@cruddur.example",
        "a3": "a3@cruddur.example",
        "a4": "a4@cruddur.example",
        "a5": "smirnov@example.com",
        "korney": "korney@example.com",
        "smirnov": "smirnov@cruddur.example",
    }
    for email in found.values():
        assert by_srp(aws, email)
    assert sync.is_complete(seeded, aws)
    assert len(sync.sync(seeded, aws).matched) == 7


def test_two_rows_of_one_handle_are_one_user(seeded: Database, aws: Aws) -> None:
    with clients.cursor(seeded) as cursor:
        cursor.execute("ALTER TABLE users DROP CONSTRAINT users_handle_key")
    add(seeded, "korney", "other@example.com")
    user_pool.create_pool(aws)
    assert sync.create_users(seeded, aws) == "2 users created"
    assert sync.sync(seeded, aws).matched == ["korney", "smirnov"]
    subs = [user.cognito_user_id for user in users.list_users(seeded) if user.handle == "korney"]
    assert subs == [find(aws, "korney").sub] * 2


def test_a_user_whose_creation_was_interrupted_gets_the_local_password(
    environment: Settings, seeded: Database, aws: Aws
) -> None:
    user_pool.create_pool(aws)
    sync.create_users(seeded, replace(aws, user_password=""))
    assert find(aws, "korney").status == "FORCE_CHANGE_PASSWORD"
    event = run(setup.pick(environment, "cognito.create-users"))["cognito.create-users"]
    assert event.detail == "0 users created, 2 given the local password"
    assert by_password(aws, "korney@example.com")


def test_a_password_that_a_user_chose_is_left_alone(
    environment: Settings, aws: Aws, pool: str
) -> None:
    token = by_password(aws, "korney@example.com")["AccessToken"]
    clients.cognito(aws).change_password(
        AccessToken=token, PreviousPassword=LOCAL, ProposedPassword=OTHER
    )
    events = run(setup.pick(environment, *COGNITO_STEPS))
    assert {event.kind for event in events.values()} == {"skipped"}
    assert by_password(aws, "korney@example.com", OTHER)


def test_where_no_password_is_known_none_is_set(seeded: Database, aws: Aws) -> None:
    production = replace(aws, user_password="")
    user_pool.create_pool(production)
    sync.create_users(seeded, production)
    assert {user.status for user in user_pool.list_users(aws, user_pool.get_pool(aws))} == {
        "FORCE_CHANGE_PASSWORD"
    }
    assert sync.is_complete(seeded, production)
    with pytest.raises(clients.cognito(aws).exceptions.NotAuthorizedException):
        by_password(aws, "korney@example.com")


def test_a_pool_user_without_a_handle_is_the_user_with_the_address(
    seeded: Database, aws: Aws
) -> None:
    pool = user_pool.create_pool(aws)
    clients.cognito(aws).admin_create_user(
        UserPoolId=pool, Username="Korney@example.com", MessageAction="SUPPRESS"
    )
    assert sync.create_users(seeded, aws) == "1 user created, 1 given the local password"
    assert sync.sync(seeded, aws).matched == ["korney", "smirnov"]
    claims = verify(aws, by_password(aws, "Korney@example.com")["AccessToken"])
    assert claims["sub"] == sub_in_postgres(seeded, "korney")


def test_who_gets_another_handle_gets_the_address_back_after_a_reset(
    seeded: Database, aws: Aws, pool: str
) -> None:
    with clients.cursor(seeded) as cursor:
        cursor.execute("UPDATE users SET handle = 'belov' WHERE handle = 'korney'")
    sync.create_users(seeded, aws)
    assert find(aws, "belov").email == "belov@cruddur.example"
    assert sync.delete_others(seeded, aws) == 1
    assert find(aws, "belov").email == "korney@example.com"
    assert by_password(aws, "korney@example.com")


def test_a_pool_with_a_stricter_policy_is_an_error_that_names_the_setting(
    seeded: Database, aws: Aws
) -> None:
    clients.cognito(aws).create_user_pool(
        PoolName=aws.pool_name, Policies={"PasswordPolicy": {"MinimumLength": 30}}
    )
    error = refusal(lambda: sync.create_users(seeded, aws))
    assert error.message == (
        "the pool cruddur refuses the password: Password did not conform with policy: Password"
        " must have length greater than or equal to 30\n"
        "hint: choose another one; the local password is the setting COGNITO_PASSWORD"
    )


def test_a_pool_that_cannot_take_the_users_is_an_error(seeded: Database, aws: Aws) -> None:
    clients.cognito(aws).create_user_pool(
        PoolName=aws.pool_name, UsernameAttributes=["phone_number"]
    )
    error = refusal(lambda: sync.create_users(seeded, aws))
    assert error.message == (
        "the pool cruddur refuses korney: Username should be a phone number.\n"
        "hint: ./invoke cognito.list-users shows the users it has"
    )


# The client


def test_the_client_is_created_once(environment: Settings, aws: Aws, pool: str) -> None:
    client = app_client.get_client(aws, pool)
    assert app_client.ensure_client(aws, pool) == client
    listed = clients.cognito(aws).list_user_pool_clients(UserPoolId=pool)["UserPoolClients"]
    assert [one["ClientName"] for one in listed] == ["cruddur"]


@pytest.mark.parametrize(
    "unusable", [{"GenerateSecret": True, "ExplicitAuthFlows": app_client.FLOWS}, {}]
)
def test_a_client_of_the_name_that_is_no_use_is_left_alone(
    aws: Aws, made_by_hand: str, unusable: dict[str, Any]
) -> None:
    client = clients.cognito(aws)
    for name in ("web", aws.pool_name):
        client.create_user_pool_client(UserPoolId=made_by_hand, ClientName=name, **unusable)
    before = client.list_user_pool_clients(UserPoolId=made_by_hand)["UserPoolClients"]
    assert app_client.find_client(aws, made_by_hand) is None
    ours = app_client.ensure_client(aws, made_by_hand)
    after = client.list_user_pool_clients(UserPoolId=made_by_hand)["UserPoolClients"]
    assert [one for one in after if one["ClientId"] != ours] == before


def test_a_client_that_is_lost_is_created_again(environment: Settings, aws: Aws, pool: str) -> None:
    client = app_client.get_client(aws, pool)
    clients.cognito(aws).delete_user_pool_client(UserPoolId=pool, ClientId=client)
    error = refusal(lambda: sign_in.get_tokens(aws, "korney"))
    assert type(error) is NotFoundError
    assert error.message == (
        f"the user pool {pool} has no client cruddur that allows signing in by password\n"
        "hint: ./invoke cognito.create-pool"
    )
    run(setup.pick(environment, "cognito.create-pool"))
    assert by_password(aws, "korney@example.com")


# Saved and restored


def test_everybody_is_restored_in_the_state_that_was_saved(aws: Aws, pool: str) -> None:
    client = clients.cognito(aws)
    for handle in ("off", "invited"):
        user_pool.create_user(aws, pool, handle, f"{handle}@x.org", handle)
    client.admin_disable_user(UserPoolId=pool, Username="off@x.org")
    client.admin_set_user_password(
        UserPoolId=pool, Username="invited@x.org", Password=OTHER, Permanent=False
    )
    sign_up(aws, "new@x.org", preferred_username="new", name="New")
    before = user_pool.save_users(aws, pool)
    assert [user["Username"] for user in before] == [""] * 5
    user_pool.delete_users(aws, pool, [user.username for user in user_pool.list_users(aws, pool)])
    user_pool.restore_users(aws, pool, before)
    states = {user.handle: (user.status, user.enabled) for user in user_pool.list_users(aws, pool)}
    assert states == {
        "invited": ("FORCE_CHANGE_PASSWORD", True),
        "korney": ("CONFIRMED", True),
        "new": ("UNCONFIRMED", True),
        "off": ("CONFIRMED", False),
        "smirnov": ("CONFIRMED", True),
    }
    assert sorted(map(str, user_pool.save_users(aws, pool))) == sorted(map(str, before))
    assert by_password(aws, "korney@example.com")
    with pytest.raises(client.exceptions.UserNotConfirmedException):
        by_password(aws, "new@x.org")
    with pytest.raises(client.exceptions.NotAuthorizedException):
        by_password(aws, "off@x.org")


def test_who_is_as_saved_keeps_id_and_password_and_who_changed_is_created_again(
    aws: Aws, pool: str
) -> None:
    client = clients.cognito(aws)
    saved = user_pool.save_users(aws, pool)
    before = {user.handle: user.sub for user in user_pool.list_users(aws, pool)}
    passwords.set_password(aws, pool, "korney@example.com", OTHER)
    client.admin_disable_user(UserPoolId=pool, Username="smirnov@example.com")
    user_pool.create_user(aws, pool, "later", "later@x.org", "Later")
    user_pool.restore_users(aws, pool, saved)
    after = {user.handle: user.sub for user in user_pool.list_users(aws, pool)}
    assert after.keys() == {"korney", "smirnov"}
    assert (before["korney"] == after["korney"], before["smirnov"] == after["smirnov"]) == (
        True,
        False,
    )
    assert by_password(aws, "korney@example.com", OTHER)
    assert by_password(aws, "smirnov@example.com")


def test_a_state_saved_before_there_was_sign_in_is_restored_with_it(aws: Aws, pool: str) -> None:
    old = {
        "Username": "korney",
        "Enabled": True,
        "Attributes": [
            {"Name": "preferred_username", "Value": "korney"},
            {"Name": "email", "Value": "korney@example.com"},
        ],
    }
    user_pool.restore_users(aws, pool, [old, old | {"Username": "nameless", "Attributes": []}])
    found = {user.email: user.status for user in user_pool.list_users(aws, pool)}
    assert found == {"korney@example.com": "CONFIRMED", "nameless@cruddur.example": "CONFIRMED"}
    assert by_password(aws, "korney@example.com")


def test_a_reset_and_an_undo_change_nothing_but_ids(lived_in: Settings) -> None:
    aws = stacks.get_aws(lived_in)
    sign_up(aws, "new@x.org", preferred_username="new", name="New")
    before = content(lived_in)["pool"]
    run(reset.reset(lived_in))
    assert content(lived_in)["pool"] != before
    run(reset.undo(lived_in))
    assert content(lived_in)["pool"] == before
    assert find(aws, "new").status == "UNCONFIRMED"
