"""The access patterns of the conversations in DynamoDB: list, read, write, start.

Rows are the users' views of a conversation, one for each of the two; items.py says how they
and the messages stand in the table.
"""

import random
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from scripts import clients
from scripts.app import Messages
from scripts.cognito.users import Person
from scripts.cruddur import items
from scripts.cruddur.items import INDEX, Conversation, Message
from scripts.dynamodb import batch_write, tables
from scripts.errors import DevError, InvalidError, NotFoundError
from scripts.targets import Aws

TABLE = Messages.table  # where app.toml names no other
LONGEST_MESSAGE = 10_000
_PATIENCE = 20.0  # seconds of being overtaken by others


@dataclass(frozen=True)
class Page:
    """Messages in reading order, and the capacity units that reading them took."""

    messages: list[Message]
    capacity: float


def timestamp(moment: datetime) -> str:
    """An aware time as the table keeps it: 2026-03-28T15:00:00.000000+00:00."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def in_journal_layout(message: Message) -> str:
    """A message as a line: handle in 12 columns, local time in 22, the first 40 characters."""
    try:
        written = f"{datetime.fromisoformat(message.at).astimezone():%Y-%m-%d %H:%M:%S}"
    except ValueError:  # an app may write anything
        written = message.at[:20]
    return f"{message.author.handle:<12}{written:<22}{message.text[:40]}"


def list_conversations(aws: Aws, person: Person) -> list[Conversation]:
    """The conversations of one user, newest first."""
    found, _ = _query(aws, "pk = :pk", {":pk": f"GRP#{person.uuid}"}, newest_first=True)
    return [items.to_conversation(item) for item in found if items.GROUP in item]


def get_conversation(aws: Aws, group: str, limit: int | None = None, before: str = "") -> Page:
    """The newest messages of a conversation, those before a time if one is given, `limit` at most.

    `before` is a time as the table keeps it. No messages for a conversation that is not there.
    """
    values = {":pk": f"MSG#{group}", **({":before": before} if before else {})}
    condition = "pk = :pk" + (" AND sk < :before" if before else "")
    found, capacity = _query(aws, condition, values, newest_first=True, limit=limit)
    return Page(list(map(items.to_message, reversed(found))), capacity)


def list_newer(aws: Aws, group: str, after: str) -> list[Message]:
    """The messages of a conversation after a time, in reading order. DevError for no time."""
    values = {":pk": f"MSG#{group}", ":after": _as_key(after)}
    found, _ = _query(aws, "pk = :pk AND sk > :after", values)
    return list(map(items.to_message, found))


def get_page(aws: Aws, group: str, limit: int, before: str) -> Page:
    """Like get_conversation, for words of a user: without a group, the conversation written last.

    Raises DevError for a time that is none, or where there is no such conversation.
    """
    if before:
        before = _as_key(before)
    group = group or get_latest(aws).group
    page = get_conversation(aws, group, limit, before)
    if not page.messages and not (before and get_conversation(aws, group, 1).messages):
        raise NotFoundError(
            f"there is no conversation {group}", "./invoke ddb.patterns.list-conversations HANDLE"
        )
    return page


def get_latest(aws: Aws, person: Person | None = None) -> Conversation:
    """The conversation written last, of one user or of all. Raises NotFoundError where none is."""
    rows = list_conversations(aws, person) if person else scan_rows(aws)
    latest = max(rows, key=lambda row: row.at, default=None)
    if latest is None:
        whose = f" of {person.handle}" if person else ""
        reason = f"there is no conversation{whose} in {aws.messages}"
        raise NotFoundError(reason, "./invoke ddb.seed")
    return latest


def send(aws: Aws, group: str, author: Person, text: str) -> Message:
    """Write a message, and move both users' rows to its time, in one transaction.

    The rows are found through the index. Raises DevError where the author does not take part.
    """
    text = _checked(text)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        rows = list_rows(aws, group)
        if author.uuid not in {row.owner for row in rows}:
            raise DevError(
                f"{author.handle} is not a participant in the conversation {group}",
                f"./invoke ddb.patterns.list-conversations {author.handle}",
            )
        last = max(map(_moment, rows))
        now = max(datetime.now(UTC), last + timedelta(microseconds=1))
        message = Message(group, timestamp(now), str(uuid.uuid4()), text, author)
        moves = [move for row in rows for move in _move(aws, row, message)]
        if _transact(aws, [_put_new(aws, items.of_message(message)), *moves]):
            return message
        time.sleep(random.uniform(0, 0.2))  # noqa: S311 - so that those who collided do not again
    raise _contended(group)


def start(aws: Aws, author: Person, other: Person, text: str) -> Message:
    """Start a conversation: both users' rows and the first message, in one transaction."""
    if author.uuid == other.uuid:
        raise InvalidError(
            f"a conversation needs two users, not {author.handle} twice", "name two users"
        )
    group = str(uuid.uuid4())
    message = Message(
        group, timestamp(datetime.now(UTC)), str(uuid.uuid4()), _checked(text), author
    )
    rows = [
        Conversation(owner.uuid, group, message.at, message.text, counterpart)
        for owner, counterpart in ((author, other), (other, author))
    ]
    written = [items.of_message(message), *map(items.of_conversation, rows)]
    if not _transact(aws, [_put_new(aws, item) for item in written]):
        raise DevError("the conversation could not be written", "try again")
    return message


def list_rows(aws: Aws, group: str) -> list[Conversation]:
    """The users' rows of one conversation, through the index."""
    found, _ = _query(aws, "message_group_uuid = :group", {":group": group}, IndexName=INDEX)
    return list(map(items.to_conversation, found))


def scan_rows(aws: Aws, limit: int | None = None) -> Iterator[Conversation]:
    """The rows of all users, in no order, `limit` at most."""
    return map(items.to_conversation, tables.scan(aws, aws.messages, limit, IndexName=INDEX))


def write_messages(aws: Aws, messages: Sequence[Message]) -> int:
    """Put messages as they are, in batches, no row moved; how many were acknowledged."""
    return batch_write.write_items(aws, aws.messages, list(map(items.of_message, messages)))


def replace_rows(aws: Aws, group: str, wanted: Collection[Conversation]) -> None:
    """Make the rows of a conversation exactly these, in one transaction."""
    rows = list_rows(aws, group)
    keys = {(row.owner, row.at) for row in wanted}
    changes = [_delete(aws, row) for row in rows if (row.owner, row.at) not in keys]
    changes += [_put(aws, items.of_conversation(row)) for row in wanted if row not in rows]
    if changes and not _transact(aws, changes):
        raise _contended(group)


def parse_time(text: str) -> datetime:
    """An aware time in UTC from ISO 8601 text. Raises ValueError, also without an offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no offset such as +00:00")
    if not 1 < moment.year < 9999:  # room for the offset, and for a minute a message
        raise ValueError(f"{text} is out of range")
    return moment.astimezone(UTC)


def _move(aws: Aws, row: Conversation, message: Message) -> list[dict[str, Any]]:
    moved = Conversation(row.owner, row.group, message.at, message.text, row.other)
    return [_delete(aws, row), _put(aws, items.of_conversation(moved))]


def _put(aws: Aws, item: tables.Item) -> dict[str, Any]:
    return {"Put": {"TableName": aws.messages, "Item": item}}


def _put_new(aws: Aws, item: tables.Item) -> dict[str, Any]:
    put = _put(aws, item)["Put"]
    return {"Put": put | {"ConditionExpression": "attribute_not_exists(pk)"}}


def _delete(aws: Aws, row: Conversation) -> dict[str, Any]:
    key = tables.to_dynamodb({"pk": f"GRP#{row.owner}", "sk": row.at})
    condition = "attribute_exists(pk)"
    return {"Delete": {"TableName": aws.messages, "Key": key, "ConditionExpression": condition}}


def _contended(group: str) -> DevError:
    return DevError(f"other writers keep changing the conversation {group}", "try again")


def _transact(aws: Aws, changes: list[dict[str, Any]]) -> bool:
    """Make the changes in one transaction; False if another client changed an item first."""
    client = clients.dynamodb(aws)
    try:
        client.transact_write_items(TransactItems=changes)
    except client.exceptions.TransactionCanceledException as error:
        reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
        if reasons <= {"None", "ConditionalCheckFailed", "TransactionConflict"}:
            return False
        raise
    return True


def _query(
    aws: Aws,
    condition: str,
    values: Mapping[str, str],
    newest_first: bool = False,
    limit: int | None = None,
    **options: Any,
) -> tuple[list[tables.Item], float]:
    """All items of a query, or the first `limit`, as plain values; and the units it consumed."""
    client = clients.dynamodb(aws)
    pages = client.get_paginator("query").paginate(
        TableName=aws.messages,
        KeyConditionExpression=condition,
        ExpressionAttributeValues=tables.to_dynamodb(dict(values)),
        ScanIndexForward=not newest_first,
        ReturnConsumedCapacity="TOTAL",
        PaginationConfig={"MaxItems": limit, "PageSize": limit} if limit else {},
        **options,
    )
    found: list[tables.Item] = []
    capacity = 0.0
    try:
        for page in pages:
            found += map(tables.from_dynamodb, page["Items"])
            capacity += page.get("ConsumedCapacity", {}).get("CapacityUnits", 0.0)
    except client.exceptions.ResourceNotFoundException:
        reason = f"there is no table {aws.messages} in {aws}"
        raise clients.not_found(
            aws, reason, "./invoke setup", lambda other: tables.find_table(other, aws.messages)
        ) from None
    return found, capacity


def _as_key(text: str) -> str:
    """A time as the table has it; one without an offset, as some apps write, stays as it is."""
    try:
        moment = datetime.fromisoformat(text)
        return timestamp(parse_time(text)) if moment.tzinfo else text
    except ValueError:
        example = "2026-03-28T15:00:00+00:00"
        raise InvalidError(f"{text} is not a time", f"write it like {example}") from None


def _moment(row: Conversation) -> datetime:
    """When a row says that its last message was written; a time without an offset is local."""
    try:
        return datetime.fromisoformat(row.at).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.min.replace(tzinfo=UTC)


def _checked(text: str) -> str:
    if not text.strip():
        raise InvalidError("the message is empty", "write something")
    if not text.isascii() and text != text.encode(errors="replace").decode():
        raise InvalidError("the message is not UTF-8 text", "write it again")
    if len(text) > LONGEST_MESSAGE:
        raise InvalidError(
            f"the message has {len(text):,} characters, {LONGEST_MESSAGE:,} are allowed",
            "send it in parts",
        )
    return text
