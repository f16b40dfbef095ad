"""Passwords of pool users, and what the pool says about those it refuses."""

import contextlib
from collections.abc import Iterator

from scripts import clients
from scripts.errors import InvalidError
from scripts.targets import Aws


def set_password(aws: Aws, pool: str, username: str, password: str) -> None:
    """Set a permanent password, which also confirms the user. Raises DevError if it is refused."""
    with refusals(aws, username):
        clients.cognito(aws).admin_set_user_password(
            UserPoolId=pool, Username=username, Password=password, Permanent=True
        )


def is_accepted(aws: Aws, pool: str, app: str, username: str, password: str) -> bool:
    """Does the user sign in with this password? False also for one who is disabled."""
    client = clients.cognito(aws)
    refused = (
        client.exceptions.NotAuthorizedException,
        client.exceptions.PasswordResetRequiredException,
        client.exceptions.UserNotConfirmedException,
    )
    try:
        client.admin_initiate_auth(
            UserPoolId=pool,
            ClientId=app,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": username, "PASSWORD": password},
        )
    except refused:
        return False
    return True


@contextlib.contextmanager
def refusals(aws: Aws, username: str) -> Iterator[None]:
    """Report as a DevError that the pool refuses a password or a user."""
    exceptions = clients.cognito(aws).exceptions
    try:
        yield
    except exceptions.InvalidPasswordException as error:
        raise InvalidError(
            f"the pool {aws.pool_name} refuses the password: {error.response['Error']['Message']}",
            "choose another one; the local password is the setting COGNITO_PASSWORD",
        ) from None
    except exceptions.InvalidParameterException as error:
        raise InvalidError(
            f"the pool {aws.pool_name} refuses {username}: {error.response['Error']['Message']}",
            "./invoke cognito.list-users shows the users it has",
        ) from None
