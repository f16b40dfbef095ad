"""What an environment holds, to compare it before and after."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scripts import clients, stacks
from scripts.cognito import sync, user_pool, users
from scripts.dynamodb import parallel_scan, tables
from scripts.engine import pipeline
from scripts.engine.pipeline import Event, Step
from scripts.postgres import databases
from scripts.settings import Settings

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00")


def run(steps: Sequence[Step]) -> dict[str, Event]:
    """Run the steps; the last event of each."""
    events: dict[str, Event] = {}
    pipeline.run(steps, lambda event: events.update({event.step: event}))
    return events


def content(settings: Settings) -> dict[str, Any]:
    """Everything that an environment holds, except for what the clock wrote."""
    database, aws = stacks.get_database(settings), stacks.get_aws(settings)
    held: dict[str, Any] = {"users": None, "activities": None}
    if databases.exists(database):
        held["users"] = users.list_users(database)
        with clients.cursor(database) as cursor:
            cursor.execute("SELECT uuid, user_uuid, message FROM activities ORDER BY uuid")
            held["activities"] = cursor.fetchall()
    for table in tables.list_tables(aws):
        held[table] = sorted(map(str, parallel_scan.scan(aws, table)))
    pool = user_pool.find_pool(aws)
    held["pool"] = sorted(map(str, user_pool.save_users(aws, pool))) if pool else None
    return held


def is_linked(settings: Settings) -> bool:
    """Has everybody the id that the pool has for them?"""
    database, aws = stacks.get_database(settings), stacks.get_aws(settings)
    return sync.is_synced(database, aws) and sync.is_complete(database, aws)


def without_ids(everybody: list[users.User]) -> list[users.User]:
    """People as a new pool, with new ids, has them."""
    return [replace(user, cognito_user_id=None) for user in everybody]


def without_times(held: dict[str, Any]) -> dict[str, Any]:
    """The content without its times: those of seeded messages depend on when they were seeded."""
    return {
        name: sorted(_TIME.sub("any time", item) for item in value)
        if name not in ("users", "activities", "pool")
        else value
        for name, value in held.items()
    }
