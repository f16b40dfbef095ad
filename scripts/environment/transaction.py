"""One change of all three stores, applied completely or not at all, which `undo` can revert.

`prepare` saves what will be replaced. `commit` writes change.json (a write-ahead log of one entry)
and swaps the databases in one Postgres transaction, as in a blue-green deployment: that decides.
`complete` brings DynamoDB and Cognito to the same state and removes change.json. After a kill
`recover` finds change.json, checks whether the swap took place, and completes or rolls back.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from scripts import stacks, state
from scripts.cognito import sync
from scripts.dynamodb import backup, tables
from scripts.environment import snapshots
from scripts.environment.snapshots import SavedState
from scripts.errors import DevError, NotFoundError, count
from scripts.postgres import copies, databases
from scripts.settings import Settings


@dataclass(frozen=True)
class Change:
    """The content of change.json: what `complete` does after the swap.

    `live` is the oid of the app's database after the swap, None for none. `tables` are deleted,
    each only if it still has that identity; then the state in the folder `source`, "" for none, is
    restored. `users`: the user pool is part of the change. `confirmed` is the name of a database or
    table that this tool did not create and the user agreed to lose.
    """

    command: str
    postgres: bool
    live: int | None
    tables: Mapping[str, str]
    source: str
    users: bool
    confirmed: str


def prepare(
    settings: Settings, command: str, database: bool, names: Sequence[str], users: bool
) -> str:
    """Save what the change will replace, for `undo`; returns a line that describes it.

    Tables of AWS itself are not downloaded: tables.drop_table creates a backup of each.
    RefusedError: a database that this tool did not create has a name that the change needs.
    """
    where = stacks.targets(settings)
    if database:
        copies.check_companions(stacks.get_database(settings))
    saved = snapshots.save_state(
        _home(settings) / "kept",
        f"./invoke {command}",
        stacks.get_database(settings) if database else None,
        stacks.get_aws(settings) if names or users else where.aws,
        names if where.aws.owned else (),
        users and where.mock,
    )
    return f"kept: {saved}"


def commit(
    settings: Settings,
    incoming: str,
    names: Sequence[str] = (),
    source: Path | None = None,
    confirmed: str = "",
) -> str:
    """Decide the prepared change. From here on it is completed, not rolled back.

    `incoming` is the suffix of the database that becomes the app's, "" for none; `names` are the
    tables to delete. RefusedError: a database or table is neither ours nor confirmed.
    """
    saved = snapshots.get_state(_home(settings) / "kept")
    change = Change(
        command=saved.command,
        postgres=saved.postgres,
        live=_find_incoming(settings, incoming, source) if saved.postgres else None,
        tables=_identify(settings, names, confirmed),
        source=str(source or ""),
        users=saved.users is not None,
        confirmed=confirmed,
    )
    if not saved.postgres:
        _write(settings, change)
        return f"going: {', '.join(change.tables) or 'nothing'}"
    database = stacks.get_database(settings)
    if saved.oid:
        databases.check_disposable(database, confirmed)
        databases.tag(database)  # once confirmed, it is dropped when undo no longer needs it
    copies.clear_names(database, incoming)
    _write(settings, change)
    copies.swap_in(database, incoming)
    previous = copies.beside(database, copies.PREV).name
    return f"{database} is {'in place' if incoming else 'gone'}" + (
        f", the one before is {previous}" if saved.oid else ""
    )


def complete(settings: Settings) -> str:
    """Bring tables and users to the state of the databases; what was saved becomes undo's."""
    change = find_pending(settings)
    if not change:
        return "nothing is left to do"
    done = _drop_tables(settings, change)
    if change.source:
        source = snapshots.get_state(Path(change.source))
        if source.tables or source.users is not None:
            snapshots.restore_state(Path(change.source), source, stacks.get_aws(settings))
        done.append(f"back: {source}")
    if change.users and (others := _settle_users(settings, change)):
        done.append(others)
    _finish(settings, change)
    return "; ".join(done) or "nothing else to do"


def recover(settings: Settings) -> str:
    """Complete an interrupted change, or roll it back if the swap had not taken place."""
    change = find_pending(settings)
    if not change:
        return "nothing is left to do"
    database = stacks.get_database(settings)
    if change.postgres and copies.find_oid(database) != change.live:
        copies.drop(copies.beside(database, copies.NEXT))
        _clear(settings)
        return f"{change.command} had not taken effect: all is as it was before"
    return f"completed {change.command}: {complete(settings)}"


def find_pending(settings: Settings) -> Change | None:
    """The change that is committed but not completed."""
    text = state.read(_note(settings))
    try:
        return Change(**json.loads(text)) if text else None
    except (ValueError, TypeError):
        raise DevError(f"{_note(settings)} is broken", f"rm {_note(settings)}") from None


def describe(settings: Settings) -> list[str]:
    """A line about an incomplete change, for commands that only read."""
    change = find_pending(settings)
    hint = "running, or was interrupted: ./invoke setup (waits for it, or completes it)"
    return [f"{change.command} is {hint}"] if change else []


def get_last(settings: Settings) -> tuple[Path, SavedState]:
    """The state that `undo` restores, and its folder. Raises NotFoundError if there is none."""
    folder = _home(settings) / "prev"
    if not (saved := snapshots.find_state(folder)):
        raise NotFoundError(
            "there is nothing to undo",
            "undo reverts db.drop, db.reset, ddb.drop, reset and snapshot.restore",
        )
    return folder, saved


def list_data(settings: Settings) -> list[str]:
    """What is saved in files for this stack, one line per folder."""
    return [f"kept states: the folder {home}" for home in _homes(settings) if home.exists()]


def erase(settings: Settings) -> str:
    """Delete the saved files; their databases are deleted with the server's data."""
    there = list_data(settings)
    for home in _homes(settings):
        shutil.rmtree(home, ignore_errors=True)
    return "removed" if there else "there were none"


def _homes(settings: Settings) -> tuple[Path, Path]:
    return _home(settings), snapshots.get_home(settings)


def _home(settings: Settings) -> Path:
    return settings.state / "undo" / settings.stack / stacks.targets(settings).database.name


def _note(settings: Settings) -> Path:
    return _home(settings) / "change.json"


def _write(settings: Settings, change: Change) -> None:
    state.write(_note(settings), json.dumps(asdict(change)))


def _find_incoming(settings: Settings, suffix: str, source: Path | None) -> int | None:
    """The oid of the incoming database, None for none. Checks that it is the one that was saved."""
    if not suffix:
        return None
    database = copies.beside(stacks.get_database(settings), suffix)
    oid = copies.find_oid(database)
    if oid is None or (suffix == copies.PREV and source and snapshots.get_state(source).oid != oid):
        raise NotFoundError(f"{database} is not the one that was kept", "./invoke setup")
    return oid


def _identify(settings: Settings, names: Sequence[str], confirmed: str) -> dict[str, str]:
    """The identity of each existing table of these names; RefusedError for one to protect."""
    if not names:
        return {}
    aws, identities = stacks.get_aws(settings), {}
    for name in names:
        if table := tables.find_table(aws, name):
            tables.check_disposable(aws, table, _confirmed(settings, name, confirmed))
            identities[name] = backup.get_identity(table)
    return identities


def _drop_tables(settings: Settings, change: Change) -> list[str]:
    """Drop the tables of the change that still have their identity; returns a line for each."""
    if not change.tables:
        return []
    aws, done = stacks.get_aws(settings), []
    for name, identity in change.tables.items():
        table = tables.find_table(aws, name)
        if table and backup.get_identity(table) == identity:
            confirmed = _confirmed(settings, name, change.confirmed)
            done.append(tables.drop_table(aws, name, confirmed))
    return done


def _confirmed(settings: Settings, table: str, name: str) -> str:
    """The table's name if the user confirmed it, or the whole change by the database's name."""
    return table if name == stacks.targets(settings).database.name else name


def _settle_users(settings: Settings, change: Change) -> str:
    database, aws = stacks.get_database(settings), stacks.get_aws(settings)
    if not databases.exists(database):
        return ""
    others = 0
    if not change.source:
        others = sync.delete_others(database, aws)
    sync.link(database, aws)
    return f"{count(others, 'other user')} deleted" if others else ""


def _finish(settings: Settings, change: Change) -> None:
    """Replace the earlier saved state. Each step is idempotent, so a kill does no harm."""
    done = replace(change, tables={}, source="", users=False)
    _write(settings, done)
    home = _home(settings)
    if (home / "kept").exists():
        shutil.rmtree(home / "prev", ignore_errors=True)
        (home / "kept").rename(home / "prev")
    if change.postgres:
        copies.drop(copies.beside(stacks.get_database(settings), copies.GONE))
    _clear(settings)


def _clear(settings: Settings) -> None:
    shutil.rmtree(_home(settings) / "kept", ignore_errors=True)
    _note(settings).unlink(missing_ok=True)
