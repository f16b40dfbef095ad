"""Each shape is set up with its own files, used as the app would, checked, reset and undone."""

from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from typing import Any

import boto3
import psycopg2
import pytest

from tests.apps.conftest import RealApp
from tests.apps.shapes import SHAPES, Shape

MakeApp = Callable[[Shape], RealApp]


def client(variables: dict[str, str], service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_DEFAULT_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )


def count(variables: dict[str, str], table: str) -> int:
    url = variables["CONNECTION_URL"]
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        ((found,),) = cursor.fetchall()
    return int(found)


def use(variables: dict[str, str], table: str) -> None:
    """What the app does: a new user and activity, a message with a local time, an edited one."""
    with psycopg2.connect(variables["CONNECTION_URL"]) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO activities (user_uuid, message) SELECT uuid, 'new' FROM users")
        cursor.execute("UPDATE users SET display_name = 'Renamed' WHERE handle = 'ada'")
    dynamodb = client(variables, "dynamodb")
    found = dynamodb.scan(TableName=table, Limit=200)["Items"]
    for message in [item for item in found if item["pk"]["S"].startswith("MSG#")][:1]:
        dynamodb.put_item(TableName=table, Item=message | {"message": {"S": "edited"}})
        naive = {"pk": message["pk"], "sk": {"S": datetime.now().isoformat(timespec="seconds")}}
        dynamodb.put_item(TableName=table, Item=naive)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_an_app_lives_through_setup_use_check_reset_and_undo(
    make_app: MakeApp, shape: Shape
) -> None:
    app = make_app(shape)
    app.run("setup")
    variables = app.variables()
    users = count(variables, "users")
    assert users >= len(shape.handles)
    listed = app.run("cognito.list-users", "--json").stdout
    assert all(f'"handle": "{handle}"' in listed for handle in shape.handles)
    use(variables, shape.table)
    activities = count(variables, "activities")
    app.run("check")
    app.run("setup")
    assert count(variables, "activities") == activities
    items = client(variables, "dynamodb").scan(TableName=shape.table, Select="COUNT")["Count"]
    app.run("reset")
    assert count(app.variables(), "users") == users
    app.run("undo")
    assert count(variables, "activities") == activities
    again = client(variables, "dynamodb").scan(TableName=shape.table, Select="COUNT")["Count"]
    assert again == items
    app.run("setup")
    app.run("check")


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_user_can_sign_in(make_app: MakeApp, shape: Shape) -> None:
    app = make_app(shape)
    app.run("setup")
    for handle in shape.handles:
        assert app.run("cognito.token", handle).stdout.count(".") == 2
