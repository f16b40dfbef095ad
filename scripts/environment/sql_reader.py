"""The login for SQL that is typed into a page: a role that may only read."""

import secrets

from scripts import stacks, state
from scripts.postgres import reader
from scripts.settings import Settings
from scripts.targets import Database


def get(settings: Settings) -> Database:
    """The app's database as that role sees it. Raises RefusedError on servers of others.

    Its password is random and stands in a file of mode 0600; the role is created if it is missing.
    """
    path = settings.state / "reader-password"
    password = state.read(path)
    if not password:
        password = secrets.token_urlsafe(24)
        state.write(path, password)
    return reader.ensure(stacks.get_database(settings), password)
