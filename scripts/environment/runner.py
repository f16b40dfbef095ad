"""How a list of steps is run: locked, shown and recorded."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from scripts import stacks, state
from scripts.cli import output, progress
from scripts.engine import history, pipeline
from scripts.engine.pipeline import Event, Step
from scripts.errors import DevError, with_option
from scripts.settings import Settings
from scripts.stacks import processes

Say = Callable[[str], None]
Show = Callable[[Sequence[Step]], AbstractContextManager[Callable[[Event], None]]]


def run(
    settings: Settings,
    command: str,
    compose: Callable[[], Sequence[Step]],
    following: str = "",
    line: str = "",
    say: Say = output.say,
    show: Show = progress.show,
) -> set[str]:
    """Run the steps, never two pipelines at once, and print what to do next: `following`.

    They are composed once it is their turn. `line` is the command with its values, to repeat it;
    `show` gives a listener for their events, the terminal by default. Returns the names of the
    steps that were already done. DevError: a step fails.
    """
    skipped: set[str] = set()
    begin = time.monotonic()
    failure = None
    try:
        with state.lock(settings, command, say), _stack_chosen(settings, command, say):
            stacks.adopt(settings, say)
            processes.trim_logs(settings.state)
            steps = compose()
            stacks.check_running(settings, {name for step in steps for name in step.servers})
            _run(settings, command, steps, show, skipped)
    except pipeline.FailedError as error:
        failure = error
    except SystemExit as interrupt:
        # The steps' threads may be deep in C code, which a regular exit can crash.
        os._exit(int(interrupt.code or 0))
    flag = stacks.flag(settings)
    seconds = f"{time.monotonic() - begin:.2f} s"
    if failure:
        again = "ci" if settings.throwaway else line or command
        rerun = with_option(f"Fix the error above, then rerun: ./invoke {again}", flag)
        reason = f"{command}: {failure.reason} after {seconds}\n{rerun}"
        raise DevError(reason, code=failure.code)  # without a hint: the failed step has one
    done = f"{command}: done in {seconds}"
    if following and not settings.throwaway:
        done += f"; next: {with_option(following, flag)}"
    say(done)
    return skipped


def _run(
    settings: Settings, command: str, steps: Sequence[Step], show: Show, skipped: set[str]
) -> None:
    with (
        history.record(settings.state / history.FOLDER, command, steps) as record,
        show(steps) as listen,
    ):

        def emit(event: Event) -> None:
            if event.kind != "progress":  # a record says what became of the steps
                record(event)
            if event.kind == "skipped":
                skipped.add(event.step)
            listen(replace(event, detail=with_option(event.detail, stacks.flag(settings))))

        pipeline.run(steps, emit)


@contextlib.contextmanager
def _stack_chosen(settings: Settings, command: str, say: Say) -> Iterator[None]:
    """Remember the stack that --stack chose, from its first running service until `down`."""
    try:
        yield
    finally:
        if command == "down":
            state.forget_stack(settings)
        elif command in ("setup", "up") and (beside := stacks.switch(settings)):
            say(beside)
