"""The users of Cognito's pools: saved in a log of their own, and changed by one request at a time.

Browsers call Cognito without a key, and then ministack takes every token as it is and looks for
pools in one account only. Here a token must carry the pool's signature, and the client's ID names
the pool.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import cognito

from scripts.stacks.embedded.emulator.item_log import Change, ItemLog

SIGN_IN = "AdminInitiateAuth"
# The operations that change one user and nothing else; a sign-in only if `is_plain`.
ACTIONS = (
    *("AdminCreateUser", "AdminSetUserPassword", "AdminUpdateUserAttributes"),
    *("AdminDisableUser", "AdminEnableUser", "AdminDeleteUser", SIGN_IN),
)

Data = dict[str, Any]
Answer = Any  # what ministack's functions return: status, headers and body


def list_users() -> Iterator[list[Change]]:
    """The changes that make all users that there are, a pool at a time."""
    for pool in cognito._user_pools.all_values():
        if pool["_users"]:
            yield [[pool["Id"], name, "", user] for name, user in pool["_users"].items()]


def is_plain(request: bytes, answer: bytes) -> bool:
    """Was this sign-in by password only? Then it leaves nothing but a line in the user."""
    return b"_PASSWORD_AUTH" in request and b"ChallengeName" not in answer


def keep_users_in(log: ItemLog) -> None:
    """Keep the users out of Cognito's state: a change of one is a line, others rewrite all."""
    get_state, load_state = cognito.get_state, cognito.load_persisted_state

    def get_state_without_users() -> Any:
        with log.lock:
            log.rewrite()
            pools = cognito._user_pools.all_values()
            users = [pool["_users"] for pool in pools]
            try:
                for pool in pools:
                    pool["_users"] = {}  # they would be copied, which takes most of the time
                return get_state()
            finally:
                for pool, its_users in zip(pools, users, strict=True):
                    pool["_users"] = its_users

    def load_state_with_users(state: Any) -> None:
        load_state(state)
        for pool in cognito._user_pools.all_values():
            found = log.items.pop(pool["Id"], {})
            pool["_users"] |= {name: user for name, one in found.items() for user in one.values()}
            pool["EstimatedNumberOfUsers"] = len(pool["_users"])

    cognito.get_state, cognito.load_persisted_state = get_state_without_users, load_state_with_users
    for action in ACTIONS:
        _log_action(log, "_" + re.sub("(?<=[a-z])(?=[A-Z])", "_", action).lower())


def _log_action(log: ItemLog, name: str) -> None:
    """Have an operation add to the log what becomes of its user."""
    handler, is_new = getattr(cognito, name), name == "_admin_create_user"

    def handle(data: Data) -> Answer:
        pool = cognito._user_pools.get(data.get("UserPoolId")) or {"_users": {}}
        name = data.get("Username") or (data.get("AuthParameters") or {}).get("USERNAME")
        user = None if is_new else cognito._resolve_user(pool, name)[0]
        answer: Answer = handler(data)
        if answer[0] == 200 and (user or is_new):
            user = user or json.loads(answer[2])["User"]
            log.add(pool["Id"], user["Username"], "", pool["_users"].get(user["Username"]))
        return answer

    setattr(cognito, name, handle)


def check_callers(log: ItemLog) -> None:
    """Have every operation done by itself, in the client's own account, for valid tokens only.

    Ministack gives every request a thread; so none changes users while the log reads them.
    """
    run = cognito._run_idp_handler

    def run_checked(handler: Callable[[Data], Answer], action: str, data: Data) -> Answer:
        with log.lock:
            if action in cognito._UNSIGNED_IDP_ACTIONS:
                cognito._find_pool_by_client_id(
                    data.get("ClientId")
                )  # sets the account of the request
                if error := cognito._access_token_error(data) or _refresh_token_error(data):
                    return error
            return run(handler, action, data)

    cognito._run_idp_handler = run_checked


def _refresh_token_error(data: Data) -> Answer | None:
    token = data.get("RefreshToken") or (data.get("AuthParameters") or {}).get("REFRESH_TOKEN")
    if not token or cognito._signature_valid(token):
        return None
    return error_response_json("NotAuthorizedException", "Invalid Refresh Token", 400)
