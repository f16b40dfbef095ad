import csv
import io
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts import clients
from scripts.environment import transfer
from scripts.errors import DevError
from scripts.postgres import csv_load, databases
from scripts.postgres.csv_load import Loaded
from scripts.settings import Settings
from scripts.targets import Database

KORNEY = "0b9fd7a4-6f0e-4d6e-9f4b-2d1c6a3f7e10"
HINT = "\nhint: correct the row; nothing was loaded"


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "rows.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def make_users(folder: Path, count: int, first: int = 0) -> Path:
    path = folder / "rows.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["handle", "display_name", "email"])
        for number in range(first, first + count):
            name = f'The "{number}"th,\nof two lines' if number % 7 == 0 else f"Üser {number}"
            writer.writerow([f"user{number}", name, f"user{number}@example.com"])
    return path


def load(database: Database, path: Path, table: str = "users") -> Loaded:
    return databases.load_rows(database, path, table)


def fetch(database: Database, query: str) -> list[Any]:
    with clients.cursor(database) as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def failure(action: Callable[[], object]) -> str:
    with pytest.raises(DevError) as caught:
        action()
    return str(caught.value.message)


def test_every_row_is_there_as_the_file_has_it(seeded: Database, tmp_path: Path) -> None:
    path = make_users(tmp_path, 200)
    assert load(seeded, path) == Loaded(inserted=200, already_there=0)
    found = fetch(seeded, "SELECT handle, display_name, email FROM users WHERE handle ~ '^user'")
    with path.open(newline="") as file:
        assert sorted(found) == sorted(map(tuple, list(csv.reader(file))[1:]))


def test_rows_that_are_there_stay_as_they_are(seeded: Database, tmp_path: Path) -> None:
    load(seeded, make_users(tmp_path, 50, first=100))
    before = fetch(seeded, "SELECT * FROM users ORDER BY handle")
    assert load(seeded, make_users(tmp_path, 200)) == Loaded(inserted=150, already_there=50)
    assert set(before) <= set(fetch(seeded, "SELECT * FROM users"))


def test_a_row_twice_in_the_file_is_there_once(seeded: Database, tmp_path: Path) -> None:
    head, *body = make_users(tmp_path, 3).read_text().splitlines()
    path = write(tmp_path, "\n".join([head, *body, *body]))
    assert load(seeded, path) == Loaded(inserted=3, already_there=3)


@pytest.mark.parametrize("there", [0, 100, 199])
def test_one_row_that_is_there_is_left_out_wherever_it_stands(
    seeded: Database, tmp_path: Path, there: int
) -> None:
    load(seeded, make_users(tmp_path, 1, first=there))
    before = fetch(seeded, f"SELECT * FROM users WHERE handle = 'user{there}'")
    assert load(seeded, make_users(tmp_path, 200)) == Loaded(inserted=199, already_there=1)
    assert fetch(seeded, f"SELECT * FROM users WHERE handle = 'user{there}'") == before
    assert fetch(seeded, "SELECT count(*) FROM users WHERE handle ~ '^user'") == [(200,)]


@pytest.fixture
def make_table(database: Database) -> Callable[[str], Database]:
    def make(statements: str) -> Database:
        databases.create(database)
        with clients.cursor(database) as cursor:
            cursor.execute(statements)
        return database

    return make


def test_a_row_that_a_trigger_leaves_out_counts_as_there(
    make_table: Callable[[str], Database], tmp_path: Path
) -> None:
    database = make_table(
        "CREATE TABLE t (a int);"
        " CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.a = 2 THEN RETURN NULL; END IF; NEW.a := NEW.a * 10; RETURN NEW; END $$;"
        " CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()"
    )
    loaded = load(database, write(tmp_path, "a\n1\n2\n3\n"), "t")
    assert loaded == Loaded(inserted=2, already_there=1)
    assert fetch(database, "SELECT a FROM t ORDER BY a") == [(10,), (30,)]


def test_a_table_with_rules_is_refused_in_the_words_of_postgres(
    make_table: Callable[[str], Database], tmp_path: Path
) -> None:
    database = make_table(
        "CREATE TABLE t (a int); CREATE RULE r AS ON INSERT TO t DO ALSO SELECT NEW.a"
    )
    path = write(tmp_path, "a\n1\n2\n")
    assert failure(lambda: load(database, path, "t")) == (
        f"{path}:2: INSERT with ON CONFLICT clause cannot be used with table that has INSERT or"
        f" UPDATE rules{HINT}"
    )


def test_an_excluded_row_is_left_out_as_one_of_the_same_key(
    make_table: Callable[[str], Database], tmp_path: Path
) -> None:
    database = make_table("CREATE TABLE t (r int4range, EXCLUDE USING gist (r WITH &&))")
    path = write(tmp_path, 'r\n"[1,5)"\n"[4,9)"\n"[9,12)"\n')
    assert load(database, path, "t") == Loaded(inserted=2, already_there=1)


def test_a_constraint_that_waits_for_the_end_is_checked_before_anything_is_kept(
    make_table: Callable[[str], Database], tmp_path: Path
) -> None:
    database = make_table(
        "CREATE TABLE t (a int PRIMARY KEY, up int REFERENCES t DEFERRABLE INITIALLY DEFERRED)"
    )
    rows = [f"{n},{(n + 1) % 200}" for n in range(200)]
    path = write(tmp_path, "\n".join(["a,up", *rows]))
    assert load(database, path, "t").inserted == 200
    path = write(tmp_path, "a,up\n900,901\n")
    assert failure(lambda: load(database, path, "t")) == (
        f'{path}: insert or update on table "t" violates foreign key constraint "t_up_fkey":'
        f' Key (up)=(901) is not present in table "t".\nhint: correct {path}; nothing was changed'
    )
    assert fetch(database, "SELECT count(*) FROM t") == [(200,)]


def test_a_generated_column_is_not_loaded(
    make_table: Callable[[str], Database], tmp_path: Path
) -> None:
    database = make_table("CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a * 2) STORED)")
    load(database, write(tmp_path, "a\n1\n"), "t")
    assert fetch(database, "SELECT b FROM t") == [(2,)]
    path = write(tmp_path, "b,a\n2,1\n")
    assert failure(lambda: load(database, path, "t")) == (
        f'{path}:2: cannot insert a non-DEFAULT value into column "b":'
        f' Column "b" is a generated column.{HINT}'
    )


def test_numbers_of_an_identity_column_are_kept_as_psqls_copy_keeps_them(
    make_table: Callable[[str], Database], tmp_path: Path
) -> None:
    database = make_table("CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY UNIQUE)")
    assert load(database, write(tmp_path, "a\n7\n"), "t").inserted == 1
    assert load(database, write(tmp_path, "a\n7\n8\n"), "t") == Loaded(1, 1)


def test_progress_is_that_of_the_copy_that_runs(seeded: Database, tmp_path: Path) -> None:
    path = make_users(tmp_path, 2_000)
    assert csv_load.find_progress(seeded, path) is None
    shown: list[tuple[int, float] | None] = []

    class Source(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            time.sleep(0.05)
            shown.append(csv_load.find_progress(seeded, path))
            return super().read(size)

    copy = "COPY users (handle, display_name, email) FROM STDIN (FORMAT csv, HEADER)"
    with clients.cursor(seeded) as cursor:
        cursor.copy_expert(copy, Source(path.read_bytes()))
    states = [state for state in shown if state]
    assert states == sorted(states)
    assert 0 < states[-1][0] <= 2_000
    assert 0 < states[-1][1] <= 1


def test_windows_line_ends_and_a_byte_order_mark_are_fine(seeded: Database, tmp_path: Path) -> None:
    text = "handle,display_name,email\r\nx,X,x@example.com\r\n"
    assert load(seeded, write(tmp_path, "\ufeff" + text)).inserted == 1
    assert fetch(seeded, "SELECT email FROM users WHERE handle = 'x'") == [("x@example.com",)]


@pytest.mark.parametrize(
    ("lines", "line", "reason"),
    [
        ([f"{KORNEY},ok", "xyz,no"], 3, 'user_uuid: invalid input syntax for type uuid: "xyz"'),
        ([f"{KORNEY},a,b"], 2, f"extra data after last expected column\n  | {KORNEY},a,b"),
        (
            [f'{KORNEY},"two\nlines"', f"{KORNEY},"],
            4,
            'null value in column "message" of relation "activities" violates not-null constraint'
            f"\n  | {KORNEY},",
        ),
        (
            [f'{KORNEY},"two\nlines"', f"{KORNEY},ok", f"{KORNEY[:-1]}1,nobody's", f"{KORNEY},ok"],
            5,
            'insert or update on table "activities" violates foreign key constraint'
            f' "activities_user_uuid_fkey": Key (user_uuid)=({KORNEY[:-1]}1) is not present in'
            ' table "users".',
        ),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_kept(
    seeded: Database, tmp_path: Path, lines: list[str], line: int, reason: str
) -> None:
    path = write(tmp_path, "\n".join(["user_uuid,message", *lines, ""]))
    assert failure(lambda: load(seeded, path, "activities")) == f"{path}:{line}: {reason}{HINT}"
    assert databases.count_rows(seeded) == {"activities": 1, "users": 2}


def test_a_bad_row_far_down_is_named_by_its_line(seeded: Database, tmp_path: Path) -> None:
    lines = [f"{KORNEY},message {number}" for number in range(300)]
    bad = random.Random(1).randrange(300)
    lines[bad] = f"{KORNEY[:-1]}1,nobody's"
    path = write(tmp_path, "\n".join(["user_uuid,message", *lines]))
    message = failure(lambda: load(seeded, path, "activities"))
    assert message.startswith(f"{path}:{bad + 2}: insert or update on table")
    assert databases.count_rows(seeded)["activities"] == 1


@pytest.mark.parametrize(
    ("text", "table", "reason"),
    [
        ("", "users", "{path} is empty\nhint: write the names of the columns in the first line"),
        (
            "\n",
            "users",
            "{path}:1 has no column names\nhint: write the names of the columns in the first line",
        ),
        ("a,a\n", "users", "{path}:1: the header names a twice\nhint: name each once"),
        ("x\n1\n", "nope", "{path}: there is no table nope\nhint: tables: activities, users"),
        (
            "x\n1\n",
            "usres",
            "{path}: there is no table usres\nhint: did you mean users? tables: activities, users",
        ),
        (
            "handle,nmae\n",
            "users",
            "{path}:1: users has no column nmae\nhint: the columns of users:"
            " uuid, display_name, handle, email, cognito_user_id, created_at",
        ),
        (
            "handle\n",
            "users",
            "{path}:1: the header has no column display_name, email\nhint: the columns of users:"
            " uuid, display_name, handle, email, cognito_user_id, created_at",
        ),
    ],
)
def test_a_file_that_does_not_fit_has_its_sentence(
    seeded: Database, tmp_path: Path, text: str, table: str, reason: str
) -> None:
    path = write(tmp_path, text)
    wanted = reason.format(path=path)
    assert failure(lambda: load(seeded, path, table)) == wanted


def test_a_pipe_is_refused(seeded: Database, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert failure(lambda: load(seeded, tmp_path / "pipe")) == (
        f"{tmp_path / 'pipe'} is not a file\nhint: name a CSV file"
    )


def test_a_file_that_is_not_there_is_named(seeded: Database, tmp_path: Path) -> None:
    assert failure(lambda: load(seeded, tmp_path / "nope")).startswith(
        f"{tmp_path / 'nope'} cannot be read: No such file"
    )


def test_the_task_says_what_is_new_and_what_was_there(
    seeded: Database, environment: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_users(tmp_path, 1_200)
    transfer.load_rows(environment, path, "users")
    transfer.load_rows(environment, path, "users")
    assert capsys.readouterr().err == (
        f"users has 1,200 new rows from {path}; 0 already existed\n"
        f"users has 0 new rows from {path}; 1,200 already existed\n"
    )


def test_a_table_of_another_schema_is_loaded(database: Database, tmp_path: Path) -> None:
    databases.create(database)
    with clients.cursor(database) as cursor:
        cursor.execute('CREATE SCHEMA billing; CREATE TABLE billing."In voices" (x int UNIQUE)')
        cursor.execute("CREATE TABLE invoices (x int); CREATE TABLE billing.invoices (x int)")
    path = tmp_path / "rows.csv"
    path.write_text("x\n1\n2\n")
    load(database, path, "billing.In voices")
    path.write_text("x\n2\n3\n")
    assert load(database, path, "billing.In voices") == Loaded(1, 1)
    load(database, path, "billing.invoices")
    load(database, path, "public.invoices")
    assert databases.count_rows(database) == {
        "invoices": 2,
        "billing.In voices": 3,
        "billing.invoices": 2,
    }
