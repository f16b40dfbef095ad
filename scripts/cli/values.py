"""What the arguments and options of tasks take: the types of their values.

A parameter of a task is annotated with one: `runs: Annotated[int, Number(1, 20)] = 1`. Each is
callable with the word of the command line, as the `kind` of an Invoke argument has to be.
"""

import re
from dataclasses import dataclass

from scripts.errors import did_you_mean


class BadValueError(ValueError):
    """A word that is not such a value: the reason, without the option's name, and a hint."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class _Named:
    """A type of values with a name for Invoke and the help."""

    name: str

    @property
    def __name__(self) -> str:
        """What Invoke calls the type."""
        return self.name


@dataclass(frozen=True)
class Text(_Named):
    """Any text but an empty one: an empty word is never a path, a table or a name.

    `unset` says for the help what applies by default, where the parameter has no such value.
    """

    name: str = "TEXT"
    unset: str = ""

    @property
    def limits(self) -> str:
        """What the help says of the values, "" for nothing."""
        return ""

    def __call__(self, word: str) -> str:
        """The value of a word."""
        if not word:
            raise BadValueError("is empty")
        return word


@dataclass(frozen=True)
class Number(_Named):
    """A whole number of a range."""

    low: int
    high: int
    unset: str = ""
    name: str = "NUMBER"

    @property
    def limits(self) -> str:
        """The range, for the help."""
        return f"{self.low:,} to {self.high:,}"

    def __call__(self, word: str) -> int:
        """The number that a word writes."""
        if not re.fullmatch(r"[0-9]{1,15}", word) or not self.low <= int(word) <= self.high:
            raise BadValueError(f"is not a whole number from {self.limits}")
        return int(word)


@dataclass(frozen=True)
class Choice(_Named):
    """One of a few names."""

    choices: tuple[str, ...]
    unset: str = ""
    name: str = "NAME"

    @property
    def limits(self) -> str:
        """The names, for the help."""
        return ", ".join(self.choices)

    def __call__(self, word: str) -> str:
        """The name that a word is."""
        if word not in self.choices:
            raise BadValueError(f"is none of {self.limits}", did_you_mean(word, self.choices))
        return word


Value = Text | Number | Choice
