"""Deleting a table: what forbids it, lifting the protection of our own, and trying again."""

import time
from collections.abc import Callable
from typing import Any

from scripts import clients
from scripts.dynamodb import batch_write
from scripts.errors import DevError, RefusedError
from scripts.targets import Aws

SECONDS = 120.0
# AWS says so of a table that is being created, updated or imported, and of too many at a time.
_LATER = {"ResourceInUseException", "LimitExceededException"}
_CHANGING = ("CREATING", "UPDATING", "DELETING")

Item = dict[str, Any]


def check_protection(aws: Aws, table: Item) -> None:
    """RefusedError for a protected table that this tool did not create."""
    if table.get("DeletionProtectionEnabled"):
        name = table["TableName"]
        raise RefusedError(
            f"the table {name} in {aws} has deletion protection and was not created by this tool,"
            " so it is not dropped",
            f"aws dynamodb update-table --table-name {name} --no-deletion-protection-enabled",
        )


def check_status(aws: Aws, table: Item) -> None:
    """DevError for a table that AWS would not delete now. To be called before anything changes."""
    if table["TableStatus"] in _CHANGING:
        raise DevError(
            f"the table {table['TableName']} in {aws} is {table['TableStatus']},"
            " so it cannot be saved and deleted now; nothing was changed",
            "try again when ./invoke ddb.list-tables shows it as ACTIVE",
        )


def protect_as(aws: Aws, table: Item, definition: Item) -> None:
    """Enable the table's deletion protection if its definition has it, and it was lifted."""
    if definition.get("DeletionProtectionEnabled") and not table.get("DeletionProtectionEnabled"):
        client = clients.dynamodb(aws)
        client.update_table(TableName=table["TableName"], DeletionProtectionEnabled=True)


def delete(aws: Aws, name: str, find: Callable[[Aws, str], Item | None]) -> None:
    """Delete a table, also a protected one, and wait until it is gone.

    Refusals that pass are tried again. Raises RefusedError for any other, DevError after SECONDS.
    `find` returns a table's description, None for none.
    """
    deadline, tries, reason = time.monotonic() + SECONDS, 0, ""
    while table := find(aws, name):
        if tries:
            batch_write.pause(tries)
        reason = _ask(aws, table) or reason
        tries += 1
        if time.monotonic() > deadline:
            why = f": {reason}" if reason else ""
            raise DevError(
                f"the table {name} in {aws} is not deleted after {SECONDS:.0f} s{why}",
                "run the same command again",
            )


def _ask(aws: Aws, table: Item) -> str:
    """Ask for the next step; "", or why it has to wait. RefusedError for a refusal that lasts."""
    client, name = clients.dynamodb(aws), table["TableName"]
    try:
        if table["TableStatus"] == "DELETING":
            return ""
        if table.get("DeletionProtectionEnabled"):
            client.update_table(TableName=name, DeletionProtectionEnabled=False)
        else:
            client.delete_table(TableName=name)
    except client.exceptions.ResourceNotFoundException:
        return ""
    except client.exceptions.ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message")
        if code in _LATER or batch_write.is_throttle(error):
            return f"{code}: {message}"
        raise RefusedError(
            f"{aws} refuses to delete the table {name}: {code}: {message}",
            "remove the cause, then run the same command again",
        ) from None
    return ""
