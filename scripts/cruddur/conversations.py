"""Seeds conversations: writes what is missing of them, under the same keys every time."""

import contextlib
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scripts import errors
from scripts.cognito.users import Person
from scripts.cruddur import items, messages
from scripts.cruddur.conversation_file import Script
from scripts.cruddur.items import Conversation, Message
from scripts.dynamodb import bulk_load, json_lines, tables
from scripts.dynamodb.json_lines import Line
from scripts.engine import pipeline
from scripts.errors import DevError
from scripts.targets import Aws

PAGE = 20
People = Mapping[str, Person]  # by handle
# One conversation for load tests, a second apart and older than any other: the app's views of the
# newest stay as they are.
_FURTHER = "d2c5e1f4-7a36-4b80-9c1d-3e8f5a6b7c02"
_FURTHER_STARTS = datetime(2020, 1, 1, tzinfo=UTC)


def is_seeded(aws: Aws, scripts: Iterable[Script], people: People) -> bool:
    """Does every message exist, and has each of the two users a row of the conversation?"""
    return not any(_find_gaps(aws, script, people) for script in scripts)


def seed(aws: Aws, scripts: Iterable[Script], people: People) -> int:
    """Write what is missing of the scripts; how many messages were written.

    What exists under its key or uuid is not overwritten: an app may have edited a message or moved
    a row. Only what belongs to a user who no longer exists is given to the present one of that
    handle. `people` are the users by handle; a script of `1` and `2` needs two of them.
    """
    return sum(_fill_gaps(aws, script, people) for script in scripts)


@dataclass(frozen=True)
class _Gaps:
    """What is missing of a conversation: messages to write, and the rows that it should have."""

    missing: list[Message]
    rows: set[Conversation]


def _find_gaps(aws: Aws, script: Script, people: People) -> _Gaps | None:
    found = messages.get_conversation(aws, script.group).messages
    present = messages.list_rows(aws, script.group)
    cast = _cast(script, people, present, found)
    if not cast:
        return None
    wanted = _messages(script, cast, _find_start(script, found))
    missing = _list_missing(wanted, found, {person.uuid for person in people.values()})
    newest = max([*wanted, *found], key=lambda message: message.at)
    rows = _rows(cast, newest, present)
    return _Gaps(missing, rows) if missing or rows != set(present) else None


def _fill_gaps(aws: Aws, script: Script, people: People) -> int:
    gaps = _find_gaps(aws, script, people)
    if not gaps:
        return 0
    written = messages.write_messages(aws, gaps.missing)
    messages.replace_rows(aws, script.group, gaps.rows)
    return written


def _list_missing(
    wanted: Sequence[Message], found: Sequence[Message], known: set[str]
) -> list[Message]:
    """The messages to write: those that do not exist, and those of a user who no longer exists."""
    by_uuid = {message.uuid: message for message in found}
    taken = {message.at for message in found}
    missing = [one for one in wanted if one.uuid not in by_uuid and one.at not in taken]
    stale = [
        replace(by_uuid[one.uuid], author=one.author)
        for one in wanted
        if one.uuid in by_uuid and by_uuid[one.uuid].author.uuid not in known
    ]
    return missing + stale


def _find_start(script: Script, found: Sequence[Message]) -> datetime:
    """The time of the first message: given, or read back from what was seeded, or chosen now."""
    if script.starts:
        return script.starts
    places = {_uuid(script.group, index): index for index in range(len(script.lines))}
    for message in found:
        with contextlib.suppress(ValueError):
            if message.uuid in places:
                at = datetime.fromisoformat(message.at).astimezone(UTC)
                return at - timedelta(minutes=places[message.uuid])
    return datetime.now(UTC) - timedelta(minutes=len(script.lines))


def _cast(
    script: Script,
    people: People,
    rows: Sequence[Conversation],
    found: Sequence[Message] = (),
) -> dict[str, Person]:
    """The user for each speaker; {} if the app has too few users for a script of `1` and `2`.

    Once seeded, these are the two users of the rows, however many users come before them later.
    """
    if set(script.handles) != {"1", "2"}:
        return {handle: _person(people, handle) for handle in script.handles}
    uuids = {uuid for row in rows for uuid in (row.owner, row.other.uuid)}
    seeded = [person for person in people.values() if person.uuid in uuids]
    pair = seeded if len(seeded) == 2 else list(people.values())[:2]
    if len(pair) < 2:
        return {}
    firsts = {_uuid(script.group, n) for n, line in enumerate(script.lines) if line[0] == "1"}
    if any(message.uuid in firsts and message.author.uuid == pair[1].uuid for message in found):
        pair.reverse()
    return {"1": pair[0], "2": pair[1]}


def _rows(
    cast: Mapping[str, Person], newest: Message, present: Sequence[Conversation]
) -> set[Conversation]:
    """The rows that the conversation should have: those of the two users, as far as they exist."""
    one, two = cast.values()
    uuids = {one.uuid, two.uuid}
    kept = {row for row in present if row.owner in uuids and row.other.uuid in uuids}
    owners = {row.owner for row in kept}
    return kept | {
        Conversation(owner.uuid, newest.group, newest.at, newest.text, other)
        for owner, other in ((one, two), (two, one))
        if owner.uuid not in owners
    }


def seed_further(aws: Aws, script: Script, people: People, count: int) -> int:
    """Write `count` extra messages, for load tests; the same ones every time.

    The rows of their conversation are written last: they say that every message is there.
    """

    rows = messages.list_rows(aws, _FURTHER)
    cast = _get_cast(script, people, rows)

    def lines() -> Iterator[Line]:
        for number in range(1, count + 1):
            text = json_lines.to_line(items.of_message(_further(script, cast, number)))
            yield Line(Path("--messages"), number, number, text, number / count)

    def save(tally: bulk_load.Tally, rejected: Sequence[bulk_load.Rejected]) -> None:
        for one in rejected:
            raise DevError(
                f"message {one.line.number} is refused: {one.reason}", "correct ddb/seeds"
            )

    def show(done: int, _: float) -> None:
        pipeline.report(f"{done:,} of {errors.count(count, 'message')}")

    table = tables.get_table(aws, aws.messages)
    meter = bulk_load.find_meter(aws, table, rate=None)
    done = bulk_load.Writer(aws, table, meter, bulk_load.Tally()).run(lines(), save, show)
    newest = _further(script, cast, count)
    messages.replace_rows(aws, _FURTHER, _rows(cast, newest, rows))
    return done.acknowledged


def is_seeded_further(aws: Aws, script: Script, people: People, count: int) -> bool:
    """Are so many further messages there, or more?"""
    rows = messages.list_rows(aws, _FURTHER)
    newest = _further(script, _get_cast(script, people, rows), count)
    return len(rows) == 2 and all(row.at >= newest.at for row in rows)


def _further(script: Script, cast: Mapping[str, Person], number: int) -> Message:
    handle, text = script.lines[(number - 1) % len(script.lines)]
    return Message(
        group=_FURTHER,
        at=messages.timestamp(_FURTHER_STARTS + timedelta(seconds=number)),
        uuid=str(uuid.uuid5(uuid.UUID(_FURTHER), str(number))),
        text=text,
        author=cast[handle],
    )


def _get_cast(script: Script, people: People, rows: Sequence[Conversation]) -> dict[str, Person]:
    if cast := _cast(script, people, rows):
        return cast
    raise DevError("a conversation needs two users in Postgres", "./invoke db.seed")


def verify(aws: Aws, scripts: Iterable[Script], people: People) -> str:
    """Read every seeded conversation as the app does, for both users; describes what they see.

    Raises DevError if a conversation has no messages, or one of its users does not see it.
    """
    total, handles = 0, set()
    for script in scripts:
        cast = _cast(script, people, messages.list_rows(aws, script.group))
        if not cast:
            continue
        newest = messages.get_conversation(aws, script.group, limit=PAGE).messages
        if not newest:
            raise _unread("has no messages", script)
        for person in cast.values():
            if script.group not in {row.group for row in messages.list_conversations(aws, person)}:
                raise _unread(f"is not among those of {person.handle}", script)
        total += len(newest)
        handles |= {person.handle for person in cast.values()}
    if not handles:
        return "no conversation: it needs two users"
    return f"{' and '.join(sorted(handles))} see the newest {total} messages"


def _unread(problem: str, script: Script) -> DevError:
    return DevError(f"the conversation {script.group} {problem}", "./invoke ddb.seed")


def _messages(script: Script, cast: Mapping[str, Person], starts: datetime) -> list[Message]:
    return [
        Message(
            group=script.group,
            at=messages.timestamp(starts + timedelta(minutes=index)),
            uuid=_uuid(script.group, index),
            text=text,
            author=cast[handle],
        )
        for index, (handle, text) in enumerate(script.lines)
    ]


def _uuid(group: str, index: int) -> str:
    return str(uuid.uuid5(uuid.UUID(group), str(index)))


def _person(people: People, handle: str) -> Person:
    if handle not in people:
        raise DevError(
            f"the seed conversation has {handle}, who is not in Postgres",
            "./invoke db.reset (loads sql/seed.sql again; undo reverts it)",
        )
    return people[handle]
