"""Invoke's Task with identity, optional positional arguments and an error boundary."""

from typing import Any

from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.parser.parser import ParseMachine
from invoke.tasks import Task

from scripts.errors import DevError

_absent = "value_when_absent"


class DevTask(Task[Any]):
    """A task of this project.

    Invoke treats two tasks as one if their names and code are equal, as those of `db.reset` and
    `reset` may be. Here each task is equal to itself only.
    """

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body. A DevError ends the program with its message, without a traceback."""
        try:
            return super().__call__(*args, **kwargs)
        except DevError as error:
            raise Exit(error.message, error.code) from None

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """The task's arguments. A positional one may have a default.

        Invoke takes a value by position only for an argument without a default, and then requires
        one. So the default is removed while it parses, and filled in at the end.
        """
        arguments = super().get_arguments(ignore_unknown_help)
        for argument in arguments:
            if argument.positional and argument.default is not None:
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
