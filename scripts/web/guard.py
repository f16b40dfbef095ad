"""Who is answered: own host names, pages' own tokens; and what a browser may do with a page."""

import hmac
import secrets

from flask import Flask, Response, abort, current_app, request

from scripts.errors import InvalidError

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class FieldError(InvalidError):
    """What was typed into one field of a form is not acceptable."""

    def __init__(self, field: str, reason: str, hint: str = "") -> None:
        super().__init__(reason, hint)
        self.field = field


def protect(app: Flask, port: int) -> None:
    """Check every request to the application, and put our headers on every answer."""
    app.secret_key = secrets.token_bytes(32)  # tokens end with the process that gave them
    app.jinja_env.globals["token"] = token
    suffix = "" if port == 80 else f":{port}"
    hosts = {f"127.0.0.1{suffix}", f"localhost{suffix}"}

    @app.before_request
    def check() -> None:
        if request.headers.get("Host", "").lower() not in hosts:
            abort(400, f"this server accepts requests to {' and '.join(sorted(hosts))} only")
        if _is_embedded_elsewhere():
            abort(403, "another site may only link to these pages")
        if request.method == "POST" and request.url_rule and not _has_token():
            abort(403, "this page is older than its server, or not from it: load it again")

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response


def token(writer: object = "") -> str:
    """What a page must show to write (as this user); another site cannot read or guess it."""
    key = current_app.secret_key
    assert isinstance(key, bytes)  # noqa: S101 - set in protect()
    return hmac.new(key, str(writer).encode(), "sha256").hexdigest()


def wants_json() -> bool:
    """Did our script ask, and not the browser itself?"""
    return request.accept_mimetypes.best == "application/json"


def _has_token() -> bool:
    expected = token((request.view_args or {}).get("me", ""))
    return hmac.compare_digest(request.form.get("token", "").encode(), expected.encode())


def _is_embedded_elsewhere() -> bool:
    """Does another site load this as an image, a script or by fetch? Links lead here freely."""
    site, mode = (request.headers.get(f"Sec-Fetch-{name}", "") for name in ("Site", "Mode"))
    return site in ("cross-site", "same-site") and mode != "navigate"
