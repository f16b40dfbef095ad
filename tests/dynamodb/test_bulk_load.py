import gzip
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from scripts import clients
from scripts.dynamodb import batch_write, bulk_load, json_lines, parallel_scan, tables
from scripts.dynamodb.bulk_load import Rejected, Tally, Writer
from scripts.dynamodb.json_lines import Line
from scripts.dynamodb.tables import Item
from scripts.engine import pipeline
from scripts.environment import setup, transfer
from scripts.errors import DevError
from scripts.settings import Settings
from scripts.targets import Aws
from tests.conftest import PROJECT, clean_environment

NAME = "cruddur-messages"


@pytest.fixture
def table(aws: Aws, environment: Settings) -> Item:
    path = environment.root / "ddb" / "tables" / f"{NAME}.json"
    tables.ensure_table(aws, tables.read_definition(path))
    return tables.get_table(aws, NAME)


def make_item(number: int, **attributes: Any) -> Item:
    key = {"pk": {"S": f"MSG#{number // 50}"}, "sk": {"S": f"{number:06}"}}
    return key | {"message": {"S": f"number {number}"}} | attributes


def write_lines(path: Path, lines: Sequence[Item | bytes]) -> Path:
    texts = [line if isinstance(line, bytes) else json_lines.to_line(line) for line in lines]
    path.write_bytes(b"".join(text + b"\n" for text in texts))
    return path


def as_lines(items: Sequence[Item]) -> list[Line]:
    texts = map(json_lines.to_line, items)
    return [Line(Path("f"), n, n, text, n / len(items)) for n, text in enumerate(texts, start=1)]


def fetch(aws: Aws) -> dict[str, Item]:
    return {item["sk"]["S"]: item for item in parallel_scan.scan(aws, NAME)}


def failure(action: Callable[[], object]) -> str:
    with pytest.raises(DevError) as caught:
        action()
    return str(caught.value.message)


def ignore(*_: object) -> None:
    pass


def run_load(environment: Settings, path: Path) -> None:
    transfer.load(environment, path, NAME, None)


def test_every_line_is_written_and_counted(
    aws: Aws, table: Item, environment: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = [make_item(number) for number in range(3_000)]
    path = write_lines(tmp_path / "items.json", items)
    run_load(environment, path)
    assert fetch(aws) == {item["sk"]["S"]: item for item in items}
    assert capsys.readouterr().err == f"{NAME} acknowledged 3,000 items of {path}\n"
    assert not list((environment.state / "loads").iterdir())


def test_all_types_come_back_byte_for_byte(
    aws: Aws, table: Item, environment: Settings, tmp_path: Path
) -> None:
    item = make_item(
        1,
        text={"S": 'quotes " and \\ and \u2028 and 🌬️'},
        empty={"S": ""},
        large={"N": "-12345678901234567890.123456789"},
        binary={"B": b"\x00\xff\x10"},
        truth={"BOOL": False},
        nothing={"NULL": True},
        items={"L": [{"S": "a"}, {"N": "1"}, {"L": []}, {"M": {}}]},
        parts={"M": {"x": {"B": b"1"}, "y": {"M": {"z": {"NULL": True}}}}},
        texts={"SS": ["b", "a"]},
        numbers={"NS": ["3", "1"]},
        binaries={"BS": [b"b", b"a"]},
    )
    clients.dynamodb(aws).put_item(TableName=NAME, Item=item)
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    transfer.export(environment, NAME, first)
    client = clients.dynamodb(aws)
    client.delete_item(TableName=NAME, Key={"pk": item["pk"], "sk": item["sk"]})
    run_load(environment, first)
    transfer.export(environment, NAME, second)
    assert first.read_bytes() == second.read_bytes()
    assert fetch(aws) == {"000001": item}


@pytest.mark.parametrize("name", ["items.json", "items.json.gz", "items"])
def test_an_export_is_loaded_again(
    aws: Aws, table: Item, environment: Settings, tmp_path: Path, name: str
) -> None:
    batch_write.write_items(aws, NAME, [make_item(number) for number in range(500)])
    before = fetch(aws)
    transfer.export(environment, NAME, tmp_path / name)
    tables.drop_table(aws, NAME)
    definition = environment.root / "ddb" / "tables" / f"{NAME}.json"
    tables.ensure_table(aws, tables.read_definition(definition))
    run_load(environment, tmp_path / name)
    assert fetch(aws) == before
    assert failure(lambda: transfer.export(environment, NAME, tmp_path / name)) == (
        f"{tmp_path / name} already exists\nhint: choose another name"
    )
    packed = name.endswith("gz")
    assert not packed or gzip.decompress((tmp_path / name).read_bytes())


def test_the_last_line_of_a_key_wins(
    aws: Aws, table: Item, environment: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = [random.Random(1).randrange(40) for _ in range(2_500)]
    items = [make_item(number, turn={"N": str(turn)}) for turn, number in enumerate(numbers)]
    path = write_lines(tmp_path / "items.json", items)
    run_load(environment, path)
    assert fetch(aws) == {item["sk"]["S"]: item for item in items}
    found = re.search(r"acknowledged (\d+) items .*, ([\d,]+) replaced", capsys.readouterr().err)
    assert found
    assert int(found[1]) + int(found[2].replace(",", "")) == 2_500


def test_what_cannot_be_written_is_in_a_file(
    aws: Aws, table: Item, environment: Settings, tmp_path: Path
) -> None:
    good = [make_item(number) for number in range(100)]
    bad: list[Item | bytes] = [
        b"{broken",
        {"pk": {"S": "p"}},
        {"pk": {"S": "p"}, "sk": {"N": "1"}},
        make_item(900, bad={"N": "no number"}),
        make_item(901, big={"S": "x" * 500_000}),
    ]
    path = write_lines(tmp_path / "items.json", [*good[:50], *bad, *good[50:]])
    message = failure(lambda: run_load(environment, path))
    (rejects,) = (environment.state / "loads").glob("*.rejected.jsonl")
    assert message == (
        f"{NAME} acknowledged 100 items of {path}; 5 lines could not be written, the first:"
        f"\n{path}:51: not JSON: Expecting property name enclosed in double quotes at column 2"
        f"\nhint: they are in {rejects}, with the reasons"
    )
    entries = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert [entry["at"] for entry in entries] == [f"{path}:{number}" for number in range(51, 56)]
    assert entries[1]["why"] == "the item has no key sk (S)"
    assert [entry["line"].encode() for entry in entries][:1] == [b"{broken"]
    assert fetch(aws) == {item["sk"]["S"]: item for item in good}
    rejects.unlink()


def test_a_batch_takes_one_item_of_each_partition_in_turn() -> None:
    lines: dict[bulk_load.Key, Line] = {
        (item["pk"]["S"], item["sk"]["S"]): line
        for item in map(make_item, range(500))
        for line in as_lines([item])
    }
    for batch in bulk_load.pack(lines):
        counts = Counter(json.loads(text)["Item"]["pk"]["S"] for text in batch)
        assert max(counts.values()) <= 3


def test_a_line_that_may_be_too_large_travels_alone() -> None:
    items = [make_item(number, body={"S": "x" * 300_000}) for number in range(60)]
    items[7]["body"]["S"] *= 2
    packed = list(bulk_load.pack({(str(n),): line for n, line in enumerate(as_lines(items))}))
    assert sorted(map(len, packed)) == [1, 9, 25, 25]
    assert max(sum(map(len, batch)) for batch in packed) < 16_000_000


def test_a_stuck_load_says_how_much_is_acknowledged(
    aws: Aws, table: Item, environment: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_lines(tmp_path / "items.json", [make_item(number) for number in range(2_000)])
    monkeypatch.setattr("scripts.dynamodb.batch_write.time.sleep", ignore)
    call, sent = clients.dynamodb(aws)._make_api_call, Counter[str]()

    def taking_forty(operation: str, parameters: Item) -> Any:
        sent[operation] += 1
        if operation != "BatchWriteItem" or sent[operation] <= 40:
            return call(operation, parameters)
        left = list(map(json.loads, parameters["RequestItems"][NAME]))
        return {"UnprocessedItems": {NAME: left}}

    with monkeypatch.context() as patch:
        patch.setattr(clients.dynamodb(aws), "_make_api_call", taking_forty)
        message = failure(lambda: run_load(environment, path))
    assert re.fullmatch(
        f"{NAME} accepted none of 25 items in {batch_write.PATIENCE} tries;"
        " acknowledged: 1,000 items"
        "\nhint: raise the table's write capacity; the same command resumes",
        message,
    )
    run_load(environment, path)
    assert len(fetch(aws)) == 2_000


def test_the_share_grows_with_what_is_acknowledged(aws: Aws, table: Item) -> None:
    lines = as_lines([make_item(number) for number in range(200)])
    shown: list[tuple[int, float]] = []
    meter = bulk_load.find_meter(aws, table, rate=100)
    Writer(aws, table, meter, Tally()).run(lines, ignore, lambda *at: shown.append(at))
    assert shown == sorted(shown)
    assert shown[-1] == (200, 1.0)
    assert all(abs(share - count / 200) < 0.3 for count, share in shown)


def test_a_meter_keeps_under_the_rate(aws: Aws, table: Item) -> None:
    meter = bulk_load.find_meter(aws, table, rate=200)
    begin = time.monotonic()
    Writer(aws, table, meter, Tally()).run(
        as_lines([make_item(n) for n in range(500)]), ignore, ignore
    )
    assert 1.3 < time.monotonic() - begin < 4


def test_an_index_that_consumes_twice_is_metered_by_what_it_consumes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("scripts.dynamodb.batch_write.time.sleep", pauses.append)
    monkeypatch.setattr("scripts.dynamodb.batch_write.time.monotonic", lambda: 0.0)
    meter = batch_write.Meter({"": 10.0, "index": 10.0})
    meter.wait(10)
    report = {"CapacityUnits": 10.0}
    twice = {"GlobalSecondaryIndexes": {"index": {"CapacityUnits": 20.0}}}
    meter.settle(10, [{"Table": report} | twice])
    meter.wait(10)
    assert pauses == [2.0]


def test_the_limit_is_a_share_of_what_the_table_provides(aws: Aws, table: Item) -> None:
    far = Aws("eu-west-1", None, "key", "secret", "pool")
    meter = bulk_load.find_meter(far, table, None)
    assert meter
    assert str(meter) == "4.5 write units a second, 4.5 in message-group-sk-index"
    on_demand = {**table, "ProvisionedThroughput": {"WriteCapacityUnits": 0}}
    assert bulk_load.find_meter(far, on_demand, None) is None
    assert bulk_load.find_meter(aws, table, None) is None


def test_a_second_load_of_the_same_file_is_kept_out(
    table: Item, environment: Settings, tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "items.json", [make_item(1)])
    checkpoint = transfer._checkpoint(environment, table, [path])
    with checkpoint.locked():
        assert failure(lambda: run_load(environment, path)).startswith(
            "this load is already running"
        )


def test_a_checkpoint_is_of_these_very_files(
    table: Item, environment: Settings, tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "items.json", [make_item(1)])
    before = transfer._checkpoint(environment, table, [path])
    assert transfer._checkpoint(environment, table, [path]) == before
    write_lines(path, [make_item(2), make_item(3)])
    assert transfer._checkpoint(environment, table, [path]) != before


def test_rejects_of_a_chunk_that_was_not_saved_are_forgotten(tmp_path: Path) -> None:
    checkpoint = transfer.Checkpoint(tmp_path / "load.json")
    line = Line(tmp_path, 1, 1, b"x\n", 1.0)
    checkpoint.save(Tally(lines=1, rejected=1), [Rejected(line, "why")])
    kept = checkpoint.rejects.read_bytes()
    with checkpoint.rejects.open("ab") as file:
        file.write(b"of a chunk that a kill cut")
    assert checkpoint.read() == Tally(lines=1, rejected=1)
    assert checkpoint.rejects.read_bytes() == kept


def start_load(environment: Settings, path: Path, *words: str) -> "subprocess.Popen[str]":
    """A load on a network where DynamoDB refuses 30 % of all batches."""
    settings = {"AWS_EMULATOR_ACCOUNT": environment.emulator_account, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "tests.faulty", "--search-root", str(environment.root)]
    return subprocess.Popen(
        [*command, "ddb.load", str(path), *words],
        cwd=PROJECT,
        env=clean_environment() | settings,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_progress(environment: Settings, process: "subprocess.Popen[str]") -> None:
    """Until the checkpoint of the only load has moved."""
    before = count_saved(environment)
    while count_saved(environment) == before:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def count_saved(environment: Settings) -> int:
    """The lines that the checkpoint of the only load knows as done."""
    found = list((environment.state / "loads").glob(f"{NAME}-*[0-9a-f].json"))
    return int(json.loads(found[0].read_text())["lines"]) if found else 0


def test_a_load_that_is_stopped_says_how_to_go_on(
    aws: Aws, table: Item, environment: Settings, tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "items.json", [make_item(number) for number in range(2_000)])
    process = start_load(environment, path, "--rate", "200")
    wait_for_progress(environment, process)
    process.send_signal(signal.SIGINT)
    _, talk = process.communicate(timeout=60)
    assert process.returncode == 130
    lines = count_saved(environment)
    assert talk == f"stopped; the same command resumes after {lines:,} lines\n"
    run_load(environment, path)
    assert len(fetch(aws)) == 2_000


def test_killed_three_times_on_a_bad_network_every_item_is_there_once(
    aws: Aws, table: Item, environment: Settings, tmp_path: Path
) -> None:
    items = [make_item(number) for number in range(12_000)]
    path = write_lines(tmp_path / "items.json", items)
    for _ in range(3):
        process = start_load(environment, path)
        wait_for_progress(environment, process)
        process.kill()
        process.communicate()
    assert 0 < count_saved(environment) < len(items)
    process = start_load(environment, path)
    _, talk = process.communicate(timeout=120)
    assert process.returncode == 0, talk
    assert "resumes after" in talk
    assert f"acknowledged 12,000 items of {path}\n" in talk
    found = list(parallel_scan.scan(aws, NAME))
    assert len(found) == len(items)
    assert {item["sk"]["S"]: item for item in found} == {i["sk"]["S"]: i for i in items}


def test_further_messages_are_the_same_every_time(aws: Aws, environment: Settings) -> None:
    steps = setup.pick(
        environment, "db.create", "db.schema-load", "db.seed", "ddb.schema-load", "ddb.seed"
    )
    pipeline.run(steps, ignore)
    before = list(parallel_scan.scan(aws, NAME))
    events: list[pipeline.Event] = []
    for _ in range(2):
        pipeline.run(setup.ddb_seed(environment, 300), events.append)
    told = [event.detail for event in events if event.kind == "progress"]
    assert told[-1] == "300 of 300 messages"
    assert [event.detail for event in events if event.detail and event.kind != "progress"] == [
        "already exists",
        "300 messages written",
        "already exists",
        "300 messages already written",
    ]
    after = list(parallel_scan.scan(aws, NAME))
    assert len(after) == len(before) + 300 + 2
    assert all(item in after for item in before)
    assert fetch(aws)["2020-01-01T00:04:59.000000+00:00"]["user_handle"]
    pipeline.run(setup.pick(environment, "ddb.seed"), events.append)
    assert events[-1].kind == "skipped"
