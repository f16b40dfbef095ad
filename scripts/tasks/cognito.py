"""cognito: the user pool and its users."""

from typing import TYPE_CHECKING

from scripts import stacks
from scripts.cli import output
from scripts.tasks.kinds import JSON, STACK, Call, listing, step, task

if TYPE_CHECKING:
    from scripts.cognito.user_pool import PoolUser

create_pool = step("cognito.create-pool", "Create the user pool.")
create_users = step("cognito.create-users", "Create a pool user for each Postgres user.")


@listing(
    "username",
    "handle",
    "email",
    "status",
    "enabled",
    "sub",
    empty="no users in the pool yet; ./invoke cognito.create-users creates them",
)
def list_users(call: Call) -> "list[PoolUser]":
    """List the users in the pool."""
    from scripts.cognito import user_pool

    aws = stacks.get_aws(call.settings)
    return user_pool.list_users(aws, user_pool.get_pool(aws))


@task(STACK, JSON)
def sync(call: Call) -> None:
    """Write Cognito IDs to Postgres; print a report."""
    from scripts.cognito import sync

    chosen = call.settings
    where = stacks.targets(chosen)
    if not call.would(f"write the Cognito IDs of {where.aws} to {where.database}"):
        comparison = sync.sync(stacks.get_database(chosen), stacks.get_aws(chosen))
        output.write_report(comparison, call.json)
