"""The Flask application: its pages, its guards, and how failures look."""

from flask import Flask, render_template
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler
from werkzeug.serving import make_server as make_wsgi_server

from scripts.errors import DevError, InvalidError, RefusedError
from scripts.settings import Settings
from scripts.web import (
    actions,
    cognito,
    conversations,
    dynamodb,
    environment,
    guard,
    postgres,
    sql,
    words,
)
from scripts.web.live_run import LiveRun

LARGEST_REQUEST = 8 * 1024 * 1024  # far above a message, so that a long one gets its own sentence


class QuietHandler(WSGIRequestHandler):
    """Pages ask for news every second: a line for each would bury what matters."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def make_server(settings: Settings, host: str, port: int) -> BaseWSGIServer:
    """A server of the pages, listening, which answers requests side by side."""
    app = create_app(settings, port)
    return make_wsgi_server(host, port, app, threaded=True, request_handler=QuietHandler)


def create_app(settings: Settings, port: int) -> Flask:
    """The application for this environment, answering the host names of this port only."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = LARGEST_REQUEST
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.jinja_env.filters |= words.FILTERS
    app.jinja_env.globals["has_messages"] = lambda: conversations.is_offered(settings)
    app.url_map.converters["handle"] = conversations.Handle
    guard.protect(app, port)
    live = LiveRun()
    app.register_blueprint(environment.pages(settings, live))
    app.register_blueprint(actions.pages(settings, live))
    app.register_blueprint(postgres.pages(settings))
    app.register_blueprint(sql.pages(settings))
    app.register_blueprint(dynamodb.pages(settings))
    app.register_blueprint(cognito.pages(settings))
    app.register_blueprint(conversations.pages(settings))
    app.register_error_handler(DevError, show_failure)
    app.register_error_handler(HTTPException, show_http_error)
    return app


def show_failure(error: DevError) -> ResponseReturnValue:
    """A failure that the user can fix: what was given (400), or the environment (503)."""
    if isinstance(error, RefusedError):
        return _show(error, 403)
    return _show(error, 400 if isinstance(error, InvalidError) else 503)


def show_http_error(error: HTTPException) -> ResponseReturnValue:
    """A request that cannot be answered, in a sentence; a bug leaves its traceback to the log."""
    if isinstance(error, InternalServerError):
        bug = DevError("this page failed, which is a bug", "see the output of: ./invoke web")
        return _show(bug, 500)
    return _show(DevError(error.description or error.name), error.code or 400)


def _show(error: DevError, status: int) -> ResponseReturnValue:
    if guard.wants_json():
        field = getattr(error, "field", "")
        return {"reason": error.reason, "hint": error.hint, "field": field}, status
    return render_template("failure.html", error=error, status=status), status
