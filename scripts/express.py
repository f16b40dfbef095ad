"""Finished batches to an emulator, past botocore, whose care for a request costs half of the speed.

A request is signed as botocore signs it, and each thread keeps a connection. Whatever is not a
plain yes is left to botocore: it sends the batch again (a put done twice is a put), tries as often
as it always does, and says what is wrong.
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
_HEADERS = ("Content-Type", "X-Amz-Target")


class Express:
    """The way to the DynamoDB of one emulator."""

    def __init__(self, endpoint: str, region: str, access_key: str, secret_key: str) -> None:
        self._endpoint = endpoint
        self._signer = SigV4Auth(Credentials(access_key, secret_key), "dynamodb", region)
        self._own = threading.local()

    def call(self, params: dict[str, Any]) -> tuple[AWSResponse, dict[str, Any]] | None:
        """Send what botocore was about to send; the answer and what it says, None for no yes."""
        headers = {name: params["headers"][name] for name in _HEADERS}
        request = AWSRequest("POST", params["url"], headers, params["body"])
        self._signer.add_auth(request)
        response = self.send(request.prepare())
        if response is None or response.status_code != 200:
            return None
        return response, json.loads(response.content)

    def send(self, request: AWSPreparedRequest) -> AWSResponse | None:
        """Send one request and read its answer; None where none came. The lowest door."""
        if not hasattr(self._own, "connection"):
            self._own.connection = http.client.HTTPConnection(
                urlsplit(self._endpoint).netloc, timeout=SECONDS
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
