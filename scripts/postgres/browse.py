"""What a database contains, for people who look at it: tables, columns, keys, indexes."""

import json
from dataclasses import dataclass, replace
from typing import Any

from scripts.errors import InvalidError
from scripts.postgres import databases, reading, relations
from scripts.targets import Database

KINDS = {"r": "table", "p": "table", "v": "view", "m": "materialized view", "f": "foreign table"}
_UNSORTABLE = ("json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle", "xid")

# Its partitions are not listed, they belong to it; nor is what an extension brings.
_TABLES = """
    SELECT json_build_array(c.oid::int8, n.nspname, c.relname, c.relkind,
        CASE WHEN c.relkind IN ('r', 'p', 'm') THEN
            (SELECT coalesce(sum(pg_total_relation_size(part)), 0) FROM (
                SELECT c.oid::regclass AS part UNION SELECT relid FROM pg_partition_tree(c.oid)
            ) AS parts)
        END)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
        AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass
            AND objid = c.oid AND deptype = 'e')
        AND (%s = '' OR (n.nspname, c.relname) = (%s, %s))
    ORDER BY n.nspname <> 'public', n.nspname, c.relname"""

_COLUMNS = """
    SELECT json_build_array(a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
        CASE WHEN a.attidentity <> '' THEN 'identity'
            WHEN a.attgenerated <> '' THEN 'generated: ' || pg_get_expr(d.adbin, d.adrelid)
            ELSE coalesce(pg_get_expr(d.adbin, d.adrelid), '') END, t.typname)
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""

_NAMES = """(SELECT json_agg(a.attname ORDER BY place)
        FROM unnest({}) WITH ORDINALITY AS of (number, place)
        JOIN pg_attribute a ON a.attrelid = {} AND a.attnum = of.number)"""

_CONSTRAINTS = """
    SELECT json_build_array(conname, contype, pg_get_constraintdef(oid), conrelid = %s)
    FROM pg_constraint WHERE conrelid = %s AND contype <> 'n' ORDER BY contype <> 'p', conname"""

_FOREIGN_KEYS = f"""
    SELECT json_build_array(k.conrelid = %s, {_NAMES.format("k.conkey", "k.conrelid")},
        n.nspname, c.relname, {_NAMES.format("k.confkey", "k.confrelid")})
    FROM pg_constraint k
        JOIN pg_class c ON c.oid = CASE k.conrelid WHEN %s THEN k.confrelid ELSE k.conrelid END
        JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE %s IN (k.conrelid, k.confrelid) AND k.contype = 'f' AND k.conparentid = 0
    ORDER BY k.conname"""  # noqa: S608 - nothing of it comes from outside

_INDEXES = """
    SELECT json_build_array(c.relname, pg_get_indexdef(i.indexrelid),
        pg_relation_size(i.indexrelid))
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = %s ORDER BY NOT i.indisprimary, c.relname"""

# What identifies a row: the primary key, or else a unique index without NULLs.
_KEY = f"""
    SELECT {_NAMES.format("i.indkey[0:i.indnkeyatts - 1]", "i.indrelid")}
    FROM pg_index i
    WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indimmediate
        AND i.indpred IS NULL AND i.indexprs IS NULL
        AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = i.indrelid
            AND a.attnum = ANY (i.indkey) AND NOT a.attnotnull)
    ORDER BY NOT i.indisprimary, i.indnkeyatts LIMIT 1"""  # noqa: S608


@dataclass(frozen=True)
class Entry:
    """A table or view as it is listed.

    `rows` is None for a view; it is an estimate unless `exact`. `size` is in
    bytes with all indexes, None for what has no data of its own.
    """

    oid: int
    schema: str
    name: str
    kind: str
    size: int | None
    rows: int | None = None
    exact: bool = False


@dataclass(frozen=True)
class Column:
    """A column; `kind` is its type as SQL has it, `default` is "" for none."""

    name: str
    kind: str
    nullable: bool
    default: str
    sortable: bool


@dataclass(frozen=True)
class ForeignKey:
    """A reference: `columns` are those of the table that has it, `targets` those it refers to.

    `schema` and `table` name the other side, seen from the table that was asked for.
    """

    columns: list[str]
    schema: str
    table: str
    targets: list[str]


@dataclass(frozen=True)
class Index:
    """An index, with the statement that creates it and its bytes."""

    name: str
    definition: str
    size: int


@dataclass(frozen=True)
class Table:
    """A table with everything that belongs to it; `key` names the columns that identify a row."""

    entry: Entry
    columns: list[Column]
    key: list[str]
    constraints: list[tuple[str, str]]
    indexes: list[Index]
    references: list[ForeignKey]
    referenced_by: list[ForeignKey]

    def get_column(self, name: str) -> Column:
        """A column by its name. Raises InvalidError where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise InvalidError(f"{self.entry.schema}.{self.entry.name} has no column {name}")


def get_version(database: Database) -> str:
    """The server's version, as 18.6."""
    with reading.cursor(database) as cursor:
        cursor.execute("SELECT split_part(current_setting('server_version'), ' ', 1)")
        return str(cursor.fetchone()[0])


def list_tables(database: Database) -> list[Entry]:
    """Every table and view of the app's schemas, with row counts; of large ones an estimate."""
    with reading.cursor(database) as cursor:
        return [_with_rows(cursor, entry) for entry in _list_entries(cursor, "", "")]


def find_table(database: Database, schema: str, name: str) -> Table | None:
    """One table and what belongs to it, None where there is none."""
    with reading.cursor(database) as cursor:
        found = _list_entries(cursor, schema, name) if schema else []
        return _describe(cursor, _with_rows(cursor, found[0])) if found else None


def _list_entries(cursor: Any, schema: str, name: str) -> list[Entry]:
    found = _rows(cursor, _TABLES, schema, schema, name)
    return [Entry(oid, where, table, KINDS[kind], size) for oid, where, table, kind, size in found]


def _with_rows(cursor: Any, entry: Entry) -> Entry:
    """The entry with its number of rows: counted if it is small, as the planner thinks if not."""
    if entry.size is None:
        return entry
    if entry.size < relations.SMALL:
        count = databases.compose("SELECT count(*) FROM {}.{}", entry.schema, entry.name)
        cursor.execute(count)
        return replace(entry, rows=int(cursor.fetchone()[0]), exact=True)
    template = "EXPLAIN (FORMAT JSON) SELECT FROM {}.{}"
    cursor.execute(databases.compose(template, entry.schema, entry.name))
    ((plan,),) = [json.loads(row[0]) for row in cursor.fetchall()]
    return replace(entry, rows=int(plan["Plan"]["Plan Rows"]))


def _describe(cursor: Any, entry: Entry) -> Table:
    oid = entry.oid
    keys = _rows(cursor, _FOREIGN_KEYS, oid, oid, oid)
    cursor.execute(_KEY, (oid,))
    key = cursor.fetchone()
    return Table(
        entry,
        columns=[
            Column(name, kind, nullable, default, internal not in _UNSORTABLE)
            for name, kind, nullable, default, internal in _rows(cursor, _COLUMNS, oid)
        ],
        key=json.loads(key[0]) if key else [],
        constraints=[(row[0], row[2]) for row in _rows(cursor, _CONSTRAINTS, oid, oid)],
        indexes=[Index(*row) for row in _rows(cursor, _INDEXES, oid)],
        references=[ForeignKey(*row[1:]) for row in keys if row[0]],
        referenced_by=[ForeignKey(*row[1:]) for row in keys if not row[0]],
    )


def _rows(cursor: Any, query: str, *values: object) -> list[Any]:
    """The rows of a query that makes each of them a JSON array."""
    cursor.execute(query, values)
    return [json.loads(row[0]) for row in cursor.fetchall()]
