"""Is a saved state whole? Reads all that restoring it will read, before anything depends on it."""

from collections.abc import Mapping
from pathlib import Path

from scripts.environment import saved_state
from scripts.environment.saved_state import SavedState
from scripts.errors import DevError
from scripts.postgres import copies
from scripts.targets import Database


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
    of_files = (
        [damage.reason for damage in saved_state.list_damage(folder, saved)] if verify_files else []
    )
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
