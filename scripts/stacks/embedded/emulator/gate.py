"""The gate in front of ministack: which requests are answered at all, and to whom.

Without a key: the operations of Cognito that browsers call, the documents by which tokens are
verified, and the health check. Everything else needs a signature made with the checkout's key. Web
pages of another origin may read only the first two, and what a URL or a form was signed for.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from scripts.stacks.embedded.emulator import refusal, request, services, signature
from scripts.stacks.embedded.emulator.refusal import RefusedError, Send
from scripts.stacks.embedded.emulator.request import Request
from scripts.stacks.embedded.emulator.signature import Claim, Key

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

NAMES = ("127.0.0.1", "localhost", "[::1]")
HEALTH = "/_ministack/health"
PUBLIC_BYTES = 1_000_000  # of a request without a signature
FORM_BYTES = (
    64_000_000  # of an upload whose signature is in it, and so is read before it is checked
)
_DOCUMENT = re.compile(r"/[\w-]+_\w+/\.well-known/(jwks\.json|openid-configuration)")
_SIGNING = re.compile(
    "X-Amz-(Algorithm|Credential|Date|Expires|Signature|SignedHeaders)"
    "|AWSAccessKeyId|Expires|Signature"
)

# The operations that AWS answers without a signature, too.
PUBLIC = {
    *("AssociateSoftwareToken", "ChangePassword", "CompleteWebAuthnRegistration", "ConfirmDevice"),
    *("ConfirmForgotPassword", "ConfirmSignUp", "DeleteUser", "DeleteUserAttributes"),
    *("DeleteWebAuthnCredential", "ForgetDevice", "ForgotPassword", "GetDevice", "GetUser"),
    *("GetTokensFromRefreshToken", "GetUserAttributeVerificationCode", "GetUserAuthFactors"),
    *("GlobalSignOut", "InitiateAuth", "ListDevices", "ListWebAuthnCredentials"),
    *("ResendConfirmationCode", "RespondToAuthChallenge", "RevokeToken", "SetUserMFAPreference"),
    *("SetUserSettings", "SignUp", "StartWebAuthnRegistration", "UpdateAuthEventFeedback"),
    *("UpdateDeviceStatus", "UpdateUserAttributes", "VerifySoftwareToken", "VerifyUserAttribute"),
}


def guard(app: App, key: Key, port: int) -> App:
    """The application with the gate in front of it, on this port."""
    hosts = {name if port == 80 else f"{name}:{port}" for name in NAMES}

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
        elif scope["type"] == "http":
            asked = request.read(scope)
            try:
                _check_host(asked, hosts)
                await _admit(app, key, asked, scope, receive, send)
            except RefusedError as error:
                await refusal.respond(error, asked, send)
        else:  # no enabled service has web sockets
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    return answer


def is_public(asked: Request) -> bool:
    """True if no signature is needed; readable cross-origin."""
    if asked.method == "OPTIONS":  # before a request that is checked itself
        is_whole = not asked.query and asked.path.strip("/").count("/") == 0  # for a form
        in_bucket = (asked.presigned or is_whole) and services.is_bucket(asked.path)
        return in_bucket or asked.path == "/" or bool(_DOCUMENT.fullmatch(asked.path))
    if asked.query:
        return False
    if asked.method == "GET":
        return bool(_DOCUMENT.fullmatch(asked.path))
    service, _, operation = asked.target.partition(".")
    called = asked.method == "POST" and asked.path == "/" and service == services.COGNITO
    return called and operation in PUBLIC


def _check_host(asked: Request, hosts: set[str]) -> None:
    if asked.headers.get("host", "").lower() not in hosts:
        raise RefusedError(f"this emulator accepts requests to {', '.join(sorted(hosts))} only")


async def _admit(
    app: App, key: Key, asked: Request, scope: Scope, receive: Receive, send: Send
) -> None:
    if is_public(asked):
        body = await _read_body(receive, PUBLIC_BYTES)
        if body is not None:
            await app(_without_key(scope), _replay(body, receive), send)
    elif asked.path == HEALTH and asked.method == "GET" and not asked.query:
        await app(_without_key(scope), receive, _for_own_origin(send))
    else:
        await _admit_signed(app, key, asked, scope, receive, send)


async def _admit_signed(
    app: App, key: Key, asked: Request, scope: Scope, receive: Receive, send: Send
) -> None:
    by_page = asked.presigned or asked.is_form
    claim = None if asked.is_form else signature.find_claim(asked, key)
    if "origin" in asked.headers and not by_page:
        raise RefusedError("a page of another origin may only call public operations of Cognito")
    body = await _read_body(receive, FORM_BYTES if asked.is_form else None)
    if body is None:
        return
    if claim:
        signature.check(claim, asked, body)
    else:
        claim = signature.check_form(asked, body, key)
    services.check(asked, claim.signature.service, body)
    to = send if by_page else _for_own_origin(send)
    await app(_for_account(scope, claim), _replay(body, receive), to)


async def _read_body(receive: Receive, most: int | None = None) -> bytes | None:
    """The whole body, which ministack reads whole too; None if the client has closed.

    Raises RefusedError, once it has been sent, for one of more than `most` bytes.
    """
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        size += len(message.get("body", b""))
        if not most or size <= most:
            parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    if most and size > most:
        raise RefusedError(f"a body of {size:,} bytes without a signature; at most {most:,}")
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> dict[str, Any]:
        return waiting.pop() if waiting else await receive()

    return receive_again


def _without_key(scope: Scope) -> Scope:
    headers = [pair for pair in scope["headers"] if pair[0].lower() != b"authorization"]
    return {**scope, "headers": headers}


def _for_account(scope: Scope, claim: Claim) -> Scope:
    """The request as ministack takes it for the account: it believes every signature.

    That of a URL becomes a header, or ministack would check it with a secret of its own.
    """
    signed = claim.signature
    place = f"{claim.account}/{signed.date_stamp}/{signed.region}/{signed.service}/aws4_request"
    header = f"AWS4-HMAC-SHA256 Credential={place}, SignedHeaders=host, Signature=checked"
    pairs = parse_qsl(scope.get("query_string", b"").decode(), keep_blank_values=True)
    rest = [pair for pair in pairs if not _SIGNING.fullmatch(pair[0])]
    query = urlencode(rest).encode() if len(rest) < len(pairs) else scope.get("query_string", b"")
    inner = _without_key(scope)
    inner["headers"].append((b"authorization", header.encode()))
    return inner | {"query_string": query}


def _for_own_origin(send: Send) -> Send:
    """Send without the headers by which ministack lets the pages of every origin read."""

    async def send_closed(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = message.get("headers", [])
            ours = [pair for pair in headers if not pair[0].lower().startswith(b"access-control-")]
            message = {**message, "headers": ours}
        await send(message)

    return send_closed
