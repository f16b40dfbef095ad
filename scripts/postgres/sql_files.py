"""SQL files: each run in one transaction, by psql; an error is told with its line."""

import re
from collections.abc import Sequence
from pathlib import Path

from scripts import clients, shell
from scripts.errors import DevError
from scripts.targets import Database

_PSQL_ERROR = re.compile(r"^psql:.*?:(\d+): (?:ERROR|FATAL|error):\s+(.*)$", re.M)
_STATEMENT = re.compile(r"^psql:.*?:\d+: STATEMENT:\s+(.*?)\s*(?=^psql:|^WARNING:|\Z)", re.M | re.S)
_LINE_IN_STATEMENT = re.compile(r"^LINE (\d+): ", re.M)
_LINE_IN_DATA = re.compile(r"^CONTEXT:\s+COPY \S+, line (\d+)", re.M)

# The server itself watches that a file stays in our transaction: a deferred trigger forbids any
# COMMIT before ours, and transactions after a ROLLBACK are read-only.
_ENDED = "something before ended the transaction, each file is one transaction"
_GUARD = """
SET TRANSACTION READ WRITE;
CREATE TEMPORARY TABLE invoke_guard (loading boolean) ON COMMIT DROP;
CREATE FUNCTION pg_temp.invoke_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('invoke.loaded', true) IS DISTINCT FROM 'yes' THEN
        RAISE 'to end the transaction is not allowed, each file is one transaction';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER invoke_guard AFTER INSERT ON invoke_guard
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.invoke_guard();
INSERT INTO invoke_guard VALUES (true);
"""


def load(database: Database, path: Path, after: str, before: Sequence[str] = ()) -> None:
    """Run the statements `before`, the file, and the statement `after`, all or nothing.

    Raises DevError with file:line, the cause and the statement for an error in the file, and for a
    file that ends the transaction itself.
    """
    first = [word for statement in [_GUARD, *before] for word in ("-c", statement)]
    last = ["-c", f"SET LOCAL invoke.loaded = 'yes'; {after}"]
    options = ["-X", "-q", "-b", "-1", "-v", "ON_ERROR_STOP=1"]
    done = shell.run(
        [
            shell.postgres_home(database.postgres_home) / "bin" / "psql",
            *options,
            *first,
            "-f",
            path,
            *last,
        ],
        env=clients.psql_environment(database)
        | {"PGOPTIONS": "-c default_transaction_read_only=on -c client_min_messages=error"},
    )
    if done.returncode:
        raise _sql_error(path, done.stderr)


def _sql_error(path: Path, stderr: str) -> DevError:
    """What psql said, as file:line, the cause and the statement."""
    error = _PSQL_ERROR.search(stderr)
    hint = f"correct {_shown(path)}; nothing of it was kept"
    if "in a read-only transaction" in stderr:
        place = f"{_shown(path)}:{error[1]}" if error else _shown(path)
        return DevError(f"{place}: {_ENDED}", hint)
    if not error:
        return DevError(f"{_shown(path)}: {stderr.strip()}", "./invoke status")
    line, shown = int(error[1]), ""
    if statement := _STATEMENT.search(stderr):
        line = _error_line(path, line, statement[1].split("\n"), stderr)
        shown = _indented(statement[1])
    return DevError(f"{_shown(path)}:{line}: {error[2]}{shown}", hint)


def _error_line(path: Path, end: int, statement: list[str], stderr: str) -> int:
    """The line of the file that an error is about; psql counts to the statement's last line.

    Going up from there: psql drops blank lines, and COPY's data lies between.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    places: list[int] = []
    for text in reversed(statement):
        above = range(min(end, len(lines)), 0, -1)
        end = next((line for line in above if text.strip() in lines[line - 1]), end)
        places.insert(0, end)
        end -= 1
    if data := _LINE_IN_DATA.search(stderr):
        return places[-1] + int(data[1])
    within = None if "\nQUERY:" in stderr else _LINE_IN_STATEMENT.search(stderr)
    return places[int(within[1]) - 1 if within else 0]


def _indented(statement: str, most: int = 8) -> str:
    lines = statement.splitlines()
    shown = lines[:most] + (["..."] if len(lines) > most else [])
    return "".join(f"\n  | {line}" for line in shown)


def _shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
