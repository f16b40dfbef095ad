"""A change of the whole environment that can be undone, and is made wholly or not at all.

It goes three ways: `keep` writes down what goes, `commit` notes what is to be done and exchanges
the databases in one transaction, `settle` brings the other stores after them. The note lies in
`.dev/undo` until all is done: so after a kill `recover` can tell whether the exchange took place,
and settles it or takes it back.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from scripts import accounts, databases, dynamodb, postgres, snapshots, stacks, state, tables
from scripts.errors import DevError, NotFoundError
from scripts.settings import Settings
from scripts.snapshots import Kept


@dataclass(frozen=True)
class Change:
    """What is to be done. `live` is the oid of the database that is the app's when it is done.

    `tables` are deleted, each as long as it is still the one of that identity; then the state that
    is kept in the folder `source`, "" for none, is put back. `users`: the pool follows too.
    `confirmed`: the name of the database or the table that may go
    although it is not disposable.
    """

    command: str
    postgres: bool
    live: int | None
    tables: Mapping[str, str]
    source: str
    users: bool
    confirmed: str


def keep(
    settings: Settings, command: str, database: bool, names: Sequence[str], users: bool
) -> str:
    """Write down what the change takes, for `undo`; says what.

    Tables of AWS itself are not copied to here: dynamodb.drop_table makes a backup of each.
    """
    where = stacks.targets(settings)
    kept = snapshots.keep(
        _home(settings) / "kept",
        f"./invoke {command}",
        stacks.get_database(settings) if database else None,
        stacks.get_aws(settings) if names or users else where.aws,
        names if where.aws.owned else (),
        users and where.mock,
    )
    return f"kept: {kept}"


def commit(
    settings: Settings,
    incoming: str,
    names: Sequence[str] = (),
    source: Path | None = None,
    confirmed: str = "",
) -> str:
    """Make the change that what was kept was kept for. From here on it is completed, not undone.

    `incoming` is the suffix of the database that becomes the app's, "" for none; `names` the tables
    that go. Raises RefusedError for a database that is not disposable, unless it is confirmed.
    """
    kept = snapshots.get(_home(settings) / "kept")
    change = Change(
        command=kept.command,
        postgres=kept.postgres,
        live=_find_incoming(settings, incoming, source) if kept.postgres else None,
        tables=_identify(settings, names, confirmed),
        source=str(source or ""),
        users=kept.users is not None,
        confirmed=confirmed,
    )
    if not kept.postgres:
        _write(settings, change)
        return f"going: {', '.join(change.tables) or 'nothing'}"
    database = stacks.get_database(settings)
    if kept.oid:
        postgres.check_disposable(database, confirmed)
    databases.make_room(database, incoming)
    _write(settings, change)
    databases.put_in_place(database, incoming)
    previous = databases.beside(database, databases.PREV).name
    return f"{database} is {'in place' if incoming else 'gone'}" + (
        f", the one before is {previous}" if kept.oid else ""
    )


def settle(settings: Settings) -> str:
    """Bring tables and users after the databases, and let `undo` know what was kept."""
    change = find(settings)
    if not change:
        return "nothing is left to do"
    done = _drop_tables(settings, change)
    if change.source:
        source = snapshots.get(Path(change.source))
        if source.tables or source.users is not None:
            snapshots.put_back(Path(change.source), source, stacks.get_aws(settings))
        done.append(f"back: {source}")
    if change.users and (others := _settle_users(settings, change)):
        done.append(others)
    _finish(settings, change)
    return "; ".join(done) or "nothing else to do"


def recover(settings: Settings) -> str:
    """Complete a change that was interrupted, or take it back if it had not taken effect."""
    change = find(settings)
    if not change:
        return "nothing is left to do"
    database = stacks.get_database(settings)
    if change.postgres and databases.find_oid(database) != change.live:
        databases.drop(databases.beside(database, databases.NEXT))
        _clear(settings)
        return f"{change.command} had not taken effect: all is as it was before"
    return f"completed {change.command}: {settle(settings)}"


def find(settings: Settings) -> Change | None:
    """The change that was decided and is not yet complete."""
    text = state.read(_note(settings))
    try:
        return Change(**json.loads(text)) if text else None
    except (ValueError, TypeError):
        raise DevError(f"{_note(settings)} is broken", f"rm {_note(settings)}") from None


def describe(settings: Settings) -> list[str]:
    """A line on a change that is not complete, for whoever reads the environment meanwhile."""
    change = find(settings)
    hint = "under way, or was interrupted: ./invoke setup waits for it, or ends it"
    return [f"{change.command} is {hint}"] if change else []


def get_last(settings: Settings) -> tuple[Path, Kept]:
    """What `undo` brings back, and its folder. Raises NotFoundError where nothing is kept."""
    folder = _home(settings) / "prev"
    if not (kept := snapshots.find(folder)):
        raise NotFoundError(
            "there is nothing to undo",
            "what db.drop, db.reset, ddb.drop, reset and snapshot.restore replace is kept for it",
        )
    return folder, kept


def list_data(settings: Settings) -> list[str]:
    """What is kept of this stack in files, a line for each folder."""
    return [f"kept states: the folder {home}" for home in _homes(settings) if home.exists()]


def erase(settings: Settings) -> str:
    """Delete what is kept in files; the databases of it go with their server's data."""
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
    """The oid of the database that is to come, None where none is; checked to be the source's."""
    if not suffix:
        return None
    database = databases.beside(stacks.get_database(settings), suffix)
    oid = databases.find_oid(database)
    if oid is None or (suffix == databases.PREV and source and snapshots.get(source).oid != oid):
        raise NotFoundError(f"{database} is not the one that was kept", "./invoke setup")
    return oid


def _identify(settings: Settings, names: Sequence[str], confirmed: str) -> dict[str, str]:
    """The tables of these names that are there; RefusedError for one that may not go."""
    if not names:
        return {}
    aws, identities = stacks.get_aws(settings), {}
    for name in names:
        if table := dynamodb.find_table(aws, name):
            dynamodb.check_disposable(aws, table, _confirmed(settings, name, confirmed))
            identities[name] = tables.get_identity(table)
    return identities


def _drop_tables(settings: Settings, change: Change) -> list[str]:
    """Drop the tables that go, if they are still the ones that were decided on; says which."""
    if not change.tables:
        return []
    aws, done = stacks.get_aws(settings), []
    for name, identity in change.tables.items():
        table = dynamodb.find_table(aws, name)
        if table and tables.get_identity(table) == identity:
            confirmed = _confirmed(settings, name, change.confirmed)
            done.append(dynamodb.drop_table(aws, name, confirmed))
    return done


def _confirmed(settings: Settings, table: str, name: str) -> str:
    """The name of the table, where it was confirmed itself, or by the whole's, the database's."""
    return table if name == stacks.targets(settings).database.name else name


def _settle_users(settings: Settings, change: Change) -> str:
    database, aws = stacks.get_database(settings), stacks.get_aws(settings)
    if not postgres.exists(database):
        return ""
    others = 0
    if not change.source:
        others = accounts.delete_others(database, aws)
    accounts.link(database, aws)
    return f"{others} other users deleted" if others else ""


def _finish(settings: Settings, change: Change) -> None:
    """Replace what was kept before. Each move can be made again after a kill."""
    done = replace(change, tables={}, source="", users=False)
    _write(settings, done)
    home = _home(settings)
    if (home / "kept").exists():
        shutil.rmtree(home / "prev", ignore_errors=True)
        (home / "kept").rename(home / "prev")
    if change.postgres:
        databases.drop(databases.beside(stacks.get_database(settings), databases.GONE))
    _clear(settings)


def _clear(settings: Settings) -> None:
    shutil.rmtree(_home(settings) / "kept", ignore_errors=True)
    _note(settings).unlink(missing_ok=True)
