"""init: finds what an existing repository has, and writes its app.toml and a launcher."""

import contextlib
import json
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts import state
from scripts.app import FILE, default_name
from scripts.errors import DevError
from scripts.settings import ROOT

LAUNCHER = "invoke"
MARK = "# Runs the tasks of a dev-bootstrap checkout for this app."
_URL = "${DATABASE_URL}"
_SKIPPED = {"node_modules", "vendor", "venv", "dist", "build", "site-packages", "cdk.out"}
_LARGEST = 300_000  # bytes of a file that is read
_MOST_FILES = 20_000
_READ = (".sql", ".py", ".rb", ".js", ".ts", ".yml", ".yaml", ".sh", ".erb", ".env", ".json", "")
_DATABASE = re.compile(
    r"postgres(?:ql)?://(?!\S*@(?:host|hostname|server|db_?host|\S*example)\b)"
    r"[^\s'\"]+?:\d+/([A-Za-z_][A-Za-z0-9_]{0,49})(?![A-Za-z0-9_])",
    re.I,
)
_SAMPLE = re.compile(  # and the databases of every server
    r"(?:my|your|the|some|new|app|test|example|sample|demo|user|foo|bar|_)*"
    r"(?:db|data_?base|pg|postgres(?:ql)?|template[01])?(?:_?name)?",
    re.I,
)
_DROPS = re.compile(r"^(?!\s*(?:#|--|//)).*\b(?:drop\s+database|dropdb)\b", re.I | re.M)
_TABLE = re.compile(
    r"table_?name['\"]?\s*[:=]\s*['\"]([a-zA-Z0-9_.-]*message[a-zA-Z0-9_.-]*)['\"]", re.I
)
_CONNECTION = re.compile(r"\b(CONNECTION_URL|DATABASE_URI|POSTGRES_URL|DB_URL)\b")
_TABLE_VARIABLE = re.compile(r"\b([A-Z][A-Z_]*MESSAGES?_TABLE(?:_NAME)?)\b")
_USERS = re.compile(
    r"create\s+table\s+(?:if\s+not\s+exists\s+)?([\w.\"]*users?\"?)\s*\((.*?)\);", re.I | re.S
)
_COLUMNS = {
    "id": ("uuid", "id", "user_id"),
    "handle": ("handle", "username", "user_name", "nickname", "login"),
    "email": ("email", "email_address"),
    "name": ("display_name", "full_name", "name"),
    "cognito_id": ("cognito_user_id", "cognito_user_uuid", "cognito_id", "cognito_sub", "sub"),
}


@dataclass(frozen=True)
class Found:
    """What was found in a repository; paths are relative to its folder."""

    name: str
    schema: list[str]
    seed: list[str]
    users: dict[str, str]
    has_cognito: bool
    messages: str
    tables: str
    env: dict[str, str]
    migrate: str
    drops: bool


def init(folder: Path) -> list[str]:
    """Write app.toml and the launcher; lines that say what was written and what to do next.

    Raises DevError if there is an app.toml; nothing that exists is overwritten.
    """
    if not folder.is_dir():
        raise DevError(f"{folder} is not a folder", "name the folder of the app's repository")
    path, launcher = folder / FILE, folder / LAUNCHER
    if os.path.lexists(path):
        raise DevError(f"{path} already exists", "edit it")
    found = search(folder)
    texts = {path: render(found)}
    start = f"cd {shlex.quote(str(folder))} && ./{LAUNCHER}"
    kept = os.path.lexists(launcher) and not _read(launcher).startswith(f"#!/bin/sh\n{MARK}\n")
    if kept:
        start = shlex.join([str(ROOT / LAUNCHER), "--app", str(folder)])
    else:  # app.toml comes last: where it exists, init has ended
        texts = {launcher: _launcher(folder), **texts}
    _write(texts)
    return [
        *(f"wrote {one}" for one in reversed(texts)),
        *([f"kept {launcher}, which is not this tool's; use {start}"] if kept else []),
        *_describe(found),
        f"next: read {path}, then: {start} setup",
    ]


def search(folder: Path) -> Found:
    """What the files of a repository say about its database, tables, users and sign-in."""
    files = sorted(_list_files(folder), key=lambda one: (len(one.parts), str(one)))
    texts = {one: _read(folder / one) for one in files}
    schema = _choose(files, "schema")
    seed = _choose(files, "seed", schema[0].parent if schema else None)
    names = _DATABASE.findall("\n".join(texts.values()))
    users = _find_users("\n".join(texts[one] for one in schema))
    sources = "\n".join(text for one, text in texts.items() if one.suffix != ".sql")
    messages = _most_common(_TABLE.findall(sources))
    env = dict.fromkeys(sorted(_CONNECTION.findall(sources)), _URL)
    if messages:
        env |= dict.fromkeys(sorted(_TABLE_VARIABLE.findall(sources)), messages)
    return Found(
        name=_most_common(names) or default_name(folder),
        schema=[str(one) for one in schema],
        seed=[str(one) for one in seed],
        users=users,
        has_cognito="cognito" in sources.lower() or "cognito_id" in users,
        drops=bool(_DROPS.search("\n".join(texts.values()))),
        messages=messages,
        tables=_find_definitions(texts),
        env=env,
        migrate=next((str(one) for one in files if str(one).endswith("bin/db/migrate")), ""),
    )


def render(found: Found) -> str:
    """The text of app.toml, with a comment for each part."""
    lines = [
        "# What this app is. Every part is optional; docs/app.md of the tool lists the keys.",
        "# Paths are relative to this file. The task init wrote it from what it found here.",
        f"name = {_quoted(found.name)}  # the database and the user pool have this name",
        "",
        "[postgres]",
        _files("schema", found.schema, "SQL that creates the tables"),
        _files("seed", found.seed, "SQL that fills them"),
    ]
    if found.tables:
        lines += ["", "[dynamodb]", f"tables = {_quoted(found.tables)}  # <table>.json files"]
    users = found.users or {"table": "users", **{key: names[0] for key, names in _COLUMNS.items()}}
    mark, missing = ("", "") if found.users else ("#", ": none was found")
    lines += ["", f"{mark}[users]  # the table of users and its columns{missing}"]
    lines += [f"{mark}{key} = {_quoted(value)}" for key, value in users.items()]
    if found.has_cognito:
        lines += ["", "[cognito]", 'sign_in = "email"  # or "handle"']
    if found.messages:
        lines += [
            "",
            "[messages]  # Cruddur's direct messages",
            f"table = {_quoted(found.messages)}",
        ]
    lines += ["", "[env]  # more variables for the tasks env and run, built from the others"]
    lines += [f"{name} = {_quoted(value)}" for name, value in found.env.items()]
    if _URL not in found.env.values():
        lines.append(f"#CONNECTION_URL = {_quoted(_URL)}")
    mark = "" if found.drops else "#"
    lines.append(f"{mark}PGDATABASE = false  # scripts that drop it must not be connected to it")
    command = found.migrate or "bin/db/migrate"
    lines += ["", "# A command of the app's own that is a step of setup and reset."]
    lines += ["#[[step]]", '#name = "migrate"', f"#run = {_quoted(command)}"]
    lines += ['#after = "db.schema-load"', '#before = "db.seed"']
    lines += ["", "# One that fills the database runs only once in each new one."]
    lines += ["#[[step]]", '#name = "fill"', '#run = "bin/db/seed"', "#once = true"]
    return "\n".join(lines) + "\n"


def _list_files(folder: Path) -> Iterator[Path]:
    """The files of a repository, without hidden and installed ones, and links."""
    count = 0
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(d for d in folders if d not in _SKIPPED and not d.startswith("."))
        for name in sorted(names):
            path = Path(parent) / name
            shown = path.relative_to(folder)
            if path.suffix not in _READ or not str(shown).isprintable() or count == _MOST_FILES:
                continue  # TOML, and a terminal, take no name that is not UTF-8 or has lines
            if path.is_file() and not path.is_symlink():
                count += 1
                yield shown


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            return ""
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _choose(files: Iterable[Path], word: str, near: Path | None = None) -> list[Path]:
    """The SQL file whose name begins with the word, `near` another one if possible."""
    found = [one for one in files if one.suffix == ".sql" and one.stem.lower().startswith(word)]
    close = [one for one in found if near is not None and one.is_relative_to(near)]
    exact = [one for one in (close or found) if one.stem.lower() in (word, f"{word}s")]
    return (exact or close or found)[:1]


def _find_users(schema: str) -> dict[str, str]:
    """The keys of [users] from CREATE TABLE users; {} if there is no such table with handles."""
    created = _USERS.search(re.sub(r"--[^\n]*", "", schema))
    if not created:
        return {}
    columns = {line.split()[0].strip('"').lower() for line in created[2].split(",") if line.split()}
    chosen = {
        key: next((name for name in names if name in columns), "")
        for key, names in _COLUMNS.items()
    }
    if not chosen["id"] or not chosen["handle"]:
        return {}
    return {"table": created[1].replace('"', "").removeprefix("public.")} | chosen


def _find_definitions(texts: dict[Path, str]) -> str:
    """The folder of the first CreateTable request in a JSON file."""
    for path, text in texts.items():
        if path.suffix == ".json" and "KeySchema" in text:
            try:
                definition = json.loads(text)
            except ValueError:
                continue
            if isinstance(definition, dict) and definition.get("TableName") == path.stem:
                return str(path.parent)
    return ""


def _most_common(names: Sequence[str]) -> str:
    usable = [name for name in names if not _SAMPLE.fullmatch(name)]
    return max(usable, key=usable.count, default="")


def _files(key: str, paths: Sequence[str], comment: str) -> str:
    if not paths:
        return f'#{key} = "db/{key}.sql"  # {comment}: none was found'
    return f"{key} = {_quoted(paths[0])}  # {comment}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _launcher(folder: Path) -> str:
    """The text of the launcher; the tool's path may have any character."""
    tool, name = (shlex.quote(one) for one in (os.path.relpath(ROOT, folder), ROOT.name))
    return _LAUNCHER_TEXT.format(mark=MARK, tool=tool, name=name)


def _write(texts: Mapping[Path, str]) -> None:
    """Write new files, all whole or none; a launcher can be run."""
    drafts = {path: path.with_name(f".{path.name}.init") for path in texts}
    try:
        for path, draft in drafts.items():
            draft.unlink(missing_ok=True)  # of a run that was killed
            mode = 0o755 if path.name == LAUNCHER else 0o644
            opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(opened, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(texts[path])
        for path, draft in drafts.items():
            draft.replace(path)
    except OSError as error:
        raise state.not_writable(path.parent, error) from None
    finally:
        for draft in drafts.values():
            with contextlib.suppress(OSError):
                draft.unlink()


def _describe(found: Found) -> Iterator[str]:
    parts = {
        "schema": ", ".join(found.schema),
        "seed": ", ".join(found.seed),
        "users": found.users.get("table", ""),
        "messages": found.messages,
    }
    for name, value in parts.items():
        yield f"  {name + ':':10} {value or 'not found'}"


_LAUNCHER_TEXT = """\
#!/bin/sh
{mark}
set -eu
app=$(CDPATH='' cd -P -- "$(dirname -- "$0")" && pwd)
for tool in "${{DEV_TOOL:-}}" "$app"/{tool} "$app"/{name} "$app"/../{name}; do
    if [ -n "$tool" ] && [ -x "$tool/invoke" ] && [ -f "$tool/tasks.py" ]; then
        DEV_APP=$app exec "$tool/invoke" "$@"
    fi
done
printf 'invoke: there is no %s folder in or beside %s\n' {name} "$app" >&2
echo "hint: clone it there, or set DEV_TOOL to the folder of your clone" >&2
exit 1
"""
