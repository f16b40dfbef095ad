import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from invoke.exceptions import Exit

from scripts.cli import output, plans, progress
from scripts.engine.pipeline import Event, Step
from tests.conftest import PROJECT, clean_environment

CLEAR_SCREEN = "\x1b[2J"


@dataclass(frozen=True)
class Person:
    handle: str


@dataclass(frozen=True)
class Row:
    name: str
    size: int
    last_seen: datetime | None
    other: Person


ROWS = [
    Row("a", 1_000, None, Person("korney")),
    Row("längst", 2, datetime(2026, 3, 28, 15, tzinfo=UTC), Person("b")),
]


def test_a_table_is_aligned_under_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_rows(ROWS, ["name", "size", "other.handle"], as_json=False)
    assert capsys.readouterr() == (
        "NAME    SIZE  HANDLE\n"
        "a       1000  korney\n"
        "längst  2     b\n",
        "",
    )  # fmt: skip


def test_a_table_of_dicts_has_lists_joined_and_nothing_for_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [{"step": "a", "last_seen": None}, {"step": "b", "last_seen": ("c", "d")}]
    output.write_rows(rows, ["step", "last_seen"], as_json=False)
    assert capsys.readouterr().out == "STEP  LAST SEEN\na\nb     c, d\n"


@pytest.mark.parametrize(("as_json", "out"), [(False, ""), (True, "[]\n")])
def test_a_table_without_rows_says_so_on_stderr(
    as_json: bool, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output.write_rows([], ["name"], as_json, "no names yet")
    assert capsys.readouterr() == (out, "no names yet\n")


def test_a_table_shows_a_long_text_in_part(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_rows([{"name": "x" * 121}, {"name": "y" * 120}], ["name"], as_json=False)
    assert capsys.readouterr().out == f"NAME\n{'x' * 117}...\n{'y' * 120}\n"


def test_a_table_shows_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_rows([{"name": f"a\n{CLEAR_SCREEN}"}], ["name"], as_json=False)
    assert capsys.readouterr().out == "NAME\na  [2J\n"


def test_json_is_one_list_of_whole_rows(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_rows(ROWS, ["name"], as_json=True)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "längst" in out
    assert json.loads(out) == [
        {"name": "a", "size": 1000, "last_seen": None, "other": {"handle": "korney"}},
        {
            "name": "längst",
            "size": 2,
            "last_seen": "2026-03-28T15:00:00+00:00",
            "other": {"handle": "b"},
        },
    ]


def test_json_of_no_rows_is_an_empty_list(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_rows([], ["name"], as_json=True)
    assert capsys.readouterr().out == "[]\n"


def test_items_are_counted_and_written_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    items = [{"sk": "2", "pk": f"1{CLEAR_SCREEN}"}, {"pk": "3"}]
    assert output.write_items(items, as_json=False) == 2
    assert output.write_items(items, as_json=True) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["pk=1 [2J  sk=2", "pk=3"]
    assert [json.loads(line) for line in lines[2:]] == items


def test_no_items_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert output.write_items([], as_json=False) == 0
    assert capsys.readouterr() == ("", "")


PLANNED = [Step("a", "do a", str), Step("b", "do b", str, needs=("a", "c"))]


DONE = {"a": Event("skipped", "a", 0, detail="already exists")}
FAILING = {
    "a": Event("failed", "a", 0, detail="it is\nrefused\nhint: ./invoke up"),
    "b": Event("blocked", "b", 0, detail="needs a"),
}


def test_a_plan_shows_which_steps_would_run(capsys: pytest.CaptureFixture[str]) -> None:
    plans.write(PLANNED, DONE, as_json=False)
    assert capsys.readouterr() == (
        "STEP  PLAN       WHAT            AFTER\n"
        "a     done       already exists\n"
        "b     would run  do b            a, c\n",
        "1 of 2 steps would run\n",
    )


def test_a_plan_that_would_fail_says_why_and_ends_with_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(Exit) as end:
        plans.write(PLANNED, FAILING, as_json=False, option="--stack docker")
    assert end.value.code == 1
    assert capsys.readouterr() == (
        "STEP  PLAN        WHAT                             AFTER\n"
        "a     would fail  it is refused hint: ./invoke up\n"
        "b     blocked     needs a                          a, c\n",
        "0 of 2 steps would run\na would fail: it is\nrefused\nhint: ./invoke --stack docker up\n",
    )


@pytest.mark.parametrize(
    ("found", "code", "would_fail", "plan"),
    [(DONE, None, [], ("done", "would run")), (FAILING, 1, ["a"], ("would fail", "blocked"))],
)
def test_a_plan_as_json(
    found: dict[str, Event],
    code: int | None,
    would_fail: list[str],
    plan: tuple[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with contextlib.nullcontext() if code is None else pytest.raises(Exit):
        plans.write(PLANNED, found, as_json=True)
    out, err = capsys.readouterr()
    details = {
        step.name: found[step.name].detail if step.name in found else step.intent
        for step in PLANNED
    }
    assert (json.loads(out), err) == (
        {
            "would_run": plan.count("would run"),
            "would_fail": would_fail,
            "steps": [
                {
                    "step": step.name,
                    "plan": state,
                    "would_run": state == "would run",
                    "what": details[step.name],
                    "after": list(step.needs),
                }
                for step, state in zip(PLANNED, plan, strict=True)
            ],
        },
        "",
    )


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (datetime(2026, 3, 28, 15, 59, tzinfo=UTC), "2026-03-28 16:59:00"),
        ("2026-03-28T15:59:00.123456+00:00", "2026-03-28 16:59:00"),
        ("2026-03-28T16:59:00", "2026-03-28 16:59:00"),
        ("some day", "some day"),
    ],
)
def test_a_time_is_local_to_the_second(at: datetime | str, shown: str, vienna: None) -> None:
    assert output.local_time(at) == shown


def test_talk_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("hello")
    assert capsys.readouterr() == ("", "hello\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"a{CLEAR_SCREEN}b", "a [2Jb"),
        ("a\nb\r\tc", "a b  c"),
        ("\x00\x07\x7f\x9b", "    "),
        ("\u2028\u202e\ud800", "   "),
        ("Käse 🍰 Пристань", "Käse 🍰 Пристань"),
    ],
)
def test_a_line_has_no_control_characters(text: str, shown: str) -> None:
    assert output.one_line(text) == shown


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Event("finished", "a", 3.0, 1.234, "made it"), "done  a     1.23 s  made it"),
        (Event("skipped", "a", 3.0, 0.004, "already exists"), "same  a     0.00 s  already exists"),
        (Event("blocked", "a", 3.0, detail="needs b"), "skip  a             needs b"),
        (Event("interrupted", "a", 3.0), "stop  a"),
        (
            Event("failed", "abc", 3.0, 61.5, "it broke\nhint: mend it"),
            "FAIL  abc  61.50 s  it broke\n      hint: mend it",
        ),
    ],
)
def test_an_event_is_a_plain_line(event: Event, line: str) -> None:
    assert progress.event_line(event, width=3) == line


def test_without_a_terminal_each_end_is_a_line_and_a_start_is_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress.show([Step("a", "", str), Step("long", "", str)]) as show:
        show(Event("started", "a", 0.0))
        show(Event("finished", "a", 1.0, 1.0, "made it"))
    assert capsys.readouterr() == ("", "done  a      1.00 s  made it\n")


def test_without_a_terminal_a_long_step_says_how_far_it_is_every_ten_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress.show([Step("a", "", str)]) as show:
        for seconds in (1.0, 10.0, 11.0, 19.9, 20.0):
            show(Event("progress", "a", seconds, seconds, f"{seconds:.0f} of 30"))
    assert capsys.readouterr().err == "goes  a  10.00 s  10 of 30\ngoes  a  20.00 s  20 of 30\n"


def run_on_a_terminal(code: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """What code writes on stdout, and on a stderr that is a terminal."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        with os.fdopen(theirs, "wb") as stderr:
            done = subprocess.run(
                [sys.executable, "-c", code],
                env=clean_environment() | {"TERM": "xterm"} | dict(environment),
                cwd=PROJECT,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                check=True,
            )
        seen = b""
        with contextlib.suppress(OSError):  # Linux' way to say that nobody holds the other end
            while part := terminal.read(65536):
                seen += part
    return done.stdout.strip(), seen.decode()


@pytest.mark.parametrize(
    ("environment", "live"),
    [
        ({}, "True"),
        ({"NO_COLOR": ""}, "True"),
        ({"NO_COLOR": "1"}, "False"),
        ({"CI": "true"}, "False"),
        ({"TERM": "dumb"}, "False"),
    ],
)
def test_the_board_is_for_a_terminal_that_nobody_wants_plain(
    environment: Mapping[str, str], live: str
) -> None:
    code = "from scripts.cli import progress; print(progress.is_live())"
    assert run_on_a_terminal(code, environment)[0] == live


BOARD = """
from scripts.cli import progress
from scripts.engine.pipeline import Event, Step

with progress.show([Step("first", "", str), Step("second", "", str)]) as show:
    show(Event("started", "first", 0.0))
    show(Event("failed", "first", 1.0, 1.25, "it [bold]broke[/nonsense]"))
    show(Event("blocked", "second", 1.0, detail="needs first"))
"""


def test_on_a_terminal_the_board_ends_with_what_became_of_each_step() -> None:
    last_lines = run_on_a_terminal(BOARD, {"COLUMNS": "80"})[1].splitlines()[-3:]
    shown = [" ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).split()) for line in last_lines]
    assert "✗ first 1.25 s it [bold]broke[/nonsense]" in shown
    assert "- second needs first" in shown


@pytest.mark.parametrize("terminal", [True, False])
def test_a_brief_run_only_counts_what_was_already_done(terminal: bool) -> None:
    code = """
from scripts.cli import progress
from scripts.engine.pipeline import Event, Step

steps = [Step(name, "", str) for name in ("first", "second", "third", "last")]
with progress.show(steps, brief=True) as show:
    show(Event("skipped", "first", 1.0, 1.0, "already exists"))
    show(Event("skipped", "second", 1.0, 1.0, "already exists"))
    show(Event("finished", "third", 1.0, 1.0, "made it"))
    show(Event("failed", "last", 1.0, 1.0, "it broke"))
"""
    environment = {"COLUMNS": "80"} if terminal else {"NO_COLOR": "1"}
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", run_on_a_terminal(code, environment)[1])
    lines = [" ".join(line.split()) for line in shown.splitlines()[-3:]]
    done, failed = ("✓", "✗") if terminal else ("done", "FAIL")
    assert lines == [
        f"{done} third 1.00 s made it",
        f"{failed} last 1.00 s it broke",
        "2 steps were already done",
    ]


def test_on_a_terminal_a_running_step_shows_how_far_it_is() -> None:
    code = BOARD.replace(
        'show(Event("failed"', 'show(Event("progress", "first", 0.5, 0.5, "7 of 9"))\n    board'
    )
    code = code[: code.index("board")] + "import time; time.sleep(0.5)"
    assert "7 of 9" in run_on_a_terminal(code, {"COLUMNS": "80"})[1]


TASKS = """
from invoke import task
from scripts.cli import output

@task
def count(context):
    for number in range(100_000):
        output.write(str(number))
"""


@pytest.mark.parametrize("lines", [0, 1, 5_000])
def test_a_reader_that_goes_ends_the_output_quietly(tmp_path: Path, lines: int) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    with subprocess.Popen(
        [sys.executable, "-m", "invoke", "count"],
        cwd=tmp_path,
        env=clean_environment() | {"PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        read = [process.stdout.readline() for _ in range(lines)]
        process.stdout.close()
        assert process.stderr.read() == ""
    assert read == [f"{number}\n" for number in range(lines)]
    assert process.returncode == 0


PROGRESS = """
import time
from scripts.cli import output, progress

progress._LIVE_SECONDS = 0.0
with progress.count("item", before=100) as show:
    show(100, 0.25)
    time.sleep(0.01)
    show(1_600, 0.5)
output.say("done")
"""


def test_on_a_terminal_progress_is_one_line_that_is_gone_at_the_end() -> None:
    shown = run_on_a_terminal(PROGRESS, {"COLUMNS": "80"})[1]
    drawn = shown.split("\r\x1b[2K")
    assert [re.sub(r"[\d,]+/s", "N/s", text) for text in drawn] == [
        "",
        "100 items  N/s  ...",
        "1,600 items  N/s  50%, 0:00:00 left",
        "done\r\n",
    ]


def test_progress_fits_a_narrow_terminal() -> None:
    drawn = run_on_a_terminal(PROGRESS, {"COLUMNS": "10"})[1].split("\r\x1b[2K")
    assert [text for text in drawn if len(text) > 9] == []


def test_without_a_terminal_short_work_shows_no_progress(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress.count("item") as show:
        show(100, 0.5)
    assert capsys.readouterr() == ("", "")


def test_an_interrupt_when_all_is_done_is_passed_over() -> None:
    code = (
        "import atexit, os, signal\n"
        "from scripts.cli import output\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "output.prepare()\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
