"""Saved states of the environment: Postgres, DynamoDB and Cognito, described by one manifest.

A saved state is a folder with `manifest.json`, `users.json` and a folder of items for each table,
renamed to its final name when it is complete. Its database stays on the server and is identified by
its oid, which a rename does not change.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts import state
from scripts.cognito import user_pool
from scripts.dynamodb import backup, tables
from scripts.dynamodb.tables import Item
from scripts.errors import DevError, NotFoundError
from scripts.postgres import copies, databases
from scripts.targets import Aws, Database

USERS = ""  # the part of a saved state that is no table


class DamagedError(DevError):
    """A saved state whose manifest cannot be read."""


@dataclass(frozen=True)
class Table:
    """A saved table: the CreateTable request for it, its number of items, its identity.

    A later table of the same name has another identity; "" if an earlier version saved it.
    """

    definition: Item
    items: int
    identity: str = ""


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
class Damage:
    """A part of a saved state that cannot be restored: a table's name, or USERS; and why."""

    part: str
    reason: str


def save(
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
        if damage := list_damage(draft, kept):
            reasons = "".join(f"\n  {one.reason}" for one in damage).replace(f"{draft}/", "")
            raise DevError(
                f"the present state cannot be saved, so nothing was changed:{reasons}",
                "correct the item or user named above",
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


def find(folder: Path) -> SavedState | None:
    """The state that is saved in a folder, None for none. DamagedError for a damaged one."""
    text = state.read(folder / "manifest.json")
    if text is None:
        return None
    try:
        return _parse(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise DamagedError(f"{folder}/manifest.json is damaged", state.move_aside(folder)) from None


def get(folder: Path) -> SavedState:
    """The state that is saved in a folder. Raises NotFoundError where there is none."""
    if kept := find(folder):
        return kept
    raise NotFoundError(f"nothing is saved in {folder}", "./invoke setup")


def list_parts(saved: SavedState) -> list[str]:
    """The parts that are restored from files: the names of tables, and USERS."""
    tables = [name for name, table in saved.tables.items() if table]
    return tables if saved.users is None else [*tables, USERS]


def list_damage(folder: Path, saved: SavedState) -> list[Damage]:
    """What cannot be restored from the files of a saved state."""
    found = [
        Damage(
            name, backup.find_damage(name, table.definition, folder / "tables" / name, table.items)
        )
        for name, table in saved.tables.items()
        if table
    ]
    if saved.users is not None:
        found.append(Damage(USERS, _find_users_damage(folder / "users.json", saved.users)))
    return [damage for damage in found if damage.reason]


def restore(folder: Path, saved: SavedState, part: str, aws: Aws) -> None:
    """Write a part of a saved state into DynamoDB or the pool; items that exist stay.

    A user who has to be created again gets the local password: Cognito never reveals one.
    """
    if part != USERS:
        table = saved.tables[part]
        assert table  # noqa: S101 - list_parts names no other
        backup.restore(aws, table.definition, folder / "tables" / part, table.items)
    elif pool := _ensure_pool(aws, saved.users or 0):
        user_pool.restore_users(aws, pool, json.loads((folder / "users.json").read_text()))


def _parse(values: Any) -> SavedState:
    """The content of a manifest. ValueError, TypeError, KeyError or AttributeError for others."""
    kept = {name: table and Table(**table) for name, table in values["tables"].items()}
    saved = SavedState(**values | {"made": datetime.fromisoformat(values["made"]), "tables": kept})
    counts = [table.items for table in kept.values() if table]
    numbers = [*counts, *(one for one in (saved.oid, saved.users) if one is not None)]
    texts = [saved.command, saved.rows, *(table.identity for table in kept.values() if table)]
    names = all(tables.NAME.fullmatch(name) for name in kept)  # each is a folder's name as well
    if (
        not (names and saved.made.tzinfo and isinstance(saved.postgres, bool))
        or not all(type(number) is int for number in numbers)
        or not all(isinstance(text, str) for text in texts)
    ):
        raise ValueError
    return saved


def _save_table(aws: Aws, name: str, folder: Path) -> Table | None:
    table = tables.find_table(aws, name)
    if not table:
        return None
    definition, identity = backup.get_definition(table), backup.get_identity(table)
    return Table(definition, backup.save(aws, name, folder), identity)


def _save_users(aws: Aws, path: Path) -> int:
    pool = user_pool.find_pool(aws)
    users = user_pool.save_users(aws, pool) if pool else []
    state.write(path, json.dumps(users))
    return len(users)


def _find_users_damage(path: Path, expected: int) -> str:
    try:
        users = json.loads(path.read_bytes())
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    except (ValueError, RecursionError) as error:
        return f"{path} is not JSON: {error}"
    if not isinstance(users, list) or not all(map(_is_user, users)):
        return f"{path} does not contain saved users"
    return "" if len(users) == expected else f"{path}: {len(users):,} users, expected {expected:,}"


def _is_user(user: Any) -> bool:
    """Is it a user in the form of `user_pool.save_users`?"""
    return (
        isinstance(user, dict)
        and isinstance(user.get("Username"), str)
        and isinstance(user.get("Enabled"), bool)
        and isinstance(user.get("Attributes"), list)
        and all(
            isinstance(pair, dict) and isinstance(pair.get("Name"), str) and "Value" in pair
            for pair in user["Attributes"]
        )
    )


def _ensure_pool(aws: Aws, users: int) -> str | None:
    """The pool; made where it is missing and users are to be put into it."""
    pool = user_pool.find_pool(aws)
    return pool or (user_pool.create_pool(aws) if users else None)
