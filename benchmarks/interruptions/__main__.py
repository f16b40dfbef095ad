"""The interruption matrix: `python -m benchmarks.interruptions`; `--help` tells the options.

Kills, full disks, taken ports and more, at every step's end and at random moments of every command
that changes the environment. After each, the environment must be the old one or the new one, never
between, a plain `setup` must end well, and what was acknowledged before must be there. Nothing of
this checkout's own environment is touched.
"""

import argparse
import queue
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TypeVar

from benchmarks.interruptions import cases, scenes, worlds
from benchmarks.interruptions.cases import Case, Outcome
from benchmarks.interruptions.scenes import Reference, Stage
from benchmarks.interruptions.worlds import World

T = TypeVar("T")
R = TypeVar("R")

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENT = PROJECT / "docs" / "reliability.md"
BEGIN, END = "<!-- matrix -->\n", "<!-- end of the matrix -->\n"
COMMAND = ".venv/bin/python -m benchmarks.interruptions"


def main() -> None:
    """Run the cases and print the table; exit code 1 where one failed."""
    options = _parse()
    begin = time.monotonic()
    with worlds.make(options.workers) as made:
        stage = scenes.prepare(made)
        wanted = [cases.find(name) for name in options.only]
        names = {case.command for case in wanted} or scenes.COMMANDS
        references = _find_references(made, stage, names)
        chosen = wanted or cases.list_all(references, made[0].mounted)
        random.Random(options.seed).shuffle(chosen)
        outcomes = list(_run(chosen[: options.cases], options, made, stage, references))
    minutes = (time.monotonic() - begin) / 60
    failed = [outcome for outcome in outcomes if outcome.trouble]
    table = _table(outcomes)
    count = f"{len(outcomes)} cases, {len(failed)} failed"
    print(f"{table}\n{count}, {minutes:.0f} minutes, seed {options.seed}")
    for outcome in failed:
        print(f"\n{outcome.case}: {'; '.join(outcome.trouble)}")
        print(f"  again: {COMMAND} --seed {options.seed} --only '{outcome.case}'")
    if options.write:
        again = f"{COMMAND} --seed {options.seed} --cases {len(outcomes)}"
        _write(f"{table}\n{count}; `{again} --workers {options.workers}`, {minutes:.0f} minutes.\n")
    sys.exit(bool(failed))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--cases", type=int, help="how many of all, chosen by the seed")
    parser.add_argument("--seed", default="1", help="decides the order and the random moments")
    parser.add_argument("--only", default=[], action="append", help="this one case, by its name")
    parser.add_argument("--workers", type=int, default=2, help="how many at a time")
    parser.add_argument("--keep", type=Path, help="a folder for what failed cases leave")
    parser.add_argument("--write", action="store_true", help=f"the table into {DOCUMENT.name}")
    return parser.parse_args()


def _find_references(
    made: Sequence[World], stage: Stage, names: Iterable[str]
) -> dict[str, Reference]:
    saved = stage.find_old(made[0])

    def find(world: World, name: str) -> tuple[str, Reference]:
        return name, stage.find_reference(world, scenes.COMMANDS[name], saved)

    references = {}
    for name, reference in _side_by_side(made, find, list(names)):
        _say(f"{name}: {len(reference.boundaries)} steps undisturbed")
        references[name] = reference
    return {name: references[name] for name in names}


def _run(
    chosen: Sequence[Case],
    options: argparse.Namespace,
    made: Sequence[World],
    stage: Stage,
    references: dict[str, Reference],
) -> Iterator[Outcome]:
    def run(world: World, case: Case) -> Outcome:
        outcome = cases.run(case, options.seed, world, stage, references[case.command])
        if outcome.trouble and options.keep:
            cases.keep(world, options.keep / str(case))
        return outcome

    for number, outcome in enumerate(_side_by_side(made, run, chosen), start=1):
        verdict = f"FAILED: {'; '.join(outcome.trouble)}" if outcome.trouble else outcome.state
        left = f"; left: {', '.join(outcome.left)}" if outcome.left else ""
        _say(
            f"{number}/{len(chosen)} {outcome.seconds:4.1f} s  {outcome.case}:"
            f" code {outcome.code}, {verdict}{left}"
        )
        yield outcome


def _side_by_side(
    made: Sequence[World], work: Callable[[World, T], R], things: Sequence[T]
) -> Iterator[R]:
    """Do the work on every thing, in as many worlds at a time as there are; as they are done."""
    free: queue.SimpleQueue[World] = queue.SimpleQueue()
    for world in made:
        free.put(world)

    def run(thing: T) -> R:
        world = free.get()
        try:
            return work(world, thing)
        finally:
            free.put(world)

    with ThreadPoolExecutor(len(made)) as pool:
        try:
            for done in as_completed([pool.submit(run, thing) for thing in things]):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _table(outcomes: Sequence[Outcome]) -> str:
    """Counts by fault (lines) and command (columns): cases, and how many of them failed."""
    commands = [name for name in scenes.COMMANDS if any(o.case.command == name for o in outcomes)]
    lines = [f"| | {' | '.join(commands)} | all |", f"|---|{'---:|' * (len(commands) + 1)}"]
    for fault in [*cases.ROUNDS, "all"]:
        of_fault = [o for o in outcomes if fault in (o.case.fault, "all")]
        if of_fault:
            cells = [_count([o for o in of_fault if o.case.command == name]) for name in commands]
            lines.append(f"| {fault} | {' | '.join([*cells, _count(of_fault)])} |")
    return "\n".join(lines) + "\n"


def _count(outcomes: Sequence[Outcome]) -> str:
    failed = sum(bool(outcome.trouble) for outcome in outcomes)
    return f"{len(outcomes)}, {failed} failed" if failed else str(len(outcomes) or "")


def _write(text: str) -> None:
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}{text}{END}{after}", encoding="utf-8")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
