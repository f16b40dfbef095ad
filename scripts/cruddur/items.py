"""A message and a user's view of a conversation: as values, and as items of the table.

Two kinds of items (pk, sk): `GRP#<user uuid>`, time of the last message: one user's view of a
conversation; `MSG#<group uuid>`, time written: a message. Times are aware UTC in ISO 8601 with six
digits of microseconds, so that string order is time order. Only GRP# rows carry message_group_uuid,
so the index on it holds exactly them.
"""

from dataclasses import dataclass

from scripts.cognito.users import Person
from scripts.dynamodb import tables
from scripts.dynamodb.tables import Item

INDEX = "message-group-sk-index"
GROUP = "message_group_uuid"  # only views of conversations have it


@dataclass(frozen=True)
class Message:
    """A message of a conversation; `at` is the time it was written."""

    group: str
    at: str
    uuid: str
    text: str
    author: Person


@dataclass(frozen=True)
class Conversation:
    """One user's view of a conversation: its last message and when, and who the other is."""

    owner: str
    group: str
    at: str
    text: str
    other: Person


def of_message(message: Message) -> Item:
    """A message in DynamoDB's own form."""
    return tables.to_dynamodb(
        {
            "pk": f"MSG#{message.group}",
            "sk": message.at,
            "message_uuid": message.uuid,
            "message": message.text,
            "user_uuid": message.author.uuid,
            "user_display_name": message.author.display_name,
            "user_handle": message.author.handle,
        }
    )


def of_conversation(row: Conversation) -> Item:
    """A view of a conversation in DynamoDB's own form."""
    return tables.to_dynamodb(
        {
            "pk": f"GRP#{row.owner}",
            "sk": row.at,
            GROUP: row.group,
            "message": row.text,
            "user_uuid": row.other.uuid,
            "user_display_name": row.other.display_name,
            "user_handle": row.other.handle,
        }
    )


def to_message(item: Item) -> Message:
    """The message that an item of plain values is."""
    group = item["pk"].removeprefix("MSG#")
    uuid, text = str(item.get("message_uuid", "")), str(item.get("message", ""))
    return Message(group, item["sk"], uuid, text, _author(item))


def to_conversation(item: Item) -> Conversation:
    """The view of a conversation that an item of plain values is."""
    owner = item["pk"].removeprefix("GRP#")
    return Conversation(owner, item[GROUP], item["sk"], str(item.get("message", "")), _author(item))


def define(table: str) -> Item:
    """The CreateTable request of the messages table."""
    capacity = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
    names = (GROUP, "pk", "sk")
    index = {
        "IndexName": INDEX,
        "KeySchema": _keys(GROUP, "sk"),
        "Projection": {"ProjectionType": "ALL"},
        "ProvisionedThroughput": capacity,
    }
    return {
        "TableName": table,
        "AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n in names],
        "KeySchema": _keys("pk", "sk"),
        "GlobalSecondaryIndexes": [index],
        "BillingMode": "PROVISIONED",
        "ProvisionedThroughput": capacity,
    }


def _keys(partition: str, sort: str) -> list[dict[str, str]]:
    pairs = ((partition, "HASH"), (sort, "RANGE"))
    return [{"AttributeName": name, "KeyType": kind} for name, kind in pairs]


def _author(item: Item) -> Person:
    """The user of an item; an app may have written it without some of the attributes."""
    return Person(
        str(item.get("user_uuid", "")),
        str(item.get("user_handle", "")),
        str(item.get("user_display_name", "")),
    )
