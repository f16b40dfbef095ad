"""One query that was typed into a page, run so that it can only read.

Four barriers, each enough for most of what could be tried: the role of reader.py, a read-only
transaction that is rolled back, a cursor (the server opens one only for a single statement that
returns rows), and a look at the plan for functions that have side effects or reach out.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scripts.postgres import reading
from scripts.postgres.reading import QueryError
from scripts.targets import Database

MOST_ROWS = 1_000
MOST_CHARACTERS = 4_000_000
LONGEST_QUERY = 100_000
_BATCH = 100

# Volatile functions that only read, or wait.
_HARMLESS = re.compile(
    r"random|random_normal|clock_timestamp|timeofday|gen_random_uuid|uuidv[47]"
    r"|uuid_generate_v\w+|pg_sleep\w*|currval|lastval|array_(sample|shuffle)"
    r"|pg_\w+_size|pg_stat_get_\w+|pg_lock_status|pg_is_in_recovery|pg_blocking_pids"
    r"|pg_partition_(tree|ancestors)|pg_sequence_last_value"
)
# Functions that run SQL given as text, or read a table by its name, out of the plan's sight.
_INDIRECT = re.compile(r"(table|schema|database|query|cursor)_to_xml\w*|ts_stat|ts_rewrite")
# Tables of the system that hold passwords, and of pg_authid the column.
_SECRET = ("pg_user_mapping", "pg_subscription")
_PASSWORD = re.compile(r"\brolpassword\b|\.\*")

_FUNCTIONS = """
    SELECT DISTINCT p.proname, n.nspname = 'pg_catalog' FROM pg_proc p
        JOIN pg_language l ON l.oid = p.prolang JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.provolatile = 'v' OR p.prosecdef
        OR NOT (l.lanpltrusted OR l.lanname IN ('internal', 'c'))"""

# The query comes as a setting, never as part of a statement. The server refuses a second statement.
_OPEN = """DO $$DECLARE result refcursor := 'result';
    BEGIN OPEN result NO SCROLL FOR EXECUTE current_setting('studio.query'); END$$"""

_PLAN = "EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) "

# Only planning a foreign table may open a connection. Older servers do not know the setting.
_FORBID_FOREIGN_TABLES = """SELECT set_config(name, 'foreign-table', true) FROM pg_settings
    WHERE name = 'restrict_nonsystem_relation_kind'"""

_CALL = re.compile(r'("(?:[^"]|"")+"|[\w$]+)\(')
_LITERAL = re.compile(r"'(?:[^']|'')*'")
_BLANK = r"(?:\s|--[^\n]*(?:\n|$)|/\*(?:[^*]|\*(?!/))*\*/)"
_EXPLAIN = re.compile(
    rf"{_BLANK}*explain\b{_BLANK}*(?:\([^()]*\)|(?:(?:analyze|verbose)\b{_BLANK}*)*)", re.I
)
_SHOW = re.compile(rf"{_BLANK}*show\s+[\w.]+\s*(?:;\s*)?", re.I)


@dataclass(frozen=True)
class Result:
    """Rows of text, None for NULL; `is_whole` unless there were more than fit."""

    columns: list[str]
    rows: list[tuple[str | None, ...]]
    is_whole: bool
    seconds: float


def run(reader: Database, query: str) -> Result:
    """Run one query as the reading role. Raises QueryError with the position of the mistake."""
    if not query.strip():
        raise QueryError("the query is empty", "write a SELECT")
    if len(query) > LONGEST_QUERY:
        raise QueryError(f"the query is longer than {LONGEST_QUERY:,} characters")
    begin = time.monotonic()
    refused = None if _SHOW.fullmatch(query) else _check_plan(reader, query)
    with reading.cursor(reader, query) as cursor:
        _open(cursor, query)
        if refused:
            raise refused
        rows, columns, is_whole = _fetch(cursor, begin + reading.SECONDS)
    return Result(columns, rows, is_whole, time.monotonic() - begin)


def _open(cursor: Any, query: str) -> None:
    """Let the server parse and plan the query, as far as the start of its plan."""
    from psycopg2 import errors

    cursor.execute(_FORBID_FOREIGN_TABLES)
    cursor.execute("SELECT set_config('studio.query', %s, true)", (query,))
    try:
        cursor.execute(_OPEN)
    except errors.InvalidCursorDefinition as error:
        raise _not_a_query(str(error.diag.message_primary)) from None


def _not_a_query(reason: str) -> QueryError:
    """The error without PostgreSQL's words about a cursor, which the user did not type."""
    word = re.match(r"cannot open (.+?)(?: query)? as cursor", reason)
    what = f"{word[1]} is refused" if word and word[1] != "multi-query plan" else ""
    return QueryError(
        what or "only one statement can be run at a time",
        "write a SELECT, WITH, VALUES, TABLE, EXPLAIN or SHOW; otherwise: ./invoke db.connect",
    )


def _check_plan(reader: Database, query: str) -> QueryError | None:
    """Raise QueryError if the plan calls a function that is not only for reading.

    Returns the error of what has no plan: no query, or a mistake that the server words better for
    the query as it was typed.
    """
    explain = _EXPLAIN.match(query)
    inner = query[explain.end() :] if explain else query
    asked = f"{_PLAN}{inner}"
    try:
        plan, refused = _read_plan(reader, asked)
    except QueryError as error:
        if error.is_syntax:
            return error
        place = error.position and error.position - len(asked) + len(query)
        raise QueryError(error.reason, error.hint, place) from None
    _check_calls(query, list(_texts(plan)), refused)
    return None


def _read_plan(reader: Database, asked: str) -> tuple[Any, set[str]]:
    """The plan, and the names of all functions that may do more than read."""
    with reading.cursor(reader, asked) as cursor:
        _open(cursor, asked)
        cursor.execute("FETCH ALL FROM result")
        plan = json.loads("\n".join(row[0] for row in cursor.fetchall()))
        cursor.execute(_FUNCTIONS)
        refused = {
            name
            for name, is_own in cursor.fetchall()
            if not (_HARMLESS.fullmatch(name) and (is_own == "true" or name.startswith("uuid_")))
        }
    return plan, refused


def _check_calls(query: str, texts: list[tuple[str, str]], refused: set[str]) -> None:
    if table := _find_secret(texts):
        raise _refusal(query, table, "is refused: it holds passwords")
    for key, text in texts:
        if (key, text) == ("Node Type", "Foreign Scan"):
            raise _refusal(query, "a foreign table", "is refused: it is not in this database")
        for call in _CALL.findall(_LITERAL.sub("''", text)):
            name = call[1:-1].replace('""', '"') if call.startswith('"') else call
            if name in refused or _INDIRECT.fullmatch(name):
                raise _refusal(query, f"{name}()", "is refused: it may do more than read")


def _find_secret(texts: list[tuple[str, str]]) -> str | None:
    """The table of passwords that a plan reads. Many views join pg_authid only for the names."""
    tables = {text for key, text in texts if key == "Relation Name"}
    if "pg_authid" in tables and any(_PASSWORD.search(text) for _, text in texts):
        return "pg_authid"
    return next((name for name in _SECRET if name in tables), None)


def _refusal(query: str, what: str, why: str) -> QueryError:
    place = query.lower().find(what.removesuffix("()").lower())
    return QueryError(f"{what} {why}", "to run it without limits: ./invoke db.connect", place + 1)


def _texts(plan: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a plan, with the key it stands under."""
    if isinstance(plan, str):
        yield key, plan
    elif isinstance(plan, dict):
        for name, value in plan.items():
            yield from _texts(value, name)
    elif isinstance(plan, list):
        for value in plan:
            yield from _texts(value, key)


def _fetch(cursor: Any, deadline: float) -> tuple[list[tuple[str | None, ...]], list[str], bool]:
    rows: list[tuple[str | None, ...]] = []
    size = 0
    while len(rows) <= MOST_ROWS and size < MOST_CHARACTERS:
        left = max(1, round((deadline - time.monotonic()) * 1000))
        cursor.execute(f"SET LOCAL statement_timeout = {left}")
        cursor.execute(f"FETCH {_BATCH} FROM result")
        batch = cursor.fetchall()
        rows += batch
        size += sum(len(value or "") for row in batch for value in row)
        if len(batch) < _BATCH:
            break
    columns = [column.name for column in cursor.description]
    is_whole = len(rows) <= MOST_ROWS and len(batch) < _BATCH
    return rows[:MOST_ROWS], columns, is_whole
