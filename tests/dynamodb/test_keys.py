"""Equal keys are one key, whatever their type, their size and the way in which they are written."""

import base64
import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts import clients, settings, stacks
from scripts.dynamodb import batch_write, bulk_load, json_lines, parallel_scan, seed, tables
from scripts.environment import journal, transaction
from scripts.errors import DevError
from scripts.settings import Settings
from scripts.targets import Aws
from tests.conftest import Checkout
from tests.docker_engine import remove_containers
from tests.stacks.conftest import ask, sign_dynamodb

Item = dict[str, Any]


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


# A value as DynamoDB returns it, and another way to write it.
NUMBERS = [
    ("10.5", "10.50"),
    ("10.25", "1025e-2"),
    ("1000", "1E+3"),
    ("0.00000000015", "1.5e-10"),
    ("0", "-0"),
    ("42", "00042.0"),
    ("-0.5", "-5E-1"),
    ("9" * 38, "9" * 38 + ".0"),
    ("0." + "1" * 38, "." + "1" * 38),
    ("1" + "0" * 125, "1e125"),
    ("-1" + "0" * 125, "-1.00E+125"),
    ("0." + "0" * 129 + "1", "1e-130"),
]
TEXTS = ["a", "10.5", "10.50", "1E+3", "ü", "u\u0308", '"\\\n\0', "𝄞"]
BYTES = [b"a", b"\0", b"\0\0", b"\xff\xfe", b"10.5", b"any length"]


def list_values(kind: str, longest: int) -> list[tuple[str, str]]:
    """Values of a key attribute, each in two spellings, up to the longest that is allowed."""
    if kind == "N":
        return NUMBERS
    if kind == "S":
        return [(text, text) for text in [*TEXTS, "x" * longest]]
    texts = [b64(content) for content in [*BYTES, b"\xff" * longest]]
    # The last bits of a text that ends in = belong to no byte.
    other = {"YQ==": "YR==", "AA==": "AP==", "AAA=": "AAB="}
    return [(text, other.get(text, text)) for text in texts]


ONE = {"N": "1.0"}
KINDS = ("S", "N", "B")
TABLES = [f"{first}-{second}" for first in KINDS for second in ("none", *KINDS)]


def define(name: str) -> Item:
    """A table with keys of the types in its name, and an index on two numbers."""
    first, _, second = name.partition("-")
    keys = {"pk": first} | ({"sk": second} if second != "none" else {})
    types = keys | {"low": "N", "high": "N"}

    def schema(*names: str) -> list[Item]:
        pairs = zip(names, ("HASH", "RANGE"), strict=False)
        return [{"AttributeName": name, "KeyType": kind} for name, kind in pairs]

    index = {"IndexName": "by-low", "KeySchema": schema("low", "high")}
    return {
        "TableName": name,
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": kind} for name, kind in types.items()
        ],
        "KeySchema": schema(*keys),
        "GlobalSecondaryIndexes": [index | {"Projection": {"ProjectionType": "ALL"}}],
        "BillingMode": "PAY_PER_REQUEST",
    }


def list_keys(name: str) -> list[tuple[Item, Item]]:
    """Keys of a table: as DynamoDB returns them, and in another spelling."""
    first, _, second = name.partition("-")
    if second == "none":
        return [
            ({"pk": {first: text}}, {"pk": {first: other}})
            for text, other in list_values(first, 2048)
        ]
    firsts, seconds = list_values(first, 2048), list_values(second, 1024)
    pairs = [*zip(firsts, itertools.cycle(seconds[::-1]), strict=False)]
    pairs += [(firsts[0], one) for one in seconds if (firsts[0], one) not in pairs]
    return [
        tuple({"pk": {first: one[n]}, "sk": {second: two[n]}} for n in (0, 1))  # type: ignore[misc]
        for one, two in pairs
    ]


def send(aws: Aws, action: str, **data: Any) -> Any:
    """A request exactly as it is written, and its answer."""
    body = json.dumps(data)
    answer = ask(aws, "POST", "/", sign_dynamodb(aws, action, body), body)
    found = json.loads(answer.text)
    assert answer.status == 200, found
    return found


def read_all(aws: Aws, name: str) -> Iterator[Item]:
    """Every item of a table, page by page; the cursor is sent back in another spelling."""
    other = {json.dumps(key): spelled for key, spelled in list_keys(name)}
    page = send(aws, "Scan", TableName=name, Limit=2)
    while True:
        yield from page["Items"]
        if not (last := page.get("LastEvaluatedKey")):
            return
        start = other[json.dumps(last)]
        page = send(aws, "Scan", TableName=name, Limit=2, ExclusiveStartKey=start)


@pytest.mark.parametrize("name", TABLES)
def test_equal_keys_are_one_key_in_every_operation(aws: Aws, name: str) -> None:
    clients.dynamodb(aws).create_table(**define(name))
    one, keys = {"TableName": name}, list_keys(name)
    for key, spelled in keys:
        add = {"UpdateExpression": "ADD n :one", "ExpressionAttributeValues": {":one": ONE}}
        send(aws, "UpdateItem", **one, Key=spelled, **add)
        send(aws, "UpdateItem", **one, Key=key, **add)
        update = {"Update": {**one, "Key": spelled, **add}}
        send(aws, "TransactWriteItems", TransactItems=[update])
        exists = {"ConditionExpression": "attribute_exists(pk)"}
        check = {"ConditionCheck": {**one, "Key": spelled, **exists}}
        send(aws, "TransactWriteItems", TransactItems=[check])
        want = key | {"n": {"N": "3"}}
        get = {"Get": {**one, "Key": spelled}}
        assert send(aws, "GetItem", **one, Key=spelled)["Item"] == want
        assert send(aws, "TransactGetItems", TransactItems=[get])["Responses"] == [{"Item": want}]
        found = send(aws, "BatchGetItem", RequestItems={name: {"Keys": [spelled]}})
        assert found["Responses"] == {name: [want]}
        equal = " AND ".join(f"{part} = :{part}" for part in key)
        values = {f":{part}": value for part, value in spelled.items()}
        query = {"KeyConditionExpression": equal, "ExpressionAttributeValues": values}
        assert send(aws, "Query", **one, **query)["Items"] == [want]
        statement = {
            "Statement": f'SELECT * FROM "{name}" WHERE ' + " AND ".join(f"{k} = ?" for k in key),
            "Parameters": list(spelled.values()),
        }
        assert send(aws, "ExecuteStatement", **statement)["Items"] == [want]
    found = sorted(map(str, read_all(aws, name)))
    assert found == sorted(str(key | {"n": {"N": "3"}}) for key, _ in keys)
    for number, (key, spelled) in enumerate(keys):
        request: Item = {"PutRequest": {"Item": spelled | {"v": {"S": "put"}}}}
        if number % 2:
            send(aws, "PutItem", **one, **request["PutRequest"])
        else:
            send(aws, "BatchWriteItem", RequestItems={name: [request]})
        assert send(aws, "GetItem", **one, Key=key)["Item"] == key | {"v": {"S": "put"}}
        delete = {"DeleteRequest": {"Key": spelled}}
        if number % 3 == 0:
            send(aws, "DeleteItem", **one, **delete["DeleteRequest"])
        elif number % 3 == 1:
            send(aws, "BatchWriteItem", RequestItems={name: [delete]})
        else:
            transaction = {"Delete": {**one, "Key": spelled}}
            send(aws, "TransactWriteItems", TransactItems=[transaction])
    assert send(aws, "Scan", **one)["Count"] == 0


def test_an_index_finds_equal_numbers(aws: Aws) -> None:
    clients.dynamodb(aws).create_table(**define("S-none"))
    one: Item = {"TableName": "S-none"}
    for number, (text, spelled) in enumerate(NUMBERS):
        key, index = {"pk": {"S": str(number)}}, {"low": {"N": spelled}, "high": {"N": "1.50"}}
        if number % 2:
            send(aws, "PutItem", **one, Item=key | index)
        else:  # the number becomes what it is by an addition
            whole = {"Item": key | index | {"high": {"N": "1.00"}}}
            add = {"UpdateExpression": "ADD high :half", "Key": key}
            half = {"ExpressionAttributeValues": {":half": {"N": "0.50"}}}
            send(aws, "PutItem", **one, **whole)
            send(aws, "TransactWriteItems", TransactItems=[{"Update": one | add | half}])
        for low, high in ((text, "1.5"), (spelled, "15E-1")):
            found = send(
                aws,
                "Query",
                **one,
                IndexName="by-low",
                KeyConditionExpression="low = :low AND high = :high",
                ExpressionAttributeValues={":low": {"N": low}, ":high": {"N": high}},
            )
            assert found["Items"] == [key | {"low": {"N": text}, "high": {"N": "1.5"}}]


def test_numbers_are_returned_as_dynamodb_returns_them(aws: Aws) -> None:
    clients.dynamodb(aws).create_table(**define("S-none"))
    one: Item = {"TableName": "S-none"}
    key = {"pk": {"S": "p"}}
    item: Item = {
        "n": {"N": "1.50"},
        "set": {"NS": ["1.50", "2E+1"]},
        "list": {"L": [{"N": "-0"}, {"M": {"N": {"N": "1e2"}, "B": {"B": "YR=="}}}]},
        "text": {"S": "1.50"},
        "N": {"S": "1.50"},
    }
    normal = {
        "n": {"N": "1.5"},
        "set": {"NS": ["1.5", "20"]},
        "list": {"L": [{"N": "0"}, {"M": {"N": {"N": "100"}, "B": {"B": "YQ=="}}}]},
        "text": {"S": "1.50"},
        "N": {"S": "1.50"},
    }
    put = {"Put": {**one, "Item": key | item}}
    send(aws, "TransactWriteItems", TransactItems=[put])
    assert send(aws, "GetItem", **one, Key=key)["Item"] == key | normal
    update = send(
        aws,
        "UpdateItem",
        **one,
        Key=key,
        UpdateExpression="SET nines = :nines + :five ADD n :half DELETE #set :twenty",
        ConditionExpression="contains(#set, :one) AND n = :one",
        ExpressionAttributeNames={"#set": "set"},
        ExpressionAttributeValues={
            ":nines": {"N": "9" * 37 + "1"},
            ":five": {"N": "5.00"},
            ":half": {"N": "0.50"},
            ":twenty": {"NS": ["20.0"]},
            ":one": {"N": "1.500"},
        },
        ReturnValues="UPDATED_NEW",
    )
    assert update["Attributes"] == {
        "nines": {"N": "9" * 37 + "6"},
        "n": {"N": "2"},
        "set": {"NS": ["1.5"]},
    }
    statement = f'UPDATE "S-none" SET n = {"1" * 38} SET "set" = <<1.50>> WHERE pk = \'p\''
    send(aws, "ExecuteStatement", Statement=statement)
    found = send(aws, "GetItem", **one, Key=key)["Item"]
    assert (found["n"], found["set"]) == ({"N": "1" * 38}, {"NS": ["1.5"]})


def test_our_commands_read_numbers_of_every_size() -> None:
    items = [{"n": {"N": text}, "s": {"NS": [text, other]}} for text, other in NUMBERS]
    plain = [tables.from_dynamodb(item) for item in items]
    assert [one["s"][0] == one["s"][1] == one["n"] for one in plain] == [True] * len(NUMBERS)
    assert plain[-3]["n"] == 10**125


@pytest.mark.parametrize(("text", "other"), NUMBERS)
def test_a_number_has_one_form(text: str, other: str) -> None:
    assert bulk_load.normalize_number(text) == bulk_load.normalize_number(other) == text


@pytest.mark.parametrize(
    "text", ["", "ten", "NaN", "-Infinity", "1e126", "1e999999999", "1e-131", "9" * 39]
)
def test_a_key_that_is_no_number_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="the key pk is not a number of DynamoDB: ") as error:
        bulk_load.find_key({"pk": {"N": text}}, [("pk", "N")])
    assert str(error.value).endswith(text)


# Seed files, and the commands that save and restore


def write_app(root: Path) -> None:
    """Definitions, and seeds whose keys are written in the other spelling."""
    for name in TABLES:
        (root / f"ddb/tables/{name}.json").write_text(json.dumps(define(name)))
        lines = [json_lines.to_line(spelled | {"n": ONE}) for _, spelled in list_keys(name)]
        (root / f"ddb/seeds/{name}.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines) + b"\n"))


def list_items(aws: Aws) -> dict[str, list[str]]:
    return {name: sorted(map(str, parallel_scan.scan(aws, name))) for name in TABLES}


@pytest.fixture(params=["embedded", pytest.param("docker", marks=pytest.mark.night)])
def checkout(
    request: pytest.FixtureRequest, new_checkout: Callable[[str], Checkout]
) -> Iterator[Checkout]:
    """A checkout on each local stack."""
    if request.param == "docker":
        request.getfixturevalue("engine")
    checkout = new_checkout("checkout")
    (checkout.root / ".env").write_text(f"DEV_STACK={request.param}\n")
    yield checkout
    if request.param == "docker":
        remove_containers(checkout.root)


def test_every_key_survives_setup_reset_and_undo(checkout: Checkout) -> None:
    write_app(checkout.root)
    checkout.run("setup")
    aws = stacks.get_aws(settings.load(checkout.root, {}))
    seeded = list_items(aws)
    assert {name: len(items) for name, items in seeded.items()} == {
        name: len(list_keys(name)) for name in TABLES
    }
    checkout.run("ddb.seed")
    assert list_items(aws) == seeded
    for name in TABLES:  # the app changes every other item
        for _, spelled in list_keys(name)[::2]:
            if aws.keeps_tags:  # the embedded emulator
                add = {"UpdateExpression": "ADD n :n", "ExpressionAttributeValues": {":n": ONE}}
                send(aws, "UpdateItem", TableName=name, Key=spelled, **add)
            else:  # DynamoDB Local, whose stand-in knows an item only by the text of its key
                line = json_lines.to_line(spelled | {"n": {"N": "2.0"}})
                assert not batch_write.write(aws, name, [line], lambda _: None)
    changed = list_items(aws)
    assert changed != seeded
    checkout.run("snapshot.save", "changed")
    checkout.run("reset")
    assert list_items(aws) == seeded
    checkout.run("undo")
    assert list_items(aws) == changed
    checkout.run("undo")
    assert list_items(aws) == seeded
    checkout.run("snapshot.restore", "changed")
    assert list_items(aws) == changed


def test_a_seed_in_another_spelling_overwrites_nothing(aws: Aws, tmp_path: Path) -> None:
    clients.dynamodb(aws).create_table(**define("N-B"))
    for _, spelled in list_keys("N-B"):
        send(aws, "PutItem", TableName="N-B", Item=spelled | {"v": {"S": "the app's"}})
    lines = [json_lines.to_line(key) for key, _ in list_keys("N-B")]
    path = tmp_path / "N-B.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert seed.is_seeded(aws, "N-B", path)
    assert seed.seed(aws, "N-B", path, lambda *_: None) == 0


def test_what_could_not_be_restored_is_not_saved(
    filled: Settings, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = parallel_scan.scan

    def scan_twice(aws: Aws, table: str) -> Iterator[Item]:
        yield from [*scan(aws, table)] * 2

    monkeypatch.setattr(parallel_scan, "scan", scan_twice)
    name = "cruddur-messages"
    with pytest.raises(DevError) as error:
        transaction.prepare(filled, "reset", True, [name], True)
    count = len(list(scan(aws, name)))
    last = list(scan(aws, name))[-1]
    assert error.value.message == (
        "the present state cannot be saved, so nothing was changed:\n"
        f"  tables/{name}: {count} items, expected {2 * count};"
        f" the key {last['pk']['S']}, {last['sk']['S']} occurs twice\n"
        "hint: correct the item or user named above"
    )
    assert not list(journal.get_home(filled).glob("*"))
