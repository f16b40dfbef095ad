"""The tasks by their command line: usage errors, empty lists, single services, hints."""

import json
import re
import subprocess
from pathlib import Path

import psutil
import pytest

from scripts import stacks
from scripts.cli import program
from scripts.environment import variables
from tests.conftest import Checkout


@pytest.fixture
def running(checkout: Checkout) -> Checkout:
    checkout.run("setup")
    return checkout


def test_every_option_shows_its_type_and_its_default() -> None:
    from tasks import ns

    options = {
        f"{name} --{one.names[0]}": program.describe(one)
        for name in ns.task_names
        for one in ns[name].get_arguments()
        if not one.positional
    }
    assert len(options) > 100
    assert [name for name, text in options.items() if "default: " not in text] == []
    assert "(1 to 20; default: 1)" in options["timeline --runs"]


def test_the_choices_are_those_of_the_code() -> None:
    from tasks import ns

    kinds = {str(one.name): one.kind for one in ns["env"].get_arguments()}
    assert kinds["format"].choices == tuple(variables.FORMATS)
    assert kinds["stack"].choices == tuple(stacks.MODULES)


@pytest.mark.parametrize(
    "words",
    [
        ("env", "--format", "xml"),
        ("timeline", "--runs", "abc"),
        ("web", "--port", "70000"),
        ("up", "--stack", "dcker"),
        ("up", "postgress"),
        ("restart", "postgress"),
        ("down", "postgres", "--volumes"),
        ("snapshot.save", "a b"),
        ("snapshot.restore", "a b"),
        ("setup", "--json"),
        ("ddb.load", ""),
        ("db.load", "", "users"),
        ("ddb.export", "cruddur-messages", ""),
        ("completion", "--shell", "tcsh"),
        ("ddb.seed", "--messages", "-1"),
    ],
)
def test_a_usage_error_ends_with_2_and_starts_nothing(
    checkout: Checkout, words: tuple[str, ...]
) -> None:
    done = checkout.run(*words, expect=2)
    assert (done.stdout, done.stderr.count("\nhint: ")) == ("", 1)
    assert {row.state for row in stacks.list_status(checkout.settings())} == {"down"}


def test_lists_that_are_empty_say_so_on_stderr(checkout: Checkout) -> None:
    checkout.run("up")
    for words, said in [
        (("snapshot.list",), "no snapshots yet; ./invoke snapshot.save NAME creates one\n"),
        (("ddb.list-tables",), "no tables yet; ./invoke ddb.schema-load creates them\n"),
    ]:
        assert (checkout.run(*words).stdout, checkout.run(*words).stderr) == ("", said)
        assert json.loads(checkout.run(*words, "--json").stdout) == []


def test_a_plan_shows_what_is_done_and_starts_nothing(checkout: Checkout) -> None:
    fresh = checkout.run("setup", "--plan")
    assert fresh.stdout.count(" would run ") == 11
    assert fresh.stderr == "11 of 11 steps would run\n"
    assert not (checkout.root / ".dev").exists()
    checkout.run("setup")
    done = checkout.run("setup", "--dry")
    assert done.stderr == "1 of 11 steps would run\n"
    checkout.run("ddb.drop", "cruddur-messages")
    plan = json.loads(checkout.run("setup", "--plan", "--json").stdout)
    waiting = {step["step"] for step in plan["steps"] if step["would_run"]}
    assert waiting == {"ddb.schema-load", "ddb.seed", "check"}
    assert plan["would_run"] == 3
    assert json.loads(checkout.run("ddb.list-tables", "--json").stdout) == []


@pytest.mark.parametrize("form", [("--plan",), ("--dry",), ("--plan", "--json")])
def test_a_plan_says_what_setup_would_refuse(running: Checkout, form: tuple[str, ...]) -> None:
    schema = running.root / "sql" / "schema.sql"
    schema.write_text(schema.read_text() + "CREATE TABLE more (id int);\n")
    plan = running.run("setup", *form, expect=1)
    refused = running.run("setup", expect=1)
    (reason,) = re.findall(r"sql/schema.sql changed since .*", refused.stderr)
    hint = "hint: ./invoke db.reset (rebuilds the database; undo reverts it)"
    if "--json" in form:
        found = json.loads(plan.stdout)
        states = {step["step"]: step["plan"] for step in found["steps"]}
        (what,) = [one["what"] for one in found["steps"] if one["plan"] == "would fail"]
        assert what == f"{reason}\n{hint}"
        assert (found["would_run"], found["would_fail"]) == (0, ["db.schema-load"])
    else:
        assert plan.stderr.endswith(f"db.schema-load would fail: {reason}\n{hint}\n")
        lines = [re.split(" {2,}", line) for line in plan.stdout.splitlines()[1:]]
        states = {line[0]: line[1] for line in lines}
    assert states == {
        **dict.fromkeys(("postgres", "aws", "db.create", "ddb.schema-load"), "done"),
        **dict.fromkeys(("cognito.create-pool",), "done"),
        "db.schema-load": "would fail",
        **dict.fromkeys(("db.seed", "ddb.seed", "check"), "blocked"),
        **dict.fromkeys(("cognito.create-users", "cognito.sync"), "blocked"),
    }


def test_every_plan_says_what_is_known_to_be_refused(running: Checkout) -> None:
    running.run("snapshot.save", "monday")
    running.run("snapshot.save", "tuesday")
    for saved in (running.root / ".dev").rglob("snapshots/**/tuesday/users.json"):
        saved.write_text("[")
    (running.root / "sql" / "seed.sql").write_text("INSERT INTO users (handle) VALUES ('x');")
    table = running.root / "ddb" / "tables" / "cruddur-messages.json"
    table.write_text(table.read_text().replace("message-group-sk-index", "other"))
    name = "cruddur__gone"
    for words in (
        ("db.seed",),
        ("db.setup",),
        ("ddb.schema-load",),
        ("ddb.drop", "nope"),
        ("snapshot.save", "monday"),
        ("snapshot.restore", "tuesday"),
    ):
        plan = running.run(*words, "--plan", expect=1)
        (reason,) = re.findall(r"would fail: (.*)", plan.stderr)
        assert reason in running.run(*words, expect=1).stderr
    assert (
        "0 of 1 step would run" in running.run("snapshot.save", "monday", "--plan", expect=1).stderr
    )
    running.run("db.connect", "--", "-c", f'CREATE DATABASE "{name}"')
    for words in (("reset",), ("db.reset",), ("snapshot.restore", "monday")):
        plan = running.run(*words, "--plan", expect=1)
        assert f"would fail: {name}: not created by this tool" in plan.stderr
    running.run("down")
    assert "would fail" not in running.run("setup", "--plan").stderr  # nobody can know it


def test_after_a_crash_every_command_prints_the_two_lines_that_env_prints(
    running: Checkout,
) -> None:
    server = psutil.Process(
        int((running.root / ".dev/postgres/data/postmaster.pid").read_text().split()[0])
    )
    for process in [server, *server.children(recursive=True)]:
        process.kill()
    expected = running.run("env", expect=1).stderr
    assert re.fullmatch(r"postgres is not running at 127.0.0.1:\d+\nhint: ./invoke up\n", expected)
    for words in (
        ("check",),
        ("snapshot.save", "monday"),
        ("db.seed",),
        ("db.drop",),
        ("db.reset",),
        ("ddb.seed",),
        ("db.sessions",),
    ):
        assert running.run(*words, expect=1).stderr == expected, words
    running.run("ddb.schema-load")
    running.run("up")
    running.run("check")


def test_a_single_service_is_stopped_started_and_restarted(running: Checkout) -> None:
    def list_since() -> dict[str, str]:
        rows = json.loads(running.run("status", "--json", expect=None).stdout)
        return {row["service"]: row["since"] for row in rows}

    before = list_since()
    running.run("down", "postgres")
    assert list_since() == before | {"postgres": None}
    running.run("up", "postgres")
    started = list_since()
    assert started["aws"] == before["aws"]
    assert started["postgres"]
    done = running.run("restart", "aws")
    assert re.match(r"done  aws .* stopped; listening on 127.0.0.1:\d+\n", done.stderr)
    after = list_since()
    assert after["postgres"] == started["postgres"]
    assert after["aws"] not in (None, started["aws"])
    running.run("restart")
    running.run("check")


def test_words_that_look_like_options_can_be_sent(running: Checkout) -> None:
    send = "ddb.patterns.send-message"
    assert running.run(send, "korney", "--help").stdout.startswith(f"Usage: ./invoke {send} ")
    assert running.run("ddb.scan", "--json").stderr == "122 items of cruddur-messages\n"
    running.run(send, "korney", "--", "--help")
    page = json.loads(running.run("ddb.patterns.get-conversation", "--limit", "1", "--json").stdout)
    assert [message["text"] for message in page["messages"]] == ["--help"]
    assert page["messages"][0]["at"].endswith("+00:00")


def test_an_export_with_dry_writes_nothing(running: Checkout) -> None:
    running.run("ddb.export", "cruddur-messages", "--dry", expect=2)
    done = running.run("ddb.export", "cruddur-messages", "items", "--dry")
    assert done.stderr.startswith("would write the items of cruddur-messages in ")
    assert not list(running.root.glob("*items")) + list(running.root.glob("*dry"))


def test_a_place_that_cannot_be_written_is_named_without_a_traceback(running: Checkout) -> None:
    done = running.run("ddb.export", "cruddur-messages", "/sys/items.jsonl", expect=1)
    assert "/sys/items.jsonl" in done.stderr


def test_what_does_not_exist_is_named_with_the_closest_and_no_wrong_advice(
    running: Checkout,
) -> None:
    running.run("snapshot.save", "monday")
    for words, hint in [
        (("ddb.scan", "--table", "cruddur-mesages"),
         "did you mean cruddur-messages? tables: cruddur-messages"),
        (("snapshot.restore", "mondy"), "did you mean monday? snapshots: monday"),
        (("snapshot.delete", "x"), "snapshots: monday"),
    ]:  # fmt: skip
        done = running.run(*words, expect=1)
        assert done.stderr.splitlines()[-1] == f"hint: {hint}"


def test_a_failed_pipeline_repeats_its_arguments(running: Checkout) -> None:
    (running.root / "ddb/seeds/cruddur-messages.txt").write_text("nonsense")
    done = running.run("ddb.seed", "--messages", "7", "--stack", "embedded", expect=1)
    assert done.stderr.splitlines()[-1] == (
        "Fix the error above, then rerun: ./invoke --stack embedded ddb.seed --messages=7"
    )


def test_status_begins_with_the_app_its_folder_and_its_branch(
    checkout: Checkout, tmp_path: Path
) -> None:
    root = checkout.root

    def show(place: Checkout = checkout) -> tuple[str, object]:
        done = place.run("status", "--json", expect=1)
        rows = json.loads(done.stdout)
        assert [(row["service"], row["state"]) for row in rows] == [
            ("postgres", "down"),
            ("aws", "down"),
        ]
        assert {(row["app"], row["folder"]) for row in rows} == {("cruddur", str(place.root))}
        (branch,) = {row["branch"] for row in rows}
        return done.stderr.splitlines()[0], branch

    def git(*words: str) -> str:
        author = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        command = ("git", "-C", str(root), *author, *words)
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert show() == (f"app: cruddur in {root}", None)
    git("init", "--initial-branch", "feature/shop")
    assert show() == (f"app: cruddur in {root}, branch feature/shop", "feature/shop")
    git("add", "-A")
    git("commit", "-m", "first")
    git("worktree", "add", str(tmp_path / "other"), "-b", "other")
    other = Checkout(tmp_path / "other")
    assert show(other) == (f"app: cruddur in {other.root}, branch other", "other")
    git("checkout", "--detach")
    branch = f"(detached at {git('rev-parse', '--short', 'HEAD')})"
    assert show() == (f"app: cruddur in {root}, branch {branch}", branch)
    hook = checkout.run("status", env={"GIT_DIR": str(other.root / ".git")}, expect=1)
    assert hook.stderr.startswith(f"app: cruddur in {root}, branch {branch}\n")
    without = checkout.run("status", env={"PATH": ""}, expect=1)
    assert without.stderr.startswith(f"app: cruddur in {root}\n")


def test_status_is_watched_until_it_is_interrupted(running: Checkout) -> None:
    with running.start("status", "--watch") as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(2)]
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  postgres  healthy ", lines[0])
        running.run("down", "aws")
        changed = process.stdout.readline()
        assert re.search(r"  aws +down ", changed)
        process.send_signal(2)
        assert process.wait(20) == 130
