"""What the embedded AWS emulator has acknowledged is there after a kill at any moment."""

import contextlib
import http.client
import json
import random
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from scripts import clients
from scripts.cognito import user_pool
from scripts.dynamodb import tables
from scripts.errors import DevError
from scripts.targets import Aws
from tests.stacks.conftest import TABLE, Emulator, sign_dynamodb

WRITERS = 6


@pytest.fixture
def table(emulator: Emulator) -> Emulator:
    emulator.create_table()
    return emulator


def key(pk: str, sk: str = "1") -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def put(emulator: Emulator, pk: str, sk: str = "1", **attributes: Any) -> None:
    emulator.dynamodb().put_item(TableName=TABLE, Item=key(pk, sk) | attributes)


def write_in_every_way(client: Any) -> None:
    """Put, change and delete items by each operation that can."""
    one = {"TableName": TABLE}
    for name in ("put", "updated", "deleted", "batch deleted", "transaction deleted", "ä"):
        client.put_item(**one, Item=key(name) | {"n": {"N": "1"}, "b": {"B": b"\x00\xff"}})
    for _ in range(3):
        client.update_item(
            **one,
            Key=key("updated"),
            UpdateExpression="ADD n :one SET m = list_append(if_not_exists(m, :none), :more)",
            ExpressionAttributeValues={
                **{":one": {"N": "1"}, ":none": {"L": []}},
                ":more": {"L": [{"S": "x"}, {"NULL": True}]},
            },
        )
    client.delete_item(**one, Key=key("deleted"))
    batch: list[Any] = [{"PutRequest": {"Item": key("batch", str(n))}} for n in range(20)]
    client.batch_write_item(
        RequestItems={TABLE: [*batch, {"DeleteRequest": {"Key": key("batch deleted")}}]}
    )
    update = {"UpdateExpression": "SET t = :t", "ExpressionAttributeValues": {":t": {"S": "t"}}}
    client.transact_write_items(
        TransactItems=[
            {"Put": {**one, "Item": key("transaction")}},
            {"Update": {**one, "Key": key("put"), **update}},
            {"Delete": {**one, "Key": key("transaction deleted")}},
        ]
    )
    free = {**one, "Item": key("conditional"), "ConditionExpression": "attribute_not_exists(pk)"}
    client.put_item(**free)
    with pytest.raises(client.exceptions.ConditionalCheckFailedException):
        client.put_item(**free | {"Item": key("conditional") | {"bad": {"S": "x"}}})
    with pytest.raises(client.exceptions.TransactionCanceledException):
        client.transact_write_items(
            TransactItems=[{"Put": {**one, "Item": key("refused")}}, {"Put": free}]
        )
    insert = f"INSERT INTO \"{TABLE}\" VALUE {{'pk': '%s', 'sk': '1'}}"
    client.execute_statement(Statement=insert % "statement")
    client.execute_statement(Statement=f"DELETE FROM \"{TABLE}\" WHERE pk = 'ä' AND sk = '1'")
    with pytest.raises(client.exceptions.TransactionCanceledException):
        client.execute_transaction(
            TransactStatements=[
                {"Statement": insert % "undone"},
                {"Statement": insert % "statement"},
            ]
        )


def test_items_written_in_every_way_are_there_after_a_kill(table: Emulator) -> None:
    write_in_every_way(table.dynamodb())
    before = table.items()
    assert len(before) == 25
    table.restart()
    assert table.items() == before
    assert table.dynamodb().describe_table(TableName=TABLE)["Table"]["ItemCount"] == 25
    found = table.dynamodb().query(
        TableName=TABLE,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "batch"}},
    )
    assert found["Count"] == 20


def test_killed_again_and_again_each_life_adds_to_the_last(table: Emulator) -> None:
    for life in range(4):
        put(table, f"life {life}")
        put(table, "newest", life={"N": str(life)})
        table.dynamodb().delete_item(TableName=TABLE, Key=key(f"life {life - 1}"))
        table.end(signal.SIGKILL if life % 2 else signal.SIGTERM)
        table.start()
    assert set(table.items()) == {"life 3 1", "newest 1"}
    assert table.items()["newest 1"]["life"] == {"N": "3"}


def test_a_table_is_the_same_one_after_a_kill(table: Emulator) -> None:
    client = table.dynamodb()
    arn = client.describe_table(TableName=TABLE)["Table"]["TableArn"]
    client.tag_resource(ResourceArn=arn, Tags=[{"Key": "team", "Value": "blue"}])
    client.update_time_to_live(
        TableName=TABLE, TimeToLiveSpecification={"Enabled": True, "AttributeName": "ends"}
    )

    def describe() -> Any:
        client = table.dynamodb()
        return [
            client.describe_table(TableName=TABLE)["Table"],
            client.list_tags_of_resource(ResourceArn=arn)["Tags"],
            client.describe_time_to_live(TableName=TABLE)["TimeToLiveDescription"],
        ]

    before = describe()
    assert {"Key": "team", "Value": "blue"} in before[1]
    table.restart()
    assert describe() == before


def test_a_dropped_table_and_its_items_stay_away(table: Emulator) -> None:
    put(table, "old")
    table.dynamodb().delete_table(TableName=TABLE)
    table.restart()
    assert tables.list_tables(table.aws()) == []
    table.create_table()
    put(table, "new")
    table.restart()
    assert set(table.items()) == {"new 1"}


def test_restored_imported_and_replicated_tables_have_their_items(table: Emulator) -> None:
    client, s3 = table.dynamodb(), clients.s3(table.aws())
    put(table, "saved")
    backup = client.create_backup(TableName=TABLE, BackupName="first")["BackupDetails"]["BackupArn"]
    client.restore_table_from_backup(TargetTableName="restored", BackupArn=backup)
    client.update_table(TableName=TABLE, ReplicaUpdates=[{"Create": {"RegionName": "eu-west-1"}}])
    s3.create_bucket(Bucket="source")
    s3.put_object(Bucket="source", Key="in/1.json", Body=json.dumps({"Item": key("imported")}))
    imported = client.import_table(
        S3BucketSource={"S3Bucket": "source", "S3KeyPrefix": "in/"},
        InputFormat="DYNAMODB_JSON",
        TableCreationParameters={
            "TableName": "imported",
            "AttributeDefinitions": [
                {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")
            ],
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            "BillingMode": "PAY_PER_REQUEST",
        },
    )["ImportTableDescription"]["ImportArn"]

    def status() -> Any:
        described = table.dynamodb().describe_import(ImportArn=imported)
        return described["ImportTableDescription"]["ImportStatus"]

    while status() == "IN_PROGRESS":
        time.sleep(0.05)
    table.restart()
    assert status() == "COMPLETED"
    assert set(table.items(table="imported")) == {"imported 1"}
    assert set(table.items(table="restored")) == {"saved 1"}
    assert set(table.items(table.aws(region="eu-west-1"))) == {"saved 1"}
    assert set(table.items()) == {"saved 1"}


def test_accounts_and_regions_stay_apart(emulator: Emulator) -> None:
    places = [
        (account, region)
        for account in ("000000000001", "000000000002")
        for region in ("us-east-1", "eu-west-1")
    ]
    for place in places:
        aws = emulator.aws(*place)
        emulator.create_table(aws)
        where = {"where": {"S": " ".join(place)}}
        clients.dynamodb(aws).put_item(TableName=TABLE, Item=key("same") | where)
    emulator.restart()
    for place in places:
        items = emulator.items(emulator.aws(*place)).values()
        assert [item["where"]["S"] for item in items] == [" ".join(place)]


def test_many_users_are_lines_of_a_log_and_later_changes_of_them_hold(emulator: Emulator) -> None:
    aws = emulator.aws()
    pool = user_pool.create_pool(replace(aws, sign_in="handle"))
    for number in range(300):
        user_pool.create_user(aws, pool, f"user-{number}", f"{number}@example.com", "U")
    assert (
        emulator.state("users.log").read_bytes().count(b"\n") == 600
    )  # created, then given a password
    clients.cognito(aws).admin_disable_user(UserPoolId=pool, Username="user-7")
    user_pool.delete_users(aws, pool, ["user-8"])
    user_pool.create_user(aws, pool, "later", "later@example.com", "L")
    before = user_pool.list_users(aws, pool)
    emulator.restart()
    assert user_pool.list_users(aws, pool) == before
    assert len(before) == 300
    assert [user.username for user in before if not user.enabled] == ["user-7"]
    emulator.end(signal.SIGTERM)
    emulator.start()
    assert user_pool.list_users(aws, pool) == before


def test_the_pool_and_its_users_keep_their_ids(emulator: Emulator) -> None:
    pool = user_pool.create_pool(replace(emulator.aws(), sign_in="handle"))
    for handle in ("korney", "smirnov", "gone"):
        user_pool.create_user(emulator.aws(), pool, handle, f"{handle}@example.com", handle)
    clients.cognito(emulator.aws()).admin_delete_user(UserPoolId=pool, Username="gone")
    before = user_pool.list_users(emulator.aws(), pool)
    assert len(before) == 2
    emulator.restart()
    assert user_pool.find_pool(emulator.aws()) == pool
    assert user_pool.list_users(emulator.aws(), pool) == before


def test_security_groups_buckets_and_objects_are_there(emulator: Emulator) -> None:
    ec2, s3 = clients.ec2(emulator.aws()), clients.s3(emulator.aws())
    group = ec2.create_security_group(GroupName="db", Description="db")["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=5432, ToPort=5432, CidrIp="192.0.2.1/32"
    )
    s3.create_bucket(Bucket="kept")
    s3.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
    for body in (b"first", b"second"):
        s3.put_object(Bucket="kept", Key="folder/one", Body=body)
    s3.put_object(Bucket="kept", Key="gone", Body=b"")
    s3.delete_object(Bucket="kept", Key="gone")
    emulator.restart()
    ec2, s3 = clients.ec2(emulator.aws()), clients.s3(emulator.aws())
    rules = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    assert rules[0]["IpRanges"] == [{"CidrIp": "192.0.2.1/32"}]
    assert s3.get_bucket_versioning(Bucket="kept")["Status"] == "Enabled"
    assert s3.get_object(Bucket="kept", Key="folder/one")["Body"].read() == b"second"
    assert [row["Key"] for row in s3.list_objects_v2(Bucket="kept")["Contents"]] == ["folder/one"]


def test_answers_have_the_content_types_of_aws(emulator: Emulator) -> None:
    aws = emulator.aws()
    answers = {
        "json 1.0": clients.dynamodb(aws).list_tables(),
        "json 1.1": clients.cognito(aws).list_user_pools(MaxResults=1),
        "ec2": clients.ec2(aws).describe_security_groups(),
        "query": clients.sts(aws).get_caller_identity(),
        "s3": clients.s3(aws).list_buckets(),
    }
    sent = {
        name: answer["ResponseMetadata"]["HTTPHeaders"]["content-type"]
        for name, answer in answers.items()
    }
    assert sent == {
        "json 1.0": "application/x-amz-json-1.0",
        "json 1.1": "application/x-amz-json-1.1",
        "ec2": "text/xml;charset=UTF-8",
        "query": "text/xml",
        "s3": "application/xml",
    }


@pytest.mark.skipif(not hasattr(psutil.Process, "memory_maps"), reason="not on this system")
def test_services_that_are_not_enabled_are_not_imported(emulator: Emulator) -> None:
    clients.cognito(emulator.aws()).list_user_pools(MaxResults=1)
    mapped = [Path(file.path).name for file in emulator.process().memory_maps()]
    assert any(name.startswith("_json.") for name in mapped)
    assert not any(name.startswith("_yaml.") for name in mapped)  # API Gateway imports it


class Writer(threading.Thread):
    """Writes versions of its items until the emulator is gone, and knows what was acknowledged.

    Versions go up from one life of the emulator to the next; `tried` is above `acknowledged` by
    one at most, for the request that the kill met.
    """

    def __init__(self, aws: Aws, name: str, version: int) -> None:
        super().__init__()
        self._aws, self._partition = aws, name
        self.acknowledged = self.tried = version

    def run(self) -> None:
        connection = http.client.HTTPConnection(
            urlsplit(self._aws.endpoint or "").netloc, timeout=10
        )
        with contextlib.suppress(OSError, http.client.HTTPException):
            while True:
                self.tried += 1
                action, request = self.request(self.tried)
                body = json.dumps(request)
                connection.request("POST", "/", body, sign_dynamodb(self._aws, action, body))
                answer = connection.getresponse()
                text = answer.read()
                assert answer.status == 200, text
                self.acknowledged = self.tried

    def request(self, version: int) -> tuple[str, Any]:
        """Every item of the partition gets the version: all in one request, all or none."""
        items = [
            key(self._partition, str(n)) | {"version": {"N": f"{version}"}} for n in range(1, 5)
        ]
        if version % 2:
            puts: list[Any] = [{"PutRequest": {"Item": item}} for item in items]
            return "BatchWriteItem", {"RequestItems": {TABLE: puts}}
        update = {
            "TableName": TABLE,
            "UpdateExpression": "ADD version :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
        return "TransactWriteItems", {
            "TransactItems": [
                {"Update": update | {"Key": key(self._partition, str(n))}} for n in range(1, 5)
            ]
        }


def versions(emulator: Emulator) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for item in emulator.items().values():
        found.setdefault(item["pk"]["S"], set()).add(int(item["version"]["N"]))
    return found


@pytest.mark.parametrize("signals", [(signal.SIGKILL,), (signal.SIGTERM, signal.SIGKILL)])
def test_every_acknowledged_write_of_many_at_once_is_there(
    table: Emulator, signals: tuple[signal.Signals, ...]
) -> None:
    chance = random.Random(f"{signals}")
    writers: dict[str, Writer] = {}
    for _ in range(5):
        for name in map(str, range(WRITERS)):
            begin = next(iter(versions(table).get(name, {0})))
            writers[name] = Writer(table.aws(), name, begin)
        for writer in writers.values():
            writer.start()
        time.sleep(chance.uniform(0.05, 0.5))
        table.end(*signals, pause=chance.uniform(0, 0.15))
        for writer in writers.values():
            writer.join()
        table.start()
        found = versions(table)
        for name, writer in writers.items():
            assert writer.acknowledged > 0
            (version,) = found[name]
            assert version in {writer.acknowledged, writer.tried}


def test_killed_while_it_stops_it_has_everything(table: Emulator) -> None:
    write_in_every_way(table.dynamodb())
    pool = user_pool.create_pool(table.aws())
    user_pool.create_user(table.aws(), pool, "korney", "k@example.com", "Korney")
    before = table.items(), user_pool.list_users(table.aws(), pool)
    for number in range(8):
        table.end(signal.SIGTERM, signal.SIGKILL, pause=number * 0.02)
        table.start()
        assert (table.items(), user_pool.list_users(table.aws(), pool)) == before


def test_a_transaction_that_a_kill_cut_off_is_undone_whole(table: Emulator) -> None:
    put(table, "whole")
    table.dynamodb().transact_write_items(
        TransactItems=[{"Put": {"TableName": TABLE, "Item": key(name)}} for name in ("a", "b")]
    )
    table.end(signal.SIGKILL)
    log = table.state("items.log")
    log.write_bytes(log.read_bytes()[:-5])
    table.start()
    assert set(table.items()) == {"whole 1"}
    put(table, "after")
    table.restart()
    assert set(table.items()) == {"whole 1", "after 1"}


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        ("dynamodb.json", b'{"__mini', "no state of this version of ministack"),
        ("dynamodb.json", b"\xff", "no state of this version of ministack"),
        ("cognito.json", b"", "no state of this version of ministack"),
        ("items.log", b"{\n", "at byte 0: "),
    ],
)
def test_a_damaged_file_is_said_and_left_alone(
    table: Emulator, name: str, damage: bytes, reason: str
) -> None:
    user_pool.create_pool(table.aws())
    put(table, "kept")
    table.end(signal.SIGTERM)
    path = table.state(name)
    rest = path.read_bytes()
    path.write_bytes(damage)
    done = table.checkout.run("up", expect=1)
    assert "aws did not get ready: it ended with code 1" in done.stderr
    assert f"{path} is damaged ({reason}" in done.stderr
    assert "); remove it to start without what it held\n" in done.stderr
    assert path.read_bytes() == damage
    path.write_bytes(rest)
    table.start()
    assert set(table.items()) == {"kept 1"}


def test_a_log_whose_tables_are_unknown_is_no_matter(table: Emulator) -> None:
    put(table, "old")
    table.end(signal.SIGKILL)
    table.state("dynamodb.json").unlink()
    table.start()
    assert tables.list_tables(table.aws()) == []
    table.create_table()
    put(table, "new")
    table.restart()
    assert set(table.items()) == {"new 1"}


def test_data_that_ministack_alone_wrote_is_taken_over(table: Emulator) -> None:
    table.end(signal.SIGTERM)
    path = table.state("dynamodb.json")
    state = json.loads(path.read_text())
    (stored,) = state["payload"]["tables"]["data"].values()
    stored["items"] = {"old": {"1": key("old"), "2": key("old", "2")}}
    path.write_text(json.dumps(state))
    table.state("items.log").unlink()
    table.start()
    table.dynamodb().delete_item(TableName=TABLE, Key=key("old", "2"))
    for _ in range(2):
        table.restart()
        assert set(table.items()) == {"old 1"}
    assert '"old"' not in path.read_text()


def test_a_log_of_mostly_old_versions_is_shortened(table: Emulator) -> None:
    log = table.state("items.log")
    text = {"S": "x" * 100_000}
    longest = 0
    for version in range(0, 450, 10):
        puts = [
            {"PutRequest": {"Item": key("one", str(n)) | {"v": {"N": str(version)}, "text": text}}}
            for n in range(10)
        ]
        table.dynamodb().batch_write_item(RequestItems={TABLE: puts})
        longest = max(longest, log.stat().st_size)
    assert longest > 15_000_000
    assert log.stat().st_size < 16_000_000
    table.restart()
    assert {item["v"]["N"] for item in table.items().values()} == {"440"}
    assert len(table.items()) == 10


@pytest.mark.skipif(sys.platform != "linux", reason="needs the limits of another process")
def test_what_the_disk_does_not_take_is_not_acknowledged(table: Emulator) -> None:
    put(table, "before")
    size = table.state("items.log").stat().st_size
    process = table.process()
    _, most = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (size + 100, most))
    with pytest.raises(DevError, match="File too large"):
        put(table, "too much", text={"S": "x" * 1000})
    process.rlimit(psutil.RLIMIT_FSIZE, (most, most))
    put(table, "after")
    table.restart()
    assert {"before 1", "after 1"} <= set(table.items())


def test_items_that_an_earlier_version_stored_twice_become_one(emulator: Emulator) -> None:
    client = emulator.dynamodb()
    client.create_table(
        TableName="prices",
        AttributeDefinitions=[{"AttributeName": "price", "AttributeType": "N"}],
        KeySchema=[{"AttributeName": "price", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.put_item(TableName="prices", Item={"price": {"N": "10.5"}, "kept": {"S": "x"}})
    ident = client.describe_table(TableName="prices")["Table"]["TableId"]
    emulator.end(signal.SIGKILL)
    item = {"price": {"N": "10.50"}, "count": {"N": "2.0"}}
    with emulator.state("items.log").open("a") as log:
        log.write(json.dumps([[ident, "10.50", "__no_sort__", item]]) + "\n")
    emulator.state("normalized").unlink(missing_ok=True)
    emulator.start()
    merged = {"price": {"N": "10.5"}, "kept": {"S": "x"}, "count": {"N": "2"}}
    assert emulator.dynamodb().scan(TableName="prices")["Items"] == [merged]
    emulator.dynamodb().delete_item(TableName="prices", Key={"price": {"N": "10.50"}})
    emulator.restart()
    assert emulator.dynamodb().scan(TableName="prices")["Items"] == []
