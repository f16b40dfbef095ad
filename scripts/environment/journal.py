"""The journal of changes: change.json, a write-ahead log of one entry, and what it refers to.

The folder `kept` holds what the pending change saved, `prev` what `undo` restores.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts import stacks, state
from scripts.dynamodb.tables import Item
from scripts.environment import saved_state
from scripts.environment.saved_state import SavedState
from scripts.errors import DevError
from scripts.settings import Settings

KEPT, PREVIOUS = "kept", "prev"
_UNKNOWN = -1  # no database has this oid


@dataclass(frozen=True)
class Change:
    """The content of change.json: what `complete` does after the swap.

    `live` is the oid of the app's database after the swap, None for none. `tables` are deleted,
    each only if it still has that identity; then the state in the folder `source`, "" for none, is
    restored. `users`: the user pool is part of the change. `confirmed` is the name of a database or
    table that this tool did not create and the user agreed to lose. `protected` are the CreateTable
    requests of tables that are created again at once, to have their deletion protection back.
    `created` are the tables that the command creates again after the change.
    `reverting`: the change is being rolled back.
    """

    command: str
    postgres: bool
    live: int | None
    tables: Mapping[str, str]
    source: str
    users: bool
    confirmed: str
    protected: Sequence[Item] = ()
    created: Sequence[str] = ()
    reverting: bool = False


def find_pending(settings: Settings) -> Change | None:
    """The change that is committed but not completed; of a damaged change.json what is known."""
    note = get_note(settings)
    try:
        text = state.read(note)
        return _parse(json.loads(text)) if text is not None else None
    except (ValueError, TypeError, RecursionError, DevError):
        kept = find_kept(settings)
        command = kept.command if kept else "a change"
        return Change(command, bool(kept and kept.postgres), _UNKNOWN, {}, "", False, "")


def is_damaged(change: Change) -> bool:
    """Is change.json damaged? Then nothing but the command is known."""
    return change.live == _UNKNOWN


def find_kept(settings: Settings) -> SavedState | None:
    """The state that was saved before the pending change; None if it is missing or damaged."""
    try:
        return saved_state.find(get_home(settings) / KEPT)
    except DevError:
        return None


def find_previous_oid(settings: Settings) -> int | None:
    """The oid of the database that `undo` restores, as its manifest says; None for none."""
    try:
        saved = saved_state.find(get_home(settings) / PREVIOUS)
    except DevError:
        return None
    return saved.oid if saved else None


def set_aside(folder: Path) -> Path:
    """Rename a folder that is damaged, so that nothing in it is lost; its new path."""
    return folder.rename(folder.with_name(f"damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"))


def write(settings: Settings, change: Change) -> None:
    """Write change.json."""
    state.write(get_note(settings), json.dumps(asdict(change)))


def clear(settings: Settings) -> None:
    """Delete change.json, then the folder `kept`."""
    get_note(settings).unlink(missing_ok=True)
    shutil.rmtree(get_home(settings) / KEPT, ignore_errors=True)


def get_home(settings: Settings) -> Path:
    """The folder of what was saved for this environment, and of change.json."""
    return settings.state / "undo" / settings.stack / stacks.targets(settings).database.name


def get_note(settings: Settings) -> Path:
    """The path of change.json."""
    return get_home(settings) / "change.json"


def _parse(values: Any) -> Change:
    """The content of change.json. Raises ValueError or TypeError for anything else."""
    change = Change(**values)
    kinds = {
        str: (change.command, change.source, change.confirmed, *change.tables, *change.created),
        bool: (change.postgres, change.users, change.reverting),
        dict: (change.tables, *change.protected),
        int: () if change.live is None else (change.live,),
    }
    if not all(type(value) is kind for kind, values in kinds.items() for value in values):
        raise ValueError
    return change
