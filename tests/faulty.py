"""Invoke, on a network where DynamoDB answers 30 % of all batches with a refusal.

`python -m tests.faulty TASK ...`: a third of the refusals are throttles, a third leave every item
unprocessed, and a third take a few. Wraps the lowest door of botocore, so all of ours is as it is.
"""

import json
import random
import sys
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.httpsession import URLLib3Session
from invoke.main import program

THROTTLE = b'{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow"}'
_send = URLLib3Session.send


class Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> Any:
        yield self._body


def answer(request: Any, status: int, body: bytes) -> AWSResponse:
    return AWSResponse(request.url, status, {"content-type": "application/json"}, Raw(body))


def send(session: Any, request: Any) -> Any:
    is_batch = "BatchWriteItem" in str(request.headers.get("X-Amz-Target"))
    if not is_batch or random.random() > 0.3:
        return _send(session, request)
    kind = random.choice(["throttle", "none", "few"])
    if kind == "throttle":
        return answer(request, 400, THROTTLE)
    body = json.loads(request.body)
    ((table, requests),) = body["RequestItems"].items()
    taken = random.randrange(len(requests)) if kind == "few" else 0
    if taken:
        body["RequestItems"] = {table: requests[:taken]}
        request.body = json.dumps(body).encode()
        request.headers["Content-Length"] = str(len(request.body))
        assert _send(session, request).status_code == 200
    return answer(
        request, 200, json.dumps({"UnprocessedItems": {table: requests[taken:]}}).encode()
    )


URLLib3Session.send = send
program.run(["invoke", *sys.argv[1:]])
