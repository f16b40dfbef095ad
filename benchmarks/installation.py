"""From a clone to a finished `setup`: the launcher against venv, pip and Invoke."""

import contextlib
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import places
from benchmarks.figures import Figure, measure, pair
from tests.conftest import PROJECT, Checkout, remove_state

GOAL = 0.6


def figures(checkout: Checkout, rounds: int) -> list[Figure]:
    """The same packages from the same index, each in a clone of HEAD; pip's cache is warm."""
    numbers = itertools.count()

    def in_a_clone(side: Callable[[Path], float]) -> float:
        root = checkout.root.parent / f"clone-{next(numbers)}"
        places.run(["git", "clone", "--quiet", str(PROJECT), str(root)], checkout.root)
        with contextlib.ExitStack() as stack:
            stack.callback(remove_state, root)
            return side(root)

    found = measure(rounds, lambda: in_a_clone(launcher), lambda: in_a_clone(by_hand))
    return [
        Figure("clone to finished setup", "venv, pip install, invoke setup", pair(found), "s", GOAL)
    ]


def launcher(root: Path) -> float:
    """Seconds of the README's command."""
    return places.run([root / "invoke", "setup"], root)


def by_hand(root: Path) -> float:
    """Seconds of the same as most projects document it."""
    python = str(root / ".venv" / "bin" / "python")
    commands = [
        [sys.executable, "-m", "venv", ".venv"],
        [python, "-m", "pip", "install", "-q", *places.PINNED, "-r", "requirements.txt"],
        [python, "-m", "invoke", "setup"],
    ]
    return sum(places.run(command, root) for command in commands)
