"""What `./invoke` alone shows, and what it says to words that it does not know."""

import os
import re
import subprocess
import sys
import tomllib

import invoke
import pytest
from invoke.util import helpline

from scripts.cli import arguments
from scripts.cli.program import DevProgram
from scripts.errors import UsageError
from tests.conftest import PROJECT, Checkout, clean_environment
from tests.test_architecture import TASKS


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "tasks.py", *words],
        cwd=PROJECT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_alone_it_shows_a_start_the_tasks_in_groups_and_the_exit_codes() -> None:
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:6] == [
        "./invoke setup         start the services and load the seed data",
        "./invoke status        show the services",
        "./invoke TASK --help   show the options of a task",
        "./invoke --help        show the options of every task",
        "",
        "The environment",
    ]
    assert lines[-2:] == [
        "Exit codes: 0 success, 1 failure, 2 usage error, 3 destructive action refused,",
        "130 interrupted.",
    ]
    assert {line.split()[0] for line in lines if line.startswith("  ")} >= TASKS
    assert {line for line in lines if line and not line.startswith("  ")} >= {
        "The environment",
        "Postgres",
        "DynamoDB",
        "The app's access patterns",
        "Cognito",
        "Production",
    }
    assert [line for line in lines if len(line) > 80] == []


def test_every_group_is_aligned() -> None:
    groups = run().stdout.split("\n\n")[1:-1]
    assert len(groups) >= 6
    for group in groups:
        tasks = group.splitlines()[1:]
        starts = {len(line) - len(line[2:].partition(" ")[2].lstrip()) for line in tasks}
        assert len(starts) == 1, group


@pytest.mark.parametrize("words", [["help"], ["list"]])
def test_help_and_list_show_the_same_as_no_word(words: list[str]) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout, done.stderr) == (0, run().stdout, "")


@pytest.mark.parametrize(
    ("words", "groups"),
    [
        (["db"], {"Postgres"}),
        (["db", "--help"], {"Postgres"}),
        (["help", "db"], {"Postgres"}),
        (["--help", "db"], {"Postgres"}),
        (["ddb"], {"DynamoDB", "The app's access patterns"}),
        (["ddb.patterns"], {"The app's access patterns"}),
        (["rds"], {"Production"}),
    ],
)
def test_a_collection_lists_its_tasks(words: list[str], groups: set[str]) -> None:
    done = run(*words)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if line]
    listed = {line.split()[0] for line in lines if line.startswith("  ")}
    name = words[-1] if words[-1] != "--help" else words[0]
    assert listed == {task for task in TASKS if task.startswith(f"{name}.")}
    assert {line for line in lines if not line.startswith("  ")} == groups


def test_help_before_a_task_is_its_help() -> None:
    assert run("help", "db.load").stdout == run("db.load", "--help").stdout


def test_no_task_that_deletes_is_suggested() -> None:
    """Whatever is mistyped: each task with one letter less, or another one."""
    from tasks import ns

    known = {str(context.name): context for context in ns.to_contexts()}
    deleting = {
        name for name in known if re.match("Drop|Delete|Permanently", helpline(ns[name]) or "")
    }
    assert deleting == {"db.drop", "ddb.drop", "snapshot.delete"}
    for name in known:
        near = {name[:-1], name.replace("r", "u"), name.rpartition(".")[2], f"{name}s"}
        for word in near - known.keys():
            try:
                arguments.read([word], DevProgram(ns).initial_context, known, ())
            except UsageError as error:
                assert not [one for one in deleting if one in error.hint], word


def test_the_list_is_invokes_own() -> None:
    lines = run("--list").stdout.splitlines()
    assert lines[0] == "Subcommands:"
    assert {line.split()[0] for line in lines[1:] if line} >= TASKS


SHOWS = "all tasks: ./invoke"


@pytest.mark.parametrize(
    ("words", "reason", "hint"),
    [
        (["stup"], "there is no task stup", f"did you mean setup or step? {SHOWS}"),
        (["seed"], "there is no task seed", f"did you mean db.seed or ddb.seed? {SHOWS}"),
        (["ddb.scna"], "there is no task ddb.scna", f"did you mean ddb.scan? {SHOWS}"),
        (["nonsense"], "there is no task nonsense", SHOWS),
        (["it's"], "there is no task it's", SHOWS),
        (["--help", "stup"], "there is no task stup", f"did you mean setup or step? {SHOWS}"),
        (
            ["setup", "--stak", "docker"],
            "setup has no option --stak",
            "did you mean --stack? ./invoke setup --help",
        ),
        (["setup", "--stack"], "--stack needs a value", "./invoke setup --help"),
        (
            ["ddb.patterns.send-message"],
            "ddb.patterns.send-message needs HANDLE, MESSAGE",
            "./invoke ddb.patterns.send-message --help",
        ),
        (["--lst"], "./invoke has no option --lst", "did you mean --list? ./invoke --help"),
        (
            ["-D", "deep", "--list"],
            "--list-depth=deep is not a whole number from 0 to 86,400",
            "./invoke --help",
        ),
        (["--list-depth"], "--list-depth needs a value", "./invoke --help"),
        (
            ["--list", "dbb"],
            "there is no collection dbb",
            "did you mean db? collections: cognito, db, ddb, ddb.patterns, rds, snapshot",
        ),
        (["db.dump"], "there is no task db.dump", SHOWS),
        (["drop"], "there is no task drop", SHOWS),
        (["ddb.drp"], "there is no task ddb.drp", SHOWS),
        (["db", "reset"], "there is no task db", f"did you mean db.reset? {SHOWS}"),
        (["db", "drop"], "there is no task db", SHOWS),
        (["start"], "there is no task start", f"did you mean up? {SHOWS}"),
        (["stop"], "there is no task stop", f"did you mean down? {SHOWS}"),
        (["ps"], "there is no task ps", f"did you mean status? {SHOWS}"),
        (["init-db"], "there is no task init-db", f"did you mean db.setup? {SHOWS}"),
        (["console"], "there is no task console", f"did you mean db.connect? {SHOWS}"),
        (["psql"], "there is no task psql", f"did you mean db.connect? {SHOWS}"),
        (["destroy"], "there is no task destroy", f"did you mean down --volumes? {SHOWS}"),
    ],
)
def test_a_usage_error_ends_with_2_and_names_the_closest_word(
    words: list[str], reason: str, hint: str
) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{reason}\nhint: {hint}\n"


def test_migrate_suggests_the_tasks_that_exist() -> None:
    hint = run("migrate").stderr.splitlines()[1]
    named = hint.removeprefix("hint: did you mean ").partition("?")[0].split(" or ")
    assert "db.reset" in named
    assert all(run(name, "--help").returncode == 0 for name in named)


@pytest.mark.parametrize("words", [["--version"], ["-V"], ["setup", "--version"]])
def test_the_version_of_the_project_stands_before_invokes(words: list[str]) -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    expected = f"{project['name']} {project['version']}\nInvoke {invoke.__version__}\n"
    assert run(*words).stdout == expected


def test_the_help_has_our_tasks_before_the_options_that_have_an_effect() -> None:
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    tasks, title, options = done.stdout.partition("\nOptions of every task:\n")
    assert title
    assert f"{tasks}" == run().stdout
    assert "--dry" in options
    assert "--stack=NAME" in options
    assert not [name for name in ("--write-pyc", "--echo", "sudo", "complete") if name in options]


LOAD_HELP = """\
Usage: ./invoke db.load [options] PATH TABLE

Load a CSV file in one transaction.

Values:

  PATH    CSV file; its first line names the columns
  TABLE   table name: users, billing.invoices

Options:

  --stack=NAME   which stack to use (embedded, docker, aws; default: DEV_STACK,
                 else the one chosen last, else embedded)
  -h, --help     show this help

"""


@pytest.mark.parametrize(
    "words",
    [
        ["db.load", "--help"],
        ["--help", "db.load"],
        ["-h", "db.load"],
        ["db.load", "-h"],
        ["db.load", "a.csv", "--help"],
        ["db.load", "a.csv", "books", "--help"],
        ["db.load", "--stack", "--help"],
        ["db.load", "--stakc", "docker", "--help"],
        ["setup", "db.load", "--help", "ddb.scna"],
    ],
)
def test_help_after_a_task_is_always_the_help_of_that_task(words: list[str]) -> None:
    done = run(*words)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", LOAD_HELP)


def test_the_usage_shows_optional_values_and_words_for_a_program() -> None:
    assert run("logs", "--help").stdout.startswith("Usage: ./invoke logs [options] [SERVICE]\n")
    connect = "Usage: ./invoke db.connect [options] [-- PSQL-ARGUMENTS]\n"
    assert run("db.connect", "--help").stdout.startswith(connect)


def test_a_name_in_the_env_file_that_is_almost_a_setting_is_reported_once(
    checkout: Checkout,
) -> None:
    """Names of the app's own variables are nobody's business."""
    lines = (
        "POSTGRES_PRT=1",
        "DEV_POSTGRES_PORT=6000",
        "DEV_AWS_REGON=x",
        "POSTGRES_HOST=db",
        "AWS_COGNITO_USER_POOL_CLIENT_ID=x",
        "KEY=y",
    )
    (checkout.root / ".env").write_text("\n".join(lines))
    done = checkout.run("timeline", "completion", "--shell", "bash")
    assert done.stderr.splitlines() == [
        ".env: POSTGRES_PRT is not a setting; did you mean POSTGRES_PORT?",
        ".env: DEV_AWS_REGON is not a setting; did you mean DEV_AWS_REGION?",
        "no runs yet; ./invoke setup records one",
    ]


def test_stock_invoke_runs_plain_commands() -> None:
    for words in (["--list"], ["timeline", "--runs", "2"], ["completion", "--shell=bash"]):
        command = [sys.executable, "-m", "invoke", *words]
        subprocess.run(command, cwd=PROJECT, env=clean_environment(), check=True)


def test_nothing_runs_where_a_later_word_is_mistyped() -> None:
    done = run("setup", "--plan", "stup")
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("words", [[], ["--list"], ["--help"], ["setup", "--help"]])
def test_a_reader_that_goes_ends_it_quietly(words: list[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "tasks.py", *words],
        cwd=PROJECT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_the_list_takes_no_longer_than_invokes_own() -> None:
    def seconds(*words: str) -> float:
        """The processor's time, which other tests beside this one do not change much."""
        process = subprocess.Popen(
            [sys.executable, *words, "--list"],
            cwd=PROJECT,
            env=clean_environment(),
            stdout=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        return usage.ru_utime + usage.ru_stime

    pairs = [(seconds("tasks.py"), seconds("-m", "invoke")) for _ in range(5)]
    assert min(ours for ours, _ in pairs) < min(bare for _, bare in pairs) + 0.05
