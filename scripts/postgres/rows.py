"""The rows of a table in pages: sorted, filtered, continued after a key (keyset paging)."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scripts.errors import InvalidError
from scripts.postgres import reading
from scripts.postgres.browse import Table
from scripts.targets import Database

LONGEST = 2_000  # characters of a value in a page
LONGEST_OF_ROW = 100_000  # and of one on the page of its row
MOST_SKIPPED = 1_000_000  # rows, where there is no key to continue after

OPERATORS = {
    "is": "{} = %s",
    "is not": "{} IS DISTINCT FROM %s",
    "contains": "strpos(lower({}::text), lower(%s)) > 0",
    "less than": "{} < %s",
    "greater than": "{} > %s",
    "is null": "{} IS NULL",
    "is not null": "{} IS NOT NULL",
}


@dataclass(frozen=True)
class Filter:
    """A condition on a column: one of OPERATORS and, unless it is about NULL, a value."""

    column: str
    operator: str
    value: str


@dataclass(frozen=True)
class View:
    """What of a table is to be seen: sorted by a column ("" for the key), filtered, from where.

    `after` or `before` is the key of a row to continue from; `offset` is for tables without a key.
    """

    sort: str = ""
    descending: bool = False
    filters: Sequence[Filter] = ()
    after: Sequence[str] | None = None
    before: Sequence[str] | None = None
    offset: int = 0
    size: int = 50


@dataclass(frozen=True)
class Cell:
    """A value as text, None for NULL; `cut` if it is longer than what is here."""

    text: str | None
    cut: bool


@dataclass(frozen=True)
class Row:
    """A row's cells, in the order of the table's columns, and the values of its key."""

    key: list[str]
    cells: list[Cell]


@dataclass(frozen=True)
class Page:
    """Rows, whether there are more on either side, and the seconds that reading took."""

    rows: list[Row]
    is_first: bool
    is_last: bool
    seconds: float


def read_page(database: Database, table: Table, view: View) -> Page:
    """A page of rows. Raises QueryError for a filter that the server refuses."""
    begin = time.monotonic()
    with reading.cursor(database) as cursor:
        anchor = view.before or view.after
        parts = _parts(cursor, table, view, anchor) if anchor else [("", [])]
        found: list[Row] = []
        for condition, values in parts:
            if len(found) <= view.size:
                rest = view.size + 1 - len(found)
                found += _select(cursor, table, view, condition, values, rest)
    more, found = len(found) > view.size, found[: view.size]
    seconds = time.monotonic() - begin
    if view.before:
        return Page(found[::-1], is_first=not more, is_last=False, seconds=seconds)
    is_first = not view.after and not view.offset
    return Page(found, is_first, is_last=not more, seconds=seconds)


def find_row(database: Database, table: Table, key: Sequence[str]) -> Row | None:
    """One row by its key, with longer values; None where there is none."""
    if not key or len(key) != len(table.key):
        raise InvalidError(f"{table.entry.name} has no key of {len(key)} columns", "open a row")
    with reading.cursor(database) as cursor:
        condition = " AND ".join(f"{_name(name)} = %s" for name in table.key)
        found = _select(cursor, table, View(), condition, key, 1, LONGEST_OF_ROW)
    return found[0] if found else None


def _select(
    cursor: Any,
    table: Table,
    view: View,
    condition: str,
    values: Sequence[str],
    limit: int,
    longest: int = LONGEST,
) -> list[Row]:
    cells = [f"left({_name(column.name)}::text, {longest + 1})" for column in table.columns]
    keys = [f"{_name(name)}::text" for name in table.key]
    filters = [_condition(table, one) for one in view.filters]
    conditions = [condition, *filters] if condition else filters
    given = [one.value for one in view.filters if "%s" in OPERATORS[one.operator]]
    where = f" WHERE {' AND '.join(f'({one})' for one in conditions)}" if conditions else ""
    place = f"{_quote(table.entry.schema)}.{_quote(table.entry.name)}"
    order = _order(table, view)
    # The rows are chosen first: else every value of the table would be made a text, to be sorted.
    chosen = f"SELECT t.* FROM {place} AS t{where}{order} LIMIT %s OFFSET %s"  # noqa: S608
    cursor.execute(
        f"SELECT {', '.join([*cells, *keys]) or 'NULL'} FROM ({chosen}) AS t{order}",  # noqa: S608
        [*values, *given, limit, view.offset],
    )
    width = len(cells)
    return [
        Row(list(row[width:]), [_cell(text, longest) for text in row[:width]])
        for row in cursor.fetchall()
    ]


def _parts(
    cursor: Any, table: Table, view: View, anchor: Sequence[str]
) -> list[tuple[str, list[str]]]:
    """The conditions whose rows, one after the other, follow the row with this key.

    NULL is the largest value, as Postgres sorts, so an index serves both directions. Conditions
    with OR could not use it: so these are two queries at most.
    """
    if len(anchor) != len(table.key):
        raise InvalidError("the page to continue from is not one of this table", "open it again")
    down = view.descending != bool(view.before)
    sign = "<" if down else ">"
    keys, marks = ", ".join(map(_name, table.key)), ", ".join(["%s"] * len(table.key))
    if not view.sort or view.sort == table.key[0]:
        return [(f"({keys}) {sign} ({marks})", list(anchor))]
    sort = _name(view.sort)
    value = _find_value(cursor, table, view.sort, anchor)
    if value is None:
        rest = (f"{sort} IS NULL AND ({keys}) {sign} ({marks})", list(anchor))
        return [rest, (f"{sort} IS NOT NULL", [])] if down else [rest]
    rest = (f"({sort}, {keys}) {sign} (%s, {marks})", [value, *anchor])
    nullable = table.get_column(view.sort).nullable
    return [rest, (f"{sort} IS NULL", [])] if nullable and not down else [rest]


def _find_value(cursor: Any, table: Table, column: str, key: Sequence[str]) -> str | None:
    """The value of a row's column. The address of a page holds the key only: values may be long."""
    where = " AND ".join(f"{_name(name)} = %s" for name in table.key)
    place = f"{_quote(table.entry.schema)}.{_quote(table.entry.name)}"
    cursor.execute(
        f"SELECT {_name(column)}::text FROM {place} AS t WHERE {where}",  # noqa: S608
        key,
    )
    row = cursor.fetchone()
    if not row:
        raise InvalidError("the row at the end of the page before was deleted", "open the table")
    return row[0] if row[0] is None else str(row[0])


def _order(table: Table, view: View) -> str:
    names = [view.sort] if view.sort else []
    names += [name for name in table.key if name not in names]
    if view.sort:
        table.get_column(view.sort)
    direction = "DESC" if view.descending != bool(view.before) else "ASC"
    if not names:
        return ""
    return " ORDER BY " + ", ".join(f"{_name(name)} {direction}" for name in names)


def _condition(table: Table, one: Filter) -> str:
    if one.operator not in OPERATORS:
        raise InvalidError(f"{one.operator} is not an operator", f"use {', '.join(OPERATORS)}")
    return OPERATORS[one.operator].format(_name(table.get_column(one.column).name))


def _cell(text: str | None, longest: int) -> Cell:
    return Cell(text and text[:longest], cut=bool(text and len(text) > longest))


def _name(column: str) -> str:
    return f"t.{_quote(column)}"


def _quote(identifier: str) -> str:
    """An identifier as SQL takes it; a percent sign would be a parameter."""
    return '"' + identifier.replace('"', '""').replace("%", "%%") + '"'
