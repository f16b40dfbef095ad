"""The tasks without a prefix that serve this tool itself: completion, benchmarks, tests."""

import os
import shlex
import sys
from pathlib import Path

from scripts import settings
from scripts.cli import output
from scripts.tasks.kinds import Call, task


@task(help={"folder": "the folder of the app's repository"})
def init(call: Call, folder: str) -> None:
    """Write app.toml for an existing repository."""
    from scripts.environment import scaffold

    if not call.would(f"search {folder}, and write app.toml and a launcher there"):
        for line in scaffold.init(Path(folder).resolve()):
            output.say(line)


@task(
    help={
        "install": "put it where the shell finds it, instead of printing it",
        "shell": "which one: bash, zsh, fish; without it, the one of $SHELL",
    }
)
def completion(call: Call, install: bool = False, shell: str = "") -> None:
    """Print or install completion for the shell."""
    from scripts.cli import completion

    chosen = completion.choose_shell(shell, os.environ)
    if not install:
        output.write(completion.script(chosen).rstrip())
    elif not call.would(f"install the completion of {chosen}"):
        for line in completion.install(chosen, os.environ):
            output.say(line)


@task(help={"quick": "few rounds and small loads, and write nothing down"})
def bench(call: Call, quick: bool = False) -> None:
    """Measure against other ways; docs/benchmarks.md."""
    _python(call, f"benchmarks{' --quick' if quick else ''}")


@task()
def screenshots(call: Call) -> None:
    """Take the README's pictures of the pages."""
    _python(call, "tests.screenshots")


@task()
def test(call: Call) -> None:
    """Check format, lint, types; run all tests."""
    for tool in ("ruff format --check --quiet", "ruff check --quiet", "mypy", "pytest"):
        _python(call, tool)


def _python(call: Call, module: str) -> None:
    with call.context.cd(str(settings.ROOT)):
        call.context.run(f"{shlex.quote(sys.executable)} -m {module}", echo=True)
