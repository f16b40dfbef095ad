"""db: the Postgres database."""

from pathlib import Path
from typing import TYPE_CHECKING

from scripts import stacks
from scripts.cli import output
from scripts.engine.pipeline import Step
from scripts.errors import count
from scripts.settings import Settings
from scripts.targets import Loss
from scripts.tasks.kinds import STACK, Call, listing, pipeline, replacement, step, task

if TYPE_CHECKING:
    from scripts.postgres.databases import Session


def _database_loss(settings: Settings) -> Loss | None:
    from scripts.postgres import databases

    return databases.find_loss(stacks.get_database(settings))


create = step("db.create", "Create the database.")


@replacement(_database_loss)
def drop(settings: Settings, confirmed: str) -> list[Step]:
    """Drop the database, disconnecting clients (undo reverts it)."""
    from scripts.environment import reset

    return reset.db_drop(settings, confirmed)


schema_load = step("db.schema-load", "Load the SQL schema in one transaction.")


@pipeline(help={"again": "load it even if it, or an earlier version, was loaded before"})
def seed(settings: Settings, again: bool = False) -> list[Step]:
    """Load the SQL seed in one transaction."""
    from scripts.environment import setup

    return setup.db_seed(settings, again)


@pipeline()
def setup(settings: Settings) -> list[Step]:
    """Create the database; load schema and seed if missing."""
    from scripts.environment import setup

    return setup.db_setup(settings)


@replacement(_database_loss)
def reset(settings: Settings, confirmed: str) -> list[Step]:
    """Rebuild the database from the SQL files (undo reverts it).

    Closes every connection to the database, as reset does.
    """
    from scripts.environment import reset

    return reset.db_reset(settings, confirmed)


@task(STACK, program="[-- PSQL-ARGUMENTS]")
def connect(call: Call) -> None:
    """Open psql; arguments after -- are passed to it."""
    from scripts.postgres import databases

    if not call.would(f"open psql on {stacks.targets(call.settings).database}"):
        databases.open_psql(stacks.get_database(call.settings), output.words_after_dashes())


@listing(
    "pid",
    "kind",
    "user",
    "application",
    "state",
    "since",
    "query",
    empty="no connections to the database",
)
def sessions(call: Call) -> "list[Session]":
    """List the connections to the database and what else uses it, such as prepared transactions."""
    from scripts.postgres import databases

    return databases.list_sessions(stacks.get_database(call.settings))


@task(STACK)
def kill_sessions(call: Call) -> None:
    """Close all connections to the database."""
    from scripts.postgres import databases

    if not call.would(f"close all connections to {stacks.targets(call.settings).database}"):
        database = stacks.get_database(call.settings)
        closed = count(databases.kill_sessions(database), "connection")
        output.say(f"closed {closed} to {database}")
        for holder, command in databases.list_holders(database):
            output.say(f"{holder}; to end it: {command}")


@task(
    STACK,
    help={
        "path": "CSV file; its first line names the columns",
        "table": "table name: users, billing.invoices",
    },
)
def load(call: Call, path: str, table: str) -> None:
    """Load a CSV file in one transaction."""
    from scripts.environment import transfer

    where = stacks.targets(call.settings).database
    if not call.would(f"load {path} into {table} of {where}"):
        transfer.load_rows(call.settings, Path(path), table)
