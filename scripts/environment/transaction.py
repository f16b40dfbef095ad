"""One change of all three stores, applied completely or not at all, which `undo` can revert.

`prepare` saves what will be replaced. `commit` writes change.json (a write-ahead log of one entry)
and swaps the databases in one Postgres transaction, as in a blue-green deployment: that decides.
`complete` brings DynamoDB and Cognito to the same state and removes change.json. If it is killed or
fails, `recovery` finds change.json: it completes the change or reverts it.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from scripts import stacks
from scripts.cognito import sync
from scripts.dynamodb import backup, deletion, tables
from scripts.dynamodb.tables import InvalidDataError, Item
from scripts.environment import journal, saved_state, snapshots, verification
from scripts.environment.journal import Change
from scripts.environment.saved_state import USERS, SavedState
from scripts.errors import DevError, NotFoundError, RefusedError, count
from scripts.postgres import copies, databases
from scripts.settings import Settings
from scripts.targets import Aws


def prepare(
    settings: Settings,
    command: str,
    database: bool,
    names: Sequence[str],
    users: bool,
    confirmed: str = "",
) -> str:
    """Save what the change will replace, for `undo`; returns a line that describes it.

    Tables of AWS itself are not downloaded: tables.drop_table creates a backup of each.
    RefusedError: a database that this tool did not create has a name that the change needs, or a
    table was neither created by this tool nor confirmed, or is protected.
    """
    where = stacks.targets(settings)
    _identify(settings, names, confirmed)
    if database:
        copies.check_companions(stacks.get_database(settings))
    saved = saved_state.save(
        journal.get_home(settings) / journal.KEPT,
        f"./invoke {command}",
        stacks.get_database(settings) if database else None,
        stacks.get_aws(settings) if names or users else where.aws,
        names if where.aws.owned else (),
        users and where.mock,
    )
    return f"kept: {saved}"


def check(settings: Settings, database: bool, names: Sequence[str]) -> None:
    """Raise DevError for what refuses the change also once it is confirmed."""
    _identify(settings, names, stacks.targets(settings).database.name)
    if database:
        copies.check_companions(stacks.get_database(settings))


def commit(
    settings: Settings,
    incoming: str,
    names: Sequence[str] = (),
    source: Path | None = None,
    confirmed: str = "",
    definitions: Sequence[Item] = (),
) -> str:
    """Decide the prepared change. From here on it is completed, not rolled back.

    `incoming` is the suffix of the database that becomes the app's, "" for none; `names` are the
    tables to delete; `definitions` are those of the tables that the command creates again.
    RefusedError: a database or table was neither created by this tool nor confirmed.
    """
    saved = saved_state.get(journal.get_home(settings) / journal.KEPT)
    change = Change(
        command=saved.command,
        postgres=saved.postgres,
        live=_find_incoming(settings, incoming, source) if saved.postgres else None,
        tables=_identify(settings, names, confirmed),
        source=str(source or ""),
        users=saved.users is not None,
        confirmed=confirmed,
        protected=[_protect(one) for one in definitions if _is_protected(saved, one)],
        created=[one["TableName"] for one in definitions],
    )
    if not saved.postgres:
        journal.write(settings, change)
        return f"tables: {', '.join(change.tables) or 'nothing'}"
    database = stacks.get_database(settings)
    if saved.oid:
        databases.check_disposable(database, confirmed)
        databases.tag(database)  # once confirmed, it is dropped when undo no longer needs it
    copies.clear_names(database, incoming)
    journal.write(settings, change)
    copies.swap_in(database, incoming)
    if not incoming:
        return f"dropped {database}; it is saved for undo"
    if not saved.oid:
        return f"created {database}"
    return f"replaced {database}; the former one is saved for undo"


def complete(settings: Settings, lenient: bool = False) -> str:
    """Apply the change to DynamoDB and Cognito; keep the saved state for undo.

    Raises DevError for a part of the source that cannot be restored; `lenient` leaves such a part
    as it is now, saves its files, and says so.
    """
    change = journal.find_pending(settings)
    if not change:
        return "nothing is left to do"
    source, damage = _read_source(change, lenient)
    again = {*change.created, *(source.tables if source else ())} - damage.keys()
    done = [
        line.replace("dropped the table", "replaced the items of") if name in again else line
        for name, line in _drop_tables(settings, change, damage, lenient).items()
    ]
    for definition in change.protected:
        tables.ensure_table(stacks.get_aws(settings), definition)
    if source:
        restore(settings, Path(change.source), source, damage, lenient)
        done.append(f"restored: {source}")
    if change.users and (others := _settle_users(settings, change)):
        done.append(others)
    done += _set_aside(settings, change, damage)
    _finish(settings, change)
    return "; ".join(done) or "nothing else to do"


def drop(aws: Aws, name: str, confirmed: str, damage: dict[str, str], lenient: bool) -> list[str]:
    """Drop a table; returns a line about it. `lenient` adds a refusal to `damage` instead."""
    try:
        return [tables.drop_table(aws, name, confirmed)]
    except RefusedError as error:
        if not lenient:
            raise
        damage[name] = error.reason
        return []


def restore(
    settings: Settings, folder: Path, saved: SavedState, damage: dict[str, str], lenient: bool
) -> None:
    """Restore the tables and users of a saved state without its damaged parts.

    `lenient` adds to `damage` what DynamoDB rejects.
    """
    for part in saved_state.list_parts(saved):
        if part in damage:
            continue
        try:
            saved_state.restore(folder, saved, part, stacks.get_aws(settings))
        except InvalidDataError as error:
            if not lenient:
                raise
            damage[part] = error.reason


def get_last(settings: Settings) -> tuple[Path, SavedState]:
    """The state that `undo` restores, and its folder. Raises NotFoundError if there is none."""
    folder = journal.get_home(settings) / journal.PREVIOUS
    if not (saved := saved_state.find(folder)):
        raise NotFoundError(
            "there is nothing to undo",
            "undo reverts db.drop, db.reset, ddb.drop, reset and snapshot.restore",
        )
    return folder, saved


def list_damage(settings: Settings) -> list[str]:
    """Why `undo` would be refused, a line each; [] if it would not, or has nothing to restore."""
    previous = copies.beside(stacks.targets(settings).database, copies.PREV)
    try:
        folder, saved = get_last(settings)
    except NotFoundError:
        return []
    except DevError as error:
        return [error.reason]
    return verification.list_reasons(folder, saved, previous)


def list_data(settings: Settings) -> list[str]:
    """What is saved in files for this stack, one line per folder."""
    return [f"saved states: the folder {home}" for home in _homes(settings) if home.exists()]


def erase(settings: Settings) -> str:
    """Delete the saved files; their databases are deleted with the server's data."""
    there = list_data(settings)
    for home in _homes(settings):
        shutil.rmtree(home, ignore_errors=True)
    return "removed" if there else "there were none"


def _homes(settings: Settings) -> tuple[Path, Path]:
    return journal.get_home(settings), snapshots.get_home(settings)


def _protect(definition: Item) -> Item:
    return definition | {"DeletionProtectionEnabled": True}


def _is_protected(saved: SavedState, definition: Item) -> bool:
    table = saved.tables.get(definition["TableName"])
    return bool(table and table.definition.get("DeletionProtectionEnabled"))


def _read_source(change: Change, lenient: bool) -> tuple[SavedState | None, dict[str, str]]:
    """The state to restore, None for none; and why parts of it cannot be, by part."""
    folder = Path(change.source)
    if not change.source:
        return None, {}
    try:
        source = saved_state.get(folder)
    except DevError as error:
        if not lenient:
            raise
        return None, dict.fromkeys([*change.tables, USERS], error.reason)
    if not lenient:
        return source, {}
    return source, {one.part: one.reason for one in saved_state.list_damage(folder, source)}


def _find_incoming(settings: Settings, suffix: str, source: Path | None) -> int | None:
    """The oid of the incoming database, None for none. Checks that it is the one that was saved."""
    if not suffix:
        return None
    database = copies.beside(stacks.get_database(settings), suffix)
    oid = copies.find_oid(database)
    if oid is None or (suffix == copies.PREV and source and saved_state.get(source).oid != oid):
        raise NotFoundError(f"{database} is not the one that was saved", "./invoke setup")
    return oid


def _identify(settings: Settings, names: Sequence[str], confirmed: str) -> dict[str, str]:
    """The identity of each existing table of these names; DevError if one cannot be deleted."""
    if not names:
        return {}
    aws, identities = stacks.get_aws(settings), {}
    for name in names:
        if table := tables.find_table(aws, name):
            tables.check_disposable(aws, table, _confirmed(settings, name, confirmed))
            deletion.check_status(aws, table)
            identities[name] = backup.get_identity(table)
    return identities


def _drop_tables(
    settings: Settings, change: Change, damage: dict[str, str], lenient: bool
) -> dict[str, str]:
    """Drop the tables of the change that still have their identity; returns a line for each.

    One that could not be restored is left as it is. `lenient` adds to `damage` what is refused.
    """
    if not change.tables:
        return {}
    aws, done = stacks.get_aws(settings), dict[str, str]()
    for name, identity in change.tables.items():
        table = tables.find_table(aws, name)
        if name not in damage and table and backup.get_identity(table) == identity:
            confirmed = _confirmed(settings, name, change.confirmed)
            for line in drop(aws, name, confirmed, damage, lenient):
                done[name] = line
    return done


def _confirmed(settings: Settings, table: str, name: str) -> str:
    """The table's name if the user confirmed it, or the whole change by the database's name."""
    return table if name == stacks.targets(settings).database.name else name


def _settle_users(settings: Settings, change: Change) -> str:
    database, aws = stacks.targets(settings).database, stacks.get_aws(settings)
    if "postgres" in settings.app.services and not databases.exists(database):
        return ""
    others = 0
    if not change.source:
        others = sync.delete_others(database, aws)
    sync.link(database, aws)
    return f"{count(others, 'other user')} deleted" if others else ""


def _set_aside(settings: Settings, change: Change, damage: Mapping[str, str]) -> list[str]:
    """Keep the files of a source that was not restored whole; returns a line that names them."""
    if not damage:
        return []
    folder = Path(change.source)
    if folder == journal.get_home(settings) / journal.PREVIOUS and folder.exists():
        folder = journal.set_aside(folder)
    return [verification.describe(damage, folder if change.source else None)]


def _finish(settings: Settings, change: Change) -> None:
    """Replace the earlier saved state. Each step is idempotent, so a kill does no harm."""
    journal.write(settings, replace(change, tables={}, source="", users=False, protected=()))
    home = journal.get_home(settings)
    if (home / journal.KEPT).exists():
        shutil.rmtree(home / journal.PREVIOUS, ignore_errors=True)
        (home / journal.KEPT).rename(home / journal.PREVIOUS)
    if change.postgres:
        gone = copies.beside(stacks.get_database(settings), copies.GONE)
        oid = copies.find_oid(gone)
        if oid is None or oid != journal.find_previous_oid(settings):
            copies.drop(gone)
    journal.clear(settings)
