"""CSV files beside the SQL seed: <table>.csv is loaded in its transaction."""

from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import clients
from scripts.errors import DevError
from scripts.postgres import databases, sources
from scripts.targets import Database

SCHEMA = """
CREATE TABLE books (id int PRIMARY KEY, title text NOT NULL, added timestamptz DEFAULT now());
CREATE SCHEMA shop;
CREATE TABLE shop.carts (id int PRIMARY KEY);
"""
FILES = {
    "seed.sql": "INSERT INTO books VALUES (1, 'The Salt Road');",
    "books.csv": 'title,id\n"A ""quoted"" title",2\nnever written,1\n',
    "shop.carts.csv": "id\n7\n",
}


@pytest.fixture
def loaded(database: Database, tmp_path: Path) -> Database:
    (tmp_path / "schema.sql").write_text(SCHEMA)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    databases.create(database)
    databases.load_schema(database, (tmp_path / "schema.sql",))
    return database


def titles(database: Database) -> list[str]:
    with clients.cursor(database) as cursor:
        cursor.execute("SELECT title FROM books ORDER BY id")
        return [title for (title,) in cursor.fetchall()]


def seed_files(folder: Path) -> tuple[Path, ...]:
    return sources.with_csv_files((folder / "seed.sql",))


def test_they_follow_the_sql_file_by_name(tmp_path: Path, loaded: Database) -> None:
    assert [path.name for path in seed_files(tmp_path)] == [
        "seed.sql",
        "books.csv",
        "shop.carts.csv",
    ]


def test_new_rows_are_loaded_and_existing_ones_kept(tmp_path: Path, loaded: Database) -> None:
    done = databases.load_seed(loaded, seed_files(tmp_path))
    assert done == "seeded: books 2, shop.carts 1"
    assert titles(loaded) == ["The Salt Road", 'A "quoted" title']
    assert databases.is_loaded(loaded, "seed", seed_files(tmp_path))


def test_a_changed_file_is_noticed(tmp_path: Path, loaded: Database) -> None:
    databases.load_seed(loaded, seed_files(tmp_path))
    (tmp_path / "books.csv").write_text("id,title\n3,third\n")
    assert not databases.is_loaded(loaded, "seed", seed_files(tmp_path))


def test_a_bad_row_is_named_and_nothing_is_loaded(tmp_path: Path, loaded: Database) -> None:
    (tmp_path / "books.csv").write_text("id,title\n3,third\nfour,fourth\n")
    with pytest.raises(DevError) as caught:
        databases.load_seed(loaded, seed_files(tmp_path))
    assert caught.value.message == (
        f'{tmp_path}/books.csv:3: id: invalid input syntax for type integer: "four"'
        "\nhint: correct the row; nothing was loaded"
    )
    assert titles(loaded) == []


def test_a_file_of_no_table_is_named(tmp_path: Path, loaded: Database) -> None:
    (tmp_path / "nope.csv").write_text("id\n1\n")
    with pytest.raises(DevError) as caught:
        databases.load_seed(loaded, seed_files(tmp_path))
    assert caught.value.message == (
        f"{tmp_path}/nope.csv: there is no table nope\nhint: tables: books, shop.carts"
    )


def outcome(database: Database, load: Callable[[], object]) -> list[object]:
    """The rows that a load leaves, or its message."""
    with clients.cursor(database) as cursor:
        cursor.execute("TRUNCATE books")
    try:
        load()
    except DevError as error:
        return [error.message]
    with clients.cursor(database) as cursor:
        cursor.execute("SELECT id, title FROM books ORDER BY id")
        return list(cursor.fetchall())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ufeffid,title\r\n5,x\r\n", [(5, "x")]),
        (
            '"id", title\n5,"two\nlines"\n5,again\n6,"he said ""no"""\n',
            [(5, "two\nlines"), (6, 'he said "no"')],
        ),
        ("id,title\n", []),
        ("", ["{} is empty\nhint: write the names of the columns in the first line"]),
        ("id\n1\n", ["{}:1: the header has no column title\nhint: the columns of books: {}"]),
        (
            'id,title\n1,"two\nlines"\n2,\n',
            [
                '{}:4: null value in column "title" of relation "books" violates not-null'
                " constraint\n  | 2,\nhint: correct the row; nothing was loaded"
            ],
        ),
    ],
)
def test_seeds_and_db_load_accept_and_refuse_the_same(
    tmp_path: Path, loaded: Database, text: str, expected: list[object]
) -> None:
    path = tmp_path / "books.csv"
    path.write_text(text, newline="")
    (tmp_path / "seed.sql").write_text("")
    (tmp_path / "shop.carts.csv").unlink()
    seeded = outcome(loaded, lambda: databases.load_seed(loaded, seed_files(tmp_path), again=True))
    assert seeded == outcome(loaded, lambda: databases.load_rows(loaded, path, "books"))
    wanted = [
        one.format(path, "id, title, added") if isinstance(one, str) else one for one in expected
    ]
    assert seeded == wanted


def test_a_file_of_a_table_that_the_seed_creates_is_loaded(
    tmp_path: Path, loaded: Database
) -> None:
    (tmp_path / "seed.sql").write_text(
        "CREATE TABLE late (id int); SET search_path = ''; SET ROLE pg_monitor;"
    )
    (tmp_path / "late.csv").write_text("id\n5\n")
    (tmp_path / "books.csv").unlink()
    assert (
        databases.load_seed(loaded, seed_files(tmp_path)) == "seeded: books 0, late 1, shop.carts 1"
    )
