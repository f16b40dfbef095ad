"""Figures: two sides measured in turn, their ratio, and the table that shows them."""

import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from scripts import shell


@dataclass(frozen=True)
class Figure:
    """One comparison: `pairs` are ours and theirs, a pair a round.

    The goal is for ours / theirs: at most that where the unit is s or MB, at least that where it is
    a rate. `profile` tells, where it is missed, why.
    """

    what: str
    against: str
    pairs: Sequence[tuple[float, float]]
    unit: str
    goal: float | None = None
    profile: Callable[[], str] | None = None

    @property
    def ratios(self) -> list[float]:
        """Ours / theirs, lowest first."""
        return sorted(ours / theirs for ours, theirs in self.pairs)

    @property
    def is_met(self) -> bool:
        """Does the median of the ratios keep the goal?"""
        if self.goal is None:
            return True
        ratio = statistics.median(self.ratios)
        return ratio >= self.goal if self.unit == "/s" else ratio <= self.goal


def measure(
    rounds: int, *sides: Callable[[], float], warm_up: bool = True
) -> list[tuple[float, ...]]:
    """The sides in turn, so many rounds; what the first, warming round gave is left out.

    A single round is for a look: it has none to warm up.
    """
    warm_up = warm_up and rounds > 1
    found = [tuple(side() for side in sides) for _ in range(rounds + warm_up)]
    return found[warm_up:]


def pair(
    found: Sequence[tuple[float, ...]], ours: int = 0, theirs: int = 1
) -> list[tuple[float, float]]:
    """Two sides of what was measured."""
    return [(row[ours], row[theirs]) for row in found]


def table(figures: Sequence[Figure]) -> list[str]:
    """The figures as lines of a table in Markdown that is aligned as text, too."""
    rows: list[tuple[str, ...]] = [
        ("what", "ours", "against", "theirs", "ratio", "lowest to highest", "goal", "")
    ]
    rows += [_row(figure) for figure in figures]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    return [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]


def machine() -> str:
    """What it was measured on: no names of machines or folders."""
    memory = psutil.virtual_memory().total / (1 << 30)
    done = shell.run([shell.postgres_home() / "bin" / "postgres", "--version"])
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GB; {_system()};"
        f" Python {platform.python_version()}; {done.stdout.strip()}"
    )


def _row(figure: Figure) -> tuple[str, ...]:
    ours, theirs = (statistics.median(side) for side in zip(*figure.pairs, strict=True))
    low, *_, high = [*figure.ratios, figure.ratios[-1]]
    side = "at least" if figure.unit == "/s" else "at most"
    return (
        figure.what,
        _amount(ours, figure.unit),
        figure.against,
        _amount(theirs, figure.unit),
        f"{statistics.median(figure.ratios):.2f}",
        f"{low:.2f} to {high:.2f}",
        f"{side} {figure.goal:g}" if figure.goal is not None else "",
        "" if figure.goal is None else "met" if figure.is_met else "**missed**",
    )


def _amount(value: float, unit: str) -> str:
    return {"s": f"{value:.3f} s", "/s": f"{value:,.0f}/s"}.get(unit, f"{value:.0f} {unit}")


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    if not names and platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        names = [subprocess.run(command, capture_output=True, text=True, check=False).stdout]
    return names[0].strip() if names else platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return f"{platform.system()} {platform.release()}"
