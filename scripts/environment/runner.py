"""How a list of steps is run: locked, shown and recorded."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

from scripts import stacks, state
from scripts.cli import output
from scripts.engine import history, pipeline
from scripts.engine.pipeline import Event, Step
from scripts.errors import DevError
from scripts.settings import Settings

Say = Callable[[str], None]
Show = Callable[[Sequence[Step]], AbstractContextManager[Callable[[Event], None]]]


def run(
    settings: Settings,
    command: str,
    compose: Callable[[], Sequence[Step]],
    following: str = "",
    say: Say = output.say,
    show: Show = output.show,
) -> None:
    """Run the steps, no other pipeline beside them, and say how to go on: with `following`.

    They are composed when it is their turn. `show` gives a listener for their events, the terminal
    by default. Raises DevError if a step fails.
    """
    begin = time.monotonic()
    failure = None
    try:
        with state.lock(settings, command, say), _stack_chosen(settings, command, say):
            _run(settings, command, compose(), show)
    except pipeline.FailedError as error:
        failure = error
    except SystemExit as interrupt:
        # The steps' threads may be deep in C code, which a regular exit can crash.
        os._exit(int(interrupt.code or 0))
    flag = stacks.flag(settings)
    seconds = f"{time.monotonic() - begin:.2f} s"
    if failure:
        again = "ci" if settings.throwaway else command
        hint = f"mend that, then go on with: ./invoke {again} {flag}".rstrip()
        raise DevError(f"{command}: {failure.reason} after {seconds}", hint, failure.code)
    done = f"{command}: done in {seconds}"
    if following and not settings.throwaway:
        done += f"; next{f', with {flag}' if flag else ''}: {following}"
    say(done)


def _run(settings: Settings, command: str, steps: Sequence[Step], show: Show) -> None:
    with (
        history.record(settings.state / history.FOLDER, command, steps) as record,
        show(steps) as listen,
    ):

        def emit(event: Event) -> None:
            if event.kind != "progress":  # a record says what became of the steps
                record(event)
            listen(event)

        pipeline.run(steps, emit)


@contextlib.contextmanager
def _stack_chosen(settings: Settings, command: str, say: Say) -> Iterator[None]:
    """A stack that --stack chose stays this checkout's from `setup` or `up` to `down`."""
    if command in ("setup", "up") and (beside := stacks.switch(settings)):
        say(beside)
    yield
    if command == "down":
        state.forget_stack(settings)
