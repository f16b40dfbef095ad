"""The checkout's own folder `.dev`: private files, and the name its servers are known by."""

import hashlib
import os
import secrets
from pathlib import Path

from scripts.errors import DevError
from scripts.settings import Settings


def identity(settings: Settings) -> str:
    """A short name for this checkout, from its path; its servers carry it in their arguments.

    A copied checkout gets another one, so it never takes the original's servers for its own.
    """
    return "dev-" + hashlib.sha256(os.fsencode(settings.root.resolve())).hexdigest()[:12]


def ensure_folder(path: Path) -> Path:
    """Make a folder that only we can enter. Raises DevError where it cannot be ours."""
    try:
        if not path.parent.exists():
            ensure_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        owner = path.stat().st_uid
        if owner == os.geteuid():
            path.chmod(0o700)
    except OSError as error:
        raise not_writable(path, error) from None
    if owner != os.geteuid():
        raise _foreign(path)
    return path


def read(path: Path) -> str | None:
    """The text of a file of ours, None where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError:
        raise _foreign(path) from None


def write(path: Path, text: str) -> None:
    """Write a file of mode 0600, whole or not at all."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        draft.replace(path)
    except OSError as error:
        raise not_writable(path, error) from None


def not_writable(path: Path, error: OSError) -> DevError:
    """The DevError for a file or folder of ours that could not be written."""
    return DevError(
        f"{path} cannot be written: {error.strerror}", "check its owner, permissions and free space"
    )


def find_password(settings: Settings) -> str | None:
    """The database password of this checkout: the user's own, or ours if it was made already."""
    return settings.postgres_password or read(settings.state / "password")


def ensure_password(settings: Settings) -> str:
    """The database password of this checkout, made at random the first time."""
    if password := find_password(settings):
        return password
    password = secrets.token_urlsafe(24)
    write(ensure_folder(settings.state) / "password", password)
    return password


def _foreign(path: Path) -> DevError:
    return DevError(
        f"{path} belongs to another user", "run as that user, or make a clone of your own"
    )
