"""`setup` and its parts, by the command line, on checkouts of their own."""

import json
import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

from scripts import clients, stacks
from scripts.engine import pipeline
from scripts.engine.pipeline import Event, Step
from scripts.environment import setup, steps
from scripts.errors import DevError
from tests.conftest import Checkout, clean_environment

STEPS = (
    "postgres",
    "aws",
    "db.create",
    "db.schema-load",
    "db.seed",
    "cognito.create-pool",
    "cognito.create-users",
    "cognito.sync",
    "ddb.schema-load",
    "ddb.seed",
    "check",
)


def query(checkout: Checkout, sql: str) -> list[tuple[Any, ...]]:
    with clients.cursor(stacks.get_database(checkout.settings())) as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


def content(checkout: Checkout) -> dict[str, Any]:
    """Everything that an environment holds."""
    items = checkout.run("ddb.scan", "--json").stdout.splitlines()
    return {
        "users": query(checkout, "SELECT * FROM users ORDER BY handle"),
        "activities": query(checkout, "SELECT * FROM activities ORDER BY uuid"),
        "items": sorted(items),
        "pool": json.loads(checkout.run("cognito.list-users", "--json").stdout),
    }


def states(stderr: str) -> dict[str, str]:
    """The state of each step, from the plain lines of a run."""
    words = [line.split() for line in stderr.splitlines()]
    return {word[1]: word[0] for word in words if len(word) > 1 and word[1] in STEPS}


def test_setup_fills_an_empty_environment(checkout: Checkout) -> None:
    done = checkout.run("setup")
    assert states(done.stderr) == dict.fromkeys(STEPS, "done")
    assert done.stdout == ""
    held = content(checkout)
    assert [user[2] for user in held["users"]] == ["korney", "smirnov"]
    assert [user[4] for user in held["users"]] == [user["sub"] for user in held["pool"]]
    assert len(held["items"]) == 122


def test_a_second_setup_changes_nothing(checkout: Checkout) -> None:
    checkout.run("setup")
    before = content(checkout)
    again = states(checkout.run("setup", "--verbose").stderr)
    assert again == dict.fromkeys(STEPS, "same") | {"check": "done"}
    assert content(checkout) == before


def test_a_second_setup_counts_what_was_done_and_prints_at_most_five_lines(
    checkout: Checkout,
) -> None:
    first = checkout.run("setup").stderr
    addresses = [line for line in first.splitlines() if re.match(r"[\w -]+: +\S+$", line)]
    assert "database:" in "".join(addresses)
    assert "pages:" in first
    again = checkout.run("setup").stderr.splitlines()
    assert [line.split()[:2] for line in again] == [
        ["done", "check"],
        ["10", "steps"],
        ["setup:", "done"],
    ]
    assert again[1] == "10 steps were already done"
    checkout.run("down")
    started = checkout.run("setup").stderr.splitlines()
    assert [line.split()[0] for line in started] == ["done", "done", "done", "8", "setup:"]
    whole = checkout.run("setup", "--verbose").stderr
    assert list(states(whole).values()).count("same") == 10
    assert set(addresses) <= set(whole.splitlines())
    assert "already done" not in whole


def test_the_first_setup_names_the_apps_steps_before_it_runs_one(checkout: Checkout) -> None:
    steps = """
[[step]]
name = "migrate"
run = "echo ran >> ran"
after = ["db.create"]
before = ["db.seed"]

[[step]]
name = "assets"
run = "true"
"""
    with (checkout.root / "app.toml").open("a") as file:
        file.write(steps)
    said = "runs the steps of app.toml as your user: migrate, assets; see docs/security.md"
    plan = checkout.run("setup", "--plan")
    assert plan.stderr.splitlines()[0] == said
    assert not (checkout.root / "ran").exists()
    first = checkout.run("setup").stderr.splitlines()
    assert first[0] == said
    assert (checkout.root / "ran").read_text() == "ran\n"
    again = checkout.run("setup").stderr
    assert "runs the steps" not in again
    assert said in checkout.run("setup", "--verbose").stderr.splitlines()


def test_no_command_shows_the_names_of_the_databases_beside_the_apps(running: Checkout) -> None:
    running.run("snapshot.save", "monday")
    for words in (
        ("reset", "--plan"),
        ("reset",),
        ("db.reset", "--plan"),
        ("db.reset",),
        ("undo", "--plan", "--json"),
        ("undo",),
        ("snapshot.restore", "monday"),
        ("db.drop",),
        ("undo",),
        ("timeline", "--runs", "20"),
        ("doctor", "--all"),
    ):
        done = running.run(*words, expect=None)
        shown = done.stdout + done.stderr
        assert not re.findall(r"cruddur__\w+", shown), words
        assert "dropped the table" not in shown
        if words in (("reset",), ("snapshot.restore", "monday")):
            assert "replaced the items of cruddur-messages in " in shown
            assert "  replaced cruddur on 127.0.0.1:" in shown
    running.run("snapshot.delete", "monday")


def test_setup_keeps_what_was_added_and_takes_it_in(checkout: Checkout) -> None:
    checkout.run("setup")
    query(
        checkout,
        "INSERT INTO users (display_name, handle, email) VALUES ('Ada', 'ada', 'ada@example.com')",
    )
    checkout.run("ddb.patterns.send-message", "korney", "one more")
    checkout.run("ddb.patterns.start-conversation", "korney", "ada", "hello Ada")
    checkout.run("setup")
    held = content(checkout)
    assert sum("one more" in item for item in held["items"]) == 3
    assert sum("hello Ada" in item for item in held["items"]) == 3
    assert {user["handle"] for user in held["pool"]} == {"ada", "korney", "smirnov"}
    assert all(user[4] for user in held["users"])


def test_setup_after_a_rebuilt_database_links_the_same_conversation(checkout: Checkout) -> None:
    checkout.run("setup")
    before = content(checkout)["items"]
    checkout.run("db.reset")
    checkout.run("setup")
    assert content(checkout)["items"] == before


@pytest.mark.parametrize("lines", range(len(STEPS)))
def test_setup_goes_on_after_a_kill_at_each_step(checkout: Checkout, lines: int) -> None:
    process = checkout.start("setup")
    assert process.stderr
    for _ in range(lines):
        process.stderr.readline()
    process.kill()
    process.communicate()
    checkout.run("setup")
    assert len(content(checkout)["items"]) == 122


def test_an_interrupted_setup_ends_with_130_and_can_go_on(checkout: Checkout) -> None:
    process = checkout.start("setup")
    assert process.stderr
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, talk = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in talk
    checkout.run("setup")
    assert len(content(checkout)["items"]) == 122


@pytest.mark.parametrize("service", ["postgres", "aws"])
def test_setup_goes_on_after_a_server_was_killed(checkout: Checkout, service: str) -> None:
    checkout.run("setup")
    before = content(checkout)
    record = json.loads((checkout.root / ".dev" / f"{service}.json").read_text())
    os.kill(record["pid"], signal.SIGKILL)
    checkout.run("setup")
    after = content(checkout)
    assert [user[:4] for user in after["users"]] == [user[:4] for user in before["users"]]
    assert after["items"] == before["items"]


def test_two_checkouts_set_up_at_once_do_not_touch_each_other(
    new_checkout: Callable[[str], Checkout],
) -> None:
    one, two = new_checkout("one"), new_checkout("a second one")
    processes = [checkout.start("setup") for checkout in (one, two)]
    for process in processes:
        _, talk = process.communicate(timeout=60)
        assert process.returncode == 0, talk
    ports = [
        (target.database.port, target.aws.endpoint)
        for target in (stacks.targets(checkout.settings()) for checkout in (one, two))
    ]
    assert ports[0][0] != ports[1][0]
    assert ports[0][1] != ports[1][1]
    before = content(two)
    one.run("db.drop")
    one.run("ddb.drop", "cruddur-messages")
    one.run("down")
    assert content(two) == before


def test_a_failed_step_says_why_what_waits_for_it_and_how_to_go_on(checkout: Checkout) -> None:
    seed = checkout.root / "sql" / "seed.sql"
    good = seed.read_text()
    seed.write_text("INSERT INTO users (handle)\nVALUES ('nobody');\n")
    done = checkout.run("setup", expect=1)
    found = states(done.stderr)
    assert found["db.seed"] == "FAIL"
    assert {step for step, state in found.items() if state == "skip"} == {
        "cognito.create-users",
        "cognito.sync",
        "ddb.seed",
        "check",
    }
    assert "sql/seed.sql:1: null value in column" in done.stderr
    assert "| INSERT INTO users (handle)" in done.stderr
    assert done.stderr.splitlines()[-1] == "Fix the error above, then rerun: ./invoke setup"
    seed.write_text(good)
    checkout.run("setup")


def test_a_changed_schema_is_said_and_not_applied(checkout: Checkout) -> None:
    checkout.run("setup")
    schema = checkout.root / "sql" / "schema.sql"
    schema.write_text(schema.read_text() + "\nCREATE TABLE extra (id integer PRIMARY KEY);\n")
    done = checkout.run("setup", expect=1)
    assert (
        "sql/schema.sql changed since the schema was loaded into cruddur on 127.0.0.1"
        in done.stderr
    )
    assert "./invoke db.reset" in done.stderr
    assert query(checkout, "SELECT to_regclass('extra')") == [(None,)]
    checkout.run("db.reset")
    checkout.run("setup")
    assert query(checkout, "SELECT to_regclass('extra')") == [("extra",)]


BOOKS = """
name = "books"
[postgres]
schema = "sql/schema.sql"
seed = "sql/seed.sql"
[dynamodb]
tables = "ddb/tables"
"""


def test_an_app_without_users_and_conversations_is_set_up(checkout: Checkout) -> None:
    (checkout.root / "sql" / "schema.sql").write_text("CREATE TABLE books (title text);")
    (checkout.root / "sql" / "seed.sql").write_text("INSERT INTO books VALUES ('The Salt Road');")
    tables = checkout.root / "ddb" / "tables"
    table = (tables / "cruddur-messages.json").read_text()
    (tables / "carts.json").write_text(table.replace("cruddur-messages", "carts"))
    (tables / "cruddur-messages.json").unlink()
    (checkout.root / "ddb" / "seeds" / "cruddur-messages.txt").unlink()
    (checkout.root / "app.toml").write_text(BOOKS)
    done = checkout.run("setup").stderr
    assert " s  seeded: books 1\n" in done or " s  books 1\n" in done
    assert "not in app.toml, so skipped: the user pool, DynamoDB items\n" in done
    assert set(states(checkout.run("setup", "--verbose").stderr).values()) == {"same", "done"}
    further = checkout.run("ddb.seed", "--messages", "3", expect=2).stderr
    assert "books has no step ddb.seed\n" in further
    nobody = checkout.run("ddb.patterns.list-conversations", "ada", expect=1).stderr
    assert nobody.endswith("\nhint: there are: none\n")


def test_a_broken_conversation_line_is_named_and_nothing_is_written(checkout: Checkout) -> None:
    conversation = checkout.root / "ddb" / "seeds" / "cruddur-messages.txt"
    number = len(conversation.read_text().splitlines()) + 1
    with conversation.open("a") as file:
        file.write("no handle here\n")
    done = checkout.run("setup", expect=1)
    assert f"ddb/seeds/cruddur-messages.txt:{number}: not a `handle: text` line" in done.stderr
    assert checkout.run("ddb.scan", "--json").stdout == ""


def test_a_server_that_is_only_starting_is_not_blamed(checkout: Checkout) -> None:
    settings = checkout.settings()
    release = threading.Event()

    def fail() -> str:
        raise DevError("it broke")

    def emit(event: Event) -> None:
        events.append(event)
        if event.kind == "failed":
            release.set()

    events: list[Event] = []
    starting = Step("aws", "start it", lambda: str(release.wait(20)))
    failing = steps.with_server_logs(settings, Step("db.seed", "load", fail))
    with pytest.raises(pipeline.FailedError):
        pipeline.run([starting, failing], emit)
    assert [one.detail for one in events if one.kind == "failed"] == [
        "it broke\npostgres: not running"
    ]


def test_a_dead_server_is_blamed_with_the_end_of_its_log(checkout: Checkout) -> None:
    checkout.run("up")
    control = checkout.root / ".dev" / "postgres" / "data" / "global" / "pg_control"
    checkout.run("down")
    control.unlink()
    done = checkout.run("setup", expect=1)
    assert states(done.stderr)["postgres"] == "FAIL"
    assert "postgres.log: " in done.stderr
    assert "could not find the database system" in done.stderr


@pytest.mark.parametrize("flags", [("setup", "--plan"), ("--dry", "setup")])
def test_a_plan_names_every_step_and_does_nothing(
    checkout: Checkout, flags: tuple[str, ...]
) -> None:
    done = checkout.run(*flags)
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == list(STEPS)
    assert "create the database cruddur on 127.0.0.1:5432" in done.stdout
    assert not (checkout.root / ".dev").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("db.drop",),
        ("db.reset",),
        ("db.kill-sessions",),
        ("ddb.drop", "cruddur-messages"),
        ("ddb.patterns.send-message", "korney", "dry"),
        ("ddb.patterns.start-conversation", "korney", "smirnov", "dry"),
        ("cognito.sync",),
        ("down",),
    ],
)
def test_dry_runs_change_nothing(running: Checkout, words: tuple[str, ...]) -> None:
    before = content(running)
    running.run("--dry", *words)
    assert content(running) == before


def test_steps_are_named_like_tasks(checkout: Checkout) -> None:
    listed = checkout.run("--complete", "--", "invoke").stdout.split()
    steps = {step.name for step in setup.setup(checkout.settings())}
    assert steps - {"postgres", "aws"} <= set(listed)


def test_every_run_is_recorded(checkout: Checkout) -> None:
    checkout.run("setup")
    (record,) = (checkout.root / ".dev" / "runs").glob("*.jsonl")
    first, *events = map(json.loads, record.read_text().splitlines())
    assert first["command"] == "setup"
    assert {event["step"] for event in events if event["kind"] == "finished"} == set(STEPS)


def test_a_terminal_shows_a_live_board(checkout: Checkout) -> None:
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        checkout.command("setup"),
        cwd=checkout.root,
        env=clean_environment() | {"TERM": "xterm-256color", "COLUMNS": "100"},
        stdout=terminal,
        stderr=terminal,
        stdin=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    shown = b""
    while chunk := _read(screen):
        shown += chunk
    assert process.wait(30) == 0
    text = shown.decode()
    assert "✓" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h")  # the cursor is back
    assert "setup: done in" in text


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux' way to say that the other end is closed
        return b""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An environment that is set up, for tests that leave it as it was."""
    from tests.conftest import copy_project, remove_state

    checkout = Checkout(copy_project(tmp_path_factory.mktemp("running") / "project"))
    try:
        checkout.run("setup")
        yield checkout
    finally:
        remove_state(checkout.root)


def test_passwords_are_shown_nowhere(running: Checkout) -> None:
    password = (running.root / ".dev" / "password").read_text()
    for words in (("setup",), ("status", "--json"), ("db.sessions",), ("setup", "--plan")):
        done = running.run(*words)
        assert password not in done.stdout + done.stderr
    for path in (running.root / ".dev").rglob("*"):
        if path.is_file() and path.suffix in (".log", ".jsonl", ".json"):
            assert password not in path.read_text()
    arguments = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True)
    assert password not in arguments.stdout


def test_status_tells_each_service(running: Checkout) -> None:
    rows = json.loads(running.run("status", "--json").stdout)
    assert [(row["service"], row["state"], row["reason"]) for row in rows] == [
        ("postgres", "healthy", ""),
        ("aws", "healthy", ""),
    ]
    assert all(row["since"] and row["address"].startswith("127.0.0.1:") for row in rows)


def test_get_conversation_takes_its_group_by_position_or_the_latest(running: Checkout) -> None:
    group = json.loads(running.run("ddb.patterns.list-conversations", "korney", "--json").stdout)[
        0
    ]["group"]
    named = running.run("ddb.patterns.get-conversation", group, "--limit", "3")
    latest = running.run("ddb.patterns.get-conversation", "--limit", "3")
    assert named.stdout == latest.stdout
    assert len(named.stdout.splitlines()) == 3


def test_paging_back_by_the_hint_goes_through_the_whole_conversation(running: Checkout) -> None:
    lines: list[str] = []
    before: list[str] = []
    while True:
        done = running.run("ddb.patterns.get-conversation", "--limit", "50", *before)
        if not done.stdout:
            break
        lines = done.stdout.splitlines() + lines
        before = ["--before", done.stderr.rpartition("--before ")[2].strip()]
    assert len(lines) == 120


def test_psql_gets_the_words_after_the_dashes_as_they_are(running: Checkout) -> None:
    done = running.run("db.connect", "--", "-Atc", "SELECT handle FROM users ORDER BY 1")
    assert done.stdout.split() == ["korney", "smirnov"]


def test_a_reader_that_goes_away_ends_the_scan_quietly(running: Checkout) -> None:
    scan = running.start("ddb.scan", "--json")
    assert scan.stdout
    scan.stdout.close()  # before it writes: what it writes fits into the pipe
    assert scan.stderr
    talk = scan.stderr.read()
    assert scan.wait(30) == 0
    assert talk == ""


def test_bad_numbers_are_said_without_a_traceback(running: Checkout) -> None:
    done = running.run("ddb.scan", "--limit", "many", expect=2)
    assert done.stderr.startswith("--limit=many is not a whole number from 1 to ")


def test_same_named_tasks_run_one_after_the_other(checkout: Checkout) -> None:
    checkout.run("up")
    done = checkout.run("db.setup", "cognito.create-pool", "ddb.schema-load", "ddb.seed", "db.seed")
    for command in ("db.setup", "cognito.create-pool", "ddb.seed", "db.seed"):
        assert f"{command}: done in" in done.stderr


def test_a_deleted_state_folder_means_a_fresh_environment(checkout: Checkout) -> None:
    import shutil

    checkout.run("setup")
    checkout.run("ddb.patterns.send-message", "korney", "from before")
    data = (checkout.root / ".dev" / "postgres").resolve()
    shutil.rmtree(checkout.root / ".dev")
    checkout.run("setup")
    if data != (checkout.root / ".dev" / "postgres").resolve():  # root's, who keeps it elsewhere
        shutil.rmtree(data, ignore_errors=True)
    assert not any("from before" in item for item in content(checkout)["items"])
    assert len(content(checkout)["items"]) == 122
