"""What `./invoke` alone shows, and what it says to words that it does not know."""

import os
import subprocess
import sys

import pytest

from tests.conftest import PROJECT, clean_environment
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
    assert lines[:4] == [
        "./invoke setup makes everything run, filled with data; ./invoke status shows it.",
        "./invoke TASK --help tells what a task takes, ./invoke --help what all take.",
        "",
        "The environment",
    ]
    assert lines[-1] == (
        "Exit codes: 0 done, 1 failed, 2 mistyped, 3 refused to destroy, 130 interrupted."
    )
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


def test_the_list_is_invokes_own() -> None:
    lines = run("--list").stdout.splitlines()
    assert lines[0] == "Subcommands:"
    assert {line.split()[0] for line in lines[1:] if line} >= TASKS


SHOWS = "./invoke shows them all"


@pytest.mark.parametrize(
    ("words", "reason", "hint"),
    [
        (["stup"], "there is no task stup", f"did you mean setup? {SHOWS}"),
        (["seed"], "there is no task seed", f"did you mean db.seed or ddb.seed? {SHOWS}"),
        (["ddb.scna"], "there is no task ddb.scna", f"did you mean ddb.scan? {SHOWS}"),
        (["nonsense"], "there is no task nonsense", SHOWS),
        (["it's"], "there is no task it's", SHOWS),
        (["--help", "stup"], "there is no task stup", f"did you mean setup? {SHOWS}"),
        (
            ["setup", "--stak", "docker"],
            "setup has no option --stak",
            "did you mean --stack? ./invoke setup --help",
        ),
        (["setup", "--stack"], "--stack needs a value", "./invoke setup --help"),
        (
            ["ddb.patterns.send-message"],
            "ddb.patterns.send-message needs 'handle', 'message'",
            "./invoke ddb.patterns.send-message --help",
        ),
        (["--lst"], "./invoke has no option --lst", "did you mean --list? ./invoke --help"),
        (["-D", "deep", "--list"], "'deep' is not a number", "./invoke --help"),
        (["--list-depth"], "--list-depth needs a value", "./invoke --help"),
    ],
)
def test_a_mistyped_word_ends_with_2_and_the_nearest(
    words: list[str], reason: str, hint: str
) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{reason}\nhint: {hint}\n"


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
