"""ddb.patterns: Cruddur's access patterns, as its Messages page uses them."""

from typing import TYPE_CHECKING

from scripts import settings, stacks
from scripts.cli import output
from scripts.tasks.kinds import JSON, STACK, Call, task

if TYPE_CHECKING:
    from scripts.cognito.users import Person


def _get_person(call: Call, handle: str) -> "Person":
    from scripts.cognito import users

    return users.get_person(stacks.get_database(call.settings), handle)


@task(STACK, JSON, positional=["handle"], help={"handle": "whose conversations"})
def list_conversations(call: Call, handle: str) -> None:
    """List a user's conversations."""
    from scripts.cruddur import messages

    person = _get_person(call, handle)
    rows = messages.list_conversations(stacks.get_aws(call.settings), person)
    output.write_rows(rows, ["at", "other.handle", "text", "group"], call.json)


@task(
    STACK,
    JSON,
    positional=["group"],
    help={
        "group": "the conversation's uuid; without it, the one with the newest message",
        "limit": "how many messages at most",
        "before": "only messages before this time, to page back",
    },
)
def get_conversation(call: Call, group: str = "", limit: str = "20", before: str = "") -> None:
    """Print a conversation's newest messages."""
    from scripts.cruddur import messages

    most = settings.whole_number("--limit", limit, 1, 100_000)
    page = messages.get_page(stacks.get_aws(call.settings), group, most, before)
    if call.json:
        output.write_json(page)
        return
    for message in page.messages:
        output.write(output.one_line(messages.in_journal_layout(message)))
    output.say(f"consumed capacity: {page.capacity:g} units")
    if page.messages:
        output.say(f"older: --before {page.messages[0].at}")


@task(STACK, help={"handle": "who writes", "message": "the text", "group": "into which one"})
def send_message(call: Call, handle: str, message: str, group: str = "") -> None:
    """Write a message into a conversation."""
    from scripts.cruddur import messages

    author = _get_person(call, handle)
    aws = stacks.get_aws(call.settings)
    group = group or messages.get_latest(aws, author).group
    if not call.would(f"write a message of {handle} into the conversation {group}"):
        sent = messages.send(aws, group, author, message)
        output.say(f"sent at {sent.at} into {sent.group}")


@task(STACK, help={"handle": "who starts", "other": "with whom", "message": "the first message"})
def start_conversation(call: Call, handle: str, other: str, message: str) -> None:
    """Start a conversation with another user."""
    from scripts.cruddur import messages

    pair = _get_person(call, handle), _get_person(call, other)
    if not call.would(f"start a conversation of {handle} with {other}"):
        sent = messages.start(stacks.get_aws(call.settings), *pair, message)
        output.say(f"started the conversation {sent.group} at {sent.at}")
