import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from scripts import clients
from scripts.engine import pipeline
from scripts.engine.pipeline import Event
from scripts.environment import setup
from scripts.errors import DevError, LoginRefusedError, NotFoundError, RefusedError
from scripts.postgres import databases, ownership
from scripts.settings import Settings
from scripts.targets import Database

TABLE = "CREATE TABLE kept (x integer PRIMARY KEY);\n"
HINT = "\nhint: correct sql/schema.sql; nothing was changed"


@pytest.fixture
def created(database: Database) -> Database:
    databases.create(database)
    return database


@pytest.fixture
def seeded(created: Database, environment: Settings) -> Database:
    databases.load_schema(created, (environment.root / "sql" / "schema.sql",))
    databases.load_seed(created, (environment.root / "sql" / "seed.sql",))
    return created


def write_sql(folder: Path, text: str, name: str = "schema.sql") -> Path:
    (folder / "app.toml").touch()
    path = folder / "sql" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def fetch(database: Database, query: str) -> list[Any]:
    with clients.cursor(database) as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def execute(database: Database, statement: str) -> None:
    with clients.cursor(database, autocommit=True) as cursor:
        cursor.execute(statement)


def contents(database: Database) -> dict[str, list[Any]]:
    tables = databases.count_rows(database)
    return {table: fetch(database, f"SELECT * FROM {table} ORDER BY uuid") for table in tables}


def failure(action: Callable[[], object], kind: type[DevError] = DevError) -> str:
    with pytest.raises(DevError) as caught:
        action()
    assert type(caught.value) is kind
    return str(caught.value.message)


def run_step(settings: Settings, name: str) -> Event:
    events: list[Event] = []
    pipeline.run(setup.pick(settings, name), events.append)
    return events[-1]


def list_databases(database: Database) -> list[str]:
    like = f"datname LIKE '{database.name}%'"
    rows = fetch(database.named("postgres"), f"SELECT datname FROM pg_database WHERE {like}")
    return [name for (name,) in rows]


@contextlib.contextmanager
def client(database: Database) -> Iterator[Any]:
    connection = psycopg2.connect(
        host=database.host,
        port=database.port,
        user=database.user,
        password=database.password,
        dbname=database.name,
        application_name="the app",
    )
    with contextlib.closing(connection):
        yield connection


def is_cut_off(connection: Any) -> bool:
    try:
        connection.cursor().execute("SELECT 1")
    except psycopg2.OperationalError:
        return True
    return False


def test_create_makes_a_database_with_the_mark(environment: Settings, database: Database) -> None:
    detail = run_step(environment, "db.create").detail
    assert detail.partition("; the former one still exists: ")[0] == f"created {database}"
    assert databases.is_disposable(database)


def test_create_again_is_skipped_and_keeps_the_rows(
    environment: Settings, seeded: Database
) -> None:
    before = contents(seeded)
    assert run_step(environment, "db.create").kind == "skipped"
    assert contents(seeded) == before


def test_drop_works_while_a_client_is_connected(created: Database) -> None:
    with client(created) as connection:
        assert databases.drop(created)
        assert is_cut_off(connection)
    assert not databases.exists(created)


def test_drop_without_a_database_says_so(database: Database) -> None:
    assert not databases.drop(database)


def test_drop_refuses_a_database_without_the_mark(database: Database) -> None:
    execute(database.named("postgres"), f"CREATE DATABASE {database.name}")
    execute(database, "CREATE TABLE precious AS SELECT 42 AS x")
    with pytest.raises(RefusedError) as caught:
        databases.drop(database)
    assert caught.value.message == (
        f"{database} was not created here by this tool, so it is not dropped\n"
        f"hint: --confirm {database.name}"
    )
    assert caught.value.code == 3
    assert fetch(database, "SELECT x FROM precious") == [(42,)]


def test_drop_refuses_a_marked_database_on_a_server_not_ours(seeded: Database) -> None:
    with pytest.raises(RefusedError) as caught:
        databases.drop(replace(seeded, owned=False))
    assert caught.value.code == 3
    assert databases.count_rows(seeded) == {"activities": 1, "users": 2}


def test_a_database_made_on_a_server_not_ours_gets_no_mark(database: Database) -> None:
    databases.create(replace(database, owned=False))
    assert databases.exists(database)
    assert not databases.is_disposable(database)


def test_schema_says_which_tables_it_made(created: Database, environment: Settings) -> None:
    schema = environment.root / "sql" / "schema.sql"
    assert databases.load_schema(created, (schema,)) == "created activities, users"


def test_seed_says_how_many_rows_there_are(seeded: Database, environment: Settings) -> None:
    seed = environment.root / "sql" / "seed.sql"
    assert databases.load_seed(seeded, (seed,)) == "seeded: activities 1, users 2"


@pytest.mark.parametrize(
    ("statements", "line", "cause", "shown"),
    [
        pytest.param(
            "\nCREATE TABEL b (x integer);\n",
            3,
            'syntax error at or near "TABEL"',
            ["CREATE TABEL b (x integer);"],
            id="syntax-error",
        ),
        pytest.param(
            "CREATE TABLE b (\n  x integer,\n  y itn\n);\nCREATE TABLE c (x integer);\n",
            4,
            'type "itn" does not exist',
            ["CREATE TABLE b (", "  x integer,", "  y itn", ");"],
            id="inside-a-long-statement",
        ),
        pytest.param(
            "-- a comment; with a semicolon\n-- and another\n\nINSERT INTO nope\nVALUES (1);\n",
            5,
            'relation "nope" does not exist',
            ["INSERT INTO nope", "VALUES (1);"],
            id="missing-table-after-comments",
        ),
        pytest.param(
            "/* a comment\n   of two lines */\nINSERT INTO\n  nope VALUES (1);\n",
            5,
            'relation "nope" does not exist',
            ["/* a comment", "   of two lines */", "INSERT INTO", "  nope VALUES (1);"],
            id="second-line-after-a-block-comment",
        ),
        pytest.param(
            "INSERT INTO kept VALUES\n  (1), -- first\n  (1) -- again\n;\nSELECT 1;\n",
            2,
            'duplicate key value violates unique constraint "kept_pkey"',
            ["INSERT INTO kept VALUES", "  (1), -- first", "  (1) -- again", ";"],
            id="constraint",
        ),
        pytest.param(
            "SELECT 1; INSERT INTO\n  nope VALUES (1); SELECT 2;\n",
            3,
            'relation "nope" does not exist',
            ["INSERT INTO", "  nope VALUES (1);"],
            id="several-on-a-line",
        ),
        pytest.param(
            "\n\nINSERT INTO kept\nVALUES (NULL)",
            4,
            'null value in column "x" of relation "kept" violates not-null constraint',
            ["INSERT INTO kept", "VALUES (NULL)"],
            id="last-without-semicolon",
        ),
        pytest.param(
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$\nBEGIN\n  RETRN 1;\nEND $$;\n",
            4,
            'syntax error at or near "RETRN"',
            [
                "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$",
                "BEGIN",
                "  RETRN 1;",
                "END $$;",
            ],
            id="inside-a-function",
        ),
        pytest.param(
            "SELECT\n" + "  1,\n" * 9 + "  nope;\n",
            12,
            'column "nope" does not exist',
            ["SELECT", *["  1,"] * 7, "..."],
            id="long-statement-is-cut",
        ),
        pytest.param(
            "INSERT INTO nope VALUES ('Håkansson',\r\n  1);\r\n",
            2,
            'relation "nope" does not exist',
            ["INSERT INTO nope VALUES ('Håkansson',", "  1);"],
            id="windows-line-ends",
        ),
    ],
)
def test_sql_error_leaves_nothing_and_shows_line_cause_and_statement(
    created: Database, tmp_path: Path, statements: str, line: int, cause: str, shown: list[str]
) -> None:
    schema = write_sql(tmp_path, TABLE + statements)
    expected = "\n  | ".join([f"sql/schema.sql:{line}: {cause}", *shown])
    assert failure(lambda: databases.load_schema(created, (schema,))) == expected + HINT
    assert databases.count_rows(created) == {}
    assert not databases.is_loaded(created, "schema", (schema,))


def test_a_wrong_seed_row_leaves_no_row_of_the_seed(
    created: Database, environment: Settings, tmp_path: Path
) -> None:
    databases.load_schema(created, (environment.root / "sql" / "schema.sql",))
    seed = write_sql(
        tmp_path,
        "INSERT INTO users (display_name, handle, email) VALUES ('A', 'a', 'a@example.com');\n"
        "-- the same handle\n"
        "INSERT INTO users (display_name, handle, email) VALUES\n"
        "  ('B', 'b', 'b@example.com'), ('C', 'a', 'c@example.com');\n",
        "seed.sql",
    )
    assert failure(lambda: databases.load_seed(created, (seed,))) == (
        'sql/seed.sql:3: duplicate key value violates unique constraint "users_handle_key"\n'
        "  | INSERT INTO users (display_name, handle, email) VALUES\n"
        "  |   ('B', 'b', 'b@example.com'), ('C', 'a', 'c@example.com');\n"
        "hint: correct sql/seed.sql; nothing was changed"
    )
    assert databases.count_rows(created) == {"activities": 0, "users": 0}


@pytest.mark.parametrize("quote", ["$$", "$body$"])
def test_begin_and_end_in_a_function_body_are_fine(
    created: Database, tmp_path: Path, quote: str
) -> None:
    body = "\nBEGIN\n  IF true THEN\n    RETURN 42;\n  END IF;\nEND;\n"
    head = "CREATE FUNCTION answer() RETURNS integer LANGUAGE plpgsql AS"
    schema = write_sql(tmp_path, f"{TABLE}{head} {quote}{body}{quote};\n")
    databases.load_schema(created, (schema,))
    assert fetch(created, "SELECT answer()") == [(42,)]


def test_a_procedure_that_commits_can_be_defined(created: Database, tmp_path: Path) -> None:
    head = "CREATE PROCEDURE save() LANGUAGE plpgsql AS $$"
    schema = write_sql(tmp_path, f"{TABLE}{head}\nBEGIN\n  COMMIT;\nEND $$;\n")
    assert databases.load_schema(created, (schema,)) == "created kept"


def test_copy_from_stdin_loads_its_lines(created: Database, tmp_path: Path) -> None:
    schema = write_sql(
        tmp_path,
        "CREATE TABLE people (uuid integer, name text);\n"
        "COPY people FROM STDIN;\n1\tHåkansson\n2\tit's; fine\n\\.\n"
        "CREATE TABLE after (uuid integer);\n",
    )
    databases.load_schema(created, (schema,))
    people = [(1, "Håkansson"), (2, "it's; fine")]
    assert contents(created) == {"after": [], "people": people}


def test_the_app_schema_is_loaded_only_once(environment: Settings, created: Database) -> None:
    kinds = [run_step(environment, "db.schema-load").kind for _ in range(2)]
    assert kinds == ["finished", "skipped"]


def test_a_missing_file_is_named(created: Database, tmp_path: Path) -> None:
    path = tmp_path / "schema.sql"
    assert failure(lambda: databases.load_schema(created, (path,))) == (
        f"{path} cannot be read: No such file or directory"
        "\nhint: correct its path in app.toml, or its permissions"
    )


def test_seeding_twice_changes_nothing(seeded: Database, environment: Settings) -> None:
    execute(seeded, "UPDATE users SET display_name = 'Someone' WHERE handle = 'korney'")
    before = contents(seeded)
    databases.load_seed(seeded, (environment.root / "sql" / "seed.sql",))
    assert contents(seeded) == before


def test_the_seed_is_skipped_while_it_is_there(environment: Settings, seeded: Database) -> None:
    assert run_step(environment, "db.seed").kind == "skipped"


def test_a_schema_without_tables_is_an_error_and_leaves_nothing(
    created: Database, tmp_path: Path
) -> None:
    schema = write_sql(tmp_path, "CREATE TYPE mood AS ENUM ('good');\n")
    assert failure(lambda: databases.load_schema(created, (schema,))) == (
        "sql/schema.sql created no table\nhint: write CREATE TABLE statements in it"
    )
    assert not databases.is_loaded(created, "schema", (schema,))
    write_sql(tmp_path, "CREATE TYPE mood AS ENUM ('good');\n" + TABLE)
    assert databases.load_schema(created, (schema,)) == "created kept"


@pytest.mark.parametrize("text", ["", "SELECT 1;\n"])
def test_a_seed_without_rows_is_loaded_once(created: Database, tmp_path: Path, text: str) -> None:
    databases.load_schema(created, (write_sql(tmp_path, TABLE),))
    seed = write_sql(tmp_path, text, "seed.sql")
    assert databases.load_seed(created, (seed,)) == "sql/seed.sql left the tables empty"
    assert databases.is_loaded(created, "seed", (seed,))


def test_no_files_mean_that_nothing_is_to_be_loaded(created: Database) -> None:
    assert databases.is_loaded(created, "schema", ())
    assert databases.load_schema(created, ()) == "there is no schema file"
    assert databases.load_seed(created, ()) == "there is no seed file"
    assert databases.loaded(created) == {}


def test_the_seed_is_loaded_again_when_its_rows_are_gone(
    environment: Settings, seeded: Database
) -> None:
    execute(seeded, "TRUNCATE users, activities")
    assert run_step(environment, "db.seed").kind == "finished"
    assert databases.count_rows(seeded) == {"activities": 1, "users": 2}


def test_a_changed_seed_is_loaded_only_when_told(seeded: Database, tmp_path: Path) -> None:
    insert = "INSERT INTO users (display_name, handle, email) VALUES ('N', 'new', 'n@example.com')"
    seed = write_sql(tmp_path, f"{insert};\n", "seed.sql")
    before = contents(seeded), databases.loaded(seeded)
    assert not databases.is_loaded(seeded, "seed", (seed,))
    assert failure(lambda: databases.load_seed(seeded, (seed,))) == (
        f"sql/seed.sql changed since the seed was loaded into {seeded};"
        " to load it again could duplicate rows"
        "\nhint: ./invoke db.reset (rebuilds the database with it; undo reverts it)"
    )
    assert (contents(seeded), databases.loaded(seeded)) == before
    assert databases.load_seed(seeded, (seed,), again=True) == "seeded: activities 1, users 3"
    assert databases.is_loaded(seeded, "seed", (seed,))


def test_a_changed_seed_is_loaded_into_empty_tables(seeded: Database, tmp_path: Path) -> None:
    execute(seeded, "TRUNCATE users, activities")
    seed = write_sql(tmp_path, "SELECT 1;\n", "seed.sql")
    assert databases.load_seed(seeded, (seed,)) == "sql/seed.sql left the tables empty"


def test_a_changed_schema_is_not_applied_to_empty_tables(created: Database, tmp_path: Path) -> None:
    text = f"CREATE SCHEMA billing;\nCREATE TABLE billing.invoices (customer text);\n{TABLE}"
    schema = write_sql(tmp_path, text)
    databases.load_schema(created, (schema,))
    execute(created, "INSERT INTO billing.invoices VALUES ('Ada')")
    write_sql(tmp_path, f"DROP TABLE IF EXISTS kept;\n{TABLE}")
    assert failure(lambda: databases.load_schema(created, (schema,))) == (
        f"sql/schema.sql changed since the schema was loaded into {created},"
        " which contains: kept 0, billing.invoices 1"
        "\nhint: ./invoke db.reset (rebuilds the database; undo reverts it)"
    )
    assert databases.count_rows(created) == {"kept": 0, "billing.invoices": 1}


def test_the_note_of_an_older_version_is_read(created: Database, tmp_path: Path) -> None:
    schema = write_sql(tmp_path, TABLE)
    databases.load_schema(created, (schema,))
    digest = hashlib.sha256(schema.read_bytes()).hexdigest()
    execute(created, "DROP SCHEMA invoke_state")
    execute(created, f'COMMENT ON SCHEMA public IS \'{{"schema": "{digest}"}}\'')
    assert databases.is_loaded(created, "schema", (schema,))
    write_sql(tmp_path, TABLE + "SELECT 1;\n")
    text = failure(lambda: databases.load_schema(created, (schema,)))
    assert text.startswith("sql/schema.sql changed since the schema was loaded into")


@pytest.mark.parametrize(
    "statement",
    [
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public;",
        "COMMENT ON SCHEMA public IS 'standard public schema';",
        "SELECT pg_catalog.set_config('search_path', '', false);",
        "CREATE ROLE {} NOLOGIN; SET ROLE {};",
        "ALTER DATABASE {} RESET ALL;",
        "COMMENT ON DATABASE {} IS 'The app';",
    ],
)
def test_what_a_schema_file_does_hides_neither_the_note_nor_the_tag(
    created: Database, tmp_path: Path, statement: str
) -> None:
    text = statement.replace("{}", created.name)
    table = "" if "DROP" in statement else "CREATE TABLE public.kept (x integer);\n"
    schema = write_sql(tmp_path, f"CREATE SCHEMA own;\nCREATE TABLE own.kept ();\n{table}{text}\n")
    databases.load_schema(created, (schema,))
    assert databases.is_loaded(created, "schema", (schema,))
    assert databases.is_disposable(created)


def test_the_tag_of_an_older_version_counts(created: Database) -> None:
    ((server,),) = fetch(created, "SELECT system_identifier FROM pg_control_system()")
    execute(created, f"ALTER DATABASE {created.name} RESET invoke.server")
    assert not databases.is_disposable(created)
    mark = f"disposable: made by ./invoke for development on server {server}"
    execute(created, f"COMMENT ON DATABASE {created.name} IS '{mark}'")
    assert databases.is_disposable(created)


def test_a_database_is_ours_although_we_were_killed_while_we_created_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ownership, "write", die)
    with pytest.raises(KeyboardInterrupt):
        databases.create(database)
    assert fetch(database, "SELECT current_setting('invoke.server', true)") == [(None,)]
    assert databases.is_disposable(database)
    assert databases.drop(database)


def test_a_changed_schema_on_data_is_refused_and_changes_nothing(
    seeded: Database, tmp_path: Path
) -> None:
    before = contents(seeded), databases.loaded(seeded)
    schema = write_sql(tmp_path, TABLE)
    assert failure(lambda: databases.load_schema(seeded, (schema,))) == (
        f"sql/schema.sql changed since the schema was loaded into {seeded},"
        " which contains: activities 1, users 2"
        "\nhint: ./invoke db.reset (rebuilds the database; undo reverts it)"
    )
    assert (contents(seeded), databases.loaded(seeded)) == before


def test_a_schema_on_tables_that_others_made_is_refused(created: Database, tmp_path: Path) -> None:
    execute(created, "CREATE TABLE theirs AS SELECT 42 AS uuid")
    schema = write_sql(tmp_path, TABLE)
    assert failure(lambda: databases.load_schema(created, (schema,))) == (
        f"sql/schema.sql did not create {created}, which contains: theirs 1"
        "\nhint: ./invoke db.reset (rebuilds the database; undo reverts it)"
    )
    assert contents(created) == {"theirs": [(42,)]}


def test_sessions_are_listed(created: Database) -> None:
    with client(created) as connection:
        sessions = databases.list_sessions(created)
        pid = connection.info.backend_pid
    assert [(s.pid, s.user, s.application) for s in sessions] == [(pid, created.user, "the app")]


def test_sessions_of_other_databases_are_not_listed(created: Database) -> None:
    with client(created.named("postgres")):
        assert databases.list_sessions(created) == []


def test_killed_sessions_are_counted_and_cut_off(created: Database) -> None:
    with client(created) as one, client(created) as other:
        assert databases.kill_sessions(created) == 2
        assert databases.list_sessions(created) == []
        assert is_cut_off(one)
        assert is_cut_off(other)


def test_no_database_is_said_with_the_command_that_makes_it(database: Database) -> None:
    assert failure(lambda: databases.count_rows(database), NotFoundError) == (
        f"there is no database {database}\nhint: ./invoke db.setup"
    )


def test_wrong_password_is_said_with_the_settings_to_look_at(created: Database) -> None:
    stranger = replace(created, password="not-the-right-one")
    assert failure(lambda: databases.count_rows(stranger), LoginRefusedError) == (
        f"{created} does not accept the password of {created.user}\nhint: ./invoke up"
    )


def test_the_password_is_in_no_message(created: Database, tmp_path: Path) -> None:
    schema = write_sql(tmp_path, TABLE + "nonsense;\n")
    guess = replace(created, password="not-the-right-one")
    texts = [
        failure(lambda: databases.load_schema(created, (schema,))),
        failure(lambda: databases.count_rows(guess), LoginRefusedError),
        failure(lambda: databases.count_rows(created.at(1))),
        failure(lambda: databases.count_rows(created.named("nothing")), NotFoundError),
        f"{created} {created!r} {guess!r}",
    ]
    assert not any(created.password in text or guess.password in text for text in texts)


@pytest.mark.parametrize(
    "statement", ["COMMIT;", "commit and chain;", "END;", "PREPARE TRANSACTION 'x';"]
)
@pytest.mark.parametrize("before", ["", "/* a comment */ ", "SELECT '$$'; "])
def test_a_file_that_ends_its_transaction_is_refused(
    created: Database, tmp_path: Path, before: str, statement: str
) -> None:
    schema = write_sql(tmp_path, f"{TABLE}\n{before}{statement}\nSELECT '$$'; SELECT nope;\n")
    text = failure(lambda: databases.load_schema(created, (schema,)))
    said = "sql/schema.sql:3: to end the transaction is not allowed, each file is one transaction"
    assert text.splitlines()[0] == said
    assert text.endswith(HINT)
    assert databases.count_rows(created) == {}


@pytest.mark.parametrize("statement", ["ROLLBACK;", "ABORT;", "\\connect"])
def test_nothing_is_written_after_a_file_gave_up_its_transaction(
    created: Database, tmp_path: Path, statement: str
) -> None:
    schema = write_sql(tmp_path, f"{TABLE}{statement}\n\nCREATE TABLE later (x integer);\n")
    assert failure(lambda: databases.load_schema(created, (schema,))) == (
        "sql/schema.sql:4: an earlier statement ended the transaction; each file is one transaction"
        + HINT
    )
    assert databases.count_rows(created) == {}


def test_a_file_that_only_rolls_back_is_an_error(created: Database, tmp_path: Path) -> None:
    schema = write_sql(tmp_path, TABLE + "ROLLBACK;\n")
    assert failure(lambda: databases.load_schema(created, (schema,))) == (
        "sql/schema.sql: an earlier statement ended the transaction; each file is one transaction"
        + HINT
    )


@pytest.mark.parametrize(
    "statements",
    [
        "CREATE FUNCTION f() RETURNS integer LANGUAGE sql\nBEGIN ATOMIC\n  SELECT 1;\nEND;\n",
        "SAVEPOINT here;\nDROP TABLE kept;\nROLLBACK TO SAVEPOINT here;\n",
        "SELECT 'first\nCOMMIT;\n';\n",
        "/*\nCOMMIT;\n*/\n",
        "COPY notes FROM STDIN;\nCOMMIT;\n\\.\n",
    ],
    ids=["sql-function", "savepoint", "string", "comment", "copy-data"],
)
def test_what_only_looks_like_an_end_of_the_transaction_is_fine(
    created: Database, tmp_path: Path, statements: str
) -> None:
    schema = write_sql(tmp_path, TABLE + "CREATE TABLE notes (x text);\n" + statements)
    assert databases.load_schema(created, (schema,)) == "created kept, notes"


@pytest.mark.parametrize(
    ("statements", "line", "cause", "shown"),
    [
        pytest.param(
            "INSERT INTO kept VALUES\n  (1),\n\n\n  (1);\n",
            2,
            'duplicate key value violates unique constraint "kept_pkey"',
            ["INSERT INTO kept VALUES", "  (1),", "  (1);"],
            id="constraint-with-blank-lines",
        ),
        pytest.param(
            "CREATE TABLE b (\n\n  y itn,\n\n  z integer\n\n);\n",
            4,
            'type "itn" does not exist',
            ["CREATE TABLE b (", "  y itn,", "  z integer", ");"],
            id="blank-lines-around-the-error",
        ),
        pytest.param(
            "COPY kept FROM STDIN;\n1\n2\nthree\n4\n\\.\nSELECT 1;\n",
            5,
            'invalid input syntax for type integer: "three"',
            ["COPY kept FROM STDIN;"],
            id="copy-data",
        ),
        pytest.param(
            "DO $$\nBEGIN\n  INSERT INTO\n    nope VALUES (1);\nEND $$;\n",
            2,
            'relation "nope" does not exist',
            ["DO $$", "BEGIN", "  INSERT INTO", "    nope VALUES (1);", "END $$;"],
            id="query-of-a-function",
        ),
        pytest.param(
            "\\set table nope\nINSERT INTO :table\n  VALUES (1);\n",
            3,
            'relation "nope" does not exist',
            ["INSERT INTO nope", "  VALUES (1);"],
            id="psql-variable",
        ),
        pytest.param(
            "/* a comment\n   of two lines */\n-- another\n\nINSERT INTO kept\nVALUES (NULL);\n",
            6,
            'null value in column "x" of relation "kept" violates not-null constraint',
            [
                "/* a comment",
                "   of two lines */",
                "-- another",
                "INSERT INTO kept",
                "VALUES (NULL);",
            ],
            id="constraint-after-comments",
        ),
        pytest.param(
            "SELECT 1; /* a /* nested */\n comment */ INSERT INTO kept VALUES (NULL);\n",
            3,
            'null value in column "x" of relation "kept" violates not-null constraint',
            ["/* a /* nested */", " comment */ INSERT INTO kept VALUES (NULL);"],
            id="constraint-after-a-comment-on-its-line",
        ),
        pytest.param("\n\\nonsense\n", 3, "invalid command \\nonsense", [], id="psql-command"),
    ],
)
def test_sql_error_shows_the_line(
    created: Database, tmp_path: Path, statements: str, line: int, cause: str, shown: list[str]
) -> None:
    schema = write_sql(tmp_path, TABLE + statements)
    expected = "\n  | ".join([f"sql/schema.sql:{line}: {cause}", *shown])
    assert failure(lambda: databases.load_schema(created, (schema,))) == expected + HINT
    assert databases.count_rows(created) == {}


def test_no_server_is_said_with_the_command_that_starts_it(
    database: Database, closed_port: int
) -> None:
    nowhere = database.at(closed_port)
    assert failure(lambda: databases.count_rows(nowhere)) == (
        f"no answer from {nowhere}: Connection refused\nhint: ./invoke up"
    )
