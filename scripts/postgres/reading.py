"""A read-only transaction for the pages: limited in time, values as the server writes them."""

import contextlib
from collections.abc import Iterator
from typing import Any

from scripts import clients
from scripts.errors import InvalidError
from scripts.targets import Database

SECONDS = 5
_BOOL = 16  # the oid of the type


class QueryError(InvalidError):
    """What the server refuses; `position` counts characters of the query from 1, 0 for none."""

    def __init__(
        self, reason: str, hint: str = "", position: int = 0, is_syntax: bool = False
    ) -> None:
        super().__init__(reason, hint)
        self.position = position
        self.is_syntax = is_syntax


@contextlib.contextmanager
def cursor(database: Database, query: str = "") -> Iterator[Any]:
    """A cursor in a transaction that may only read and is rolled back; every value is text or None.

    Raises QueryError for what the server refuses, with its position if it lies in `query`.
    """
    with clients.cursor(database) as cursor:
        import psycopg2

        _take_values_as_text(cursor)
        try:
            cursor.execute("SET TRANSACTION READ ONLY")
            cursor.execute(f"SET LOCAL statement_timeout = '{SECONDS}s'")
            yield cursor
            cursor.connection.rollback()
        except psycopg2.errors.QueryCanceled:
            hint = "filter by a column with an index, or add a LIMIT"
            raise QueryError(f"the query took longer than {SECONDS} s", hint) from None
        except (psycopg2.errors.AdminShutdown, psycopg2.errors.CrashShutdown):
            raise  # the server stops: clients.cursor has the sentence for it
        except psycopg2.Error as error:
            if not error.pgcode:
                raise
            raise _translate(error, query) from None
        except ValueError as error:  # psycopg2 takes no NUL in a value
            raise QueryError(f"the query cannot be sent: {error}") from None


def _take_values_as_text(cursor: Any) -> None:
    """Replace the driver's conversions: they would change a number, a time or a JSON value."""
    from psycopg2 import extensions

    def text(value: str | bytes | None, cursor: Any) -> str | bytes | None:
        return value

    def boolean(value: str | bytes | None, cursor: Any) -> str | None:
        return {"t": "true", "f": "false"}.get(str(value))

    oids = tuple(oid for oid in extensions.string_types if oid != _BOOL)
    for kind in (
        extensions.new_type(oids, "TEXT", text),
        extensions.new_type((_BOOL,), "BOOLEAN", boolean),
    ):
        extensions.register_type(kind, cursor.connection)


def _translate(error: Any, query: str) -> QueryError:
    diagnosis = error.diag
    reason = diagnosis.message_primary or str(error).partition("\n")[0]
    inside = query and diagnosis.internal_query == query
    position = int(diagnosis.internal_position or 0) if inside else 0
    is_syntax = error.pgcode == "42601"
    return QueryError(reason, diagnosis.message_hint or "", position, is_syntax)
