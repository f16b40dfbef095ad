"""The ownership tag: a database that carries it was created by this tool on this very server.

The tag is a setting of the database, `invoke.server`, with the identifier of the server's cluster.
An app can comment on its database without touching it, and a dump that is restored on another
server names a server that it is not on. Older databases carry the tag as their comment.
"""

from typing import Any

from scripts.errors import RefusedError
from scripts.targets import Database

SETTING = "invoke.server"
_ID = "(SELECT system_identifier FROM pg_control_system())"
# CREATE DATABASE is a transaction of its own. What it can take along is a connection limit: so a
# command that is killed before it writes the tag leaves a database that is recognized all the same.
_FIRST_LIMIT = f"(mod({_ID}, 1 << 30) + (1 << 30))"
TAGGED = f"""(
    datconnlimit = {_FIRST_LIMIT}
    OR shobj_description(pg_database.oid, 'pg_database')
        IS NOT DISTINCT FROM 'disposable: made by ./invoke for development on server ' || {_ID}
    OR EXISTS (SELECT FROM pg_db_role_setting WHERE setdatabase = pg_database.oid AND setrole = 0
        AND '{SETTING}=' || {_ID} = ANY (setconfig)))"""


def is_tagged(cursor: Any, name: str) -> bool:
    """Does the database exist, and carry the tag of this server?"""
    cursor.execute(f"SELECT FROM pg_database WHERE datname = %s AND {TAGGED}", (name,))
    return bool(cursor.fetchall())


def write(cursor: Any, name: str) -> None:
    """Tag a database."""
    cursor.execute(f"SELECT {_ID}::text")
    (server,) = cursor.fetchone()
    cursor.execute(_compose(f"ALTER DATABASE {{}} SET {SETTING} = %s", name), (server,))


def create(cursor: Any, database: Database, source: str = "", strategy: str = "") -> None:
    """Create a database, or a copy of `source`; on our own server it is tagged from the start.

    The cursor must autocommit.
    """
    copied = f"TEMPLATE {{}} {strategy}" if source else ""
    if not database.owned:
        cursor.execute(_compose(f"CREATE DATABASE {{}} {copied}", database.name, source))
        return
    cursor.execute(f"SELECT {_FIRST_LIMIT}")
    limit = f"CONNECTION LIMIT {cursor.fetchone()[0]}"
    cursor.execute(_compose(f"CREATE DATABASE {{}} {copied} {limit}", database.name, source))
    write(cursor, database.name)
    cursor.execute(_compose("ALTER DATABASE {} CONNECTION LIMIT -1", database.name))


def check_tagged(cursor: Any, pattern: str) -> None:
    """Raise RefusedError if a database whose name matches the pattern does not carry the tag."""
    cursor.execute(
        "SELECT datname FROM pg_database"  # noqa: S608
        f" WHERE datname ~ %s AND NOT {TAGGED} ORDER BY datname",
        (pattern,),
    )
    if names := [name for (name,) in cursor.fetchall()]:
        free = names[0].replace("__", "_")
        raise RefusedError(
            f"{', '.join(names)}: not created by this tool, which reserves names of this form",
            "rename or drop it by hand: ./invoke db.connect --"
            f' -c \'ALTER DATABASE "{names[0]}" RENAME TO "{free}"\'',
        )


def _compose(template: str, *names: str) -> Any:
    from psycopg2 import sql

    return sql.SQL(template).format(*map(sql.Identifier, names))
