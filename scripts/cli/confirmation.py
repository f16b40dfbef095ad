"""Questions before something is deleted: asked on a terminal, else answered by an option."""

import sys
from collections.abc import Sequence

from scripts.cli.output import say
from scripts.errors import RefusedError
from scripts.targets import Loss


def confirm(loss: Loss | None, given: str, line: str) -> str:
    """The name that the user confirms: given by --confirm, or typed after the loss is shown.

    `line` is the command with its values, to repeat it.

    Raises RefusedError if it is not the loss's name, or without a terminal to ask.
    """
    if loss is None:
        return ""
    say("not created by this tool:" + "".join(f"\n  {part}" for part in loss.content))
    if not given and sys.stdin.isatty() and sys.stderr.isatty():
        _ask(f"type {loss.name} to confirm that it may be deleted: ")
        given = sys.stdin.readline().strip()
    if given != loss.name:
        what = f"{given} is not its name" if given else "it was not confirmed"
        hint = f"./invoke {line} --confirm {loss.name}"
        raise RefusedError(f"{loss.name} was not changed: {what}", hint)
    return given


def confirm_removal(going: Sequence[str], agreed: bool, repeat: str) -> None:
    """Show what will be deleted, and ask. RefusedError without a yes, or without a terminal.

    `repeat` is the command that does not ask.
    """
    if not going:
        return
    say("This permanently deletes:")
    for line in going:
        say(f"  {line}")
    if agreed:
        return
    if not sys.stdin.isatty():
        raise RefusedError("nothing was deleted: there is no terminal to ask", repeat)
    _ask("delete it? [y/N] ")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise RefusedError("nothing was deleted")


def _ask(question: str) -> None:
    print(question, end="", file=sys.stderr, flush=True)  # noqa: T201
