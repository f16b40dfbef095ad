"""Files that an SQL file includes or copies from: loaded, part of the digest, named in errors."""

import subprocess
from pathlib import Path

import pytest

from scripts import clients, shell
from scripts.errors import DevError
from scripts.postgres import copies, databases, sources
from scripts.targets import Database

TABLE = "CREATE TABLE kept (x integer PRIMARY KEY);\n"


@pytest.fixture
def created(database: Database) -> Database:
    databases.create(database)
    return database


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write the files of an app; the path of the first one."""
    (folder / "app.toml").touch()
    for name, text in files.items():
        path = folder / "db app" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "db app" / next(iter(files))


def failure(database: Database, path: Path) -> str:
    with pytest.raises(DevError) as error:
        databases.load_schema(database, (path,))
    assert databases.count_rows(database) == {}
    return str(error.value.message)


@pytest.mark.parametrize(
    "files",
    [
        {"a.sql": f"{TABLE}\\i b.sql\n", "b.sql": "INSERT INTO kept VALUES (1), (2);"},
        {"a.sql": f"{TABLE}\\ir 'b.sql'\n", "b.sql": "INSERT INTO kept VALUES (1), (2);"},
        {"a.sql": "\\include tables/b.sql\n", "tables/b.sql": "\\i it''s.sql;\n"}
        | {"tables/it''s.sql": f"{TABLE}INSERT INTO kept VALUES (1), (2)"},
        {"a.sql": "\\i 'tables/my b.sql'\r\n", "tables/my b.sql": "\\include_relative ../c.sql\n"}
        | {"c.sql": f"{TABLE}\\copy kept from 'tables/x.csv' csv\n", "tables/x.csv": "1\n2\n"},
        {"a.sql": "\\ir one/b.sql\n", "one/x.csv": "x\n1\n2\n"}
        | {"one/b.sql": f"{TABLE}\\copy kept (x) FROM x.csv with (format csv, header)\n"},
        {"a.sql": f"{TABLE}SELECT 'a\n\\i no.sql' \\g \\i b.sql\n-- \\i no.sql\n/* \\i no.sql\n*/"}
        | {"b.sql": "INSERT INTO kept VALUES (1), (2);"},
        {"a.sql": f"{TABLE}CREATE TABLE t (x text);\nCOPY t FROM stdin;\nit's\n\\.\n\\i b.sql\n"}
        | {"b.sql": "DROP TABLE t; INSERT INTO kept VALUES (1), (2);"},
        {"a.sql": f"{TABLE}\\if false\n\\i missing.sql\n\\endif\n\\ir b.sql\n"}
        | {"b.sql": "INSERT INTO kept VALUES (1), (2);"},
    ],
)
def test_included_files_are_found_beside_the_file_that_names_them(
    created: Database,
    tmp_path: Path,
    files: dict[str, str],
) -> None:
    path = write(tmp_path, {name.replace("''", "'"): text for name, text in files.items()})
    if "tables/it''s.sql" in files:
        write(tmp_path, {"tables/b.sql": "\\i 'it''s.sql';\n"})
    databases.load_schema(created, (path,))
    assert databases.count_rows(created) == {"kept": 2}


@pytest.mark.parametrize("changed", ["a.sql", "one/b.sql", "one/two/c.sql", "one/two/x.csv"])
def test_a_change_of_any_file_that_is_read_is_noticed(
    created: Database, tmp_path: Path, changed: str
) -> None:
    files = {
        "a.sql": "\\ir one/b.sql\n",
        "one/b.sql": "\\i two/c.sql\n",
        "one/two/c.sql": f"{TABLE}\\copy kept from x.csv\n",
        "one/two/x.csv": "1\n",
    }
    path = write(tmp_path, files)
    databases.load_schema(created, (path,))
    template = copies._template(created, [(path,), ()])
    assert databases.is_loaded(created, "schema", (path,))
    write(tmp_path, {changed: files[changed] + "\n"})
    assert not databases.is_loaded(created, "schema", (path,))
    assert copies._template(created, [(path,), ()]) != template
    with pytest.raises(DevError) as error:
        databases.load_schema(created, (path,))
    assert error.value.reason.startswith(f"db app/{changed} changed since the schema was loaded")


def test_an_error_names_the_included_file(created: Database, tmp_path: Path) -> None:
    files = {"a.sql": f"{TABLE}\\i one/b.sql\n", "one/b.sql": "\\ir c.sql\n"}
    path = write(tmp_path, files | {"one/c.sql": "SELECT 1;\n\nSELECT\n  nope;\n"})
    assert failure(created, path) == (
        'db app/one/c.sql:4: column "nope" does not exist\n  | SELECT\n  |   nope;'
        "\nhint: correct db app/one/c.sql; nothing was changed"
    )


def test_an_error_after_an_included_file_names_the_file(created: Database, tmp_path: Path) -> None:
    path = write(tmp_path, {"a.sql": f"{TABLE}\\i b.sql\nSELECT nope;\n", "b.sql": "SELECT 1;\n"})
    assert failure(created, path) == (
        'db app/a.sql:3: column "nope" does not exist\n  | SELECT nope;'
        "\nhint: correct db app/a.sql; nothing was changed"
    )


def test_a_bad_row_names_the_file_that_is_copied(created: Database, tmp_path: Path) -> None:
    files = {"a.sql": f"{TABLE}\\ir one/b.sql\n", "one/x.csv": "1\n2\nthree\n"}
    path = write(tmp_path, files | {"one/b.sql": "\n\\copy kept from x.csv csv\n"})
    assert failure(created, path) == (
        'db app/one/x.csv:3: invalid input syntax for type integer: "three"'
        "\n  | \\copy kept from x.csv csv"
        "\nhint: correct db app/one/x.csv; nothing was changed"
    )


def test_a_missing_included_file_is_an_error_where_it_is_included(
    created: Database, tmp_path: Path
) -> None:
    path = write(tmp_path, {"a.sql": f"{TABLE}\\ir nope.sql\n"})
    assert failure(created, path) == (
        f"db app/a.sql:2: {path.parent}/nope.sql: No such file or directory"
        "\nhint: correct db app/a.sql; nothing was changed"
    )


def test_a_file_that_includes_itself_is_refused(created: Database, tmp_path: Path) -> None:
    path = write(tmp_path, {"a.sql": "\\i b.sql\n", "b.sql": "\\i a.sql\n"})
    assert failure(created, path) == (
        f"{path} includes itself\nhint: remove one of the \\i commands"
    )


def test_a_path_in_a_variable_is_refused(created: Database, tmp_path: Path) -> None:
    path = write(tmp_path, {"a.sql": "\\set file b.sql\n\\i :file\n"})
    assert failure(created, path) == (
        "db app/a.sql:2: the path :file is not constant,"
        " so changes of the file could not be noticed\nhint: write the path itself"
    )


def test_several_files_are_loaded_in_their_order_in_one_transaction(
    created: Database, tmp_path: Path
) -> None:
    write(tmp_path, {"a.sql": TABLE, "b.sql": "INSERT INTO kept VALUES (1);\n"})
    paths = [tmp_path / "db app" / name for name in ("a.sql", "b.sql")]
    bad = write(tmp_path, {"c.sql": "SELECT nope;\n"})
    with pytest.raises(DevError, match=r'^db app/c.sql:1: column "nope" does not exist'):
        databases.load_schema(created, [*paths, bad])
    assert databases.count_rows(created) == {}
    assert databases.load_schema(created, paths) == "created kept"
    assert databases.count_rows(created) == {"kept": 1}
    assert databases.is_loaded(created, "schema", paths)
    assert not databases.is_loaded(created, "schema", paths[::-1])
    assert not databases.is_loaded(created, "schema", paths[:1])


def test_a_seed_of_several_files_says_which_one_changed(created: Database, tmp_path: Path) -> None:
    schema = write(tmp_path, {"a.sql": TABLE})
    write(tmp_path, {"b.sql": "INSERT INTO kept VALUES (1);\n", "c.sql": "SELECT 1;\n"})
    paths = [schema.with_name("b.sql"), schema.with_name("c.sql")]
    databases.load_schema(created, (schema,))
    databases.load_seed(created, paths)
    write(tmp_path, {"c.sql": "INSERT INTO kept VALUES (2);\n"})
    with pytest.raises(DevError) as error:
        databases.load_seed(created, paths)
    assert error.value.reason.startswith("db app/c.sql changed since the seed was loaded into")


def test_templates_tell_schema_from_seed(created: Database, tmp_path: Path) -> None:
    a, b = write(tmp_path, {"a.sql": TABLE}), write(tmp_path, {"b.sql": "SELECT 1;\n"})
    names = {
        copies._template(created, files).name
        for files in ([(a, b), ()], [(a,), (b,)], [(), (a, b)], [(b,), (a,)])
    }
    assert len(names) == 4


def test_a_file_moves_without_being_another_one(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.sql": "\\ir one/b.sql\n", "one/b.sql": TABLE})
    before = sources.digest((path,))
    assert list(before) == ["db app/a.sql", "db app/one/b.sql"]
    path.parent.rename(tmp_path / "sql")
    assert list(sources.digest((tmp_path / "sql" / "a.sql",)).values()) == list(before.values())


def test_the_line_is_found_in_a_long_statement_with_variables(
    created: Database, tmp_path: Path
) -> None:
    rows = "".join(f"  (:start + {n}),\n" for n in range(20_000))
    text = f"{TABLE}\\set start 1\nINSERT INTO kept VALUES\n{rows}  (1);\n"
    path = write(tmp_path, {"a.sql": text})
    assert failure(created, path).startswith(
        'db app/a.sql:3: duplicate key value violates unique constraint "kept_pkey"\n'
    )
    write(tmp_path, {"a.sql": text.replace("(1);", "(nope);")})
    assert failure(created, path).startswith('db app/a.sql:20004: column "nope" does not exist\n')


def test_an_excerpt_keeps_its_tabs(created: Database, tmp_path: Path) -> None:
    path = write(tmp_path, {"a.sql": "SELECT\n\tnope;\n"})
    assert failure(created, path) == (
        'db app/a.sql:2: column "nope" does not exist\n  | SELECT\n  | \tnope;'
        "\nhint: correct db app/a.sql; nothing was changed"
    )


def test_a_missing_extension_is_not_blamed_on_the_file(created: Database, tmp_path: Path) -> None:
    path = write(tmp_path, {"a.sql": "CREATE EXTENSION nonesuch;\n"})
    assert failure(created, path) == (
        'db app/a.sql:1: extension "nonesuch" is not available\n  | CREATE EXTENSION nonesuch;'
        "\nhint: the file may be correct, but this PostgreSQL does not have the extension; use one"
        " that has it: ./invoke setup --stack docker, or set"
        " POSTGRES_HOME=<folder of a PostgreSQL installation that has it>"
    )


def test_a_role_that_exists_already_is_told_how_to_write_it(
    created: Database, tmp_path: Path
) -> None:
    role = f"{created.name}_app"
    create = f"CREATE USER {role}\n  LOGIN PASSWORD 'geheim';"
    path = write(tmp_path, {"a.sql": f"{create}\n{TABLE}"})
    databases.load_schema(created, (path,))
    other = created.named(f"{created.name}_other")
    databases.create(other)
    written = (
        f"DO $$ BEGIN CREATE USER {role} LOGIN PASSWORD '<its password>';"
        " EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
    )
    assert failure(other, path) == (
        f'db app/a.sql:1: role "{role}" already exists\n  | CREATE USER {role}'
        "\n  |   LOGIN PASSWORD '<its password>';"
        "\nhint: a role belongs to the server, so it exists already when the file is loaded into"
        f" another database; write: {written}"
    )
    path = write(tmp_path, {"a.sql": f"{written}\n{TABLE}"})
    assert databases.load_schema(other, (path,)) == "created kept"


def test_roles_that_only_rds_has_are_there_on_our_own_server(
    created: Database, tmp_path: Path
) -> None:
    role = f"{created.name}_app"
    path = write(tmp_path, {"a.sql": f"CREATE USER {role};\nGRANT rds_iam TO {role};\n{TABLE}"})
    databases.load_schema(created, (path,))
    with clients.cursor(created) as cursor:
        cursor.execute("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'rds_iam'")
        assert cursor.fetchall() == [(False,)]


@pytest.mark.parametrize(
    ("form", "make"),
    [
        ("a dump in the custom format of pg_dump", "{bin}/pg_dump -Fc -f {file}"),
        ("a dump in the tar format of pg_dump", "{bin}/pg_dump -Ft -f {file}"),
        ("a dump in the directory format of pg_dump", "{bin}/pg_dump -Fd -f {file}"),
        ("compressed with gzip", "{bin}/pg_dump | gzip > {file}"),
        ("in UTF-16", "{bin}/pg_dump | iconv -t UTF-16 > {file}"),
    ],
)
def test_a_dump_that_is_no_sql_is_named_with_the_command_that_makes_sql_of_it(
    created: Database, tmp_path: Path, form: str, make: str
) -> None:
    with clients.cursor(created) as cursor:
        cursor.execute(f"{TABLE} INSERT INTO kept VALUES (1)")
    (tmp_path / "app.toml").touch()
    path = tmp_path / "my dump.sql.gz"
    command = make.format(bin=shell.postgres_home() / "bin", file=f"'{path}'")
    subprocess.run(command, shell=True, check=True, env=clients.psql_environment(created))
    with pytest.raises(DevError) as error:
        sources.digest([path])
    assert error.value.reason == f"my dump.sql.gz is {form}, not an SQL file"
    command, _, rest = error.value.hint.rpartition(" (")
    assert rest == "then name my dump.plain.sql in app.toml instead)"
    subprocess.run(command, shell=True, check=True)
    copies.drop(created)
    databases.create(created)
    databases.load_schema(created, (tmp_path / "my dump.plain.sql",))
    assert databases.count_rows(created) == {"kept": 1}
