"""The steps of which pipelines are made, each named for the task that does it alone."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from scripts import errors, stacks
from scripts.cognito import sync, user_pool, users
from scripts.cognito.users import Person
from scripts.cruddur import conversations
from scripts.dynamodb import tables
from scripts.engine import pipeline
from scripts.engine.pipeline import Step
from scripts.errors import DevError
from scripts.postgres import copies, databases
from scripts.settings import Settings
from scripts.targets import Aws, Database

T = TypeVar("T")


def make_data(settings: Settings, suffix: str = "") -> list[Step]:
    """The steps that make data; each asks the live target first.

    With a suffix, it is a new database beside the app's that is made and linked with Cognito.
    """
    check = Step(
        "check",
        "read everything back as the app does",
        lambda: _check(settings),
        needs=("cognito.sync", "ddb.seed"),
    )
    where = copies.beside(stacks.targets(settings).database, suffix)
    database = partial(_get_beside, settings, suffix)
    return [
        *(_build_steps if suffix else _db_steps)(settings, where, database),
        *_cognito_steps(settings, where, database),
        *_ddb_steps(settings),
        check,
    ]


def link_users(settings: Settings, suffix: str) -> Step:
    """Write the Cognito ids into a database beside the app's, as far as there are any."""
    where = copies.beside(stacks.targets(settings).database, suffix)

    def find_trouble() -> str | None:
        try:
            return done_if(
                not user_pool.find_pool(stacks.get_aws(settings)), "there is no user pool"
            )
        except DevError as error:
            return f"{error.reason}; later: ./invoke cognito.sync"

    def link() -> str:
        linked = sync.link(_get_beside(settings, suffix), stacks.get_aws(settings))
        return f"{errors.count(linked, 'user')} linked"

    intent = f"write each user's Cognito id into {where}"
    return Step("cognito.sync", intent, link, needs=("db.seed",), probe=find_trouble)


def read_tables(settings: Settings) -> list[tables.Item]:
    """The definitions of the app's tables."""
    return tables.read_definitions(settings.root / "ddb" / "tables")


def with_server_logs(settings: Settings, step: Step) -> Step:
    """The step, whose failure also names the servers that failed, with the end of their logs."""

    def blaming(work: Callable[[], T]) -> Callable[[], T]:
        def wrapped() -> T:
            try:
                return work()
            except DevError as error:
                trouble = stacks.describe_trouble(settings, pipeline.list_unfinished())
                raise DevError(f"{error.reason}{trouble}", error.hint, error.code) from None

        return wrapped

    return replace(step, action=blaming(step.action), probe=blaming(step.probe or _unknown))


def _unknown() -> str | None:
    return None


def _files(settings: Settings) -> tuple[Path, Path]:
    return settings.root / "sql" / "schema.sql", settings.root / "sql" / "seed.sql"


def _db_steps(settings: Settings, where: Database, database: Callable[[], Database]) -> list[Step]:
    schema, seed = _files(settings)
    return [
        Step(
            "db.create",
            f"create the database {where}",
            lambda: databases.create(database()),
            needs=("postgres",),
            probe=lambda: done_if(databases.exists(database()), "is there"),
        ),
        Step(
            "db.schema-load",
            f"load sql/{schema.name} into {where}",
            lambda: databases.load_schema(database(), schema),
            needs=("db.create",),
            probe=lambda: done_if(databases.is_loaded(database(), "schema", schema), "is loaded"),
        ),
        Step(
            "db.seed",
            f"load sql/{seed.name} into {where}",
            lambda: databases.load_seed(database(), seed),
            needs=("db.schema-load",),
            probe=lambda: done_if(databases.is_loaded(database(), "seed", seed), "is loaded"),
        ),
    ]


def _build_steps(
    settings: Settings, where: Database, database: Callable[[], Database]
) -> list[Step]:
    """The same for one that is always made anew, from the sealed template if there is one."""
    create, schema, seed = _db_steps(settings, where, database)
    get_app, files = partial(stacks.get_database, settings), _files(settings)

    def make() -> str:
        if template := copies.find_template(get_app(), files):
            copies.copy(template, database())
            return f"copied {template} to {where.name}"
        copies.drop(database())
        return databases.create(database())

    def fill() -> str:
        seeded = seed.action()
        kept = copies.save_template(database(), get_app(), files)
        return f"{seeded}; kept as a template" if kept else seeded

    return [replace(create, action=make, probe=None), schema, replace(seed, action=fill)]


def _cognito_steps(
    settings: Settings, where: Database, database: Callable[[], Database]
) -> list[Step]:
    target = stacks.targets(settings)
    aws = partial(stacks.get_aws, settings)
    return [
        Step(
            "cognito.create-pool",
            f"create the user pool {target.aws.pool_name} in {target.aws}",
            lambda: f"created {user_pool.create_pool(aws())}",
            needs=("aws",),
            probe=lambda: done_if(user_pool.find_pool(aws()) is not None, "is there"),
        ),
        Step(
            "cognito.create-users",
            f"create a user in the pool {target.aws.pool_name} for each user in Postgres",
            lambda: sync.create_users(database(), aws()),
            needs=("cognito.create-pool", "db.seed"),
            probe=lambda: done_if(sync.is_complete(database(), aws()), "has every user"),
        ),
        Step(
            "cognito.sync",
            f"write each user's Cognito id into {where}",
            lambda: str(sync.sync(database(), aws())),
            needs=("cognito.create-users",),
            probe=lambda: done_if(sync.is_synced(database(), aws()), "ids are the pool's"),
        ),
    ]


def _ddb_steps(settings: Settings) -> list[Step]:
    target = stacks.targets(settings).aws
    aws = partial(stacks.get_aws, settings)

    def people() -> dict[str, Person]:
        return users.people(users.list_users(stacks.get_database(settings)))

    return [
        Step(
            "ddb.schema-load",
            f"create the tables of ddb/tables in {target}",
            lambda: _create_tables(settings),
            needs=("aws", "dynamodb"),
            probe=lambda: done_if(_are_tables_ready(settings), "tables are ACTIVE"),
        ),
        Step(
            "ddb.seed",
            f"write the conversations of ddb/seeds into {target}",
            lambda: (
                errors.count(conversations.seed(aws(), _scripts(settings), people()), "message")
                + " written"
            ),
            needs=("ddb.schema-load", "db.seed"),
            probe=lambda: done_if(
                conversations.is_seeded(aws(), _scripts(settings), people()), "is there"
            ),
        ),
    ]


def seed_further(settings: Settings, count: int) -> Step:
    """Write so many further messages, for load tests."""

    def seed(action: Callable[[Aws, conversations.Script, dict[str, Person], int], T]) -> T:
        people = users.people(users.list_users(stacks.get_database(settings)))
        return action(
            stacks.get_aws(settings), conversations.first(_scripts(settings)), people, count
        )

    step = Step(
        "ddb.seed --messages",
        f"write {count:,} further messages into {stacks.targets(settings).aws}",
        lambda: errors.count(seed(conversations.seed_further), "message") + " written",
        needs=("ddb.seed",),
        probe=lambda: done_if(seed(conversations.is_seeded_further), f"{count:,} are there"),
    )
    return with_server_logs(settings, step)


def restrict(chosen: Sequence[Step], everything: Sequence[Step]) -> list[Step]:
    """The chosen steps; for a step that is left out, they wait for what that would wait for."""
    names = {step.name for step in chosen}
    needs = {step.name: step.needs for step in everything}

    def waits_for(need: str) -> list[str]:
        if need in names:
            return [need]
        return [name for further in needs.get(need, ()) for name in waits_for(further)]

    return [
        replace(step, needs=tuple(dict.fromkeys(n for need in step.needs for n in waits_for(need))))
        for step in chosen
    ]


def done_if(done: bool, reason: str) -> str | None:
    """What a probe says: the reason, where there is nothing to do."""
    return reason if done else None


def _get_beside(settings: Settings, suffix: str) -> Database:
    return copies.beside(stacks.get_database(settings), suffix)


def _create_tables(settings: Settings) -> str:
    names = []
    for definition in read_tables(settings):
        tables.ensure_table(stacks.get_aws(settings), definition)
        names.append(definition["TableName"])
    return f"{', '.join(names)} ACTIVE"


def _are_tables_ready(settings: Settings) -> bool:
    definitions = read_tables(settings)
    return all(tables.is_ready(stacks.get_aws(settings), definition) for definition in definitions)


def _scripts(settings: Settings) -> list[conversations.Script]:
    return conversations.read_app(settings.root / "ddb")


def _check(settings: Settings) -> str:
    database = stacks.get_database(settings)
    everybody = users.list_users(database)
    unlinked = [user.handle for user in everybody if not user.cognito_user_id]
    if unlinked and stacks.targets(settings).mock:  # elsewhere, users come when they sign up
        raise DevError(f"without a Cognito id: {', '.join(unlinked)}", "./invoke cognito.sync")
    linked = f"{errors.count(len(everybody) - len(unlinked), 'user')} with a Cognito ID"
    scripts = _scripts(settings)
    if not scripts:
        return f"{databases.describe_counts(databases.count_rows(database))}; {linked}"
    seen = conversations.verify(stacks.get_aws(settings), scripts, users.people(everybody))
    return f"{linked}, {seen}"
