"""The conversations to seed: text files that a person can edit, written under the same keys."""

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scripts import errors
from scripts.cognito.users import Person
from scripts.cruddur import items, messages
from scripts.cruddur.items import Conversation, Message
from scripts.dynamodb import bulk_load, json_lines, tables
from scripts.dynamodb.json_lines import Line
from scripts.engine import pipeline
from scripts.errors import DevError
from scripts.targets import Aws

PAGE = 20
MOST_FURTHER = 10_000_000
# One conversation for load tests, a second apart and older than any other: the app's views of the
# newest stay as they are.
_FURTHER = "d2c5e1f4-7a36-4b80-9c1d-3e8f5a6b7c02"
_FURTHER_STARTS = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Script:
    """A conversation to seed: who says what, a minute apart from `starts` on."""

    group: str
    starts: datetime
    lines: list[tuple[str, str]]

    @property
    def handles(self) -> list[str]:
        """The two who talk, the first speaker first."""
        return list(dict.fromkeys(handle for handle, _ in self.lines))


def read_app(folder: Path) -> list[Script]:
    """The app's conversations, from its folder `ddb`; none where it does not define their table."""
    if not (folder / "tables" / f"{messages.TABLE}.json").exists():
        return []
    return read(folder / "seeds" / f"{messages.TABLE}.txt")


def first(scripts: Sequence[Script]) -> Script:
    """The first conversation. Raises DevError for an app that has none."""
    if not scripts:
        raise DevError(f"ddb/tables does not define {messages.TABLE}", "see docs/tutorial.md")
    return scripts[0]


def read(path: Path) -> list[Script]:
    """The conversations of a file. Raises DevError that names file:line for a broken one."""
    shown = f"ddb/seeds/{path.name}"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DevError(
            f"{shown} cannot be read: {type(error).__name__}", "it must be UTF-8 text"
        ) from None
    return parse(shown, text)


def parse(shown: str, text: str) -> list[Script]:
    """The conversations in a file's text; `shown` names the file in messages.

    A conversation is `@group UUID`, `@starts TIME`, then a line `handle: text` for each message.
    """
    scripts: list[Script] = []
    group = ""
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        word, _, rest = line.partition(" ")
        try:
            if word == "@group":
                if group and not _is_begun(group, scripts):
                    raise ValueError(f"the @group {group} above has no @starts")
                group = _new_group(rest.strip(), scripts)
            elif word == "@starts":
                if not group or _is_begun(group, scripts):
                    raise ValueError("@starts without a @group of its own above it")
                scripts.append(Script(group, messages.parse_time(rest.strip()), []))
            elif line and not line.startswith("#"):
                _add_line(scripts, group, line)
        except ValueError as error:
            raise _broken(f"{shown}:{number}", str(error)) from None
    if group and not _is_begun(group, scripts):
        raise _broken(shown, f"the @group {group} has no @starts")
    for script in scripts:
        if len(script.handles) != 2:
            raise _broken(shown, f"{script.group} is not a talk of two users")
    if not scripts:
        raise _broken(shown, "it holds no conversation")
    return scripts


def is_seeded(aws: Aws, scripts: Iterable[Script], people: Mapping[str, Person]) -> bool:
    """Is every message of the scripts there, and are the rows of their conversations right?"""
    for script in scripts:
        found = messages.get_conversation(aws, script.group).messages
        if not set(found).issuperset(_messages(script, people)):
            return False
        if set(messages.list_rows(aws, script.group)) != _rows(script, people, found[-1]):
            return False
    return True


def seed(aws: Aws, scripts: Iterable[Script], people: Mapping[str, Person]) -> int:
    """Write what is missing of the scripts; how many messages were written.

    The keys are the same every time. A row that has moved on to a later message stays there, one
    of a user who is not in Postgres any more is replaced. `people` are the users by handle.
    """
    written = 0
    for script in scripts:
        found = messages.get_conversation(aws, script.group).messages
        wanted = _messages(script, people)
        known = set(found)
        missing = [message for message in wanted if message not in known]
        written += messages.write_messages(aws, missing)
        newest = max([*wanted, *found], key=lambda message: message.at)
        messages.replace_rows(aws, script.group, _rows(script, people, newest))
    return written


def seed_further(aws: Aws, script: Script, people: Mapping[str, Person], count: int) -> int:
    """Write so many further messages of the script's two users, the same every time.

    The rows of their conversation are written last: they say that every message is there.
    """

    def lines() -> Iterator[Line]:
        for number in range(1, count + 1):
            text = json_lines.to_line(items.of_message(_further(script, people, number)))
            yield Line(Path("--messages"), number, number, text, number / count)

    def save(tally: bulk_load.Tally, rejected: Sequence[bulk_load.Rejected]) -> None:
        for one in rejected:
            raise DevError(
                f"message {one.line.number} is refused: {one.reason}", "correct ddb/seeds"
            )

    def show(done: int, _: float) -> None:
        pipeline.report(f"{done:,} of {errors.count(count, 'message')}")

    table = tables.get_table(aws, messages.TABLE)
    meter = bulk_load.find_meter(aws, table, rate=None)
    done = bulk_load.Writer(aws, table, meter, bulk_load.Tally()).run(lines(), save, show)
    newest = _further(script, people, count)
    messages.replace_rows(aws, _FURTHER, _rows(script, people, newest))
    return done.acknowledged


def is_seeded_further(aws: Aws, script: Script, people: Mapping[str, Person], count: int) -> bool:
    """Are so many further messages there, or more?"""
    newest = _further(script, people, count)
    rows = messages.list_rows(aws, _FURTHER)
    return len(rows) == 2 and all(row.at >= newest.at for row in rows)


def _further(script: Script, people: Mapping[str, Person], number: int) -> Message:
    handle, text = script.lines[(number - 1) % len(script.lines)]
    return Message(
        group=_FURTHER,
        at=messages.timestamp(_FURTHER_STARTS + timedelta(seconds=number)),
        uuid=str(uuid.uuid5(uuid.UUID(_FURTHER), str(number))),
        text=text,
        author=_person(people, handle),
    )


def verify(aws: Aws, scripts: Iterable[Script], people: Mapping[str, Person]) -> str:
    """Read every seeded conversation as the app does, for both users; says what there is.

    Raises DevError where a user does not see it, or its newest messages are not there.
    """
    total = 0
    for script in scripts:
        newest = messages.get_conversation(aws, script.group, limit=PAGE).messages
        if len(newest) < min(PAGE, len(script.lines)):
            raise _unread(f"has {errors.count(len(newest), 'message')}", script)
        recent = {said for said in _messages(script, people) if said.at >= newest[0].at}
        if lost := recent - set(newest):
            raise _unread(f"lacks {len(lost)} of its newest messages", script)
        for handle in script.handles:
            seen = messages.list_conversations(aws, _person(people, handle))
            if (script.group, newest[-1].at) not in {(row.group, row.at) for row in seen}:
                raise _unread(f"is not among those of {handle}, with its newest message", script)
        total += len(newest)
    handles = sorted({handle for script in scripts for handle in script.handles})
    return f"{' and '.join(handles)} see the newest {total} messages"


def _unread(problem: str, script: Script) -> DevError:
    return DevError(f"the conversation {script.group} {problem}", "./invoke ddb.seed")


def _new_group(text: str, scripts: Sequence[Script]) -> str:
    try:
        group = str(uuid.UUID(text))
    except ValueError:
        raise ValueError(f"{text} is not a uuid") from None
    if group in {script.group for script in scripts}:
        raise ValueError(f"the @group {group} is in the file already")
    return group


def _is_begun(group: str, scripts: Sequence[Script]) -> bool:
    return bool(scripts) and scripts[-1].group == group


def _add_line(scripts: list[Script], group: str, line: str) -> None:
    handle, colon, text = line.partition(":")
    if not _is_begun(group, scripts):
        raise ValueError("a message before its @group and @starts")
    if not colon or not re.fullmatch(r"\S+", handle) or not text.strip():
        raise ValueError(f"not a `handle: text` line: {line[:40]}")
    scripts[-1].lines.append((handle, text.strip()))


def _broken(place: str, problem: str) -> DevError:
    return DevError(
        f"{place}: {problem}",
        "write `@group UUID`, `@starts 2026-03-28T15:00:00+00:00`, then `handle: text` lines",
    )


def _messages(script: Script, people: Mapping[str, Person]) -> list[Message]:
    return [
        Message(
            group=script.group,
            at=messages.timestamp(script.starts + timedelta(minutes=index)),
            uuid=str(uuid.uuid5(uuid.UUID(script.group), str(index))),
            text=text,
            author=_person(people, handle),
        )
        for index, (handle, text) in enumerate(script.lines)
    ]


def _rows(script: Script, people: Mapping[str, Person], newest: Message) -> set[Conversation]:
    """The rows that the conversation should have: at its newest message, seeded or later."""
    one, two = (_person(people, handle) for handle in script.handles)
    return {
        Conversation(owner.uuid, newest.group, newest.at, newest.text, other)
        for owner, other in ((one, two), (two, one))
    }


def _person(people: Mapping[str, Person], handle: str) -> Person:
    if handle not in people:
        raise DevError(
            f"the seed conversation has {handle}, who is not in Postgres",
            "./invoke db.reset (loads sql/seed.sql again; undo reverts it), or correct ddb/seeds",
        )
    return people[handle]
