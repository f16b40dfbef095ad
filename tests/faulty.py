"""Invoke, on a network where DynamoDB answers 30 % of all batches with a refusal.

`python -m tests.faulty --search-root CHECKOUT TASK ...`: a third of the refusals are throttles, a
third leave every item unprocessed, and a third take a few. Wraps botocore's HTTP session, so all
of ours is as it is.
"""

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session
from invoke.main import program

THROTTLE = b'{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow"}'


class Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> Any:
        yield self._body


def answer(request: Any, status: int, body: bytes) -> AWSResponse:
    return AWSResponse(request.url, status, {"content-type": "application/json"}, Raw(body))


def signed_again(request: Any, body: str) -> Any:
    """The request with another body: the emulator checks signatures."""
    from scripts import settings, stacks  # those of CHECKOUT, found once it is in sys.path

    aws = stacks.targets(settings.load(Path(sys.argv[2]))).aws
    headers = {name: request.headers[name].decode() for name in ("X-Amz-Target", "Content-Type")}
    changed = AWSRequest(request.method, request.url, headers, body)
    SigV4Auth(Credentials(aws.access_key, aws.secret_key), "dynamodb", aws.region).add_auth(changed)
    return changed.prepare()


def faulty(send: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The door, with refusals."""

    def send_or_refuse(door: Any, request: Any) -> Any:
        is_batch = "BatchWriteItem" in str(request.headers.get("X-Amz-Target"))
        if not is_batch or random.random() > 0.3:
            return send(door, request)
        kind = random.choice(["throttle", "none", "few"])
        if kind == "throttle":
            return answer(request, 400, THROTTLE)
        body = json.loads(request.body)
        ((table, requests),) = body["RequestItems"].items()
        taken = random.randrange(len(requests)) if kind == "few" else 0
        if taken:
            few = json.dumps(body | {"RequestItems": {table: requests[:taken]}})
            assert send(door, signed_again(request, few)).status_code == 200
        left = {"UnprocessedItems": {table: requests[taken:]}}
        return answer(request, 200, json.dumps(left).encode())

    return send_or_refuse


sys.path.insert(0, sys.argv[2])
URLLib3Session.send = faulty(URLLib3Session.send)
program.run(["invoke", *sys.argv[1:]])
