"""Our uuid-ossp: as the real one, and equal to Python's uuid module where that has an answer."""

import random
import re
import time
import uuid
from typing import Any

import pytest

from scripts import clients
from scripts.postgres import databases, schema_diff
from scripts.settings import Settings
from scripts.targets import Database
from tests.conftest import Checkout

# As PostgreSQL's own uuid-ossp declares them: volatility, strictness, parallel safety.
DECLARED = {
    "uuid_generate_v1()": "vts",
    "uuid_generate_v1mc()": "vts",
    "uuid_generate_v3(namespace uuid, name text)": "its",
    "uuid_generate_v4()": "vts",
    "uuid_generate_v5(namespace uuid, name text)": "its",
    "uuid_nil()": "its",
    "uuid_ns_dns()": "its",
    "uuid_ns_oid()": "its",
    "uuid_ns_url()": "its",
    "uuid_ns_x500()": "its",
}
NAMESPACES = [
    *(uuid.NAMESPACE_DNS, uuid.NAMESPACE_URL, uuid.NAMESPACE_OID, uuid.NAMESPACE_X500),
    uuid.UUID(int=2**128 - 1),
]
SCHEMA = """
CREATE EXTENSION IF NOT EXISTS "uuid-ossp";
DROP TABLE IF EXISTS public.users;
CREATE TABLE public.users (
    uuid UUID DEFAULT uuid_generate_v4() PRIMARY KEY,
    display_name text, handle text, email text, cognito_user_id text
);
"""
SEED = """
INSERT INTO public.users (display_name, handle, email)
VALUES ('K', 'korney', 'k@example.com'), ('S', 'smirnov', 's@example.com');
"""


def some_names() -> list[str]:
    """Names of every length up to four blocks of SHA-1, and of any characters but NUL."""
    chance = random.Random(5)
    ranges = [(1, 0x7F), (0x80, 0x7FF), (0x800, 0xD7FF), (0xE000, 0x10FFFF)]
    texts = [
        "".join(chr(chance.randint(*chance.choice(ranges))) for _ in range(chance.randint(1, 80)))
        for _ in range(200)
    ]
    return ["", "python.org", "\\x41\\", "it's", *("x" * length for length in range(240)), *texts]


@pytest.fixture
def installed(database: Database) -> Database:
    """A database with the extension."""
    databases.create(database)
    query(database, 'CREATE EXTENSION "uuid-ossp"')
    return database


def query(database: Database, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with clients.cursor(database) as cursor:
        cursor.execute(sql, values or None)
        return list(cursor.fetchall()) if cursor.description else []


def test_its_functions_are_those_of_the_real_one(installed: Database) -> None:
    rows = query(
        installed,
        "SELECT proname || '(' || pg_get_function_arguments(p.oid) || ')',"
        " concat(provolatile, left(proisstrict::text, 1), proparallel)"
        " FROM pg_depend JOIN pg_proc p ON p.oid = objid"
        " WHERE deptype = 'e' AND classid = 'pg_proc'::regclass AND refobjid ="
        " (SELECT oid FROM pg_extension WHERE extname = 'uuid-ossp')",
    )
    assert dict(rows) == DECLARED


def test_the_namespaces_are_those_of_the_standard(installed: Database) -> None:
    names = ("nil", "ns_dns", "ns_url", "ns_oid", "ns_x500")
    (row,) = query(installed, f"SELECT {', '.join(f'uuid_{name}()::text' for name in names)}")
    assert row == tuple(map(str, [uuid.UUID(int=0), *NAMESPACES[:4]]))


@pytest.mark.parametrize("namespace", NAMESPACES, ids=str)
def test_names_give_what_python_says(installed: Database, namespace: uuid.UUID) -> None:
    rows = query(
        installed,
        "SELECT name, uuid_generate_v3(ns, name)::text, uuid_generate_v5(ns, name)::text"
        " FROM unnest(%s) AS name, (SELECT %s::uuid AS ns) AS given",
        some_names(),
        str(namespace),
    )
    assert rows == [
        (name, str(uuid.uuid3(namespace, name)), str(uuid.uuid5(namespace, name)))
        for name in some_names()
    ]


@pytest.mark.parametrize("function", ["uuid_generate_v1", "uuid_generate_v1mc"])
def test_version_1_has_the_time_and_a_random_node(installed: Database, function: str) -> None:
    before = time.time()
    rows = query(installed, f"SELECT {function}()::text FROM generate_series(1, 1000)")
    made = [uuid.UUID(text) for (text,) in rows]
    since_1970 = [(one.time - 0x01B21DD213814000) / 1e7 for one in made]
    assert {(one.version, one.variant) for one in made} == {(1, uuid.RFC_4122)}
    assert {(one.node >> 40) & 3 for one in made} == {3}  # not a network card's address
    assert before - 1 < min(since_1970) <= max(since_1970) < time.time() + 1
    assert len(set(made)) == 1000


def test_version_4_is_random(installed: Database) -> None:
    rows = query(installed, "SELECT uuid_generate_v4()::text FROM generate_series(1, 1000)")
    made = [uuid.UUID(text) for (text,) in rows]
    assert {(one.version, one.variant) for one in made} == {(4, uuid.RFC_4122)}
    assert len(set(made)) == 1000


def test_it_may_be_in_a_schema_of_its_own_and_be_moved(database: Database) -> None:
    databases.create(database)
    query(database, 'CREATE SCHEMA x; CREATE EXTENSION "uuid-ossp" SCHEMA x')
    made = (
        "SELECT {0}.uuid_generate_v5({0}.uuid_ns_dns(), 'python.org')::text, {0}.uuid_generate_v1()"
    )
    wanted = str(uuid.uuid5(uuid.NAMESPACE_DNS, "python.org"))
    assert query(database, made.format("x"))[0][0] == wanted
    query(database, 'CREATE SCHEMA y; ALTER EXTENSION "uuid-ossp" SET SCHEMA y')
    assert query(database, made.format("y"))[0][0] == wanted


def test_a_function_can_be_in_an_index_and_an_ordinary_role_may_install_it(
    database: Database,
) -> None:
    databases.create(database)
    query(
        database,
        f"CREATE ROLE {database.name}; GRANT CREATE ON DATABASE {database.name} TO {database.name};"
        f" GRANT CREATE ON SCHEMA public TO {database.name}; SET ROLE {database.name};"
        ' CREATE EXTENSION "uuid-ossp"; CREATE TABLE t (name text);'
        " CREATE INDEX ON t (uuid_generate_v5(uuid_ns_url(), name)); RESET ROLE;"
        f" DROP OWNED BY {database.name}; DROP ROLE {database.name}",
    )


def test_a_database_with_it_is_what_its_schema_file_makes(
    environment: Settings, database: Database
) -> None:
    schema = environment.root / "sql" / f"{database.name}.sql"
    schema.write_text(SCHEMA)
    databases.create(database)
    databases.load_schema(database, (schema,))
    assert schema_diff.list_changes(database, (schema,), lambda _: None) == []


def test_an_app_that_uses_it_is_set_up_reset_undone_saved_and_restored(checkout: Checkout) -> None:
    (checkout.root / "sql" / "schema.sql").write_text(SCHEMA)
    (checkout.root / "sql" / "seed.sql").write_text(SEED)
    checkout.run("setup")

    def user() -> str:
        psql = ("db.connect", "--", "-Atc")
        return checkout.run(*psql, "SELECT uuid, uuid_nil() FROM users LIMIT 1").stdout.strip()

    first = user()
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f-]{21}\|[0-]{36}", first)
    checkout.run("snapshot.save", "first")
    checkout.run("reset")
    second = user()
    checkout.run("undo")
    assert user() == first != second
    checkout.run("reset")
    checkout.run("snapshot.restore", "first")
    assert user() == first
    checkout.run("down")
    checkout.run("up")
    assert user() == first
    assert "FAIL" not in checkout.run("doctor").stdout
