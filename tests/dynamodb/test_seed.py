"""Files of items that seed a table: <table>.jsonl, plain or gzip."""

import gzip
import json
from pathlib import Path

import pytest

from scripts import clients, stacks
from scripts.dynamodb import parallel_scan, seed
from scripts.errors import DevError
from scripts.settings import Settings
from scripts.targets import Aws

NAME = "cruddur-messages"


def line(sk: str, **more: str) -> str:
    item = {"pk": "p", "sk": sk} | more
    return json.dumps({"Item": {key: {"S": value} for key, value in item.items()}}) + "\n"


def write(folder: Path, text: str) -> Path:
    path = folder / f"{NAME}.jsonl"
    path.write_text(text)
    return path


def load(aws: Aws, path: Path) -> int:
    return seed.seed(aws, NAME, path, lambda *_: None)


def found(aws: Aws) -> dict[str, str]:
    items = list(parallel_scan.scan(aws, NAME))
    return {item["sk"]["S"]: item.get("text", {}).get("S", "") for item in items}


def test_files_are_named_for_their_tables(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl.gz", "c.txt", ".d.jsonl~"):
        (tmp_path / name).touch()
    assert seed.list_files(tmp_path) == {
        "a": tmp_path / "a.jsonl",
        "b": tmp_path / "b.jsonl.gz",
    }
    assert seed.list_files(None) == {}


def test_items_are_written_once(table: Aws, tmp_path: Path) -> None:
    path = write(tmp_path, "".join(line(f"{n:03}") for n in range(250)))
    assert not seed.is_seeded(table, NAME, path)
    assert load(table, path) == 250
    assert seed.is_seeded(table, NAME, path)
    assert load(table, path) == 0


def test_an_existing_item_is_never_overwritten(table: Aws, tmp_path: Path) -> None:
    item = {"pk": {"S": "p"}, "sk": {"S": "1"}, "text": {"S": "the app's"}}
    clients.dynamodb(table).put_item(TableName=NAME, Item=item)
    assert load(table, write(tmp_path, line("1", text="seed") + line("2", text="seed"))) == 1
    assert found(table) == {"1": "the app's", "2": "seed"}


def test_gzip_is_read_and_a_deleted_item_is_written_again(table: Aws, tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.jsonl.gz"
    path.write_bytes(gzip.compress((line("1") + line("2")).encode()))
    load(table, path)
    key = {"pk": {"S": "p"}, "sk": {"S": "2"}}
    clients.dynamodb(table).delete_item(TableName=NAME, Key=key)
    assert not seed.is_seeded(table, NAME, path)
    assert load(table, path) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"Item": {"pk": {"S": "p"}}}\n', "the item has no key sk (S)"),
        ('{"Item": {"pk": {"S": "p"}, "sk": "2"}}\n', "the item has no key sk (S)"),
        ('{"Item": {"pk": {"S": "p"}, "sk": {"N": "2"}}}\n', "the item has no key sk (S)"),
        ("nonsense\n", "not JSON: Expecting value at column 1"),
    ],
)
def test_a_bad_line_is_named(table: Aws, tmp_path: Path, text: str, problem: str) -> None:
    path = write(tmp_path, line("1") + text)
    with pytest.raises(DevError) as caught:
        load(table, path)
    assert caught.value.message == f"{path}:2: {problem}\nhint: correct the line"


@pytest.mark.parametrize(
    ("kind", "first", "same", "other"),
    [("N", "1", "1.0", "2"), ("N", "100", "1e2", "-3.5"), ("B", "aGk=", "aGk=", "eW91")],
)
def test_an_item_is_found_by_equal_keys_of_every_type(
    environment: Settings, tmp_path: Path, kind: str, first: str, same: str, other: str
) -> None:
    aws = stacks.get_aws(environment)
    definition = {
        "TableName": NAME,
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": kind}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    clients.dynamodb(aws).create_table(**definition)

    def seed_line(key: str, text: str) -> str:
        return json.dumps({"Item": {"id": {kind: key}, "text": {"S": text}}}) + "\n"

    assert load(aws, write(tmp_path, seed_line(first, "the app's"))) == 1
    path = write(tmp_path, seed_line(same, "seed") + seed_line(other, "seed"))
    assert load(aws, path) == 1
    assert seed.is_seeded(aws, NAME, path)
    texts = [item["text"]["S"] for item in parallel_scan.scan(aws, NAME)]
    assert sorted(texts) == ["seed", "the app's"]


def test_a_key_that_the_table_refuses_is_an_error(table: Aws, tmp_path: Path) -> None:
    path = write(tmp_path, line(""))
    with pytest.raises(DevError) as caught:
        load(table, path)
    assert str(path) in caught.value.message
