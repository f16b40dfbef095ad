"""What doctor asks about the data: is it what the files say, and does it hold together?"""

from functools import partial

from scripts import stacks, state
from scripts.cognito import sync, users
from scripts.cruddur import messages
from scripts.dynamodb import tables
from scripts.engine.checks import Check, Finding, fail, note, ok
from scripts.environment import ddb_steps
from scripts.postgres import copies, databases, schema_diff
from scripts.settings import Settings

ROWS = 1_000  # views of conversations that are looked at: on AWS, each is paid for


def checks(settings: Settings, running: set[str]) -> list[Check]:
    """The checks of what the running services hold; those of others can hold nothing to look at."""
    chosen = []
    if "postgres" in running:
        chosen += [
            Check("database", partial(_database, settings)),
            Check(
                "leftover databases",
                partial(_passing, settings),
                ("database",),
                partial(_drop_scratch, settings),
            ),
            Check("schema", partial(_schema, settings), ("database",)),
            Check("users", partial(_users, settings), ("database",)),
        ]
    if "aws" in running:
        chosen += [Check("tables", partial(_tables, settings))]
    if {"postgres", "aws"} <= running:
        chosen += [
            Check("conversations", partial(_conversations, settings), ("database", "tables"))
        ]
    return chosen


def _database(settings: Settings) -> Finding:
    database = stacks.get_database(settings)
    if not databases.exists(database):
        return note(f"there is no {database}", "./invoke setup")
    return ok(
        f"{database}: {databases.describe_counts(databases.count_rows(database)) or 'no tables'}"
    )


def _passing(settings: Settings) -> Finding:
    found = _list_passing(settings)
    if not found:
        return ok("none")
    shown = ", ".join(f"{name} ({size / 1e6:.0f} MB)" for name, size in found.items())
    removal = "; ".join(f"./invoke db.connect -- -c 'DROP DATABASE \"{name}\"'" for name in found)
    return note(f"left by a command that was killed, or still works: {shown}", removal)


def _list_passing(settings: Settings) -> dict[str, int]:
    """Not among them: the scratch databases of commands that still work."""
    found = copies.list_temporary(stacks.get_database(settings))
    owners = {name: name.partition(databases.SCRATCH)[2] for name in found}
    return {
        name: size
        for name, size in found.items()
        if not (owners[name].isdecimal() and state.is_alive(int(owners[name])))
    }


def _drop_scratch(settings: Settings) -> list[str]:
    """Drop what never held anything but what the files made."""
    server = stacks.get_database(settings)
    scratch = [name for name in _list_passing(settings) if databases.SCRATCH in name]
    for name in scratch:
        copies.drop(server.named(name))
    return [f"dropped {name}" for name in scratch]


def _schema(settings: Settings) -> Finding:
    """Which file made the database, and whether it was changed by hand since."""
    database, app = stacks.get_database(settings), settings.app
    if not app.postgres.schema:
        return ok("app.toml names no schema file")
    paths, shown = app.postgres.schema, app.list_files(app.postgres.schema)
    if not databases.exists(database) or "schema" not in databases.loaded(database):
        return note(f"{database} has no schema of ours", "./invoke db.schema-load")
    if not databases.is_loaded(database, "schema", paths):
        return fail(
            f"{shown} was changed since it made {database}",
            "./invoke db.reset builds it anew, and keeps this one for undo",
        )
    if not database.owned:
        return ok(f"{shown} made it; changes by hand are looked for on own servers only")
    if changes := schema_diff.list_changes(database, paths):
        return fail(
            "\n".join([f"{database} was changed by hand:", *changes]),
            f"write it into {shown}, or undo it",
        )
    return ok(f"as {shown} makes it")


def _users(settings: Settings) -> Finding:
    """Do users have a Cognito id? Some get theirs when they sign up in the app."""
    if not settings.app.users or not settings.app.cognito:
        return ok("app.toml names no users in a pool")
    everybody = _list_users(settings)
    unlinked = [user.handle for user in everybody if not user.cognito_user_id]
    if unlinked:
        return note(f"without a Cognito id: {sync.shorten(unlinked)}", "./invoke setup")
    if not everybody:
        return ok("none")
    return ok(f"{len(everybody)}, each with a Cognito id")


def _list_users(settings: Settings) -> list[users.User]:
    database = stacks.get_database(settings)
    return users.list_users(database) if databases.exists(database) else []


def _tables(settings: Settings) -> Finding:
    aws = stacks.get_aws(settings)
    definitions = ddb_steps.read_tables(settings)
    names = [definition["TableName"] for definition in definitions]
    if not names:
        return ok("app.toml names no tables")
    missing = [name for name in names if not tables.find_table(aws, name)]
    if missing:
        return note(f"not there: {', '.join(missing)}", "./invoke setup")
    waiting = [one["TableName"] for one in definitions if not tables.is_ready(aws, one)]
    if waiting:
        return note(f"not ACTIVE yet: {', '.join(waiting)}", "./invoke ddb.schema-load")
    return ok(f"{', '.join(names)} as their definitions say")


def _conversations(settings: Settings) -> Finding:
    """Is everyone who takes part in a conversation a user in Postgres?"""
    aws = stacks.get_aws(settings)
    if not settings.app.messages or not tables.find_table(aws, aws.messages):
        return ok("none")
    known = {user.uuid for user in _list_users(settings)}
    rows = list(messages.scan_rows(aws, ROWS))
    strangers = {row.group: row.owner for row in rows if row.owner not in known}
    shown = f"of {len(rows):,} views" + (" looked at" if len(rows) == ROWS else "")
    if strangers:
        return fail(
            f"{len(strangers)} conversations have a user who is not in Postgres, {shown}: "
            + sync.shorten([f"{group} ({owner})" for group, owner in strangers.items()]),
            "./invoke ddb.seed mends the seeded ones; for the others, bring the users back",
        )
    return ok(f"every user is in Postgres, {shown}")
