"""Failures that the user can fix (DevError). Anything else is a bug and keeps its traceback."""


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


class InvalidError(DevError):
    """The input (a message, say) is not acceptable; the environment itself is fine."""


class NotFoundError(DevError):
    """The requested object (a database, a table, a user) does not exist."""


class LoginRefusedError(DevError):
    """The server runs but rejects our login; waiting does not help."""


class RefusedError(DevError):
    """A destructive action that is refused for this target. Exit code 3."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason, hint, code=3)
