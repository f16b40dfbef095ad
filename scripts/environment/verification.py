"""Is a saved state whole? Reads all that restoring it will read, before anything depends on it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.dynamodb import backup
from scripts.environment.saved_state import USERS, SavedState
from scripts.errors import DevError
from scripts.postgres import copies
from scripts.targets import Database


@dataclass(frozen=True)
class Damage:
    """A part of a saved state that cannot be restored: a table's name, or USERS; and why."""

    part: str
    reason: str


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


def check_saved(folder: Path, saved: SavedState) -> None:
    """Raise DevError if what was just saved could not be restored: nothing was replaced yet."""
    if damage := list_damage(folder, saved):
        reasons = "".join(f"\n  {one.reason}" for one in damage)
        raise DevError(
            f"the present state cannot be saved, so nothing was changed:{reasons}",
            "correct the item or user named above",
        )


def find_database_damage(saved: SavedState, database: Database | None) -> str:
    """Why `database` is not the one of the saved state; "" if it is, or if none is part of it."""
    if saved.oid is None:
        return ""
    if database is None:
        return "it contains a database, and app.toml no longer has the service postgres"
    oid = copies.find_oid(database)
    if oid is None:
        return f"the database {database} does not exist"
    return "" if oid == saved.oid else f"the database {database} is not the one that was saved"


def list_reasons(
    folder: Path, saved: SavedState, database: Database | None, verify_files: bool = True
) -> list[str]:
    """Why a saved state with its `database` cannot be restored, a line each; [] if it can be."""
    of_database = find_database_damage(saved, database)
    of_files = [damage.reason for damage in list_damage(folder, saved)] if verify_files else []
    return [of_database, *of_files] if of_database else of_files


def check(what: str, folder: Path, saved: SavedState, database: Database, hint: str) -> None:
    """Raise DevError if a part of the saved state is damaged. `what` names the state."""
    if reasons := list_reasons(folder, saved, database):
        shown = "".join(f"\n  {reason}" for reason in reasons)
        raise DevError(f"{what} is damaged, so nothing was changed:{shown}", hint)


def describe(damage: Mapping[str, str], folder: Path | None) -> str:
    """A line about the parts that were not restored, and the folder with their files."""
    reasons = ", ".join(dict.fromkeys(damage.values()))
    where = f"; what was saved is in {folder}" if folder else ""
    return f"not restored, so left as it was: {reasons}{where}"


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
