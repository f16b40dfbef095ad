"""A request that is refused, answered as AWS answers in the protocol of the request."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from xml.sax.saxutils import escape

from scripts.stacks.embedded.emulator.request import Request

Send = Callable[[dict[str, Any]], Awaitable[None]]

USE_OURS = "use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of ./invoke env"
STATUS = 403

# The codes of AWS for a key that it does not accept, and for a request that is not allowed.
CODES = {
    "json": ("UnrecognizedClientException", "AccessDeniedException"),
    "s3": ("InvalidAccessKeyId", "AccessDenied"),
    "ec2": ("AuthFailure", "UnauthorizedOperation"),
    "query": ("InvalidClientTokenId", "AccessDenied"),
}
_ERROR = "<Error><Code>{}</Code><Message>{}</Message></Error>"
_XML = {
    "s3": _ERROR,
    "ec2": f"<Response><Errors>{_ERROR}</Errors></Response>",
    "query": f"<ErrorResponse>{_ERROR}</ErrorResponse>",
}


class RefusedError(Exception):
    """A request that is not allowed, whoever signed it."""

    code = 1


class KeyRefusedError(RefusedError):
    """A request that is not signed with the key of this checkout."""

    code = 0

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}; {USE_OURS}")


def encode(error: RefusedError, protocol: str) -> tuple[str, bytes]:
    """The content type and the body of the answer."""
    code, message = CODES[protocol][error.code], str(error)
    if protocol == "json":
        body = json.dumps({"__type": code, "message": message})
        return "application/x-amz-json-1.0", body.encode()
    return "text/xml", _XML[protocol].format(code, escape(message)).encode()


async def respond(error: RefusedError, request: Request, send: Send) -> None:
    """Send the answer."""
    kind, body = encode(error, request.protocol)
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": STATUS, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})
