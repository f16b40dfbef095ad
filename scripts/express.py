"""Finished batches to an emulator, past botocore, whose work would slow the emulator down.

An emulator reads who signed a request, not what, so one signature of botocore's serves for all;
each thread keeps a connection. Whatever is not a plain yes is left to botocore: it sends the batch
again (a put done twice is a put), signed for itself, tries as often as it always does, and says
what is wrong.
"""

import http.client
import json
import threading
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.credentials import Credentials

SECONDS = 60  # that an answer may take, as with botocore


class Express:
    """The way to the DynamoDB of one emulator."""

    def __init__(self, endpoint: str, region: str, access_key: str, secret_key: str) -> None:
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "DynamoDB_20120810.BatchWriteItem",
        }
        request = AWSRequest("POST", f"{endpoint}/", headers)
        SigV4Auth(Credentials(access_key, secret_key), "dynamodb", region).add_auth(request)
        self._url, self._headers = request.url, dict(request.headers.items())
        self._own = threading.local()

    def call(self, body: bytes) -> dict[str, Any] | None:
        """What DynamoDB says to a BatchWriteItem; None where that is no yes."""
        response = self.send(AWSPreparedRequest("POST", self._url, {**self._headers}, body, False))
        if response is None or response.status_code != 200:
            return None
        answer: dict[str, Any] = json.loads(response.content)
        return answer

    def send(self, request: AWSPreparedRequest) -> AWSResponse | None:
        """Send one request and read its answer; None where none came. The lowest door."""
        if not hasattr(self._own, "connection"):
            self._own.connection = http.client.HTTPConnection(
                urlsplit(request.url).netloc, timeout=SECONDS
            )
        connection = self._own.connection
        try:
            connection.request("POST", "/", request.body, request.headers)
            answer = connection.getresponse()
            response = AWSResponse(request.url, answer.status, answer.headers, None)
            response._content = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()  # it connects again at the next request
            return None
        return response
