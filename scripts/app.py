"""What the app is: its SQL files, tables, users, sign-in, own steps and variables, from app.toml.

Every part is optional. Each key is declared once, with its kind, default and help; docs/app.md and
the error messages come from these declarations.
"""

import dataclasses
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.errors import DevError, did_you_mean

FILE = "app.toml"
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,49}")
SERVICES = ("postgres", "aws")
IDENTIFIER_RULE = "must be letters, digits and _, 50 at most, and not begin with a digit"


_ADD_SERVICE = "add it to services at the top of the file"


class _InvalidValueError(Exception):
    """The value of a key has the wrong type or form."""


Kind = Callable[[Path, Any], Any]


def _text(folder: Path, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise _InvalidValueError("must be a text")
    return value


def _identifier(folder: Path, value: Any) -> str:
    if not IDENTIFIER.fullmatch(_text(folder, value)):
        raise _InvalidValueError(IDENTIFIER_RULE)
    return str(value)


def _column(folder: Path, value: Any) -> str:
    if value == "":  # the app has no such column
        return ""
    return _text(folder, value)


def _path(folder: Path, value: Any) -> Path:
    path = folder / _text(folder, value)
    if not path.exists():
        raise _InvalidValueError(f"{value} does not exist in {folder}")
    return path


def _files(folder: Path, value: Any) -> tuple[Path, ...]:
    values = value if isinstance(value, list) else [value]
    paths = tuple(_path(folder, one) for one in values)
    for name, path in zip(values, paths, strict=True):
        if path.is_dir() and not (path / "toc.dat").exists():  # else pg_dump wrote it
            found = [f"{name.rstrip('/')}/{one.name}" for one in sorted(path.glob("*.sql"))]
            example = f", such as {json.dumps(found[:3], ensure_ascii=False)}" if found else ""
            raise _InvalidValueError(f"{name} is a folder; name its files in order{example}")
    return paths


def _texts(folder: Path, value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(_text(folder, one) for one in values)


def _services(folder: Path, value: Any) -> tuple[str, ...]:
    chosen = _texts(folder, value)
    if not chosen or not set(chosen).issubset(SERVICES):
        raise _InvalidValueError(f"must be a list of {' and '.join(SERVICES)}")
    return tuple(name for name in SERVICES if name in chosen)


def _switch(folder: Path, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _InvalidValueError("must be true or false")
    return value


def _sign_in(folder: Path, value: Any) -> str:
    if value not in ("email", "handle"):
        raise _InvalidValueError('must be "email" or "handle"')
    return str(value)


def _variables(folder: Path, value: Any) -> dict[str, str | bool]:
    if not isinstance(value, dict):
        raise _InvalidValueError("must be a table of variables")
    for name, text in value.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise _InvalidValueError(f"{name} is not the name of a variable")
        if not isinstance(text, str) and text is not False:
            raise _InvalidValueError(f"{name} must be a text, or false to leave it out")
    return value


def _key(kind: Kind, help: str, default: Any = dataclasses.MISSING) -> Any:
    return field(default=default, metadata={"kind": kind, "help": help})


@dataclass(frozen=True)
class Postgres:
    """[postgres]: the SQL files. Each key takes one path or an ordered list of paths."""

    schema: tuple[Path, ...] = _key(_files, "SQL that creates the tables", ())
    seed: tuple[Path, ...] = _key(_files, "SQL and CSV (TABLE.csv) that fills them", ())


@dataclass(frozen=True)
class DynamoDB:
    """[dynamodb]: the folders of table definitions and of items."""

    tables: Path | None = _key(_path, "TABLE.json: CreateTable requests", None)
    seeds: Path | None = _key(_path, "TABLE.jsonl or .jsonl.gz: items to load", None)


@dataclass(frozen=True)
class Users:
    """[users]: the table of users in Postgres and its columns."""

    table: str = _key(_text, "the table, with its schema if that is not public", "users")
    id: str = _key(_text, "the primary key", "uuid")
    handle: str = _key(_text, "the user name: preferred_username in Cognito", "handle")
    email: str = _key(_column, 'the e-mail address, "" for none', "email")
    name: str = _key(_column, 'the displayed name, "" for none', "display_name")
    cognito_id: str = _key(_column, 'the Cognito ID (sub), "" for none', "cognito_user_id")


@dataclass(frozen=True)
class Cognito:
    """[cognito]: the user pool."""

    sign_in: str = _key(_sign_in, 'what users type to sign in: "email" or "handle"', "email")


@dataclass(frozen=True)
class Messages:
    """[messages]: Cruddur's direct messages."""

    table: str = _key(_text, "the DynamoDB table", "cruddur-messages")
    seed: Path | None = _key(_path, "text file of conversations; without it, a built-in one", None)


@dataclass(frozen=True)
class AppStep:
    """[[step]]: a command of the app's own that is a step of setup and reset."""

    name: str = _key(_text, "its name")
    run: str = _key(_text, "the command, run by sh in the app's folder")
    after: tuple[str, ...] = _key(_texts, "the steps it needs", ("db.schema-load",))
    before: tuple[str, ...] = _key(_texts, "the steps that need it", ())
    done: str = _key(_text, "a command that exits 0 if there is nothing to do", "")
    once: bool = _key(_switch, "run it only once in each new database, as a seed", False)


@dataclass(frozen=True)
class App:
    """One app: its folder, and what its app.toml says. A part that is None does not exist."""

    folder: Path
    name: str
    services: tuple[str, ...] = SERVICES
    postgres: Postgres = Postgres()
    dynamodb: DynamoDB = DynamoDB()
    users: Users | None = None
    cognito: Cognito | None = None
    messages: Messages | None = None
    env: Mapping[str, str | bool] = field(default_factory=dict)
    steps: tuple[AppStep, ...] = ()

    @property
    def messages_table(self) -> str:
        """The table of the direct messages, "" without any."""
        return self.messages.table if self.messages else ""

    @property
    def sign_in(self) -> str:
        """How users sign in: `email` or `handle`."""
        return (self.cognito or Cognito()).sign_in


SECTIONS: dict[str, type] = {
    "postgres": Postgres,
    "dynamodb": DynamoDB,
    "users": Users,
    "cognito": Cognito,
    "messages": Messages,
}
TOP = ("name", "services", *SECTIONS, "env", "step")
_NEEDS: dict[str, tuple[str, ...]] = {  # the services of each section
    **dict.fromkeys(("postgres", "users"), ("postgres",)),
    **dict.fromkeys(("dynamodb", "cognito"), ("aws",)),
    "messages": SERVICES,
}


def load(folder: Path) -> App:
    """The app of a folder. Raises DevError with the line and the key for what cannot be used."""
    path = folder / FILE
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except FileNotFoundError:
        raise DevError(f"there is no {path}", f"./invoke init {folder} (writes one)") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DevError(f"{path} cannot be read: {error}", "it must be a UTF-8 file") from None
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        place = f"{FILE}:{line[1]}" if line else FILE
        raise DevError(f"{place}: {error}", "see docs/app.md for its form") from None
    return _Reader(folder, text).read(values)


def name_file(path: Path) -> str:
    """A file as messages name it: relative to the folder of the app.toml above it, if any."""
    for folder in path.parents:
        if (folder / FILE).is_file():
            return str(path.relative_to(folder))
    return str(path)


def name_files(paths: Sequence[Path]) -> str:
    """Files in one line, as messages name them."""
    return ", ".join(map(name_file, paths)) or "nothing"


def keys(section: type) -> list[dataclasses.Field[Any]]:
    """The keys of a section, in the order of their declaration."""
    return [one for one in dataclasses.fields(section) if "kind" in one.metadata]


def default_name(folder: Path) -> str:
    """The name of an app that has none in app.toml: that of its folder."""
    name = re.sub(r"[^a-z0-9]+", "_", folder.resolve().name.lower()).strip("_")[:40]
    return name if IDENTIFIER.fullmatch(name) else "app"


class _Reader:
    """Reads the parts of one app.toml; its text gives the lines of errors."""

    def __init__(self, folder: Path, text: str) -> None:
        self._folder, self._lines = folder, text.split("\n")

    def read(self, values: dict[str, Any]) -> App:
        """The app, each value checked."""
        for key in values:
            if key not in TOP:
                raise self._unknown("", key, TOP)
        parts = {
            name: self._section(name, section, values[name])
            for name, section in SECTIONS.items()
            if name in values
        }
        steps = values.get("step", [])
        if not isinstance(steps, list):
            raise self._error("", "step", "must be written as [[step]]")
        services = self._value("", "services", _services, values.get("services", list(SERVICES)))
        for name in parts:
            if missing := [one for one in _NEEDS[name] if one not in services]:
                raise self._error("", name, f"needs the service {missing[0]}", _ADD_SERVICE)
        app_steps = tuple(self._section("step", AppStep, step) for step in steps)
        if "postgres" not in services and any(step.once for step in app_steps):
            raise self._error("step", "once", "needs the service postgres", _ADD_SERVICE)
        return App(
            folder=self._folder,
            services=services,
            name=self._value(
                "", "name", _identifier, values.get("name", default_name(self._folder))
            ),
            env=self._value("", "env", _variables, values.get("env", {})),
            steps=app_steps,
            **parts,
        )

    def _section(self, name: str, section: type, values: Any) -> Any:
        if not isinstance(values, dict):
            raise self._error("", name, f"must be a section: [{name}]")
        known = {one.name: one for one in keys(section)}
        for key in values:
            if key not in known:
                raise self._unknown(name, key, list(known))
        for key, one in known.items():
            if one.default is dataclasses.MISSING and key not in values:
                raise self._error("", name, f"a [[{name}]] lacks the key {key}")
        found = {
            key: self._value(name, key, known[key].metadata["kind"], values[key]) for key in values
        }
        return section(**found)

    def _value(self, section: str, key: str, kind: Kind, value: Any) -> Any:
        try:
            return kind(self._folder, value)
        except _InvalidValueError as error:
            raise self._error(section, key, str(error)) from None

    def _unknown(self, section: str, key: str, known: Any) -> DevError:
        hint = f"{did_you_mean(key, known)}the keys are: {', '.join(known)}"
        return self._error(section, key, "is not a key", hint)

    def _error(self, section: str, key: str, problem: str, hint: str = "") -> DevError:
        shown = f"[{section}] {key}" if section else key
        hint = hint or "correct it; docs/app.md lists the keys"
        return DevError(f"{FILE}:{self._line(section, key)}: {shown} {problem}", hint)

    def _line(self, section: str, key: str) -> int:
        """The line of a key, as well as the text shows it; that of its section otherwise."""
        current, best = "", 1
        for number, line in enumerate(self._lines, start=1):
            if header := re.match(r"\s*\[+\s*([^\]\s]+)\s*\]+", line):
                current = header[1].strip("\"'")
                best = number if current in (section, key) else best
            elif current == section and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[.=]", line):
                return number
        return best
