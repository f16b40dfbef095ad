"""The pipelines that replace what is there, as lists of steps: reset, drop, undo, snapshots."""

from collections.abc import Callable, Sequence

from scripts import stacks
from scripts.dynamodb import tables
from scripts.engine.pipeline import Step
from scripts.environment import (
    ddb_steps,
    journal,
    recovery,
    saved_state,
    setup,
    snapshots,
    steps,
    transaction,
    verification,
)
from scripts.postgres import copies, databases
from scripts.settings import Settings
from scripts.targets import Loss

_SERVERS = ("postgres", "aws", "dynamodb")
_UNDO = "./invoke undo (reverts this)"
_UNDO_AND_BACKUPS = "./invoke undo (restores the database; each table has a backup)"
_NEXT = {
    "setup": "./invoke status, ./invoke db.connect",
    "reset": _UNDO,
    "undo": "./invoke undo (again, to redo)",
    "db.drop": _UNDO,
    "db.reset": _UNDO,
    "ddb.drop": f"./invoke ddb.schema-load ddb.seed; {_UNDO}",
    "snapshot.restore": _UNDO,
}
_NEXT_IN_PRODUCTION = {
    "reset": _UNDO_AND_BACKUPS,
    "db.drop": "",
    "ddb.drop": "./invoke ddb.schema-load",
    "snapshot.restore": _UNDO_AND_BACKUPS,
}


def get_next_hint(settings: Settings, command: str) -> str:
    """How to go on after a pipeline, "" for nothing to say. In production not all is kept."""
    if command == "undo" and journal.find_pending(settings):
        return ""  # it reverts that change, which cannot be redone
    told = _NEXT if stacks.targets(settings).mock else _NEXT | _NEXT_IN_PRODUCTION
    more = command == "setup" and settings.app.messages
    return told.get(command, "") + (", ./invoke ddb.patterns.get-conversation" if more else "")


def reset(settings: Settings, confirmed: str = "") -> list[Step]:
    """Everything as `setup` makes it in a fresh clone; what is there now is kept for `undo`."""
    definitions = ddb_steps.read_tables(settings)
    names = [table["TableName"] for table in definitions]
    has_database, has_pool = "postgres" in settings.app.services, settings.app.cognito is not None
    built = steps.make_data(settings, copies.NEXT)
    made = [step for step in built if setup.is_included(settings, step)]
    later = steps.list_dependents(
        made, [step for step in made if step.unit == "dynamodb" or step.kind == "check"]
    )
    before = [step for step in made if step not in later]
    after = [
        step.after("complete")  # by then, the app's database is the new one
        for step in steps.make_data(settings)
        if step.name in {one.name for one in later}
    ]
    change = _change(
        settings,
        lambda: transaction.check(settings, has_database, names),
        lambda: transaction.prepare(settings, "reset", has_database, names, has_pool, confirmed),
        lambda: transaction.commit(
            settings, copies.NEXT, names, confirmed=confirmed, definitions=definitions
        ),
        after=tuple(step.name for step in before),
    )
    chosen = [
        *(
            step.after("save") if (step.unit, step.kind) == ("cognito", "create") else step
            for step in before
        ),
        *change,
        *after,
    ]
    return steps.restrict(
        [*setup.up(settings), *setup.after_recovery(settings, chosen)], [*built, *change]
    )


def db_reset(settings: Settings, confirmed: str = "") -> list[Step]:
    """A new database in the place of the present one, which is kept for `undo`."""
    stacks.check_has(settings, "postgres")
    app, built = settings.app, steps.make_data(settings, copies.NEXT)
    made = [s for s in steps.list_database_steps(built) if setup.is_included(settings, s)]
    link = [steps.link_users(settings, copies.NEXT)] if app.users and app.cognito else []
    change = _change(
        settings,
        lambda: transaction.check(settings, True, ()),
        lambda: transaction.prepare(settings, "db.reset", True, (), users=False),
        lambda: transaction.commit(settings, copies.NEXT, confirmed=confirmed),
        after=tuple(step.name for step in [*made, *link]),
    )
    chosen = setup.after_recovery(settings, [*made, *link, *change])
    return steps.restrict(chosen, [*built, *change])


def db_drop(settings: Settings, confirmed: str = "") -> list[Step]:
    """Drop the database. One of this checkout's own is kept for `undo`."""
    stacks.check_has(settings, "postgres")
    target = stacks.targets(settings).database

    def drop() -> str:
        database = stacks.get_database(settings)
        if not target.owned:
            databases.drop(database, confirmed)
            return f"dropped {database}"
        transaction.prepare(settings, "db.drop", True, (), users=False)
        done = transaction.commit(settings, "", confirmed=confirmed)
        transaction.complete(settings)
        return done

    def probe() -> str | None:
        there = databases.exists(stacks.get_database(settings))
        return None if there else f"there is no {target}"

    step = Step("db.drop", f"drop the database {target}", drop, ("postgres",), probe)
    return _alone(settings, step)


def ddb_drop(settings: Settings, table: str, confirmed: str = "") -> list[Step]:
    """Delete a table. The items of one of this checkout's own are kept for `undo`."""
    stacks.check_has(settings, "aws")
    target = stacks.targets(settings).aws

    def drop() -> str:
        aws = stacks.get_aws(settings)
        tables.get_table(aws, table)
        if not target.owned:
            return tables.drop_table(aws, table, confirmed)
        transaction.prepare(settings, "ddb.drop", False, [table], False, confirmed)
        transaction.commit(settings, "", [table], confirmed=confirmed)
        return transaction.complete(settings)

    def check() -> None:
        aws = stacks.get_aws(settings)
        tables.check_disposable(aws, tables.get_table(aws, table), table)

    step = Step(
        "ddb.drop",
        f"delete the table {table} in {target}",
        drop,
        ("aws", "dynamodb"),
        check,
    )
    return _alone(settings, step)


def undo(settings: Settings, confirmed: str = "") -> list[Step]:
    """Bring back what was replaced or dropped last; what is there now is kept in its place."""
    if pending := journal.find_pending(settings):
        step = Step(
            "revert",
            f"revert {pending.command}, which was interrupted",
            lambda: recovery.revert(settings, confirmed),
            needs=_SERVERS,
        )
        return steps.restrict([*setup.up(settings), step], [step])
    folder, kept = transaction.get_last(settings)
    names, incoming = list(kept.tables), copies.PREV if kept.oid else ""

    def check() -> None:
        previous = copies.beside(stacks.targets(settings).database, copies.PREV)
        hint = "./invoke snapshot.list (shows what else can be restored)"
        verification.check("what undo would restore", folder, kept, previous, hint)
        transaction.check(settings, kept.postgres, names)

    def prepare() -> str:
        users = kept.users is not None
        return transaction.prepare(settings, "undo", kept.postgres, names, users, confirmed)

    change = _change(
        settings,
        check,
        prepare,
        lambda: transaction.commit(settings, incoming, names, folder, confirmed),
        intent=f"restore {kept}, as of {kept.made.astimezone():%Y-%m-%d %H:%M:%S}",
    )
    return steps.restrict([*setup.up(settings), *setup.after_recovery(settings, change)], change)


def snapshot_save(settings: Settings, name: str) -> list[Step]:
    """Save the current state under a name."""
    snapshots.get_folder(settings, name)
    step = Step(
        "snapshot.save",
        f"copy {stacks.targets(settings).database}, the tables and the users as {name}",
        lambda: snapshots.save(settings, name),
        _SERVERS,
        lambda: snapshots.check_new(settings, name),
    )
    return _alone(settings, step)


def snapshot_restore(settings: Settings, name: str, confirmed: str = "") -> list[Step]:
    """Put a snapshot in the place of the present state, which is kept for `undo`."""
    folder = snapshots.get_folder(settings, name)
    snapshots.check_exists(settings, name)
    where = stacks.targets(settings).database

    def names() -> list[str]:
        return sorted({*snapshots.list_tables(settings), *saved_state.get(folder).tables})

    def keep() -> str:
        saved = saved_state.get(folder)
        has_pool = settings.app.cognito is not None or saved.users is not None
        return transaction.prepare(
            settings, "snapshot.restore", saved.postgres, names(), has_pool, confirmed
        )

    def check() -> None:
        saved = snapshots.get_snapshot(settings, name)  # or it is damaged
        transaction.check(settings, saved.postgres, names())

    def copy() -> str:
        if not saved_state.get(folder).postgres:
            return "it contains no database"
        database = stacks.get_database(settings)
        source = copies.of_snapshot(database, name)
        copies.copy(source, new := copies.beside(database, copies.NEXT))
        return f"copied the database of {name} to {new}"

    intent = f"copy the database of {name} beside {where}"
    create = Step("db.create", intent, copy, ("postgres",), check)
    save, *change = _change(
        settings,
        None,
        keep,
        lambda: transaction.commit(settings, copies.NEXT, names(), folder, confirmed),
    )
    chosen = [create, save.after("db.create"), *change]
    return steps.restrict([*setup.up(settings), *setup.after_recovery(settings, chosen)], chosen)


def snapshot_delete(settings: Settings, name: str) -> list[Step]:
    """Delete a snapshot."""
    snapshots.check_exists(settings, name)
    step = Step(
        "snapshot.delete",
        f"delete the snapshot {name}",
        lambda: snapshots.delete(settings, name),
        ("postgres",),
    )
    return _alone(settings, step)


def find_reset_loss(settings: Settings) -> Loss | None:
    """What `reset` would lose that this tool did not create."""
    return find_loss(settings, True, ddb_steps.list_tables(settings))


def find_loss(settings: Settings, database: bool, names: Sequence[str] | None) -> Loss | None:
    """What a change of the database and these tables would lose that this tool did not create.

    `names` None stands for every table. The loss goes by the database's name. Services that do not
    run are not asked: the step asks then.
    """
    where = stacks.targets(settings)
    running = {s.name for s in stacks.list_services(settings) if s.is_running()}
    losses = []
    if database and "postgres" in running:
        losses.append(databases.find_loss(stacks.get_database(settings)))
    answers = "aws" in running and ("dynamodb" in running or not where.aws.dynamodb_endpoint)
    if answers and names != []:  # with nothing to ask, the SDK need not even be loaded
        aws = stacks.get_aws(settings)
        present = tables.list_tables(aws)
        going = [name for name in present if names is None or name in names]
        losses += [tables.find_loss(aws, name) for name in going]
    content = [line for loss in losses if loss for line in loss.content]
    return Loss(where.database.name, content) if content else None


def find_undo_loss(settings: Settings) -> Loss | None:
    """What `undo` would lose that this tool did not create; reverting loses nothing."""
    if journal.find_pending(settings):
        return None
    _, saved = transaction.get_last(settings)
    return find_loss(settings, saved.postgres, list(saved.tables))


def _alone(settings: Settings, step: Step) -> list[Step]:
    return steps.restrict(setup.after_recovery(settings, [step]), [])


def _change(
    settings: Settings,
    check: Callable[[], None] | None,
    keep: Callable[[], str],
    commit: Callable[[], str],
    after: tuple[str, ...] = (),
    intent: str = "replace the tables and users as well",
) -> list[Step]:
    """The three steps that every change ends with; `after` are those that make what is to come."""
    database = stacks.targets(settings).database
    decide = f"replace {database} with the new database"
    if "postgres" not in settings.app.services:
        decide = "write down what the change replaces"
    return [
        Step("save", "save what will be replaced, for: ./invoke undo", keep, _SERVERS, check),
        Step("swap", decide, commit, ("save", *after)),
        Step("complete", intent, lambda: transaction.complete(settings), ("swap",)),
    ]
