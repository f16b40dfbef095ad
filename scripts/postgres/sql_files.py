"""SQL files, run by psql, all of them in one transaction."""

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts import clients, shell
from scripts.errors import DevError
from scripts.postgres import csv_load, properties, sequences, sources, sql_errors
from scripts.targets import Database

# The server itself watches that a file stays in our transaction: a deferred trigger forbids any
# COMMIT before the last one, and transactions after a ROLLBACK are read-only.
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
# Files written for RDS grant these. Another load may create them at the same time.
_ROLES_OF_RDS = """
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['rds_iam', 'rds_superuser'] LOOP
        IF to_regrole(name) IS NULL THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        END IF;
    END LOOP;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END $$;
"""
# What a file has set, a role or a search path, does not apply to our own statements.
_AFTER = f"""
RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; SET LOCAL invoke.loaded = 'yes';
SET CONSTRAINTS ALL IMMEDIATE; {sequences.ADVANCE}
"""


def load(
    database: Database, paths: Sequence[Path], after: str = "", live: str = "", table: str = ""
) -> str:
    """Run the files in this order, and the statement `after`: all or nothing; what they print.

    `live` is the name by which the files know the database, if it does not have that yet. A CSV
    file is loaded into the table of its name, or into `table`. Raises DevError with file:line, the
    cause and the statement for an error in a file, and for a file that ends the transaction itself.
    """
    before = [_GUARD, properties.before_load(live or database.name, database.name)]
    if database.owned:
        before.append(_ROLES_OF_RDS)
    origins: dict[str, Path] = {}
    loads: dict[str, csv_load.Load] = {}
    with contextlib.ExitStack() as stack:
        try:  # there may be no folder that takes temporary files
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="invoke-")))
            files = []
            for number, path in enumerate(paths):
                if table or path.suffix == ".csv":
                    files.append(folder / f"{number}.csv.sql")
                    one = csv_load.prepare(database, path, table or path.stem)
                    files[-1].write_bytes(one.script())
                    loads[str(files[-1])] = one
                else:
                    files.append(sources.write_resolved(path, folder, origins))
        except OSError as error:
            raise DevError(
                f"temporary files cannot be written: {error.strerror}", "df -h"
            ) from None
        psql = shell.postgres_home(database.postgres_home) / "bin" / "psql"
        done = shell.run(
            [
                *(psql, "-X", "-q", "-b", "-1", "-v", "ON_ERROR_STOP=1"),
                *(word for statement in before for word in ("-c", statement)),
                *(word for file in files for word in ("-f", file)),
                *("-c", f"{_AFTER} {after}; {properties.after_load()}"),
            ],
            env=clients.psql_environment(database)
            | {"PGOPTIONS": "-c default_transaction_read_only=on -c client_min_messages=error"},
        )
    if done.returncode:
        raise sql_errors.translate(done.stderr, paths, origins, loads)
    return done.stdout
