"""What psql prints for an error in an SQL file, as a DevError: file:line, the cause, a hint."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.app import name_file, name_files
from scripts.errors import DevError
from scripts.postgres import csv_load, sources

_PSQL_ERROR = re.compile(r"^psql:(.*?):(\d+): (?:ERROR|FATAL|error):\s+(.*)$", re.M)
_STATEMENT = re.compile(r"^psql:.*?:\d+: STATEMENT:\s+(.*?)\s*(?=^psql:|^WARNING:|\Z)", re.M | re.S)
_LINE_IN_STATEMENT = re.compile(r"^LINE (\d+): ", re.M)
_COMMENTS = re.compile(r"(?:\s|--[^\n]*|/\*(?:/\*.*?\*/|.)*?\*/)*", re.S)
_LINE_IN_DATA = re.compile(r"^CONTEXT:\s+COPY \S+, line (\d+)", re.M)
_AT_THE_END = re.compile(r"^ERROR:  (.*? violates .*)\nDETAIL:  (.*)$", re.M)
NO_TABLE = "created no table"
_ENDED = "an earlier statement ended the transaction; each file is one transaction"
_EXTENSION = re.compile(r'extension "(.*)" is not available')
_ROLE = re.compile(r'role "(.*)" already exists')
_CREATE_ROLE = re.compile(r"\bCREATE\s+(?:ROLE|USER|GROUP)\b[^;]*", re.I)
_PASSWORD = re.compile(r"(\bPASSWORD\s+)'(?:[^']|'')*'", re.I)


def translate(
    stderr: str,
    paths: Sequence[Path],
    origins: Mapping[str, Path],
    loads: Mapping[str, csv_load.Load],
) -> DevError:
    """What psql printed, as an error of the file and line where it occurred.

    `origins` has the file, or `loads` the CSV file, for each path under which psql read one.
    """
    stderr = stderr.rpartition(csv_load.RETRY)[2]
    error = _PSQL_ERROR.search(stderr)
    if error and error[1] in loads:
        return loads[error[1]].translate(stderr)
    path = origins.get(error[1], Path(error[1])) if error else paths[-1]
    if "in a read-only transaction" in stderr:
        place = f"{name_file(path)}:{error[2]}" if error else name_file(path)
        return DevError(f"{place}: {_ENDED}", _correct(path))
    if not error and NO_TABLE in stderr:
        return DevError(f"{name_files(paths)} {NO_TABLE}", "write CREATE TABLE statements in it")
    if not error and (late := _AT_THE_END.search(stderr)):
        return DevError(f"{name_files(paths)}: {late[1]}: {late[2]}", _correct(path))
    if not error:
        return DevError(f"{name_file(path)}: {stderr.strip()}", "./invoke status")
    line, cause, statement = int(error[2]), error[3], ""
    if found := _STATEMENT.search(stderr):
        path, line, statement = _locate(path, line, found[1], stderr)
        statement = _PASSWORD.sub(r"\1'<its password>'", statement)
    reason = f"{name_file(path)}:{line}: {cause}{_indented(statement)}"
    return DevError(reason, _find_hint(cause, statement) or _correct(path))


def _correct(path: Path) -> str:
    return f"correct {name_file(path)}; nothing was changed"


def _find_hint(cause: str, statement: str) -> str:
    """The hint for an error that is not a mistake in the file; "" for any other."""
    if _EXTENSION.search(cause):
        return (
            "the file may be correct, but this PostgreSQL does not have the extension; use one that"
            " has it: ./invoke setup --stack docker, or set"
            " POSTGRES_HOME=<folder of a PostgreSQL installation that has it>"
        )
    if _ROLE.search(cause) and (created := _CREATE_ROLE.search(statement)):
        return (
            "a role belongs to the server, so it exists already when the file is loaded into"
            f" another database; write: DO $$ BEGIN {' '.join(created[0].split())};"
            " EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
        )
    return ""


def _locate(path: Path, end: int, statement: str, stderr: str) -> tuple[Path, int, str]:
    """The file and line that an error is about, and the statement as it is written there.

    psql counts to the statement's last line.
    """
    try:
        text = path.read_bytes()
    except OSError:  # it was removed meanwhile
        return path, end, statement
    data = _LINE_IN_DATA.search(stderr)
    lines = text.decode(errors="replace").split("\n")
    for reference in sources.list_references(path, text) if data else []:
        if data and reference.line == end and not reference.is_include:
            return reference.target, int(data[1]), lines[end - 1].strip()
    end = min(end, len(lines))
    places = _find_places(lines, end, statement.split("\n"), is_before_data=bool(data))
    if data:
        return path, places[-1] + int(data[1]), statement
    within = None if "\nQUERY:" in stderr else _LINE_IN_STATEMENT.search(stderr)
    before = statement[: _COMMENTS.match(statement).end()]  # type: ignore[union-attr]
    return path, places[int(within[1]) - 1 if within else before.count("\n")], statement


def _find_places(
    lines: Sequence[str], end: int, statement: Sequence[str], is_before_data: bool
) -> list[int]:
    """The line of the file for each line of the statement, whose last one is at `end`, or above.

    psql drops blank lines, and its own commands; COPY's data follows its statement.
    """
    places: list[int] = []
    for text in reversed(statement):
        wanted = text.strip()
        while end > 1 and wanted not in lines[end - 1]:
            if not (is_before_data and not places) and not _is_dropped(lines[end - 1]):
                break  # a variable was replaced in this line
            end -= 1
        places.append(end)
        end = max(end - 1, 1)
    return places[::-1]


def _is_dropped(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith(("--", "\\"))


def _indented(statement: str, most: int = 8) -> str:
    if not statement:
        return ""
    lines = statement.splitlines()
    excerpt = lines[:most] + (["..."] if len(lines) > most else [])
    return "".join(f"\n  | {line}" for line in excerpt)
