"""What the services hold: the tables, how many items each has, and their size."""

from collections.abc import Callable
from dataclasses import dataclass

from scripts import stacks
from scripts.dynamodb import tables
from scripts.errors import DevError
from scripts.postgres import databases
from scripts.settings import Settings


@dataclass(frozen=True)
class Table:
    """A table and how many rows or items it has."""

    name: str
    items: int


@dataclass(frozen=True)
class Holding:
    """What one service holds, and how many bytes that is; or the trouble that hides it."""

    tables: list[Table]
    size: int | None = None
    trouble: str = ""


def take(settings: Settings) -> dict[str, Holding]:
    """What each service holds, by the service's name. Never raises DevError."""
    return {
        "postgres": _guarded(lambda: _of_postgres(settings)),
        "aws": _guarded(lambda: _of_dynamodb(settings)),
    }


def _guarded(take: Callable[[], Holding]) -> Holding:
    try:
        return take()
    except DevError as error:
        return Holding([], trouble=str(error.message))


def _of_postgres(settings: Settings) -> Holding:
    database = stacks.get_database(settings)
    tables = [Table(name, rows) for name, rows in databases.count_rows(database).items()]
    return Holding(tables, databases.size(database))


def _of_dynamodb(settings: Settings) -> Holding:
    """As each table tells: an emulator counts at once, AWS itself every six hours."""
    aws = stacks.get_aws(settings)
    described = [tables.get_table(aws, name) for name in tables.list_tables(aws)]
    counted = [Table(table["TableName"], table["ItemCount"]) for table in described]
    return Holding(counted, sum(table["TableSizeBytes"] for table in described))
