"""GitHub Actions: the formats of a job's log, its summary and its variables."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts import state
from scripts.errors import DevError

# The runner accepts `::error::` after white space only, the older `##[error]` anywhere in a line.
_COMMAND = re.compile(r"(?:^|\r)\s*:(?=:)|#(?=#\[)", re.M)


def is_here(environ: Mapping[str, str]) -> bool:
    """Is this a step of a job?"""
    return environ.get("GITHUB_ACTIONS") == "true"


def append(environ: Mapping[str, str], variable: str, text: str) -> None:
    """Append lines to the file that a variable of the job names, such as GITHUB_ENV."""
    path = Path(environ[variable])
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")
    except OSError as error:
        raise state.not_writable(path, error) from None


def require_job(environ: Mapping[str, str]) -> None:
    """Raise DevError outside of a job that accepts variables."""
    if not environ.get("GITHUB_ENV"):
        raise DevError(
            "not in a GitHub Actions job: GITHUB_ENV is not set",
            'in a shell: eval "$(./invoke env --format shell)"',
        )


def without_commands(text: str, environ: Mapping[str, str], separator: str = " ") -> str:
    """The text without workflow commands, whatever it quotes; `separator` breaks them up."""
    if not is_here(environ) or not ("::" in text or "##[" in text):
        return text
    return _COMMAND.sub(rf"\g<0>{separator}", text)


def mask(secret: str) -> list[str]:
    """The commands that hide a text in the log, one for each of its lines."""
    return [f"::add-mask::{_escape(line)}" for line in secret.splitlines() if line]


def error(message: str, **where: str) -> str:
    """The command that shows an error in the job, and at the line `file`, `line`."""
    properties = ",".join(f"{name}={_escape_property(text)}" for name, text in where.items())
    return f"::error {properties}::{_escape(message)}"


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table in Markdown, for the job's summary."""
    cells = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_escape_cell, row))} |" for row in cells)


def relative(path: Path, environ: Mapping[str, str]) -> str:
    """A file as the job names it: from its workspace."""
    return os.path.relpath(path, environ.get("GITHUB_WORKSPACE") or Path.cwd())


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")


def _escape_cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
