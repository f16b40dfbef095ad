"""What a schema file does to the app's database by name, wherever the file is loaded."""

from collections.abc import Iterator
from typing import Any

import pytest

from scripts import clients, stacks
from scripts.environment import reset, setup
from scripts.errors import DevError
from scripts.postgres import copies, databases, schema_diff
from scripts.settings import Settings
from scripts.targets import Database
from tests.contents import run

TABLE = "CREATE TABLE kept (x integer);\n"
STATEMENTS = """
DO $$ BEGIN CREATE ROLE "an %I app" NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
ALTER DATABASE {0} SET search_path TO billing, "A b", '', public;
ALTER DATABASE {0} SET "app.greeting" = 'it''s 100%s, "so" to say';
ALTER DATABASE {0} SET statement_timeout = '5min';
ALTER ROLE "an %I app" IN DATABASE {0} SET work_mem = '8MB';
COMMENT ON DATABASE {0} IS 'The app''s 100%I data';
GRANT CREATE ON DATABASE {0} TO "an %I app" WITH GRANT OPTION;
REVOKE TEMPORARY ON DATABASE {0} FROM PUBLIC;
ALTER DATABASE {0} CONNECTION LIMIT 77;
"""
CURRENT = """
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET "app.other" = 1', current_database());
    EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', current_database());
END $$;
"""


def read_properties(database: Database) -> dict[str, Any]:
    """The properties of a database, without its tag."""
    with clients.cursor(database.named("postgres")) as cursor:
        cursor.execute(
            "SELECT coalesce(datacl, acldefault('d', datdba))::text[], datconnlimit,"
            " pg_get_userbyid(datdba), shobj_description(oid, 'pg_database'),"
            " ARRAY (SELECT setrole::regrole::text || unnest(setconfig) FROM pg_db_role_setting"
            " WHERE setdatabase = pg_database.oid) FROM pg_database WHERE datname = %s",
            (database.name,),
        )
        privileges, limit, owner, comment, settings = cursor.fetchone()
    return {
        "privileges": sorted(privileges),
        "limit": limit,
        "owner": owner,
        "comment": comment,
        "settings": sorted(one for one in settings if "invoke.server" not in one),
    }


def write_schema(settings: Settings, text: str) -> None:
    """Write the schema file of the app, and an empty seed."""
    name = settings.postgres_db
    (settings.root / "sql" / "schema.sql").write_text(TABLE + text.replace("{0}", name))
    (settings.root / "sql" / "seed.sql").write_text("")


@pytest.fixture
def app(environment: Settings) -> Iterator[Settings]:
    """The environment, whose SQL files a test may overwrite."""
    files = [environment.root / "sql" / name for name in ("schema.sql", "seed.sql")]
    texts = [file.read_text() for file in files]
    yield environment
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)


def set_up(settings: Settings) -> Database:
    run(setup.db_setup(settings))
    return stacks.get_database(settings)


@pytest.mark.parametrize("statements", [STATEMENTS, CURRENT, CURRENT + STATEMENTS])
def test_a_reset_gives_the_properties_that_a_setup_gives(app: Settings, statements: str) -> None:
    write_schema(app, statements)
    expected = read_properties(set_up(app))
    run(reset.db_reset(app))
    database = stacks.get_database(app)
    assert read_properties(database) == expected
    assert databases.is_disposable(database)
    assert read_properties(copies.beside(database, copies.PREV)) == expected


def test_a_reset_changes_nothing_of_the_database_before(app: Settings) -> None:
    write_schema(app, STATEMENTS)
    before = read_properties(set_up(app))
    write_schema(app, "ALTER DATABASE {0} RESET ALL;\nALTER DATABASE {0} SET work_mem = '9MB';\n")
    run(reset.db_reset(app))
    database = stacks.get_database(app)
    previous = copies.beside(database, copies.PREV)
    assert read_properties(database)["settings"] == ["-work_mem=9MB"]
    assert read_properties(database)["comment"] is None
    assert read_properties(previous) == before
    assert databases.is_disposable(database)
    assert databases.is_disposable(previous)
    run(reset.undo(app))
    assert read_properties(database) == before


def test_what_a_broken_file_did_to_the_live_database_is_undone(app: Settings) -> None:
    write_schema(app, "")
    database = set_up(app)
    before = read_properties(database)
    write_schema(app, STATEMENTS + "SELECT nope;\n")
    with pytest.raises(DevError):
        run(reset.db_reset(app))
    assert read_properties(database) == before


def test_a_reset_without_a_database_gives_the_same_properties(app: Settings) -> None:
    write_schema(app, STATEMENTS)
    database = set_up(app)
    expected = read_properties(database)
    run(reset.db_drop(app))
    assert not databases.exists(database)
    run(reset.db_reset(app))
    assert read_properties(database) == expected


def test_templates_and_snapshots_have_the_properties(
    app: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "TEMPLATE_FROM", 0)
    write_schema(app, STATEMENTS)
    database = set_up(app)
    expected = read_properties(database)
    run(reset.db_reset(app))
    assert run(reset.db_reset(app))["db.schema-load"].kind == "skipped"
    assert read_properties(database) == expected
    run(reset.snapshot_save(app, "one"))
    with clients.cursor(database) as cursor:
        cursor.execute(databases.compose("ALTER DATABASE {} RESET ALL", database.name))
        cursor.execute(databases.compose("ALTER DATABASE {} SET invoke.server = 1", database.name))
    run(reset.snapshot_restore(app, "one", confirmed=database.name))
    assert read_properties(database) == expected
    assert databases.is_disposable(database)


def test_a_comparison_changes_nothing_of_the_database(app: Settings) -> None:
    write_schema(app, STATEMENTS)
    database = set_up(app)
    with clients.cursor(database) as cursor:
        cursor.execute(databases.compose("COMMENT ON DATABASE {} IS 'other'", database.name))
    before = read_properties(database)
    assert schema_diff.list_changes(database, (app.root / "sql" / "schema.sql",)) == []
    assert read_properties(database) == before


def test_tables_of_other_schemas_are_compared_too(app: Settings) -> None:
    write_schema(app, "CREATE SCHEMA billing;\nCREATE TABLE billing.invoices (customer text);\n")
    database = set_up(app)
    with clients.cursor(database) as cursor:
        cursor.execute("ALTER TABLE billing.invoices ADD COLUMN paid boolean")
    changes = schema_diff.list_changes(database, (app.root / "sql" / "schema.sql",))
    assert "+    paid boolean" in changes
