"""Named snapshots: saved states that have a database of their own."""

import re
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from scripts import stacks, state
from scripts.dynamodb import tables
from scripts.environment import saved_state, verification
from scripts.environment.saved_state import SavedState
from scripts.errors import DevError, InvalidError, NotFoundError, RefusedError, did_you_mean
from scripts.postgres import copies, databases
from scripts.settings import Settings
from scripts.targets import Database

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Snapshot:
    """A snapshot as it is listed; `size` is in bytes, of the database and the files."""

    name: str
    made: datetime
    size: int
    content: str

    @property
    def megabytes(self) -> str:
        """The size for people."""
        return f"{self.size / 1e6:.1f}"


def save(settings: Settings, name: str) -> str:
    """Save the current state under a name: a copy of the database, the tables, the users.

    What makes it valid, the folder's name, comes last. Raises DevError where the name is taken.
    """
    database = stacks.targets(settings).database
    has_database = "postgres" in settings.app.services
    folder = get_folder(settings, name)
    check_new(settings, name)
    _sweep(settings)
    copy = copies.of_snapshot(database, name)
    draft = folder.with_name(f"{name}.new")
    kept = saved_state.save(
        draft,
        "snapshot.save",
        database if has_database else None,
        stacks.targets(settings).aws,
        list_tables(settings),
        users=settings.app.cognito is not None,
    )
    try:
        if has_database:
            copies.copy(database, copy)
            saved_state.write_manifest(draft, replace(kept, oid=copies.find_oid(copy)))
        draft.rename(folder)
    except DevError:
        shutil.rmtree(draft, ignore_errors=True)
        if has_database:
            copies.drop(copy)
        raise
    return f"saved as {name}: {kept}"


def check_new(settings: Settings, name: str) -> None:
    """Raise DevError if the current state cannot be saved under this name."""
    database = stacks.targets(settings).database
    if not database.owned:
        raise RefusedError(f"{database} is not this checkout's own", "use a backup of its server")
    if get_folder(settings, name).exists():
        raise DevError(f"the snapshot {name} already exists", "choose another name")
    if "postgres" not in settings.app.services:
        return
    copies.check_companions(stacks.get_database(settings))
    if not databases.exists(database):
        raise NotFoundError(f"there is no database {database}", "./invoke setup")


def list_tables(settings: Settings) -> list[str]:
    """The names of all tables, [] for an app without AWS. Raises DevError if it does not run."""
    return tables.list_tables(stacks.get_aws(settings)) if "aws" in settings.app.services else []


def list_all(settings: Settings, verify_files: bool = True) -> list[Snapshot]:
    """The snapshots of this environment, the oldest first; of a damaged one, what is wrong.

    With `verify_files`, every saved item is read, which takes a second for 100,000 of them.
    """
    database = _get_server(settings)
    found = [_describe(database, folder, verify_files) for folder in _list_folders(settings)]
    return sorted(found, key=lambda snapshot: snapshot.made)


def list_damaged(settings: Settings) -> dict[str, list[str]]:
    """The names of the damaged snapshots, and what is wrong with each."""
    database = _get_server(settings)
    found = {folder.name: _list_damage(database, folder) for folder in _list_folders(settings)}
    return {name: reasons for name, reasons in found.items() if reasons}


def get_snapshot(settings: Settings, name: str) -> SavedState:
    """The state of a snapshot. Raises NotFoundError if there is none, DevError if it is damaged."""
    check_exists(settings, name)
    folder, database = get_folder(settings, name), _get_server(settings)
    if reasons := _list_damage(database, folder):
        raise DevError(
            f"the snapshot {name} is damaged, so nothing was changed:"
            + "".join(f"\n  {reason}" for reason in reasons),
            "./invoke snapshot.list (shows the others)",
        )
    return saved_state.get(folder)


def check_exists(settings: Settings, name: str) -> None:
    """Raise NotFoundError if there is no snapshot of this name, whole or damaged."""
    get_folder(settings, name)
    names = sorted(folder.name for folder in _list_folders(settings))
    if name in names:
        return
    if not names:
        raise NotFoundError(
            f"there is no snapshot {name}, nor any other", "./invoke snapshot.save NAME (saves one)"
        )
    hint = f"{did_you_mean(name, names)}snapshots: {', '.join(names)}"
    raise NotFoundError(f"there is no snapshot {name}", hint)


def delete(settings: Settings, name: str) -> str:
    """Delete a snapshot, also a damaged one. It ceases to be one first, then its parts go."""
    check_exists(settings, name)
    database, folder = _get_server(settings), get_folder(settings, name)
    if database:
        copies.check_companions(database)
    content = _describe(database, folder).content
    folder.rename(folder.with_name(f"{name}.gone"))
    _sweep(settings)
    return f"deleted {name}: {content}"


def get_home(settings: Settings) -> Path:
    """The folder of this environment's snapshots."""
    database = stacks.targets(settings).database
    return settings.state / "snapshots" / settings.stack / database.name


def get_folder(settings: Settings, name: str) -> Path:
    """The folder of one snapshot. Raises InvalidError for what cannot be a name."""
    database = stacks.targets(settings).database
    copy = copies.of_snapshot(database, name).name
    if not _NAME.fullmatch(name) or len(copy) > copies.LONGEST_NAME:
        most = copies.LONGEST_NAME - len(copy) + len(name)
        raise InvalidError(
            f"{name} is not a valid snapshot name",
            f"use letters, digits, _ and -, at most {most} characters",
        )
    return get_home(settings) / name


def _get_server(settings: Settings) -> Database | None:
    """The app's database, None for an app without Postgres. Raises DevError if it does not run."""
    return stacks.get_database(settings) if "postgres" in settings.app.services else None


def _list_folders(settings: Settings) -> list[Path]:
    home = get_home(settings)
    return [one for one in home.glob("*") if _NAME.fullmatch(one.name) and one.is_dir()]


def _describe(database: Database | None, folder: Path, verify_files: bool = True) -> Snapshot:
    """The snapshot in a folder as it is listed."""
    size = state.count_bytes(folder)
    if database and databases.exists(copy := copies.of_snapshot(database, folder.name)):
        size += databases.size(copy)
    if reasons := _list_damage(database, folder, verify_files):
        made = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
        return Snapshot(folder.name, made, size, f"damaged: {'; '.join(reasons)}")
    saved = saved_state.get(folder)
    return Snapshot(folder.name, saved.made, size, str(saved))


def _list_damage(database: Database | None, folder: Path, verify_files: bool = True) -> list[str]:
    try:
        saved = saved_state.get(folder)
    except NotFoundError:
        return [f"{folder / 'manifest.json'} is missing"]
    except DevError as error:
        return [error.reason]
    copy = database and copies.of_snapshot(database, folder.name)
    return verification.list_reasons(folder, saved, copy, verify_files)


def _sweep(settings: Settings) -> None:
    """Remove what is left of snapshots that are not whole: deleted now, or a run was killed.

    A damaged one has a folder of its name: what is left of it stays until it is deleted by name.
    """
    for folder in get_home(settings).glob("*.*"):
        shutil.rmtree(folder, ignore_errors=True)
    if not (database := _get_server(settings)):
        return
    named = {copies.of_snapshot(database, one.name).name for one in _list_folders(settings)}
    for copy in copies.list_beside(database, copies.SNAPSHOT):
        if copy.name not in named:
            copies.drop(copy)
