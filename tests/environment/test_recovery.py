"""From every state that a failed change leaves, setup goes forward and undo goes back."""

import json
import shutil
from collections.abc import Callable

import pytest

from scripts import clients, stacks
from scripts.cruddur import messages
from scripts.doctor import examine
from scripts.dynamodb import deletion, tables
from scripts.engine.checks import Finding
from scripts.environment import journal, recovery, reset, setup, snapshots, transaction
from scripts.errors import DevError, RefusedError
from scripts.postgres import copies, databases
from scripts.settings import Settings
from tests.contents import content, is_linked, run, without_ids, without_times

TABLE = messages.TABLE
Damage = Callable[[Settings], object]


@pytest.fixture
def two(lived_in: Settings) -> Settings:
    """An environment with a snapshot of the old state, fresh seed data, and the old one to undo."""
    run(reset.snapshot_save(lived_in, "mine"))
    run(reset.reset(lived_in))
    return lived_in


def kill(settings: Settings, monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> None:
    """Undo, and end as by a kill when it comes to this function."""

    def die(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(module, name, die)
        with pytest.raises(RuntimeError):
            run(reset.undo(settings))
    assert journal.find_pending(settings)


def whole(settings: Settings) -> dict[str, object]:
    """The content; the ids of users who were created again are another pool's."""
    assert is_linked(settings)
    held = content(settings)
    return held | {"users": held["users"] and without_ids(held["users"])}


def look(settings: Settings, name: str) -> Finding:
    """What one check of doctor finds."""
    listed = examine.list_checks(lambda: settings)
    return next(check for check in listed if check.name == name).look()


def cut_part(settings: Settings) -> None:
    (part,) = (journal.get_home(settings) / "prev" / "tables" / TABLE).iterdir()
    part.write_bytes(part.read_bytes()[:-20])


def cut_users(settings: Settings) -> None:
    (journal.get_home(settings) / "prev" / "users.json").write_text('[{"Username": ')


def remove_source(settings: Settings) -> None:
    shutil.rmtree(journal.get_home(settings) / "prev")


def damage_manifest(settings: Settings) -> None:
    (journal.get_home(settings) / "prev" / "manifest.json").write_text('{"tables": []}')


def damage_note(settings: Settings) -> None:
    journal.get_note(settings).write_text('{"command": ')


def change_note(settings: Settings) -> None:
    values = json.loads(journal.get_note(settings).read_text())
    journal.get_note(settings).write_text(json.dumps(values | {"tables": [1], "live": "x"}))


def drop_new(settings: Settings) -> None:
    databases.drop(stacks.get_database(settings))


def refuse_table(settings: Settings) -> None:
    aws = stacks.get_aws(settings)
    client = clients.dynamodb(aws)
    client.update_table(TableName=TABLE, DeletionProtectionEnabled=True)
    arn = tables.get_table(aws, TABLE)["TableArn"]
    client.untag_resource(ResourceArn=arn, TagKeys=[tables.OWNERSHIP_TAG["Key"]])


AFTER_THE_SWAP = [
    cut_part,
    cut_users,
    remove_source,
    damage_manifest,
    damage_note,
    drop_new,
    refuse_table,
]


@pytest.mark.parametrize("damage", AFTER_THE_SWAP)
def test_undo_goes_back_from_each_state_after_the_swap(
    two: Settings, monkeypatch: pytest.MonkeyPatch, damage: Damage
) -> None:
    before = whole(two)
    kill(two, monkeypatch, transaction, "complete")
    damage(two)
    found = look(two, "changes")
    assert found.state == "FAIL"
    assert found.fix == "./invoke setup (completes it)"
    run(reset.undo(two))
    assert whole(two) == before
    assert journal.find_pending(two) is None
    assert look(two, "changes").state == "ok"


@pytest.mark.parametrize("damage", AFTER_THE_SWAP)
def test_setup_goes_forward_from_each_state_after_the_swap_and_undo_comes_back(
    two: Settings, monkeypatch: pytest.MonkeyPatch, damage: Damage
) -> None:
    before = whole(two)
    kill(two, monkeypatch, transaction, "complete")
    damage(two)
    run(setup.setup(two))
    assert journal.find_pending(two) is None
    assert look(two, "changes").state == "ok"
    activities = content(two)["activities"]
    assert [message for _, _, message in activities] != [
        message
        for _, _, message in before["activities"]  # type: ignore[attr-defined]
    ] or damage is drop_new
    if damage is refuse_table:  # it is refused now as well, before anything changes
        with pytest.raises(DevError):
            run(reset.undo(two))
        return
    run(reset.undo(two))
    assert without_times(whole(two)) == without_times(before)


@pytest.mark.parametrize("way", [reset.undo, setup.setup])
@pytest.mark.parametrize("damage", [None, change_note])
def test_before_the_swap_both_ways_lead_to_what_was_there(
    two: Settings, monkeypatch: pytest.MonkeyPatch, damage: Damage | None, way: Damage
) -> None:
    before = whole(two)
    kill(two, monkeypatch, copies, "swap_in")
    if damage:
        damage(two)
    run(way(two))  # type: ignore[arg-type]
    assert whole(two) == before
    assert journal.find_pending(two) is None


@pytest.mark.parametrize("pipe", ["reset", "db.reset", "snapshot.restore", "db.drop"])
def test_undo_reverts_an_interrupted_change_and_what_was_saved_before_stays(
    two: Settings, monkeypatch: pytest.MonkeyPatch, pipe: str
) -> None:
    pipes: dict[str, Damage] = {
        "reset": lambda settings: run(reset.reset(settings)),
        "db.reset": lambda settings: run(reset.db_reset(settings)),
        "snapshot.restore": lambda settings: run(reset.snapshot_restore(settings, "mine")),
        "db.drop": lambda settings: run(reset.db_drop(settings)),
    }
    before, (_, saved) = whole(two), transaction.get_last(two)
    with monkeypatch.context() as patch:
        patch.setattr(transaction, "complete", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pipes[pipe](two)
    done = run(reset.undo(two))
    assert done["revert"].detail.startswith(f"reverted ./invoke {pipe}: activities 1, users 2")
    assert whole(two) == before
    assert transaction.get_last(two)[1] == saved
    names = [one.name for one in copies.list_beside(stacks.get_database(two))]
    assert [name.partition("__")[2] for name in names] == ["prev", "snap_mine"]
    run(reset.undo(two))
    assert whole(two) != before


@pytest.mark.parametrize(
    ("moment", "way"),
    [
        ("_return_tables", "undo"),
        ("_return_tables", "setup"),
        ("_return_database", "undo"),
        ("_drop_displaced", "setup"),
    ],
)
def test_reverting_survives_a_kill(
    two: Settings, monkeypatch: pytest.MonkeyPatch, moment: str, way: str
) -> None:
    before = whole(two)
    kill(two, monkeypatch, transaction, "restore")  # half-way in tables
    with monkeypatch.context() as patch:
        patch.setattr(recovery, moment, lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(reset.undo(two))
    run(reset.undo(two) if way == "undo" else setup.setup(two))
    assert whole(two) == before
    assert journal.find_pending(two) is None


def test_a_change_is_reverted_although_its_saved_files_are_missing(
    two: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = whole(two)
    kill(two, monkeypatch, transaction, "complete")
    shutil.rmtree(journal.get_home(two) / "kept")
    run(reset.undo(two))
    assert without_ids(content(two)["users"]) == before["users"]


def test_the_database_is_left_for_undo_if_the_saved_files_are_missing(
    two: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = whole(two)
    kill(two, monkeypatch, transaction, "complete")
    (journal.get_home(two) / "kept" / "manifest.json").write_text("{")
    run(setup.setup(two))
    assert whole(two) != before
    run(reset.undo(two))
    assert without_ids(content(two)["users"]) == before["users"]


def test_a_change_whose_old_database_was_dropped_can_only_be_completed(
    two: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(two, monkeypatch, transaction, "complete")
    databases.drop(copies.beside(stacks.get_database(two), copies.PREV))
    before = content(two)
    with pytest.raises(DevError) as error:
        recovery.revert(two)
    assert error.value.message == (
        "./invoke undo cannot be reverted: the database that it replaced no longer exists"
        "\nhint: ./invoke setup (completes it)"
    )
    assert content(two) == before
    run(setup.setup(two))
    assert journal.find_pending(two) is None
    assert is_linked(two)


def test_a_refusal_to_delete_does_not_block_the_way_forward(
    two: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(two, monkeypatch, transaction, "complete")

    def refuse(*_: object) -> None:
        raise RefusedError("AWS refuses")

    with monkeypatch.context() as patch:
        patch.setattr(deletion, "delete", refuse)
        done = run(setup.setup(two))
    folder = next(journal.get_home(two).glob("damaged-*"))
    assert done["recover"].detail.endswith(
        f"not restored, so left as it was: AWS refuses; what was saved is in {folder}"
    )


@pytest.mark.parametrize("damage", [cut_part, cut_users, damage_manifest])
def test_a_damaged_state_is_refused_by_undo_before_anything_changes(
    two: Settings, damage: Damage
) -> None:
    before = whole(two)
    damage(two)
    with pytest.raises(DevError):
        run(reset.undo(two))
    assert whole(two) == before
    assert journal.find_pending(two) is None
    found = look(two, "saved states")
    assert found.state == "FAIL"
    assert found.fix == (
        f"mv {journal.get_home(two) / 'prev'} {journal.get_home(two) / 'prev'}.damaged"
        " (undo then has nothing to restore)"
    )
    run(reset.reset(two))
    run(reset.undo(two))
    assert whole(two) == before
    assert snapshots.list_damaged(two) == {}
