"""`ci`: what it lends to a command, what it leaves behind, and what it tells GitHub Actions."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import yaml
from invoke.collection import Collection

from scripts import settings, shell, state
from scripts.environment import ci
from scripts.stacks import ports
from scripts.stacks.embedded import postgres_server
from tests.conftest import PROJECT, Checkout, runs
from tests.docker_engine import remove_containers
from tests.environment.test_variables import APP, SEEN
from tests.test_architecture import namespace  # noqa: F401 - a fixture

SLEEP = [sys.executable, "-c", "import time; print('asleep', flush=True); time.sleep(60)"]
PSQL = str(shell.postgres_home() / "bin" / "psql")


def leftovers(checkout: Checkout, talk: str) -> list[str]:
    """The temporary environments there are, and the ports where a run's servers still listen."""
    folder = checkout.settings().throwaways
    taken = re.findall(r"listening on 127\.0\.0\.1:(\d+)", talk)
    listening = [port for port in taken if not ports.is_free(int(port))]
    return listening + ([path.name for path in folder.iterdir()] if folder.is_dir() else [])


@pytest.fixture
def untouched(checkout: Checkout) -> Iterator[Checkout]:
    """A checkout with an environment of its own, which is the same afterwards."""
    checkout.run("setup")
    kept = [checkout.root / ".dev" / name for name in ("postgres.json", "aws.json", "password")]
    before = [path.read_text() for path in kept], checkout.run("ddb.scan", "--json").stdout
    yield checkout
    checkout.run("check")
    assert (
        [path.read_text() for path in kept],
        checkout.run("ddb.scan", "--json").stdout,
    ) == before
    assert not (checkout.root / ".dev" / "stack").exists()


def asleep(process: "subprocess.Popen[str]") -> None:
    assert process.stdout
    assert process.stdout.readline() == "asleep\n"


def test_a_command_finds_an_environment_of_its_own_and_nothing_stays(untouched: Checkout) -> None:
    done = untouched.run("ci", "--", sys.executable, "-c", APP)
    assert json.loads(done.stdout) == SEEN
    port = re.search(r"postgres .*listening on 127\.0\.0\.1:(\d+)", done.stderr)
    usual = json.loads((untouched.root / ".dev" / "postgres.json").read_text())["port"]
    assert port
    assert int(port[1]) != usual
    assert leftovers(untouched, done.stderr) == []


def test_ports_that_the_user_set_are_left_to_the_usual_environment(untouched: Checkout) -> None:
    usual = json.loads((untouched.root / ".dev" / "postgres.json").read_text())["port"]
    untouched.run("ci", env={"POSTGRES_PORT": str(usual)})


def test_our_own_tasks_work_in_it_too(checkout: Checkout) -> None:
    script = f'"{sys.executable}" tasks.py db.drop && "{sys.executable}" tasks.py ddb.list-tables'
    done = checkout.run("ci", "--", "sh", "-c", script)
    assert done.stdout == "TABLE\ncruddur-messages\n"
    assert leftovers(checkout, done.stderr) == []


def test_nothing_waits_for_the_disk(checkout: Checkout) -> None:
    names = ("fsync", "synchronous_commit", "full_page_writes")
    script = "".join(f"SHOW {name};" for name in names)
    assert checkout.run("ci", "--", PSQL, "-tAc", script).stdout == "off\n" * 3


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["sh", "-c", "exit 7"], 7, "ended with code 7"),
        (["sh", "-c", "kill -9 $$"], 137, "ended with code 137"),
        (["true"], 0, "finished"),
    ],
)
def test_the_commands_exit_code_is_ours(
    checkout: Checkout, command: list[str], code: int, said: str
) -> None:
    done = checkout.run("ci", "--", *command, expect=code)
    assert f": {said} after " in done.stderr
    assert leftovers(checkout, done.stderr) == []


def test_a_program_that_is_not_there_is_named(checkout: Checkout) -> None:
    done = checkout.run("ci", "--", "nosuch", expect=127)
    assert done.stderr.endswith(
        "nosuch: No such file or directory\nhint: check the words after --\n"
    )
    assert leftovers(checkout, done.stderr) == []


def test_a_setup_that_fails_is_told_with_its_line_and_the_command_does_not_run(
    checkout: Checkout, tmp_path: Path
) -> None:
    seed = checkout.root / "sql" / "seed.sql"
    seed.write_text("\n\nINSERT INTO nope VALUES (1);\n")
    job = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    workspace = {"GITHUB_WORKSPACE": str(checkout.root.parent)}
    done = checkout.run("ci", "--", "touch", str(tmp_path / "ran"), env=job | workspace, expect=1)
    assert not (tmp_path / "ran").exists()
    errors = [line for line in done.stderr.splitlines() if line.startswith("::error")]
    assert errors == [
        "::error title=db.seed,file=checkout/sql/seed.sql,line=3::sql/seed.sql:3: "
        'relation "nope" does not exist%0A  | INSERT INTO nope VALUES (1);%0A'
        "hint: correct sql/seed.sql; nothing was changed"
    ]
    assert "then rerun: ./invoke ci\n" in done.stderr
    assert re.search(
        r"^\| db.seed \| failed \| \d+\.\d\d \|$", (tmp_path / "summary.md").read_text(), re.M
    )
    assert leftovers(checkout, done.stderr) == []


def test_an_error_in_an_apps_own_file_is_shown_at_its_line(
    checkout: Checkout, tmp_path: Path
) -> None:
    schema = tmp_path / "my app" / "backend" / "db" / "schema.sql"
    schema.parent.mkdir(parents=True)
    schema.write_text("CREATE TABLE kept (x integer);\nSELECT nope;\n")
    app = tmp_path / "my app"
    (app / "app.toml").write_text('[postgres]\nschema = "backend/db/schema.sql"\n')
    job = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(tmp_path)}
    done = checkout.run("--app", str(app), "ci", "--", "true", env=job, expect=1)
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("::error")]
    assert error.startswith(
        "::error title=db.schema-load,file=my app/backend/db/schema.sql,line=2"
        '::backend/db/schema.sql:2: column "nope" does not exist'
    )


def test_in_a_job_there_are_groups_and_a_summary_with_the_times(
    checkout: Checkout, tmp_path: Path
) -> None:
    job = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    done = checkout.run("ci", "--", "sh", "-c", "exit 3 | true; exit 3", env=job, expect=3)
    groups = [line for line in done.stderr.splitlines() if line.startswith("::")]
    assert groups == [
        "::group::ci: setup",
        "::endgroup::",
        "::group::ci: sh -c 'exit 3 | true; exit 3'",
        "::endgroup::",
        "::error title=sh -c 'exit 3 | true; exit 3'::ended with code 3",
        "::group::ci: remove it all",
        "::endgroup::",
    ]
    rows = (tmp_path / "summary.md").read_text().splitlines()
    assert rows[:2] == ["| step | stack embedded | seconds |", "| --- | --- | --- |"]
    steps = [row.split(" | ")[0] for row in rows[2:]]
    assert {"| postgres", "| db.seed", "| check", "| setup"} <= set(steps)
    assert re.fullmatch(
        r"\| sh -c 'exit 3 \\\| true; exit 3' \| ended with code 3 \| \d\.\d\d \|", rows[-1]
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_and_nothing_stays(
    untouched: Checkout, number: signal.Signals
) -> None:
    process = untouched.start("ci", "--", *SLEEP)
    asleep(process)
    process.send_signal(number)
    _, talk = process.communicate(timeout=60)
    assert process.returncode == 128 + number, talk
    assert leftovers(untouched, talk) == []


def test_a_signal_in_the_setup_ends_it_and_nothing_stays(checkout: Checkout) -> None:
    process = checkout.start("ci")
    assert process.stderr
    seen = ""
    while "done  aws" not in seen:
        seen += process.stderr.readline()
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, talk = process.communicate(timeout=60)
    assert process.returncode == 143
    assert leftovers(checkout, seen + talk) == []


def test_a_command_that_takes_no_notice_is_killed(checkout: Checkout) -> None:
    stubborn = "import signal; signal.signal(15, signal.SIG_IGN)\n" + SLEEP[2]
    process = checkout.start("ci", "--", sys.executable, "-c", stubborn)
    asleep(process)
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    _, talk = process.communicate(timeout=60)
    assert process.returncode == 143
    assert time.monotonic() - begin > ci.GRACE_SECONDS
    assert leftovers(checkout, talk) == []


def test_what_a_kill_leaves_is_removed_by_the_next_run(checkout: Checkout) -> None:
    process = checkout.start("ci", "--", *SLEEP)
    asleep(process)
    (sleeper,) = psutil.Process(process.pid).children()
    process.kill()
    sleeper.kill()
    process.communicate()
    (name,) = (path.name for path in checkout.settings().throwaways.iterdir())
    server = postgres_server.server(settings.load(checkout.root, {"DEV_THROWAWAY": name}))
    (running,) = [
        p for p in psutil.process_iter(["cmdline"]) if server.marker in (p.info["cmdline"] or ())
    ]
    for mine in ("mine", "embedded_mine"):  # DEV_THROWAWAY takes any name
        checkout.settings().throwaways.joinpath(mine).mkdir()
    done = checkout.run("ci", "--", "true")
    assert f"ci: removing {name}, left over from a run that was killed\n" in done.stderr
    assert not runs(running.pid)
    assert sorted(leftovers(checkout, done.stderr)) == ["embedded_mine", "mine"]


def test_two_at_once_do_not_touch_each_other(checkout: Checkout) -> None:
    runs = [checkout.start("ci", "--", sys.executable, "-c", APP) for _ in range(2)]
    ends = [run.communicate(timeout=100) for run in runs]
    for run, (answer, talk) in zip(runs, ends, strict=True):
        assert run.returncode == 0, talk
        assert json.loads(answer) == SEEN
        assert "left over" not in talk
    assert leftovers(checkout, "".join(talk for _, talk in ends)) == []


def test_on_the_docker_stack(engine: None, new_checkout: Callable[[str], Checkout]) -> None:
    checkout = new_checkout("checkout")
    try:
        done = checkout.run("ci", "--stack", "docker", "--", sys.executable, "-c", APP)
        assert checkout.settings().stack == "embedded"
        assert leftovers(checkout, done.stderr) == []
        volumes = json.loads(done.stdout), done.stderr.count("removed the volume")
        assert volumes == (SEEN, 3)
    finally:
        remove_containers(checkout.root)


def test_the_aws_stack_has_none(checkout: Checkout) -> None:
    env = {"PROD_DATABASE_URL": "postgresql://me@db.example.com/app"}
    done = checkout.run("ci", "--stack", "aws", env=env, expect=2)
    assert done.stderr == ("the stack aws has no temporary environments\nhint: --stack embedded\n")


def test_a_throw_away_environment_has_another_identity() -> None:
    names = {
        state.identity(settings.load(PROJECT, {"DEV_THROWAWAY": name})) for name in ("", "a", "b")
    }
    assert len(names) == 3


# The workflow of this project itself


def test_the_workflow_calls_tasks_that_there_are(namespace: Collection) -> None:  # noqa: F811
    workflow = yaml.safe_load((PROJECT / ".github" / "workflows" / "ci.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    commands = [step["run"] for step in steps if "run" in step]
    called = [words for text in commands for words in re.findall(r"\./invoke (\S+)", text)]
    assert {"ci", "test"} <= set(called) <= set(namespace.task_names)
    assert all(
        re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"]) for step in steps if "uses" in step
    )
    matrix = workflow["jobs"]["ci"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert matrix["stack"] == ["embedded", "docker"]
    assert {system.partition("-")[0] for system in matrix["os"]} == {"ubuntu", "macos"}
    assert matrix["exclude"] == [{"os": matrix["os"][1], "stack": "docker"}]
