"""What a GitHub job's log takes for a command: none of the texts that this tool shows."""

import json
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.cli import github, output
from scripts.environment import variables
from tests.conftest import PROJECT, Checkout, clean_environment
from tests.environment.test_variables import surroundings

JOB = {"GITHUB_ACTIONS": "true"}
HOSTILE = "##[add-mask]a"
PIECES = st.sampled_from(
    ["::", ":", "#", "##[", "[", "error", "]", " ", "\n", "\r", "\t", "\u2003"]
)


def find_commands(text: str) -> list[str]:
    """The lines in which GitHub's runner (ActionCommand.cs) looks for a command."""
    lines = re.split(r"\r\n|\r|\n", text)
    return [line for line in lines if line.lstrip().startswith("::") or "##[" in line]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error::x", ": :error::x"),
        ("a\n \t::error::x", "a\n \t: :error::x"),
        ("a\r::error::x", "a\r: :error::x"),
        ("##[error]x", "# #[error]x"),
        ("postgres | ##[group]x ##[endgroup]", "postgres | # #[group]x # #[endgroup]"),
        ("###[error]x", "## #[error]x"),
        ("a::b #[1] ## [x] 1::int", "a::b #[1] ## [x] 1::int"),
    ],
)
def test_a_command_of_either_form_is_broken_up_in_a_job_only(text: str, shown: str) -> None:
    assert github.without_commands(text, JOB) == shown
    assert github.without_commands(text, {}) == text


@given(st.lists(PIECES).map("".join))
def test_no_text_holds_a_command(text: str) -> None:
    assert find_commands(github.without_commands(text, JOB)) == []


@given(st.lists(PIECES).map("".join))
def test_json_holds_no_command_and_the_same_value(text: str) -> None:
    assert json.loads(output.to_json({"a": text})) == {"a": text}
    assert find_commands(output.to_json({"a": text})) == []


@given(text=st.lists(PIECES).map("".join).map(lambda text: text.replace("\r", "")))
def test_no_format_of_env_holds_a_command_and_a_dotenv_file_keeps_its_values(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import dotenv

    values = {"A": text, "B": "b"}
    for form in ("dotenv", "shell", "json"):
        assert find_commands(variables.FORMATS[form](JOB, values)) == []
    path = tmp_path_factory.getbasetemp() / "job.env"
    path.write_text(variables.to_dotenv(JOB, values), newline="")
    assert dotenv.dotenv_values(path) == values


def test_a_shell_in_a_job_reads_every_value_as_it_is() -> None:
    value = "'##[group]'\n ::error::x\n::stop-commands::y\n###[[$a"
    seen = surroundings("sh", variables.to_shell(JOB, {"A": value}), clean_environment())
    assert seen["A"] == value


@pytest.mark.parametrize("words", [[HOSTILE], ["--help", HOSTILE], ["logs", "--tail", HOSTILE]])
def test_a_usage_error_that_quotes_a_command_is_none(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "tasks.py", *words],
        cwd=PROJECT,
        env=clean_environment() | JOB,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "# #[add-mask]a" in done.stderr
    assert find_commands(done.stdout + done.stderr) == []


def test_a_traceback_that_quotes_a_command_is_none() -> None:
    code = f"from scripts.cli import output\noutput.prepare()\nraise ValueError({HOSTILE!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=clean_environment() | JOB,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: # #[add-mask]a\n")
    assert done.stderr.startswith("Traceback (most recent call last):\n")


def test_no_table_log_or_message_of_a_job_holds_a_command(checkout: Checkout) -> None:
    """What the app's files, its programs, its database and its items hold."""
    checkout.run("setup")
    checkout.run("ddb.patterns.send-message", "korney", HOSTILE)
    checkout.run("db.connect", "--", "-c", f"SELECT '{HOSTILE}'::int", expect=None)
    run = f"echo '{HOSTILE}'; exit $CODE"
    step = f'\n[[step]]\nname = "say"\nafter = ["db.create"]\nrun = "{run}"\n'
    with (checkout.root / "app.toml").open("a") as file:
        file.write(step)
    for words, code in [
        (("ddb.scan",), 0),
        (("ddb.scan", "--json"), 0),
        (("ddb.patterns.get-conversation",), 0),
        (("logs", "postgres"), 0),
        (("step", "say", "--plan"), 0),
        (("step", "say"), 0),
        (("timeline",), 0),
        (("step", "say"), 1),
    ]:
        job = JOB | {"GITHUB_STEP_SUMMARY": str(checkout.root / "summary"), "CODE": str(code)}
        done = checkout.run(*words, env=job, expect=code)
        assert "add-mask" in done.stdout + done.stderr or words == ("timeline",)
        assert find_commands(done.stdout + done.stderr) == [], words
