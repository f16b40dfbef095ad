from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from scripts import clients
from scripts.cognito.users import Person
from scripts.cruddur import conversation_file, conversations, items, messages
from scripts.cruddur.conversation_file import Script
from scripts.cruddur.items import Message
from scripts.cruddur.messages import TABLE
from scripts.dynamodb import tables
from scripts.errors import DevError
from scripts.settings import Settings
from scripts.targets import Aws

HINT = "\nhint: ./invoke ddb.seed"


def make_people(digit: str) -> dict[str, Person]:
    """The two users, with uuids that another digit makes other ones."""
    uuid = f"{digit * 8}-0000-4000-8000-00000000000"
    return {
        handle: Person(f"{uuid}{number}", handle, handle.title())
        for number, handle in enumerate(("korney", "smirnov"))
    }


PEOPLE = make_people("1")


@pytest.fixture
def script(environment: Settings) -> Script:
    """The project's own conversation, with names and a time."""
    (script,) = conversation_file.read_app(environment.app)
    names = {"1": "korney", "2": "smirnov"}
    lines = [(names[speaker], text) for speaker, text in script.lines]
    return replace(script, starts=datetime(2026, 3, 28, 15, tzinfo=UTC), lines=lines)


@pytest.fixture
def seeded(table: Aws, script: Script) -> Aws:
    conversations.seed(table, [script], PEOPLE)
    return table


def failure(action: Callable[[], object]) -> str:
    with pytest.raises(DevError) as caught:
        action()
    return str(caught.value.message)


def list_items(aws: Aws) -> list[tables.Item]:
    return sorted(tables.scan(aws, TABLE), key=lambda item: (item["pk"], item["sk"]))


def list_messages(aws: Aws, script: Script) -> list[Message]:
    return messages.get_conversation(aws, script.group).messages


def list_rows(aws: Aws) -> list[tables.Item]:
    return [item for item in list_items(aws) if item["pk"].startswith("GRP#")]


def delete(aws: Aws, pk: str, sk: str) -> None:
    key = tables.to_dynamodb({"pk": pk, "sk": sk})
    clients.dynamodb(aws).delete_item(TableName=TABLE, Key=key)


def delete_messages(aws: Aws, lost: list[Message]) -> None:
    for message in lost:
        delete(aws, f"MSG#{message.group}", message.at)


def put(aws: Aws, written: Message, **changes: str) -> None:
    item = items.of_message(written) | tables.to_dynamodb(changes)
    clients.dynamodb(aws).put_item(TableName=TABLE, Item=item)


def with_line(script: Script, index: int, text: str) -> Script:
    lines = list(script.lines)
    lines[index] = (lines[index][0], text)
    return replace(script, lines=lines)


def test_seeding_writes_every_line_in_order_and_both_rows(table: Aws, script: Script) -> None:
    assert conversations.seed(table, [script], PEOPLE) == len(script.lines)
    found = list_messages(table, script)
    assert [(message.author.handle, message.text) for message in found] == script.lines
    assert len(list_rows(table)) == 2


def test_the_rows_are_at_the_newest_message(seeded: Aws, script: Script) -> None:
    newest = list_messages(seeded, script)[-1]
    rows = {(row["pk"], row["sk"], row["message"]) for row in list_rows(seeded)}
    owners = [f"GRP#{person.uuid}" for person in PEOPLE.values()]
    assert rows == {(owner, newest.at, newest.text) for owner in owners}


def test_the_messages_are_a_minute_apart_from_the_start_on(seeded: Aws, script: Script) -> None:
    times = [message.at for message in list_messages(seeded, script)]
    assert times[0] == "2026-03-28T15:00:00.000000+00:00"
    assert times[61] == "2026-03-28T16:01:00.000000+00:00"


def test_the_seed_is_of_over_a_hundred_messages_in_the_past(seeded: Aws, script: Script) -> None:
    found = list_messages(seeded, script)
    assert len(found) > 100
    assert found[-1].at < messages.timestamp(datetime.now(UTC))


def test_seeding_twice_changes_nothing(seeded: Aws, script: Script) -> None:
    before = list_items(seeded)
    assert conversations.seed(seeded, [script], PEOPLE) == 0
    assert list_items(seeded) == before


def test_a_later_message_stays_and_keeps_the_rows(seeded: Aws, script: Script) -> None:
    messages.send(seeded, script.group, PEOPLE["smirnov"], "later")
    before = list_items(seeded)
    assert conversations.seed(seeded, [script], PEOPLE) == 0
    assert list_items(seeded) == before


def test_another_conversation_is_left_alone(seeded: Aws, script: Script) -> None:
    messages.start(seeded, PEOPLE["korney"], PEOPLE["smirnov"], "something else")
    before = list_items(seeded)
    conversations.seed(seeded, [script], PEOPLE)
    assert list_items(seeded) == before


def test_users_with_new_uuids_take_over_rows_and_messages(seeded: Aws, script: Script) -> None:
    people = make_people("2")
    conversations.seed(seeded, [script], people)
    assert {row["pk"] for row in list_rows(seeded)} == {f"GRP#{p.uuid}" for p in people.values()}
    assert len(list_rows(seeded)) == 2
    assert {message.author for message in list_messages(seeded, script)} == set(people.values())
    assert len(list_messages(seeded, script)) == len(script.lines)


def test_new_uuids_keep_a_later_message_and_its_rows_time(seeded: Aws, script: Script) -> None:
    sent = messages.send(seeded, script.group, PEOPLE["smirnov"], "later")
    conversations.seed(seeded, [script], make_people("2"))
    assert list_messages(seeded, script)[-1] == sent
    assert [row["sk"] for row in list_rows(seeded)] == [sent.at, sent.at]


def test_lost_messages_are_written_again(seeded: Aws, script: Script) -> None:
    before = list_items(seeded)
    found = list_messages(seeded, script)
    delete_messages(seeded, [found[0], *found[50:55], found[-1]])
    assert conversations.seed(seeded, [script], PEOPLE) == 7
    assert list_items(seeded) == before


def test_a_lost_row_is_written_again(seeded: Aws, script: Script) -> None:
    before = list_items(seeded)
    row = list_rows(seeded)[0]
    delete(seeded, row["pk"], row["sk"])
    conversations.seed(seeded, [script], PEOPLE)
    assert list_items(seeded) == before


def test_an_existing_message_is_never_overwritten(seeded: Aws, script: Script) -> None:
    before = list_items(seeded)
    edited = [with_line(script, 60, "edited"), with_line(script, -1, "edited")]
    assert [conversations.seed(seeded, [one], PEOPLE) for one in edited] == [0, 0]
    assert list_items(seeded) == before


def test_a_message_that_the_app_edited_stays_and_counts_as_seeded(
    seeded: Aws, script: Script
) -> None:
    message = list_messages(seeded, script)[60]
    put(seeded, message, message="edited by the app")
    before = list_items(seeded)
    assert conversations.is_seeded(seeded, [script], PEOPLE)
    assert conversations.seed(seeded, [script], PEOPLE) == 0
    assert list_items(seeded) == before


def test_a_changed_display_name_is_not_written_into_messages(seeded: Aws, script: Script) -> None:
    renamed = {handle: replace(one, display_name="New") for handle, one in PEOPLE.items()}
    before = list_items(seeded)
    assert conversations.is_seeded(seeded, [script], renamed)
    assert conversations.seed(seeded, [script], renamed) == 0
    assert list_items(seeded) == before


def test_messages_and_rows_as_apps_write_them_are_read(seeded: Aws, script: Script) -> None:
    """A naive time without microseconds, no attributes, and no row moved to it."""
    key = {"pk": f"MSG#{script.group}", "sk": "2030-01-01T10:00:00"}
    clients.dynamodb(seeded).put_item(TableName=TABLE, Item=tables.to_dynamodb(key))
    assert list_messages(seeded, script)[-1].text == ""
    assert conversations.is_seeded(seeded, [script], PEOPLE)
    assert "see the newest 20 messages" in conversations.verify(seeded, [script], PEOPLE)
    assert messages.get_page(seeded, script.group, 5, "2030-01-01T10:00:00").messages
    assert messages.in_journal_layout(list_messages(seeded, script)[-1]).strip()
    sent = messages.send(seeded, script.group, PEOPLE["korney"], "after it")
    assert sent in list_messages(seeded, script)


def test_without_a_start_the_conversation_ends_just_before_the_first_seeding(
    table: Aws, script: Script
) -> None:
    now = datetime.now(UTC)
    talk = replace(script, starts=None)
    conversations.seed(table, [talk], PEOPLE)
    newest = datetime.fromisoformat(list_messages(table, script)[-1].at)
    assert timedelta(0) < now - newest < timedelta(minutes=2)
    before = list_items(table)
    assert conversations.is_seeded(table, [talk], PEOPLE)
    assert conversations.seed(table, [talk], PEOPLE) == 0
    assert list_items(table) == before


def test_what_is_resumed_has_the_times_of_the_first_seeding(table: Aws, script: Script) -> None:
    talk = replace(script, starts=None)
    conversations.seed(table, [talk], PEOPLE)
    before = list_items(table)
    delete_messages(table, list_messages(table, script)[3:])
    assert conversations.seed(table, [talk], PEOPLE) == len(script.lines) - 3
    assert list_items(table) == before


def test_the_speakers_1_and_2_are_the_first_two_users(table: Aws, script: Script) -> None:
    numbers = {"korney": "1", "smirnov": "2"}
    talk = replace(script, lines=[(numbers[handle], text) for handle, text in script.lines])
    conversations.seed(table, [talk], PEOPLE)
    found = list_messages(table, script)
    assert [(message.author.handle, message.text) for message in found] == script.lines


def test_users_who_come_later_do_not_take_over_the_conversation(table: Aws, script: Script) -> None:
    numbers = {"korney": "1", "smirnov": "2"}
    talk = replace(script, lines=[(numbers[handle], text) for handle, text in script.lines])
    conversations.seed(table, [talk], PEOPLE)
    before = list_items(table)
    more = {"ada": Person("3" * 36, "ada", "Ada")} | PEOPLE
    assert conversations.is_seeded(table, [talk], more)
    assert conversations.seed(table, [talk], more) == 0
    assert "korney and smirnov see" in conversations.verify(table, [talk], more)
    assert list_items(table) == before


@pytest.mark.parametrize("people", [{}, {"korney": PEOPLE["korney"]}])
def test_an_app_with_too_few_users_has_no_conversation_of_1_and_2(
    table: Aws, script: Script, people: dict[str, Person]
) -> None:
    numbers = {"korney": "1", "smirnov": "2"}
    talk = replace(script, lines=[(numbers[handle], text) for handle, text in script.lines])
    assert conversations.is_seeded(table, [talk], people)
    assert conversations.seed(table, [talk], people) == 0
    assert conversations.verify(table, [talk], people) == "no conversation: it needs two users"


def test_a_handle_that_is_not_in_postgres_is_named_and_nothing_written(
    table: Aws, script: Script
) -> None:
    people = {"korney": PEOPLE["korney"]}
    assert failure(lambda: conversations.seed(table, [script], people)) == (
        "the seed conversation has smirnov, who is not in Postgres"
        "\nhint: ./invoke db.reset (loads sql/seed.sql again; undo reverts it)"
    )
    assert list_items(table) == []


def test_it_counts_as_seeded_when_everything_is_there(seeded: Aws, script: Script) -> None:
    assert conversations.is_seeded(seeded, [script], PEOPLE)


def test_it_counts_as_seeded_also_after_a_later_message(seeded: Aws, script: Script) -> None:
    messages.send(seeded, script.group, PEOPLE["korney"], "later")
    assert conversations.is_seeded(seeded, [script], PEOPLE)


def test_an_empty_table_does_not_count_as_seeded(table: Aws, script: Script) -> None:
    assert not conversations.is_seeded(table, [script], PEOPLE)


@pytest.mark.parametrize("index", [0, 60, -1])
def test_a_lost_message_does_not_count_as_seeded(seeded: Aws, script: Script, index: int) -> None:
    delete_messages(seeded, [list_messages(seeded, script)[index]])
    assert not conversations.is_seeded(seeded, [script], PEOPLE)


def test_a_lost_row_does_not_count_as_seeded(seeded: Aws, script: Script) -> None:
    row = list_rows(seeded)[0]
    delete(seeded, row["pk"], row["sk"])
    assert not conversations.is_seeded(seeded, [script], PEOPLE)


def test_other_uuids_do_not_count_as_seeded(seeded: Aws, script: Script) -> None:
    assert not conversations.is_seeded(seeded, [script], make_people("2"))


def test_verify_says_what_both_see(seeded: Aws, script: Script) -> None:
    assert (
        conversations.verify(seeded, [script], PEOPLE)
        == "korney and smirnov see the newest 20 messages"
    )


def test_verify_accepts_a_later_message(seeded: Aws, script: Script) -> None:
    messages.send(seeded, script.group, PEOPLE["korney"], "later")
    assert (
        conversations.verify(seeded, [script], PEOPLE)
        == "korney and smirnov see the newest 20 messages"
    )


def test_verify_fails_when_no_message_is_there(table: Aws, script: Script) -> None:
    assert failure(lambda: conversations.verify(table, [script], PEOPLE)) == (
        f"the conversation {script.group} has no messages{HINT}"
    )


@pytest.mark.parametrize("handle", ["korney", "smirnov"])
def test_verify_fails_when_a_user_does_not_see_it(seeded: Aws, script: Script, handle: str) -> None:
    newest = list_messages(seeded, script)[-1]
    delete(seeded, f"GRP#{PEOPLE[handle].uuid}", newest.at)
    assert failure(lambda: conversations.verify(seeded, [script], PEOPLE)) == (
        f"the conversation {script.group} is not among those of {handle}{HINT}"
    )
