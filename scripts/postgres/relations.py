"""The tables of a database: in every schema but the server's own, and those of extensions."""

from dataclasses import dataclass
from typing import Any

_FROM = """
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname <> 'information_schema'
        AND NOT starts_with(nspname, 'pg_')  -- the server's, and those of temporary tables
        AND relkind IN ('r', 'p') AND NOT relispartition AND NOT EXISTS (
            SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass
                AND objid = pg_class.oid AND deptype = 'e')"""
EXISTS = f"EXISTS (SELECT {_FROM})"  # as an SQL expression
SMALL = 8 << 20  # bytes of a table that is counted row by row


@dataclass(frozen=True)
class Relation:
    """A table. `is_small`: counting its rows one by one is quick."""

    schema: str
    table: str
    is_small: bool

    def __str__(self) -> str:
        return self.table if self.schema == "public" else f"{self.schema}.{self.table}"


def list_relations(cursor: Any) -> list[Relation]:
    """The app's tables, those of the schema `public` first; a partitioned one counts once.

    Tables of other schemas without permission to read are left out.
    """
    cursor.execute(
        "SELECT nspname, relname, coalesce(pg_relation_size(pg_class.oid), 0) < %s"
        f"{_FROM} AND (nspname = 'public' OR has_schema_privilege(nspname, 'USAGE')"
        " AND has_table_privilege(pg_class.oid, 'SELECT'))"
        " ORDER BY nspname <> 'public', nspname, relname",
        (SMALL,),
    )
    return [Relation(*row) for row in cursor.fetchall()]


def find(cursor: Any, name: str) -> tuple[str, str] | None:
    """The schema and the name of a table, for `invoices` or `billing.invoices`; None for none.

    A name without a schema is looked up in the search path, then in `public`.
    """
    cursor.execute(
        "SELECT nspname, relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
        " WHERE relkind IN ('r', 'p') AND (nspname || '.' || relname = %(name)s OR"
        " relname = %(name)s AND (nspname = 'public' OR pg_table_is_visible(pg_class.oid)))"
        " ORDER BY relname = %(name)s DESC, pg_table_is_visible(pg_class.oid) DESC LIMIT 1",
        {"name": name},
    )
    row = cursor.fetchone()
    return (row[0], row[1]) if row else None


def count(cursor: Any, relation: Relation) -> int:
    """The rows of the table, counted."""
    cursor.execute(_compose("SELECT count(*) FROM {}.{}", relation))
    return int(cursor.fetchone()[0])


def estimate(cursor: Any, relation: Relation) -> int:
    """The rows of the table as the planner estimates them, to the thousand."""
    cursor.execute(_compose("EXPLAIN (FORMAT JSON) SELECT FROM {}.{}", relation))
    ((plan,),) = cursor.fetchone()
    return int(round(plan["Plan"]["Plan Rows"], -3))


def _compose(template: str, relation: Relation) -> Any:
    from psycopg2 import sql

    return sql.SQL(template).format(sql.Identifier(relation.schema), sql.Identifier(relation.table))
