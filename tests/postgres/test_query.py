"""Queries that somebody types: they read, and all that is tried beyond is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from scripts import clients, shell, stacks
from scripts.environment import setup, sql_reader
from scripts.errors import DevError, RefusedError
from scripts.postgres import query, reader
from scripts.postgres.reading import QueryError
from scripts.settings import Settings
from scripts.targets import Database
from tests.contents import run

TRAPS = """
    CREATE SEQUENCE steps;
    CREATE FUNCTION add_user() RETURNS int LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS
        $$BEGIN DELETE FROM users; RETURN 1; END$$;
    CREATE FUNCTION calm() RETURNS int LANGUAGE plpgsql STABLE SECURITY DEFINER AS
        $$BEGIN COPY users TO PROGRAM 'touch {marker}'; RETURN 1; END$$;
    CREATE PROCEDURE do_it(INOUT x int) LANGUAGE plpgsql AS
        $$BEGIN DELETE FROM users; END$$;
    CREATE VIEW trap AS SELECT pg_try_advisory_lock(1) AS got;
    CREATE EXTENSION IF NOT EXISTS dblink;
    CREATE EXTENSION IF NOT EXISTS file_fdw;
    CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
    CREATE FOREIGN TABLE outside (line text) SERVER files OPTIONS (program 'touch {marker}');
    CREATE FUNCTION "odd ""name"(int) RETURNS int LANGUAGE plpgsql AS
        'BEGIN RETURN $1; END';
"""

REFUSED = {
    "COMMIT": "COMMIT is refused",
    "BEGIN": "BEGIN is refused",
    "ROLLBACK": "ROLLBACK is refused",
    "COMMIT; DELETE FROM users": "only one statement can be run at a time",
    "SELECT 1; COMMIT; DROP TABLE users": "only one statement can be run at a time",
    "SELECT 1; SELECT 2": "only one statement can be run at a time",
    "SET ROLE postgres": "SET is refused",
    "RESET ROLE": "RESET is refused",
    "SET default_transaction_read_only = off": "SET is refused",
    "SET SESSION AUTHORIZATION postgres": "SET is refused",
    "DO $$BEGIN DELETE FROM users; END$$": "DO is refused",
    "COPY users TO PROGRAM 'touch {marker}'": "COPY is refused",
    "COPY users FROM PROGRAM 'cat {marker}'": "COPY is refused",
    "COPY users TO '{marker}'": "COPY is refused",
    "CREATE TABLE x (y int)": "CREATE TABLE is refused",
    "CREATE TEMP TABLE x AS SELECT 1": "CREATE TABLE AS is refused",
    "DROP TABLE users": "DROP TABLE is refused",
    "TRUNCATE users": "TRUNCATE TABLE is refused",
    "SELECT * INTO x FROM users": "SELECT INTO is refused",
    "LOCK TABLE users": "LOCK TABLE is refused",
    "LISTEN x": "LISTEN is refused",
    "NOTIFY x": "NOTIFY is refused",
    "PREPARE x AS DELETE FROM users": "PREPARE is refused",
    "VACUUM": "VACUUM is refused",
    "LOAD 'auto_explain'": "LOAD is refused",
    "ALTER SYSTEM SET fsync = off": "ALTER SYSTEM is refused",
    "DELETE FROM users": "permission denied for table users",
    "DELETE FROM users RETURNING *": "permission denied for table users",
    "WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone": (
        "permission denied for table users"
    ),
    "EXPLAIN ANALYZE INSERT INTO users DEFAULT VALUES": "permission denied for table users",
    "EXPLAIN ANALYZE DELETE FROM users": "permission denied for table users",
    "SELECT * FROM users FOR UPDATE": "permission denied for table users",
    "CALL do_it(1)": 'syntax error at or near "CALL"',
    "EXECUTE x": 'prepared statement "x" does not exist',
    "FETCH ALL FROM result": "FETCH is refused",
    "SELECT nextval('steps')": "nextval() is refused: it may do more than read",
    "SELECT setval('steps', 7)": "setval() is refused: it may do more than read",
    "SELECT set_config('role', 'postgres', false)": (
        "set_config() is refused: it may do more than read"
    ),
    "SELECT pg_notify('a', 'b')": "pg_notify() is refused: it may do more than read",
    "SELECT pg_advisory_lock(1)": "pg_advisory_lock() is refused: it may do more than read",
    "EXPLAIN (ANALYZE) SELECT pg_advisory_lock(1)": (
        "pg_advisory_lock() is refused: it may do more than read"
    ),
    "/* a */ EXPLAIN -- b\n ANALYZE VERBOSE SELECT pg_advisory_lock(1)": (
        "pg_advisory_lock() is refused: it may do more than read"
    ),
    'SELECT U&"pg_\\0061dvisory_lock"(1)': (
        "pg_advisory_lock() is refused: it may do more than read"
    ),
    "SELECT * FROM trap": "pg_try_advisory_lock() is refused: it may do more than read",
    "SELECT 1 FROM generate_series(1, 2) AS id WHERE pg_try_advisory_lock(id)": (
        "pg_try_advisory_lock() is refused: it may do more than read"
    ),
    'SELECT "odd ""name"(1)': 'odd "name() is refused: it may do more than read',
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity": (
        "pg_terminate_backend() is refused: it may do more than read"
    ),
    "SELECT pg_logical_emit_message(false, 'a', 'b')": (
        "pg_logical_emit_message() is refused: it may do more than read"
    ),
    "SELECT query_to_xml('SELECT pg_advisory_lock(1)', true, true, '')": (
        "query_to_xml() is refused: it may do more than read"
    ),
    "SELECT table_to_xml('pg_authid', true, true, '')": (
        "table_to_xml() is refused: it may do more than read"
    ),
    "SELECT add_user()": "add_user() is refused: it may do more than read",
    "SELECT calm()": "calm() is refused: it may do more than read",
    "SELECT * FROM dblink('host=127.0.0.1 password=x', 'SELECT 1') AS t (a int)": (
        "dblink() is refused: it may do more than read"
    ),
    "SELECT dblink_connect('host=127.0.0.1 password=x')": (
        "dblink_connect() is refused: it may do more than read"
    ),
    "SELECT * FROM outside": "access to non-system foreign table is restricted",
    "SELECT lo_creat(1)": "lo_creat() is refused: it may do more than read",
    "SELECT lo_export(1, '{marker}')": "permission denied for function lo_export",
    "SELECT lo_import('/etc/passwd')": "permission denied for function lo_import",
    "SELECT pg_read_file('/etc/passwd')": "permission denied for function pg_read_file",
    "SELECT pg_read_binary_file('PG_VERSION')": (
        "permission denied for function pg_read_binary_file"
    ),
    "SELECT pg_ls_dir('.')": "permission denied for function pg_ls_dir",
    "SELECT pg_stat_reset()": "permission denied for function pg_stat_reset",
    "SELECT pg_reload_conf()": "permission denied for function pg_reload_conf",
    "SELECT pg_switch_wal()": "permission denied for function pg_switch_wal",
    "SELECT rolpassword FROM pg_authid": "pg_authid is refused: it holds passwords",
    "SELECT a FROM pg_authid a": "pg_authid is refused: it holds passwords",
    "SELECT * FROM pg_shadow": "pg_authid is refused: it holds passwords",
    "SELECT umoptions FROM pg_user_mapping": "pg_user_mapping is refused: it holds passwords",
    "SELECT current_setting('data_directory')": (
        'permission denied to examine "data_directory"'
    ),
    "": "the query is empty",
    "-- nothing": "only one statement can be run at a time",
    "SELECT '\0'": (
        "the query cannot be sent: A string literal cannot contain NUL (0x00) characters."
    ),
}  # fmt: skip


@pytest.fixture
def typist(environment: Settings, seeded: Database) -> Database:
    """The database as typed queries see it."""
    return sql_reader.get(environment)


@pytest.fixture(scope="module")
def trapped(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Database, str]:
    """A database full of things that could be misused, and the file that must not be there."""
    settings = replace(services, postgres_db="test_traps")
    run(setup.db_setup(settings))
    folder = tmp_path_factory.mktemp("outside")
    folder.chmod(0o777)
    for parent in folder.parents[:3]:
        parent.chmod(0o755)
    path = str(folder / "touched")
    with clients.cursor(stacks.get_database(settings)) as cursor:
        cursor.execute(TRAPS.replace("{marker}", path))
    return sql_reader.get(settings), path


def digest(database: Database, owner: str, password: str) -> str:
    """Everything in the database, as its owner dumps it."""
    superuser = Database(database.host, database.port, owner, password, database.name)
    done = shell.run(
        [shell.postgres_home() / "bin" / "pg_dump", "--inserts", "--restrict-key=x"],
        env=clients.psql_environment(superuser),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:40].replace("\0", "NUL"))
def test_what_is_tried_beyond_reading_is_refused(trapped: tuple[Database, str], text: str) -> None:
    database, path = trapped
    with pytest.raises(QueryError) as error:
        query.run(database, text.replace("{marker}", path))
    assert error.value.reason == REFUSED[text]


def test_after_all_tries_nothing_has_changed(
    services: Settings, trapped: tuple[Database, str]
) -> None:
    database, path = trapped
    owner = stacks.get_database(services)
    before = digest(database, owner.user, owner.password)
    for text in REFUSED:
        with pytest.raises(QueryError):
            query.run(database, text.replace("{marker}", path))
    assert digest(database, owner.user, owner.password) == before
    assert not Path(path).exists()
    with clients.cursor(owner.named(database.name)) as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT line FROM outside")  # the trap works, for who may
    assert Path(path).exists()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO users (display_name, handle, email) VALUES ('x', 'x', 'x')",
        "CREATE TABLE x (y int)",
        "COPY users TO PROGRAM 'id'",
        "SELECT lo_export(1, '/tmp/x')",
        "SELECT pg_read_file('/etc/passwd')",
        "SET ROLE postgres",
        "ALTER ROLE studio_reader SUPERUSER",
    ],
)
def test_the_role_alone_may_only_read(typist: Database, statement: str) -> None:
    """Without the other barriers: in a transaction that it made writable itself."""
    with pytest.raises(DevError), clients.cursor(typist) as cursor:
        cursor.execute("SET TRANSACTION READ WRITE")
        cursor.execute(statement)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("SELECT handle FROM users ORDER BY 1", [("korney",), ("smirnov",)]),
        ("SELECT 1 AS a, true, NULL, '1.10'::numeric, '{\"b\": 1}'::json;",
         [("1", "true", None, "1.10", '{"b": 1}')]),
        ("VALUES (1), (2)", [("1",), ("2",)]),
        ("-- why\nWITH x AS (SELECT 7) TABLE x", [("7",)]),
        ("SHOW transaction_read_only", [("on",)]),
        ("SELECT '50%', 'pg_notify(1)', 'é'", [("50%", "pg_notify(1)", "é")]),
        ("SELECT current_user", [("studio_reader",)]),
        ("SELECT handle FROM users WHERE false", []),
        ("SELECT count(*) > 0 FROM pg_stat_activity", [("true",)]),
        ("SELECT length(gen_random_uuid()::text), random() < 2", [("36", "true")]),
    ],
)  # fmt: skip
def test_what_reads_is_run(typist: Database, text: str, rows: list[tuple[str | None]]) -> None:
    result = query.run(typist, text)
    assert result.rows == rows
    assert result.is_whole


@pytest.mark.parametrize("text", ["EXPLAIN SELECT 1", "explain (analyze, costs off) TABLE users"])
def test_a_plan_is_shown(typist: Database, text: str) -> None:
    assert query.run(typist, text).columns == ["QUERY PLAN"]


@pytest.mark.parametrize(
    ("text", "reason", "position"),
    [
        ("SELEC 1", 'syntax error at or near "SELEC"', 1),
        ("SELECT é,\n  nothing FROM users", 'column "é" does not exist', 8),
        ("SELECT 1,\n  nothing FROM users", 'column "nothing" does not exist', 13),
        ("SELECT * FROM nowhere", 'relation "nowhere" does not exist', 15),
        ("SELECT 1, pg_notify('a', 'b')", "pg_notify() is refused: it may do more than read", 11),
        ("SELECT 1/0", "division by zero", 0),
    ],
)
def test_a_mistake_has_its_position(
    typist: Database, text: str, reason: str, position: int
) -> None:
    with pytest.raises(QueryError) as error:
        query.run(typist, text)
    assert (error.value.reason, error.value.position) == (reason, position)


def test_at_most_1000_rows_come(typist: Database) -> None:
    for count, is_whole in ((1000, True), (1001, False), (10**9, False)):
        result = query.run(typist, f"SELECT generate_series(1, {count})")
        assert (len(result.rows), result.is_whole) == (1000, is_whole)


def test_large_values_end_the_result_early(typist: Database) -> None:
    result = query.run(typist, "SELECT repeat('x', 100000) FROM generate_series(1, 1000)")
    assert (len(result.rows), result.is_whole) == (100, False)


def test_a_query_ends_after_5_seconds(typist: Database) -> None:
    with pytest.raises(QueryError, match="the query took longer than 5 s"):
        query.run(typist, "SELECT pg_sleep(60)")


def test_the_role_is_created_once_and_its_password_kept_private(
    environment: Settings, seeded: Database
) -> None:
    path = environment.state / "reader-password"
    first = sql_reader.get(environment)
    assert path.stat().st_mode & 0o777 == 0o600
    assert sql_reader.get(environment).password == first.password == path.read_text()
    assert first.password not in repr(first)


def test_a_lost_password_is_replaced(environment: Settings, seeded: Database) -> None:
    lost = sql_reader.get(environment).password
    (environment.state / "reader-password").unlink()
    found = sql_reader.get(environment)
    assert found.password != lost
    assert query.run(found, "SELECT 1").rows == [("1",)]


def test_a_role_that_was_given_more_is_made_anew(
    environment: Settings, seeded: Database, typist: Database
) -> None:
    with clients.cursor(seeded) as cursor:
        cursor.execute("ALTER ROLE studio_reader SUPERUSER")
    found = sql_reader.get(environment)
    is_super = query.run(found, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    assert is_super.rows == [("false",)]


def test_a_role_of_somebody_else_is_left_alone(
    environment: Settings, seeded: Database, typist: Database
) -> None:
    with clients.cursor(seeded) as cursor:
        cursor.execute("COMMENT ON ROLE studio_reader IS 'mine'")
    with pytest.raises(DevError) as error:
        sql_reader.get(environment)
    assert error.value.message == (
        f"the server of {seeded} has a role studio_reader that this tool did not create\n"
        "hint: ./invoke db.connect -- -c 'ALTER ROLE studio_reader RENAME TO studio_reader_2'"
    )
    with clients.cursor(seeded) as cursor:
        cursor.execute(f"COMMENT ON ROLE studio_reader IS '{reader._COMMENT}'")


def test_servers_of_others_get_no_role(seeded: Database) -> None:
    with pytest.raises(RefusedError, match="is not on a server of this checkout"):
        reader.ensure(replace(seeded, owned=False), "x")
