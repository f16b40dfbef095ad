"""The Cognito page: the users of the pool, and tokens of theirs."""

from flask import Blueprint, abort, render_template
from flask.typing import ResponseReturnValue

from scripts import stacks
from scripts.cognito import browse, sign_in
from scripts.errors import NotFoundError
from scripts.settings import Settings
from scripts.web import actions

USERS_SHOWN = 500


def pages(settings: Settings) -> Blueprint:
    """The routes of the Cognito page."""
    blueprint = Blueprint("cognito", __name__, url_prefix="/cognito")

    @blueprint.get("/")
    def overview() -> ResponseReturnValue:
        find = (
            stacks.get_database if settings.app.users else lambda one: stacks.targets(one).database
        )
        database, aws = find(settings), stacks.get_aws(settings)
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
            offers_tokens=actions.is_local(settings),
        )

    @blueprint.post("/token/<path:username>")
    def token(username: str) -> ResponseReturnValue:
        if not actions.is_local(settings):
            abort(403, "only tokens of local stacks are shown")
        tokens = sign_in.get_tokens(stacks.get_aws(settings), username)
        return {"value": tokens.access_token}

    return blueprint
