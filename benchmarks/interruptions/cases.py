"""The cases: a command, a fault, a moment; and what must hold after each."""

import random
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.interruptions import faults, fingerprints, obstacles
from benchmarks.interruptions.faults import Fault
from benchmarks.interruptions.runs import END_SECONDS, Moment, Run
from benchmarks.interruptions.scenes import COMMANDS, Command, Reference, Stage
from benchmarks.interruptions.worlds import World

# How many times each fault meets each command, at random moments; further, at each boundary.
ROUNDS: dict[str, tuple[Fault, int]] = {
    "SIGKILL of the client": (faults.kill_client, 3),
    "SIGINT of the client": (faults.interrupt_client, 2),
    "SIGKILL of Postgres": (faults.kill_postgres, 3),
    "SIGKILL of the emulator": (faults.kill_emulator, 3),
    "SIGKILL of all three": (faults.kill_all, 3),
    "a second run": (faults.second_run, 1),
    "a second run, the first killed": (faults.second_run_and_kill, 2),
    "ports taken before": (faults.take_ports_before, 1),
    "port taken during": (faults.take_port_during, 1),
    "the set port taken": (faults.take_pinned_port, 1),
    "disk full": (faults.fill_disk, 3),
    ".dev read-only": (faults.make_read_only, 2),
    "SQL error in the seed": (faults.break_seed, 2),
    "protected table": (obstacles.protect_table, 2),
    "damaged snapshot": (obstacles.damage_snapshot, 2),
    "all connections taken": (obstacles.take_connections, 2),
}
AT_BOUNDARIES = {"SIGKILL of the client", "SIGINT of the client"}
NEED_MOUNT = {"disk full", ".dev read-only"}
RUNNING_ONLY = {"ports taken before", "port taken during", "the set port taken"}
SERVING_ONLY = {"protected table", "damaged snapshot", "all connections taken"}


@dataclass(frozen=True)
class Case:
    """A command, a fault and when: the number of a step's end, or of a random moment."""

    command: str
    fault: str
    when: str

    def __str__(self) -> str:
        return f"{self.command}: {self.fault}, {self.when}"


@dataclass(frozen=True)
class Outcome:
    """What became of a case; without trouble, it is as it should be.

    `state` is `old` or `new`; `left` is what is still there although nobody refers to it.
    """

    case: Case
    code: int | None
    state: str
    trouble: tuple[str, ...]
    left: tuple[str, ...]
    seconds: float


def list_all(references: Mapping[str, Reference], mounted: bool) -> list[Case]:
    """Every case of the commands that are known."""
    return [
        Case(name, fault, when)
        for name, reference in references.items()
        for fault in ROUNDS
        if _fits(COMMANDS[name], fault) and (mounted or fault not in NEED_MOUNT)
        for when in _list_moments(reference, fault)
    ]


def find(text: str) -> Case:
    """The case of this name. Raises ValueError for one that cannot be."""
    command, _, rest = text.partition(": ")
    fault, _, when = rest.rpartition(", ")
    if command not in COMMANDS or fault not in ROUNDS or not _fits(COMMANDS[command], fault):
        raise ValueError(f"there is no case {text}")
    return Case(command, fault, when)


def run(case: Case, seed: str, world: World, stage: Stage, reference: Reference) -> Outcome:
    """Set the scene, let it happen, and look."""
    begin = time.monotonic()
    command, (inflict, _) = COMMANDS[case.command], ROUNDS[case.fault]
    rng = random.Random(f"{seed} {case}")
    attempt = Run(world, command.words, _find_moment(case, reference, rng), rng)
    state, left = "", []
    try:
        stage.set(world, command.scene)
        with inflict(attempt):
            _check_database(attempt, stage, reference)
            state = _check_setup(attempt, stage, reference)
            left = fingerprints.list_left_over(world.settings())
    except Exception as error:  # noqa: BLE001 - the others are to be seen too
        attempt.trouble.append(f"cannot be looked at: {type(error).__name__}: {error}")
    if world.talk.exists() and "Traceback" in world.talk.read_text():
        attempt.trouble.append("a traceback")
    seconds = time.monotonic() - begin
    return Outcome(case, attempt.code, state, tuple(attempt.trouble), tuple(left), seconds)


def keep(world: World, folder: Path) -> None:
    """Keep what a case left, for a look at it."""
    shutil.rmtree(folder, ignore_errors=True)
    world.stop_servers()
    world.copy_to(folder)
    if world.talk.exists():
        shutil.copy(world.talk, folder / "talk")


def _fits(command: Command, fault: str) -> bool:
    if fault == "SQL error in the seed":
        return command.seeds
    if fault in RUNNING_ONLY and command.scene == "nothing":
        return False
    if fault in SERVING_ONLY and command.scene != "running":  # they act on what runs
        return False
    return fault != "the set port taken" or command.starts


def _list_moments(reference: Reference, fault: str) -> Iterator[str]:
    if fault in AT_BOUNDARIES:
        yield from (f"step {number}" for number in range(1, len(reference.boundaries) + 1))
    yield from (f"moment {number}" for number in range(1, ROUNDS[fault][1] + 1))


def _find_moment(case: Case, reference: Reference, rng: random.Random) -> Moment:
    kind, number = case.when.split()
    if kind == "step":
        return Moment(reference.boundaries[int(number) - 1], 0)
    return reference.choose_moment(rng)


def _check_database(attempt: Run, stage: Stage, reference: Reference) -> None:
    """The app's database is the old one or the new one, before anything is mended."""
    database = attempt.world.ensure_postgres()
    content = fingerprints.read(database, stage.known) if database else None
    if not reference.may_hold(content, attempt.code, attempt.is_settled):
        attempt.trouble.append(
            f"after the end with {attempt.code} the database is neither old nor new"
        )


def _check_setup(attempt: Run, stage: Stage, reference: Reference) -> str:
    """`setup` makes it whole: all is old or all is new; which it is."""
    code = attempt.world.start("setup").wait(END_SECONDS)
    if code:
        attempt.trouble.append(f"setup ended with {code}")
        return ""
    whole = stage.take(attempt.world)
    allowed = {"new": reference.new}
    if reference.old and attempt.code != 0:
        allowed = {"old": reference.old, **allowed}
    if attempt.only == "old" and reference.old:
        allowed = {"old": reference.old}
    for name, wanted in allowed.items():
        if whole == wanted:
            return name
    differ = (f"from {n}: {', '.join(whole.list_differences(w))}" for n, w in allowed.items())
    attempt.trouble.append(f"after the end with {attempt.code} differs {'; '.join(differ)}")
    return "between"
