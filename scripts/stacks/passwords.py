"""The login of this checkout's own databases, in the embedded and the docker stack.

The login that the server accepted last is noted in a private file: so a POSTGRES_USER or
POSTGRES_PASSWORD that was changed since can be applied to the server.
"""

import contextlib
import json
import secrets
import threading
from dataclasses import replace
from pathlib import Path
from shlex import quote

from scripts import clients, state
from scripts.errors import DevError, LoginRefusedError
from scripts.settings import Settings
from scripts.targets import Database

_making = threading.Lock()

Login = list[str]  # user and password


def find(settings: Settings) -> str | None:
    """The database password: the one that is set, or the random one if it exists."""
    text = settings.postgres_password or _read(settings.state / "password") or ""
    return text if text.isprintable() and "\ufffd" not in text else None  # else it is damaged


def ensure(settings: Settings) -> str:
    """The database password of this checkout; a random one is created the first time."""
    with _making:
        if password := find(settings):
            return password
        path = state.ensure_folder(settings.state) / "password"
        if path.exists():
            raise DevError(f"{path} contains no password; it is damaged", f"rm {quote(str(path))}")
        password = secrets.token_urlsafe(24)
        state.write(path, password)
        return password


def check_login(settings: Settings, database: Database) -> None:
    """Log in as the superuser, and note the login. Raises LoginRefusedError for another role."""
    server, login = database.named("postgres"), [database.user, database.password]
    clients.ping(server)
    if _read_noted(settings) == [login]:
        return
    with clients.cursor(server) as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        if cursor.fetchone() != (True,):
            raise LoginRefusedError(f"{database.user} is no superuser of {server}", "./invoke up")
    with contextlib.suppress(DevError):  # a full disk makes no server unhealthy
        state.write(_get_note(settings), json.dumps([login]))


def check_applied(settings: Settings, database: Database) -> None:
    """Raise DevError if the user or the password was changed since the server was started."""
    noted = _read_noted(settings)
    if noted and noted[0] != [database.user, database.password]:
        raise DevError(
            f"{database} does not have the login of {_describe_source(settings)} yet", "./invoke up"
        )


def note(settings: Settings, database: Database) -> None:
    """Note a login that is about to be created, after the present one: a kill may follow."""
    noted, login = _read_noted(settings), [database.user, database.password]
    if login not in noted:
        state.write(_get_note(settings), json.dumps([*noted, login]))


def apply(settings: Settings, database: Database) -> str:
    """Create the role or set its password, logged in as noted; what was done."""
    logins = _read_noted(settings)
    if random := _read(settings.state / "password"):  # an earlier version noted nothing
        logins += [[user, random] for user in (database.user, Settings.postgres_user)]
    for user, password in logins:
        former = replace(database, name="postgres", user=user, password=password)
        with contextlib.suppress(LoginRefusedError):
            return _apply_as(settings, former, database)
    raise DevError(
        f"{database} refuses the login of {_describe_source(settings)}, and its own is not noted",
        "set DEV_POSTGRES_USER and DEV_POSTGRES_PASSWORD to those that it was created with;"
        " to start over without its data: ./invoke down --volumes setup",
    )


def _apply_as(settings: Settings, former: Database, database: Database) -> str:
    from psycopg2 import extensions, sql

    with clients.cursor(former, autocommit=True) as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = %s", (database.user,))
        found = cursor.fetchone()
        if found == (False,):
            raise DevError(
                f"{settings.describe_source('postgres_user')}={database.user} is a role without"
                f" superuser rights in {former}",
                f"set DEV_POSTGRES_USER={former.user}, which overrides it for ./invoke",
            )
        statement = "ALTER ROLE {} LOGIN" if found else "CREATE ROLE {} SUPERUSER LOGIN"
        # Encrypted here, so that the server logs no password.
        encrypted = extensions.encrypt_password(
            database.password, database.user, cursor.connection, "scram-sha-256"
        )
        role = sql.Identifier(database.user)
        cursor.execute(sql.SQL(f"{statement} PASSWORD %s").format(role), (encrypted,))
    done = "set the password of" if found else "created the superuser"
    return f"{done} {database.user} ({_describe_source(settings)})"


def _read(path: Path) -> str | None:
    return state.read_secret(path, f"chmod 600 {quote(str(path))}")


def _describe_source(settings: Settings) -> str:
    names = "postgres_user", "postgres_password"
    return settings.describe_source(*names) or "the default settings"


def _get_note(settings: Settings) -> Path:
    return settings.state / f"login-{settings.stack}"


def _read_noted(settings: Settings) -> list[Login]:
    """The login of the server, and those that it may have since; [] for a damaged file."""
    try:
        noted = json.loads(_read(_get_note(settings)) or "[]")
        return [[str(user), str(password)] for user, password in noted]
    except (ValueError, TypeError, RecursionError):
        return []
