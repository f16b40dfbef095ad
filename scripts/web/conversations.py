"""The Messages page: who I am, my conversations, one of them, writing."""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.routing import UnicodeConverter

from scripts import stacks
from scripts.cognito import users
from scripts.cognito.users import Person
from scripts.cruddur import messages
from scripts.cruddur.items import Conversation, Message
from scripts.errors import InvalidError
from scripts.settings import Settings
from scripts.targets import Aws
from scripts.web import guard
from scripts.web.guard import FieldError

PAGE_SIZE = 20


class Handle(UnicodeConverter):
    """URL converter for handles, matched after UUIDs."""

    weight = 200


@dataclass(frozen=True)
class Desk:
    """What one user has before them: their conversations, and whom they can write to."""

    me: Person
    people: Mapping[str, Person]
    conversations: list[Conversation]
    aws: Aws

    def get(self, group: str) -> Conversation:
        """My view of a conversation; the answer is 404 where I take no part in it."""
        by_group = {conversation.group: conversation for conversation in self.conversations}
        if group not in by_group:
            abort(404, f"{self.me.handle} has no such conversation")
        return by_group[group]

    def find_with(self, other: Person) -> Conversation | None:
        """The newest conversation with another user, None if there is none."""
        found = (one for one in self.conversations if one.other.uuid == other.uuid)
        return next(found, None)


def pages(settings: Settings) -> Blueprint:
    """The routes of the Messages page."""
    blueprint = Blueprint("conversations", __name__, url_prefix="/messages")

    @blueprint.get("/")
    def choose() -> ResponseReturnValue:
        everybody = users.list_users(stacks.get_database(settings))
        return render_template("choose.html", people=everybody)

    @blueprint.get("/<uuid:me>/")
    def overview(me: UUID) -> ResponseReturnValue:
        return _page("overview.html", _sit_down(settings, me))

    @blueprint.get("/<uuid:me>/new")
    def draft(me: UUID) -> ResponseReturnValue:
        desk = _sit_down(settings, me)
        chosen = desk.people.get(request.args.get("other", ""))
        if chosen and desk.find_with(chosen):
            return redirect(_address(desk, chosen))
        return _page("new.html", desk, chosen=chosen)

    @blueprint.post("/<uuid:me>/new")
    def start(me: UUID) -> ResponseReturnValue:
        return _start(_sit_down(settings, me))

    @blueprint.get("/<uuid:me>/<group>")
    def conversation(me: UUID, group: str) -> ResponseReturnValue:
        return _show(_sit_down(settings, me), group)

    @blueprint.post("/<uuid:me>/<group>")
    def send(me: UUID, group: str) -> ResponseReturnValue:
        desk = _sit_down(settings, me)
        desk.get(group)
        with _blaming_text():
            return _written(desk, messages.send(desk.aws, group, desk.me, _text()))

    @blueprint.get("/<uuid:me>/news")
    def news(me: UUID) -> ResponseReturnValue:
        return _news(_sit_down(settings, me))

    _add_handles(blueprint, settings)
    return blueprint


def _add_handles(blueprint: Blueprint, settings: Settings) -> None:
    """Addresses for people to type: /messages/korney/, /messages/@korney/@smirnov."""

    @blueprint.get("/<handle:me>/")
    def overview_by_handle(me: str) -> ResponseReturnValue:
        return redirect(url_for(".overview", me=_find_person(settings, me).uuid))

    @blueprint.get("/<handle:me>/<handle:other>")
    def conversation_by_handle(me: str, other: str) -> ResponseReturnValue:
        desk = _sit_down(settings, UUID(_find_person(settings, me).uuid))
        return redirect(_address(desk, _find_person(settings, other)))


def _sit_down(settings: Settings, uuid: UUID) -> Desk:
    everybody = {user.uuid: user for user in users.list_users(stacks.get_database(settings))}
    if str(uuid) not in everybody:
        abort(404, "there is no such user")
    people = {key: users.to_person(user) for key, user in everybody.items()}
    me = people.pop(str(uuid))
    aws = stacks.get_aws(settings)
    return Desk(me, people, messages.list_conversations(aws, me), aws)


def _find_person(settings: Settings, handle: str) -> Person:
    """The user with this handle, with or without @; 404 if there is none."""
    everybody = users.people(users.list_users(stacks.get_database(settings)))
    found = everybody.get(handle) or everybody.get(handle.removeprefix("@"))
    return found or abort(404, f"there is no user {handle}")


def _address(desk: Desk, other: Person) -> str:
    """The address for a message to another user: the conversation, or the form that starts one."""
    if existing := desk.find_with(other):
        return url_for(".conversation", me=desk.me.uuid, group=existing.group)
    return url_for(".draft", me=desk.me.uuid, other=other.uuid)


def _show(desk: Desk, group: str) -> str:
    """A conversation: its newest messages, or those before a time."""
    current = desk.get(group)
    before = request.args.get("before", "")
    found = messages.get_page(desk.aws, group, PAGE_SIZE + 1, before).messages
    shown = found[-PAGE_SIZE:]
    older = shown[0].at if len(found) > PAGE_SIZE else None
    return _page("conversation.html", desk, current=current, messages=shown, older=older)


def _start(desk: Desk) -> ResponseReturnValue:
    """Write to another user: in the conversation, or as the first message of a new one."""
    other = desk.people.get(request.form.get("other", ""))
    if other is None:
        raise FieldError("other", "no user is chosen", "choose a user to write to")
    with _blaming_text():
        if existing := desk.find_with(other):
            return _written(desk, messages.send(desk.aws, existing.group, desk.me, _text()))
        return _written(desk, messages.start(desk.aws, desk.me, other, _text()))


@contextlib.contextmanager
def _blaming_text() -> Iterator[None]:
    """What cannot be sent is the fault of the field `text`."""
    try:
        yield
    except InvalidError as error:
        raise FieldError("text", error.reason, error.hint) from None


def _news(desk: Desk) -> ResponseReturnValue:
    """What is newer than the page that asks: its list is `seen`, its last message is of `after`.

    Every message moves its conversation's row: where the list is the same, there is nothing new.
    """
    group, after = request.args.get("group", ""), request.args.get("after", "")
    listing = render_template("_listing.html", desk=desk, group=group)
    seen = hashlib.sha256(listing.encode()).hexdigest()[:16]
    if seen == request.args.get("seen"):
        return "", 204
    newer = messages.list_newer(desk.aws, desk.get(group).group, after) if group else []
    bubbles = render_template("_bubbles.html", desk=desk, messages=newer)
    return {
        "seen": seen,
        "listing": listing,
        "bubbles": bubbles,
        "token": guard.token(desk.me.uuid),
    }


def _page(template: str, desk: Desk, **values: object) -> str:
    return render_template(template, desk=desk, me=desk.me.uuid, **values)


def _text() -> str:
    """The text as it was typed: forms send line ends as CR LF."""
    return request.form.get("text", "").replace("\r\n", "\n")


def _written(desk: Desk, message: Message) -> ResponseReturnValue:
    """Where the message can be seen: said to our script, shown by a browser without it."""
    place = url_for(".conversation", me=desk.me.uuid, group=message.group)
    return {"place": place} if guard.wants_json() else redirect(place, 303)
