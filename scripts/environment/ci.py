"""`ci`: a temporary environment, set up, checked, lent to a command, and always torn down."""

import contextlib
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from scripts import stacks, state
from scripts.cli import github, output
from scripts.engine import history
from scripts.engine.pipeline import Event
from scripts.environment import runner, setup, variables
from scripts.errors import DevError, UsageError
from scripts.settings import APP_VARIABLE, ROOT, Settings

GRACE_SECONDS = 5.0  # GitHub's runner gives a cancelled job ten in all
NOT_FOUND = 127  # what a shell says for a program that is not there
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PLACE = re.compile(r"(.+?):(\d+): ")


@dataclass(frozen=True)
class Outcome:
    """How a program ended, and after how many seconds."""

    what: str
    code: int
    seconds: float

    @property
    def state(self) -> str:
        """In the words of a step's events."""
        return f"ended with code {self.code}" if self.code else "finished"


def run(settings: Settings, command: Sequence[str]) -> int:
    """Set up a temporary environment, run the command in it, and remove it; the exit code.

    That is the one of the setup where it failed, else the command's. Raises UsageError for a stack
    that has no temporary environments, and SystemExit where a signal ends it.
    """
    if not stacks.targets(settings).mock:
        raise UsageError(
            f"the stack {settings.stack} has no temporary environments",
            "--stack embedded",
        )
    _clear_leftovers(settings)
    name = f"{settings.stack}_{secrets.token_hex(4)}"
    environment = replace(settings, throwaway=name)
    with _ending_by_signals():
        state.make_held_folder(settings.throwaways, name)
        try:
            return _use(environment, command)
        finally:
            _ignore_signals()
            with _group("ci: remove it all"):
                _tear_down(environment)


def _use(environment: Settings, command: Sequence[str]) -> int:
    """Set up, then the command; what became of both is shown to GitHub."""
    surroundings = dict(os.environ) | {
        APP_VARIABLE: str(environment.root),
        "DEV_THROWAWAY": environment.throwaway,
        "DEV_STACK": environment.stack,
    }
    tasks = str(ROOT / "tasks.py")
    outcomes = [
        _run("setup", [sys.executable, "-E", "-s", tasks, "setup"], surroundings, ours=True)
    ]
    if command and not outcomes[0].code:
        lent = variables.lend(environment, surroundings)
        outcomes.append(_run(shlex.join(command), command, lent))
    if github.is_here(os.environ):
        _tell_github(environment, outcomes)
    last = outcomes[-1]
    output.say(f"ci: {last.what}: {last.state} after {last.seconds:.2f} s")
    return last.code


def _run(what: str, argv: Sequence[str], env: Mapping[str, str], ours: bool = False) -> Outcome:
    """Run a program to its end. If a signal kills it, its code is 128 and the signal's number.

    If `ours`, it is killed with the programs it runs; otherwise it gets the signal that `ci` got.
    """
    begin = time.monotonic()
    with _group(f"ci: {what}"):
        try:
            process = subprocess.Popen(argv, env=env, process_group=0 if ours else None)
        except OSError as error:
            raise DevError(
                f"{argv[0]}: {error.strerror}", "check the words after --", NOT_FOUND
            ) from None
        try:
            code = process.wait()
        except SystemExit as end:
            number = signal.Signals(int(end.code or 0) - 128)
            if ours:
                os.killpg(process.pid, signal.SIGKILL)
            _end(process, number)
            output.say(f"\nci: ended by {number.name}")
            raise
    return Outcome(what, code if code >= 0 else 128 - code, time.monotonic() - begin)


def _end(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    """Pass the signal on, and wait; a Ctrl-C at the terminal went to the program too."""
    if number is not signal.SIGINT or not sys.stdin.isatty():
        process.send_signal(number)
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _clear_leftovers(settings: Settings) -> None:
    """Remove the temporary environments whose `ci` was killed."""
    for stack in stacks.MODULES:
        for folder in settings.throwaways.glob(f"{stack}_{'[0-9a-f]' * 8}"):
            if not state.hold(folder):
                continue
            output.say(f"ci: removing {folder.name}, left over from a run that was killed")
            try:
                _tear_down(replace(settings, stack=stack, throwaway=folder.name))
            except DevError as error:  # the engine is off, say: a later run tries again
                output.say(f"ci: {folder.name} was kept: {error.reason}")


def _tear_down(environment: Settings) -> None:
    runner.run(environment, "down", lambda: setup.down(environment, volumes=True))
    try:
        shutil.rmtree(environment.state)
    except OSError as error:
        raise state.not_writable(environment.state, error) from None


@contextlib.contextmanager
def _ending_by_signals() -> Iterator[None]:
    """Let the first signal that ends us raise SystemExit, and none after it."""

    def end(number: int, frame: object) -> None:
        _ignore_signals()
        raise SystemExit(128 + number)

    handlers = {number: signal.getsignal(number) for number in _ENDS}
    for number, handler in handlers.items():
        if handler is not signal.SIG_IGN:  # nohup, or a shell's background
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def _group(title: str) -> Iterator[None]:
    """A headline; in GitHub's log, a group that can be folded."""
    here = github.is_here(os.environ)
    show = output.say_command if here else output.say
    show(f"{'::group::' if here else ''}{output.one_line(title)}")
    try:
        yield
    finally:
        if here:
            output.say_command("::endgroup::")


def _tell_github(environment: Settings, outcomes: Sequence[Outcome]) -> None:
    """Errors at the lines they are about, and the steps with their times as the job's summary."""
    first = history.list_runs(environment.state / history.FOLDER)[
        -1:
    ]  # setup: before the command's
    ended = [event for run in first for event in run.events if event.kind != "started"]
    failed = [event for event in ended if event.kind == "failed"]
    for event in failed:
        output.say_command(
            github.error(event.detail, title=event.step, **_place(environment, event))
        )
    for outcome in outcomes:
        if outcome.code and not (outcome.what == "setup" and failed):
            output.say_command(github.error(f"ended with code {outcome.code}", title=outcome.what))
    if os.environ.get("GITHUB_STEP_SUMMARY"):
        rows = [(event.step, str(event.kind), event.seconds) for event in ended]
        rows += [(outcome.what, outcome.state, outcome.seconds) for outcome in outcomes]
        cells = [(step, state, f"{seconds:.2f}") for step, state, seconds in rows]
        text = github.table(("step", f"stack {environment.stack}", "seconds"), cells)
        github.append(os.environ, "GITHUB_STEP_SUMMARY", text)


def _place(environment: Settings, event: Event) -> dict[str, str]:
    """The file and line that an error begins with, {} if it is no file of the app."""
    place = _PLACE.match(event.detail)
    if not place:
        return {}
    path = environment.app.folder / place[1]
    return {"file": github.relative(path, os.environ), "line": place[2]} if path.is_file() else {}
