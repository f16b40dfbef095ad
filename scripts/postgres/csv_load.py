"""CSV files as scripts of psql: a file is loaded whole, in the transaction of the script.

It is copied straight into the table, as fast as COPY is. If that fails, because a row is bad or
already exists, the file is copied into a temporary table, and from there ON CONFLICT DO NOTHING
into the table: existing rows are not changed, and a bad row is found by halving.
"""

import csv
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts import clients
from scripts.app import name_file
from scripts.errors import DevError, NotFoundError, did_you_mean
from scripts.postgres import relations
from scripts.targets import Database

LONGEST_HEADER = 1_000_000  # bytes
RETRY = "invoke_csv_retry"  # what psql printed before it is an error that was made up for
_LOADED = re.compile(r"^invoke_csv (\d+) (\d+)$", re.M)
_ERROR = re.compile(
    r"ERROR:  (?P<state>\w{5}): (?P<reason>.*?)\n"
    r"(?:DETAIL:  (?P<detail>.*?)\n)?(?:HINT:  row (?P<row>\d+)\n)?"
    r"(?=LINE|HINT|CONTEXT|QUERY|LOCATION|STATEMENT|psql:|\Z)",
    re.S,
)
_CONTEXT = re.compile(
    r'^CONTEXT:  COPY invoke_csv, line (\d+)(?:, column ([^\n]*?))?(?:: ("[^\n]*"))?$', re.M
)
_STRAIGHT = rf"""
SAVEPOINT invoke_csv;
\set ON_ERROR_STOP 0
\copy {{table}} {{copied}}
\set ON_ERROR_STOP 1
\if :ERROR
ROLLBACK TO SAVEPOINT invoke_csv;
\warn {RETRY}
{{careful}}
\else
\echo invoke_csv :ROW_COUNT :ROW_COUNT
\endif
RELEASE SAVEPOINT invoke_csv;
"""
_CAREFUL = r"""
CREATE TEMPORARY TABLE invoke_csv (LIKE {table} INCLUDING CONSTRAINTS) ON COMMIT DROP;
DO $invoke_csv$
DECLARE
    omitted text;
BEGIN
    FOR omitted IN SELECT attname FROM pg_attribute WHERE attrelid = 'pg_temp.invoke_csv'::regclass
        AND attnum > 0 AND NOT attisdropped AND attname <> ALL ({names})
    LOOP
        EXECUTE format('ALTER TABLE pg_temp.invoke_csv DROP COLUMN %I', omitted);
    END LOOP;
END $invoke_csv$;
\copy pg_temp.invoke_csv {copied}
DO $invoke_csv$
DECLARE
    command text := {insert};
    total bigint := (SELECT count(*) FROM pg_temp.invoke_csv);
    low bigint := 0;
    high bigint := total - 1;
    middle bigint;
    inserted bigint := 0;
    state text; reason text; detail text;
BEGIN
    BEGIN
        EXECUTE command USING total, 0;
        GET DIAGNOSTICS inserted = ROW_COUNT;
    EXCEPTION
        WHEN insufficient_resources OR operator_intervention OR system_error THEN RAISE;
        WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = MESSAGE_TEXT,
                detail = PG_EXCEPTION_DETAIL;
    END;
    WHILE state IS NOT NULL AND low <= high LOOP
        middle := (low + high) / 2;
        BEGIN
            EXECUTE command USING middle - low + 1, low;
            low := middle + 1;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = MESSAGE_TEXT,
                detail = PG_EXCEPTION_DETAIL;
            high := CASE WHEN low = high THEN low - 1 ELSE middle END;
        END;
    END LOOP;
    IF state IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = state, MESSAGE = reason, DETAIL = detail,
            HINT = 'row ' || low + 1;
    END IF;
    PERFORM set_config('invoke.csv', inserted || ' ' || total, true);
END $invoke_csv$;
DROP TABLE pg_temp.invoke_csv;
SELECT current_setting('invoke.csv') AS invoke_csv \gset
\echo invoke_csv :invoke_csv
"""


@dataclass(frozen=True)
class Loaded:
    """How many rows of the file were inserted, and how many were there already."""

    inserted: int
    already_there: int


@dataclass(frozen=True)
class Load:
    """One file, the table to load it into, and the columns that its first line names.

    `problem` is why it cannot be loaded, unless a file that is loaded before changes that.
    `is_plain`: a row that is copied into the table has no other effect.
    """

    path: Path
    schema: str
    table: str
    columns: list[str]
    problem: DevError | None
    is_plain: bool

    def script(self) -> bytes:
        """The script for psql that loads the file."""
        name = [self.schema, self.table] if self.schema else [self.table]
        table, columns = ".".join(map(_quote, name)), ", ".join(map(_quote, self.columns))
        path = _literal(os.fsdecode(self.path.absolute()))
        parts = {
            "table": table,
            "copied": f"({columns}) from {path} with (format csv, header, encoding 'UTF8')",
            "names": f"ARRAY[{', '.join(map(_literal, self.columns))}]",
            "insert": _literal(
                f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns}"  # noqa: S608
                " FROM (SELECT * FROM pg_temp.invoke_csv LIMIT $1 OFFSET $2) AS rows"
                " ON CONFLICT DO NOTHING"
            ),
        }
        text = _CAREFUL.format(**parts)
        if self.is_plain:
            text = _STRAIGHT.format(**parts, careful=text)
        # What an SQL file before it has set does not apply.
        before = (
            "RESET SESSION AUTHORIZATION; RESET ROLE; RESET search_path;\n\\set VERBOSITY verbose"
        )
        return os.fsencode(f"{before}\n{text}\n\\set VERBOSITY default\n")

    def translate(self, stderr: str) -> DevError:
        """What psql printed when it failed to run the script, as an error of the file."""
        error = _ERROR.search(stderr)
        if not error:
            return DevError(f"{name_file(self.path)}: {stderr.strip()}", "./invoke status")
        if self.problem and error["state"] in ("42P01", "42703", "23502"):
            return self.problem  # no such table, no such column, or a column that is required
        line = row = ""
        reason = error["reason"].replace('"invoke_csv"', f'"{self.table}"')
        if found := _CONTEXT.search(stderr, error.start()):
            line = f":{found[1]}"
            reason = f"{found[2]}: {reason}" if found[2] else reason
            row = "" if found[2] else f"\n  | {(found[3] or '')[1:-1]}"
        elif error["detail"]:
            reason = f"{reason}: {error['detail']}"
        if error["row"]:
            line = f":{self._find_line(int(error['row']))}"
        hint = "correct the row; nothing was loaded" if line else "./invoke status"
        return DevError(f"{name_file(self.path)}{line}: {reason}{row}", hint)

    def _find_line(self, row: int) -> int:
        """The last line of a row; the first row follows the header."""
        csv.field_size_limit(1 << 30)
        with self.path.open(encoding="utf-8", errors="replace", newline="") as file:
            reader = csv.reader(file)
            for _ in range(row + 1):
                next(reader)
            return reader.line_num


def prepare(database: Database, path: Path, table: str) -> Load:
    """Compare the first line of a CSV file with a table: (billing.)invoices.

    Raises DevError for a file that cannot be read.
    """
    columns = _read_header(path)
    with clients.cursor(database) as cursor:
        schema, name = relations.find(cursor, table) or ("", "")
        cursor.execute(
            # Rules, triggers and partitions may do other things with a row, or leave it out.
            "SELECT attname, attnotnull AND NOT (atthasdef OR attidentity <> ''),"
            " NOT (relhasrules OR relkind = 'p' OR EXISTS"
            " (SELECT FROM pg_trigger WHERE tgrelid = attrelid AND NOT tgisinternal))"
            " FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
            " WHERE relnamespace = to_regnamespace(quote_ident(%s)) AND relname = %s"
            " AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            (schema, name),
        )
        found = cursor.fetchall()
        problem = (
            _compare(path, table, columns, {column: needed for column, needed, _ in found})
            if found
            else _no_table(cursor, path, table)
        )
    if not name:
        schema, _, name = table.rpartition(".")
    is_plain = bool(found) and all(plain for _, _, plain in found)
    return Load(path, schema, name, columns, problem, is_plain and not problem)


def read_result(stdout: str) -> Loaded:
    """What the script of one file printed."""
    inserted, total = map(int, _LOADED.findall(stdout)[-1])
    return Loaded(inserted, total - inserted)


def find_progress(database: Database, path: Path) -> tuple[int, float] | None:
    """The rows of a file that are copied, and the share of it; None if none is being copied."""
    with clients.cursor(database) as cursor:
        cursor.execute(
            "SELECT tuples_processed, bytes_processed::float / %s FROM pg_stat_progress_copy"
            " WHERE datname = current_database() AND command = 'COPY FROM'",
            (max(path.stat().st_size, 1),),
        )
        row = cursor.fetchone()
    return (row[0], min(row[1], 1.0)) if row else None


def _compare(
    path: Path, table: str, columns: list[str], needed: dict[str, bool]
) -> DevError | None:
    """The columns of the file that the table does not have, and those that it requires."""
    hint = f"the columns of {table}: {', '.join(needed)}"
    if unknown := [name for name in columns if name not in needed]:
        return DevError(f"{name_file(path)}:1: {table} has no column {', '.join(unknown)}", hint)
    if missing := [name for name in needed if needed[name] and name not in columns]:
        return DevError(f"{name_file(path)}:1: the header has no column {', '.join(missing)}", hint)
    return None


def _no_table(cursor: Any, path: Path, table: str) -> DevError:
    names = [str(one) for one in relations.list_relations(cursor)]
    if not names:
        return NotFoundError(f"{name_file(path)}: the database has no tables", "./invoke db.setup")
    hint = f"{did_you_mean(table, names)}tables: {', '.join(names)}"
    return NotFoundError(f"{name_file(path)}: there is no table {table}", hint)


def _read_header(path: Path) -> list[str]:
    """The names of the columns. Raises DevError if there are none."""
    if path.exists() and not path.is_file():  # a pipe cannot be read twice
        raise DevError(f"{name_file(path)} is not a file", "name a CSV file")
    name = name_file(path)
    try:
        with path.open("rb") as file:
            text = file.readline(LONGEST_HEADER)
        rows = list(csv.reader([text.decode("utf-8-sig")], strict=True))
    except OSError as error:
        raise DevError(f"{name} cannot be read: {error.strerror}", "name a CSV file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DevError(f"{name}:1: the header cannot be read: {error}", "write UTF-8 CSV") from None
    columns = [column.strip() for column in rows[0]] if rows else []
    if not any(columns):
        raise DevError(
            f"{name} is empty" if not text else f"{name}:1 has no column names",
            "write the names of the columns in the first line",
        )
    if twice := [column for column, count in Counter(columns).items() if count > 1]:
        raise DevError(f"{name}:1: the header names {', '.join(twice)} twice", "name each once")
    return columns


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
