"""The pipelines: setup and its parts, as lists of steps; and how a list is run."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from scripts import (
    accounts,
    clients,
    cognito,
    console,
    dynamodb,
    journal,
    messages,
    pipeline,
    postgres,
    seeds,
    stacks,
    state,
    users,
)
from scripts.errors import DevError
from scripts.pipeline import Event, Step
from scripts.settings import Settings
from scripts.users import Person

T = TypeVar("T")

DB_SETUP = ("db.create", "db.schema-load", "db.seed")
DB_RESET = ("db.drop", *DB_SETUP)
NEXT = {
    "setup": "./invoke status, ./invoke db.connect, ./invoke ddb.patterns.get-conversation",
    "db.reset": "./invoke setup links the users with Cognito again",
}


def setup(settings: Settings) -> list[Step]:
    """Everything, from starting the services to a check that reads the data back."""
    data = [_blaming_servers(settings, step) for step in _data_steps(settings)]
    return _among_themselves([*up(settings), *data])


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


def pick(settings: Settings, *names: str) -> list[Step]:
    """Some of the steps that make data, by name; they wait for each other only."""
    steps = {step.name: step for step in [_drop_step(settings), *_data_steps(settings)]}
    return _among_themselves([_blaming_servers(settings, steps[name]) for name in names])


def run(settings: Settings, command: str, steps: Sequence[Step]) -> None:
    """Run the steps, shown and recorded, and say how to go on. Raises DevError if one fails."""
    begin = time.monotonic()
    failure = None
    if any(step.needs for step in steps):
        clients.warm_up()  # what the later steps need, while the first ones run
    try:
        with (
            state.lock(settings, command, console.say),
            _stack_chosen(settings, command),
            journal.record(settings.state / "runs", command) as record,
            console.show(steps) as show,
        ):

            def emit(event: Event) -> None:
                record(event)
                show(event)

            pipeline.run(steps, emit)
    except pipeline.FailedError as error:
        failure = error
    except SystemExit as interrupt:
        # The steps' threads may be deep in C code, which a regular exit can crash.
        os._exit(int(interrupt.code or 0))
    seconds = f"{time.monotonic() - begin:.2f} s"
    if failure:
        hint = f"mend that, then go on with: ./invoke {command}"
        raise DevError(f"{command}: {failure.reason} after {seconds}", hint, failure.code)
    following = f"; next: {NEXT[command]}" if command in NEXT else ""
    console.say(f"{command}: done in {seconds}{following}")


@contextlib.contextmanager
def _stack_chosen(settings: Settings, command: str) -> Iterator[None]:
    """A stack that --stack chose stays this checkout's from `setup` or `up` to `down`."""
    if command in ("setup", "up") and (beside := stacks.switch(settings)):
        console.say(beside)
    yield
    if command == "down":
        state.forget_stack(settings)


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


def _drop_step(settings: Settings) -> Step:
    intent = f"drop the database {stacks.targets(settings).database}, if it is disposable"
    return Step("db.drop", intent, lambda: _drop(settings))


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
    database = partial(stacks.database, settings)
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
    database, aws = partial(stacks.database, settings), partial(stacks.aws, settings)
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
    aws = partial(stacks.aws, settings)

    def people() -> dict[str, Person]:
        return users.people(users.list_users(stacks.database(settings)))

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


def _among_themselves(steps: Sequence[Step]) -> list[Step]:
    """The steps without their needs for steps that are not among them."""
    names = {step.name for step in steps}
    return [
        replace(step, needs=tuple(need for need in step.needs if need in names)) for step in steps
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


def _drop(settings: Settings) -> str:
    database = stacks.database(settings)
    return f"dropped {database}" if postgres.drop(database) else f"there was no {database}"


def _create_tables(settings: Settings) -> str:
    names = []
    for definition in dynamodb.read_definitions(settings.root / "ddb" / "tables"):
        dynamodb.ensure_table(stacks.aws(settings), definition)
        names.append(definition["TableName"])
    return f"{', '.join(names)} ACTIVE"


def _are_tables_ready(settings: Settings) -> bool:
    definitions = dynamodb.read_definitions(settings.root / "ddb" / "tables")
    return all(dynamodb.is_ready(stacks.aws(settings), definition) for definition in definitions)


def _scripts(settings: Settings) -> list[seeds.Script]:
    return seeds.read(settings.root / "ddb" / "seeds" / f"{messages.TABLE}.txt")


def _check(settings: Settings) -> str:
    database = stacks.database(settings)
    everybody = users.list_users(database)
    if unlinked := [user.handle for user in everybody if not user.cognito_user_id]:
        raise DevError(f"without a Cognito id: {', '.join(unlinked)}", "./invoke cognito.sync")
    seen = seeds.verify(stacks.aws(settings), _scripts(settings), users.people(everybody))
    return f"{len(everybody)} users have Cognito ids, {seen}"
