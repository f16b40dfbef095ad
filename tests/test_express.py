import socket
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from scripts import batches, clients, exports
from scripts.dynamodb import Item
from scripts.errors import DevError
from scripts.express import Express
from scripts.targets import Aws

NAME = "cruddur-messages"


@dataclass
class Watched:
    """The short ways that were taken, and what came: a status, None for no answer."""

    doors: list[Express] = field(default_factory=list)
    statuses: list[int | None] = field(default_factory=list)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    seen, send = Watched(), Express.send

    def watching(door: Express, request: Any) -> Any:
        response = send(door, request)
        seen.doors.append(door)
        seen.statuses.append(response and response.status_code)
        return response

    monkeypatch.setattr(Express, "send", watching)
    return seen


def make_items(count: int) -> list[Item]:
    return [{"pk": {"S": "p"}, "sk": {"S": f"{n:03}"}} for n in range(count)]


def test_batches_take_the_short_way(table: Aws, watched: Watched) -> None:
    assert batches.write_items(table, NAME, make_items(60)) == 60
    assert watched.statuses == [200, 200, 200]
    assert len(list(exports.scan(table, NAME))) == 60


def test_a_batch_without_an_answer_is_sent_by_botocore_and_the_next_connects_again(
    table: Aws, watched: Watched
) -> None:
    batches.write_items(table, NAME, make_items(1))
    watched.doors[0]._own.connection.sock.shutdown(socket.SHUT_RDWR)
    assert batches.write_items(table, NAME, make_items(60)) == 60
    assert watched.statuses == [200, None, 200, 200]
    assert len(list(exports.scan(table, NAME))) == 60


def test_a_refused_batch_is_refused_in_dynamodbs_words(table: Aws, watched: Watched) -> None:
    refused = batches.write(table, NAME, [b'{"Item":{}}'], lambda _: None)
    assert [one.reason for one in refused] == ["The provided key element does not match the schema"]
    assert watched.statuses == [400]


def test_without_a_server_it_is_botocore_that_says_so(
    aws: Aws, watched: Watched, closed_port: int
) -> None:
    nowhere = replace(aws, endpoint=f"http://127.0.0.1:{closed_port}")
    with pytest.raises(DevError) as caught:
        batches.write_items(nowhere, NAME, make_items(1))
    assert str(caught.value.message) == (
        f"no answer from http://127.0.0.1:{closed_port}: EndpointConnectionError\nhint: ./invoke up"
    )
    assert watched.statuses == [None]


def test_to_aws_itself_botocore_sends() -> None:
    assert clients._find_express(Aws("eu-west-1", None, "key", "secret", "pool")) is None
