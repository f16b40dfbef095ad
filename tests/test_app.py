"""app.toml: what it may say, and what is said of mistakes."""

from pathlib import Path

import pytest

from scripts import app
from scripts.app import App, AppStep, Cognito, DynamoDB, Messages, Postgres, Users
from scripts.errors import DevError
from tests.conftest import PROJECT

HINT = "\nhint: correct it; docs/app.md lists the keys"


def load(folder: Path, text: str) -> App:
    (folder / "app.toml").write_text(text)
    return app.load(folder)


def failure(folder: Path, text: str) -> str:
    with pytest.raises(DevError) as caught:
        load(folder, text)
    return caught.value.message


def test_the_shipped_one_describes_cruddur() -> None:
    loaded = app.load(PROJECT)
    assert loaded.name == "cruddur"
    assert loaded.users == Users()
    assert loaded.cognito == Cognito()
    assert loaded.messages == Messages(seed=PROJECT / "ddb" / "seeds" / "cruddur-messages.txt")
    assert app.name_files(loaded.postgres.schema) == "sql/schema.sql"


def test_every_part_is_optional(tmp_path: Path) -> None:
    folder = tmp_path / "My App-2"
    folder.mkdir()
    assert load(folder, "") == App(folder, "my_app_2")


def test_files_are_relative_to_it_and_may_be_lists(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    for name in ("a.sql", "b.sql"):
        (tmp_path / "db" / name).touch()
    found = load(
        tmp_path,
        '[postgres]\nschema = ["db/a.sql", "db/b.sql"]\nseed = "db/b.sql"\n'
        '[dynamodb]\ntables = "db"',
    )
    folder = tmp_path / "db"
    assert found.postgres == Postgres((folder / "a.sql", folder / "b.sql"), (folder / "b.sql",))
    assert found.dynamodb == DynamoDB(tables=folder)


def test_columns_may_be_named_or_left_out(tmp_path: Path) -> None:
    found = load(tmp_path, '[users]\ntable = "auth.people"\nid = "id"\nemail = ""')
    assert found.users == Users(table="auth.people", id="id", email="")


def test_steps_are_read_in_order(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        '[[step]]\nname = "migrate"\nrun = "bin/migrate"\n'
        '[[step]]\nname = "index"\nrun = "bin/index"\nafter = ["migrate"]\nbefore = "check"',
    )
    assert found.steps == (
        AppStep("migrate", "bin/migrate"),
        AppStep("index", "bin/index", ("migrate",), ("check",)),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'name = "a"\nusers_table = "b"',
            "app.toml:2: users_table is not a key"
            "\nhint: the keys are: name, services, postgres, dynamodb, users, cognito,"
            " messages, env, step",
        ),
        (
            '\n[users]\nhandel = "a"',
            "app.toml:3: [users] handel is not a key\nhint: did you mean handle?"
            " the keys are: table, id, handle, email, name, cognito_id",
        ),
        (
            "[postgress]",
            "app.toml:1: postgress is not a key\nhint: did you mean postgres?"
            " the keys are: name, services, postgres, dynamodb, users, cognito, messages, env,"
            " step",
        ),
        ("name = 5", f"app.toml:1: name must be a text{HINT}"),
        (
            'name = "a-b"',
            "app.toml:1: name must be letters, digits and _, 50 at most, and not begin with a digit"
            + HINT,
        ),
        ("users = 1", f"app.toml:1: users must be a section: [users]{HINT}"),
        (
            "[cognito]\n\nsign_in = 7",
            f'app.toml:3: [cognito] sign_in must be "email" or "handle"{HINT}',
        ),
        ('[env]\n"a b" = "c"', f"app.toml:1: env a b is not the name of a variable{HINT}"),
        ("[env]\nA = 1", f"app.toml:1: env A must be a text, or false to leave it out{HINT}"),
        ("step = 1", f"app.toml:1: step must be written as [[step]]{HINT}"),
        ('[[step]]\nname = "a"', f"app.toml:1: step a [[step]] lacks the key run{HINT}"),
        ("[users]\nid = ''", f"app.toml:2: [users] id must be a text{HINT}"),
        (
            "name = \n",
            "app.toml:1: Invalid value (at line 1, column 8)\nhint: see docs/app.md for its form",
        ),
    ],
)
def test_a_mistake_is_named_with_line_key_and_the_closest_one(
    tmp_path: Path, text: str, message: str
) -> None:
    assert failure(tmp_path, text) == message


def test_a_missing_file_is_named_with_its_line(tmp_path: Path) -> None:
    assert failure(tmp_path, 'name = "a"\n[postgres]\nseed = "db/seed.sql"') == (
        f"app.toml:3: [postgres] seed db/seed.sql does not exist in {tmp_path}{HINT}"
    )


def test_a_folder_of_sql_files_is_named_with_them(tmp_path: Path) -> None:
    (tmp_path / "sql" / "old").mkdir(parents=True)
    for name in ("b.sql", "a.sql", "notes.txt"):
        (tmp_path / "sql" / name).touch()
    assert failure(tmp_path, '[postgres]\nschema = "sql/"') == (
        "app.toml:2: [postgres] schema sql/ is a folder; name its files in order, such as"
        f' ["sql/a.sql", "sql/b.sql"]{HINT}'
    )
    assert failure(tmp_path, '[postgres]\nseed = ["sql/a.sql", "sql/old"]') == (
        f"app.toml:2: [postgres] seed sql/old is a folder; name its files in order{HINT}"
    )


def test_a_folder_without_it_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(DevError) as caught:
        app.load(tmp_path)
    assert caught.value.message == (
        f"there is no {tmp_path}/app.toml\nhint: ./invoke init {tmp_path} (writes one)"
    )
