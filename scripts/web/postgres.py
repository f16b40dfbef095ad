"""The Postgres pages: tables, the rows of one, its structure, one row."""

import json
from collections.abc import Mapping, Sequence
from functools import partial

from flask import Blueprint, abort, render_template, request, url_for
from flask.typing import ResponseReturnValue

from scripts import stacks
from scripts.errors import InvalidError
from scripts.postgres import browse, rows
from scripts.postgres.browse import ForeignKey, Table
from scripts.postgres.reading import QueryError
from scripts.postgres.rows import Filter, Row, View
from scripts.settings import Settings


def pages(settings: Settings) -> Blueprint:
    """The routes of the Postgres pages."""
    blueprint = Blueprint("postgres", __name__, url_prefix="/postgres")

    @blueprint.get("/")
    def overview() -> ResponseReturnValue:
        database = stacks.get_database(settings)
        tables = browse.list_tables(database)
        return render_template("postgres/overview.html", database=database, tables=tables)

    @blueprint.get("/rows")
    def table() -> ResponseReturnValue:
        return _show_rows(settings)

    @blueprint.get("/structure")
    def structure() -> ResponseReturnValue:
        return render_template("postgres/structure.html", table=_get_table(settings))

    @blueprint.get("/row")
    def row() -> ResponseReturnValue:
        chosen, key = _get_table(settings), _read_key("key") or []
        found = rows.find_row(stacks.get_database(settings), chosen, key)
        if not found:
            abort(404, f"{chosen.entry.schema}.{chosen.entry.name} has no row {', '.join(key)}")
        return render_template(
            "postgres/row.html",
            table=chosen,
            row=found,
            references=_references(chosen),
            follow=partial(_follow, chosen),
            back=partial(_follow_back, chosen, found),
        )

    return blueprint


def _show_rows(settings: Settings) -> ResponseReturnValue:
    """A page of rows, or the form of the filter with what the server refused."""
    table = _get_table(settings)
    view = _read_view(table)
    page, error = None, None
    try:
        page = rows.read_page(stacks.get_database(settings), table, view)
    except QueryError as refused:
        error = refused
    text = render_template(
        "postgres/rows.html",
        table=table,
        view=view,
        page=page,
        error=error,
        operators=rows.OPERATORS,
        address=partial(_address, table, view),
        references=_references(table),
        follow=partial(_follow, table),
        row_address=partial(_row_address, table),
    )
    return text, 400 if error else 200


def _get_table(settings: Settings) -> Table:
    """The table that the address names; 404 where there is none."""
    schema, name = request.args.get("schema", "public"), request.args.get("table", "")
    found = browse.find_table(stacks.get_database(settings), schema, name)
    return found or abort(404, f"there is no table {schema}.{name}")


def _read_view(table: Table) -> View:
    """What the address asks for; conditions with an empty column are left out."""
    lists = [request.args.getlist(name) for name in ("column", "is", "value")]
    filters = [Filter(*parts) for parts in zip(*lists, strict=False) if parts[0]]
    offset = request.args.get("offset", "0")
    if not offset.isdecimal() or len(offset) > 9 or int(offset) > rows.MOST_SKIPPED:
        raise InvalidError(
            f"{offset} rows cannot be skipped", "sort or filter to find the rows you need"
        )
    return View(
        sort=request.args.get("sort", ""),
        descending=request.args.get("order") == "desc",
        filters=filters,
        after=_read_key("after") if table.key else None,
        before=_read_key("before") if table.key else None,
        offset=0 if table.key else int(offset),
    )


def _read_key(name: str) -> list[str] | None:
    """The key of a row, as the address has it: a JSON list of texts."""
    text = request.args.get(name)
    if not text:
        return None
    try:
        key = json.loads(text)
    except (ValueError, RecursionError):
        key = None
    if not isinstance(key, list) or not all(isinstance(part, str) for part in key):
        raise InvalidError(f"{name}={text} is not the key of a row", "open the table again")
    return key


def _address(table: Table, view: View, **changes: object) -> str:
    """The address of the same table with another order, other filters, or another page.

    Only the order and the filters are taken over; `without` names a filter to leave out.
    """
    without = changes.pop("without", None)
    filters = [one for one in view.filters if one != without]
    given: dict[str, object] = {
        "sort": view.sort or None,
        "order": "desc" if view.descending else None,
        "column": [one.column for one in filters],
        "is": [one.operator for one in filters],
        "value": [one.value for one in filters],
    }
    for name in ("after", "before"):
        if name in changes:
            changes[name] = json.dumps(changes[name])
    return _link("table", table.entry.schema, table.entry.name, given | changes)


def _row_address(table: Table, row: Row) -> str:
    return _link("row", table.entry.schema, table.entry.name, {"key": json.dumps(row.key)})


def _link(view: str, schema: str, name: str, others: Mapping[str, object]) -> str:
    return url_for(f"postgres.{view}", schema=schema, table=name, **others)  # type: ignore[arg-type]


def _references(table: Table) -> dict[str, ForeignKey]:
    """The foreign key of each column that has one; of several, the first."""
    return {name: key for key in reversed(table.references) for name in key.columns}


def _follow(table: Table, row: Row, key: ForeignKey) -> str | None:
    """Where a row's foreign key leads, None where a part of it is NULL or too long to be a key."""
    values = _pick(table, row, key.columns)
    return _filtered(key, key.targets, values) if values else None


def _follow_back(table: Table, row: Row, key: ForeignKey) -> str | None:
    """The rows of another table that refer to this one."""
    values = _pick(table, row, key.targets)
    return _filtered(key, key.columns, values) if values else None


def _pick(table: Table, row: Row, columns: Sequence[str]) -> list[str] | None:
    cells = {column.name: cell for column, cell in zip(table.columns, row.cells, strict=True)}
    chosen = [cells[name] for name in columns]
    if any(cell.text is None or cell.cut for cell in chosen):
        return None
    return [cell.text or "" for cell in chosen]


def _filtered(key: ForeignKey, columns: Sequence[str], values: Sequence[str]) -> str:
    parts = {"column": list(columns), "is": ["is"] * len(columns), "value": list(values)}
    return _link("table", key.schema, key.table, parts)
