import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from scripts.dynamodb import tables
from scripts.errors import DevError
from tests.conftest import PROJECT

FOLDER = PROJECT / "ddb" / "tables"
SHIPPED = json.loads((FOLDER / "cruddur-messages.json").read_bytes())
HINT = "\nhint: write the input of `aws dynamodb create-table --cli-input-json`"
KEY = "pk (S) + sk (S)"
INDEX = "message_group_uuid (S) + sk (S)"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def define(folder: Path, content: bytes) -> Path:
    path = folder / "t.json"
    path.write_bytes(content)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DevError) as error:
        tables.read_definition(path)
    return str(error.value.message)


def places(value: Any) -> list[tuple[str | int, ...]]:
    """The path to each part of a JSON value, deep ones too."""
    parts: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, list):
        parts = list(enumerate(value))
    return [(key, *rest) for key, part in parts for rest in [(), *places(part)]]


def changed(place: tuple[str | int, ...], value: Any) -> Any:
    """The shipped definition with another value at one place."""
    definition = part = deepcopy(SHIPPED)
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    return definition


def test_the_shipped_definition_is_the_table_of_the_data_model() -> None:
    (definition,) = tables.read_definitions(FOLDER)
    throughput = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
    types = {
        part["AttributeName"]: part["AttributeType"]
        for part in definition.pop("AttributeDefinitions")
    }
    assert types == {"pk": "S", "sk": "S", "message_group_uuid": "S"}
    assert definition == {
        "TableName": "cruddur-messages",
        "KeySchema": [
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": "message-group-sk-index",
                "KeySchema": [
                    {"AttributeName": "message_group_uuid", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
                "ProvisionedThroughput": throughput,
            }
        ],
        "BillingMode": "PROVISIONED",
        "ProvisionedThroughput": throughput,
    }


def test_a_folder_without_definitions_is_named(tmp_path: Path) -> None:
    with pytest.raises(DevError) as error:
        tables.read_definitions(tmp_path)
    assert str(error.value.message) == (
        f"{tmp_path} contains no table definition"
        "\nhint: write a CreateTable request as TABLE.json in it"
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{\n  "TableName": ,\n}', ":2: Expecting value"),
        (b"", ":1: Expecting value"),
        (b'{"TableName": "t"}\n\n[', ":3: Extra data"),
        (b"\xff", " cannot be read: UnicodeDecodeError"),
        (b"[" * 100_000, " cannot be read: RecursionError"),
        (b"[]", " is not a JSON object"),
        (b'"t"', " is not a JSON object"),
        (
            b"{}",
            " is not a CreateTable request:"
            ' Missing required parameter in input: "TableName";'
            ' Missing parameter "AttributeDefinitions"; Missing parameter "KeySchema"',
        ),
        (
            json.dumps(SHIPPED | {"TableName": 1}).encode(),
            " is not a CreateTable request: Invalid type for parameter TableName, value: 1,"
            " type: <class 'int'>, valid types: <class 'str'>",
        ),
        (
            json.dumps(SHIPPED | {"KeySchema": [], "BillingMode": None}).encode(),
            " is not a CreateTable request:"
            " Invalid length for parameter KeySchema, value: 0, valid min length: 1;"
            " Invalid type for parameter BillingMode, value: None,"
            " type: <class 'NoneType'>, valid types: <class 'str'>",
        ),
    ],
)
def test_a_broken_file_is_named_with_what_is_wrong(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    assert refusal(define(tmp_path, content)) == f"ddb/tables/t.json{problem}{HINT}"


@pytest.mark.parametrize("part", ["AttributeDefinitions", "KeySchema"])
def test_a_missing_part_is_named(tmp_path: Path, part: str) -> None:
    definition = {name: value for name, value in SHIPPED.items() if name != part}
    assert refusal(define(tmp_path, json.dumps(definition).encode())) == (
        f'ddb/tables/t.json is not a CreateTable request: Missing parameter "{part}"{HINT}'
    )


def test_other_attributes_in_an_index_are_a_difference() -> None:
    place = ("GlobalSecondaryIndexes", 0, "Projection")
    one, two = (
        changed(place, {"ProjectionType": "INCLUDE", "NonKeyAttributes": names})
        for names in (["a", "b"], ["c"])
    )
    assert tables.list_differences(one, two) == [
        f"index message-group-sk-index: {INDEX}, INCLUDE c, wanted: {INDEX}, INCLUDE a b"
    ]


def test_an_unknown_parameter_is_named(tmp_path: Path) -> None:
    path = define(tmp_path, json.dumps(SHIPPED | {"Colour": "red"}).encode())
    assert refusal(path).startswith(
        "ddb/tables/t.json is not a CreateTable request:"
        ' Unknown parameter in input: "Colour", must be one of: AttributeDefinitions, '
    )


def test_a_file_that_is_not_named_after_its_table_is_refused(tmp_path: Path) -> None:
    assert refusal(define(tmp_path, json.dumps(SHIPPED).encode())) == (
        "ddb/tables/t.json defines the table cruddur-messages\nhint: name the file after its table"
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    problem = "cannot be read: FileNotFoundError"
    assert refusal(tmp_path / "t.json") == f"ddb/tables/t.json {problem}{HINT}"


def test_a_table_as_defined_has_no_differences() -> None:
    table = SHIPPED | {"TableStatus": "ACTIVE", "ItemCount": 3, "LocalSecondaryIndexes": None}
    assert tables.list_differences(SHIPPED, table) == []


@pytest.mark.parametrize(
    ("table", "difference"),
    [
        (
            changed(("KeySchema", 1, "AttributeName"), "other"),
            f"key: pk (S) + other (None), wanted: {KEY}",
        ),
        (changed(("KeySchema",), SHIPPED["KeySchema"][:1]), f"key: pk (S), wanted: {KEY}"),
        (
            SHIPPED | {"GlobalSecondaryIndexes": []},
            f"index message-group-sk-index: missing, wanted: {INDEX}, ALL",
        ),
        (
            changed(("GlobalSecondaryIndexes", 0, "Projection", "ProjectionType"), "KEYS_ONLY"),
            f"index message-group-sk-index: {INDEX}, KEYS_ONLY, wanted: {INDEX}, ALL",
        ),
        (
            changed(("GlobalSecondaryIndexes", 0, "KeySchema", 0, "AttributeName"), "pk"),
            f"index message-group-sk-index: {KEY}, ALL, wanted: {INDEX}, ALL",
        ),
        (
            SHIPPED
            | {
                "LocalSecondaryIndexes": [SHIPPED["GlobalSecondaryIndexes"][0] | {"IndexName": "l"}]
            },
            f"index l: {INDEX}, ALL, wanted: none",
        ),
    ],
    ids=["other key", "no range key", "no index", "projection", "index key", "one index more"],
)
def test_a_difference_is_told_with_what_is_wanted(table: tables.Item, difference: str) -> None:
    assert tables.list_differences(SHIPPED, table) == [difference]


def test_another_type_of_an_attribute_is_a_difference_of_every_key_with_it() -> None:
    table = changed(("AttributeDefinitions", 2, "AttributeType"), "N")
    assert tables.list_differences(SHIPPED, table) == [
        f"index message-group-sk-index: message_group_uuid (S) + sk (N), ALL, wanted: {INDEX}, ALL",
        f"key: pk (S) + sk (N), wanted: {KEY}",
    ]


def is_refused(path: Path) -> bool:
    try:
        definition = tables.read_definition(path)
    except DevError:
        return True
    assert definition["TableName"] == path.stem
    return False


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables") / "cruddur-messages.json"


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(content=st.binary() | st.text().map(str.encode))
def test_any_bytes_are_a_definition_or_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert is_refused(path)


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(value=json_values)
def test_any_json_is_a_definition_or_refused(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))
    assert is_refused(path)


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(place=st.sampled_from(places(SHIPPED)), value=json_values)
def test_a_definition_with_one_part_changed_is_one_or_refused(
    path: Path, place: tuple[str | int, ...], value: Any
) -> None:
    path.write_text(json.dumps(changed(place, value)))
    assert is_refused(path) or isinstance(value, str | int | list | dict)


def test_the_sdk_is_loaded_by_one_thread_at_a_time() -> None:
    """Threads that load parts of it at once can lock each other, and one gets an error."""
    code = (
        "import sys, threading, time\n"
        "from pathlib import Path\n"
        "from scripts import clients\n"
        "from scripts.dynamodb import tables\n"
        "with clients._lock:\n"
        "    threading.Thread(\n"
        "        target=tables.read_definitions, args=(Path('ddb/tables'),), daemon=True\n"
        "    ).start()\n"
        "    time.sleep(0.5)\n"
        "    assert 'botocore' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True)
