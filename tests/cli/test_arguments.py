"""The words of a command line, read against the project's own tasks."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.cli import arguments
from scripts.cli.arguments import CommandLine
from scripts.cli.program import DevProgram
from scripts.errors import UsageError

SEND = "ddb.patterns.send-message"


def read(*words: str) -> CommandLine:
    from tasks import ns

    known = {str(context.name): context for context in ns.to_contexts()}
    programs = {"db.connect", "ci"}
    return arguments.read(words, DevProgram(ns).initial_context, known, programs)


def values(line: CommandLine) -> list[tuple[str, dict[str, Any]]]:
    """The tasks with the values that were given."""
    return [
        (
            str(task.name),
            {str(one.name): one.value for one in task.args.values() if one.raw_value is not None},
        )
        for task in line.tasks
    ]


def refuse(*words: str) -> str:
    with pytest.raises(UsageError) as error:
        read(*words)
    assert error.value.code == 2
    return str(error.value.message)


@pytest.mark.parametrize(
    "words",
    [
        ("db.load", "a.csv", "books", "--stack", "docker"),
        ("db.load", "a.csv", "--stack", "docker", "books"),
        ("db.load", "--stack=docker", "a.csv", "books"),
        ("--stack", "docker", "db.load", "a.csv", "books"),
        ("--stack=docker", "db.load", "a.csv", "books"),
        ("db.load", "--path", "a.csv", "--table=books", "--stack=docker"),
        ("db.load", "--stack=docker", "--", "a.csv", "books"),
        ("db.load", "a.csv", "--stack=docker", "--", "books"),
    ],
)
def test_options_stand_before_or_after_values(words: tuple[str, ...]) -> None:
    expected = {"path": "a.csv", "table": "books", "stack": "docker"}
    assert values(read(*words)) == [("db.load", expected)]


@pytest.mark.parametrize(
    "words", [("--dry", "ddb.export", "t", "p"), ("ddb.export", "t", "--dry", "p"),
              ("ddb.export", "t", "p", "-R"), ("-dR", "ddb.export", "t", "p")],
)  # fmt: skip
def test_options_of_invoke_stand_anywhere_and_are_no_values(words: tuple[str, ...]) -> None:
    line = read(*words)
    assert line.core.args["dry"].value is True
    assert values(line) == [("ddb.export", {"table": "t", "path": "p"})]


def test_an_option_does_not_fill_in_a_value() -> None:
    expected = "ddb.export needs PATH\nhint: ./invoke ddb.export --help"
    assert refuse("ddb.export", "cruddur-messages", "--dry") == expected


def test_words_after_two_dashes_are_values_whatever_they_look_like() -> None:
    line = read(SEND, "korney", "--", "--help")
    assert (line.help, values(line)) == (
        False,
        [(SEND, {"handle": "korney", "message": "--help"})],
    )
    assert values(read(SEND, "--message=--help", "korney"))[0][1]["message"] == "--help"


def test_words_after_two_dashes_are_left_for_a_program() -> None:
    line = read("db.connect", "--stack", "docker", "--", "-c", "select 1", "--", "--help")
    assert line.rest == ["-c", "select 1", "--", "--help"]
    assert refuse("setup", "--", "x") == (
        "unexpected argument x: setup takes no values\nhint: ./invoke setup --help"
    )


def test_several_tasks_have_their_own_options() -> None:
    line = read("down", "--volumes", "--yes", "up", "db.load", "setup", "logs", "logs", "aws")
    assert values(line) == [
        ("down", {"volumes": True, "yes": True}),
        ("up", {}),
        ("db.load", {"path": "setup", "table": "logs"}),
        ("logs", {"service": "aws"}),
    ]


def test_the_stack_before_the_tasks_is_for_all_that_take_one() -> None:
    line = read("--stack", "docker", "up", "timeline", "status", "--stack", "embedded")
    assert [one.get("stack") for _, one in values(line)] == ["docker", None, "embedded"]
    assert refuse("--stack", "docker", "timeline") == (
        "timeline has no option --stack\nhint: ./invoke timeline --help"
    )


@pytest.mark.parametrize(
    ("words", "reason", "hint"),
    [
        (("timeline", "--runs", "abc"), "--runs=abc is not a whole number from 1 to 20", ""),
        (("timeline", "--runs", "21"), "--runs=21 is not a whole number from 1 to 20", ""),
        (("timeline", "--runs=-1"), "--runs=-1 is not a whole number from 1 to 20", ""),
        (("timeline", "--runs="), "--runs is not a whole number from 1 to 20", ""),
        (("timeline", "--runs", "-1"), "--runs needs a value", ""),
        (("timeline", "--runs", "--", "2"), "--runs needs a value", ""),
        (("web", "--port", "70000"), "--port=70000 is not a whole number from 1 to 65,535", ""),
        (("up", "--stack", "dcker"), "--stack=dcker is none of embedded, docker, aws",
         "did you mean docker? "),
        (("env", "--format", "xml"), "--format=xml is none of dotenv, shell, json, github", ""),
        (("up", "--plan=yes"), "--plan takes no value, but got yes", ""),
        (("ddb.load", ""), "PATH is empty", ""),
        (("db.load", "a.csv", ""), "TABLE is empty", ""),
        (("ddb.scan", "--table", ""), "--table is empty", ""),
        (("ddb.scan", "--table="), "--table is empty", ""),
        (("snapshot.save", ""), "NAME is empty", ""),
        (("ddb.patterns.list-conversations", ""), "HANDLE is empty", ""),
        (("up", "--stack", ""), "--stack is none of embedded, docker, aws", ""),
        (("db.load", "a", "b", "c"), "unexpected argument c: db.load takes PATH TABLE", ""),
        (("setup", "nope"), "unexpected argument nope: setup takes no values", ""),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_used_is_a_usage_error(
    words: tuple[str, ...], reason: str, hint: str
) -> None:
    assert refuse(*words) == f"{reason}\nhint: {hint}./invoke {words[0]} --help"


def test_an_empty_word_is_no_service() -> None:
    assert refuse("logs", "") == "SERVICE is empty\nhint: ./invoke logs --help"


def test_an_option_of_a_task_before_it_is_explained() -> None:
    assert refuse("--plan", "setup") == (
        "--plan is an option of tasks\nhint: write it after the task: ./invoke TASK --plan"
    )


def test_an_unknown_option_names_the_closest_of_the_task_and_of_invoke() -> None:
    assert refuse("status", "--jsn").splitlines()[1] == (
        "hint: did you mean --json? ./invoke status --help"
    )
    assert "--dry" in refuse("status", "--dyr")
    assert refuse("status", "-x") == "status has no option -x\nhint: ./invoke status --help"


@given(st.lists(st.sampled_from(
    ["setup", "db.load", "a", "", "--", "-", "--help", "--dry", "-R", "--stack", "docker", "--plan",
     "--list", "--runs=2", "timeline", "logs", "--nope", "-xR"]), max_size=7))  # fmt: skip
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    try:
        line = read(*words)
    except UsageError as error:
        assert error.hint
        return
    if line.help:
        assert {"--help"} <= set(words)
    else:
        required = [one for task in line.tasks for one in task.positional_args]
        assert all(one.value is not None for one in required)
