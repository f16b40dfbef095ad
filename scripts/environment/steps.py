"""The steps of which pipelines are made, each named for the task that does it alone."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from scripts import errors, stacks
from scripts.app import name_files
from scripts.cognito import sync, user_pool
from scripts.engine import pipeline
from scripts.engine.pipeline import Step
from scripts.environment import app_steps, ddb_steps
from scripts.errors import DevError, NotRunningError
from scripts.postgres import copies, databases, sources
from scripts.settings import Settings
from scripts.targets import Database

T = TypeVar("T")


def make_data(settings: Settings, suffix: str = "", again: bool = False) -> list[Step]:
    """The steps that create data, also those of parts that the app lacks (`parts`).

    With a suffix, they build a companion of the app's database and link it with Cognito. With
    `again`, what is loaded once is loaded although it was loaded before. `check` is the last one.
    """
    where = copies.beside(stacks.targets(settings).database, suffix)
    database = partial(_get_beside, settings, suffix)
    built_in = [
        *(
            _build_steps(settings, where, database)
            if suffix
            else _db_steps(settings, where, database, again)
        ),
        *_cognito_steps(settings, where, database),
        *ddb_steps.make(settings),
    ]
    return app_steps.add(settings, built_in, database, again)


def link_users(settings: Settings, suffix: str) -> Step:
    """Write the Cognito IDs into a database beside the app's, as far as there are any."""
    where = copies.beside(stacks.targets(settings).database, suffix)

    def find_trouble() -> str | None:
        try:
            return pipeline.done_if(
                not user_pool.find_pool(stacks.get_aws(settings)), "there is no user pool"
            )
        except DevError as error:
            return f"{error.reason}; later: ./invoke cognito.sync"

    def link() -> str:
        linked = sync.link(_get_beside(settings, suffix), stacks.get_aws(settings))
        return f"{errors.count(linked, 'user')} linked"

    intent = f"write each user's Cognito ID into {where}"
    return Step("cognito.sync", intent, link, ("db.seed",), find_trouble, "cognito", "link")


def list_database_steps(steps: Sequence[Step]) -> list[Step]:
    """Those that only need the database: the built-in ones and the app's own."""
    chosen: list[Step] = []
    names: set[str] = {"postgres"}
    while more := [s for s in steps if s not in chosen and _is_of_database(s, names)]:
        chosen += more
        names |= {step.name for step in more}
    return [step for step in steps if step in chosen]


def list_dependents(steps: Sequence[Step], first: Iterable[Step]) -> list[Step]:
    """The first steps, and all that wait for one of them."""
    found = {step.name for step in first}
    while more := {s.name for s in steps if found & set(s.needs)} - found:
        found |= more
    return [step for step in steps if step.name in found]


def _is_of_database(step: Step, names: set[str]) -> bool:
    is_one = step.unit == "postgres" or step.kind == "app"
    return is_one and names.issuperset(step.needs)


def with_server_logs(settings: Settings, step: Step) -> Step:
    """The step, whose failure also names the servers that failed, with the end of their logs."""

    def blaming(work: Callable[[], T]) -> Callable[[], T]:
        def wrapped() -> T:
            try:
                return work()
            except NotRunningError:
                raise
            except DevError as error:
                trouble = stacks.describe_trouble(settings, pipeline.list_unfinished())
                raise DevError(f"{error.reason}{trouble}", error.hint, error.code) from None

        return wrapped

    return replace(step, action=blaming(step.action), probe=step.probe and blaming(step.probe))


def _db_steps(
    settings: Settings, where: Database, database: Callable[[], Database], again: bool = False
) -> list[Step]:
    app = settings.app
    schema, seed = app.postgres.schema, sources.with_csv_files(app.postgres.seed)
    live = stacks.targets(settings).database.name
    return [
        Step(
            "db.create",
            f"create the database {where}",
            lambda: _create(database()),
            needs=("postgres",),
            probe=lambda: pipeline.done_if(databases.exists(database()), "already exists"),
            unit="postgres",
            kind="create",
        ),
        Step(
            "db.schema-load",
            f"load {name_files(schema)} into {where}",
            lambda: databases.load_schema(database(), schema, live),
            needs=("db.create",),
            probe=lambda: _find_loaded(database(), "schema", schema),
            unit="postgres",
            kind="schema",
        ),
        Step(
            "db.seed",
            f"load {name_files(seed)} into {where}",
            lambda: databases.load_seed(database(), seed, live, again),
            needs=("db.schema-load",),
            probe=lambda: None if again else _find_loaded(database(), "seed", seed),
            unit="postgres",
            kind="seed",
        ),
    ]


def _create(database: Database) -> str:
    former = databases.list_others(database)
    kept = f"; the former one still exists: {', '.join(former)}" if former else ""
    return databases.create(database) + kept


def _find_loaded(database: Database, kind: databases.Kind, files: Sequence[Path]) -> str | None:
    if databases.is_loaded(database, kind, files):
        return "already loaded"
    databases.check_loadable(database, kind, files)
    return None


def _build_steps(
    settings: Settings, where: Database, database: Callable[[], Database]
) -> list[Step]:
    """Steps that build a new database: copy its template, or load the files.

    An app with steps of its own has no template: what they do depends on more than the SQL files.
    """
    create, schema, seed = _db_steps(settings, where, database)
    files = settings.app.postgres.schema, sources.with_csv_files(settings.app.postgres.seed)
    get_app, may_copy = partial(stacks.get_database, settings), not settings.app.steps

    def make() -> str:
        copies.check_companions(get_app())
        template = copies.find_template(get_app(), files) if may_copy else None
        if template:
            copies.copy(template, database())
            return f"copied a template to {where}"
        copies.drop(database())
        return databases.create(database())

    def fill() -> str:
        seeded = seed.action()
        kept = may_copy and copies.save_template(database(), get_app(), files)
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
            f"create the user pool {target.aws.pool_name} and its client in {target.aws}",
            lambda: user_pool.complete_pool(aws()),
            needs=("aws",),
            probe=lambda: pipeline.done_if(user_pool.is_complete(aws()), "already exists"),
            unit="cognito",
            kind="create",
        ),
        Step(
            "cognito.create-users",
            f"create a user in the pool {target.aws.pool_name} for each user in Postgres",
            lambda: sync.create_users(database(), aws()),
            needs=("cognito.create-pool", "db.seed"),
            probe=lambda: pipeline.done_if(sync.is_complete(database(), aws()), "all users exist"),
            unit="cognito",
            kind="seed",
        ),
        Step(
            "cognito.sync",
            f"write each user's Cognito ID into {where}",
            lambda: str(sync.sync(database(), aws())),
            needs=("cognito.create-users",),
            probe=lambda: pipeline.done_if(sync.is_synced(database(), aws()), "IDs match the pool"),
            unit="cognito",
            kind="link",
        ),
    ]


def restrict(chosen: Sequence[Step], everything: Sequence[Step]) -> list[Step]:
    """The chosen steps; for a step that is left out, they wait for what that would wait for.

    What no step starts are servers that must run.
    """
    names = {step.name for step in chosen}
    needs = {step.name: step.needs for step in everything}

    def waits_for(need: str) -> list[str]:
        if need in names or need not in needs:
            return [need]
        return [name for further in needs[need] for name in waits_for(further)]

    def restricted(step: Step) -> Step:
        found = dict.fromkeys(name for need in step.needs for name in waits_for(need))
        servers = (name for name in found if name not in names)
        return replace(
            step, needs=tuple(name for name in found if name in names), servers=tuple(servers)
        )

    return [restricted(step) for step in chosen]


def _get_beside(settings: Settings, suffix: str) -> Database:
    return copies.beside(stacks.get_database(settings), suffix)
