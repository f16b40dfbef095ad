"""What the user can fix (DevError); everything else is our bug and keeps its traceback."""

from invoke.exceptions import Exit


class DevError(Exit):
    """A failure that the user can fix: what failed, the value in question, and what to do.

    Invoke prints an Exit's message on stderr and ends with its code, without a traceback.
    """

    def __init__(self, reason: str, hint: str = "", code: int = 1) -> None:
        text = f"{reason}\nhint: {hint}" if hint else reason
        # A value in question may be anything; it must not command the terminal.
        super().__init__(
            "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text), code
        )
        self.reason = reason
        self.hint = hint


class InvalidError(DevError):
    """What was given (a message, say) cannot be taken; nothing is wrong with the environment."""


class NotFoundError(DevError):
    """The thing asked for (a database, a table, a user) is not there."""


class LoginRefusedError(DevError):
    """The server runs and does not accept our login; waiting does not help."""


class RefusedError(DevError):
    """A destructive verb that will not act on this target. Exit code 3."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason, hint, code=3)
