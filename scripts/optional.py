"""Positional arguments that may be left out, which Invoke's parser does not know."""

from typing import Any

from invoke.parser.argument import Argument
from invoke.parser.parser import ParseMachine
from invoke.tasks import Task

_absent = "value_when_absent"


class OptionalPositional(Task[Any]):
    """A task whose positional arguments may be left out if its signature gives them a default.

    Invoke takes a value by position only for an argument without a default, and then insists on
    one. So the default is put aside while it parses, and filled in when the task's words end.
    """

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """The task's arguments, their defaults put aside where they are positional."""
        arguments = super().get_arguments(ignore_unknown_help)
        for argument in arguments:
            if argument.positional:
                setattr(argument, _absent, argument.default)
                argument.default = None
        return arguments


_complete_context = ParseMachine.complete_context


def _fill_in_and_complete(machine: ParseMachine) -> None:
    for argument in machine.context.positional_args if machine.context else []:
        if argument.value is None and hasattr(argument, _absent):
            argument.set_value(getattr(argument, _absent), cast=False)
    _complete_context(machine)


ParseMachine.complete_context = _fill_in_and_complete  # type: ignore[method-assign,assignment]
