"""The DynamoDB pages: tables, the items of one, one item."""

from collections.abc import Mapping
from functools import partial

from flask import Blueprint, abort, render_template, request, url_for
from flask.typing import ResponseReturnValue

from scripts import stacks
from scripts.dynamodb import browse
from scripts.dynamodb.browse import Page, Search, Table
from scripts.errors import InvalidError
from scripts.settings import Settings

_LONGEST = 2_000  # characters of a value in a page; the item's own page has all of them


def pages(settings: Settings) -> Blueprint:
    """The routes of the DynamoDB pages."""
    blueprint = Blueprint("dynamodb", __name__, url_prefix="/dynamodb")

    @blueprint.get("/")
    def overview() -> ResponseReturnValue:
        aws = stacks.get_aws(settings)
        return render_template("dynamodb/overview.html", aws=aws, tables=browse.list_tables(aws))

    @blueprint.get("/<name>/")
    def table(name: str) -> ResponseReturnValue:
        return _show_items(settings, _get_table(settings, name), _read_search())

    @blueprint.get("/<name>/item")
    def item(name: str) -> ResponseReturnValue:
        chosen = _get_table(settings, name)
        key = browse.from_json(request.args.get("key", ""))
        found = browse.find_item(stacks.get_aws(settings), chosen, key)
        if not found:
            abort(404, f"{name} has no item {browse.to_json(key)}")
        return render_template(
            "dynamodb/item.html",
            table=chosen,
            key=[browse.to_plain(key[one.name]) for one in chosen.key if one.name in key],
            text=browse.to_json(found, indent=2),
        )

    return blueprint


def _show_items(settings: Settings, table: Table, search: Search) -> ResponseReturnValue:
    """A page of items, or the form of the query with what DynamoDB refused."""
    after, page, error = request.args.get("after"), Page([], None, 0.0), None
    try:
        start = browse.from_json(after) if after else None
        page = browse.read_page(stacks.get_aws(settings), table, search, start)
    except InvalidError as refused:
        error = refused
    text = render_template(
        "dynamodb/items.html",
        table=table,
        search=search,
        page=page,
        error=error,
        columns=_list_columns(table, search, page),
        cells=partial(_list_cells, table),
        operators=browse.OPERATORS,
        is_continued=bool(after),
        next=_link_to_next(page),
    )
    return text, 400 if error else 200


def _get_table(settings: Settings, name: str) -> Table:
    try:
        found = browse.find_table(stacks.get_aws(settings), name)
    except InvalidError:
        found = None
    return found or abort(404, f"there is no table {name}")


def _read_search() -> Search:
    given = request.args
    return Search(
        index=given.get("index", ""),
        partition=given.get("partition", ""),
        operator=given.get("is", ""),
        low=given.get("low", ""),
        high=given.get("high", ""),
        newest_first=given.get("order") == "desc",
    )


def _list_columns(table: Table, search: Search, page: Page) -> list[str]:
    """The attributes of the items: the keys first, the others by how many items have them."""
    keys = [attribute.name for attribute in table.key]
    for index in table.indexes:
        if index.name == search.index:
            keys += [one.name for one in (index.partition, index.sort) if one]
    counts: dict[str, int] = {}
    for item in page.items:
        for name in item:
            counts[name] = counts.get(name, 0) + 1
    others = sorted(counts, key=lambda name: (-counts[name], name))
    return list(dict.fromkeys([*keys, *others]))


def _list_cells(
    table: Table, columns: list[str], item: Mapping[str, dict[str, object]]
) -> tuple[str, list[tuple[str, str | None, bool]]]:
    """The address of an item, and for each column its type, its text, and whether that is cut."""
    key = browse.to_json({one.name: item[one.name] for one in table.key})
    cells: list[tuple[str, str | None, bool]] = []
    for name in columns:
        if name not in item:
            cells.append(("", None, False))
            continue
        text = browse.to_plain(item[name])
        cells.append((next(iter(item[name])), text[:_LONGEST], len(text) > _LONGEST))
    return url_for(".item", name=table.name, key=key), cells


def _link_to_next(page: Page) -> str | None:
    """The address of the page that follows, with the same search."""
    if not page.last:
        return None
    given = {name: value for name, value in request.args.items() if value and name != "after"}
    view = {**(request.view_args or {}), **given, "after": browse.to_json(page.last)}
    return url_for(".table", **view)
