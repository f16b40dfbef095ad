"""Looking at DynamoDB: tables, queries and scans in pages, items as typed JSON."""

import json
from collections.abc import Callable

import pytest

from scripts import clients
from scripts.cruddur import items, messages
from scripts.dynamodb import browse
from scripts.dynamodb.browse import Search, Table
from scripts.errors import InvalidError
from scripts.settings import Settings
from scripts.targets import Aws

GROUP = "MSG#56eeea25-1ffc-4384-9065-5813ead1c8aa"


@pytest.fixture
def talks(filled: Settings, aws: Aws) -> Aws:
    return aws


@pytest.fixture
def measured(aws: Aws) -> Aws:
    """A table whose keys are a binary value and a number."""
    client = clients.dynamodb(aws)
    client.create_table(
        TableName="measured",
        AttributeDefinitions=[
            {"AttributeName": "sensor", "AttributeType": "B"},
            {"AttributeName": "at", "AttributeType": "N"},
        ],
        KeySchema=[
            {"AttributeName": "sensor", "KeyType": "HASH"},
            {"AttributeName": "at", "KeyType": "RANGE"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    for at in ("-1", "2.5", "10", "1E+2"):
        item = {"sensor": {"B": b"\x00\xff"}, "at": {"N": at}, "tags": {"SS": ["b", "a"]}}
        client.put_item(TableName="measured", Item=item)
    return aws


def get(aws: Aws, name: str = messages.TABLE) -> Table:
    found = browse.find_table(aws, name)
    assert found
    return found


def texts(aws: Aws, search: Search, name: str = messages.TABLE) -> list[str]:
    """The sort keys of all pages of a search."""
    table, after, found = get(aws, name), None, []
    while True:
        page = browse.read_page(aws, table, search, after)
        found += [browse.to_plain(item[table.key[1].name]) for item in page.items]
        if not page.last:
            return found
        after = browse.from_json(browse.to_json(page.last))


def test_a_table_has_its_keys_indexes_and_counts(talks: Aws) -> None:
    (table,) = browse.list_tables(talks)
    assert (table.name, table.status, table.items) == (messages.TABLE, "ACTIVE", 122)
    shown = [
        (index.name, index.kind, index.partition.name, index.sort and index.sort.name)
        for index in table.indexes
    ]
    assert shown == [
        ("", "table", "pk", "sk"),
        (items.INDEX, "global index", "message_group_uuid", "sk"),
    ]
    assert browse.find_table(talks, "nothing") is None


def test_all_items_come_page_by_page(talks: Aws) -> None:
    assert len(texts(talks, Search(size=50))) == 122


@pytest.mark.parametrize("newest_first", [False, True])
def test_the_items_of_a_key_come_in_order(talks: Aws, newest_first: bool) -> None:
    found = texts(talks, Search(partition=GROUP, newest_first=newest_first, size=50))
    assert len(found) == 120
    assert found == sorted(found, reverse=newest_first)


@pytest.mark.parametrize(
    ("operator", "matches"),
    [
        ("is", lambda at, low, _: at == low),
        ("begins with", lambda at, low, _: at.startswith(low)),
        ("less than", lambda at, low, _: at < low),
        ("at most", lambda at, low, _: at <= low),
        ("greater than", lambda at, low, _: at > low),
        ("at least", lambda at, low, _: at >= low),
        ("between", lambda at, low, high: low <= at <= high),
    ],
)
def test_a_condition_on_the_sort_key(
    talks: Aws, operator: str, matches: Callable[[str, str, str], bool]
) -> None:
    times = texts(talks, Search(partition=GROUP))
    low, high = times[40][: 15 if operator == "begins with" else None], times[43]
    expected = [at for at in times if matches(at, low, high)]
    assert texts(talks, Search("", GROUP, operator, low, high)) == expected
    assert 0 < len(expected) < len(times)


def test_a_range_without_ends_is_everything(talks: Aws) -> None:
    assert len(texts(talks, Search("", GROUP, "between"))) == 120


def test_an_index_is_asked_as_the_table_is(talks: Aws) -> None:
    group = GROUP.removeprefix("MSG#")
    assert len(texts(talks, Search(items.INDEX, group))) == 2
    assert len(texts(talks, Search(items.INDEX))) == 2


def test_numbers_and_binary_values_are_keys_too(measured: Aws) -> None:
    search = Search("", "AP8=", "at least", "2.5")
    assert [float(text) for text in texts(measured, search, "measured")] == [2.5, 10, 100]


def test_an_item_is_typed_json(measured: Aws) -> None:
    key = browse.from_json('{"sensor": {"B": "AP8="}, "at": {"N": "10"}}')
    item = browse.find_item(measured, get(measured, "measured"), key)
    assert item
    shown = json.loads(browse.to_json(item))
    assert shown["sensor"] == {"B": "AP8="}
    assert shown["at"] == {"N": "10"}
    assert sorted(shown["tags"]["SS"]) == ["a", "b"]
    assert browse.to_plain(item["sensor"]) == '"00ff"'
    absent = key | {"at": {"N": "11"}}
    assert browse.find_item(measured, get(measured, "measured"), absent) is None


@pytest.mark.parametrize(
    ("search", "reason"),
    [
        (Search("nothing"), "the table measured has no index nothing"),
        (Search("", "not base64"), "sensor: not base64 is not base64"),
        (Search("", "AP8=", "is", "ten"), "at: ten is not a number"),
        (Search("", "AP8=", "about", "10"), "about is not a condition"),
    ],
)
def test_a_search_that_cannot_be_is_refused(measured: Aws, search: Search, reason: str) -> None:
    with pytest.raises(InvalidError) as error:
        browse.read_page(measured, get(measured, "measured"), search)
    assert error.value.reason == reason


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "{}", '{"a": 1}', '{"a": {"S": 1}}', '{"a": {"M": {}}}', "[" * 5000]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="is not a key in DynamoDB JSON"):
        browse.from_json(text)


def test_an_empty_page_is_not_the_end(talks: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """As AWS may answer: no items, and a key to continue after."""
    client, calls = clients.dynamodb(talks), []
    real = client.scan

    def scan(**request: object) -> object:
        calls.append(request)
        answer = real(**request)
        return answer | {"Items": []} if len(calls) == 1 else answer

    monkeypatch.setattr(client, "scan", scan)
    page = browse.read_page(talks, get(talks), Search(size=50))
    assert (len(page.items), len(calls)) == (50, 2)
