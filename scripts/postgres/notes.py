"""What was loaded into a database: the digests of its files, written in the database itself.

They are the comment of a schema of our own. A copy of the database has it too, a user without
special rights can write it, and it stays when the app drops, creates or comments on its schemas.
"""

import json
from collections.abc import Mapping
from typing import Any

SCHEMA = "invoke_state"


def read(cursor: Any) -> dict[str, Any]:
    """What was loaded, by kind; an older version wrote it as the comment of the schema `public`."""
    cursor.execute(
        "SELECT coalesce(obj_description(to_regnamespace(%s), 'pg_namespace'),"
        " obj_description(to_regnamespace('public'), 'pg_namespace'))",
        (SCHEMA,),
    )
    (comment,) = cursor.fetchone()
    try:
        note = json.loads(comment or "")
    except ValueError:
        return {}
    return note if isinstance(note, dict) else {}


def statements(note: Mapping[str, Any]) -> str:
    """The statements that write a note."""
    text = json.dumps(note).replace("'", "''")
    return f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}; COMMENT ON SCHEMA {SCHEMA} IS '{text}';"


def is_same(note: Mapping[str, Any], kind: str, digests: Mapping[str, str]) -> bool:
    """Are these the files that were loaded, in this order?"""
    entry = note.get(kind)
    before = [entry] if isinstance(entry, str) else [*(entry or {}).values()]  # str: older version
    return before == list(digests.values())


def describe_change(note: Mapping[str, Any], kind: str, digests: Mapping[str, str]) -> str:
    """Which files are not those that were loaded; the name of the database follows."""
    if kind not in note:
        return f"{', '.join(digests)} did not create"
    entry = note[kind]
    before = {} if isinstance(entry, str) else entry
    changed = [name for name in {**before, **digests} if before.get(name) != digests.get(name)]
    return f"{', '.join(changed or digests)} changed since the {kind} was loaded into"
