"""The two ways out of a change that was interrupted: complete it (setup), or revert it (undo).

The app's database decides how far it came. Both ways restore what can be restored, leave anything
else as it is, and say so; either can be interrupted itself.
"""

from dataclasses import replace
from datetime import UTC, datetime

from scripts import stacks, state
from scripts.cognito import sync
from scripts.dynamodb import backup, deletion, tables
from scripts.dynamodb.tables import Item
from scripts.environment import journal, saved_state, transaction, verification
from scripts.environment.journal import Change
from scripts.environment.saved_state import SavedState, Table
from scripts.errors import DevError
from scripts.postgres import copies, databases
from scripts.settings import Settings

FORWARD, BACK = "./invoke setup", "./invoke undo"


def describe(settings: Settings) -> list[str]:
    """A line about an incomplete change, for commands that only read."""
    change = journal.find_pending(settings)
    ways = f"{FORWARD} (waits for it, or completes it), {BACK} (reverts it)"
    return [f"{change.command} is running, or was interrupted: {ways}"] if change else []


def recover(settings: Settings) -> str:
    """Complete an interrupted change, or roll it back if the swap had not taken place."""
    change = journal.find_pending(settings)
    if not change:
        return "nothing is left to do"
    if change.reverting:
        return revert(settings)
    kept = _ensure_kept(settings, change)
    if not _is_decided(settings, change, kept):
        return _forget(settings, change)
    done = transaction.complete(settings, lenient=True)
    if journal.is_damaged(change):
        done = "change.json was damaged, so tables and users are left as they are"
    return f"completed {change.command}: {done}"


def revert(settings: Settings, confirmed: str = "") -> str:
    """Bring back what an interrupted change replaced; what was saved before it stays for `undo`.

    Raises DevError, and changes nothing, if the database that was replaced is lost.
    """
    change = journal.find_pending(settings)
    if not change:
        return "nothing is left to do"
    kept = _ensure_kept(settings, change)
    if not change.reverting and not _is_decided(settings, change, kept):
        return _forget(settings, change)
    if not kept and change.reverting:  # killed when all was restored
        _drop_displaced(settings)
        journal.clear(settings)
        return f"reverted {change.command}"
    if not kept:
        raise DevError(
            f"{change.command} cannot be reverted: what it saved is missing or damaged:"
            f" {journal.get_home(settings) / journal.KEPT}",
            f"{FORWARD} (completes it)",
        )
    _check(settings, change, kept, confirmed)
    journal.write(settings, replace(change, reverting=True))
    if kept.postgres:
        _return_database(settings, kept)
    lost = _return_tables(settings, kept)
    if kept.postgres:
        _drop_displaced(settings)
    journal.clear(settings)
    return f"reverted {change.command}: {kept}{lost}"


def _forget(settings: Settings, change: Change) -> str:
    """Roll back a change before its swap: only what it had prepared is removed."""
    if change.postgres:
        copies.drop(copies.beside(stacks.get_database(settings), copies.NEXT))
    journal.clear(settings)
    return f"{change.command} had not taken effect; nothing was changed"


def _is_decided(settings: Settings, change: Change, kept: SavedState | None) -> bool:
    """Did the swap take place? Also if the new database was dropped by hand since."""
    if not change.postgres:
        return True
    database = stacks.get_database(settings)
    if not journal.is_damaged(change) and copies.find_oid(database) == change.live:
        return True
    previous = copies.find_oid(copies.beside(database, copies.PREV))
    return kept is not None and kept.oid is not None and previous == kept.oid


def _ensure_kept(settings: Settings, change: Change) -> SavedState | None:
    """What the change saved. If its files are lost, the database that it replaced is left.

    None if there is nothing of it, or if it is already what `undo` restores.
    """
    if kept := journal.find_kept(settings):
        return kept
    folder = journal.get_home(settings) / journal.KEPT
    if folder.exists():
        journal.set_aside(folder)
    if not change.postgres or journal.is_damaged(change):
        return None
    database = stacks.get_database(settings)
    previous = copies.beside(database, copies.PREV)
    oid = copies.find_oid(previous)
    if (
        oid in (None, journal.find_previous_oid(settings))
        or copies.find_oid(database) != change.live
    ):
        return None
    rows = databases.describe_rows(previous)
    kept = SavedState(datetime.now(UTC), change.command, True, oid, rows, {}, None)
    saved_state.write_manifest(state.ensure_folder(folder), kept)
    return kept


def _check(settings: Settings, change: Change, kept: SavedState, confirmed: str) -> None:
    """Raise DevError if reverting would be refused half-way."""
    if kept.postgres:
        database = stacks.get_database(settings)
        copies.check_companions(database)
        if kept.oid and not copies.find_name(database, kept.oid):
            raise DevError(
                f"{change.command} cannot be reverted:"
                " the database that it replaced no longer exists",
                f"{FORWARD} (completes it)",
            )
        if databases.exists(database) and copies.find_oid(database) != kept.oid:
            databases.check_disposable(database, confirmed)
            databases.tag(database)
    for name, table in kept.tables.items():
        present = tables.find_table(stacks.get_aws(settings), name)
        if present and not _is_same(table, present):
            tables.check_disposable(stacks.get_aws(settings), present, confirmed)
            deletion.check_status(stacks.get_aws(settings), present)


def _return_database(settings: Settings, kept: SavedState) -> None:
    """Give the databases back the names that they had before the change."""
    database = stacks.get_database(settings)
    built, gone = (copies.beside(database, suffix) for suffix in (copies.NEXT, copies.GONE))
    previous = journal.find_previous_oid(settings)
    if not previous or not copies.find_name(database, previous):
        previous = copies.find_oid(gone)
    places = {kept.oid: "", previous: copies.PREV}
    if copies.find_oid(built) not in places:
        copies.drop(built)
    copies.arrange(database, {oid: suffix for oid, suffix in places.items() if oid})


def _drop_displaced(settings: Settings) -> None:
    """Drop the database that the change had put in place, on a server of this checkout only."""
    database = stacks.get_database(settings)
    if database.owned:
        copies.drop(copies.beside(database, copies.NEXT))


def _is_same(table: Table | None, present: Item) -> bool:
    """Is the present table the one that was saved?"""
    return table is not None and table.identity == backup.get_identity(present)


def _return_tables(settings: Settings, kept: SavedState) -> str:
    """Restore tables and users; those that the change had not reached are left alone."""
    if not kept.tables and kept.users is None:
        return ""
    aws, folder = stacks.get_aws(settings), journal.get_home(settings) / journal.KEPT
    damage = {one.part: one.reason for one in saved_state.list_damage(folder, kept)}
    for name, table in kept.tables.items():
        present = tables.find_table(aws, name)
        if present and table and _is_same(table, present):
            damage[name] = ""
            deletion.protect_as(aws, present, table.definition)
        elif present and name not in damage:
            transaction.drop(aws, name, name, damage, lenient=True)
    transaction.restore(settings, folder, kept, damage, lenient=True)
    if kept.users is not None and settings.app.users:
        database = stacks.get_database(settings)
        if databases.exists(database):
            sync.link(database, aws)
    damage = {part: reason for part, reason in damage.items() if reason}
    if not damage:
        return ""
    return f"; {verification.describe(damage, journal.set_aside(folder))}"
