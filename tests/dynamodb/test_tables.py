import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from scripts import clients
from scripts.dynamodb import tables
from scripts.dynamodb.batch_write import LONGEST_PAUSE, PATIENCE, write_items
from scripts.dynamodb.tables import Item
from scripts.engine import pipeline
from scripts.environment import setup
from scripts.errors import DevError, NotFoundError, RefusedError
from scripts.settings import Settings
from scripts.targets import Aws

NAME = "cruddur-messages"
Call = Callable[[str, Item], Any]


@pytest.fixture
def definition(environment: Settings) -> Item:
    return tables.read_definition(environment.root / "ddb" / "tables" / f"{NAME}.json")


@pytest.fixture
def table(aws: Aws, definition: Item) -> str:
    tables.ensure_table(aws, definition)
    return NAME


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, which take no time."""
    made: list[float] = []
    monkeypatch.setattr("scripts.dynamodb.batch_write.time.sleep", made.append)
    return made


class Batches:
    """The BatchWriteItem calls of an account: how many items each had; `answer` may stand in."""

    def __init__(self, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self.answer: Callable[[Call, Item], Any] | None = None
        client = clients.dynamodb(aws)
        call = client._make_api_call

        def listening(operation: str, parameters: Item) -> Any:
            if operation != "BatchWriteItem":
                return call(operation, parameters)
            self.sizes.append(len(parameters["RequestItems"][NAME]))
            if self.answer:
                return self.answer(call, parameters)
            return call(operation, parameters)

        monkeypatch.setattr(client, "_make_api_call", listening)


@pytest.fixture
def batches(aws: Aws, table: str, monkeypatch: pytest.MonkeyPatch) -> Batches:
    return Batches(aws, monkeypatch)


def make_items(count: int, size: int = 10) -> list[Item]:
    body = "x" * size
    return [tables.to_dynamodb({"pk": "p", "sk": f"{n:04}", "body": body}) for n in range(count)]


def throttled() -> ClientError:
    error = {"Code": "ProvisionedThroughputExceededException", "Message": "slow down"}
    return ClientError({"Error": error}, "BatchWriteItem")


def taking(*most: int) -> Callable[[Call, Item], Any]:
    """Let so many items of each batch through, the last number for all that follow."""
    allowances = list(most)

    def answer(call: Call, parameters: Item) -> Any:
        requests = parameters["RequestItems"][NAME]
        allowed = allowances.pop(0) if len(allowances) > 1 else allowances[0]
        taken, left = requests[:allowed], requests[allowed:]
        if taken:
            call("BatchWriteItem", {"RequestItems": {NAME: taken}})
        return {"UnprocessedItems": {NAME: list(map(json.loads, left))} if left else {}}

    return answer


def failure(action: Callable[[], object], kind: type[DevError] = DevError) -> str:
    with pytest.raises(DevError) as caught:
        action()
    assert type(caught.value) is kind
    return str(caught.value.message)


def count_items(aws: Aws) -> int:
    return len(list(tables.scan(aws, NAME)))


def create(aws: Aws, definition: Item, name: str = NAME) -> None:
    clients.dynamodb(aws).create_table(**definition | {"TableName": name})


def as_if_not_ours(aws: Aws) -> Aws:
    return replace(aws, owned=False)


def list_tags(aws: Aws) -> list[Item]:
    arn = tables.get_table(aws, NAME)["TableArn"]
    tags: list[Item] = clients.dynamodb(aws).list_tags_of_resource(ResourceArn=arn)["Tags"]
    return tags


def test_ensure_makes_an_active_table_with_the_mark(aws: Aws, definition: Item) -> None:
    tables.ensure_table(aws, definition)
    assert tables.get_table(aws, NAME)["TableStatus"] == "ACTIVE"
    assert list_tags(aws) == [tables.OWNERSHIP_TAG]


def test_a_definition_keeps_its_own_tags_beside_the_mark(aws: Aws, definition: Item) -> None:
    own = {"Key": "team", "Value": "weather"}
    tables.ensure_table(aws, definition | {"Tags": [own]})
    assert sorted(tag["Key"] for tag in list_tags(aws)) == ["disposable", "team"]


def test_the_table_has_the_keys_and_the_index_of_its_definition(
    aws: Aws, table: str, definition: Item
) -> None:
    assert tables.list_differences(definition, tables.get_table(aws, table)) == []


def test_ensure_again_changes_nothing(aws: Aws, table: str, definition: Item) -> None:
    write_items(aws, table, make_items(3))
    before = tables.get_table(aws, table)
    tables.ensure_table(aws, definition)
    assert tables.get_table(aws, table) == before
    assert count_items(aws) == 3


def test_the_step_is_skipped_when_the_table_is_there(environment: Settings) -> None:
    events: list[pipeline.Event] = []
    for _ in range(2):
        pipeline.run(setup.pick(environment, "ddb.schema-load"), events.append)
    assert [event.kind for event in events] == ["started", "finished", "started", "skipped"]


def test_a_local_table_is_not_marked_in_an_aws_that_is_not_ours(aws: Aws, definition: Item) -> None:
    far = as_if_not_ours(aws)
    tables.ensure_table(far, definition)
    assert list_tags(far) == []


def with_other_key_type(definition: Item) -> None:
    definition["AttributeDefinitions"][2]["AttributeType"] = "N"


def without_range_key(definition: Item) -> None:
    del definition["KeySchema"][1]


def without_index(definition: Item) -> None:
    del definition["GlobalSecondaryIndexes"]
    del definition["AttributeDefinitions"][0]


def with_other_projection(definition: Item) -> None:
    definition["GlobalSecondaryIndexes"][0]["Projection"] = {"ProjectionType": "KEYS_ONLY"}


def with_another_index(definition: Item) -> None:
    index = copy.deepcopy(definition["GlobalSecondaryIndexes"][0])
    definition["GlobalSecondaryIndexes"].append(index | {"IndexName": "other"})


INDEX = "index message-group-sk-index"
INDEX_KEYS = "message_group_uuid (S) + sk (S)"


@pytest.mark.parametrize(
    ("change", "differences"),
    [
        (
            with_other_key_type,
            [
                f"{INDEX}: message_group_uuid (S) + sk (N), ALL, wanted: {INDEX_KEYS}, ALL",
                "key: pk (S) + sk (N), wanted: pk (S) + sk (S)",
            ],
        ),
        (without_range_key, ["key: pk (S), wanted: pk (S) + sk (S)"]),
        (without_index, [f"{INDEX}: missing, wanted: {INDEX_KEYS}, ALL"]),
        (with_other_projection, [f"{INDEX}: {INDEX_KEYS}, KEYS_ONLY, wanted: {INDEX_KEYS}, ALL"]),
        (with_another_index, [f"index other: {INDEX_KEYS}, ALL, wanted: none"]),
    ],
)
def test_a_table_that_differs_is_reported_and_left_as_it_is(
    aws: Aws, definition: Item, change: Callable[[Item], None], differences: list[str]
) -> None:
    other = copy.deepcopy(definition)
    change(other)
    create(aws, other)
    before = tables.get_table(aws, NAME)
    first = f"the table {NAME} in {aws} differs from ddb/tables/{NAME}.json:"
    again = f"./invoke ddb.drop {NAME} ddb.schema-load ddb.seed"
    assert failure(lambda: tables.ensure_table(aws, definition)) == (
        "\n  ".join([first, *differences]) + f"\nhint: {again}"
        " (creates it again; its items are saved for undo)"
    )
    assert tables.get_table(aws, NAME) == before


def test_what_the_service_refuses_is_said_with_its_reason(aws: Aws, definition: Item) -> None:
    del definition["AttributeDefinitions"][1]
    text = failure(lambda: tables.ensure_table(aws, definition), tables.InvalidDataError)
    assert text.startswith(f"{aws} refuses ddb/tables/{NAME}.json: ")
    assert text.endswith("\nhint: correct that file")


def test_scan_returns_the_items_of_every_page(aws: Aws, table: str) -> None:
    write_items(aws, table, make_items(30, size=100_000))
    pages: list[int] = []
    events = clients.dynamodb(aws).meta.events
    events.register("after-call.dynamodb.Scan", lambda parsed, **_: pages.append(parsed["Count"]))
    found = [item["sk"] for item in tables.scan(aws, table)]
    assert found == [f"{n:04}" for n in range(30)]
    assert len(pages) > 2


def test_scan_goes_on_after_an_empty_page(aws: Aws) -> None:
    key = tables.to_dynamodb({"pk": "p", "sk": "0"})
    (item,) = make_items(1)
    with Stubber(clients.dynamodb(aws)) as stub:
        stub.add_response("describe_table", {"Table": {"TableName": NAME}})
        stub.add_response("scan", {"Items": [], "LastEvaluatedKey": key}, {"TableName": NAME})
        rest = {"TableName": NAME, "ExclusiveStartKey": key}
        stub.add_response("scan", {"Items": [item]}, rest)
        assert list(tables.scan(aws, NAME)) == [tables.from_dynamodb(item)]


@pytest.mark.parametrize(("limit", "count"), [(1, 1), (29, 29), (30, 30), (31, 30)])
def test_scan_stops_at_the_limit(aws: Aws, table: str, limit: int, count: int) -> None:
    write_items(aws, table, make_items(30))
    assert len(list(tables.scan(aws, table, limit))) == count


def test_scan_gives_plain_values(aws: Aws, table: str) -> None:
    item = {
        "pk": {"S": "p"},
        "sk": {"S": "s"},
        "whole": {"N": "42"},
        "part": {"N": "0.5"},
        "bytes": {"B": b"\x00\xff"},
        "set": {"SS": ["b", "a"]},
        "list": {"L": [{"N": "1"}, {"NULL": True}]},
        "map": {"M": {"yes": {"BOOL": True}}},
    }
    clients.dynamodb(aws).put_item(TableName=table, Item=item)
    assert list(tables.scan(aws, table)) == [
        {
            "pk": "p",
            "sk": "s",
            "whole": 42,
            "part": 0.5,
            "bytes": "00ff",
            "set": ["a", "b"],
            "list": [1, None],
            "map": {"yes": True},
        }
    ]


def test_scan_of_no_table_says_which_there_are(aws: Aws, table: str) -> None:
    assert failure(lambda: next(tables.scan(aws, "nope")), NotFoundError) == (
        f"there is no table nope in {aws}\nhint: tables: {NAME}"
    )


def test_items_are_written_in_batches_of_25(aws: Aws, batches: Batches) -> None:
    assert write_items(aws, NAME, make_items(30)) == 30
    assert batches.sizes == [25, 5]
    assert count_items(aws) == 30


def test_no_items_need_no_batch(aws: Aws, batches: Batches) -> None:
    assert write_items(aws, NAME, []) == 0
    assert batches.sizes == []


def test_unprocessed_items_are_sent_again_alone(
    aws: Aws, batches: Batches, pauses: list[float]
) -> None:
    batches.answer = taking(10)
    assert write_items(aws, NAME, make_items(30)) == 30
    assert batches.sizes == [25, 15, 5, 5]
    assert len(pauses) == 2
    assert count_items(aws) == 30


def test_slow_progress_is_no_reason_to_give_up(
    aws: Aws, batches: Batches, pauses: list[float]
) -> None:
    batches.answer = taking(1)
    assert write_items(aws, NAME, make_items(PATIENCE + 5)) == 17
    assert count_items(aws) == 17


def test_throttled_batches_are_sent_again(aws: Aws, batches: Batches, pauses: list[float]) -> None:
    def every_second_time(call: Call, parameters: Item) -> Any:
        if len(batches.sizes) % 2:
            raise throttled()
        return call("BatchWriteItem", parameters)

    batches.answer = every_second_time
    assert write_items(aws, NAME, make_items(30)) == 30
    assert batches.sizes == [25, 25, 5, 5]
    assert count_items(aws) == 30


def test_writing_gives_up_with_the_count_of_what_was_acknowledged(
    aws: Aws, batches: Batches, pauses: list[float]
) -> None:
    batches.answer = taking(25, 3, 0)
    assert failure(lambda: write_items(aws, NAME, make_items(30))) == (
        f"{NAME} accepted 28 of 30 items, then none in {PATIENCE} tries"
        "\nhint: raise the table's write capacity"
    )
    assert batches.sizes == [25, 5, *[2] * PATIENCE]
    assert count_items(aws) == 28


def test_pauses_grow_and_are_capped(
    aws: Aws, batches: Batches, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(call: Call, parameters: Item) -> Any:
        raise throttled()

    batches.answer = refuse
    monkeypatch.setattr("scripts.dynamodb.batch_write.random.uniform", lambda low, high: high)
    failure(lambda: write_items(aws, NAME, make_items(1)))
    assert pauses[0] < 1
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE


def test_drop_refuses_a_table_without_the_mark(aws: Aws, definition: Item) -> None:
    create(aws, definition)
    write_items(aws, NAME, make_items(3))
    with pytest.raises(RefusedError) as caught:
        tables.drop_table(aws, NAME)
    assert caught.value.message == (
        f"the table {NAME} in {aws} was not created here by this tool, so it is not"
        f" dropped\nhint: --confirm {NAME}"
    )
    assert caught.value.code == 3
    assert count_items(aws) == 3


def test_drop_refuses_a_marked_table_in_an_aws_that_is_not_ours(aws: Aws, table: str) -> None:
    with pytest.raises(RefusedError) as caught:
        tables.drop_table(as_if_not_ours(aws), table)
    assert caught.value.code == 3
    assert tables.find_table(aws, table)


def test_drop_deletes_a_marked_table(aws: Aws, table: str) -> None:
    tables.drop_table(aws, table)
    assert tables.find_table(aws, table) is None


def test_drop_of_no_table_says_which_there_are(aws: Aws) -> None:
    assert failure(lambda: tables.drop_table(aws, NAME), NotFoundError) == (
        f"there are no tables in {aws}\nhint: ./invoke ddb.schema-load"
    )


def test_more_than_a_page_of_tables_are_all_listed(aws: Aws, definition: Item) -> None:
    names = [f"table-{n:03}" for n in range(103)]
    for name in names:
        create(aws, definition, name)
    assert tables.list_tables(aws) == names


def test_scan_reads_no_more_than_its_limit(aws: Aws, table: str) -> None:
    write_items(aws, table, make_items(30))
    read: list[int] = []
    clients.dynamodb(aws).meta.events.register(
        "after-call.dynamodb.Scan", lambda parsed, **_: read.append(parsed["ScannedCount"])
    )
    assert len(list(tables.scan(aws, table, 7))) == 7
    assert sum(read) == 7
