"""Equal numbers are one key, whoever writes them how; of other types, only equal texts are."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from scripts import clients, stacks
from scripts.dynamodb import seed, tables
from scripts.environment import reset, setup, transaction
from scripts.settings import Settings
from scripts.stacks.embedded.emulator import numbers
from scripts.targets import Aws
from tests.contents import run
from tests.stacks.conftest import Emulator

SPELLINGS = [
    ("10.5", "10.50", "1.05E1", "+010.5", "105e-1"),
    ("1000", "1E+3", "1e3", "1000.000"),
    ("0.00000000015", "1.5e-10", "15E-11", "0.000000000150"),
    ("0", "-0", "0.0", "0e10", "-0.00"),
    ("-7", "-7.0", "-70e-1"),
    ("1" * 38, f"{'1' * 38}.0", f"{'1' * 37}.1E1"),
    ("9e125", "90e124", f"9{'0' * 125}"),
    ("1e-130", "10e-131", f"0.{'0' * 129}1"),
]
DIFFERENT: list[tuple[str, list[Any]]] = [
    ("S", ["10.5", "10.50", "N", '"N":"1.0"', "a" * 1024]),
    ("B", [b"10.5", b"\x00\xff"]),
]
ONE = {":one": {"N": "1.0"}}


def create(aws: Aws, name: str, hash_type: str, range_type: str = "") -> None:
    types = {"id": hash_type} | ({"at": range_type} if range_type else {})
    keys = zip(types, ("HASH", "RANGE"), strict=False)
    tables.ensure_table(
        aws,
        {
            "TableName": name,
            "AttributeDefinitions": [
                {"AttributeName": key, "AttributeType": kind}
                for key, kind in (types | {"score": "N"}).items()
            ],
            "KeySchema": [{"AttributeName": key, "KeyType": kind} for key, kind in keys],
            "BillingMode": "PAY_PER_REQUEST",
            "GlobalSecondaryIndexes": [
                {
                    "IndexName": "by-score",
                    "KeySchema": [{"AttributeName": "score", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        },
    )


def use(client: Any, table: str, first: dict[str, Any], second: dict[str, Any]) -> Iterator[str]:
    """Write the item under the first spelling of its key, and find it under the second."""
    one = {"TableName": table}
    client.put_item(**one, Item={**first, "score": {"N": "2.0"}})
    yield "put"
    client.update_item(
        **one, Key=second, UpdateExpression="ADD n :one", ExpressionAttributeValues=ONE
    )
    yield "updated"
    update = {"Key": first, "UpdateExpression": "ADD n :one", "ExpressionAttributeValues": ONE}
    client.transact_write_items(TransactItems=[{"Update": {**one, **update}}])
    yield "in a transaction"
    assert client.get_item(**one, Key=second)["Item"]["n"] == {"N": "2"}
    got = client.transact_get_items(TransactItems=[{"Get": {**one, "Key": second}}])
    assert got["Responses"][0]["Item"]["n"] == {"N": "2"}
    got = client.batch_get_item(RequestItems={table: {"Keys": [second]}})
    assert len(got["Responses"][table]) == 1
    client.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": second}}]})
    yield "in a batch"


def query(client: Any, table: str, id: dict[str, Any], **more: Any) -> list[Any]:
    found = client.query(
        TableName=table,
        KeyConditionExpression="id = :id",
        ExpressionAttributeValues={":id": id},
        **more,
    )
    return list(found["Items"])


@pytest.mark.parametrize("spellings", SPELLINGS, ids=[each[0][:12] for each in SPELLINGS])
def test_equal_numbers_are_one_key(aws: Aws, spellings: tuple[str, ...]) -> None:
    client = clients.dynamodb(aws)
    create(aws, "hash", "N")
    create(aws, "both", "N", "N")
    for table, (one, other) in product(
        ("hash", "both"), zip(spellings, spellings[1:] + spellings[:1], strict=False)
    ):
        names = ("id",) if table == "hash" else ("id", "at")
        first, second = ({key: {"N": text} for key in names} for text in (one, other))
        for _ in use(client, table, first, second):
            assert client.scan(TableName=table, Select="COUNT")["Count"] == 1
        (item,) = query(client, table, {"N": other})
        assert Decimal(item["id"]["N"]) == Decimal(spellings[0])
        after = client.scan(TableName=table, ExclusiveStartKey=second)
        assert after["Items"] == []
        statement = f'SELECT * FROM "{table}" WHERE id = ?'
        assert (
            len(client.execute_statement(Statement=statement, Parameters=[first["id"]])["Items"])
            == 1
        )
        client.delete_item(TableName=table, Key=second)
        assert client.scan(TableName=table, Select="COUNT")["Count"] == 0


def test_other_types_are_keys_by_their_text(aws: Aws) -> None:
    client = clients.dynamodb(aws)
    for kind, values in DIFFERENT:
        create(aws, f"of-{kind}", kind, kind)
        for value in values:
            client.put_item(TableName=f"of-{kind}", Item={"id": {kind: value}, "at": {kind: value}})
        found = client.scan(TableName=f"of-{kind}")["Items"]
        assert sorted(item["id"][kind] for item in found) == sorted(values)
        for value in values:
            assert len(query(client, f"of-{kind}", {kind: value})) == 1


def test_numbers_of_indexes_and_sets_are_compared_by_value(aws: Aws) -> None:
    client = clients.dynamodb(aws)
    create(aws, "hash", "S")
    client.put_item(
        TableName="hash", Item={"id": {"S": "a"}, "score": {"N": "1E1"}, "of": {"NS": ["1.0", "2"]}}
    )
    client.update_item(
        TableName="hash",
        Key={"id": {"S": "a"}},
        UpdateExpression="ADD score :half DELETE #of :set",
        ExpressionAttributeNames={"#of": "of"},
        ExpressionAttributeValues={":half": {"N": "0.50"}, ":set": {"NS": ["2.0"]}},
    )
    found = client.query(
        TableName="hash",
        IndexName="by-score",
        KeyConditionExpression="score = :score",
        ExpressionAttributeValues={":score": {"N": "10.500"}},
    )["Items"]
    assert [item["of"] for item in found] == [{"NS": ["1"]}]


def test_items_that_an_earlier_version_stored_are_found(emulator: Emulator) -> None:
    create(emulator.aws(), "hash", "N")
    emulator.dynamodb().put_item(TableName="hash", Item={"id": {"N": "1"}})
    log = emulator.state("items.log")
    identity = json.loads(log.read_text().splitlines()[-1])[0][0]
    with log.open("a") as file:
        file.write(json.dumps([[identity, "10.50", "__no_sort__", {"id": {"N": "10.50"}}]]) + "\n")
    for _ in range(2):
        emulator.restart()
        client = emulator.dynamodb()
        assert "Item" in client.get_item(TableName="hash", Key={"id": {"N": "10.5"}})
        assert client.scan(TableName="hash", Select="COUNT")["Count"] == 2


def test_imported_items_are_found(aws: Aws) -> None:
    client, s3 = clients.dynamodb(aws), clients.s3(aws)
    s3.create_bucket(Bucket="numbers")
    s3.put_object(Bucket="numbers", Key="in/1.json", Body=b'{"Item":{"id":{"N":"10.50"}}}')
    imported = client.import_table(
        S3BucketSource={"S3Bucket": "numbers", "S3KeyPrefix": "in/"},
        InputFormat="DYNAMODB_JSON",
        TableCreationParameters={
            "TableName": "imported",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "N"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
        },
    )["ImportTableDescription"]["ImportArn"]
    while (
        client.describe_import(ImportArn=imported)["ImportTableDescription"]["ImportStatus"]
        == "IN_PROGRESS"
    ):
        time.sleep(0.05)
    assert "Item" in client.get_item(TableName="imported", Key={"id": {"N": "1.05e1"}})


def test_a_text_that_looks_like_a_number_is_left() -> None:
    inner = json.dumps({"N": "1.0", "NS": ["2.0"]})
    body = json.dumps({"Item": {"a": {"S": inner}, "N": {"N": "1.0"}, "b": {"N": "one"}}})
    expected = {"Item": {"a": {"S": inner}, "N": {"N": "1"}, "b": {"N": "one"}}}
    assert json.loads(numbers.normalize(body.encode())) == expected


def test_number_keys_live_through_reset_and_undo(environment: Settings) -> None:
    environment = replace(environment, app=replace(environment.app, messages=None))
    transaction.erase(environment)
    run(setup.setup(environment))
    aws = stacks.get_aws(environment)
    client = clients.dynamodb(aws)
    create(aws, "mine", "N", "N")
    for spellings in SPELLINGS:
        for text in spellings:
            key = {"id": {"N": text}, "at": {"N": text}}
            client.update_item(
                TableName="mine",
                Key=key,
                UpdateExpression="ADD n :one",
                ExpressionAttributeValues=ONE,
            )
    before = sorted(map(str, client.scan(TableName="mine")["Items"]))
    assert len(before) == len(SPELLINGS)
    run(reset.ddb_drop(environment, "mine"))
    run(reset.undo(environment))
    assert sorted(map(str, client.scan(TableName="mine")["Items"])) == before
    path = environment.root / "mine.jsonl"
    path.write_text('{"Item": {"id": {"N": "10.50"}, "at": {"N": "105e-1"}}}\n')
    assert seed.is_seeded(aws, "mine", path)
