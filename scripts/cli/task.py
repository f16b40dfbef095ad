"""Invoke's Task with identity, typed arguments and an error boundary."""

import inspect
from typing import Any

from invoke.parser.argument import Argument
from invoke.tasks import Task

from scripts.cli import output
from scripts.cli.values import Text
from scripts.errors import explain


class DevTask(Task[Any]):
    """A task of this project.

    Invoke treats two tasks as one if their names and code are equal, as those of `db.reset` and
    `reset` may be. Here each task is equal to itself only. `program` names the words after `--`
    that the task passes to a program, "" if it takes none.
    """

    program = ""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body. A failure that the user can fix ends the program, without a traceback."""
        try:
            return super().__call__(*args, **kwargs)
        except Exception as error:
            failure = explain(error)
            if not failure:
                raise
            raise output.failure(failure.message, failure.code) from None

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """The task's arguments; the `kind` of each but a switch is a Value."""
        texts = dict(self.help)
        arguments = super().get_arguments(ignore_unknown_help)
        self.help = texts  # Invoke takes them away
        parameters = self.argspec(self.body).parameters
        for argument in arguments:
            if argument.kind is not bool:
                argument.kind = _value_of(parameters[str(argument.name)])
        return arguments


def _value_of(parameter: inspect.Parameter) -> Any:
    """The Value that a parameter is annotated with; any text if it is with none."""
    return getattr(parameter.annotation, "__metadata__", (Text(),))[0]
