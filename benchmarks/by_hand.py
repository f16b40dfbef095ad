"""The steps by hand: `python by_hand.py STEP`, a process for each, as single-purpose scripts do it.

One put per item, one UPDATE per user, and no waiting for anything. Everything is found through
libpq's and the SDK's own variables.
"""

import json
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import psycopg2

ROOT = Path(__file__).resolve().parent.parent
TABLE = "cruddur-messages"


def fetch(query: str) -> list[Any]:
    """The rows of a query."""
    with psycopg2.connect("") as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def find_pool() -> str:
    """The id of the only pool."""
    pools = boto3.client("cognito-idp").list_user_pools(MaxResults=60)["UserPools"]
    return str(pools[0]["Id"])


def create_pool() -> None:
    """A user pool."""
    boto3.client("cognito-idp").create_user_pool(PoolName="cruddur")


def create_users() -> None:
    """A user of the pool for each user in Postgres."""
    client, pool = boto3.client("cognito-idp"), find_pool()
    for handle, email in fetch("SELECT handle, email FROM users"):
        pairs = {"preferred_username": handle, "email": email}
        attributes = [{"Name": name, "Value": value} for name, value in pairs.items()]
        client.admin_create_user(
            UserPoolId=pool,
            Username=handle,
            UserAttributes=attributes,
            MessageAction="SUPPRESS",
        )


def update_ids() -> None:
    """Each user's Cognito ID into Postgres."""
    users = boto3.client("cognito-idp").list_users(UserPoolId=find_pool())["Users"]
    for user in users:
        values = {pair["Name"]: pair["Value"] for pair in user["Attributes"]}
        with psycopg2.connect("") as connection, connection.cursor() as cursor:
            cursor.execute(
                "UPDATE users SET cognito_user_id = %s WHERE handle = %s",
                (values["sub"], values["preferred_username"]),
            )


def create_table() -> None:
    """The table of messages."""
    path = ROOT / "ddb" / "tables" / f"{TABLE}.json"
    boto3.client("dynamodb").create_table(**json.loads(path.read_text(encoding="utf-8")))


def seed_messages() -> None:
    """The seed conversation, an item at a time."""
    client = boto3.client("dynamodb")
    rows = fetch("SELECT handle, uuid::text, display_name FROM users")
    people = {handle: {"uuid": key, "name": name} for handle, key, name in rows}
    lines = (ROOT / "ddb" / "seeds" / f"{TABLE}.txt").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    group = lines[0].split()[1]
    one, two = sorted(people)[:2]
    at = datetime.now(UTC) - timedelta(minutes=len(lines))
    for index, line in enumerate(lines[1:]):
        speaker, _, text = line.partition(": ")
        handle = {"1": one, "2": two}[speaker]
        time = (at + timedelta(minutes=index)).isoformat(timespec="microseconds")
        item = {
            "pk": f"MSG#{group}",
            "sk": time,
            "message_uuid": str(uuid.uuid5(uuid.UUID(group), str(index))),
            "message": text.strip(),
            "user_uuid": people[handle]["uuid"],
            "user_display_name": people[handle]["name"],
            "user_handle": handle,
        }
        put(client, item)
    for mine, theirs in ((one, two), (two, one)):
        item = {
            "pk": f"GRP#{people[mine]['uuid']}",
            "sk": time,
            "message_group_uuid": group,
            "message": text.strip(),
            "user_uuid": people[theirs]["uuid"],
            "user_display_name": people[theirs]["name"],
            "user_handle": theirs,
        }
        put(client, item)


def put(client: Any, item: dict[str, str]) -> None:
    """One item of text attributes."""
    client.put_item(TableName=TABLE, Item={name: {"S": text} for name, text in item.items()})


def show_conversations() -> None:
    """The conversations of a user, newest first."""
    ((key,),) = fetch("SELECT uuid::text FROM users WHERE handle = 'korney'")
    show(f"GRP#{key}")


def show_conversation() -> None:
    """The newest messages of the conversation."""
    text = (ROOT / "ddb" / "seeds" / f"{TABLE}.txt").read_text(encoding="utf-8")
    show(f"MSG#{text.partition('@group ')[2].split()[0]}")


def show(key: str) -> None:
    """Query and print."""
    found = boto3.client("dynamodb").query(
        TableName=TABLE,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": key}},
        ScanIndexForward=False,
        Limit=20,
    )
    print(*(item["message"]["S"] for item in found["Items"]), sep="\n")


STEPS: list[Callable[[], None]] = [
    create_pool,
    create_users,
    update_ids,
    create_table,
    seed_messages,
    show_conversations,
    show_conversation,
]

if __name__ == "__main__":
    ({step.__name__: step for step in STEPS})[sys.argv[1]]()
