"""The users of the pool as the page shows them."""

from scripts import clients
from scripts.cognito import browse, user_pool
from scripts.environment import setup
from scripts.settings import Settings
from scripts.targets import Aws, Database
from tests.contents import run


def test_a_user_has_attributes_status_and_a_row(
    environment: Settings, seeded: Database, aws: Aws
) -> None:
    run(setup.pick(environment, "cognito.create-pool", "cognito.create-users", "cognito.sync"))
    user_pool.create_user(aws, user_pool.get_pool(aws), "ada", "ada@example.com", "Ada")
    with clients.cursor(seeded) as cursor:
        cursor.execute("UPDATE users SET cognito_user_id = 'other' WHERE handle = 'smirnov'")
    found = {one.attributes["preferred_username"]: one for one in browse.list_accounts(seeded, aws)}
    assert list(found) == ["ada", "korney", "smirnov"]
    korney, smirnov, ada = found["korney"], found["smirnov"], found["ada"]
    assert korney.attributes["email"] == "korney@example.com"
    assert (korney.enabled, korney.status) == (True, "CONFIRMED")
    assert korney.user
    assert (korney.user.handle, korney.is_linked) == ("korney", True)
    assert smirnov.user
    assert (smirnov.user.handle, smirnov.is_linked) == ("smirnov", False)
    assert ada.user is None
