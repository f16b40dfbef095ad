import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from scripts.cli import output
from scripts.engine import history, pipeline, timeline
from scripts.engine.history import Run
from scripts.engine.pipeline import Event, Kind, Step
from scripts.engine.timeline import Timeline
from tests.conftest import Checkout

NEEDS = {"a": (), "b": (), "c": ("a",), "d": ("b", "c"), "e": ()}
SPANS = {"a": (0, 3), "b": (0, 1), "c": (3, 1), "d": (4, 2), "e": (0, 5)}


def events(spans: Mapping[str, tuple[float, float]], kind: Kind = "finished") -> list[Event]:
    begun = [Event("started", step, start) for step, (start, _) in spans.items()]
    ended = [Event(kind, step, start + length, length) for step, (start, length) in spans.items()]
    return sorted([*begun, *ended], key=lambda event: event.at)


def run(
    spans: Mapping[str, tuple[float, float]],
    needs: Mapping[str, tuple[str, ...]] | None = None,
    command: str = "setup",
    day: int = 1,
) -> Run:
    return Run(command, datetime(2026, 11, day, tzinfo=UTC), needs or {}, events(spans))


def critical(drawn: Timeline) -> list[str]:
    return [bar.step for bar in drawn.bars if bar.critical]


def test_a_bar_is_where_its_step_was() -> None:
    (drawn,) = timeline.build([run(SPANS, NEEDS)])
    assert {bar.step: (bar.start, bar.seconds) for bar in drawn.bars} == SPANS
    assert (drawn.state, drawn.seconds, drawn.before, drawn.change) == ("done", 6, None, None)


def test_the_critical_path_leads_back_by_the_need_that_ended_last() -> None:
    (drawn,) = timeline.build([run(SPANS, NEEDS)])
    assert critical(drawn) == ["a", "c", "d"]


def test_a_record_without_needs_has_a_critical_path_by_its_times() -> None:
    (drawn,) = timeline.build([run({**SPANS, "e": (0, 3.5)})])
    assert critical(drawn) == ["a", "c", "d"]


def test_a_run_is_compared_with_the_one_before_of_the_same_command() -> None:
    old = run({"a": (0, 1), "b": (1, 3)}, day=1)
    other = run({"a": (0, 9)}, command="down", day=2)
    new = run({"a": (0, 1.5), "c": (1.5, 1)}, day=3)
    first, between, last = timeline.build([new, other, old])
    assert (first.before, first.change) == (old.started, -1.5)
    assert [bar.change for bar in first.bars] == [0.5, None]
    assert between.before is None
    assert last.before is None
    assert [found.started for found in timeline.build([new, other, old], "down")] == [other.started]


def test_what_became_of_each_step_is_told() -> None:
    ended: list[Event] = [
        Event("started", "a", 0),
        Event("started", "b", 0),
        Event("started", "c", 0),
        Event("skipped", "a", 1, 1),
        Event("failed", "b", 2, 2),
        Event("blocked", "d", 2),
        Event("interrupted", "c", 3),
    ]
    (drawn,) = timeline.build([Run("setup", datetime.now(UTC), {"d": ("b",)}, ended)])
    assert [(bar.step, bar.state, bar.end) for bar in drawn.bars] == [
        ("a", "skipped", 1),
        ("b", "failed", 2),
        ("c", "unfinished", 3),
        ("d", "blocked", 2),
    ]
    assert drawn.state == "failed"


def test_a_killed_run_ends_with_its_last_event() -> None:
    started = [Event("started", "a", 0), Event("started", "b", 0), Event("finished", "a", 2, 2)]
    (drawn,) = timeline.build([Run("setup", datetime.now(UTC), {}, started)])
    assert [(bar.step, bar.state, bar.seconds) for bar in drawn.bars] == [
        ("a", "finished", 2),
        ("b", "unfinished", 2),
    ]
    assert (drawn.state, drawn.seconds) == ("unfinished", 2)


def test_a_run_without_events_is_left_out() -> None:
    assert timeline.build([Run("setup", datetime.now(UTC), {}, [])]) == []


@hypothesis.given(
    starts=st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=1, max_size=12),
    with_needs=st.booleans(),
)
def test_any_run_is_drawn_on_its_axis(starts: list[tuple[float, float]], with_needs: bool) -> None:
    spans = {f"step {number}": span for number, span in enumerate(starts)}
    needs = {name: tuple(spans)[:number] for number, name in enumerate(spans)}
    (drawn,) = timeline.build([run(spans, needs if with_needs else None)])
    assert {bar.step for bar in drawn.bars} == spans.keys()
    assert all(-1e-9 <= bar.start <= bar.end <= drawn.seconds + 1e-9 for bar in drawn.bars)
    assert critical(drawn)


@pytest.mark.parametrize(
    ("seconds", "marks"),
    [
        (0, [0]),
        (0.05, [0, 0.01, 0.02, 0.03, 0.04, 0.05]),
        (1.04, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (4.19, [0, 1, 2, 3, 4]),
        (75, [0, 20, 40, 60]),
    ],
)
def test_an_axis_is_marked_at_round_moments(seconds: float, marks: list[float]) -> None:
    assert timeline.ticks(seconds) == pytest.approx(marks)


def test_the_journal_gives_back_what_it_was_told(tmp_path: Path) -> None:
    steps = [Step("a", "", str), Step("b", "", str, needs=("a",))]
    told: list[Event] = []
    with history.record(tmp_path / "runs", "setup", steps) as record:

        def tell(event: Event) -> None:
            told.append(event)
            record(event)

        pipeline.run(steps, tell)
    (found,) = history.list_runs(tmp_path / "runs")
    assert (found.command, list(found.events)) == ("setup", told)
    assert {name: tuple(needs) for name, needs in found.needs.items()} == {"a": (), "b": ("a",)}
    assert datetime.now(UTC) - found.started < timedelta(minutes=1)


def test_broken_records_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    head = '{"command": "setup", "started": "2026-11-22T10:00:00+00:00"}\n'
    event = '{"kind": "started", "step": "a", "at": 0.5, "seconds": 0.0, "detail": ""}\n'
    for number, text in enumerate(["", "{", "[]\n", '{"command": "x"}\n', head + event + '{"kin']):
        (tmp_path / f"{number}.jsonl").write_text(text)
    (found,) = history.list_runs(tmp_path)
    assert (found.needs, list(found.events)) == ({}, [Event("started", "a", 0.5)])


def test_the_terminal_shows_what_ran_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    old = run({"a": (0, 2), "b": (0, 4)}, {"a": (), "b": ()})
    new = run({"a": (0, 4), "b": (2, 2), "c": (4, 4)}, {"a": (), "b": (), "c": ("a",)}, day=2)
    output.write_timelines(timeline.build([new, old])[:1], as_json=False)
    out, err = capsys.readouterr()
    head, *lines = out.splitlines()
    assert head.endswith(": done in 8.00 s, +4.00 s compared with the run before")
    assert lines == [
        "* a  " + "█" * 24 + " " * 24 + "    4.00 s   +2.00",
        "  b  " + " " * 12 + "░" * 12 + " " * 24 + "    2.00 s   -2.00",
        "* c  " + " " * 24 + "█" * 24 + "    4.00 s",
        "",
    ]
    assert "critical path" in err


@hypothesis.given(
    width=st.integers(40, 120),
    states=st.lists(st.sampled_from(["finished", "skipped", "failed", "interrupted"]), min_size=1),
    name=st.integers(1, 24),
)
def test_no_line_is_wider_than_the_terminal(width: int, states: list[Kind], name: int) -> None:
    ends = [
        Event(kind, f"{number}".rjust(name, "x"), number + 1.5, 1.5)
        for number, kind in enumerate(states)
    ]
    begun = [Event("started", end.step, end.at - end.seconds) for end in ends]
    runs = [Run("snapshot.restore", datetime.now(UTC), {}, [*begun, *ends])] * 2
    (drawn, _) = timeline.build(runs)
    lines = list(timeline.draw(drawn, width))
    assert max(map(len, lines)) <= width
    assert all(any(bar.step in line for line in lines) for bar in drawn.bars)


def test_in_40_columns_a_bar_is_below_its_step() -> None:
    steps = {"cognito.create-users": (0.0, 4.0), "db.seed": (2.0, 2.0)}
    (drawn,) = timeline.build([run(steps, {"cognito.create-users": (), "db.seed": ()})])
    assert list(timeline.draw(drawn, 40))[2:] == [
        "* cognito.create-users",
        f"  {'█' * 20}    4.00 s",
        "  db.seed",
        f"  {' ' * 10}{'░' * 10}    2.00 s",
    ]


def test_the_task_draws_the_runs_of_this_checkout(checkout: Checkout) -> None:
    empty = checkout.run("timeline")
    assert (empty.stdout, empty.stderr) == ("", "no runs yet; ./invoke setup records one\n")
    checkout.run("down")
    checkout.run("down")
    assert checkout.run("timeline").stdout.startswith("down at ")
    newest, oldest = json.loads(checkout.run("timeline", "--runs", "5", "--json").stdout)
    assert [bar["step"] for bar in newest["bars"]] == ["postgres", "aws"]
    assert (newest["before"], oldest["before"]) == (oldest["started"], None)
    none = checkout.run("timeline", "--command", "setup", "--json")
    assert (json.loads(none.stdout), none.stderr) == ([], "no runs of setup; recorded: down\n")
