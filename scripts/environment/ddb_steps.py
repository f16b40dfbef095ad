"""The steps that create DynamoDB tables and fill them."""

from collections.abc import Callable
from typing import TypeVar

from scripts import errors, stacks
from scripts.cognito import users
from scripts.cruddur import conversation_file, conversations, items
from scripts.cruddur.conversation_file import Script
from scripts.cruddur.conversations import People
from scripts.dynamodb import seed, tables
from scripts.engine import pipeline
from scripts.engine.pipeline import Step
from scripts.settings import Settings
from scripts.targets import Aws

T = TypeVar("T")


def make(settings: Settings) -> list[Step]:
    """Create the tables and fill them."""
    target = stacks.targets(settings).aws
    return [
        Step(
            "ddb.schema-load",
            f"create the tables {', '.join(list_tables(settings)) or 'of app.toml'} in {target}",
            lambda: _create_tables(settings),
            needs=("aws", "dynamodb"),
            probe=lambda: pipeline.done_if(_are_tables_ready(settings), "tables are ACTIVE"),
            unit="dynamodb",
            kind="schema",
        ),
        Step(
            "ddb.seed",
            f"write the seed conversation and items into {target}",
            lambda: _seed(settings),
            needs=("ddb.schema-load", "db.seed"),
            probe=lambda: pipeline.done_if(_is_seeded(settings), "already exists"),
            unit="dynamodb",
            kind="seed",
        ),
    ]


def _people(settings: Settings) -> People:
    return users.people(users.list_users(stacks.get_database(settings)))


def _seed(settings: Settings) -> str:
    aws = stacks.get_aws(settings)
    scripts = conversation_file.read_app(settings.app)
    done = []
    if scripts:
        written = conversations.seed(aws, scripts, _people(settings))
        done.append(f"{errors.count(written, 'message')} written")
    for table, path in seed.list_files(settings.app.dynamodb.seeds).items():
        count = seed.seed(aws, table, path, _show)
        done.append(f"{table}: {errors.count(count, 'item')} written")
    return "; ".join(done) or "no seed files"


def _is_seeded(settings: Settings) -> bool:
    aws = stacks.get_aws(settings)
    scripts = conversation_file.read_app(settings.app)
    if scripts and not conversations.is_seeded(aws, scripts, _people(settings)):
        return False
    files = seed.list_files(settings.app.dynamodb.seeds)
    return all(seed.is_seeded(aws, table, path) for table, path in files.items())


def _show(count: int, share: float) -> None:
    pipeline.report(f"{count:,} items, {share:.0%}")


def list_tables(settings: Settings) -> list[str]:
    """The names of the app's tables, from the names of the files that define them."""
    app = settings.app
    names = tables.list_definitions(app.dynamodb.tables) if app.dynamodb.tables else []
    return sorted({*names, *([app.messages.table] if app.messages else [])})


def read_tables(settings: Settings) -> list[tables.Item]:
    """The definitions of the app's tables; Cruddur's own where only [messages] is given."""
    app = settings.app
    found = tables.read_definitions(app.dynamodb.tables) if app.dynamodb.tables else []
    if app.messages and app.messages.table not in {one["TableName"] for one in found}:
        found.append(items.define(app.messages.table))
    return found


def seed_further(settings: Settings, count: int) -> Step:
    """Write `count` extra messages, for load tests."""

    def further(action: Callable[[Aws, Script, People, int], T]) -> T:
        script = conversation_file.first(conversation_file.read_app(settings.app))
        return action(stacks.get_aws(settings), script, _people(settings), count)

    return Step(
        "ddb.seed --messages",
        f"write {count:,} further messages into {stacks.targets(settings).aws}",
        lambda: f"{errors.count(further(conversations.seed_further), 'message')} written",
        needs=("ddb.seed",),
        probe=lambda: pipeline.done_if(
            further(conversations.is_seeded_further),
            f"{errors.count(count, 'message')} already written",
        ),
    )


def _create_tables(settings: Settings) -> str:
    names = []
    for definition in read_tables(settings):
        tables.ensure_table(stacks.get_aws(settings), definition)
        names.append(definition["TableName"])
    return f"{', '.join(names)} ACTIVE"


def _are_tables_ready(settings: Settings) -> bool:
    definitions = read_tables(settings)
    return all(tables.is_ready(stacks.get_aws(settings), definition) for definition in definitions)
