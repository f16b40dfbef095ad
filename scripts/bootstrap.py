"""The pipelines: setup and its parts, as lists of steps."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from scripts import (
    accounts,
    cognito,
    dynamodb,
    postgres,
    seeds,
    stacks,
    users,
)
from scripts.errors import DevError
from scripts.pipeline import Step
from scripts.settings import Settings
from scripts.targets import Aws
from scripts.users import Person

T = TypeVar("T")

MOCK_ACCOUNTS = {"cognito.create-pool", "cognito.create-users"}
MOCK_DATA = {"db.seed", "ddb.seed", "check"}
DB_SETUP = ("db.create", "db.schema-load", "db.seed")
DB_RESET = ("db.drop", *DB_SETUP)
NEXT = {
    "setup": "./invoke status, ./invoke db.connect, ./invoke ddb.patterns.get-conversation",
    "db.reset": "./invoke setup links the users with Cognito again",
}


def setup(settings: Settings, with_seed: bool = False) -> list[Step]:
    """Everything, from starting the services to a check that reads the data back.

    Where the stack is not for mock data, none is written, unless `with_seed`; a user pool and its
    users are never made there.
    """
    left_out: set[str] = set()
    if not stacks.targets(settings).mock:
        left_out = MOCK_ACCOUNTS if with_seed else MOCK_ACCOUNTS | MOCK_DATA
    data = _data_steps(settings)
    kept = [_blaming_servers(settings, step) for step in data if step.name not in left_out]
    return _among_themselves([*up(settings), *kept], data)


def up(settings: Settings) -> list[Step]:
    """Start the services."""
    return [
        Step(
            service.name,
            f"start it at {service.address()}",
            service.start,
            probe=partial(_find_running, service),
        )
        for service in stacks.get(settings).services(settings)
    ]


def down(settings: Settings, volumes: bool = False) -> list[Step]:
    """Stop the services; their data stays, unless `volumes` is to go too."""
    return [
        Step(
            service.name,
            f"stop it at {service.address()}; its data {'goes too' if volumes else 'stays'}",
            partial(_stop_and_erase if volumes else _stop, service),
        )
        for service in stacks.get(settings).services(settings)
    ]


def pick(settings: Settings, *names: str, confirmed: str = "") -> list[Step]:
    """Some of the steps that make data, by name; they wait for each other only.

    `confirmed` is the name of a thing that may be dropped though it is not disposable.
    """
    drop = _drop_step(settings, confirmed)
    steps = {step.name: step for step in [drop, *_data_steps(settings)]}
    chosen = [_blaming_servers(settings, steps[name]) for name in names]
    return _among_themselves(chosen, list(steps.values()))


def ddb_seed(settings: Settings, further: int) -> list[Step]:
    """The seed conversations, and so many further messages for load tests."""
    seed = pick(settings, "ddb.seed")
    return [*seed, _further_step(settings, further)] if further else seed


def _blaming_servers(settings: Settings, step: Step) -> Step:
    """The step, whose failure tells also which servers are not well, and their last words."""

    def blaming(work: Callable[[], T]) -> Callable[[], T]:
        def wrapped() -> T:
            try:
                return work()
            except DevError as error:
                trouble = stacks.describe_trouble(settings)
                raise DevError(f"{error.reason}{trouble}", error.hint, error.code) from None

        return wrapped

    return replace(step, action=blaming(step.action), probe=blaming(step.probe or _unknown))


def _unknown() -> str | None:
    return None


def _drop_step(settings: Settings, confirmed: str) -> Step:
    intent = f"drop the database {stacks.targets(settings).database}, if it is disposable"
    return Step("db.drop", intent, lambda: _drop(settings, confirmed))


def _data_steps(settings: Settings) -> list[Step]:
    """The steps that make data. Each is named for its task, and asks the live target first."""
    check = Step(
        "check",
        "read everything back as the app does",
        lambda: _check(settings),
        needs=("cognito.sync", "ddb.seed"),
    )
    return [*_db_steps(settings), *_cognito_steps(settings), *_ddb_steps(settings), check]


def _db_steps(settings: Settings) -> list[Step]:
    target = stacks.targets(settings).database
    schema, seed = settings.root / "sql" / "schema.sql", settings.root / "sql" / "seed.sql"
    database = partial(stacks.get_database, settings)
    return [
        Step(
            "db.create",
            f"create the database {target}",
            lambda: postgres.create(database()),
            needs=("postgres", "db.drop"),
            probe=lambda: _when(postgres.exists(database()), "is there"),
        ),
        Step(
            "db.schema-load",
            f"load sql/{schema.name} into {target}",
            lambda: postgres.load_schema(database(), schema),
            needs=("db.create",),
            probe=lambda: _when(postgres.is_loaded(database(), "schema", schema), "is loaded"),
        ),
        Step(
            "db.seed",
            f"load sql/{seed.name} into {target}",
            lambda: postgres.load_seed(database(), seed),
            needs=("db.schema-load",),
            probe=lambda: _when(postgres.is_loaded(database(), "seed", seed), "is loaded"),
        ),
    ]


def _cognito_steps(settings: Settings) -> list[Step]:
    target = stacks.targets(settings)
    database, aws = partial(stacks.get_database, settings), partial(stacks.get_aws, settings)
    return [
        Step(
            "cognito.create-pool",
            f"create the user pool {target.aws.pool_name} in {target.aws}",
            lambda: f"created {cognito.create_pool(aws())}",
            needs=("aws",),
            probe=lambda: _when(cognito.find_pool(aws()) is not None, "is there"),
        ),
        Step(
            "cognito.create-users",
            f"create a user in the pool {target.aws.pool_name} for each user in Postgres",
            lambda: accounts.create_users(database(), aws()),
            needs=("cognito.create-pool", "db.seed"),
            probe=lambda: _when(accounts.is_complete(database(), aws()), "has every user"),
        ),
        Step(
            "cognito.sync",
            f"write each user's Cognito id into {target.database}",
            lambda: str(accounts.sync(database(), aws())),
            needs=("cognito.create-users",),
            probe=lambda: _when(accounts.is_synced(database(), aws()), "ids are the pool's"),
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
            probe=lambda: _when(_are_tables_ready(settings), "tables are ACTIVE"),
        ),
        Step(
            "ddb.seed",
            f"write the conversations of ddb/seeds into {target}",
            lambda: f"{seeds.seed(aws(), _scripts(settings), people())} messages written",
            needs=("ddb.schema-load", "db.seed"),
            probe=lambda: _when(seeds.is_seeded(aws(), _scripts(settings), people()), "is there"),
        ),
    ]


def _further_step(settings: Settings, count: int) -> Step:
    def seed(action: Callable[[Aws, seeds.Script, dict[str, Person], int], T]) -> T:
        people = users.people(users.list_users(stacks.get_database(settings)))
        return action(stacks.get_aws(settings), seeds.first(_scripts(settings)), people, count)

    step = Step(
        "ddb.seed --messages",
        f"write {count:,} further messages into {stacks.targets(settings).aws}",
        lambda: f"{seed(seeds.seed_further):,} messages written",
        needs=("ddb.seed",),
        probe=lambda: _when(seed(seeds.is_seeded_further), f"{count:,} are there"),
    )
    return _blaming_servers(settings, step)


def _among_themselves(chosen: Sequence[Step], everything: Sequence[Step]) -> list[Step]:
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


def _when(done: bool, reason: str) -> str | None:
    return reason if done else None


def _find_running(service: stacks.Service) -> str | None:
    return _when(service.health() is None, f"runs at {service.address()}")


def _stop(service: stacks.Service) -> str:
    return "stopped" if service.stop() else "was not running"


def _stop_and_erase(service: stacks.Service) -> str:
    stopped, data = _stop(service), service.data()
    service.erase()
    if left := service.data():
        raise DevError(f"{left} is still there", "./invoke down --volumes")
    return f"{stopped}; removed {data}" if data else f"{stopped}; had no data"


def _drop(settings: Settings, confirmed: str) -> str:
    database = stacks.get_database(settings)
    dropped = postgres.drop(database, confirmed)
    return f"dropped {database}" if dropped else f"there was no {database}"


def _create_tables(settings: Settings) -> str:
    names = []
    for definition in dynamodb.read_definitions(settings.root / "ddb" / "tables"):
        dynamodb.ensure_table(stacks.get_aws(settings), definition)
        names.append(definition["TableName"])
    return f"{', '.join(names)} ACTIVE"


def _are_tables_ready(settings: Settings) -> bool:
    definitions = dynamodb.read_definitions(settings.root / "ddb" / "tables")
    return all(
        dynamodb.is_ready(stacks.get_aws(settings), definition) for definition in definitions
    )


def _scripts(settings: Settings) -> list[seeds.Script]:
    return seeds.read_app(settings.root / "ddb")


def _check(settings: Settings) -> str:
    database = stacks.get_database(settings)
    everybody = users.list_users(database)
    unlinked = [user.handle for user in everybody if not user.cognito_user_id]
    if unlinked and stacks.targets(settings).mock:  # elsewhere, users come when they sign up
        raise DevError(f"without a Cognito id: {', '.join(unlinked)}", "./invoke cognito.sync")
    linked = f"{len(everybody) - len(unlinked)} users have Cognito ids"
    scripts = _scripts(settings)
    if not scripts:
        return f"{postgres.in_words(postgres.count_rows(database))}; {linked}"
    seen = seeds.verify(stacks.get_aws(settings), scripts, users.people(everybody))
    return f"{linked}, {seen}"
