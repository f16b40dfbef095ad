"""What the services hold: tables, row counts, sizes; and what undo and snapshots can restore."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from scripts import stacks, state
from scripts.dynamodb import tables
from scripts.environment import snapshots, transaction
from scripts.errors import DevError, NotFoundError
from scripts.postgres import browse, copies, databases
from scripts.settings import Settings
from scripts.stacks import versions


@dataclass(frozen=True)
class Table:
    """A table and how many rows or items it has: an estimate unless `exact`, None for a view."""

    schema: str
    name: str
    items: int | None
    exact: bool = True


@dataclass(frozen=True)
class Holding:
    """What one service holds, how many bytes that is, its version; or the trouble that hides it."""

    tables: list[Table] = field(default_factory=list)
    size: int | None = None
    version: str = ""
    trouble: DevError | None = None


@dataclass(frozen=True)
class Saved:
    """What undo (its name is "") or a snapshot restores; `command` is what saved it."""

    name: str
    made: datetime
    command: str
    content: str
    size: int


def take(settings: Settings) -> dict[str, Holding]:
    """What each service holds, by the service's name. Never raises DevError."""
    takers = {"postgres": _of_postgres, "aws": _of_aws, "dynamodb": _of_dynamodb}
    names = [service.name for service in stacks.list_services(settings)]
    return {name: _guarded(partial(takers[name], settings)) for name in names}


def find_undo(settings: Settings) -> Saved | None:
    """What `undo` restores, None for nothing."""
    try:
        folder, saved = transaction.get_last(settings)
    except NotFoundError:
        return None
    size = state.count_bytes(folder)
    if saved.oid:
        previous = copies.beside(stacks.get_database(settings), copies.PREV)
        size += databases.size(previous) if databases.exists(previous) else 0
    return Saved("", saved.made, saved.command, str(saved), size)


def list_snapshots(settings: Settings) -> list[Saved]:
    """The snapshots, the newest first, their files not verified: the start page asks often."""
    return [
        Saved(one.name, one.made, f"./invoke snapshot.save {one.name}", one.content, one.size)
        for one in reversed(snapshots.list_all(settings, verify_files=False))
    ]


def _guarded(take: Callable[[], Holding]) -> Holding:
    try:
        return take()
    except DevError as error:
        return Holding(trouble=error)


def _of_postgres(settings: Settings) -> Holding:
    database = stacks.get_database(settings)
    found = [
        Table(one.schema, one.name, one.rows, one.exact) for one in browse.list_tables(database)
    ]
    return Holding(found, databases.size(database), browse.get_version(database))


def _of_aws(settings: Settings) -> Holding:
    aws = stacks.get_aws(settings)
    version = versions.find_emulator(aws.endpoint) if aws.endpoint else ""
    if aws.dynamodb_endpoint:
        return Holding(version=version)
    found = _of_dynamodb(settings)
    return Holding(found.tables, found.size, version)


def _of_dynamodb(settings: Settings) -> Holding:
    """The counts of DescribeTable: an emulator counts at once, AWS every six hours."""
    aws = stacks.get_aws(settings)
    described = [tables.get_table(aws, name) for name in tables.list_tables(aws)]
    exact = bool(aws.endpoint)
    counted = [Table("", one["TableName"], one["ItemCount"], exact) for one in described]
    return Holding(counted, sum(table["TableSizeBytes"] for table in described))
