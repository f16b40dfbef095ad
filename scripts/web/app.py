"""The Flask application: its pages, its guards, and how failures look."""

import contextlib
import secrets
from pathlib import Path

from flask import Flask, abort, g, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler
from werkzeug.serving import make_server as make_wsgi_server

from scripts import stacks
from scripts.dynamodb import tables
from scripts.errors import DevError, InvalidError, RefusedError, explain, with_option
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
    """Logs no request: the pages ask every second, and the first one has the key."""

    def log(self, type: str, message: str, *args: object) -> None:
        """Say nothing."""


def make_server(settings: Settings, host: str, port: int, key: str) -> BaseWSGIServer:
    """A server of the pages, listening, which answers requests side by side."""
    app = create_app(settings, port, key)
    return make_wsgi_server(host, port, app, threaded=True, request_handler=QuietHandler)


def create_app(settings: Settings, port: int, key: str) -> Flask:
    """The application for this environment, for who has the key, by the names of this port only."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = LARGEST_REQUEST
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.jinja_env.filters |= words.FILTERS
    app.jinja_env.filters["with_stack"] = lambda hint: with_option(hint, stacks.flag(settings))
    app.jinja_env.globals |= {"find_absence": lambda name: find_absence(settings, name)}
    app.jinja_env.globals |= {"app": settings.app.name, "folder": _shorten(settings.root)}
    app.url_map.converters["handle"] = conversations.Handle
    guard.protect(app, port, key)
    live = LiveRun()
    app.register_blueprint(environment.pages(settings, live))
    app.register_blueprint(actions.pages(settings, live))
    app.register_blueprint(postgres.pages(settings))
    app.register_blueprint(sql.pages(settings))
    app.register_blueprint(dynamodb.pages(settings))
    app.register_blueprint(cognito.pages(settings))
    app.register_blueprint(conversations.pages(settings))
    app.register_error_handler(Exception, lambda error: show_error(settings, error))

    @app.before_request
    def check() -> None:
        if absence := find_absence(settings, request.blueprint or ""):
            abort(404, absence)

    return app


def find_absence(settings: Settings, blueprint: str) -> str:
    """Why the app does not have these pages; "" if it has them."""
    app = settings.app
    service = {"postgres": "postgres", "sql": "postgres", "dynamodb": "aws"}.get(blueprint)
    if service and service not in app.services:
        return f"this app has no service {service}"
    if blueprint == "cognito" and not app.cognito:
        return "this app has no user pool: app.toml has no [cognito]"
    if blueprint == "conversations" and not app.messages:
        return "this app has no messages: app.toml has no [messages]"
    if blueprint != "dynamodb" or app.dynamodb.tables or app.messages:
        return ""
    with contextlib.suppress(DevError):  # the app itself may have created tables
        servers = [one for one in stacks.list_services(settings) if one.part == "aws"]
        answer = all(one.health() is None for one in servers)
        if answer and tables.list_tables(stacks.get_aws(settings)):
            return ""
    return "this app has no DynamoDB tables"


def _shorten(folder: Path) -> str:
    """The folder as a shell shows it: ~/code/shop."""
    home = Path.home()
    return f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)


def show_error(settings: Settings, error: Exception) -> ResponseReturnValue:
    """The page, or the JSON, of a failure: what was given (400), or the environment (503).

    What the command line explains is explained here, too; a bug leaves its traceback to the log.
    """
    if failure := explain(error):
        status = 400 if isinstance(failure, InvalidError) else 503
        status = 403 if isinstance(failure, RefusedError) else status
    elif isinstance(error, InternalServerError):
        failure = DevError("this page failed, which is a bug", "see the output of: ./invoke web")
        status = 500
    elif isinstance(error, HTTPException):
        failure, status = DevError(error.description or error.name), error.code or 400
    else:
        raise error
    hint = with_option(failure.hint, stacks.flag(settings))
    if guard.wants_json():
        field = getattr(failure, "field", "")
        return {"reason": failure.reason, "hint": hint, "field": field}, status
    template = "failure.html"
    if not guard.is_admitted():
        template, g.nonce = "refused.html", secrets.token_urlsafe(16)
    return render_template(template, error=failure, status=status), status
