import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.figures import Figure, measure, table
from tests.conftest import PROJECT, clean_environment


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that anybody may enter, as /tmp is: as root, Postgres runs as `nobody`."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.timeout(900)
def test_a_quick_run_measures_everything_and_leaves_nothing_behind(open_folder: Path) -> None:
    page = PROJECT / "docs" / "benchmarks.md"
    before = page.read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick"],
        cwd=PROJECT,
        env=clean_environment() | {"TMPDIR": str(open_folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| (.+?) +\| [\d.,]+", done.stdout, re.M)
    assert rows == [
        *("cold setup", "second setup", "--list", "setup, services up"),
        *("reset", "undo of 20,000 rows", "db.reset, 20,000 rows again"),
        *("ddb.load", "ddb.load", "memory of 2,000 lines", "db.load"),
    ]
    assert not list(open_folder.iterdir())
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not [words for words in commands if any(str(open_folder) in word for word in words)]
    assert page.read_bytes() == before


def test_an_unknown_part_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nope"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.endswith(
        "no part nope; there are installation, setup, pipelines, everyday, loads\n"
    )


def test_the_sides_are_measured_in_turn_and_the_first_round_is_left_out() -> None:
    turns: list[str] = []

    def side(name: str) -> float:
        turns.append(name)
        return float(len(turns))

    assert measure(2, lambda: side("a"), lambda: side("b")) == [(3, 4), (5, 6)]
    assert turns == ["a", "b"] * 3


def test_the_table_shows_medians_ratios_and_what_became_of_the_goal() -> None:
    figures = [
        Figure("seconds", "x", [(1, 2), (3, 4), (9, 10)], "s", 0.5),
        Figure("rate", "y", [(9_000, 10_000)], "/s", 0.9),
        Figure("memory", "z", [(1, 2)], "MB"),
    ]
    assert table(figures) == [
        "| what    | ours    | against | theirs   | ratio | lowest to highest | goal         |            |",  # noqa: E501
        "| ------- | ------- | ------- | -------- | ----- | ----------------- | ------------ | ---------- |",  # noqa: E501
        "| seconds | 3.000 s | x       | 4.000 s  | 0.75  | 0.50 to 0.90      | at most 0.5  | **missed** |",  # noqa: E501
        "| rate    | 9,000/s | y       | 10,000/s | 0.90  | 0.90 to 0.90      | at least 0.9 | met        |",  # noqa: E501
        "| memory  | 1 MB    | z       | 2 MB     | 0.50  | 0.50 to 0.50      |              |            |",  # noqa: E501
    ]  # fmt: skip
