"""What doctor checks about the data: does it match the files, and is it consistent?"""

from functools import partial
from shlex import quote

from scripts import clients, stacks, state
from scripts.app import name_files
from scripts.cognito import sync, users
from scripts.cruddur import messages
from scripts.dynamodb import tables
from scripts.engine.checks import Check, Finding, fail, note, ok
from scripts.environment import app_steps, ddb_steps, journal, snapshots, transaction
from scripts.errors import DevError, count
from scripts.postgres import copies, databases, reader, schema_diff
from scripts.settings import Settings

ROWS = 1_000  # rows of conversations that are read at most: on AWS, each costs money


def checks(settings: Settings, started: set[str]) -> list[Check]:
    """The checks of the data in the services that were started; they need these to be healthy."""
    chosen = []
    if "postgres" in started:
        chosen += [
            Check("database", partial(_database, settings), ("postgres",)),
            Check(
                "leftover databases",
                partial(_passing, settings),
                ("database",),
                partial(_drop_scratch, settings),
            ),
            Check("role passwords", partial(_role_passwords, settings), ("postgres",)),
            Check("schema", partial(_schema, settings), ("database",)),
            Check(
                "users",
                partial(_users, settings, "aws" in started),
                ("database", *({"aws"} & started)),
            ),
        ]
    if "aws" in started:
        needs = ("aws", "dynamodb") if "dynamodb" in started else ("aws",)
        chosen += [Check("tables", partial(_tables, settings), needs)]
    first = settings.app.services[0]  # Postgres has the databases of saved states
    if first in started:
        chosen += [Check("saved states", partial(_saved_states, settings), (first,))]
    if {"postgres", "aws"} <= started:
        chosen += [
            Check("conversations", partial(_conversations, settings), ("database", "tables"))
        ]
    return chosen


def _role_passwords(settings: Settings) -> Finding:
    database = stacks.get_database(settings)
    outdated = databases.list_outdated_roles(database) if database.owned else []
    names = [name for name in outdated if name != reader.ROLE]  # which no client of the app uses
    if not names:
        return ok("every client accepts how they are stored")
    commands = ["./invoke db.connect -- -c " + quote("\\password " + name) for name in names]
    return note(
        f"some clients refuse how an earlier version stored those of: {', '.join(names)}",
        "; ".join(commands),
    )


def _database(settings: Settings) -> Finding:
    database = stacks.get_database(settings)
    if not databases.exists(database):
        fix = _find_undo(settings, "db.drop") or "./invoke setup"
        return note(f"there is no database {database}", fix)
    rows = databases.describe_counts(databases.count_rows(database))
    return ok(f"{database}: {rows or 'no tables'}")


def _find_undo(settings: Settings, *commands: str) -> str:
    """The fix by undo, if one of these commands was the last change; else ""."""
    try:
        _, saved = transaction.get_last(settings)
    except DevError:  # there is none, or it is damaged
        return ""
    last = saved.command.removeprefix("./invoke ")
    return f"./invoke undo (reverts {last})" if last in commands else ""


def _passing(settings: Settings) -> Finding:
    found = _list_passing(settings)
    if not found:
        return ok("none")
    shown = ", ".join(f"{name} ({size / 1e6:.0f} MB)" for name, size in found.items())
    removal = "; ".join(f"./invoke db.connect -- -c 'DROP DATABASE \"{name}\"'" for name in found)
    return note(f"left by a command that was killed, or is still running: {shown}", removal)


def _list_passing(settings: Settings) -> dict[str, int]:
    """Without the scratch databases of commands that are still running."""
    found = copies.list_temporary(stacks.get_database(settings))
    owners = {name: name.partition(databases.SCRATCH)[2] for name in found}
    return {
        name: size
        for name, size in found.items()
        if not (owners[name].isdecimal() and state.is_alive(int(owners[name])))
    }


def _drop_scratch(settings: Settings) -> list[str]:
    """Drop what only ever contained what the SQL files load."""
    server = stacks.get_database(settings)
    scratch = [name for name in _list_passing(settings) if databases.SCRATCH in name]
    for name in scratch:
        copies.drop(server.named(name))
    return [f"dropped {name}" for name in scratch]


def _saved_states(settings: Settings) -> Finding:
    """Could each snapshot be restored, and what `undo` would restore?"""
    if journal.find_pending(settings):
        return ok("not examined: a change is incomplete")
    damaged = snapshots.list_damaged(settings)
    reasons = [f"the snapshot {name}: {'; '.join(damaged[name])}" for name in damaged]
    fixes = [f"./invoke snapshot.delete {name} (permanently deletes it)" for name in damaged]
    folder = journal.get_home(settings) / journal.PREVIOUS
    if of_undo := transaction.list_damage(settings):
        reasons.append(f"what undo would restore: {'; '.join(of_undo)}")
        fixes.append(f"{state.move_aside(folder)} (undo then has nothing to restore)")
    if reasons:
        return fail("damaged: " + "\n".join(reasons), "\n".join(fixes))
    return ok("each can be restored")


def _schema(settings: Settings) -> Finding:
    """Was the database created by the present SQL files, and not changed by hand since?"""
    database, app = stacks.get_database(settings), settings.app
    if not app.postgres.schema:
        return ok("app.toml names no schema file")
    paths, shown = app.postgres.schema, name_files(app.postgres.schema)
    if not databases.exists(database) or "schema" not in databases.loaded(database):
        return note(f"{database} was not created from {shown}", "./invoke db.schema-load")
    if not databases.is_loaded(database, "schema", paths):
        return fail(
            f"{shown} was changed after it was loaded into {database}",
            "./invoke db.reset (rebuilds the database; undo reverts it)",
        )
    if not database.owned:
        return ok(f"loaded from {shown}; not compared: not a server of this checkout")
    if changes := schema_diff.list_changes(database, paths, partial(app_steps.migrate, settings)):
        return fail(
            "\n".join([f"{database} was changed by hand:", *changes]),
            "./invoke db.reset (rebuilds the database; undo reverts it)",
        )
    return ok(f"matches {shown}")


def _users(settings: Settings, with_pool: bool) -> Finding:
    """Do all users have a Cognito ID? Some get theirs when they sign up in the app."""
    if not settings.app.users or not settings.app.cognito:
        return ok("app.toml names no users in a pool")
    everybody = _list_users(settings)
    unlinked = [user.handle for user in everybody if not user.cognito_user_id]
    aws = stacks.targets(settings).aws
    if everybody and with_pool and aws.owned:
        unlinked = sync.find_unlinked(stacks.get_database(settings), aws)
    if unlinked:
        return note(f"without a Cognito ID of the pool: {sync.shorten(unlinked)}", "./invoke setup")
    if not everybody:
        return ok("none")
    return ok(f"{count(len(everybody), 'user')} with a Cognito ID")


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
        fix = _find_undo(settings, "ddb.drop") or "./invoke setup"
        error = clients.not_found(
            aws,
            f"missing: {', '.join(missing)}",
            fix,
            lambda one: tables.find_table(one, missing[0]),
        )
        return note(error.reason, error.hint)
    waiting = [one["TableName"] for one in definitions if not tables.is_ready(aws, one)]
    if waiting:
        return note(f"not ACTIVE yet: {', '.join(waiting)}", "./invoke ddb.schema-load")
    return ok(f"{', '.join(names)} as defined")


def _conversations(settings: Settings) -> Finding:
    """Do all participants of conversations exist in Postgres?"""
    aws = stacks.get_aws(settings)
    if not settings.app.messages or not tables.find_table(aws, aws.messages):
        return ok("none")
    known = {user.uuid for user in _list_users(settings)}
    rows = list(messages.scan_rows(aws, ROWS))
    groups = count(len({row.group for row in rows}), "conversation")
    strangers = {row.group: row.owner for row in rows if row.owner not in known}
    if strangers:
        unknown = sync.shorten([f"{group} ({owner})" for group, owner in strangers.items()])
        return fail(
            f"a participant is missing in Postgres, in {len(strangers)} of {groups}: {unknown}",
            _find_undo(settings, "db.reset", "undo")
            or "./invoke reset (loads fresh seed data; undo reverts it)",
        )
    return ok(f"{groups}, all participants exist in Postgres")
