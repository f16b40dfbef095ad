"""The app's own steps: when they run, on which database, and how often."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from tests.apps.conftest import RealApp
from tests.conftest import remove_state

WRITE = "psql -qXAt -c \"INSERT INTO log VALUES ('{}')\""
APP = """name = "shop"
[postgres]
schema = "schema.sql"
"""

MakeApp = Callable[..., RealApp]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeApp]:
    """Write an app whose schema has a table `log`, with these steps and sections."""

    def make(*steps: str, more: str = "") -> RealApp:
        (tmp_path / "schema.sql").write_text("CREATE TABLE log (what text);")
        (tmp_path / "app.toml").write_text(APP + more + "".join(steps))
        return RealApp(tmp_path)

    yield make
    remove_state(tmp_path)


def step(name: str, more: str = "") -> str:
    """A step that writes its name into the table `log`."""
    return f"[[step]]\nname = '{name}'\nrun = '''{WRITE.format(name)}'''\n{more}\n"


def read_log(app: RealApp) -> list[str]:
    url = app.variables()["DATABASE_URL"]
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT what FROM log ORDER BY what")
        return [what for (what,) in cursor.fetchall()]


@pytest.mark.parametrize("command", ["db.setup", "db.reset", "setup", "reset"])
def test_the_name_of_a_step_decides_nothing(make: MakeApp, command: str) -> None:
    names = ["checks-data", "cognito.mine", "db.mine", "ddb.mine"]
    app = make(*map(step, names))
    app.run("up")
    app.run(command)
    assert read_log(app) == names


@pytest.mark.parametrize("more", ["", '[messages]\n[users]\ntable = "log"\nid = "what"\n'])
def test_check_is_the_last_step_and_reads_the_new_database(make: MakeApp, more: str) -> None:
    app = make(
        step("late"),
        more=more and more + 'handle = "what"\nemail = ""\nname = ""\ncognito_id = ""\n',
    )
    for command in ("setup", "reset"):
        lines = app.run(command).stderr.splitlines()
        steps = [line.split()[1] for line in lines if line.startswith(("done", "same"))]
        assert steps[-1] == "check"
    if not more:
        app.run("db.connect", "--", "-c", "INSERT INTO log VALUES ('mine')")
        checked = [line for line in app.run("reset").stderr.splitlines() if " check " in line]
        assert checked[0].endswith("log 1")


def test_a_step_after_the_items_of_dynamodb_gets_the_new_database(make: MakeApp) -> None:
    app = make(
        step("last", 'after = "ddb.seed"'),
        more="[messages]\n",
    )
    app.run("setup")
    app.run("reset")
    assert read_log(app) == ["last"]


def test_a_step_that_runs_once_fills_each_database_once(make: MakeApp) -> None:
    app = make(step("fill", "once = true"))
    app.run("setup")
    app.run("db.connect", "--", "-c", "INSERT INTO log VALUES ('signed up')")
    assert "already done in this database" in app.run("setup").stderr
    assert read_log(app) == ["fill", "signed up"]
    app.run("snapshot.save", "one")
    app.run("reset")
    assert read_log(app) == ["fill"]
    app.run("undo")
    app.run("setup")
    assert read_log(app) == ["fill", "signed up"]
    app.run("db.reset")
    app.run("snapshot.restore", "one")
    app.run("setup")
    assert read_log(app) == ["fill", "signed up"]
    app.run("step", "fill")
    assert read_log(app) == ["fill", "signed up"]
    app.run("step", "fill", "--again")
    assert read_log(app) == ["fill", "fill", "signed up"]


def test_the_programs_of_the_postgres_in_use_come_first(make: MakeApp, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "psql").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "old" / "psql").chmod(0o755)
    path = {"PATH": f"{tmp_path}/old:{os.environ['PATH']}"}
    app = make(step("fill"))
    app.run("setup", env=path)
    assert read_log(app) == ["fill"]
    count = ("psql", "-tAc", "SELECT count(*) FROM log")
    assert app.run("run", "--", *count, env=path).stdout == "1\n"
    assert "\n1\n" in f"\n{app.run('ci', '--', *count, env=path).stdout}"


def test_a_step_that_fails_is_not_noted(make: MakeApp) -> None:
    app = make("[[step]]\nname = 'fill'\nrun = 'exit 3'\nonce = true\n")
    app.run("setup", expect=1)
    (app.root / "app.toml").write_text(APP + step("fill", "once = true"))
    app.run("setup")
    assert read_log(app) == ["fill"]
