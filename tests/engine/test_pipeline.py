import errno
import json
import shutil
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import hypothesis
import pytest
from botocore.exceptions import ClientError
from hypothesis import strategies as st

from scripts.engine import history, pipeline
from scripts.engine.pipeline import Event, FailedError, Step
from scripts.errors import DevError, NotRunningError, RefusedError, explain
from tests.conftest import full_disk

PATIENCE = 20  # seconds until a thread that waits in vain gives up: never in a run that is right


def step(
    name: str,
    *needs: str,
    action: Callable[[], str] = lambda: "did it",
    probe: Callable[[], str | None] | None = None,
) -> Step:
    return Step(name, f"do {name}", action, needs, probe)


def broken(error: Exception) -> Callable[[], str]:
    def action() -> str:
        raise error

    return action


def run(steps: Sequence[Step]) -> list[Event]:
    """The events of a run that succeeds."""
    events: list[Event] = []
    pipeline.run(steps, events.append)
    return events


def run_to_failure(steps: Sequence[Step]) -> tuple[list[Event], str]:
    """The events of a run with failed steps, and how it says so."""
    events: list[Event] = []
    with pytest.raises(FailedError) as error:
        pipeline.run(steps, events.append)
    return events, str(error.value.message)


def kinds(events: Sequence[Event]) -> dict[str, list[str]]:
    return {
        name: [event.kind for event in events if event.step == name]
        for name in dict.fromkeys(event.step for event in events)
    }


def details(events: Sequence[Event]) -> dict[str, str]:
    return {event.step: event.detail for event in events if event.kind != "started"}


def test_a_step_runs_after_those_it_needs() -> None:
    done: list[str] = []

    def noting(name: str, *needs: str) -> Step:
        def note() -> str:
            done.append(name)
            return name

        return step(name, *needs, action=note)

    run([noting("d", "b", "c"), noting("c", "b"), noting("b", "a"), noting("a")])
    assert done == ["a", "b", "c", "d"]


def test_independent_steps_run_side_by_side() -> None:
    meeting = threading.Barrier(3, timeout=PATIENCE)

    def meet() -> str:
        return f"met as {meeting.wait()}"

    events = run([step(name, action=meet) for name in "abc"])
    assert sorted(details(events).values()) == ["met as 0", "met as 1", "met as 2"]


def test_a_step_starts_while_one_it_does_not_need_still_runs() -> None:
    meeting = threading.Barrier(2, timeout=PATIENCE)

    def meet() -> str:
        return str(meeting.wait())

    steps = [step("slow", action=meet), step("first"), step("second", "first", action=meet)]
    at = {(event.step, event.kind): event.at for event in run(steps)}
    assert at["slow", "started"] <= at["second", "started"] <= at["slow", "finished"]


def test_a_step_whose_probe_has_a_reason_is_skipped_and_its_dependents_run() -> None:
    never = broken(AssertionError("the action of a skipped step ran"))
    events = run([step("a", action=never, probe=lambda: "already exists"), step("b", "a")])
    assert kinds(events) == {"a": ["started", "skipped"], "b": ["started", "finished"]}
    assert details(events) == {"a": "already exists", "b": "did it"}


def test_a_step_whose_probe_has_no_reason_is_done() -> None:
    assert details(run([step("a", probe=lambda: None)])) == {"a": "did it"}


def test_a_failure_blocks_those_that_need_it_and_nothing_else() -> None:
    steps = [
        step("bad", action=broken(DevError("it broke", "mend it"))),
        step("after", "bad", "other"),
        step("long after", "after"),
        step("other"),
        step("after other", "other"),
    ]
    events, message = run_to_failure(steps)
    assert kinds(events) == {
        "bad": ["started", "failed"],
        "other": ["started", "finished"],
        "after other": ["started", "finished"],
        "after": ["blocked"],
        "long after": ["blocked"],
    }
    assert details(events) == {
        "bad": "it broke\nhint: mend it",
        "other": "did it",
        "after other": "did it",
        "after": "needs bad",
        "long after": "needs after",
    }
    assert message == "failed: bad"


def test_a_step_that_runs_when_another_fails_ends_and_its_dependents_follow() -> None:
    seen_failure = threading.Event()
    events: list[Event] = []

    def emit(event: Event) -> None:
        events.append(event)
        if event.kind == "failed":
            seen_failure.set()

    steps = [
        step("slow", action=lambda: str(seen_failure.wait(PATIENCE))),
        step("bad", action=broken(DevError("it broke"))),
        step("after slow", "slow"),
    ]
    with pytest.raises(FailedError):
        pipeline.run(steps, emit)
    assert details(events) == {"bad": "it broke", "slow": "True", "after slow": "did it"}


def test_every_failed_step_is_named() -> None:
    both = threading.Barrier(2, timeout=PATIENCE)

    def fail() -> str:
        both.wait()
        raise DevError("it broke")

    _, message = run_to_failure([step("a", action=fail), step("b", action=fail)])
    assert message in ("failed: a, b", "failed: b, a")


def test_a_refusal_gives_the_run_its_exit_code() -> None:
    steps = [step("a", action=broken(RefusedError("no"))), step("b", action=broken(DevError("b")))]
    with pytest.raises(FailedError) as error:
        pipeline.run(steps, lambda event: None)
    assert error.value.code == 3


def test_a_probe_that_fails_fails_its_step() -> None:
    events, message = run_to_failure([step("a", probe=broken(DevError("no answer")))])
    assert (details(events), message) == ({"a": "no answer"}, "failed: a")


def test_a_bug_keeps_its_type_and_its_traceback_and_blocks_like_a_failure() -> None:
    def stumble() -> str:
        return dict[str, str]()["missing"]

    events: list[Event] = []
    steps = [step("a", action=stumble), step("b", "a"), step("c")]
    with pytest.raises(KeyError) as error:
        pipeline.run(steps, events.append)
    assert traceback.extract_tb(error.value.__traceback__)[-1].name == "stumble"
    assert details(events) == {"a": "KeyError: 'missing'", "b": "needs a", "c": "did it"}


def test_a_step_that_ends_its_thread_does_not_stop_the_run() -> None:
    def leave() -> str:
        raise SystemExit(7)

    events: list[Event] = []
    with pytest.raises(SystemExit) as error:
        pipeline.run([step("a", action=leave), step("b")], events.append)
    assert error.value.code == 7
    assert details(events) == {"a": "SystemExit: 7", "b": "did it"}


@pytest.mark.parametrize("needs", [("b", "a"), ("nobody", "nobody")])
def test_steps_that_could_never_run_are_a_bug(needs: tuple[str, str]) -> None:
    with pytest.raises(
        ValueError, match="these steps wait for each other, or for one that is missing: a, b"
    ):
        pipeline.run([step("a", needs[0]), step("b", needs[1])], lambda event: None)


def test_a_plan_asks_every_probe_and_does_nothing() -> None:
    never = broken(AssertionError("an action ran"))
    down = broken(NotRunningError("postgres is not running"))
    steps = [
        step("postgres", action=never, probe=lambda: None),
        step("aws", action=never, probe=lambda: "running"),
        step("db.create", "postgres", action=never, probe=broken(DevError("refused"))),
        step("db.seed", "postgres", action=never, probe=down),
        step("alone", action=never, probe=down),
        step("ddb.seed", "aws", "db.seed", action=never, probe=lambda: "already exists"),
        step("check", "ddb.seed", action=never),
    ]
    found = pipeline.foresee(steps)
    assert {(name, event.kind, event.detail) for name, event in found.items()} == {
        ("aws", "skipped", "running"),
        ("ddb.seed", "skipped", "already exists"),
    }


def test_a_plan_tells_a_failure_from_what_waits_for_another_step() -> None:
    refused = broken(DevError("the schema changed", "./invoke db.reset"))
    missing = broken(DevError("no such table"))
    steps = [
        step("postgres", probe=lambda: "running"),
        step("db.schema-load", "postgres", probe=refused),
        step("db.seed", "db.schema-load", probe=lambda: "already loaded"),
        step("users", "db.seed"),
        step("pool", probe=lambda: None),
        step("sync", "pool", probe=missing),
        step("other", "sync", probe=missing),
    ]
    found = pipeline.foresee(steps)
    assert {(name, event.kind, event.detail) for name, event in found.items()} == {
        ("postgres", "skipped", "running"),
        ("db.schema-load", "failed", "the schema changed\nhint: ./invoke db.reset"),
        ("db.seed", "blocked", "needs db.schema-load"),
        ("users", "blocked", "needs db.seed"),
    }


def test_a_plan_asks_independent_probes_side_by_side_and_others_in_order() -> None:
    meeting = threading.Barrier(2, timeout=PATIENCE)
    asked: list[str] = []

    def meet() -> str:
        return f"met as {meeting.wait()}"

    def note() -> str | None:
        asked.append("last")
        return None

    steps = [step("last", "a", "b", probe=note), step("a", probe=meet), step("b", probe=meet)]
    found = pipeline.foresee(steps).values()
    assert sorted(event.detail for event in found) == ["met as 0", "met as 1"]
    assert asked == ["last"]


def test_a_bug_in_a_probe_is_not_hidden_by_a_plan() -> None:
    with pytest.raises(ZeroDivisionError):
        pipeline.foresee([step("a", probe=lambda: str(1 // 0))])


def test_a_step_sees_which_steps_have_not_ended() -> None:
    release = threading.Event()

    def look() -> str:
        return ", ".join(sorted(pipeline.list_unfinished()))

    def emit(event: Event) -> None:
        events.append(event)
        if event.step == "look" and event.kind == "finished":
            release.set()

    events: list[Event] = []
    slow = step("slow", action=lambda: str(release.wait(PATIENCE)))
    pipeline.run([slow, step("first"), step("look", "first", action=look)], emit)
    assert details(events)["look"] == "look, slow"
    assert pipeline.list_unfinished() == set()


def test_events_carry_the_time_of_the_run_and_the_time_of_the_work() -> None:
    events = run([step("a"), step("b", "a"), step("c", probe=lambda: "already exists")])
    assert all(event.at >= event.seconds >= 0 for event in events)
    assert {event.seconds for event in events if event.kind == "started"} == {0}
    ran = [(event.kind, event.at) for event in events if event.step in "ab"]
    assert [kind for kind, _ in ran] == ["started", "finished"] * 2
    assert [at for _, at in ran] == sorted(at for _, at in ran)


def test_events_are_emitted_in_the_calling_thread_only() -> None:
    threads: set[int] = set()
    steps = [step(name) for name in "abcd"]
    pipeline.run(steps, lambda event: threads.add(threading.get_ident()))
    assert threads == {threading.get_ident()}


def test_actions_run_in_other_threads() -> None:
    events = run([step("a", action=lambda: str(threading.get_ident()))])
    assert details(events)["a"] != str(threading.get_ident())


@pytest.mark.parametrize("interrupt", [SystemExit(130), KeyboardInterrupt()])
def test_an_interrupt_is_passed_on_and_says_what_was_running(interrupt: BaseException) -> None:
    release = threading.Event()
    events: list[Event] = []

    def emit(event: Event) -> None:
        events.append(event)
        if event.kind == "finished":
            raise interrupt

    waiting = [step(name, action=lambda: str(release.wait(PATIENCE))) for name in ("y", "x")]
    try:
        with pytest.raises(type(interrupt)) as error:
            pipeline.run([*waiting, step("quick"), step("later", "x")], emit)
    finally:
        release.set()
    assert error.value is interrupt
    assert kinds(events) == {
        "y": ["started", "interrupted"],
        "x": ["started", "interrupted"],
        "quick": ["started", "finished"],
    }


@st.composite
def plans(draw: st.DrawFn) -> list[tuple[str, tuple[str, ...], str]]:
    """Steps in any order: the name, what it needs, and how it will end."""
    ends = st.sampled_from(["finished", "finished", "skipped", "failed"])
    names = [f"s{number}" for number in range(draw(st.integers(1, 6)))]
    plan = []
    for number, name in enumerate(names):
        needs = draw(st.sets(st.sampled_from(names[:number]))) if number else set()
        plan.append((name, tuple(sorted(needs)), draw(ends)))
    return draw(st.permutations(plan))


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(plan=plans())
def test_any_plan_does_all_it_can_in_order(plan: list[tuple[str, tuple[str, ...], str]]) -> None:
    def planned(name: str, needs: tuple[str, ...], end: str) -> Step:
        action = broken(DevError("it broke")) if end == "failed" else lambda: "did it"
        return step(name, *needs, action=action, probe=lambda: "is" if end == "skipped" else None)

    events: list[Event] = []
    try:
        pipeline.run([planned(*part) for part in plan], events.append)
    except FailedError:
        assert "failed" in {event.kind for event in events}
    else:
        assert not {"failed", "blocked"} & {event.kind for event in events}
    ended = kinds(events)
    order: list[tuple[str, str]] = [(event.step, event.kind) for event in events]
    for name, needs, end in plan:
        possible = all(ended[need][-1] in ("finished", "skipped") for need in needs)
        assert ended[name] == (["started", end] if possible else ["blocked"])
        for need in needs if possible else ():
            assert order.index((need, ended[need][-1])) < order.index((name, "started"))


def test_the_journal_is_the_command_and_the_events_as_json_lines(tmp_path: Path) -> None:
    events = [Event("started", "a", 0.5), Event("failed", "a", 1.5, 1.0, "ü\nhint: b")]
    with history.record(tmp_path / "runs", "setup") as record:
        for event in events:
            record(event)
    (file,) = (tmp_path / "runs").iterdir()
    head, *lines = map(json.loads, file.read_text().splitlines())
    assert (head["command"], sorted(head)) == ("setup", ["command", "started"])
    assert lines == [
        {"kind": "started", "step": "a", "at": 0.5, "seconds": 0.0, "detail": ""},
        {"kind": "failed", "step": "a", "at": 1.5, "seconds": 1.0, "detail": "ü\nhint: b"},
    ]


def test_an_event_is_in_the_journal_at_once(tmp_path: Path) -> None:
    with history.record(tmp_path / "runs", "setup") as record:
        record(Event("started", "a", 0.0))
        (file,) = (tmp_path / "runs").iterdir()
        assert '"started", "step": "a"' in file.read_text().splitlines()[1]


def test_a_run_goes_on_when_the_disk_has_no_room_for_its_journal(tmp_path: Path) -> None:
    with history.record(tmp_path / "runs", "setup") as record:
        record(Event("started", "a", 0.0))
        with full_disk():
            record(Event("finished", "a", 1.0))
    (file,) = (tmp_path / "runs").iterdir()
    assert [json.loads(line).get("kind") for line in file.open()] == [None, "started"]


def test_the_journal_keeps_the_last_20_runs(tmp_path: Path) -> None:
    for number in range(23):
        with history.record(tmp_path, f"run {number}"):
            pass
    files = sorted(tmp_path.glob("*.jsonl"))
    commands = [json.loads(file.read_text())["command"] for file in files]
    assert commands == [f"run {number}" for number in range(3, 23)]


def test_nobody_else_can_read_the_journal(tmp_path: Path) -> None:
    with history.record(tmp_path / "runs", "setup"):
        pass
    (file,) = (tmp_path / "runs").iterdir()
    modes = [path.stat().st_mode & 0o777 for path in (file, file.parent)]
    assert modes == [0o600, 0o700]


def test_a_step_says_how_far_it_is_before_it_ends() -> None:
    def work() -> str:
        pipeline.report("1 of 2")
        pipeline.report("2 of 2")
        return "done"

    events: list[Event] = []
    pipeline.run([Step("a", "", work)], events.append)
    assert [(event.kind, event.detail) for event in events] == [
        ("started", ""),
        ("progress", "1 of 2"),
        ("progress", "2 of 2"),
        ("finished", "done"),
    ]


def test_outside_of_a_run_nobody_hears_how_far_it_is() -> None:
    pipeline.report("1 of 2")


def test_a_disk_that_takes_no_file_fails_a_step_without_a_traceback() -> None:
    def rename() -> str:
        raise OSError(errno.EROFS, "Read-only file system", "first")

    events: list[Event] = []
    with pytest.raises(FailedError, match="failed: a"):
        pipeline.run([Step("a", "", rename)], events.append)
    assert events[-1].detail == (
        "cannot read or write: Read-only file system: 'first'\n"
        "hint: check the owner, permissions and free space"
    )
    full = shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")])
    with pytest.raises(FailedError, match="failed: a"):
        pipeline.run([Step("a", "", lambda: throw(full))], events.append)
    assert events[-1].detail.startswith("cannot read or write: No space left on device: 'b'\n")
    bug = OSError(errno.ENOTDIR, "Not a directory", "first")
    with pytest.raises(NotADirectoryError):
        pipeline.run([Step("a", "", lambda: throw(bug))], events.append)


def throw(error: Exception) -> str:
    raise error


def test_what_aws_refuses_is_a_failure_to_correct() -> None:
    answer = {"Error": {"Code": "InvalidPermission.Duplicate", "Message": "the rule exists"}}
    refused = ClientError(answer, "ModifySecurityGroupRules")
    failure = explain(refused)
    assert failure
    assert failure.reason == "ModifySecurityGroupRules was refused: the rule exists"
    assert explain(ValueError("a bug")) is None
