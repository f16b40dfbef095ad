"""Writes the parts of the manual that come from the code: `python -m tests.manual [FOLDER]`."""

import dataclasses
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from invoke.parser.argument import Argument

from scripts import app, settings
from scripts.cli import arguments, program
from scripts.cli.task import DevTask

SHARED = 4  # an option of so many tasks is explained once
TASKS = """# Tasks

Generated from the code by `.venv/bin/python -m tests.manual`; a test compares both.

`./invoke TASK` runs a task; `./invoke TASK --help` shows its options. Several tasks run in the
given order: `./invoke db.reset setup`. Options may stand before or after values; `--stack` before
the first task applies to all of them. Everything after `--` is a value even if it starts with `-`,
or an argument of the program that the task starts. Listing commands accept `--json`. Results go to
stdout, messages to stderr.

`--plan` checks the running services, shows which steps would run, and changes nothing; it exits
with 1 if a step would fail. `--dry` before or after the task does the same for every task. Exit
codes: 0 success, 1 failure, 2 usage error, 3 destructive action refused, 130 interrupted. `ci` and
`run` exit with the code of their command.
"""
SETTINGS = """# Settings

Generated from the code by `.venv/bin/python -m tests.manual`; a test compares both.

All settings are optional. A value comes from the first of these that has one: the task's option,
the environment variable, `.env`, the stack last chosen with `--stack` (remembered until `down`),
the default. An empty value counts as unset. Values in `.env` are literal: nothing in them is
expanded. `.env` is in the folder of `app.toml`. `./invoke doctor --all` shows each value and its
source.

Each setting has a second name with the prefix `DEV_`: `DEV_POSTGRES_PORT` for `POSTGRES_PORT`. It
overrides the name without the prefix in the same place, the environment or `.env`. Use it if your
app reads a variable of the same name that means something else. Names that begin with `DEV_` have
no second one.

On the local stacks, `up` and `setup` apply a setting that was changed after the first `setup`: they
create the role `POSTGRES_USER`, set its password, move Postgres to the port `POSTGRES_PORT`, and
give the new `COGNITO_PASSWORD` to the users who have the former one. A new `POSTGRES_DB` is a new
database; the former one is kept. What cannot be applied is an error that names the line in `.env`.

`DEV_APP`, the folder of the app, comes from the environment or from `--app` only.

| variable | default | |
|---|---|---|
"""


APP = """# app.toml

Generated from the code by `.venv/bin/python -m tests.manual`; a test compares both.

`app.toml` describes your app. The one in this project describes Cruddur. Every section is optional;
`setup` skips what the file does not mention, and prints in one line what it skipped. Paths are
relative to the file.

`./invoke init FOLDER` searches an existing repository, writes an `app.toml` there, and adds a
launcher so that `./invoke setup` works in that folder. The app's `.env` and `.dev` are in the same
folder. From other folders, name the app: `./invoke --app ../shop setup` or
`DEV_APP=../shop ./invoke setup`.

`name`, at the top of the file, is the name of the database and of the user pool (default: the name
of the folder). `services = ["postgres"]`, also at the top, starts only Postgres, `["aws"]` only
DynamoDB, Cognito and S3 (default: both).
"""
APP_ENV = """

## `[env]`

Variables for `./invoke env`, `./invoke run` and the app's own steps. `${NAME}` inserts the value of
a variable that `./invoke env` prints; `false` omits a variable:

```toml
[env]
CONNECTION_URL = "${DATABASE_URL}"
PGDATABASE = false
```
"""


def pages() -> dict[str, str]:
    """The text of each page, by its path from the project's root."""
    return {
        "docs/tasks.md": TASKS + "\n".join(_task_lines()) + "\n",
        "docs/app.md": APP + "\n".join(_app_lines()) + APP_ENV,
        "docs/settings.md": SETTINGS + "\n".join(_setting_lines()) + "\n",
        ".env.example": settings.example(),
    }


def _task_lines() -> Iterator[str]:
    from tasks import ns

    tasks = {name: ns[name] for name in ns.task_names}
    listed = {name: task.get_arguments() for name, task in tasks.items()}
    times = Counter(_option(one) for some in listed.values() for one in some if not one.positional)
    shared = {option for option, count in times.items() if count >= SHARED}
    yield "\nOptions of many tasks:\n"
    yield from (f"- {option}" for option in sorted(shared))
    ordered = sorted(tasks, key=lambda name: (name.rpartition(".")[0], name))
    for group, names in groupby(ordered, key=lambda name: name.rpartition(".")[0]):
        yield f"\n## {f'`{group}`' if group else 'The environment'}\n"
        for name in names:
            yield from _lines_of(name, tasks[name], listed[name], shared)


def _lines_of(
    name: str, task: DevTask, listed: Sequence[Argument], shared: set[str]
) -> Iterator[str]:
    words = program.usage(name, task).removeprefix("./invoke ").replace(" [options]", "")
    flags = ", ".join(f"`{arguments.flag(one)}`" for one in listed if _option(one) in shared)
    takes = f" Options: {flags}." if flags else ""
    yield f"- **`{words}`**: {' '.join((task.__doc__ or '').split())}{takes}"
    yield from (f"  - {_option(one)}" for one in listed if _option(one) not in shared)


def _option(argument: Argument) -> str:
    """An argument as the help shows it."""
    shown = arguments.placeholder(argument) if argument.positional else arguments.flag(argument)
    typed = not argument.positional and argument.takes_value
    return f"`{shown}{f'={argument.kind.name}' if typed else ''}`: {program.describe(argument)}"


def _app_lines() -> Iterator[str]:
    sections = [*app.SECTIONS.values(), app.AppStep]
    for section in sections:
        header, _, text = (section.__doc__ or "").partition(": ")
        yield f"\n## `{header}`\n\n{text[0].upper()}{text[1:]}\n"
        yield "| key | default | |\n|---|---|---|"
        for key in app.keys(section):
            yield f"| `{key.name}` | {_app_default(key.default)} | {key.metadata['help']} |"


def _app_default(default: object) -> str:
    if default is dataclasses.MISSING:
        return "required"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    shown = ", ".join(default) if isinstance(default, tuple) else default
    return f"`{shown}`" if shown else "none"


def _setting_lines() -> Iterator[str]:
    for field in settings.declared():
        default = f"`{field.default}`" if field.default != "" else "none"
        secret = "; doctor does not show it" if field.metadata["secret"] else ""
        yield f"| `{field.metadata['variable']}` | {default} | {field.metadata['help']}{secret} |"


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else settings.ROOT
    for path, text in pages().items():
        (folder / path).write_text(text, encoding="utf-8")
