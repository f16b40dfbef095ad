import itertools
import uuid
from collections.abc import Callable
from dataclasses import replace

import pytest

from scripts import clients
from scripts.app import Users
from scripts.cognito import app_client, passwords, sync, user_pool, users
from scripts.cognito.sync import Comparison
from scripts.engine import pipeline
from scripts.engine.pipeline import Event
from scripts.environment import setup
from scripts.errors import DevError, NotFoundError
from scripts.settings import Settings
from scripts.targets import Aws, Database
from tests.sign_in import LOCAL, OTHER

SEEDED = ["korney", "smirnov"]


@pytest.fixture
def empty_pool(aws: Aws) -> str:
    return user_pool.create_pool(aws)


@pytest.fixture
def pool(seeded: Database, aws: Aws, empty_pool: str) -> str:
    """A pool with the users of the database."""
    sync.create_users(seeded, aws)
    return empty_pool


def add_users(database: Database, *handles: str) -> None:
    with clients.cursor(database) as cursor:
        cursor.execute(
            "INSERT INTO users (display_name, handle, email)"
            " SELECT upper(handle), handle, handle || '@example.com' FROM unnest(%s) AS handle",
            (list(handles),),
        )


def add_pool_user(aws: Aws, pool: str, username: str, **attributes: str) -> None:
    """Add a user as somebody else does; in a pool by e-mail, the Username is an address."""
    pairs = [{"Name": name, "Value": value} for name, value in attributes.items()]
    clients.cognito(aws).admin_create_user(
        UserPoolId=pool, Username=username, UserAttributes=pairs, MessageAction="SUPPRESS"
    )


def linked(database: Database) -> dict[str, str | None]:
    return {user.handle: user.cognito_user_id for user in users.list_users(database)}


def subs(aws: Aws, pool: str) -> dict[str, str]:
    return {user.handle: user.sub for user in user_pool.list_users(aws, pool)}


def failure(action: Callable[[], object], kind: type[DevError] = DevError) -> str:
    with pytest.raises(DevError) as caught:
        action()
    assert type(caught.value) is kind
    return str(caught.value.message)


def run_steps(settings: Settings, *names: str) -> list[str]:
    events: list[Event] = []
    pipeline.run(setup.pick(settings, *names), events.append)
    return [event.kind for event in events if event.kind != "started"]


def test_the_steps_make_a_pool_with_the_users_of_postgres(
    environment: Settings, seeded: Database, aws: Aws
) -> None:
    steps = "cognito.create-pool", "cognito.create-users"
    assert run_steps(environment, *steps) == ["finished", "finished"]
    found = user_pool.list_users(aws, user_pool.get_pool(aws))
    assert sorted((user.handle, user.email) for user in found) == [
        ("korney", "korney@example.com"),
        ("smirnov", "smirnov@example.com"),
    ]
    assert all(user.sub for user in found)


def test_the_steps_again_are_skipped(
    environment: Settings, seeded: Database, aws: Aws, pool: str
) -> None:
    sync.sync(seeded, aws)
    before = user_pool.list_users(aws, pool)
    steps = "cognito.create-pool", "cognito.create-users", "cognito.sync"
    assert run_steps(environment, *steps) == ["skipped"] * 3
    assert user_pool.list_users(aws, user_pool.get_pool(aws)) == before


def test_creating_users_again_changes_nothing(seeded: Database, aws: Aws, pool: str) -> None:
    before = user_pool.list_users(aws, pool)
    assert sync.create_users(seeded, aws) == "0 users created"
    assert user_pool.list_users(aws, pool) == before


def test_only_who_is_missing_is_created(seeded: Database, aws: Aws, pool: str) -> None:
    before = subs(aws, pool)
    add_users(seeded, "newcomer")
    assert sync.create_users(seeded, aws) == "1 user created"
    after = subs(aws, pool)
    assert {handle: after[handle] for handle in before} == before
    assert after.keys() - before.keys() == {"newcomer"}


def test_whom_the_pool_does_not_take_is_said(seeded: Database, aws: Aws) -> None:
    pool = user_pool.create_pool(replace(aws, sign_in="handle"))
    add_users(seeded, "taken")
    add_pool_user(aws, pool, "taken", email="other@example.com")
    assert failure(lambda: sync.create_users(seeded, aws)) == (
        "the pool cruddur rejected taken\nhint: ./invoke cognito.list-users"
    )


def test_the_pool_is_complete_with_every_user(seeded: Database, aws: Aws, empty_pool: str) -> None:
    assert not sync.is_complete(seeded, aws)
    sync.create_users(seeded, aws)
    assert sync.is_complete(seeded, aws)
    add_users(seeded, "newcomer")
    assert not sync.is_complete(seeded, aws)


LATER = "Later-1-Passw0rd"


def sign_in(aws: Aws, handle: str) -> str:
    """Which of the passwords a user has."""
    pool = user_pool.get_pool(aws)
    app = app_client.get_client(aws, pool)
    name = next(one.username for one in user_pool.list_users(aws, pool) if one.handle == handle)
    texts = LOCAL, OTHER, LATER
    return next(text for text in texts if passwords.is_accepted(aws, pool, app, name, text))


def test_a_changed_local_password_is_given_to_those_who_have_the_former_one(
    seeded: Database, aws: Aws, pool: str
) -> None:
    for handle in ("ada", "ben"):
        add_users(seeded, handle)
        sync.create_users(seeded, aws)
    names = {one.handle: one.username for one in user_pool.list_users(aws, pool)}
    passwords.set_password(aws, pool, names["ada"], LATER)
    clients.cognito(aws).admin_disable_user(UserPoolId=pool, Username=names["ben"])
    changed = replace(aws, user_password=OTHER)
    assert sync.is_complete(seeded, aws)
    assert not sync.is_complete(seeded, changed)
    add_users(seeded, "newcomer")
    assert sync.create_users(seeded, changed) == (
        "1 user created, 2 given the new local password; with another password: ada, ben (disabled)"
    )
    handles = "ada", "korney", "newcomer", "smirnov"
    assert [sign_in(aws, one) for one in handles] == [LATER, OTHER, OTHER, OTHER]
    assert sync.is_complete(seeded, changed)
    assert sync.create_users(seeded, changed) == "0 users created"


@pytest.mark.parametrize("killed_after", [0, 1])
def test_a_change_of_the_local_password_that_was_killed_and_changed_again(
    seeded: Database, aws: Aws, pool: str, killed_after: int
) -> None:
    numbers = itertools.count(1)

    def kill(**_: object) -> None:
        if next(numbers) > killed_after:
            raise KeyboardInterrupt

    changed = replace(aws, user_password=OTHER)
    event = "before-call.cognito-identity-provider.AdminSetUserPassword"
    clients.cognito(changed).meta.events.register(event, kill)
    with pytest.raises(KeyboardInterrupt):
        sync.create_users(seeded, changed)
    assert [sign_in(aws, one) for one in SEEDED].count(OTHER) == killed_after
    sync.create_users(seeded, replace(aws, user_password=LATER))
    assert [sign_in(aws, one) for one in SEEDED] == [LATER, LATER]
    sync.create_users(seeded, aws)
    assert [sign_in(aws, one) for one in SEEDED] == [LOCAL, LOCAL]


def test_a_pool_of_an_earlier_version_had_the_default_password(
    seeded: Database, aws: Aws, pool: str
) -> None:
    client = clients.cognito(aws)
    described = client.describe_user_pool(UserPoolId=pool)["UserPool"]
    client.untag_resource(ResourceArn=described["Arn"], TagKeys=list(described["UserPoolTags"]))
    assert sync.is_complete(seeded, aws)
    sync.create_users(seeded, replace(aws, user_password=OTHER))
    assert [sign_in(aws, one) for one in SEEDED] == [OTHER, OTHER]


@pytest.mark.parametrize("text", ["Aa1% +/=\\\"'~é,", "Aa1!" * 64])
def test_the_tag_holds_every_local_password(aws: Aws, text: str) -> None:
    chosen = replace(aws, user_password=text)
    assert user_pool.list_local_passwords(chosen, user_pool.create_pool(chosen)) == [text]


def test_a_user_whose_id_is_not_that_of_the_pool_is_unlinked(
    seeded: Database, aws: Aws, pool: str
) -> None:
    sync.sync(seeded, aws)
    assert sync.find_unlinked(seeded, aws) == []
    ids = subs(aws, pool)
    for handle, wrong in [
        ("korney", "MOCK"),
        ("korney", str(uuid.uuid4())),
        ("korney", ids["smirnov"]),
        ("korney", ""),
    ]:
        users.link_cognito(seeded, ids | {handle: wrong})
        assert sync.find_unlinked(seeded, aws) == [handle]
    clients.cognito(aws).delete_user_pool(UserPoolId=pool)
    assert sync.find_unlinked(seeded, aws) == SEEDED


def test_130_users_are_all_listed_page_by_page_and_linked(
    seeded: Database, aws: Aws, empty_pool: str
) -> None:
    add_users(seeded, *(f"user-{n:03}" for n in range(128)))
    sync.create_users(seeded, aws)
    pages: list[int] = []
    clients.cognito(aws).meta.events.register(
        "after-call.cognito-identity-provider.ListUsers",
        lambda parsed, **_: pages.append(len(parsed["Users"])),
    )
    pool_users = user_pool.list_users(aws, empty_pool)
    assert pages == [60, 60, 10]
    sync.sync(seeded, aws)
    assert linked(seeded) == {user.handle: user.sub for user in pool_users}
    assert len({user.sub for user in pool_users}) == 130


def test_ids_are_written_in_one_statement_that_counts_its_rows(seeded: Database) -> None:
    add_users(seeded, "third")
    ids = {"korney": "sub-1", "smirnov": "sub-2", "nobody": "sub-3"}
    assert users.link_cognito(seeded, ids) == 2
    assert linked(seeded) == {"korney": "sub-1", "smirnov": "sub-2", "third": None}


def test_ids_that_are_right_are_not_written_again(seeded: Database) -> None:
    users.link_cognito(seeded, {"korney": "sub-1", "smirnov": "sub-2"})
    assert users.link_cognito(seeded, {"korney": "sub-1", "smirnov": "sub-3"}) == 1


@pytest.mark.parametrize("column", ["sub", "key", "pool"])
def test_ids_are_written_to_a_column_of_any_name(seeded: Database, column: str) -> None:
    with clients.cursor(seeded) as cursor:
        cursor.execute(f"ALTER TABLE users RENAME cognito_user_id TO {column}")
    renamed = replace(seeded, users=replace(seeded.users or Users(), cognito_id=column))
    assert users.link_cognito(renamed, {"korney": "sub-1", "smirnov": "sub-2"}) == 2


def test_the_ids_in_postgres_are_the_pools(seeded: Database, aws: Aws, pool: str) -> None:
    assert not sync.is_synced(seeded, aws)
    sync.sync(seeded, aws)
    assert linked(seeded) == subs(aws, pool)
    assert sync.is_synced(seeded, aws)


def test_users_on_one_side_only_are_reported(seeded: Database, aws: Aws, pool: str) -> None:
    add_users(seeded, "postgres-only")
    add_pool_user(aws, pool, "only@example.com", preferred_username="cognito-only")
    assert sync.sync(seeded, aws) == Comparison(
        matched=SEEDED,
        only_in_cognito=["cognito-only"],
        only_in_postgres=["postgres-only"],
        without_handle=[],
        ambiguous=[],
        unconfirmed=[],
        disabled=[],
    )
    assert linked(seeded)["postgres-only"] is None


def test_a_pool_user_without_a_handle_is_reported(seeded: Database, aws: Aws, pool: str) -> None:
    add_pool_user(aws, pool, "nameless@example.com")
    assert sync.sync(seeded, aws) == Comparison(
        SEEDED, [], [], ["nameless@example.com"], [], [], []
    )


def test_a_handle_held_twice_is_reported_and_not_linked(
    seeded: Database, aws: Aws, pool: str
) -> None:
    add_users(seeded, "twin")
    for username in ("one@example.com", "two@example.com"):
        add_pool_user(aws, pool, username, preferred_username="twin")
    assert sync.sync(seeded, aws) == Comparison(SEEDED, [], [], [], ["twin"], [], [])
    assert linked(seeded)["twin"] is None


def test_a_comparison_in_words_names_five_of_each_kind() -> None:
    many = [f"u{n}" for n in range(7)]
    comparison = Comparison(["a"], many, ["p"], ["n"], ["t"], ["x"], ["y"])
    assert str(comparison) == (
        "1 matched; only in Cognito: u0, u1, u2, u3, u4 and 2 more; only in Postgres: p;"
        " without a handle: n; handle held twice: t; unconfirmed: x; disabled: y"
    )


def test_a_sync_that_matches_nobody_is_an_error(
    seeded: Database, aws: Aws, empty_pool: str
) -> None:
    add_pool_user(aws, empty_pool, "else@example.com", preferred_username="somebody-else")
    assert failure(lambda: sync.sync(seeded, aws)) == (
        f"no handle is in both {seeded} and the pool: 0 matched; only in Cognito: somebody-else;"
        " only in Postgres: korney, smirnov\nhint: ./invoke setup"
    )
    assert set(linked(seeded).values()) == {None}


def test_a_sync_without_a_pool_is_an_error(seeded: Database, aws: Aws) -> None:
    assert failure(lambda: sync.sync(seeded, aws), NotFoundError) == (
        f"there is no user pool cruddur in {aws}\nhint: ./invoke setup"
    )


def test_two_pools_of_one_name_are_an_error(aws: Aws) -> None:
    ids = [user_pool.create_pool(aws) for _ in range(2)]
    text = failure(lambda: user_pool.find_pool(aws))
    assert text.startswith("there are 2 user pools called cruddur: ")
    assert all(pool in text for pool in ids)
    assert text.endswith("\nhint: set COGNITO_POOL_NAME to another name")


def test_a_pool_of_another_name_is_not_ours(aws: Aws) -> None:
    clients.cognito(aws).create_user_pool(PoolName="cruddur-2")
    assert user_pool.find_pool(aws) is None


def test_the_pool_is_found_among_more_than_a_page_of_pools(aws: Aws) -> None:
    for number in range(61):
        clients.cognito(aws).create_user_pool(PoolName=f"pool-{number}")
    assert user_pool.create_pool(aws) == user_pool.find_pool(aws)


def test_ids_are_rewritten_after_the_pool_was_made_anew(
    seeded: Database, aws: Aws, pool: str
) -> None:
    sync.sync(seeded, aws)
    before = linked(seeded)
    clients.cognito(aws).delete_user_pool(UserPoolId=pool)
    anew = user_pool.create_pool(aws)
    sync.create_users(seeded, aws)
    assert not sync.is_synced(seeded, aws)
    sync.sync(seeded, aws)
    assert linked(seeded) == subs(aws, anew)
    assert not set(linked(seeded).values()) & set(before.values())


def test_two_users_may_swap_their_ids(seeded: Database) -> None:
    users.link_cognito(seeded, {"korney": "sub-1", "smirnov": "sub-2"})
    swapped = {"korney": "sub-2", "smirnov": "sub-1"}
    assert users.link_cognito(seeded, swapped) == 2
    assert linked(seeded) == swapped


def test_an_id_moves_with_its_handle_to_another_user(seeded: Database) -> None:
    users.link_cognito(seeded, {"korney": "sub-1", "smirnov": "sub-2"})
    users.link_cognito(seeded, {"smirnov": "sub-1"})
    assert linked(seeded) == {"korney": None, "smirnov": "sub-1"}
