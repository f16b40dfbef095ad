"""`python -m benchmarks [--quick] [PART ...]`: measure, print one table, and write it down.

PARTs: installation, setup, pipelines, everyday, loads; without any, all of them. Only a whole run
that is not --quick (few rounds, small loads, no make or pip) is written to docs/benchmarks.md.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable

from benchmarks import everyday, installation, loads, pipelines, places, setup
from benchmarks.figures import Figure, machine, table
from tests.conftest import PROJECT, Checkout

PAGE = PROJECT / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

`./invoke bench` measures these times and writes this page. Each row compares this tool ("ours")
with something else ("theirs"). Both are measured in turn, on the same servers, in a separate
checkout. Times are medians of all rounds; a ratio is ours / theirs.
"""


PARTS: dict[str, Callable[[Checkout, bool], list[Figure]]] = {
    "installation": lambda checkout, quick: [] if quick else installation.figures(checkout, 3),
    "setup": lambda checkout, quick: setup.figures(checkout, 1 if quick else 9),
    "pipelines": lambda checkout, quick: pipelines.figures(checkout, 1 if quick else 5, not quick),
    "everyday": lambda checkout, quick: (
        everyday.figures(checkout, 1, 20_000) if quick else everyday.figures(checkout, 5, 1_000_000)
    ),
    "loads": lambda checkout, quick: (
        loads.figures(checkout, 1_000, 2_000, 1)
        if quick
        else loads.figures(checkout, 100_000, 1_000_000, 9)
    ),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="./invoke bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="few rounds, small loads, no make")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # Python's own caches are part of the game
    found: list[Figure] = []
    profiles: list[str] = []
    for name in given.parts or PARTS:
        print(f"measuring: {name} ...", file=sys.stderr, flush=True)
        with places.open_checkout() as checkout:
            figures = PARTS[name](checkout, given.quick)
            profiles += [explain(figure) for figure in figures if not figure.is_met]
        found += figures
    lines = [f"On {machine()}.", "", *table(found), *(profiles and ["", *profiles])]
    print("\n".join(lines))
    if not given.parts and not given.quick:
        PAGE.write_text("\n".join([HEAD, *lines, ""]), encoding="utf-8")
        print(f"wrote {PAGE.relative_to(PROJECT)}", file=sys.stderr)


def explain(figure: Figure) -> str:
    """Where the time of a missed goal goes."""
    profile = figure.profile() if figure.profile else "no profile of this one"
    return f"\n{figure.what} / {figure.against}:\n\n```\n{profile.strip()}\n```"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
