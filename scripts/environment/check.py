"""The step `check`: reads all data back as the app does, and says what it found."""

from scripts import stacks
from scripts.cognito import sync, users
from scripts.cruddur import conversation_file, conversations
from scripts.dynamodb import tables
from scripts.engine.pipeline import Step
from scripts.environment import ddb_steps
from scripts.errors import count
from scripts.postgres import databases
from scripts.settings import Settings


def make(settings: Settings, needs: tuple[str, ...]) -> Step:
    """The step; it needs all other steps, so that it reads what the app will see."""
    intent = "read everything back as the app does"
    return Step("check", intent, lambda: _read_all(settings), needs, kind="check")


def _read_all(settings: Settings) -> str:
    """What is there; what the app or a person changed since setup is never a failure."""
    app = settings.app
    seen, everybody = [], []
    if "postgres" in app.services:
        database = stacks.get_database(settings)
        everybody = users.list_users(database)
        if app.users and app.cognito:
            unlinked = sync.find_unlinked(database, stacks.get_aws(settings))
            linked = len(everybody) - len(unlinked)
            seen.append(f"{linked} of {count(len(everybody), 'user')} have Cognito IDs")
        if not app.messages:
            seen.append(databases.describe_counts(databases.count_rows(database)) or "no tables")
    if scripts := conversation_file.read_app(app):
        seen.append(
            conversations.verify(stacks.get_aws(settings), scripts, users.people(everybody))
        )
    elif names := ddb_steps.list_tables(settings):
        aws = stacks.get_aws(settings)
        found = [(name, tables.get_table(aws, name)["ItemCount"]) for name in names]
        seen.append(", ".join(f"{name} {items:,}" for name, items in found))
    return ", ".join(seen) or f"{app.name} has no data: app.toml names no tables"
