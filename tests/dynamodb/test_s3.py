import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts import clients
from scripts.dynamodb import batch_write, json_lines, parallel_scan, s3, tables
from scripts.dynamodb.s3 import Place
from scripts.dynamodb.tables import Item
from scripts.environment import transfer
from scripts.errors import DevError
from scripts.settings import Settings
from scripts.targets import Aws

NAME = "cruddur-messages"
# In the emulator as in AWS, the names of buckets are the same for all accounts.
BUCKET = "items-of-the-tests"
URL = f"s3://{BUCKET}/of/today"


@pytest.fixture(autouse=True)
def no_bucket_of_others(aws: Aws) -> Iterator[None]:
    yield
    client = clients.s3(aws)
    if BUCKET in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
        for key in list_keys(aws):
            client.delete_object(Bucket=BUCKET, Key=key)
        client.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def definition(environment: Settings) -> Item:
    return tables.read_definition(environment.root / "ddb" / "tables" / f"{NAME}.json")


def make_items(count: int) -> list[Item]:
    return [tables.to_dynamodb({"pk": "p", "sk": f"{n:04}", "text": "🌬️"}) for n in range(count)]


def write_file(folder: Path, count: int, *more: bytes) -> Path:
    path = folder / "items.json"
    path.write_bytes(b"\n".join([*map(json_lines.to_line, make_items(count)), *more]))
    return path


def put(aws: Aws, key: str, text: bytes) -> None:
    clients.s3(aws).put_object(Bucket=BUCKET, Key=key, Body=text)


def list_keys(aws: Aws) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects(aws, Place(BUCKET, ""))]


def failure(action: Callable[[], object]) -> str:
    with pytest.raises(DevError) as caught:
        action()
    return str(caught.value.message)


def found(aws: Aws) -> list[Item]:
    return sorted(parallel_scan.scan(aws, NAME), key=lambda item: str(item["sk"]))


def test_a_table_goes_to_s3_and_comes_back_by_an_import(
    aws: Aws,
    environment: Settings,
    definition: Item,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(json_lines, "PART_BYTES", 10_000)
    tables.ensure_table(aws, definition)
    batch_write.write_items(aws, NAME, make_items(400))
    transfer.export_to_s3(environment, NAME, URL)
    assert list_keys(aws) == [f"of/today/part-{number:05}.json.gz" for number in range(3)]
    tables.drop_table(aws, NAME)
    capsys.readouterr()
    transfer.import_table(environment, URL, NAME, as_json=True)
    report = json.loads(capsys.readouterr().out)
    size = sum(len(json_lines.to_line(item)) + 1 for item in make_items(400))
    assert report == {
        "status": "COMPLETED",
        "table": NAME,
        "items_processed": 400,
        "items_imported": 400,
        "items_failed": 0,
        "bytes_processed": size,
        "bytes_billed": size,
        "errors": "",
    }
    assert found(aws) == make_items(400)
    assert tables.is_ready(aws, definition)
    tables.drop_table(aws, NAME)  # it carries our mark


def test_a_file_goes_to_s3_in_parts(aws: Aws, environment: Settings, tmp_path: Path) -> None:
    transfer.export_to_s3(environment, str(write_file(tmp_path, 30)), URL)
    transfer.import_table(environment, URL, NAME, as_json=False)
    assert found(aws) == make_items(30)


def test_items_that_failed_are_reported(
    aws: Aws, environment: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_file(tmp_path, 30, b'{"Item":{"pk":{"S":"no sort key"}}}', b"broken")
    transfer.export_to_s3(environment, str(path), URL)
    message = failure(lambda: transfer.import_table(environment, URL, NAME, as_json=True))
    assert message.startswith(f"the import of {NAME} ended as FAILED\nhint: ItemValidationError; ")
    report = json.loads(capsys.readouterr().out)
    assert (report["items_imported"], report["items_failed"]) == (30, 2)
    assert "/aws-dynamodb/imports" in report["errors"]


def test_an_import_never_touches_a_table_that_is_there(
    aws: Aws, environment: Settings, definition: Item, tmp_path: Path
) -> None:
    tables.ensure_table(aws, definition)
    transfer.export_to_s3(environment, str(write_file(tmp_path, 30)), URL)
    assert failure(lambda: transfer.import_table(environment, URL, NAME, as_json=False)) == (
        f"the table {NAME} already exists, and an import only creates new tables"
        "\nhint: ./invoke ddb.load PATH (adds items to a table)"
    )
    assert found(aws) == []


def test_an_import_whose_follower_was_killed_is_followed_again(
    aws: Aws, definition: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients.s3(aws).create_bucket(Bucket=BUCKET)
    put(aws, "of/today/a.json", b"\n".join(map(json_lines.to_line, make_items(10))))
    place = s3.parse(URL)
    s3.import_table(aws, definition, place, lambda *_: None)
    client = clients.dynamodb(aws)
    listed = client.list_imports()
    listed["ImportSummaryList"][0]["ImportStatus"] = "IN_PROGRESS"
    monkeypatch.setattr(client, "list_imports", lambda **_: listed)
    report = s3.import_table(aws, definition, place, lambda *_: None)
    assert (report.status, report.items_imported) == ("COMPLETED", 10)


def test_a_prefix_with_objects_is_left_alone(
    aws: Aws, environment: Settings, tmp_path: Path
) -> None:
    path = write_file(tmp_path, 3)
    transfer.export_to_s3(environment, str(path), URL)
    before = list_keys(aws)
    assert failure(lambda: transfer.export_to_s3(environment, str(path), URL)) == (
        f"{URL}/ already contains 1 object\nhint: name another prefix"
    )
    assert list_keys(aws) == before


def test_a_neighbour_with_the_same_beginning_is_no_part_of_it(aws: Aws) -> None:
    clients.s3(aws).create_bucket(Bucket=BUCKET)
    put(aws, "of/today/a.json", b"x")
    put(aws, "of/today-2/b.json", b"x")
    keys = [entry["Key"] for entry in s3.list_objects(aws, s3.parse(URL))]
    assert keys == ["of/today/a.json"]


def test_plain_and_gzip_objects_are_not_mixed(aws: Aws, definition: Item) -> None:
    clients.s3(aws).create_bucket(Bucket=BUCKET)
    put(aws, "of/today/a.json", b"x")
    put(aws, "of/today/b.json.gz", b"x")
    place = s3.parse(URL)
    assert failure(lambda: s3.import_table(aws, definition, place, lambda *_: None)) == (
        f"{URL}/ holds objects with and without .gz\nhint: import one kind of them"
    )


def test_what_an_import_cannot_make_is_said(aws: Aws, definition: Item) -> None:
    clients.s3(aws).create_bucket(Bucket=BUCKET)
    put(aws, "of/today/a.json", b"x")
    other = definition | {"LocalSecondaryIndexes": []}
    place = s3.parse(URL)
    assert failure(lambda: s3.import_table(aws, other, place, lambda *_: None)) == (
        "an import cannot create a table with LocalSecondaryIndexes"
        "\nhint: ./invoke ddb.schema-load ddb.load PATH (can)"
    )


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (
            f"s3://{BUCKET}/none",
            f"s3://{BUCKET}/none/ holds no object\nhint: ./invoke ddb.export-to-s3",
        ),
        ("s3://nope/x", "there is no bucket nope in "),
        ("http://items/x", "http://items/x is not an S3 URL\nhint: write it like s3://"),
    ],
)
def test_a_place_without_items_has_its_sentence(
    aws: Aws, environment: Settings, url: str, reason: str
) -> None:
    clients.s3(aws).create_bucket(Bucket=BUCKET)
    message = failure(lambda: transfer.import_table(environment, url, NAME, as_json=False))
    assert message.startswith(reason)
