"""Sign-in with the local password: tokens for a user, and the way back to that password."""

import shlex
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from scripts import clients
from scripts.cognito import app_client, passwords, user_pool
from scripts.cognito.user_pool import PoolUser
from scripts.errors import DevError, NotFoundError
from scripts.targets import Aws


@dataclass(frozen=True)
class Tokens:
    """What a sign-in gives; `expires_at` is that of the access token and the ID token."""

    access_token: str = field(repr=False)
    id_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: datetime


def get_user(aws: Aws, pool: str, name: str) -> PoolUser:
    """The pool's user with this handle, e-mail address or user name. Raises NotFoundError."""
    users = user_pool.list_users(aws, pool)
    for user in users:
        if name and name in (user.handle, user.email, user.username):
            return user
    some = ", ".join([user.handle or user.label for user in users][:10]) or "none"
    raise NotFoundError(
        f"there is no user {name} in the pool {aws.pool_name}; users: {some}",
        "all users: ./invoke cognito.list-users",
    )


def get_tokens(aws: Aws, name: str) -> Tokens:
    """Sign a user in with the local password. Raises DevError if the pool refuses it."""
    if not aws.user_password:
        raise DevError(
            f"there is no local password for {aws}, so this tool cannot sign users in",
            "sign in through the app, and take the token from there",
        )
    pool = user_pool.get_pool(aws)
    user = get_user(aws, pool, name)
    if not user.enabled:
        raise DevError(
            f"{name} is disabled in the pool {aws.pool_name}",
            'eval "$(./invoke env --format shell)"; aws cognito-idp admin-enable-user'
            f" --user-pool-id {pool} --username {shlex.quote(user.username)}",
        )
    return _sign_in(aws, pool, user, name)


def set_password(aws: Aws, name: str, password: str = "") -> str:
    """Set a user's password, by default the local one; what was done."""
    if not password and not aws.user_password:
        raise DevError(f"there is no local password in {aws}", "--prompt (asks for it)")
    pool = user_pool.get_pool(aws)
    user = get_user(aws, pool, name)
    passwords.set_password(aws, pool, user.username, password or aws.user_password)
    which = "the given password" if password else "the local password"
    return f"{name} signs in as {user.email or user.label} with {which}"


def _sign_in(aws: Aws, pool: str, user: PoolUser, name: str) -> Tokens:
    client = clients.cognito(aws)
    reset = f"./invoke cognito.set-password {shlex.quote(name)}"
    try:
        answer = client.admin_initiate_auth(
            UserPoolId=pool,
            ClientId=app_client.get_client(aws, pool),
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": user.username, "PASSWORD": aws.user_password},
        )
    except client.exceptions.NotAuthorizedException:
        raise DevError(f"{name} does not have the local password", reset) from None
    except client.exceptions.UserNotConfirmedException:
        raise DevError(f"{name} signed up, but is not confirmed", reset) from None
    except client.exceptions.PasswordResetRequiredException:
        raise DevError(f"{name} must reset the password", reset) from None
    if challenge := answer.get("ChallengeName"):
        raise DevError(f"the pool asks {name} for more than a password: {challenge}", reset)
    result = answer["AuthenticationResult"]
    expires = datetime.now(UTC) + timedelta(seconds=result["ExpiresIn"])
    return Tokens(result["AccessToken"], result["IdToken"], result["RefreshToken"], expires)
