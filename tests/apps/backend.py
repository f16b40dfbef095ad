"""A backend in the shape of Cruddur's: what the apps that this tool is for do with its services.

`python backend.py PORT`. It reads only the variables that such apps read: CONNECTION_URL,
AWS_ENDPOINT_URL, AWS_DEFAULT_REGION, AWS_COGNITO_USER_POOL_ID, AWS_COGNITO_USER_POOL_CLIENT_ID,
DDB_MESSAGE_TABLE.
"""

import os
import sys
import uuid
from datetime import datetime
from functools import cache
from typing import Any

import boto3
import jwt
import psycopg2
from flask import Flask, abort, request
from flask.typing import ResponseReturnValue

app = Flask(__name__)
POOL = os.environ["AWS_COGNITO_USER_POOL_ID"]
REGION = os.environ["AWS_DEFAULT_REGION"]
TABLE = os.environ["DDB_MESSAGE_TABLE"]


@cache
def keys() -> jwt.PyJWKClient:
    """The keys of the pool."""
    return jwt.PyJWKClient(f"{os.environ['AWS_ENDPOINT_URL']}/{POOL}/.well-known/jwks.json")


def claims() -> dict[str, Any]:
    """What the access token of the request says; 401 without a valid one."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    try:
        found: dict[str, Any] = jwt.decode(
            token,
            keys().get_signing_key_from_jwt(token).key,
            algorithms=["RS256"],
            issuer=f"https://cognito-idp.{REGION}.amazonaws.com/{POOL}",
        )
    except jwt.PyJWTError as error:
        abort(401, str(error))
    if found["client_id"] != os.environ["AWS_COGNITO_USER_POOL_CLIENT_ID"]:
        abort(401, "a token of another client")
    return found


def query(statement: str, *values: object) -> list[tuple[Any, ...]]:
    """The rows of a statement."""
    with (
        psycopg2.connect(os.environ["CONNECTION_URL"]) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement, values)
        return list(cursor.fetchall()) if cursor.description else []


def me() -> tuple[str, str, str]:
    """The signed-in user: uuid, display name, handle."""
    found = query(
        "SELECT uuid, display_name, handle FROM users WHERE cognito_user_id = %s", claims()["sub"]
    )
    return found[0] if found else abort(404, "no such user")


@cache
def dynamodb() -> Any:
    """A client as such apps make it: with AWS_ENDPOINT_URL for DynamoDB."""
    return boto3.client("dynamodb", endpoint_url=os.getenv("AWS_ENDPOINT_URL"))


def items(partition: str) -> list[dict[str, str]]:
    """The items of a partition in the current year, newest first."""
    found = dynamodb().query(
        TableName=TABLE,
        KeyConditionExpression="pk = :pk AND begins_with(sk, :year)",
        ScanIndexForward=False,
        Limit=20,
        ExpressionAttributeValues={
            ":pk": {"S": partition},
            ":year": {"S": str(datetime.now().year)},
        },
    )
    return [{name: value["S"] for name, value in item.items()} for item in found["Items"]]


@app.get("/api/activities")
def list_activities() -> ResponseReturnValue:
    """Everybody's activities; no sign-in."""
    return [{"message": message} for (message,) in query("SELECT message FROM activities")]


@app.get("/api/message_groups")
def list_groups() -> ResponseReturnValue:
    """The conversations of the signed-in user."""
    uuid, _, handle = me()
    return {"handle": handle, "groups": items(f"GRP#{uuid}")}


@app.get("/api/messages/<group>")
def list_messages(group: str) -> ResponseReturnValue:
    """The newest messages of a conversation."""
    me()
    return items(f"MSG#{group}")


@app.post("/api/messages/<group>")
def send(group: str) -> ResponseReturnValue:
    """Write a message as most of these apps do: one item, a local time, no row moved."""
    user, name, handle = me()
    item = {
        "pk": f"MSG#{group}",
        "sk": datetime.now().isoformat(),
        "message_uuid": str(uuid.uuid4()),
        "message": request.get_json()["message"],
        "user_uuid": user,
        "user_display_name": name,
        "user_handle": handle,
    }
    dynamodb().put_item(TableName=TABLE, Item={key: {"S": text} for key, text in item.items()})
    return item, 201


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]))
