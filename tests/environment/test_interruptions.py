"""A small part of the interruption matrix; docs/reliability.md has the whole."""

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from benchmarks.interruptions import cases, scenes, worlds
from benchmarks.interruptions.cases import Outcome
from benchmarks.interruptions.runs import Run
from benchmarks.interruptions.scenes import Reference
from scripts import clients, stacks
from tests.conftest import PROJECT

SOME = [
    "reset: SIGKILL of the client, step 12",  # of 14: written down, not yet in place
    "reset: SIGKILL of the client, moment 1",
    "undo: SIGINT of the client, step 4",  # of 5: in place, tables and users not yet after it
    "undo: SIGKILL of Postgres, moment 1",
    "reset: SIGKILL of the emulator, moment 2",
    "reset: SIGKILL of all three, moment 1",
    "undo: a second run, the first killed, moment 1",
    "undo: ports taken before, moment 1",
    "reset: the set port taken, moment 1",
    "reset: disk full, moment 1",
    "undo: .dev read-only, moment 1",
    "reset: SQL error in the seed, moment 1",
    "setup of nothing: SIGKILL of all three, moment 1",
    "reset: protected table, moment 1",
    "undo: protected table, moment 1",
    "snapshot.restore: damaged snapshot, moment 1",
    "snapshot.delete: damaged snapshot, moment 1",
    "reset: all connections taken, moment 1",
]

Try = Callable[[str], Outcome]


@pytest.fixture(scope="module")
def attempt() -> Iterator[Try]:
    """Run a case by its name."""
    with worlds.make(1) as (world,):
        stage = scenes.prepare([world])
        saved = stage.find_old(world)

        @cache
        def find_reference(command: str) -> Reference:
            return stage.find_reference(world, scenes.COMMANDS[command], saved)

        def run(name: str) -> Outcome:
            case = cases.find(name)
            if case.fault in cases.NEED_MOUNT and not world.mounted:
                (pytest.fail if os.environ.get("REQUIRE_MOUNT") else pytest.skip)("cannot mount")
            return cases.run(case, "1", world, stage, find_reference(case.command))

        yield run


@pytest.mark.parametrize("name", SOME)
def test_what_is_interrupted_is_old_or_new(name: str, attempt: Try) -> None:
    assert attempt(name).trouble == ()


def test_what_is_lost_is_seen(attempt: Try, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def lose_a_row(run: Run) -> Iterator[None]:
        run.start()
        run.end()
        with clients.cursor(stacks.get_database(run.world.settings())) as cursor:
            cursor.execute("DELETE FROM activities WHERE message = 'note 1'")
        yield

    monkeypatch.setitem(cases.ROUNDS, "a lost row", (lose_a_row, 1))
    assert attempt("undo: a lost row, moment 1").trouble == (
        "after the end with 0 the database is neither old nor new",
        "after the end with 0 differs from new: database",
    )


def test_a_name_that_is_no_case_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no case undo: rain, step 1"):
        cases.find("undo: rain, step 1")


def test_the_document_has_a_whole_run_without_a_failure() -> None:
    text = (PROJECT / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = {row.split(" | ")[0].removeprefix("| ") for row in text.splitlines() if "| " in row}
    assert cases.ROUNDS.keys() <= rows
    (count, failed) = re.findall(r"^(\d+) cases, (\d+) failed", text, flags=re.M)[0]
    assert int(count) >= 320
    assert int(failed) == 0
