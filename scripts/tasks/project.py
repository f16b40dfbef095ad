"""The tasks without a prefix that serve this tool itself: completion, benchmarks, tests."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

from scripts import settings
from scripts.cli import completion as completions
from scripts.cli import output
from scripts.cli.values import Choice
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
        "install": "install it for your shell instead of printing it",
        "shell": "which shell",
    }
)
def completion(
    call: Call,
    install: bool = False,
    shell: Annotated[str, Choice(completions.SHELLS, unset="$SHELL")] = "",
) -> None:
    """Print or install completion for the shell."""
    chosen = completions.choose_shell(shell, os.environ)
    if not install:
        output.write(completions.script(chosen).rstrip())
    elif not call.would(f"install the completion for {chosen}"):
        for line in completions.install(chosen, os.environ):
            output.say(line)


@task(help={"quick": "fewer rounds and smaller loads; do not save the results"})
def bench(call: Call, quick: bool = False) -> None:
    """Measure and compare times; writes docs/benchmarks.md."""
    _python(call, f"benchmarks{' --quick' if quick else ''}")


@task()
def screenshots(call: Call) -> None:
    """Take the screenshots for the README."""
    _python(call, "tests.screenshots")


@task(help={"all": "also every case of the long matrices, which take hours"})
def test(call: Call, all: bool = False) -> None:
    """Check format, lint and types; run the tests."""
    pytest = f"pytest{' --all' if all else ''}"
    for tool in ("ruff format --check --quiet", "ruff check --quiet", "mypy", pytest):
        _python(call, tool)


def _python(call: Call, module: str) -> None:
    with call.context.cd(str(settings.ROOT)):
        call.context.run(f"{shlex.quote(sys.executable)} -m {module}", echo=True)
