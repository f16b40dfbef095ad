"""snapshot: saved states of the whole environment."""

from typing import TYPE_CHECKING

from scripts.engine.pipeline import Step
from scripts.settings import Settings
from scripts.targets import Loss
from scripts.tasks.kinds import Call, listing, pipeline, replacement

if TYPE_CHECKING:
    from scripts.environment.snapshots import Snapshot

NAME = {"name": "snapshot name: letters, digits, _ and -"}


@pipeline(help=NAME)
def save(settings: Settings, name: str) -> list[Step]:
    """Save the current state under a name.

    Closes every connection to the database while it is copied.
    """
    from scripts.environment import reset

    return reset.snapshot_save(settings, name)


@listing(
    "name",
    "made",
    "megabytes",
    "content",
    name="list",
    empty="no snapshots yet; ./invoke snapshot.save NAME creates one",
)
def list_all(call: Call) -> "list[Snapshot]":
    """List the snapshots."""
    from scripts.environment import snapshots

    return snapshots.list_all(call.settings)


def _restore_loss(settings: Settings, name: str) -> Loss | None:
    from scripts.environment import reset

    return reset.find_loss(settings, True, None)


@replacement(_restore_loss, help=NAME)
def restore(settings: Settings, name: str, confirmed: str) -> list[Step]:
    """Restore a snapshot (undo reverts it).

    Closes every connection to the database, as reset does.
    """
    from scripts.environment import reset

    return reset.snapshot_restore(settings, name, confirmed)


@pipeline(help=NAME)
def delete(settings: Settings, name: str) -> list[Step]:
    """Permanently delete a snapshot."""
    from scripts.environment import reset

    return reset.snapshot_delete(settings, name)
