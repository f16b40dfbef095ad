"""Who is answered: own host names, the key of the address, pages' own tokens; and the headers."""

import hmac
import secrets
from urllib.parse import urlencode

from flask import Flask, Response, abort, current_app, g, redirect, request
from flask.typing import ResponseReturnValue

from scripts.errors import InvalidError, RefusedError

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src {}; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# With a link from elsewhere, also from the file that --open uses, browsers send no cookie that is
# SameSite=Strict. The same request from a page of this server has it.
_AGAIN = '<!doctype html><meta name="color-scheme" content="light dark"><title>Opening</title>'


class FieldError(InvalidError):
    """What was typed into one field of a form is not acceptable."""

    def __init__(self, field: str, reason: str, hint: str = "") -> None:
        super().__init__(reason, hint)
        self.field = field


def protect(app: Flask, port: int, key: str) -> None:
    """Check every request to the application, and put our headers on every answer.

    Who comes with the key gets a cookie instead. Browsers send it to every port of the host, so its
    name has the port: pages of other environments keep theirs.
    """
    app.secret_key = secrets.token_bytes(32)  # tokens end with the process that gave them
    app.jinja_env.globals["token"] = token
    cookie, ticket = f"pages-{port}", secrets.token_urlsafe(32)
    suffix = "" if port == 80 else f":{port}"
    hosts = {f"127.0.0.1{suffix}", f"localhost{suffix}"}

    @app.before_request
    def check() -> ResponseReturnValue | None:
        if request.headers.get("Host", "").lower() not in hosts:
            abort(400, f"this server accepts requests to {' and '.join(sorted(hosts))} only")
        if _is_embedded_elsewhere():
            abort(403, "another site may only link to these pages")
        arguments = list(request.args.items(multi=True))  # rows and items have a `key`, too
        others = [(name, text) for name, text in arguments if name != "key" or not same(text, key)]
        if others != arguments:
            place = f"{request.base_url}?{urlencode(others)}".removesuffix("?")
            response = redirect(place, 303)
            response.set_cookie(cookie, ticket, httponly=True, samesite="Strict")
            return response
        if not same(request.cookies.get(cookie, ""), ticket):
            if request.headers.get("Sec-Fetch-Site") == "cross-site":
                return _AGAIN, 403, {"Refresh": "0"}
            raise RefusedError(
                "these pages open only at the address that ./invoke web printed: it has a key,"
                " which is new for each start",
                "./invoke status (prints it again)",
            )
        g.admitted = True
        if request.method == "POST" and request.url_rule and not _has_token():
            abort(403, "this page is older than its server, or not from it: load it again")
        return None

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(HEADERS)
        style = f"'nonce-{g.nonce}'" if "nonce" in g else "'self'"
        response.headers["Content-Security-Policy"] = _POLICY.format(style)
        return response


def is_admitted() -> bool:
    """Did the request have the cookie, and pass the other checks of who asks?"""
    return "admitted" in g


def same(given: str, secret: str) -> bool:
    """Compare a text with a secret, in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode(), secret.encode())


def token(writer: object = "") -> str:
    """What a page must show to write (as this user); another site cannot read or guess it."""
    key = current_app.secret_key
    assert isinstance(key, bytes)  # noqa: S101 - set in protect()
    return hmac.new(key, str(writer).encode(), "sha256").hexdigest()


def wants_json() -> bool:
    """Did our script ask, and not the browser itself?"""
    return request.accept_mimetypes.best == "application/json"


def _has_token() -> bool:
    return same(request.form.get("token", ""), token((request.view_args or {}).get("me", "")))


def _is_embedded_elsewhere() -> bool:
    """Does another site load this as an image, a script or by fetch? Links lead here freely."""
    site, mode = (request.headers.get(f"Sec-Fetch-{name}", "") for name in ("Site", "Mode"))
    return site in ("cross-site", "same-site") and mode != "navigate"
