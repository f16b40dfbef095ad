"""States of the environment, kept: what Postgres, DynamoDB and Cognito held, with one manifest.

A kept state is a folder with `manifest.json`, `users.json` and a folder of items for each table; it
gets its name when it is whole. Its database stays on the server and is known by its oid, which
outlives a change of name.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from scripts import cognito, databases, dynamodb, postgres, stacks, state, tables
from scripts.dynamodb import Item
from scripts.errors import DevError, InvalidError, NotFoundError, RefusedError
from scripts.settings import Settings
from scripts.targets import Aws, Database

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Table:
    """A kept table: the request that makes it, and how many items it had."""

    definition: Item
    items: int


@dataclass(frozen=True)
class Kept:
    """A kept state; `command` is what it was kept from, or by.

    `postgres` tells whether the database is a part of it: `oid` is None where there was none then,
    `rows` says in words what was in it. Each of `tables` is None where it was not there then.
    `users` counts those of the pool, None where they are no part.
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


def keep(
    folder: Path,
    command: str,
    database: Database | None,
    aws: Aws,
    names: Sequence[str],
    users: bool,
) -> Kept:
    """Write down what the stores hold: the tables of these names, and the pool's users if asked.

    A state in `folder` from before is replaced. Postgres itself is only looked at.
    """
    draft = folder.with_name(f"{folder.name}.draft")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        state.ensure_folder(draft / "tables")
        oid = databases.find_oid(database) if database else None
        kept = Kept(
            made=datetime.now(UTC),
            command=command,
            postgres=database is not None,
            oid=oid,
            rows=postgres.describe_rows(database) if database and oid else "",
            tables={name: _save_table(aws, name, draft / "tables" / name) for name in names},
            users=_save_users(aws, draft / "users.json") if users else None,
        )
        write(draft, kept)
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    except OSError as error:
        raise state.not_writable(draft, error) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return kept


def write(folder: Path, kept: Kept) -> None:
    """Write the manifest, whole or not at all."""
    values = asdict(kept) | {"made": kept.made.isoformat()}
    state.write(folder / "manifest.json", json.dumps(values, indent=1) + "\n")


def find(folder: Path) -> Kept | None:
    """The state that is kept in a folder, None for none. Raises DevError for a broken one."""
    text = state.read(folder / "manifest.json")
    if text is None:
        return None
    try:
        values = json.loads(text)
        kept = {name: table and Table(**table) for name, table in values["tables"].items()}
        made = datetime.fromisoformat(values["made"])
        return Kept(**values | {"made": made, "tables": kept})
    except (ValueError, TypeError, KeyError):
        raise DevError(f"{folder}/manifest.json is broken", f"rm -r {folder}") from None


def get(folder: Path) -> Kept:
    """The state that is kept in a folder. Raises NotFoundError where there is none."""
    if kept := find(folder):
        return kept
    raise NotFoundError(f"nothing is kept in {folder}", "./invoke setup")


def put_back(folder: Path, kept: Kept, aws: Aws) -> None:
    """Write tables and users of a kept state into DynamoDB and the pool; what is there stays."""
    for name, table in kept.tables.items():
        if table:
            tables.put_back(aws, table.definition, folder / "tables" / name, table.items)
    if kept.users is not None and (pool := _ensure_pool(aws, kept.users)):
        cognito.put_users_back(aws, pool, json.loads((folder / "users.json").read_text()))


def save(settings: Settings, name: str) -> str:
    """Keep the present state under a name: a copy of the database, the tables, the users.

    What makes it valid, the folder's name, comes last. Raises DevError where the name is taken.
    """
    database, aws = stacks.get_database(settings), stacks.get_aws(settings)
    if not database.owned:
        raise RefusedError(f"{database} is not this checkout's own", "use a backup of its server")
    folder = get_folder(settings, name)
    _sweep(settings)
    if folder.exists():
        raise DevError(f"there is a snapshot {name}", f"./invoke snapshot.delete {name}")
    if not postgres.exists(database):
        raise NotFoundError(f"there is no database {database}", "./invoke setup")
    copy = databases.of_snapshot(database, name)
    draft = folder.with_name(f"{name}.new")
    kept = keep(draft, "snapshot.save", database, aws, dynamodb.list_tables(aws), users=True)
    try:
        databases.copy(database, copy)
        write(draft, replace(kept, oid=databases.find_oid(copy)))
        draft.rename(folder)
    except DevError:
        shutil.rmtree(draft, ignore_errors=True)
        databases.drop(copy)
        raise
    return f"kept as {name}: {kept}"


def list_all(settings: Settings) -> list[Snapshot]:
    """The snapshots of this environment, the oldest first."""
    database = stacks.get_database(settings)
    found = []
    for folder in get_home(settings).glob("*"):
        kept = find(folder) if _NAME.fullmatch(folder.name) else None
        copy = databases.of_snapshot(database, folder.name)
        if kept and kept.oid == databases.find_oid(copy):
            files = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
            size = postgres.size(copy) + files
            found.append(Snapshot(folder.name, kept.made, size, str(kept)))
    return sorted(found, key=lambda snapshot: snapshot.made)


def get_snapshot(settings: Settings, name: str) -> Kept:
    """The state that a snapshot keeps. Raises NotFoundError where there is none."""
    folder = get_folder(settings, name)
    kept = find(folder)
    copy = databases.of_snapshot(stacks.get_database(settings), name)
    if kept and kept.oid == databases.find_oid(copy):
        return kept
    names = ", ".join(snapshot.name for snapshot in list_all(settings)) or "none"
    raise NotFoundError(
        f"there is no snapshot {name}; snapshots: {names}", "./invoke snapshot.list"
    )


def delete(settings: Settings, name: str) -> str:
    """Delete a snapshot. It ceases to be one first, then its parts go."""
    kept = get_snapshot(settings, name)
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
    copy = databases.of_snapshot(database, name).name
    if not _NAME.fullmatch(name) or len(copy) > databases.LONGEST_NAME:
        most = databases.LONGEST_NAME - len(copy) + len(name)
        raise InvalidError(
            f"{name} cannot be a snapshot's name", f"letters, digits, _ and -, {most} at most"
        )
    return get_home(settings) / name


def _sweep(settings: Settings) -> None:
    """Remove what is left of snapshots that are not whole: deleted now, or a run was killed."""
    for folder in get_home(settings).glob("*.*"):
        shutil.rmtree(folder, ignore_errors=True)
    database = stacks.get_database(settings)
    whole = {databases.of_snapshot(database, one.name).name for one in list_all(settings)}
    for copy in databases.list_beside(database, databases.SNAPSHOT):
        if copy.name not in whole:
            databases.drop(copy)


def _save_table(aws: Aws, name: str, folder: Path) -> Table | None:
    table = dynamodb.find_table(aws, name)
    if not table:
        return None
    return Table(tables.get_definition(table), tables.save(aws, name, folder))


def _save_users(aws: Aws, path: Path) -> int:
    pool = cognito.find_pool(aws)
    users = cognito.save_users(aws, pool) if pool else []
    state.write(path, json.dumps(users))
    return len(users)


def _ensure_pool(aws: Aws, users: int) -> str | None:
    """The pool; made where it is missing and users are to be put into it."""
    pool = cognito.find_pool(aws)
    return pool or (cognito.create_pool(aws) if users else None)
