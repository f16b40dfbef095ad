"""Loads against what they cannot avoid: `python -m benchmarks.loads [ITEMS] [ROUNDS]`.

Prints ratios of rates; the sides of each are measured in turn, and a figure is the median over the
rounds. Runs on servers of its own; nothing of this checkout's environment is touched.

- ddb.load: the whole command, its start included, against bare BatchWriteItem requests to the same
  emulator: signed and serialized before the clock starts, sent by http.client over as many
  connections as ddb.load has workers, every answer read (goal: 0.9).
- ddb.load against one PutItem per item through boto3, on a sample of 1,000 (goal: 10).
- memory: the peak of a whole ddb.load of 1,000,000 lines into a stub: the lowest doors
  answer every batch at once; all above it is as it is (goal: 200 MB).
- db.load: what the command does once Python has started, against the whole of psql's own copy, of
  the same file into the same table, emptied before (goal: 0.9).
"""

import csv
import http.client
import json
import os
import queue
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.setup import INVOKE, PROJECT, remove
from scripts import bulk, clients, dynamodb, rows, settings, shell, stacks
from scripts.ddb_files import to_line
from scripts.targets import Aws, Database

TABLE = "cruddur-messages"
SAMPLE = 1_000
MEMORY_LINES = 1_000_000
SINK = """
import sys
from botocore.awsrequest import AWSResponse
from botocore.httpsession import URLLib3Session
from invoke.main import program
from scripts.express import Express

class Taken:
    def stream(self, *_, **__):
        yield b'{"UnprocessedItems":{}}'

def sink(send):
    def take(door, request):
        if "BatchWriteItem" in str(request.headers.get("X-Amz-Target")):
            return AWSResponse(request.url, 200, {}, Taken())
        return send(door, request)
    return take

for door in (URLLib3Session, Express):
    door.send = sink(door.send)
program.run(["invoke", *sys.argv[1:]])
"""


def main() -> None:
    """Measure and print."""
    items = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        checkout = Path(folder) / "checkout"
        for part in ("scripts", "sql", "ddb"):
            shutil.copytree(PROJECT / part, checkout / part)
        shutil.copy(PROJECT / "tasks.py", checkout)
        try:
            invoke(checkout, "setup")
            loaded = settings.load(checkout, {})
            against_postgres(checkout, stacks.get_database(loaded), items, rounds)
            against_emulator(checkout, stacks.get_aws(loaded), items, rounds)
            memory(checkout, MEMORY_LINES)
        finally:
            remove(checkout)


def against_emulator(checkout: Path, aws: Aws, count: int, rounds: int) -> None:
    """ddb.load, prepared requests, and one put per item."""
    path = checkout / "items.jsonl"
    write_items(path, count)
    prepared = prepare(aws, path)
    definition = dynamodb.read_definition(PROJECT / "ddb" / "tables" / f"{TABLE}.json")

    def emptied(work: Callable[[], float]) -> float:
        dynamodb.drop_table(aws, TABLE)
        dynamodb.ensure_table(aws, definition)
        return work()

    def ours() -> float:
        return count / invoke(checkout, "ddb.load", str(path))

    def bare() -> float:
        return count / send(aws, prepared)

    emptied(lambda: send(aws, prepared[:200]))
    sides = [
        [emptied(side) for side in (ours, bare, lambda: puts(aws, path))] for _ in range(rounds)
    ]
    found = len(list(dynamodb.scan(aws, TABLE)))
    assert found == SAMPLE, found
    emptied(ours)
    found = clients.dynamodb(aws).describe_table(TableName=TABLE)["Table"]["ItemCount"]
    assert found == count, found
    show("ddb.load / prepared batches", sides, 0, 1, "goal 0.9")
    show("ddb.load / one put per item", sides, 0, 2, "goal 10")


def against_postgres(checkout: Path, database: Database, count: int, rounds: int) -> None:
    """db.load and psql's own copy, each into the same table, emptied."""
    path = checkout / "users.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["uuid", "display_name", "handle", "email"])
        for n in range(count):
            key = uuid.uuid5(uuid.NAMESPACE_DNS, str(n))
            writer.writerow([key, f"User, number {n}", f"user{n}", f"user{n}@example.com"])
    psql: list[str | Path] = [
        shell.postgres_home() / "bin" / "psql",
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-c",
    ]
    copy = f"\\copy users (uuid, display_name, handle, email) from '{path}' csv header"

    def emptied(work: Callable[[], float]) -> float:
        with clients.cursor(database, autocommit=True) as cursor:
            cursor.execute("TRUNCATE users CASCADE")
            cursor.execute("CHECKPOINT")
        rate = count / work()
        assert count_users(database) == count
        return rate

    def ours() -> float:
        begin = time.perf_counter()
        rows.load(database, path, "users", lambda *_: None)
        return time.perf_counter() - begin

    def theirs() -> float:
        begin = time.perf_counter()
        subprocess.run([*psql, copy], env=clients.psql_environment(database), check=True)
        return time.perf_counter() - begin

    sides = [[emptied(side) for side in (ours, theirs)] for _ in range(rounds + 1)][1:]
    show("db.load / psql \\copy", sides, 0, 1, "goal 0.9")
    invoke(checkout, "db.drop", "setup")


def memory(checkout: Path, count: int) -> None:
    """The peak memory of a whole load into a stub."""
    path = checkout / "many.jsonl"
    write_items(path, count)
    begin = time.perf_counter()
    command = [sys.executable, "-c", SINK, "ddb.load", str(path)]
    child = subprocess.Popen(command, cwd=checkout, env=environment())
    _, status, usage = os.wait4(child.pid, 0)
    assert status == 0
    seconds = time.perf_counter() - begin
    peak = usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    print(f"ddb.load of {count:,} lines: peak {peak:.0f} MB in {seconds:.0f} s  goal 200 MB")


def show(what: str, sides: list[list[float]], mine: int, other: int, goal: str) -> None:
    """Print the median rates of two sides, and the median of their ratios."""
    ratio = statistics.median(row[mine] / row[other] for row in sides)
    low, high = min(r[mine] / r[other] for r in sides), max(r[mine] / r[other] for r in sides)
    rates = [statistics.median(row[side] for row in sides) for side in (mine, other)]
    print(
        f"{what:28} {rates[0]:8,.0f}/s against {rates[1]:8,.0f}/s"
        f"   ratio {ratio:5.2f} ({low:.2f} to {high:.2f})   {goal}",
        flush=True,
    )


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
            file.write(to_line(dynamodb.to_dynamodb(item)) + b"\n")


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

    threads = [threading.Thread(target=work) for _ in range(bulk.WORKERS)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]
    return time.perf_counter() - begin


def puts(aws: Aws, path: Path) -> float:
    """Items a second, each put by a call of its own."""
    client = clients.dynamodb(aws)
    with path.open("rb") as file:
        items = [json.loads(next(file))["Item"] for _ in range(SAMPLE)]
    begin = time.perf_counter()
    for item in items:
        client.put_item(TableName=TABLE, Item=item)
    return SAMPLE / (time.perf_counter() - begin)


def invoke(checkout: Path, *words: str) -> float:
    """Seconds that a whole command takes."""
    begin = time.perf_counter()
    subprocess.run(
        [*INVOKE, *words], cwd=checkout, env=environment(), check=True, capture_output=True
    )
    return time.perf_counter() - begin


def environment() -> dict[str, str]:
    """The environment, without settings of this checkout's own."""
    ours = {str(field.metadata["variable"]) for field in settings.declared()}
    return {name: value for name, value in os.environ.items() if name not in ours}


def count_users(database: Database) -> int:
    """The rows of users."""
    with clients.cursor(database) as cursor:
        cursor.execute("SELECT count(*) FROM users")
        return int(cursor.fetchone()[0])


if __name__ == "__main__":
    main()
