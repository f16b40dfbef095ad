"""What the user can fix (DevError); everything else is our bug and keeps its traceback."""

from invoke.exceptions import Exit


class DevError(Exit):
    """A failure that the user can fix: what failed, the value in question, and what to do.

    Invoke prints an Exit's message on stderr and ends with its code, without a traceback.
    """

    def __init__(self, message: str, hint: str = "", code: int = 1) -> None:
        super().__init__(f"{message}\nhint: {hint}" if hint else message, code)


class NotFoundError(DevError):
    """The thing asked for (a database, a table, a user) is not there."""


class RefusedError(DevError):
    """A destructive verb that will not act on this target. Exit code 3."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, code=3)
