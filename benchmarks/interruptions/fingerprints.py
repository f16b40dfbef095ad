"""All that an environment holds, as values that can be compared."""

import dataclasses
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from scripts import clients, stacks
from scripts.cognito import user_pool, users
from scripts.dynamodb import json_lines, tables
from scripts.environment import snapshots, transaction
from scripts.environment.saved_state import SavedState
from scripts.errors import NotFoundError
from scripts.postgres import copies, databases
from scripts.settings import Settings
from scripts.targets import Aws, Database

Times = frozenset[str]
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?\+00:00")
_NOT_COMPARED = {"made", "oid"}  # of a kept state: when, and as which database, it was written


@dataclass(frozen=True)
class Content:
    """A database: is it marked as ours, which files made it, and its rows by table.

    The ids of Cognito are no part: whether they are right depends on the pool.
    """

    disposable: bool
    files: dict[str, str]
    rows: dict[str, list[str]]

    def without_rows(self) -> "Content":
        """The same with the schema only."""
        files = {"schema": self.files["schema"]}
        return Content(self.disposable, files, {table: [] for table in self.rows})

    def without_tables(self) -> "Content":
        """The same as it is created."""
        return Content(self.disposable, {}, {})


@dataclass(frozen=True)
class Fingerprint:
    """An environment.

    `links` tells of each handle in Postgres whether its id is the one that the pool has for it.
    `undo` is what `undo` would bring back, with all its rows, items and users; so are `snapshots`.
    """

    database: Content | None
    links: dict[str, str]
    tables: dict[str, list[str]]
    pool: list[str]
    undo: Any
    snapshots: dict[str, Any]

    def list_differences(self, other: "Fingerprint") -> list[str]:
        """The names of the parts that differ."""
        names = [field.name for field in dataclasses.fields(self)]
        return [name for name in names if getattr(self, name) != getattr(other, name)]


def take(settings: Settings, known: Times) -> Fingerprint:
    """The fingerprint of an environment that runs. A time that is not `known` counts as any."""
    database, aws = stacks.get_database(settings), stacks.get_aws(settings)
    pool = user_pool.find_pool(aws)
    home = snapshots.get_home(settings)
    return Fingerprint(
        database=read(database, known),
        links=_link(database, aws, pool),
        tables={
            name: _without_moments(_dump(list(tables.scan(aws, name))), known)
            for name in tables.list_tables(aws)
        },
        pool=_dump(user_pool.save_users(aws, pool)) if pool else [],
        undo=_undo(settings, known),
        snapshots={
            one.name: _kept(
                home / one.name,
                snapshots.get_snapshot(settings, one.name),
                copies.of_snapshot(database, one.name),
                known,
            )
            for one in snapshots.list_all(settings)
        },
    )


def read(database: Database, known: Times) -> Content | None:
    """What a database holds, None where there is none."""
    if not databases.exists(database):
        return None
    with clients.cursor(database) as cursor:
        rows = {table: _rows(cursor, table, known) for table in databases.count_rows(database)}
    return Content(databases.is_disposable(database), databases.loaded(database), rows)


def list_times(settings: Settings) -> Times:
    """The times in the app's tables and database, and in the databases that stand beside it."""
    database, aws = stacks.get_database(settings), stacks.get_aws(settings)
    times: set[str] = set()
    for name in tables.list_tables(aws):
        times.update(*map(_TIME.findall, _dump(list(tables.scan(aws, name)))))
    for one in (database, *copies.list_beside(database)):
        with clients.cursor(one) as cursor:
            for table in databases.count_rows(one):
                times.update(*map(_TIME.findall, _raw_rows(cursor, table)))
    return frozenset(times)


def list_left_over(settings: Settings) -> list[str]:
    """What a command should not leave behind: drafts, databases and folders that nobody refers to.

    Raises DevError where Postgres does not run.
    """
    database = stacks.get_database(settings)
    referred = {copies.beside(database, copies.PREV).name}
    referred |= {
        copies.of_snapshot(database, one.name).name for one in snapshots.list_all(settings)
    }
    others = [other.name for other in copies.list_beside(database)]
    return [*(name for name in others if name not in referred), *_drafts(settings)]


def _drafts(settings: Settings) -> Iterator[str]:
    drafts = {".draft", ".new", ".gone", ".tmp"}
    for path in sorted(settings.state.rglob("*")):
        if path.suffix in drafts or path.name in {"kept", "change.json"}:
            yield str(path.relative_to(settings.state))


def _rows(cursor: Any, table: str, known: Times) -> list[str]:
    return [
        _TIME.sub(lambda time: time[0] if time[0] in known else "any time", line)
        for line in _raw_rows(cursor, table)
    ]


def _raw_rows(cursor: Any, table: str) -> list[str]:
    cursor.execute("SET TIME ZONE 'UTC'")
    statement = "SELECT (to_jsonb(one) - 'cognito_user_id')::text FROM public.{} AS one ORDER BY 1"
    cursor.execute(databases.compose(statement, table))
    return [line for (line,) in cursor.fetchall()]


def _link(database: Database, aws: Aws, pool: str | None) -> dict[str, str]:
    subs = user_pool.subs_by_handle(user_pool.list_users(aws, pool)) if pool else {}
    try:
        everybody = users.list_users(database)
    except NotFoundError:
        return {}
    return {
        user.handle: "none"
        if not user.cognito_user_id
        else "right"
        if user.cognito_user_id == subs.get(user.handle)
        else "wrong"
        for user in everybody
    }


def _without_moments(lines: list[str], known: Times) -> list[str]:
    """The lines with each unknown time as its distance from the first one of them.

    A seeded conversation begins when it is seeded; its messages follow at fixed distances.
    """
    unknown = {time for line in lines for time in _TIME.findall(line)} - known
    moments = {time: datetime.fromisoformat(time) for time in unknown}
    first = min(moments.values(), default=datetime.max)
    told = {time: f"+{(moment - first).total_seconds():g} s" for time, moment in moments.items()}
    return sorted(_TIME.sub(lambda time: told.get(time[0], time[0]), line) for line in lines)


def _undo(settings: Settings, known: Times) -> Any:
    try:
        folder, kept = transaction.get_last(settings)
    except NotFoundError:
        return None
    previous = copies.beside(stacks.get_database(settings), copies.PREV)
    return _kept(folder, kept, previous, known)


def _kept(folder: Path, kept: SavedState, database: Database, known: Times) -> Any:
    """A kept state with all that it would bring back; it must have the database that it names."""
    manifest = {
        name: value for name, value in dataclasses.asdict(kept).items() if name not in _NOT_COMPARED
    }
    for table in manifest["tables"].values():
        if table:  # a restored table has another identity; what protects it is checked apart
            table.pop("identity")
            table["definition"].pop("DeletionProtectionEnabled", None)
    there = kept.oid is not None and kept.oid == copies.find_oid(database)
    saved = [name for name, table in kept.tables.items() if table]
    return manifest | {
        "database": read(database, known) if there else "none" if kept.oid is None else "lost",
        "items": {
            name: _without_moments(_lines(folder / "tables" / name), known) for name in saved
        },
        "saved users": _dump(json.loads((folder / "users.json").read_text()))
        if kept.users is not None
        else None,
    }


def _lines(folder: Path) -> list[str]:
    return sorted(line.text.decode() for line in json_lines.read(sorted(folder.iterdir())))


def _dump(values: list[Any]) -> list[str]:
    return sorted(json.dumps(value, sort_keys=True, default=str) for value in values)
