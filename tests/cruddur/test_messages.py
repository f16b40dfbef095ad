import re
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from botocore.stub import Stubber

from scripts import clients
from scripts.cognito.users import Person
from scripts.cruddur import items, messages
from scripts.cruddur.items import Conversation, Message
from scripts.cruddur.messages import TABLE
from scripts.dynamodb import tables
from scripts.errors import DevError, InvalidError, NotFoundError
from scripts.targets import Aws

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")
LIST_HINT = "\nhint: ./invoke ddb.patterns.list-conversations"


def make_person(handle: str) -> Person:
    return Person(str(uuid.uuid5(uuid.NAMESPACE_DNS, handle)), handle, handle.title())


KORNEY, SMIRNOV, STRANGER = map(make_person, ("korney", "smirnov", "stranger"))


@pytest.fixture
def group(table: Aws) -> str:
    return messages.start(table, KORNEY, SMIRNOV, "first").group


def make_message(group: str, minute: int) -> Message:
    at = messages.timestamp(datetime(2026, 3, 28, tzinfo=UTC) + timedelta(minutes=minute))
    return Message(group, at, str(uuid.uuid4()), f"number {minute}", KORNEY)


@pytest.fixture
def written(table: Aws) -> list[Message]:
    """45 messages of a conversation, the oldest first."""
    made = [make_message("long", minute) for minute in range(45)]
    messages.write_messages(table, made)
    return made


def failure(action: Callable[[], object], kind: type[DevError] = DevError) -> str:
    with pytest.raises(DevError) as caught:
        action()
    assert type(caught.value) is kind
    return str(caught.value.message)


def move_rows_ahead(aws: Aws, group: str) -> datetime:
    """Move both rows an hour ahead, as a clock that is wrong would; the time they have now."""
    ahead = datetime.now(UTC) + timedelta(hours=1)
    rows = [replace(row, at=messages.timestamp(ahead)) for row in messages.list_rows(aws, group)]
    messages.replace_rows(aws, group, rows)
    return ahead


def list_texts(aws: Aws, group: str) -> list[str]:
    return [message.text for message in messages.get_conversation(aws, group).messages]


def list_items(aws: Aws) -> list[tables.Item]:
    return sorted(tables.scan(aws, TABLE), key=lambda item: (item["pk"], item["sk"]))


def test_times_have_six_digits_and_an_offset_also_at_a_full_second() -> None:
    moment = datetime(2026, 3, 28, 17, tzinfo=timezone(timedelta(hours=2)))
    assert messages.timestamp(moment) == "2026-03-28T15:00:00.000000+00:00"


def test_every_time_that_is_written_has_the_one_form(table: Aws, group: str) -> None:
    for _ in range(5):
        messages.send(table, group, SMIRNOV, "next")
    assert all(TIME.fullmatch(item["sk"]) for item in list_items(table))


@pytest.mark.parametrize(
    ("time", "handle", "text", "line"),
    [
        (
            "2023-04-05T08:02:03.000000+00:00",
            "korney",
            "short",
            "korney      2023-04-05 10:02:03   short",
        ),
        (
            "2023-12-31T00:59:59.999999+00:00",
            "bob",
            "0123456789" * 5,
            "bob         2023-12-31 01:59:59   0123456789012345678901234567890123456789",
        ),
        (
            "2023-04-05T20:02:00.000000+00:00",
            "twelve-chars",
            "x",
            "twelve-chars2023-04-05 22:02:00   x",
        ),
    ],
)
def test_a_message_is_shown_as_in_the_journal_with_local_time(
    vienna: None, time: str, handle: str, text: str, line: str
) -> None:
    message = Message("group", time, "uuid", text, make_person(handle))
    assert messages.in_journal_layout(message) == line


def test_conversations_are_listed_newest_first(table: Aws) -> None:
    groups = [messages.start(table, KORNEY, SMIRNOV, "hi").group for _ in range(3)]
    messages.send(table, groups[0], SMIRNOV, "back to the first one")
    found = [row.group for row in messages.list_conversations(table, KORNEY)]
    assert found == [groups[0], groups[2], groups[1]]


def test_an_item_that_is_no_view_of_a_conversation_is_passed_over(table: Aws, group: str) -> None:
    strange = {"pk": {"S": f"GRP#{KORNEY.uuid}"}, "sk": {"S": "soon"}}
    clients.dynamodb(table).put_item(TableName=TABLE, Item=strange)
    assert [row.group for row in messages.list_conversations(table, KORNEY)] == [group]


def test_conversations_are_listed_for_both_users_and_nobody_else(table: Aws, group: str) -> None:
    (last,) = messages.get_conversation(table, group).messages
    assert messages.list_conversations(table, KORNEY) == [
        Conversation(KORNEY.uuid, group, last.at, "first", SMIRNOV)
    ]
    assert messages.list_conversations(table, SMIRNOV) == [
        Conversation(SMIRNOV.uuid, group, last.at, "first", KORNEY)
    ]
    assert messages.list_conversations(table, STRANGER) == []


def test_a_page_is_the_newest_messages_in_reading_order(table: Aws, written: list[Message]) -> None:
    assert messages.get_page(table, "long", 20, "").messages == written[-20:]


def test_a_page_reports_the_consumed_capacity(table: Aws, written: list[Message]) -> None:
    assert messages.get_page(table, "long", 20, "").capacity > 0


def test_paging_back_shows_every_message_exactly_once(table: Aws, written: list[Message]) -> None:
    found: list[Message] = []
    before = ""
    while page := messages.get_page(table, "long", 7, before).messages:
        found = page + found
        before = page[0].at
    assert found == written


def test_paging_back_understands_other_offsets(table: Aws, written: list[Message]) -> None:
    page = messages.get_page(table, "long", 100, "2026-03-28T02:10:00+02:00")
    assert page.messages == written[:10]


def test_reading_goes_on_after_an_empty_page_and_adds_up_the_capacity(aws: Aws) -> None:
    message = make_message("g", 0)
    pages: list[tables.Item] = [
        {"Items": [], "LastEvaluatedKey": tables.to_dynamodb({"pk": "MSG#g", "sk": "2"})},
        {
            "Items": [items.of_message(message)],
            "LastEvaluatedKey": tables.to_dynamodb({"pk": "MSG#g", "sk": "1"}),
        },
        {"Items": []},
    ]
    with Stubber(clients.dynamodb(aws)) as stub:
        for page in pages:
            stub.add_response("query", page | {"ConsumedCapacity": {"CapacityUnits": 0.5}})
        assert messages.get_conversation(aws, "g") == messages.Page([message], 1.5)


def test_without_a_group_the_page_is_of_the_conversation_written_last(table: Aws) -> None:
    groups = [messages.start(table, KORNEY, SMIRNOV, "hi").group for _ in range(3)]
    messages.send(table, groups[1], KORNEY, "latest")
    assert [m.text for m in messages.get_page(table, "", 20, "").messages] == ["hi", "latest"]


def test_the_latest_conversation_of_a_user_is_not_that_of_others(table: Aws, group: str) -> None:
    messages.start(table, SMIRNOV, STRANGER, "later, but without korney")
    assert messages.get_latest(table, KORNEY).group == group


def test_an_unknown_conversation_is_said(table: Aws, group: str) -> None:
    assert failure(lambda: messages.get_page(table, "nope", 20, ""), NotFoundError) == (
        f"there is no conversation nope{LIST_HINT} HANDLE"
    )


def test_an_unknown_conversation_is_said_also_when_paging_back(table: Aws, group: str) -> None:
    now = messages.timestamp(datetime.now(UTC))
    assert failure(lambda: messages.get_page(table, "nope", 20, now), NotFoundError) == (
        f"there is no conversation nope{LIST_HINT} HANDLE"
    )


@pytest.mark.parametrize("before", ["yesterday", "12"])
def test_what_is_no_time_is_refused(table: Aws, group: str, before: str) -> None:
    assert failure(lambda: messages.get_page(table, group, 20, before), InvalidError) == (
        f"{before} is not a time\nhint: write it like 2026-03-28T15:00:00+00:00"
    )


def test_no_conversation_of_a_user_is_said(table: Aws, group: str) -> None:
    assert failure(lambda: messages.get_latest(table, STRANGER), NotFoundError) == (
        f"there is no conversation of stranger in {TABLE}\nhint: ./invoke ddb.seed"
    )


def test_an_empty_table_is_said(table: Aws) -> None:
    assert failure(lambda: messages.get_page(table, "", 20, ""), NotFoundError) == (
        f"there is no conversation in {TABLE}\nhint: ./invoke ddb.seed"
    )


def test_a_missing_table_is_said(aws: Aws) -> None:
    assert failure(lambda: messages.list_conversations(aws, KORNEY), NotFoundError) == (
        f"there is no table {TABLE} in {aws}\nhint: ./invoke setup"
    )


def test_starting_a_conversation_writes_two_rows_and_the_message(table: Aws) -> None:
    message = messages.start(table, KORNEY, SMIRNOV, "Hello, Mrs. Håkansson 🌬️")
    author = {
        "message": message.text,
        "sk": message.at,
        "user_uuid": KORNEY.uuid,
        "user_display_name": "Korney",
        "user_handle": "korney",
    }
    other = author | {
        "user_uuid": SMIRNOV.uuid,
        "user_display_name": "Smirnov",
        "user_handle": "smirnov",
    }
    row = {"message_group_uuid": message.group}
    expected = [
        author | {"pk": f"MSG#{message.group}", "message_uuid": message.uuid},
        author | row | {"pk": f"GRP#{SMIRNOV.uuid}"},
        other | row | {"pk": f"GRP#{KORNEY.uuid}"},
    ]
    assert list_items(table) == sorted(expected, key=lambda item: item["pk"])


def test_nobody_starts_a_conversation_alone(table: Aws) -> None:
    assert failure(lambda: messages.start(table, KORNEY, KORNEY, "hi"), InvalidError) == (
        "a conversation needs two users, not korney twice\nhint: name two users"
    )
    assert list_items(table) == []


def test_a_message_moves_both_rows_to_its_time(table: Aws, group: str) -> None:
    sent = messages.send(table, group, SMIRNOV, "second")
    rows = messages.list_rows(table, group)
    assert sorted((row.owner, row.other) for row in rows) == sorted(
        [(KORNEY.uuid, SMIRNOV), (SMIRNOV.uuid, KORNEY)]
    )
    assert {(row.at, row.text) for row in rows} == {(sent.at, "second")}
    assert list_texts(table, group) == ["first", "second"]


def test_a_message_comes_after_the_last_one_also_when_clocks_differ(table: Aws, group: str) -> None:
    ahead = move_rows_ahead(table, group)
    assert messages.send(table, group, KORNEY, "second").at == messages.timestamp(
        ahead + timedelta(microseconds=1)
    )


def test_a_message_that_cannot_be_written_moves_no_row(
    table: Aws, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = messages.timestamp(move_rows_ahead(table, group) + timedelta(microseconds=1))
    messages.write_messages(table, [Message(group, taken, "uuid", "faster", SMIRNOV)])
    before = list_items(table)
    monkeypatch.setattr(messages, "_PATIENCE", 0.3)
    assert failure(lambda: messages.send(table, group, KORNEY, "slower")) == (
        f"other writers keep changing the conversation {group}\nhint: try again"
    )
    assert list_items(table) == before


def test_eight_writers_lose_no_message_and_share_no_time(table: Aws, group: str) -> None:
    def write_ten(writer: int) -> list[Message]:
        author = (KORNEY, SMIRNOV)[writer % 2]
        return [messages.send(table, group, author, f"{writer}: {n}") for n in range(10)]

    with ThreadPoolExecutor(8) as threads:
        sent = [message for ten in threads.map(write_ten, range(8)) for message in ten]
    found = messages.get_conversation(table, group).messages
    rows = messages.list_rows(table, group)
    assert found[1:] == sorted(sent, key=lambda message: message.at)
    assert len({message.at for message in found}) == 81
    assert len(rows) == 2
    assert {(row.at, row.text) for row in rows} == {(found[-1].at, found[-1].text)}


def test_a_stranger_cannot_write_into_a_conversation(table: Aws, group: str) -> None:
    assert failure(lambda: messages.send(table, group, STRANGER, "hi")) == (
        f"stranger is not a participant in the conversation {group}{LIST_HINT} stranger"
    )
    assert list_texts(table, group) == ["first"]


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_an_empty_message_is_refused(table: Aws, group: str, text: str) -> None:
    refused = "the message is empty\nhint: write something"
    assert failure(lambda: messages.send(table, group, KORNEY, text), InvalidError) == refused
    assert failure(lambda: messages.start(table, KORNEY, SMIRNOV, text), InvalidError) == refused
    assert len(list_items(table)) == 3


def test_a_message_of_10001_characters_is_refused(table: Aws, group: str) -> None:
    refused = "the message has 10,001 characters, 10,000 are allowed\nhint: send it in parts"
    text = "x" * 10_001
    assert failure(lambda: messages.send(table, group, KORNEY, text), InvalidError) == refused
    assert failure(lambda: messages.start(table, KORNEY, SMIRNOV, text), InvalidError) == refused
    assert len(list_items(table)) == 3


def test_a_message_of_10000_characters_is_written_whole(table: Aws, group: str) -> None:
    text = "ö" * 10_000
    messages.send(table, group, KORNEY, text)
    assert list_texts(table, group) == ["first", text]


@pytest.mark.parametrize("before", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_time_beyond_the_calendar_is_refused(table: Aws, group: str, before: str) -> None:
    assert failure(lambda: messages.get_page(table, group, 20, before), InvalidError) == (
        f"{before} is not a time\nhint: write it like 2026-03-28T15:00:00+00:00"
    )


def test_a_text_that_is_not_utf8_is_refused(table: Aws, group: str) -> None:
    assert failure(lambda: messages.send(table, group, KORNEY, "caf\udce9"), InvalidError) == (
        "the message is not UTF-8 text\nhint: write it again"
    )


def test_a_page_reads_no_more_than_it_shows(table: Aws, written: list[Message]) -> None:
    read: list[int] = []
    clients.dynamodb(table).meta.events.register(
        "after-call.dynamodb.Query", lambda parsed, **_: read.append(parsed["ScannedCount"])
    )
    messages.get_page(table, "long", 20, "")
    assert sum(read) == 20
