"""The password of this checkout's own databases, in the embedded and the docker stack."""

import secrets
import threading
from shlex import quote

from scripts import state
from scripts.errors import DevError
from scripts.settings import Settings

_making = threading.Lock()


def find(settings: Settings) -> str | None:
    """The database password of this checkout: the user's own, or ours if it was made already."""
    path = settings.state / "password"
    fix = f"chmod 600 {quote(str(path))}"
    text = settings.postgres_password or state.read_secret(path, fix) or ""
    return text if text.isprintable() and "\ufffd" not in text else None  # else it is damaged


def ensure(settings: Settings) -> str:
    """The database password of this checkout, made at random the first time."""
    with _making:
        if password := find(settings):
            return password
        path = state.ensure_folder(settings.state) / "password"
        if path.exists():
            raise DevError(f"{path} contains no password; it is damaged", f"rm {quote(str(path))}")
        password = secrets.token_urlsafe(24)
        state.write(path, password)
        return password
