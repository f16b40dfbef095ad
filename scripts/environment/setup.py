"""The pipelines that make an environment, as lists of steps: setup and its parts."""

from collections.abc import Sequence
from functools import partial

from scripts import stacks
from scripts.engine import pipeline
from scripts.engine.pipeline import Step
from scripts.environment import ddb_steps, journal, parts, recovery, steps, transaction
from scripts.errors import DevError, UsageError
from scripts.settings import Settings


def setup(settings: Settings, with_seed: bool = False) -> list[Step]:
    """Everything, from starting the services to a check that reads the data back.

    Where the stack is not for mock data, none is written, unless `with_seed`; a user pool and its
    users are never made there.
    """
    data = steps.make_data(settings)
    kept = [step for step in data if is_included(settings, step, with_seed)]
    return steps.restrict([*up(settings), *after_recovery(settings, kept)], data)


def introduce(settings: Settings) -> list[str]:
    """What a first `setup` prints before it starts: what it skips, and which programs it runs."""
    missing = parts.describe_missing(settings.app)
    own = ", ".join(s.name for s in setup(settings) if s.kind == "app")
    programs = f"runs the steps of app.toml as your user: {own}; see docs/security.md"
    return [line for line in (missing, own and programs) if line]


def up(settings: Settings) -> list[Step]:
    """Start the services."""
    return [
        Step(
            service.name,
            f"{'start it' if service.ours else 'check that it responds'} at {service.address()}",
            service.start,
            probe=partial(_find_running, service),
            kind="service",
        )
        for service in stacks.list_services(settings)
    ]


def down(settings: Settings, volumes: bool = False) -> list[Step]:
    """Stop the services; their data stays, unless `volumes` is to go too, and all that is kept."""
    stopping = [
        Step(
            service.name,
            f"stop it at {service.address()}; its data is {'deleted' if volumes else 'kept'}"
            if service.ours
            else "leave it running: this tool does not manage it",
            partial(_stop_and_erase if volumes and service.ours else _stop, service),
            kind="service",
        )
        for service in stacks.list_services(settings)
    ]
    forget = Step(
        "snapshots",
        "remove the files of snapshots and of saved states",
        lambda: transaction.erase(settings),
        needs=tuple(step.name for step in stopping),
    )
    return [*stopping, forget] if volumes else stopping


def pick(settings: Settings, *names: str, again: bool = False) -> list[Step]:
    """Some of the steps that create data, by name; they wait for each other only.

    Raises UsageError if none of them is a step of this app.
    """
    data = steps.make_data(settings, again=again)
    known = [step for step in data if parts.has_step(settings.app, step)]
    chosen = [step for step in known if step.name in names]
    if not chosen:
        raise UsageError(
            f"{settings.app.name} has no step {', '.join(names)}",
            f"its steps are: {', '.join(step.name for step in known)}; app.toml says what it has",
        )
    return steps.restrict(after_recovery(settings, chosen), data)


def db_setup(settings: Settings) -> list[Step]:
    """The database, its schema and, where the stack is for mock data, that."""
    stacks.check_has(settings, "postgres")
    data = steps.make_data(settings)
    chosen = [s for s in steps.list_database_steps(data) if is_included(settings, s)]
    return steps.restrict(after_recovery(settings, chosen), data)


def db_seed(settings: Settings, again: bool) -> list[Step]:
    """The seed; with `again` also where it, or an earlier version of it, was loaded before."""
    return pick(settings, "db.seed", again=again)


def ddb_seed(settings: Settings, further: int) -> list[Step]:
    """The seed conversations, and so many further messages for load tests."""
    seed = pick(settings, "ddb.seed")
    if not further:
        return seed
    return [*seed, steps.with_server_logs(settings, ddb_steps.seed_further(settings, further))]


def is_included(settings: Settings, step: Step, with_seed: bool = False) -> bool:
    """Does a step run here? Not for a part that the app lacks; in production, no seed data.

    A user pool, its users and the app's own steps are left to others there, also `with_seed`.
    """
    if not parts.has_step(settings.app, step):
        return False
    if stacks.targets(settings).mock:
        return True
    if step.kind == "app" or (step.unit == "cognito" and step.kind in ("create", "seed")):
        return False
    return with_seed or step.kind not in ("seed", "check")


def after_recovery(settings: Settings, chosen: Sequence[Step]) -> list[Step]:
    """The steps, after one that ends a change which was interrupted, if there is one."""
    blaming = [steps.with_server_logs(settings, step) for step in chosen]
    if not (change := journal.find_pending(settings)):
        return blaming
    recover = Step(
        "recover",
        f"complete {change.command}, which was interrupted",
        lambda: recovery.recover(settings),
        needs=("postgres", "aws", "dynamodb"),
    )
    return [recover, *(step.after("recover") for step in blaming)]


def _find_running(service: stacks.Service) -> str | None:
    return pipeline.done_if(service.health() is None, f"running at {service.address()}")


def _stop(service: stacks.Service) -> str:
    if not service.ours:
        return "left running: this tool does not manage it"
    return "stopped" if service.stop() else "was not running"


def _stop_and_erase(service: stacks.Service) -> str:
    stopped, data = _stop(service), service.data()
    service.erase()
    if left := service.data():
        raise DevError(f"{left} is still there", "./invoke down --volumes")
    return f"{stopped}; removed {data}" if data else f"{stopped}; it had no data"
