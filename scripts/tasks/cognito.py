"""cognito: the user pool and its users."""

import getpass
import sys
from typing import TYPE_CHECKING

from scripts import stacks
from scripts.cli import output
from scripts.errors import InvalidError
from scripts.tasks.kinds import JSON, STACK, Call, listing, step, task

if TYPE_CHECKING:
    from scripts.cognito.user_pool import PoolUser

create_pool = step("cognito.create-pool", "Create the user pool and its client.")
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


@task(
    STACK,
    JSON,
    help={"handle": "the user, by handle or e-mail address", "id": "print the ID token instead"},
)
def token(call: Call, handle: str, id: bool = False) -> None:
    """Sign a local user in; print the access token."""
    from scripts.cognito import sign_in

    tokens = sign_in.get_tokens(stacks.get_aws(call.settings), handle)
    if call.json:
        output.write_json(tokens)
    else:
        output.write(tokens.id_token if id else tokens.access_token)


@task(
    STACK,
    help={
        "handle": "the user, by handle or e-mail address",
        "prompt": "ask for the password, hidden",
        "stdin": "read the password from stdin",
    },
)
def set_password(call: Call, handle: str, prompt: bool = False, stdin: bool = False) -> None:
    """Set a user's password: the local one, or another."""
    from scripts.cognito import sign_in

    aws = stacks.get_aws(call.settings)
    if not call.would(f"set the password of {handle} in the pool {aws.pool_name}"):
        password = _ask_password(handle) if prompt else _read_password() if stdin else ""
        output.say(sign_in.set_password(aws, handle, password))


def _ask_password(handle: str) -> str:
    if not sys.stdin.isatty():
        raise InvalidError("--prompt needs a terminal", "--stdin reads the password from stdin")
    password = getpass.getpass(f"new password of {handle}: ")
    if getpass.getpass("again: ") != password:
        raise InvalidError("the two passwords differ; nothing is changed")
    return _required(password)


def _read_password() -> str:
    return _required(sys.stdin.readline().rstrip("\r\n"))


def _required(password: str) -> str:
    if not password:
        raise InvalidError("the password is empty; nothing is changed")
    return password
