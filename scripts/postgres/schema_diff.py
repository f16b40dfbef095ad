"""How the structure of a database differs from what its schema file makes."""

import contextlib
import difflib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from scripts import clients, shell
from scripts.errors import DevError
from scripts.postgres import copies, databases, notes, sql_files
from scripts.targets import Database


def list_changes(
    database: Database, schema: Sequence[Path], migrate: Callable[[Database], None]
) -> list[str]:
    """What was changed by hand: lines of SQL, `-` before one that is missing, `+` before a new one.

    The files are loaded into a scratch database, `migrate` changes it, and it is dropped again.
    """
    with _scratch(database) as scratch:
        sql_files.load(scratch, schema, "", database.name)
        migrate(scratch)
        wanted, found = _structure(scratch), _structure(database)
    changes = difflib.unified_diff(wanted, found, lineterm="", n=0)
    return [line for line in changes if line[0] in "+-" and not line.startswith(("+++", "---"))]


@contextlib.contextmanager
def _scratch(database: Database) -> Iterator[Database]:
    scratch = database.named(f"{database.name[:20]}{databases.SCRATCH}{os.getpid()}")
    copies.drop(scratch)
    databases.create(scratch)
    try:
        yield scratch
    finally:
        copies.drop(scratch)


def _structure(database: Database) -> list[str]:
    """The statements that make the database, a line each; what we write down is not among them."""
    flags = ["--schema-only", "--no-owner", "--no-comments"]
    flags.append(f"--exclude-schema={notes.SCHEMA}")
    done = shell.run(
        [shell.postgres_home(database.postgres_home) / "bin" / "pg_dump", *flags],
        env=clients.psql_environment(database),
    )
    if done.returncode:
        raise DevError(f"pg_dump of {database}: {done.stderr.strip()}", "./invoke status")
    noise = ("--", "\\restrict", "\\unrestrict")  # the last two carry a random key
    return [line for line in done.stdout.splitlines() if line and not line.startswith(noise)]
