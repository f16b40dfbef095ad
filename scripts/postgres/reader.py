"""A role that may only read, for SQL that is typed into a page.

It is created on servers of this checkout only, and known by its comment. It owns nothing, may log
in and select from every table, and each of its transactions is read-only.
"""

from typing import Any

from scripts import clients
from scripts.errors import DevError, LoginRefusedError, RefusedError
from scripts.postgres import databases
from scripts.targets import Database

ROLE = "studio_reader"
_COMMENT = "made by ./invoke web for SQL in the browser: may only read"
_LIMITS = {
    "default_transaction_read_only": "on",
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "20s",
    "temp_file_limit": "1GB",
}
_MAY_ONLY_READ = """
    SELECT shobj_description(r.oid, 'pg_authid') IS NOT DISTINCT FROM %s, r.rolcanlogin
        AND NOT (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication
            OR r.rolbypassrls)
        AND (SELECT array_agg(g.rolname) = '{pg_read_all_data}' FROM pg_auth_members m
            JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid)
    FROM pg_roles r WHERE r.rolname = %s"""


def ensure(database: Database, password: str) -> Database:
    """The database as the reading role sees it; the role is created or corrected if it has to be.

    Raises RefusedError for a server that is not this checkout's own.
    """
    if not database.owned:
        raise RefusedError(
            f"{database} is not on a server of this checkout, so it gets no role for reading",
            "use ./invoke db.connect",
        )
    reader = Database(
        host=database.host,
        port=database.port,
        user=ROLE,
        password=password,
        name=database.name,
        sslmode=database.sslmode,
    )
    with databases.maintenance(database) as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (ROLE,))
        _converge(cursor, database, password)
    try:
        clients.ping(reader)
    except LoginRefusedError:
        with databases.maintenance(database) as cursor:
            _set_password(cursor, password)
    return reader


def _converge(cursor: Any, database: Database, password: str) -> None:
    cursor.execute(_MAY_ONLY_READ, (_COMMENT, ROLE))
    found = cursor.fetchone()
    if found == (True, True):
        return
    if found and not found[0]:
        raise DevError(
            f"the server of {database} has a role {ROLE} that this tool did not create",
            f"./invoke db.connect -- -c 'ALTER ROLE {ROLE} RENAME TO {ROLE}_2'",
        )
    if found:
        cursor.execute(databases.compose("DROP OWNED BY {}", ROLE))
        cursor.execute(databases.compose("DROP ROLE {}", ROLE))
    cursor.execute(databases.compose("CREATE ROLE {} LOGIN CONNECTION LIMIT 8", ROLE))
    cursor.execute(databases.compose("GRANT pg_read_all_data TO {}", ROLE))
    for name, value in _LIMITS.items():
        cursor.execute(databases.compose("ALTER ROLE {} SET {} = %s", ROLE, name), (value,))
    cursor.execute(databases.compose("COMMENT ON ROLE {} IS %s", ROLE), (_COMMENT,))
    _set_password(cursor, password)


def _set_password(cursor: Any, password: str) -> None:
    """Only the digest is sent: a statement may stand in the server's log."""
    from psycopg2.extensions import encrypt_password

    digest = encrypt_password(password, ROLE, cursor.connection, "scram-sha-256")
    cursor.execute(databases.compose("ALTER ROLE {} PASSWORD %s", ROLE), (digest,))
