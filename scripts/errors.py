"""Failures that the user can fix (DevError), and parts of their messages.

An exception that `explain` does not explain is a bug and keeps its traceback.
"""

import errno
import re
import shutil
from collections.abc import Iterable

_OF_THE_DISK = {errno.EACCES, errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.EPERM, errno.EROFS}


class DevError(Exception):
    """A failure that the user can fix: what failed, the value in question, and what to do.

    The command line prints `message` on stderr, without a traceback, and exits with `code`.
    """

    def __init__(self, reason: str, hint: str = "", code: int = 1) -> None:
        text = f"{reason}\nhint: {hint}" if hint else reason
        # The value may be anything; it must not control the terminal.
        self.message = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
        super().__init__(self.message)
        self.reason = reason
        self.hint = hint
        self.code = code


class UsageError(DevError):
    """The command is wrong: a name, an option or a value that cannot be used. Exit code 2."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason, hint, code=2)


class InvalidError(UsageError):
    """The input (a message, say) is not acceptable; the environment itself is fine."""


class NotFoundError(DevError):
    """The requested object (a database, a table, a user) does not exist."""


class NotRunningError(DevError):
    """A service of the local stack does not run."""


class LoginRefusedError(DevError):
    """The server runs but rejects our login; waiting does not help."""


class RefusedError(DevError):
    """A destructive action that is refused for this target. Exit code 3."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason, hint, code=3)


def explain(error: BaseException) -> DevError | None:
    """A DevError itself, or the one for what the file system or AWS refuses; None for a bug."""
    if isinstance(error, DevError):
        return error
    if operation := getattr(error, "operation_name", ""):  # botocore's ClientError
        reason = error.response["Error"].get("Message") or error  # type: ignore[attr-defined]
        return DevError(f"{operation} was refused: {reason}", "correct that, and try again")
    if isinstance(error, shutil.Error):  # of a folder: (source, target, reason) of each file
        reason = error.args[0][0][2]
    elif isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        reason = str(error)
    else:
        return None
    reason = reason.partition("] ")[2] or reason  # without its number
    return DevError(
        f"cannot read or write: {reason}", "check the owner, permissions and free space"
    )


def count(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 item`, `2 items`, `0 entries` (with `plural`)."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def list_closest(word: str, known: Iterable[str], cutoff: float = 0.7) -> list[str]:
    """The known names that are most similar to a mistyped one, at most two."""
    import difflib

    folded = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), folded, n=2, cutoff=cutoff)
    return [folded[name] for name in near]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The start of a hint that names the closest of the known names; "" if none is close."""
    near = list_closest(word, known)
    return f"did you mean {' or '.join(near)}? " if near else ""


def with_option(text: str, option: str) -> str:
    """A hint whose commands `./invoke TASK` have an option, unless it is about that option."""
    if not option or option.split()[0] in text:
        return text
    return re.sub(r"\./invoke (?=[a-z])", lambda command: f"{command[0]}{option} ", text)
