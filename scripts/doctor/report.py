"""What doctor prints: problems first, each with its fix, wrapped to the terminal."""

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from scripts.engine.checks import Finding
from scripts.errors import count

_ORDER = ("FAIL", "skip", "note", "ok", "set")
_INDENT = " " * 6
_NARROWEST = 24  # characters for a reason beside the name of its check
_SHOW_ALL = "; for all: ./invoke doctor --all"


def lines(findings: Sequence[Finding], everything: bool, width: int | None) -> Iterator[str]:
    """The findings as aligned lines: state, check, reason, and below it the fix.

    Those without a problem only if `everything` is asked for. Without a width, nothing is wrapped.
    """
    ordered = sorted(findings, key=lambda one: _ORDER.index(one.state))
    shown = [one for one in _merge(ordered) if everything or one.state not in ("ok", "set")]
    names = max((len(one.check) for one in shown), default=0)
    indent = f"{_INDENT}{'':{names}}  "
    for one in shown:
        if width and width - len(indent) < _NARROWEST:  # the reason is below the check's name
            yield f"{one.state:4}  {one.check}"
            yield from (f"{_INDENT}{line}" for line in _wrap(one.reason, width - len(_INDENT)))
        else:
            first, *more = _wrap(one.reason, width and width - len(indent)) or [""]
            yield f"{one.state:4}  {one.check:{names}}  {first}".rstrip()
            yield from (f"{indent}{line}" for line in more)
        yield from (f"{_INDENT}fix: {line}" for line in one.fix.splitlines())  # to be pasted


def summary(findings: Sequence[Finding], everything: bool) -> str:
    """One line: how many checks passed, or which failed."""
    failed = [one.check for one in findings if one.state == "FAIL"]
    skipped, notes = (_count(findings, state) for state in ("skip", "note"))
    total = count(len(findings) - _count(findings, "set"), "check")
    more = "" if everything else _SHOW_ALL
    if failed:
        unknown = f", {skipped} not checked" if skipped else ""
        return f"doctor: {len(failed)} of {total} failed: {', '.join(failed)}{unknown}{more}"
    remarks = f", {count(notes, 'note')}" if notes else ""
    return f"doctor: {total} passed{remarks}{more}"


def _count(findings: Sequence[Finding], state: str) -> int:
    return sum(one.state == state for one in findings)


def _merge(ordered: Sequence[Finding]) -> Iterator[Finding]:
    """The findings; those that were skipped for the same reason as one."""
    for (state, reason), same in groupby(ordered, key=attrgetter("state", "reason")):
        group = list(same)
        if state != "skip" or len(group) == 1:
            yield from group
            continue
        names = ", ".join(one.check for one in group)
        yield Finding(count(len(group), "check"), "skip", f"{reason}: {names}")


def _wrap(text: str, width: int | None) -> list[str]:
    if width is None:
        return text.splitlines()
    wrapper = textwrap.TextWrapper(width, break_on_hyphens=False, break_long_words=False)
    return [part for line in text.splitlines() for part in wrapper.wrap(line) or [""]]
