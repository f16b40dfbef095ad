"""A pool with the users of this test's database."""

import pytest

from scripts.cognito import user_pool
from scripts.environment import setup
from scripts.settings import Settings
from scripts.targets import Aws, Database
from tests.contents import run

COGNITO_STEPS = ("cognito.create-pool", "cognito.create-users", "cognito.sync")


@pytest.fixture
def pool(environment: Settings, seeded: Database, aws: Aws) -> str:
    """A pool with the users of the database, made by the steps."""
    run(setup.pick(environment, *COGNITO_STEPS))
    return user_pool.get_pool(aws)
