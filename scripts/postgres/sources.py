r"""The files of which an SQL file consists: itself, what it includes, and what it copies data from.

The paths in `\i`, `\ir`, `\include`, `\include_relative` and `\copy ... from` are relative to the
file that they stand in. psql itself resolves some against its working directory, so it runs copies
of such files in which the paths are absolute; line numbers stay the same.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from scripts import shell
from scripts.app import name_file
from scripts.errors import DevError

# Quotes, comments and data are passed over: a backslash in them is not a command of psql's.
_TOKEN = re.compile(
    rb"""
      --[^\n]*
    | /\*(?:/\*.*?\*/|.)*?\*/
    | (?<![\w$])[eE]'(?:[^'\\]|\\.)*'
    | '[^']*'
    | "[^"]*"
    | (?<![\w$])\$([^\W\d]\w*|)\$.*?\$\1\$
    | (?<![\w$])(?i:copy)\s[^;]*?\s(?i:from\s+stdin)\b[^;]*;[^\n]*\n.*?^\\\.
    | (?P<include>\\(?:include_relative|include|ir|i)(?![\w?+])[ \t]*)
      (?P<included>'(?:[^'\\\n]|\\.|'')*'|[^\s\\;]*)
    | (?P<copy>\\copy[ \t]+(?!\()[^\n]*?[ \t](?i:from)[ \t]+)
      (?P<copied>'(?:[^'\n]|'')*'|[^\s;]+)[^\n]*
    | \\\S*(?:'(?:[^'\\\n]|\\.)*'|[^\n\\])*
    """,
    re.X | re.S | re.M,
)
_COMMAND = re.compile(rb"\\(?:i|copy)")
_STREAMS = (b"stdin", b"pstdin", b"program")
# What people take for an SQL file, and the command that makes one of it.
_RESTORE = "{pg_restore} --no-owner --no-privileges -f {target} {source}"
_FORMS: tuple[tuple[str, Callable[[Path, bytes], bool], str], ...] = (
    ("a dump in the custom format of pg_dump", lambda _, text: text[:5] == b"PGDMP", _RESTORE),
    ("a dump in the tar format of pg_dump", lambda _, text: text[257:262] == b"ustar", _RESTORE),
    ("a dump in the directory format of pg_dump", lambda path, _: path.is_dir(), _RESTORE),
    (
        "compressed with gzip",
        lambda _, text: text[:2] == b"\x1f\x8b",
        "gzip -dc {source} > {target}",
    ),
    (
        "in UTF-16",
        lambda _, text: text[:2] in (b"\xff\xfe", b"\xfe\xff"),
        "iconv -f UTF-16 -t UTF-8 {source} > {target}",
    ),
)


@dataclass(frozen=True)
class Reference:
    """A command of psql's that reads another file; `start` and `end` are those of its path."""

    target: Path
    is_include: bool
    line: int
    start: int
    end: int
    command: bytes


def with_csv_files(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The seed files, each SQL file followed by the CSV files (<table>.csv) of its folder."""
    found = list(paths)
    for path in paths:
        if path.suffix != ".csv":
            found += sorted(one for one in path.parent.glob("*.csv") if one not in found)
    return tuple(found)


def digest(paths: Sequence[Path]) -> dict[str, str]:
    """The digest of each file, and of all that it reads, by name in the order of reading.

    Raises DevError if one of `paths` cannot be read. A file that another one reads may be missing:
    whether that is an error shows when it is loaded.
    """
    digests: dict[str, str] = {}
    for path in map(_absolute, paths):
        for file in _walk(path, ()):
            digests[name_file(file)] = _hash(file) if file.is_file() else "missing"
    return digests


def write_resolved(path: Path, folder: Path, origins: dict[str, Path]) -> Path:
    """The file to run in place of `path`: itself, or a copy in `folder` with absolute paths.

    `origins` is told of each file that psql will read, by the path under which it does.
    """
    path = _absolute(path)
    text = _read(path)
    run, parts, at = path, [], 0
    for reference in list_references(path, text):
        target = reference.target
        if reference.is_include and target.is_file():
            target = write_resolved(target, folder, origins)
        parts += [text[at : reference.start], reference.command, _quote(target, reference)]
        at = reference.end
    if parts:
        run = folder / f"{len(origins)}.sql"
        run.write_bytes(b"".join(parts) + text[at:])
    origins[str(run)] = path
    return run


def list_references(path: Path, text: bytes) -> list[Reference]:
    """The commands of psql's in the text of `path` that read other files."""
    if not _COMMAND.search(text):
        return []
    found = []
    line, at = 1, 0
    for token in _TOKEN.finditer(text):
        kind = "include" if token["include"] else "copy"
        word = token["included"] or token["copied"]
        if not word or (kind == "copy" and word.lower() in _STREAMS):
            continue
        line, at = line + text.count(b"\n", at, token.start()), token.start()
        command = rb"\i " if kind == "include" else token["copy"]
        target = _resolve(path, line, word)
        end = token.end("included" if token["include"] else "copied")
        found.append(Reference(target, kind == "include", line, token.start(), end, command))
    return found


def _walk(path: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """The file and all that it reads, in the order of reading."""
    if path in above:
        raise DevError(f"{path} includes itself", "remove one of the \\i commands")
    yield path
    for reference in list_references(path, _read(path)) if path.suffix != ".csv" else ():
        if reference.is_include and reference.target.is_file():
            yield from _walk(reference.target, (*above, path))
        else:
            yield reference.target


def _resolve(path: Path, line: int, word: bytes) -> Path:
    if word[:1] in b":`":
        raise DevError(
            f"{name_file(path)}:{line}: the path {os.fsdecode(word)} is not constant,"
            " so changes of the file could not be noticed",
            "write the path itself",
        )
    if word[:1] == b"'":
        word = re.sub(rb"\\(.)", rb"\1", word[1:-1].replace(b"''", b"'"))
    return _absolute(path.parent / Path(os.fsdecode(word)).expanduser())


def _quote(target: Path, reference: Reference) -> bytes:
    text = os.fsencode(target)
    if reference.is_include:
        text = text.replace(b"\\", b"\\\\")
    return b"'" + text.replace(b"'", b"''") + b"'"


def _absolute(path: Path) -> Path:
    return Path(os.path.normpath(path.absolute()))


def _read(path: Path) -> bytes:
    try:
        text = b"" if path.is_dir() else path.read_bytes()
    except OSError as error:
        raise DevError(
            f"{path} cannot be read: {error.strerror}",
            "correct its path in app.toml, or its permissions",
        ) from None
    for form, matches, command in _FORMS:
        if matches(path, text):
            target = path.with_name(f"{path.name.partition('.')[0]}.plain.sql")
            names = {"source": quote(str(path)), "target": quote(str(target))}
            program = quote(str(shell.postgres_home() / "bin" / "pg_restore"))
            raise DevError(
                f"{name_file(path)} is {form}, not an SQL file",
                f"{command.format(pg_restore=program, **names)}"
                f" (then name {name_file(target)} in app.toml instead)",
            )
    return text


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DevError(
            f"{path} cannot be read: {error.strerror}", "check its permissions"
        ) from None
