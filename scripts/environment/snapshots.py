"""Saved states of the environment: Postgres, DynamoDB and Cognito, described by one manifest.

A saved state is a folder with `manifest.json`, `users.json` and a folder of items for each table,
renamed to its final name when it is complete. Its database stays on the server and is identified by
its oid, which a rename does not change.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from scripts import stacks, state
from scripts.cognito import user_pool
from scripts.dynamodb import backup, tables
from scripts.dynamodb.tables import Item
from scripts.errors import DevError, InvalidError, NotFoundError, RefusedError, did_you_mean
from scripts.postgres import copies, databases
from scripts.settings import Settings
from scripts.targets import Aws, Database

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Table:
    """A saved table: the CreateTable request for it, and its number of items."""

    definition: Item
    items: int


@dataclass(frozen=True)
class SavedState:
    """The manifest of a saved state; `command` is the command that saved it.

    `postgres`: the database is part of it; `oid` is None if it did not exist, `rows` describes its
    row counts. Each of `tables` is None if it did not exist. `users` is the number of pool users,
    None if they are not part of it.
    """

    made: datetime
    command: str
    postgres: bool
    oid: int | None
    rows: str
    tables: Mapping[str, Table | None]
    users: int | None

    def __str__(self) -> str:
        parts = [self.rows or "no database"] if self.postgres else []
        for name, table in self.tables.items():
            parts.append(f"{name} {table.items:,}" if table else f"no table {name}")
        if self.users is not None:
            parts.append(f"pool users {self.users:,}")
        return ", ".join(parts)


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


def save_state(
    folder: Path,
    command: str,
    database: Database | None,
    aws: Aws,
    names: Sequence[str],
    users: bool,
) -> SavedState:
    """Write down what the stores hold: the tables of these names, and the pool's users if asked.

    A state in `folder` from before is replaced. Postgres itself is only looked at.
    """
    draft = folder.with_name(f"{folder.name}.draft")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        state.ensure_folder(draft / "tables")
        oid = copies.find_oid(database) if database else None
        kept = SavedState(
            made=datetime.now(UTC),
            command=command,
            postgres=database is not None,
            oid=oid,
            rows=databases.describe_rows(database) if database and oid else "",
            tables={name: _save_table(aws, name, draft / "tables" / name) for name in names},
            users=_save_users(aws, draft / "users.json") if users else None,
        )
        write_manifest(draft, kept)
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    except OSError as error:
        raise state.not_writable(draft, error) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return kept


def write_manifest(folder: Path, kept: SavedState) -> None:
    """Write the manifest, whole or not at all."""
    values = asdict(kept) | {"made": kept.made.isoformat()}
    state.write(folder / "manifest.json", json.dumps(values, indent=1) + "\n")


def find_state(folder: Path) -> SavedState | None:
    """The state that is kept in a folder, None for none. Raises DevError for a broken one."""
    text = state.read(folder / "manifest.json")
    if text is None:
        return None
    try:
        values = json.loads(text)
        kept = {name: table and Table(**table) for name, table in values["tables"].items()}
        made = datetime.fromisoformat(values["made"])
        return SavedState(**values | {"made": made, "tables": kept})
    except (ValueError, TypeError, KeyError):
        raise DevError(f"{folder}/manifest.json is broken", f"rm -r {folder}") from None


def get_state(folder: Path) -> SavedState:
    """The state that is kept in a folder. Raises NotFoundError where there is none."""
    if kept := find_state(folder):
        return kept
    raise NotFoundError(f"nothing is kept in {folder}", "./invoke setup")


def restore_state(folder: Path, kept: SavedState, aws: Aws) -> None:
    """Write tables and users of a kept state into DynamoDB and the pool; what is there stays.

    A user who has to be created again gets the local password: Cognito never reveals one.
    """
    for name, table in kept.tables.items():
        if table:
            backup.restore(aws, table.definition, folder / "tables" / name, table.items)
    if kept.users is not None and (pool := _ensure_pool(aws, kept.users)):
        user_pool.restore_users(aws, pool, json.loads((folder / "users.json").read_text()))


def save(settings: Settings, name: str) -> str:
    """Save the current state under a name: a copy of the database, the tables, the users.

    What makes it valid, the folder's name, comes last. Raises DevError where the name is taken.
    """
    database, aws = stacks.get_database(settings), stacks.get_aws(settings)
    if not database.owned:
        raise RefusedError(f"{database} is not this checkout's own", "use a backup of its server")
    copies.check_companions(database)
    folder = get_folder(settings, name)
    _sweep(settings)
    if folder.exists():
        raise DevError(
            f"the snapshot {name} already exists",
            f"choose another name, or: ./invoke snapshot.delete {name}",
        )
    if not databases.exists(database):
        raise NotFoundError(f"there is no database {database}", "./invoke setup")
    copy = copies.of_snapshot(database, name)
    draft = folder.with_name(f"{name}.new")
    kept = save_state(draft, "snapshot.save", database, aws, tables.list_tables(aws), users=True)
    try:
        copies.copy(database, copy)
        write_manifest(draft, replace(kept, oid=copies.find_oid(copy)))
        draft.rename(folder)
    except DevError:
        shutil.rmtree(draft, ignore_errors=True)
        copies.drop(copy)
        raise
    return f"saved as {name}: {kept}"


def list_all(settings: Settings) -> list[Snapshot]:
    """The snapshots of this environment, the oldest first."""
    database = stacks.get_database(settings)
    found = []
    for folder in get_home(settings).glob("*"):
        kept = find_state(folder) if _NAME.fullmatch(folder.name) else None
        copy = copies.of_snapshot(database, folder.name)
        if kept and kept.oid == copies.find_oid(copy):
            files = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
            size = databases.size(copy) + files
            found.append(Snapshot(folder.name, kept.made, size, str(kept)))
    return sorted(found, key=lambda snapshot: snapshot.made)


def get_snapshot(settings: Settings, name: str) -> SavedState:
    """The state that a snapshot keeps. Raises NotFoundError where there is none."""
    folder = get_folder(settings, name)
    kept = find_state(folder)
    copy = copies.of_snapshot(stacks.get_database(settings), name)
    if kept and kept.oid == copies.find_oid(copy):
        return kept
    names = [snapshot.name for snapshot in list_all(settings)]
    if not names:
        raise NotFoundError(f"there is no snapshot {name}", "there are no snapshots yet")
    hint = f"{did_you_mean(name, names)}snapshots: {', '.join(names)}"
    raise NotFoundError(f"there is no snapshot {name}", hint)


def delete(settings: Settings, name: str) -> str:
    """Delete a snapshot. It ceases to be one first, then its parts go."""
    kept = get_snapshot(settings, name)
    copies.check_companions(stacks.get_database(settings))
    folder = get_folder(settings, name)
    folder.rename(folder.with_name(f"{name}.gone"))
    _sweep(settings)
    return f"deleted {name}: {kept}"


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


def _sweep(settings: Settings) -> None:
    """Remove what is left of snapshots that are not whole: deleted now, or a run was killed."""
    for folder in get_home(settings).glob("*.*"):
        shutil.rmtree(folder, ignore_errors=True)
    database = stacks.get_database(settings)
    whole = {copies.of_snapshot(database, one.name).name for one in list_all(settings)}
    for copy in copies.list_beside(database, copies.SNAPSHOT):
        if copy.name not in whole:
            copies.drop(copy)


def _save_table(aws: Aws, name: str, folder: Path) -> Table | None:
    table = tables.find_table(aws, name)
    if not table:
        return None
    return Table(backup.get_definition(table), backup.save(aws, name, folder))


def _save_users(aws: Aws, path: Path) -> int:
    pool = user_pool.find_pool(aws)
    users = user_pool.save_users(aws, pool) if pool else []
    state.write(path, json.dumps(users))
    return len(users)


def _ensure_pool(aws: Aws, users: int) -> str | None:
    """The pool; made where it is missing and users are to be put into it."""
    pool = user_pool.find_pool(aws)
    return pool or (user_pool.create_pool(aws) if users else None)
