"""A request as it came in: what it asks, of which service, in which protocol."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs

_SCOPE = re.compile(r"Credential=[^/,\s]+/[^/]*/[^/]*/([^/,\s]*)/")


@dataclass(frozen=True)
class Request:
    """The head of an HTTP request. Names of headers are in lower case."""

    method: str
    path: str
    raw_path: str  # as it was sent
    raw_query: str
    headers: Mapping[str, str]
    query: Mapping[str, list[str]]

    @property
    def presigned(self) -> bool:
        """Is the signature in the URL?"""
        return "X-Amz-Signature" in self.query or self.presigned_v2

    @property
    def presigned_v2(self) -> bool:
        """Is it one of Signature Version 2, boto3's default for a URL in us-east-1?"""
        return "AWSAccessKeyId" in self.query and "Signature" in self.query

    @property
    def is_form(self) -> bool:
        """True for an upload by a form, whose signature is in its fields."""
        kind = self.headers.get("content-type", "")
        is_upload = self.method == "POST" and kind.startswith("multipart/form-data")
        return is_upload and not self.raw_query and "authorization" not in self.headers

    @property
    def target(self) -> str:
        """The service and operation of the JSON protocols: `DynamoDB_20120810.GetItem`."""
        return self.headers.get("x-amz-target", "")

    @cached_property
    def protocol(self) -> str:
        """How the client expects an error: json, s3, ec2 or query."""
        scope = _SCOPE.search(self.headers.get("authorization", ""))
        service = scope[1] if scope else ""
        if self.presigned or self.is_form or service == "s3":
            return "s3"
        form = self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        if self.target or self.path != "/" or not form:
            return "json"
        return "ec2" if service == "ec2" else "query"


def read(scope: Mapping[str, Any]) -> Request:
    """The request of an ASGI scope. A header that is repeated has all its values."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("utf-8", "replace")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    query = scope.get("query_string", b"").decode("utf-8", "replace")
    return Request(
        method=scope["method"],
        path=scope["path"],
        raw_path=scope["raw_path"].decode("latin-1"),
        raw_query=query,
        headers=headers,
        query=parse_qs(query, keep_blank_values=True),
    )
