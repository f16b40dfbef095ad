"""The page that runs one query, which can only read."""

from dataclasses import dataclass

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from scripts import stacks
from scripts.environment import sql_reader
from scripts.postgres import query
from scripts.postgres.reading import QueryError
from scripts.settings import Settings

EXAMPLE = "SELECT schemaname, relname, n_live_tup\nFROM pg_stat_user_tables\nORDER BY relname"


@dataclass(frozen=True)
class Mistake:
    """An error of a query: the line it is in, split where it is, and where that is."""

    reason: str
    hint: str
    position: int
    line: int
    before: str
    after: str


def pages(settings: Settings) -> Blueprint:
    """The routes of the page."""
    blueprint = Blueprint("sql", __name__, url_prefix="/postgres/sql")

    @blueprint.get("/")
    def box() -> ResponseReturnValue:
        owned = stacks.targets(settings).database.owned
        return render_template("postgres/sql.html", text=EXAMPLE, owned=owned)

    @blueprint.post("/")
    def run() -> ResponseReturnValue:
        text = request.form.get("query", "").replace("\r\n", "\n")
        result, mistake = None, None
        try:
            result = query.run(sql_reader.get(settings), text)
        except QueryError as error:
            mistake = _find_mistake(text, error)
        page = render_template(
            "postgres/sql.html", text=text, owned=True, result=result, mistake=mistake
        )
        return page, 400 if mistake else 200

    return blueprint


def _find_mistake(text: str, error: QueryError) -> Mistake:
    if not error.position:
        return Mistake(error.reason, error.hint, 0, 0, "", "")
    start = text.rfind("\n", 0, error.position - 1) + 1
    end = text.find("\n", start)
    line = text[start : end if end >= 0 else len(text)]
    column = error.position - 1 - start
    return Mistake(
        error.reason,
        error.hint,
        error.position,
        text.count("\n", 0, start) + 1,
        line[:column],
        line[column:],
    )
