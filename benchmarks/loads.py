"""Loads against what they cannot avoid.

- ddb.load: the whole command, its start included, against bare BatchWriteItem requests to the same
  emulator: signed and serialized before the clock starts, sent by http.client over as many
  connections as ddb.load has workers, every answer read.
- ddb.load against one PutItem per item through boto3, on a sample.
- memory: the peak of a whole ddb.load into a stub: the SDK's HTTP session answers every batch at
  once; all above it is as it is.
- db.load: what the command does once Python has started, against the whole of psql's own copy, of
  the same file into the same table, emptied before.
"""

import cProfile
import csv
import http.client
import io
import json
import os
import pstats
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import places
from benchmarks.figures import Figure, measure, pair
from scripts import clients, shell, stacks
from scripts.dynamodb import bulk_load, tables
from scripts.dynamodb.json_lines import to_line
from scripts.postgres import databases
from scripts.stacks import processes
from scripts.stacks.embedded import aws_emulator
from scripts.targets import Aws, Database
from tests.conftest import PROJECT, Checkout, clean_environment

TABLE = "cruddur-messages"
SAMPLE = 1_000
MOST_MEMORY = 200.0  # MB
SINK = """
import sys
from botocore.awsrequest import AWSResponse
from botocore.httpsession import URLLib3Session
from invoke.main import program

class Taken:
    def stream(self, *_, **__):
        yield b'{"UnprocessedItems":{}}'

def sink(send):
    def take(door, request):
        if "BatchWriteItem" in str(request.headers.get("X-Amz-Target")):
            return AWSResponse(request.url, 200, {}, Taken())
        return send(door, request)
    return take

URLLib3Session.send = sink(URLLib3Session.send)
program.run(["invoke", *sys.argv[1:]])
"""


def figures(checkout: Checkout, items: int, lines: int, rounds: int) -> list[Figure]:
    """Loads of so many items and rows, and the memory of a load of so many lines."""
    checkout.run("setup")
    loaded = checkout.settings()
    return [
        *against_emulator(checkout, stacks.get_aws(loaded), items, rounds),
        memory(checkout, lines),
        against_psql(checkout, stacks.get_database(loaded), items, 3 * rounds),  # they are short
    ]


def against_emulator(checkout: Checkout, aws: Aws, count: int, rounds: int) -> list[Figure]:
    """ddb.load, prepared requests, and one put per item."""
    path = checkout.root / "items.jsonl"
    write_items(path, count)
    prepared = prepare(aws, path)
    definition = tables.read_definition(PROJECT / "ddb" / "tables" / f"{TABLE}.json")

    def emptied(work: Callable[[], float], wanted: int) -> float:
        tables.drop_table(aws, TABLE)
        tables.ensure_table(aws, definition)
        seconds = work()
        found = clients.dynamodb(aws).describe_table(TableName=TABLE)["Table"]["ItemCount"]
        assert found == wanted, found
        return wanted / seconds

    def ours() -> float:
        return places.invoke(checkout, "ddb.load", str(path))

    def profile() -> str:
        return explain(checkout, path, prepared, lambda work: emptied(work, count))

    emptied(lambda: send(aws, prepared[:40]), min(1_000, count))
    found = measure(
        rounds,
        lambda: emptied(ours, count),
        lambda: emptied(lambda: send(aws, prepared), count),
        lambda: emptied(lambda: puts(aws, path), SAMPLE),
        warm_up=False,
    )
    return [
        Figure("ddb.load", "prepared batches, bare", pair(found), "/s", 0.8, profile),
        Figure("ddb.load", "one put per item", pair(found, 0, 2), "/s", 10),
    ]


def explain(
    checkout: Checkout,
    path: Path,
    prepared: list[tuple[bytes, dict[str, str]]],
    emptied: Callable[[Callable[[], float]], float],
) -> str:
    """How busy the emulator was, and what the command's start took of its time."""
    loaded = checkout.settings()
    process = processes.find(aws_emulator.server(loaded))
    assert process
    texts = []
    for name, work in {
        "ddb.load": lambda: places.invoke(checkout, "ddb.load", str(path)),
        "prepared": lambda: send(stacks.get_aws(loaded), prepared),
    }.items():
        before, begin = sum(process.cpu_times()[:2]), time.perf_counter()
        emptied(work)
        busy = sum(process.cpu_times()[:2]) - before
        seconds = time.perf_counter() - begin
        texts.append(f"{name}  {seconds:6.2f} s, the emulator busy for {busy:6.2f} s of them")
    start = places.invoke(checkout, "ddb.list-tables")
    return "\n".join([*texts, f"start     {start:6.2f} s: a command with one call"])


def against_psql(checkout: Checkout, database: Database, count: int, rounds: int) -> Figure:
    """db.load and psql's own copy, each into the same table, emptied."""
    path = checkout.root / "users.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["uuid", "display_name", "handle", "email"])
        for n in range(count):
            key = uuid.uuid5(uuid.NAMESPACE_DNS, str(n))
            writer.writerow([key, f"User, number {n}", f"user{n}", f"user{n}@example.com"])
    copy = f"\\copy users (uuid, display_name, handle, email) from '{path}' csv header"
    psql = [
        str(shell.postgres_home() / "bin" / "psql"),
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-c",
        copy,
    ]
    addresses = clients.psql_environment(database)

    def emptied(work: Callable[[], float]) -> float:
        with clients.cursor(database, autocommit=True) as cursor:
            cursor.execute("TRUNCATE users CASCADE")
            cursor.execute("CHECKPOINT")
        rate = count / work()
        assert count_users(database) == count
        return rate

    def ours() -> float:
        begin = time.perf_counter()
        databases.load_rows(database, path, "users")
        return time.perf_counter() - begin

    def profile() -> str:
        watched = cProfile.Profile()
        emptied(lambda: watched.runcall(ours))
        text = io.StringIO()
        pstats.Stats(watched, stream=text).strip_dirs().sort_stats("tottime").print_stats(6)
        return "\n".join(line for line in text.getvalue().splitlines() if line.strip())

    found = measure(
        rounds, lambda: emptied(ours), lambda: emptied(lambda: places.run(psql, env=addresses))
    )
    return Figure("db.load", "psql's own copy", pair(found), "/s", 0.9, profile)


def memory(checkout: Checkout, count: int) -> Figure:
    """The peak memory of a whole load into a stub."""
    path = checkout.root / "many.jsonl"
    write_items(path, count)
    command = places.python("-c", SINK, "ddb.load", str(path))
    child = subprocess.Popen(
        command, cwd=checkout.root, env=clean_environment(), stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    assert status == 0
    peak = usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return Figure(f"memory of {count:,} lines", "the limit", [(peak, MOST_MEMORY)], "MB", 1)


def write_items(path: Path, count: int) -> None:
    """Messages of conversations of 500, one conversation after another."""
    with path.open("wb") as file:
        for n in range(count):
            item = {
                "pk": f"MSG#{uuid.UUID(int=n // 500)}",
                "sk": f"2026-03-28T15:00:{n % 60:02}.{n:06}+00:00",
                "message_uuid": str(uuid.UUID(int=n)),
                "message": f"Message number {n}: wind 12 km/h from the west, no frost tonight.",
                "user_uuid": "0b9fd7a4-6f0e-4d6e-9f4b-2d1c6a3f7e10",
                "user_display_name": "Korney Belov",
                "user_handle": "korney",
            }
            file.write(to_line(tables.to_dynamodb(item)) + b"\n")


def prepare(aws: Aws, path: Path) -> list[tuple[bytes, dict[str, str]]]:
    """Signed requests of 25 items each: bodies and headers."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    signer = SigV4Auth(Credentials(aws.access_key, aws.secret_key), "dynamodb", aws.region)
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": "DynamoDB_20120810.BatchWriteItem",
    }
    lines = path.read_bytes().splitlines()
    requests = []
    for start in range(0, len(lines), 25):
        puts = b",".join(b'{"PutRequest":%b}' % line for line in lines[start : start + 25])
        body = b'{"RequestItems":{"%b":[%b]}}' % (TABLE.encode(), puts)
        request = AWSRequest("POST", f"{aws.endpoint}/", data=body, headers=dict(headers))
        signer.add_auth(request)
        requests.append((body, dict(request.headers.items())))
    return requests


def send(aws: Aws, requests: list[tuple[bytes, dict[str, str]]]) -> float:
    """Seconds to send prepared requests, over as many connections as ddb.load has workers."""
    waiting: queue.SimpleQueue[tuple[bytes, dict[str, str]]] = queue.SimpleQueue()
    for request in requests:
        waiting.put(request)
    address = urlsplit(aws.endpoint or "")
    failures: list[Any] = []

    def work() -> None:
        connection = http.client.HTTPConnection(address.hostname or "", address.port)
        while not waiting.empty():
            try:
                body, headers = waiting.get_nowait()
            except queue.Empty:
                break
            connection.request("POST", "/", body=body, headers=headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200 or json.loads(text)["UnprocessedItems"]:
                failures.append(text)

    threads = [threading.Thread(target=work) for _ in range(bulk_load.WORKERS)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]
    return time.perf_counter() - begin


def puts(aws: Aws, path: Path) -> float:
    """Seconds to put a sample of the items, each by a call of its own."""
    client = clients.dynamodb(aws)
    with path.open("rb") as file:
        items = [json.loads(next(file))["Item"] for _ in range(SAMPLE)]
    begin = time.perf_counter()
    for item in items:
        client.put_item(TableName=TABLE, Item=item)
    return time.perf_counter() - begin


def count_users(database: Database) -> int:
    """The rows of users."""
    with clients.cursor(database) as cursor:
        cursor.execute("SELECT count(*) FROM users")
        return int(cursor.fetchone()[0])
