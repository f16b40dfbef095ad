"""ddb.patterns: Cruddur's access patterns, as its Messages page uses them."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from scripts import stacks
from scripts.cli import output
from scripts.cli.values import Number, Text
from scripts.errors import count, with_option
from scripts.tasks.kinds import JSON, STACK, Call, task

if TYPE_CHECKING:
    from scripts.cognito.users import Person


def _get_person(call: Call, handle: str) -> "Person":
    from scripts.cognito import users

    return users.get_person(stacks.get_database(call.settings), handle)


@task(STACK, JSON, positional=["handle"], help={"handle": "user's handle"})
def list_conversations(call: Call, handle: str) -> None:
    """List a user's conversations."""
    from scripts.cruddur import messages

    person = _get_person(call, handle)
    rows = messages.list_conversations(stacks.get_aws(call.settings), person)
    if not call.json:
        rows = [replace(row, at=output.local_time(row.at)) for row in rows]
    empty = f"no conversations of {handle} yet; ./invoke ddb.patterns.start-conversation --help"
    columns = ["at", "other.handle", "text", "group"]
    output.write_rows(rows, columns, call.json, with_option(empty, call.stack_option))


@task(
    STACK,
    JSON,
    positional=["group"],
    help={
        "group": "conversation ID",
        "limit": "maximum number of messages",
        "before": "only messages before this time, as 2026-03-28T15:00:00+00:00",
    },
)
def get_conversation(
    call: Call,
    group: Annotated[str, Text("GROUP", unset="the conversation with the newest message")] = "",
    limit: Annotated[int, Number(1, 100_000)] = 20,
    before: Annotated[str, Text("TIME", unset="now")] = "",
) -> None:
    """Print a conversation's newest messages."""
    from scripts.cruddur import messages

    page = messages.get_page(stacks.get_aws(call.settings), group, limit, before)
    if call.json:
        output.write_json(page)
        return
    for message in page.messages:
        output.write(output.one_line(messages.in_journal_layout(message)))
    shown = count(len(page.messages), "message")
    output.say(f"{shown}; consumed capacity: {page.capacity:g} units")
    if page.messages:
        older = f"./invoke ddb.patterns.get-conversation {page.messages[0].group}"
        options = f"--limit {limit} --before {page.messages[0].at}"
        output.say(with_option(f"older messages: {older} {options}", call.stack_option))


@task(
    STACK,
    help={
        "handle": "author's handle",
        "message": "text of the message; after -- if it starts with -",
        "group": "conversation ID",
    },
)
def send_message(
    call: Call,
    handle: str,
    message: str,
    group: Annotated[str, Text("GROUP", unset="the author's newest conversation")] = "",
) -> None:
    """Write a message to a conversation."""
    from scripts.cruddur import messages

    author = _get_person(call, handle)
    aws = stacks.get_aws(call.settings)
    group = group or messages.get_latest(aws, author).group
    if not call.would(f"write a message from {handle} to the conversation {group}"):
        sent = messages.send(aws, group, author, message)
        output.say(f"sent at {output.local_time(sent.at)} to {sent.group}")


@task(
    STACK,
    help={
        "handle": "author's handle",
        "other": "the other user's handle",
        "message": "text of the first message",
    },
)
def start_conversation(call: Call, handle: str, other: str, message: str) -> None:
    """Start a conversation with another user."""
    from scripts.cruddur import messages

    pair = _get_person(call, handle), _get_person(call, other)
    if not call.would(f"start a conversation of {handle} with {other}"):
        sent = messages.start(stacks.get_aws(call.settings), *pair, message)
        output.say(f"started the conversation {sent.group} at {output.local_time(sent.at)}")
