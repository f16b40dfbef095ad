"""The PostgreSQL programs of the embedded stack: their folder, their version, added extensions."""

import contextlib
import filecmp
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts import shell
from scripts.errors import DevError
from scripts.settings import Settings

OLDEST = 14
_EXTENSIONS = Path(__file__).parent / "extensions"
_UNSAFE_IN_SHELL = re.compile(r'["$`]')  # initdb writes its own path between double quotes


@dataclass(frozen=True)
class Programs:
    """The folder with `postgres` and `initdb`, and their major version."""

    folder: Path
    major: int


def find(settings: Settings, home: Path, user: str | None) -> Programs:
    """The programs that `user` may run; for another user than us a copy in `home` where needed.

    Raises DevError if there are none, or if they are too old.
    """
    installed = shell.postgres_home(settings.postgres_home)
    version = _find_version(installed / "bin", user)
    if not version and user and not settings.postgres_home:
        installed = _ensure_copy(installed, home / "programs")
        version = _find_version(installed / "bin", user)
    named = f"POSTGRES_HOME={installed}" if settings.postgres_home else str(installed)
    if not version:
        raise DevError(
            f"{named} has no program bin/postgres that {user or 'this user'} can run",
            "set POSTGRES_HOME to a PostgreSQL installation, such as /usr/lib/postgresql/15",
        )
    if version < OLDEST:
        raise DevError(
            f"{named} is PostgreSQL {version}, which is too old",
            f"set POSTGRES_HOME to PostgreSQL {OLDEST} or newer",
        )
    return Programs(installed / "bin", version)


@contextlib.contextmanager
def for_shell(programs: Programs) -> Iterator[Path]:
    """The programs in a folder whose path a shell reads as it stands, which initdb requires."""
    if not _UNSAFE_IN_SHELL.search(str(programs.folder)):
        yield programs.folder
        return
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield _ensure_copy(programs.folder.parent, Path(folder, "programs")) / "bin"


def extension_options(programs: Programs, home: Path, user: str | None) -> list[str]:
    """The options by which the server also finds our extensions, after its own ones."""
    folder = _EXTENSIONS
    if user:  # who may not be able to enter the checkout
        folder = home / "extensions"
        shutil.copytree(_EXTENSIONS, folder, dirs_exist_ok=True)
        _let_everybody_read(folder)
    if programs.major < 18 or ":" in str(folder):  # which separates folders
        return []
    return [f"extension_control_path=$system:{folder}"]


def _find_version(folder: Path, user: str | None) -> int | None:
    """The major version of the programs in a folder, None if they cannot be run."""
    try:
        done = shell.run(
            [folder / "postgres", "--version"], env=shell.minimal_environment(), user=user
        )
    except (DevError, OSError):
        return None
    found = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    return int(found[1]) if found else None


def _ensure_copy(installed: Path, copy: Path) -> Path:
    """A copy of the wheel's programs that everybody may run, made anew where another is installed.

    Their libraries are found by a relative path: both folders keep their places.
    """
    package = installed.parent
    copied = copy / package.name / installed.name
    if _is_same(installed / "bin" / "postgres", copied / "bin" / "postgres"):
        return copied
    draft = copy.with_name(f"{copy.name}.draft")
    for old in (draft, copy):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(installed, draft / package.name / installed.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, draft / libraries.name, symlinks=True)
    _let_everybody_read(draft)
    draft.replace(copy)
    return copied


def _is_same(one: Path, other: Path) -> bool:
    """Have both files the same size and time of change?"""
    return one.exists() and other.exists() and filecmp.cmp(one, other)


def _let_everybody_read(folder: Path) -> None:
    """As a clone or an installation may be private, by the umask."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)
