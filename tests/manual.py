"""Writes the parts of the manual that come from the code: `python -m tests.manual [FOLDER]`."""

import dataclasses
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from invoke.parser.argument import Argument

from scripts import app, settings

SHARED = 4  # an option of so many tasks is explained once
TASKS = """# Tasks

Made from the code by `.venv/bin/python -m tests.manual`; a test compares.

`./invoke TASK` runs one, `./invoke --help TASK` tells the same as this page. Several run one after
another: `./invoke db.reset setup`. What follows `--` goes to the program that a task starts. Data
goes to stdout, talk to stderr.
"""
SETTINGS = """# Settings

Made from the code by `.venv/bin/python -m tests.manual`; a test compares.

None is needed. A task's flag goes before an environment variable, that before a line of `.env`,
that before the stack chosen last with `--stack` (kept until `down`), that before the default. An
empty value counts as unset. Values in `.env` are taken as they stand: nothing in them is replaced.
`./invoke doctor` shows each value and where it came from.

| variable | default | |
|---|---|---|
"""


APP = """# app.toml

Made from the code by `.venv/bin/python -m tests.manual`; a test compares.

`app.toml` describes the app: the shipped one describes Cruddur. Every part is optional; what is
left out is skipped, and `setup` says so in one line. Paths are relative to the file.

`./invoke init FOLDER` searches an existing repository and writes one there, with a launcher, so
that `./invoke setup` works in that folder. Its `.env` and `.dev` are there, too. In other places,
`DEV_APP` names the folder: `DEV_APP=../shop ./invoke setup`, or `./invoke --app ../shop setup`.

At the top: `name`, from which the database and the user pool get their names (default: the name of
the folder).
"""
APP_ENV = """

## `[env]`

Variables for `./invoke env`, `./invoke run` and the app's own steps. `${NAME}` stands for one of
ours (`./invoke env` lists them); `false` leaves one of ours out:

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
    # Once: a task gives away the help of its options.
    arguments = {name: task.get_arguments() for name, task in tasks.items()}
    times = Counter(_option(one) for some in arguments.values() for one in some)
    shared = {option for option, count in times.items() if count >= SHARED}
    yield "\nOptions of many tasks:\n"
    yield from (f"- {option}" for option in sorted(shared))
    ordered = sorted(tasks, key=lambda name: (name.rpartition(".")[0], name))
    for group, names in groupby(ordered, key=lambda name: name.rpartition(".")[0]):
        yield f"\n## {f'`{group}`' if group else 'The environment'}\n"
        for name in names:
            yield from _lines_of(name, tasks[name].__doc__ or "", arguments[name], shared)


def _lines_of(
    name: str, doc: str, arguments: Sequence[Argument], shared: set[str]
) -> Iterator[str]:
    words = [name, *(_placeholder(one) for one in arguments if one.positional)]
    flags = ", ".join(f"`--{_flag(one)}`" for one in arguments if _option(one) in shared)
    takes = f" Takes {flags}." if flags else ""
    yield f"- **`{' '.join(words)}`**: {doc.strip()}{takes}"
    yield from (f"  - {_option(one)}" for one in arguments if _option(one) not in shared)


def _option(argument: Argument) -> str:
    shown = _placeholder(argument) if argument.positional else f"--{_flag(argument)}"
    plain = isinstance(argument.default, bool) or argument.default in (None, "")
    return f"`{shown}`: {argument.help}{'' if plain else f' (default: `{argument.default}`)'}"


def _placeholder(argument: Argument) -> str:
    name = _flag(argument).upper()
    return f"[{name}]" if hasattr(argument, "value_when_absent") else name


def _flag(argument: Argument) -> str:
    return str(argument.name).replace("_", "-")


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
