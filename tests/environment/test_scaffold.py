"""init: what it finds in a repository, and what it writes."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import app
from scripts.environment import scaffold
from scripts.errors import DevError
from scripts.settings import ROOT
from tests.apps.shapes import SHAPES
from tests.conftest import PROJECT, Checkout, clean_environment, full_disk
from tests.test_docs import with_launcher


def write(folder: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def test_it_finds_the_files_the_users_the_messages_and_the_variables(tmp_path: Path) -> None:
    found = scaffold.search(write(tmp_path, SHAPES["classic"].files))
    assert found == scaffold.Found(
        name="cruddur",
        schema=["backend-flask/db/schema.sql"],
        seed=["backend-flask/db/seed.sql"],
        users={
            "table": "users",
            "id": "uuid",
            "handle": "handle",
            "email": "email",
            "name": "display_name",
            "cognito_id": "cognito_user_id",
        },
        has_cognito=True,
        messages="cruddur-messages",
        tables="",
        env={"CONNECTION_URL": "${DATABASE_URL}"},
        migrate="",
        drops=False,
    )


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_what_it_writes_is_a_valid_app(tmp_path: Path, shape: object) -> None:
    folder = write(tmp_path, SHAPES["classic"].files)
    scaffold.init(folder)
    loaded = app.load(folder)
    assert loaded.messages
    assert loaded.env == {"CONNECTION_URL": "${DATABASE_URL}"}
    text = (folder / "app.toml").read_text()
    (folder / "app.toml").write_text(re.sub(r"^#(?! )", "", text, flags=re.M))  # all examples
    loaded = app.load(folder)
    assert [(step.name, step.once) for step in loaded.steps] == [("migrate", False), ("fill", True)]


@pytest.mark.parametrize(
    ("text", "drops"),
    [
        ('psql $URL -c "drop database cruddur;"\n', True),
        ("\tDROPDB --if-exists app\n", True),
        ("  DROP  DATABASE IF EXISTS app;\n", True),
        ("DB_URL ?= postgres://localhost:5432/app\n\tmigrate -database $(DB_URL) up\n", False),
        ("# never drop database here\n-- dropdb\n", False),
    ],
)
def test_only_scripts_that_drop_the_database_are_not_in_it(
    tmp_path: Path, text: str, drops: bool
) -> None:
    scaffold.init(write(tmp_path, {"Makefile": f"{text}\t$(DB_URL)\n"}))
    expected = {"DB_URL": "${DATABASE_URL}"} | ({"PGDATABASE": False} if drops else {})
    assert app.load(tmp_path).env == expected


@pytest.mark.parametrize(
    "sample",
    [
        *(f"postgresql://me@localhost:5432/{name}" for name in ("db_name", "mydb", "dbname")),
        *(
            f"postgres://a:b@db:5432/{name}"
            for name in ("database", "DB", "your_database", "my_db")
        ),
        *(f"postgres://a:b@db:5432/{name}" for name in ("myapp", "test_db", "example", "a" * 51)),
        *(f"postgres://user:password@{host}:5432/thing" for host in ("host", "db.example.com")),
    ],
)
def test_the_name_of_the_database_is_not_that_of_a_sample(tmp_path: Path, sample: str) -> None:
    folder = write(tmp_path / "My App", {"a.py": f"# {sample}\n" * 3})
    assert scaffold.search(folder).name == "my_app"
    write(folder, {"b.py": "URL = 'postgresql://postgres:password@db:5432/real'"})
    assert scaffold.search(folder).name == "real"


def test_an_empty_folder_gets_a_commented_file(tmp_path: Path) -> None:
    lines = scaffold.init(tmp_path)
    assert "  schema:    not found" in lines
    assert app.load(tmp_path).postgres.schema == ()
    text = (tmp_path / "app.toml").read_text()
    assert "#[users]  # the table of users and its columns: none was found\n" in text
    assert '#handle = "handle"\n' in text


def test_a_variable_with_the_messages_table_gets_its_name(tmp_path: Path) -> None:
    ddb = "table_name = os.getenv('DDB_MESSAGE_TABLE')\n"
    seed = "table_name = 'cruddur-message'\n"
    scaffold.init(write(tmp_path, {"lib/ddb.py": ddb, "bin/seed": seed}))
    assert app.load(tmp_path).env == {"DDB_MESSAGE_TABLE": "cruddur-message"}


def test_a_nickname_is_a_handle(tmp_path: Path) -> None:
    table = 'CREATE TABLE users (uuid UUID, "name" text, nickname text NOT NULL);\n'
    users = scaffold.search(write(tmp_path, {"schema.sql": table})).users
    assert (users["handle"], users["name"]) == ("nickname", "name")


def test_installed_packages_hidden_folders_and_links_are_not_searched(tmp_path: Path) -> None:
    elsewhere = {f"{name}/schema.sql": "" for name in ("node_modules/x", ".git", "venv")}
    write(tmp_path, elsewhere)
    (tmp_path / "schema.sql").symlink_to("/nonexistent")
    assert scaffold.search(tmp_path).schema == []


def test_table_definitions_are_found(tmp_path: Path) -> None:
    definition = '{"TableName": "carts", "KeySchema": []}'
    assert scaffold.search(write(tmp_path, {"aws/ddb/carts.json": definition})).tables == "aws/ddb"


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "app.toml").write_text("# mine")
    with pytest.raises(DevError) as caught:
        scaffold.init(tmp_path)
    assert caught.value.message == (f"{tmp_path}/app.toml already exists\nhint: edit it")
    (tmp_path / "app.toml").unlink()
    (tmp_path / "invoke").write_text("# mine")
    lines = scaffold.init(tmp_path)
    start = f"{ROOT}/invoke --app {tmp_path}"
    assert lines[1] == f"kept {tmp_path}/invoke, which is not this tool's; use {start}"
    assert lines[-1] == f"next: read {tmp_path}/app.toml, then: {start} setup"
    assert " ./invoke" not in "\n".join(lines)
    assert (tmp_path / "invoke").read_text() == "# mine"


def test_after_a_failure_or_a_kill_it_can_be_repeated(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(DevError) as caught:
        scaffold.init(tmp_path)
    assert caught.value.message == (
        f"{tmp_path} cannot be written: File too large\n"
        "hint: check its owner, permissions and free space"
    )
    assert list(tmp_path.iterdir()) == []
    scaffold.init(tmp_path)
    (tmp_path / "app.toml").rename(tmp_path / ".app.toml.init")  # killed before the last rename
    lines = scaffold.init(tmp_path)
    assert lines[:2] == [f"wrote {tmp_path}/app.toml", f"wrote {tmp_path}/invoke"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.toml", "invoke"]


@pytest.mark.parametrize(
    "odd", [b"a\xff", b"a\nb", b"a'b", b'a"b', b"\x7f\x1b[31m", b"a\\b", b"$(x)", "é ü".encode()]
)
def test_any_name_of_a_folder_or_file_is_handled(
    tmp_path: Path, new_checkout: Callable[[str], Checkout], odd: bytes
) -> None:
    name = os.fsdecode(odd)
    tool = with_launcher(new_checkout(f"tool {name if name.isprintable() else ''}").root)
    folder = write(tool.parent / f"app {name}", {f"{name}/schema.sql": "CREATE TABLE t (i int);"})
    done = subprocess.run(
        [sys.executable, tool / "tasks.py", "init", folder],
        env=clean_environment(),
        capture_output=True,
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
    assert len(app.load(folder).postgres.schema) == name.isprintable()
    planned = subprocess.run(
        [folder / "invoke", "setup", "--plan"], env=clean_environment(), capture_output=True
    )
    assert planned.returncode == 0, planned.stderr


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "schema.sql")
    assert scaffold.search(tmp_path).schema == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DevError) as caught:
        scaffold.init(tmp_path / "nope")
    assert caught.value.reason == f"{tmp_path}/nope is not a folder"


def move(tool: Path, target: Path) -> Path:
    """Move a checkout, with a .venv that counts as its own there; remove_state has no work then."""
    shutil.copytree(tool, target, symlinks=True)
    (target / ".venv" / ".root").write_text(f"{target}\n")
    (tool / "invoke").unlink()
    return target


@pytest.mark.parametrize("place", ["beside", "submodule", "setting"])
def test_the_launcher_finds_the_tool(
    tmp_path: Path, new_checkout: Callable[[str], Checkout], place: str
) -> None:
    tool = with_launcher(new_checkout("dev tool").root)
    folder = tool.parent / "my app"
    folder.mkdir()
    subprocess.run(
        [sys.executable, tool / "tasks.py", "init", folder],
        env=clean_environment(),
        check=True,
        capture_output=True,
    )
    env = clean_environment()
    if place == "submodule":
        move(tool, folder / tool.name)
    if place == "setting":
        elsewhere = move(tool, tool.parent / "elsewhere")
        missing = subprocess.run(
            [folder / "invoke", "--list"], env=env, capture_output=True, text=True
        )
        assert (missing.returncode, "hint: clone it there" in missing.stderr) == (1, True)
        env["DEV_TOOL"] = str(elsewhere)
    done = subprocess.run(
        [folder / "invoke", "setup", "--plan"], env=env, capture_output=True, text=True, check=True
    )
    assert "my_app" in done.stdout


def test_another_invoke_goes_through_the_launcher(tmp_path: Path) -> None:
    """One that lacks our requirements, as from pipx: it has Invoke alone."""
    packages = tmp_path / "packages"
    packages.mkdir()
    import invoke

    for path in Path(invoke.__file__).parent.parent.glob("invoke*"):
        (packages / path.name).symlink_to(path)
    root = tmp_path / "tool"
    root.mkdir()
    (root / "tasks.py").write_text((PROJECT / "tasks.py").read_text())
    (root / "invoke").write_text('#!/bin/sh\necho "launcher: $*"\n')
    (root / "invoke").chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-S", "-m", "invoke", "ddb.seed", "--plan"],
        cwd=root,
        env=clean_environment() | {"PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.returncode) == ("launcher: ddb.seed --plan\n", 0), done.stderr
