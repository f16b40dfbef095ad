"""Files of conversations to seed: text that a person can edit."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from scripts.app import App, name_file
from scripts.cruddur import messages
from scripts.errors import DevError
from scripts.settings import ROOT

BUILT_IN = ROOT / "ddb" / "seeds" / "cruddur-messages.txt"


@dataclass(frozen=True)
class Script:
    """A conversation to seed: who says what, a minute apart.

    `starts` is the time of the first message; None: the last one is written just before the first
    seeding. The speakers are handles, or `1` and `2` for the app's first two users.
    """

    group: str
    starts: datetime | None
    lines: list[tuple[str, str]]

    @property
    def handles(self) -> list[str]:
        """The two speakers, the first one first."""
        return list(dict.fromkeys(handle for handle, _ in self.lines))


def read_app(app: App) -> list[Script]:
    """The app's conversations, or the built-in one; none for an app without messages."""
    if not app.messages:
        return []
    path = app.messages.seed
    return read(path, name_file(path)) if path else read(BUILT_IN, BUILT_IN.name)


def first(scripts: Sequence[Script]) -> Script:
    """The first conversation. Raises DevError for an app that has none."""
    if not scripts:
        raise DevError("the app has no messages", "add [messages] to app.toml; see docs/app.md")
    return scripts[0]


def read(path: Path, shown: str) -> list[Script]:
    """The conversations of a file. Raises DevError that names file:line for a broken one."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DevError(
            f"{shown} cannot be read: {type(error).__name__}", "it must be UTF-8 text"
        ) from None
    return parse(shown, text)


def parse(shown: str, text: str) -> list[Script]:
    """The conversations in a file's text; `shown` names the file in messages.

    A conversation is `@group UUID`, optionally `@starts TIME`, then a line `handle: text` for each
    message.
    """
    scripts: list[Script] = []
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        word, _, rest = line.partition(" ")
        try:
            if word == "@group":
                scripts.append(Script(_new_group(rest.strip(), scripts), None, []))
            elif word == "@starts":
                _set_start(scripts, messages.parse_time(rest.strip()))
            elif line and not line.startswith("#"):
                _add_line(scripts, line)
        except ValueError as error:
            raise _broken(f"{shown}:{number}", str(error)) from None
    for script in scripts:
        if len(script.handles) != 2:
            raise _broken(shown, f"{script.group} is not a conversation of two users")
    if not scripts:
        raise _broken(shown, "it contains no conversation")
    return scripts


def _new_group(text: str, scripts: Sequence[Script]) -> str:
    try:
        group = str(uuid.UUID(text))
    except ValueError:
        raise ValueError(f"{text} is not a uuid") from None
    if group in {script.group for script in scripts}:
        raise ValueError(f"the @group {group} is already in the file")
    return group


def _set_start(scripts: list[Script], starts: datetime) -> None:
    if not scripts or scripts[-1].starts or scripts[-1].lines:
        raise ValueError("@starts without a @group of its own above it")
    scripts[-1] = replace(scripts[-1], starts=starts)


def _add_line(scripts: list[Script], line: str) -> None:
    handle, colon, text = line.partition(":")
    if not scripts:
        raise ValueError("a message before its @group")
    if not colon or not re.fullmatch(r"\S+", handle) or not text.strip():
        raise ValueError(f"not a `handle: text` line: {line[:40]}")
    scripts[-1].lines.append((handle, text.strip()))


def _broken(place: str, problem: str) -> DevError:
    return DevError(
        f"{place}: {problem}",
        "write `@group UUID`, optionally `@starts 2026-03-28T15:00:00+00:00`, then `handle: text`",
    )
