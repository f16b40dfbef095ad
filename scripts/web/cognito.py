"""The Cognito page: the users of the pool, and tokens of theirs."""

from collections.abc import Callable

from flask import Blueprint, abort, render_template
from flask.typing import ResponseReturnValue

from scripts import stacks
from scripts.cognito import browse
from scripts.errors import NotFoundError
from scripts.settings import Settings
from scripts.web import actions

# Signs a user in, given the settings and the username: an access token as an app gets it.
GetToken = Callable[[Settings, str], str]
USERS_SHOWN = 500


def pages(settings: Settings, get_token: GetToken | None = None) -> Blueprint:
    """The routes of the Cognito page; without `get_token` it offers no tokens."""
    blueprint = Blueprint("cognito", __name__, url_prefix="/cognito")

    @blueprint.get("/")
    def overview() -> ResponseReturnValue:
        database, aws = stacks.get_database(settings), stacks.get_aws(settings)
        try:
            accounts, missing = browse.list_accounts(database, aws), None
        except NotFoundError as error:
            accounts, missing = [], error
        return render_template(
            "cognito.html",
            aws=aws,
            accounts=accounts[:USERS_SHOWN],
            count=len(accounts),
            missing=missing,
            offers_tokens=get_token is not None and actions.is_local(settings),
        )

    @blueprint.post("/token/<path:username>")
    def token(username: str) -> ResponseReturnValue:
        if get_token is None:
            abort(404, "this version gives no tokens")
        if not actions.is_local(settings):
            abort(403, "tokens of local stacks only are given")
        return {"value": get_token(settings, username)}

    return blueprint
