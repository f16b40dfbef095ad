"""The words of a command line: tasks, their options and their values, in any order.

Invoke's parser takes `--help` for a value where it waits for one, and words after `--` never for
values. So `./invoke` reads its words here, into Invoke's own contexts; the rules are:

- A word that starts with `-` is an option, never a value; `--name=-x` and all after `--` are data.
- Options stand before or after values; those of Invoke also after tasks, `--stack` also before.
- A task takes its required values first; then a task's name starts that task.
"""

import copy
import itertools
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from invoke.parser.argument import Argument
from invoke.parser.context import ParserContext

from scripts.cli.values import BadValueError
from scripts.errors import UsageError, did_you_mean

HELP = ("--help", "-h")
LISTS = ("help", "list")  # as the first word, they list the tasks
SHARED = "--stack"  # an option of most tasks; before the first task, it is for all of them
_DELETING = ("drop", "delete")  # the last part of tasks that are never suggested
_OTHER_WORDS = {  # what other tools call our tasks; those that exist are suggested
    "start": ("up",),
    "stop": ("down",),
    "ps": ("status",),
    "init-db": ("db.setup",),
    "migrate": ("db.migrate", "db.schema-load", "db.reset"),
    "console": ("db.connect",),
    "psql": ("db.connect",),
    "destroy": ("down --volumes",),
}


@dataclass
class CommandLine:
    """What the words say: Invoke's options, the tasks with their values, the words after `--`.

    `help` is the task whose help is asked for, the collection whose tasks to list, one of LISTS
    for all tasks, or True for the help of `./invoke` itself.
    """

    core: ParserContext
    tasks: list[ParserContext] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)
    help: str | bool = False


def read(
    words: Sequence[str],
    core: ParserContext,
    known: Mapping[str, ParserContext],
    programs: Collection[str],
) -> CommandLine:
    """Read a command line. Raises UsageError that names the word, and the closest known one.

    `known` are the contexts of all tasks; `programs` names those tasks that pass the words after
    `--` to a program.
    """
    reader = _Reader(words, core, known, programs)
    try:
        reader.read()
    except UsageError:
        options = itertools.takewhile(lambda word: word != "--", reader.words)
        if not (reader.line.tasks and set(HELP).intersection(options)):
            raise
        reader.line.help = reader.name
    return reader.line


def is_required(argument: Argument) -> bool:
    """Is it a positional argument without a default?"""
    return bool(argument.positional) and argument.default is None


def flag(argument: Argument) -> str:
    """The option of an argument, as the user types it."""
    return f"--{argument.names[0]}"


def placeholder(argument: Argument) -> str:
    """What stands for a value in the usage: PATH; [SERVICE] for one that may be left out."""
    name = argument.names[0].upper()
    return name if is_required(argument) else f"[{name}]"


class _Reader:
    """Reads words one after another; `words` are those that are left."""

    def __init__(
        self,
        words: Sequence[str],
        core: ParserContext,
        known: Mapping[str, ParserContext],
        programs: Collection[str],
    ) -> None:
        self.words = deque(words)
        self.line = CommandLine(core)
        self._known = known
        self._programs = programs
        self._shared: Argument | None = None

    @property
    def context(self) -> ParserContext:
        """The last task, or Invoke itself before the first one."""
        return self.line.tasks[-1] if self.line.tasks else self.line.core

    @property
    def name(self) -> str:
        """The last task's name, "" before the first one."""
        return self.context.name or ""

    @property
    def usage(self) -> str:
        """The command that shows how to use the last task."""
        return " ".join(filter(None, ("./invoke", self.name, "--help")))

    def read(self) -> None:
        while self.words and not self.line.help:
            word = self.words.popleft()
            if word == "--":
                self._read_rest()
            elif word.startswith("-") and word != "-":
                self._read_option(word)
            else:
                self._read_word(word)
        if not self.line.help:
            self._check_values()
            self._share()

    def _read_word(self, word: str) -> None:
        missing = self._list_missing()
        if missing and is_required(missing[0]):
            self._set(missing[0], placeholder(missing[0]), word)
        elif word in self._known:
            self.line.tasks.append(copy.deepcopy(self._known[word]))
        elif missing:
            self._set(missing[0], missing[0].names[0].upper(), word)
        elif word in LISTS and not self.line.tasks:
            self._ask_for_help("", word)
        elif self._is_collection(word) and not (self.line.tasks or set(self.words) - {*HELP}):
            self.line.help = word
        else:
            raise self._unknown_word(word)

    def _read_option(self, word: str) -> None:
        option, equals, text = word.partition("=")
        if not word.startswith("--"):
            option, text = word[:2], word[2:].removeprefix("=")
            equals = "=" if text else ""
        if option in HELP:
            self._ask_for_help(text)
            return
        argument = self._find(option)
        if argument.takes_value:
            self._set(argument, flag(argument), text if equals else self._next_value(argument))
        elif equals and option.startswith("--"):
            raise UsageError(f"{option} takes no value, but got {text}", self.usage)
        else:
            argument.set_value(option not in self.context.inverse_flags, cast=False)
            if text:  # -ab are -a and -b
                self.words.appendleft(f"-{text}")

    def _find(self, option: str) -> Argument:
        for context in (self.context, self.line.core):
            known = context.inverse_flags.get(option, option)
            if known in context.flags:
                found: Argument = context.flags[known]
                return found
        if option == SHARED and not self.line.tasks:
            owners = (one for one in self._known.values() if SHARED in one.flags)
            self._shared = copy.deepcopy(next(owners).flags[SHARED])
            return self._shared
        if not self.line.tasks and any(option in one.flags for one in self._known.values()):
            hint = f"write it after the task: ./invoke TASK {option}"
            raise UsageError(f"{option} is an option of tasks", hint)
        known_here = [*self.context.flags, *self.context.inverse_flags, *self.line.core.flags]
        hint = did_you_mean(option, known_here) + self.usage
        raise UsageError(f"{self.name or './invoke'} has no option {option}", hint)

    def _next_value(self, argument: Argument) -> str | None:
        """The next word; None where an option may stand without a value."""
        if self.words and (not self.words[0].startswith("-") or self.words[0] == "-"):
            return self.words.popleft()
        if argument.optional:
            return None
        raise UsageError(f"{flag(argument)} needs a value", self.usage)

    def _ask_for_help(self, text: str, alone: str | bool = True) -> None:
        if self.line.tasks:
            self.line.help = self.name
            return
        word = text or self._next_value(self.line.core.args["help"])
        if word and word not in self._known and not self._is_collection(word):
            raise self._unknown_word(word)
        self.line.help = word or alone

    def _is_collection(self, word: str) -> bool:
        return any(name.startswith(f"{word}.") for name in self._known)

    def _read_rest(self) -> None:
        """Words after `--`: values of the last task, or else words for the program it starts."""
        for argument, _ in zip(self._list_missing(), tuple(self.words), strict=False):
            self._set(argument, placeholder(argument), self.words.popleft())
        self.line.rest = list(self.words)
        self.words.clear()
        if self.line.rest and self.line.tasks and self.name not in self._programs:
            raise self._too_many(self.line.rest[0])

    def _set(self, argument: Argument, shown: str, word: str | None) -> None:
        if word is None:
            argument.set_value(True, cast=False)
            return
        try:
            argument.set_value(argument.kind(word), cast=False)
        except BadValueError as error:
            text = f"{shown}={word}" if word else shown
            raise UsageError(f"{text} {error.reason}", error.hint + self.usage) from None

    def _list_missing(self) -> list[Argument]:
        return [one for one in self.context.positional_args if one.raw_value is None]

    def _check_values(self) -> None:
        missing = [placeholder(one) for one in self._list_missing() if is_required(one)]
        if missing:
            raise UsageError(f"{self.name} needs {', '.join(missing)}", self.usage)

    def _share(self) -> None:
        """Give the option that stood before the first task to all tasks that take it."""
        if not self._shared:
            return
        takers: list[Any] = [one.flags[SHARED] for one in self.line.tasks if SHARED in one.flags]
        if self.line.tasks and not takers:
            raise UsageError(f"{self.name} has no option {SHARED}", self.usage)
        for argument in takers:
            if argument.raw_value is None:
                argument.set_value(self._shared.value, cast=False)

    def _unknown_word(self, word: str) -> UsageError:
        """No task of this name; `db.seed` is near `seed`, and near `db seed`."""
        shows = "all tasks: ./invoke"
        known = [one for one in self._known if one.rpartition(".")[2] not in _DELETING]
        near = [one for one in _OTHER_WORDS.get(word, ()) if one.split()[0] in known]
        near += [one for one in known if one.endswith(f".{word}")]
        near += [one for one in known if self.words and one == f"{word}.{self.words[0]}"]
        hint = f"did you mean {' or '.join(near)}? " if near else did_you_mean(word, known)
        if self.line.tasks and not hint:
            return self._too_many(word)
        return UsageError(f"there is no task {word}", f"{hint}{shows}")

    def _too_many(self, word: str) -> UsageError:
        takes = " ".join(map(placeholder, self.context.positional_args)) or "no values"
        return UsageError(f"unexpected argument {word}: {self.name} takes {takes}", self.usage)
