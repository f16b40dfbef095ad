"""Loads a CSV file into a Postgres table: all of it, in one transaction, or nothing.

The file is copied a chunk at a time straight into the table, as fast as psql does it. A chunk that
does not go in so, for a row that is there already or a bad one, is undone; it and all after it go
into a temporary table, and from there ON CONFLICT DO NOTHING into the table: rows that are there
stay as they are, and a bad one is named.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from scripts import clients
from scripts.errors import DevError, NotFoundError, did_you_mean
from scripts.postgres import relations
from scripts.targets import Database

CHUNK_BYTES = 4_000_000
LONGEST_ROW = 64_000_000
_CONTEXT = re.compile(r"COPY .*?, line (\d+)(?:, column (\w+))?(?:: (.*))?", re.S)


@dataclass(frozen=True)
class Loaded:
    """How many rows of the file were inserted, and how many were there already."""

    inserted: int
    already_there: int


@dataclass(frozen=True)
class _Chunk:
    """Whole rows of the file; `lines` stand before them."""

    text: bytes
    lines: int
    done: float


def load(database: Database, path: Path, table: str, show: Callable[[int, float], None]) -> Loaded:
    """Load a CSV file, whose first line names the columns, into a table: (billing.)invoices.

    `show` is told how many rows are loaded, and the share of the file. Raises DevError, and keeps
    nothing, for a bad row: with its line and its value.
    """
    with closing(_open(path)) as file, clients.cursor(database) as cursor:
        loader = _Loader(cursor, path, table, *_read_header(file, path))
        loader.check_columns(database)
        for chunk in loader.chunks(file):
            loader.load(chunk)
            show(loader.copied, chunk.done)
        loader.check_deferred()
        if not loader.copied:
            raise DevError(f"{path} has a header and no row", "add rows below the header")
        return Loaded(loader.inserted, loader.copied - loader.inserted)


class _Loader:
    """One load, in the transaction of its cursor."""

    def __init__(
        self, cursor: Any, path: Path, table: str, columns: list[str], header: bytes
    ) -> None:
        self.copied = self.inserted = 0
        self._cursor, self._path, self._table = cursor, path, table
        self._schema, self._name = relations.find(cursor, table) or ("", table)
        self._columns, self._header = columns, header
        self._others: list[str] = []  # the columns that the file leaves out
        self._is_straight = True  # every row until now went straight into the table

    def chunks(self, file: IO[bytes]) -> Iterator[_Chunk]:
        """The rows of the file. A row ends with a line when its quotes are closed."""
        total = self._path.stat().st_size
        lines = 1
        while text := file.read(CHUNK_BYTES):
            text += file.readline()
            while text.count(b'"') % 2 and len(text) < LONGEST_ROW and (rest := file.readline()):
                text += rest
            yield _Chunk(text, lines, file.tell() / total)
            lines += text.count(b"\n")

    def load(self, chunk: _Chunk) -> None:
        """Copy a chunk into the table, or else into the temporary one, and insert it from there."""
        import psycopg2

        if self._is_straight:
            try:
                return self._load_straight(chunk)
            except psycopg2.OperationalError:
                raise
            except psycopg2.Error:
                self._is_straight = False
                self._make_temporary_table()
        self._run("TRUNCATE pg_temp.{table}")
        try:
            self._copy("pg_temp", chunk)
        except (psycopg2.DataError, psycopg2.IntegrityError) as error:
            raise self._copy_error(chunk, error) from None
        rows = self._cursor.rowcount
        try:
            self.inserted += self._insert(0, rows)
        except psycopg2.OperationalError:
            raise
        except psycopg2.DatabaseError:
            raise self._insert_error(chunk, rows) from None
        self.copied += rows
        return None

    def check_deferred(self) -> None:
        """Check now what the table leaves to the end of a transaction: DevError for what fails."""
        import psycopg2

        try:
            self._cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except psycopg2.IntegrityError as error:
            raise self._bad_row("", _reason(error.diag), "") from None

    def _load_straight(self, chunk: _Chunk) -> None:
        with self._savepoint():
            self._copy(self._schema, chunk)
            rows = int(self._cursor.rowcount)
        self.copied += rows
        self.inserted += rows

    def _copy(self, schema: str, chunk: _Chunk) -> None:
        # With the header before it, COPY knows the line ends from the start, and counts them
        # right also where the first row has some in quotes.
        copy = "COPY {schema}.{table} ({columns}) FROM STDIN (FORMAT csv, HEADER)"
        file = io.BytesIO(self._header + chunk.text)
        self._cursor.copy_expert(self._sql(copy, schema=schema), file, 1 << 16)

    def _make_temporary_table(self) -> None:
        """Like the table, with the file's columns, their types and checks."""
        self._run("SET temp_buffers = '64MB'")
        self._run(
            "CREATE TEMP TABLE {table} (LIKE {schema}.{table} INCLUDING CONSTRAINTS) ON COMMIT DROP"
        )
        for column in self._others:
            self._run("ALTER TABLE pg_temp.{table} DROP COLUMN {column}", column=column)

    def _insert(self, first: int, count: int) -> int:
        """Insert rows of the temporary table, none of them on an error; how many were new."""
        with self._savepoint():
            self._run(
                "INSERT INTO {schema}.{table} ({columns}) OVERRIDING SYSTEM VALUE"  # noqa: S608
                " SELECT {columns} FROM (SELECT * FROM pg_temp.{table}"
                f" LIMIT {count} OFFSET {first}) ON CONFLICT DO NOTHING"
            )
            return int(self._cursor.rowcount)

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        """What is done inside is undone by itself where it fails."""
        import psycopg2

        self._cursor.execute("SAVEPOINT chunk")
        try:
            yield
        except psycopg2.Error:
            self._cursor.execute("ROLLBACK TO SAVEPOINT chunk")
            raise
        self._cursor.execute("RELEASE SAVEPOINT chunk")

    def check_columns(self, database: Database) -> None:
        """Compare the file's columns with the table's. Raises DevError where they do not fit."""
        self._cursor.execute("SET client_encoding = 'UTF8'")
        self._cursor.execute(
            # Rules, triggers and partitions may do other things with a row, or leave it out.
            "SELECT attname, attnotnull AND NOT (atthasdef OR attidentity <> ''),"
            " NOT (relhasrules OR relkind = 'p' OR EXISTS"
            " (SELECT FROM pg_trigger WHERE tgrelid = attrelid AND NOT tgisinternal))"
            " FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
            " WHERE relnamespace = to_regnamespace(quote_ident(%s)) AND relname = %s"
            " AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            (self._schema, self._name),
        )
        found = self._cursor.fetchall()
        needed = {name: is_needed for name, is_needed, _ in found}
        if not needed:
            raise self._no_table(database)
        hint = f"the columns of {self._table}: {', '.join(needed)}"
        if unknown := [name for name in self._columns if name not in needed]:
            raise DevError(
                f"{self._path}:1: {self._table} has no column {', '.join(unknown)}", hint
            )
        self._others = [name for name in needed if name not in self._columns]
        if missing := [name for name in self._others if needed[name]]:
            raise DevError(f"{self._path}:1: the header has no column {', '.join(missing)}", hint)
        if not all(is_plain for _, _, is_plain in found):
            self._is_straight = False
            self._make_temporary_table()

    def _no_table(self, database: Database) -> DevError:
        self._cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        names = sorted(name for (name,) in self._cursor.fetchall())
        if not names:
            return NotFoundError(f"{database} has no tables", "./invoke db.setup")
        hint = f"{did_you_mean(self._table, names)}tables: {', '.join(names)}"
        return NotFoundError(f"{database} has no table {self._table}", hint)

    def _copy_error(self, chunk: _Chunk, error: Any) -> DevError:
        """What Postgres found in a row that it could not read."""
        found = _CONTEXT.search(error.diag.context or "")
        if not found:
            return self._bad_row("", str(error.diag.message_primary), "")
        column = f"{found[2]}: " if found[2] else ""
        row = "" if found[2] else "\n  | " + (found[3] or "").strip('"')
        line = chunk.lines - 1 + int(found[1])
        return self._bad_row(f":{line}", f"{column}{error.diag.message_primary}", row)

    def _insert_error(self, chunk: _Chunk, rows: int) -> DevError:
        """What is wrong with the first row that cannot be inserted: found by halving."""
        import psycopg2

        first, last = 0, rows - 1
        while first < last:
            middle = (first + last) // 2
            try:
                self._insert(first, middle - first + 1)
                first = middle + 1
            except psycopg2.Error:
                last = middle
        try:
            self._insert(first, 1)
        except psycopg2.Error as error:
            problem = error.diag
        else:
            raise AssertionError("the rows fail together, and not alone")
        reader = csv.reader(io.StringIO(chunk.text.decode(errors="replace"), newline=""))
        for _ in range(first + 1):
            next(reader)
        return self._bad_row(f":{chunk.lines + reader.line_num}", _reason(problem), "")

    def _bad_row(self, line: str, reason: str, row: str) -> DevError:
        return DevError(f"{self._path}{line}: {reason}{row}", "correct the row; nothing was loaded")

    def _run(self, template: str, column: str = "") -> None:
        self._cursor.execute(self._sql(template, column))

    def _sql(self, template: str, column: str = "", schema: str = "") -> Any:
        from psycopg2 import sql

        return sql.SQL(template).format(
            schema=sql.Identifier(schema or self._schema),
            table=sql.Identifier(self._name),
            column=sql.Identifier(column),
            columns=sql.SQL(", ").join(map(sql.Identifier, self._columns)),
        )


def _reason(problem: Any) -> str:
    detail = f": {problem.message_detail}" if problem.message_detail else ""
    return f"{problem.message_primary}{detail}"


def _open(path: Path) -> IO[bytes]:
    if path.exists() and not path.is_file():  # of a pipe nobody knows the size
        raise DevError(f"{path} is not a file", "name a CSV file")
    try:
        return path.open("rb")
    except OSError as error:
        raise DevError(f"{path} cannot be read: {error.strerror}", "name a CSV file") from None


def _read_header(file: IO[bytes], path: Path) -> tuple[list[str], bytes]:
    """The names of the columns, and the line itself. Raises DevError for none."""
    text = file.readline(LONGEST_ROW)
    try:
        rows = list(csv.reader([text.decode("utf-8-sig")], strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DevError(f"{path}:1: the header cannot be read: {error}", "write UTF-8 CSV") from None
    columns = [name.strip() for name in rows[0]] if rows else []
    if not any(columns):
        raise DevError(
            f"{path} is empty" if not text else f"{path}:1 has no column names",
            "write the names of the columns in the first line",
        )
    if twice := [name for name, count in Counter(columns).items() if count > 1]:
        raise DevError(f"{path}:1: the header names {', '.join(twice)} twice", "name each once")
    return columns, text
