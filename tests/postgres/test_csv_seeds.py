"""CSV files beside the SQL seed: <table>.csv is loaded in its transaction."""

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
    assert "books.csv" in caught.value.message
    assert 'invalid input syntax for type integer: "four"' in caught.value.message
    assert titles(loaded) == []


def test_a_file_of_no_table_is_named(tmp_path: Path, loaded: Database) -> None:
    (tmp_path / "nope.csv").write_text("id\n1\n")
    with pytest.raises(DevError) as caught:
        databases.load_seed(loaded, seed_files(tmp_path))
    assert 'relation "nope" does not exist' in caught.value.message
    assert "nope.csv" in caught.value.message
