"""Named snapshots: whole or absent, listed from what there is, restored with everything."""

import gzip
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scripts import clients, stacks
from scripts.cognito import user_pool
from scripts.cruddur import messages
from scripts.dynamodb import tables
from scripts.engine import pipeline
from scripts.engine.pipeline import Step
from scripts.environment import reset, saved_state, setup, snapshots, statistics, transaction
from scripts.errors import DevError, InvalidError, NotFoundError, RefusedError
from scripts.postgres import copies, databases
from scripts.settings import Settings
from tests.conftest import Checkout
from tests.contents import content, is_linked, run, without_ids


def failure(steps: Sequence[Step]) -> str:
    """The one step's failure, as it is told."""
    details = []
    with pytest.raises(pipeline.FailedError):
        pipeline.run(steps, lambda e: details.append(e.detail) if e.kind == "failed" else None)
    return details[0]


def test_a_snapshot_comes_back_whole_and_undo_leads_forward_again(lived_in: Settings) -> None:
    before = content(lived_in)
    run(reset.snapshot_save(lived_in, "mine"))
    assert content(lived_in) == before
    run(reset.reset(lived_in))
    after = content(lived_in)
    run(reset.snapshot_restore(lived_in, "mine"))
    restored = content(lived_in)
    assert without_ids(restored.pop("users")) == without_ids(before.pop("users"))
    assert restored == before
    assert is_linked(lived_in)
    run(reset.undo(lived_in))
    assert content(lived_in) == after


def test_a_restored_environment_has_the_ids_of_a_new_pool(lived_in: Settings) -> None:
    aws = stacks.get_aws(lived_in)
    run(reset.snapshot_save(lived_in, "mine"))
    pool = user_pool.get_pool(aws)
    disabled = user_pool.list_users(aws, pool)[0]
    clients.cognito(aws).admin_disable_user(UserPoolId=pool, Username=disabled.username)
    run(reset.snapshot_save(lived_in, "disabled"))
    clients.cognito(aws).delete_user_pool(UserPoolId=pool)
    run(reset.snapshot_restore(lived_in, "disabled"))
    assert is_linked(lived_in)
    enabled = {
        user.handle: user.enabled for user in user_pool.list_users(aws, user_pool.get_pool(aws))
    }
    assert enabled == {name: name != disabled.handle for name in ("ada", "korney", "smirnov")}


def test_tables_that_came_later_go_with_a_restore_and_come_back_with_undo(
    lived_in: Settings,
) -> None:
    aws = stacks.get_aws(lived_in)
    run(reset.snapshot_save(lived_in, "mine"))
    definition = tables.read_definitions(lived_in.root / "ddb" / "tables")[0]
    tables.ensure_table(aws, definition | {"TableName": "later"})
    run(reset.snapshot_restore(lived_in, "mine"))
    assert tables.list_tables(aws) == [messages.TABLE]
    run(reset.undo(lived_in))
    assert tables.list_tables(aws) == [messages.TABLE, "later"]


def test_the_list_tells_sizes_and_content_also_after_a_restart(checkout: Checkout) -> None:
    checkout.run("setup")
    checkout.run("snapshot.save", "one")
    checkout.run("ddb.patterns.send-message", "korney", "more")
    checkout.run("snapshot.save", "two")
    checkout.run("down")
    checkout.run("up")
    one, two = json.loads(checkout.run("snapshot.list", "--json").stdout)
    assert (one["name"], two["name"]) == ("one", "two")
    assert one["content"] == "activities 1, users 2, cruddur-messages 122, pool users 2"
    assert two["content"] == "activities 1, users 2, cruddur-messages 123, pool users 2"
    assert one["size"] > 1_000_000
    checkout.run("snapshot.delete", "one")
    table = checkout.run("snapshot.list").stdout.splitlines()
    assert [line.split()[0] for line in table] == ["NAME", "two"]
    checkout.run("snapshot.restore", "two")
    checkout.run("down", "--volumes", "--yes")
    checkout.run("up")
    assert checkout.run("snapshot.list").stdout == ""


@pytest.mark.parametrize("name", ["", "../x", "a.b", "-x", "a b", "x" * 60])
def test_what_cannot_be_a_name_is_refused(lived_in: Settings, name: str) -> None:
    with pytest.raises(InvalidError) as error:
        reset.snapshot_save(lived_in, name)
    assert error.value.reason == f"{name} is not a valid snapshot name"


def test_a_name_that_is_taken_or_unknown_is_told(lived_in: Settings) -> None:
    run(reset.snapshot_save(lived_in, "mine"))
    assert failure(reset.snapshot_save(lived_in, "mine")) == (
        "the snapshot mine already exists\nhint: choose another name"
    )
    for steps in (reset.snapshot_delete, reset.snapshot_restore):
        with pytest.raises(NotFoundError) as error:
            steps(lived_in, "mien")
        assert error.value.message == (
            "there is no snapshot mien\nhint: did you mean mine? snapshots: mine"
        )


def test_a_save_that_fails_leaves_nothing_and_the_earlier_ones_whole(
    lived_in: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(lived_in)
    run(reset.snapshot_save(lived_in, "first"))

    def full(*_: object) -> None:
        raise DevError("No space left on device")

    for name in ("copy", "find_oid"):
        with monkeypatch.context() as patch:
            patch.setattr(copies, name, full)
            with pytest.raises(pipeline.FailedError):
                run(reset.snapshot_save(lived_in, "second"))
        assert [one.name for one in snapshots.list_all(lived_in)] == ["first"]
        assert [path.name for path in snapshots.get_home(lived_in).iterdir()] == ["first"]
        assert content(lived_in) == before
    run(reset.snapshot_save(lived_in, "second"))


def test_half_a_snapshot_is_none_and_is_swept_away(lived_in: Settings) -> None:
    database = stacks.get_database(lived_in)
    for name in ("one", "two", "three"):
        run(reset.snapshot_save(lived_in, name))
    home = snapshots.get_home(lived_in)
    copies.drop(copies.of_snapshot(database, "one"))
    shutil.rmtree(home / "two")
    shutil.copytree(home / "three", home / "four.new")
    lost = f"damaged: the database {copies.of_snapshot(database, 'one')} does not exist"
    listed = {one.name: one.content for one in snapshots.list_all(lived_in)}
    assert [*listed] == ["one", "three"]
    assert listed["one"] == lost
    run(reset.snapshot_save(lived_in, "five"))
    assert [one.name for one in snapshots.list_all(lived_in)] == ["one", "three", "five"]
    run(reset.snapshot_delete(lived_in, "one"))
    names = {other.name.rpartition("_")[2] for other in copies.list_beside(database)}
    assert names == {"three", "five"}


def cut_part(folder: Path) -> str:
    (part,) = (folder / "tables" / messages.TABLE).iterdir()
    part.write_bytes(part.read_bytes()[:-9])
    return f"{part}:1: the rest of the file cannot be read: Compressed file ended before the"


def garble_line(folder: Path) -> str:
    (part,) = (folder / "tables" / messages.TABLE).iterdir()
    lines = gzip.decompress(part.read_bytes()).splitlines()
    part.write_bytes(gzip.compress(b"\n".join([*lines[:-1], b'{"Item": {"pk": {"S": 1}}}'])))
    return f"{part}:{len(lines)}: the item has no key pk (S)"


def drop_line(folder: Path) -> str:
    (part,) = (folder / "tables" / messages.TABLE).iterdir()
    lines = gzip.decompress(part.read_bytes()).splitlines()
    part.write_bytes(gzip.compress(b"\n".join(lines[:-1])))
    return f"{part.parent}: {len(lines) - 1} items, expected {len(lines)}"


def remove_items(folder: Path) -> str:
    items = folder / "tables" / messages.TABLE
    shutil.rmtree(items)
    return f"{items} cannot be read: No such file or directory"


def garble_users(folder: Path) -> str:
    (folder / "users.json").write_text('[{"Username": 1}]')
    return f"{folder / 'users.json'} does not contain saved users"


def empty_users(folder: Path) -> str:
    (folder / "users.json").write_text("")
    return f"{folder / 'users.json'} is not JSON: Expecting value: line 1 column 1 (char 0)"


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads((folder / "manifest.json").read_text())
    change(values)
    (folder / "manifest.json").write_text(json.dumps(values))


def garble_manifest(folder: Path) -> str:
    (folder / "manifest.json").write_text("{")
    return f"{folder}/manifest.json is damaged"


def lead_elsewhere(folder: Path) -> str:
    change_manifest(folder, lambda values: values["tables"].update({"../x": None}))
    return f"{folder}/manifest.json is damaged"


def garble_definition(folder: Path) -> str:
    change_manifest(
        folder, lambda values: values["tables"][messages.TABLE]["definition"].pop("KeySchema")
    )
    items = folder / "tables" / messages.TABLE
    return f'{items}: its definition is not a CreateTable request: Missing parameter "KeySchema"'


def change_oid(folder: Path) -> str:
    change_manifest(folder, lambda values: values.update(oid=1))
    return "__snap_mine on 127.0.0.1"


DAMAGE = [
    *(cut_part, garble_line, drop_line, remove_items, garble_users, empty_users),
    *(garble_manifest, lead_elsewhere, garble_definition, change_oid),
]


def test_the_start_page_reads_no_saved_item(lived_in: Settings) -> None:
    for name in ("lost", "kept"):
        run(reset.snapshot_save(lived_in, name))
    copy = copies.of_snapshot(stacks.get_database(lived_in), "lost")
    copies.drop(copy)
    kept = snapshots.get_folder(lived_in, "kept")
    remove_items(kept)
    shown = {one.name: one.content for one in statistics.list_snapshots(lived_in)}
    assert shown["lost"] == f"damaged: the database {copy} does not exist"
    assert shown["kept"] == str(saved_state.get(kept))


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_snapshot_is_listed_and_refused_and_can_be_deleted(
    lived_in: Settings, damage: Callable[[Path], str]
) -> None:
    run(reset.snapshot_save(lived_in, "mine"))
    run(reset.db_reset(lived_in))
    before = content(lived_in)
    reason = damage(snapshots.get_folder(lived_in, "mine"))
    (listed,) = snapshots.list_all(lived_in)
    assert listed.content.startswith("damaged: ")
    assert reason in listed.content
    told = failure(reset.snapshot_restore(lived_in, "mine"))
    assert told.startswith("the snapshot mine is damaged, so nothing was changed:\n  ")
    assert reason in told
    assert told.endswith("\nhint: ./invoke snapshot.list (shows the others)")
    assert content(lived_in) == before
    run(setup.setup(lived_in))
    run(reset.undo(lived_in))
    run(reset.undo(lived_in))
    assert content(lived_in) == before
    run(reset.snapshot_save(lived_in, "other"))  # does not sweep the damaged one's database away
    database = stacks.get_database(lived_in)
    assert len(copies.list_beside(database, copies.SNAPSHOT)) == 2
    run(reset.snapshot_delete(lived_in, "mine"))
    assert [one.name for one in snapshots.list_all(lived_in)] == ["other"]
    assert len(copies.list_beside(database, copies.SNAPSHOT)) == 1


def test_no_command_shows_a_traceback_for_a_damaged_snapshot(checkout: Checkout) -> None:
    checkout.run("setup")
    checkout.run("snapshot.save", "mine")
    folder = snapshots.get_folder(checkout.settings(), "mine")
    garble_manifest(folder)
    assert "damaged" in checkout.run("snapshot.list").stdout
    assert f"{folder}/manifest.json is damaged" in checkout.run("doctor", expect=1).stdout
    for words in (["setup"], ["reset"], ["undo"], ["check"]):
        checkout.run(*words)
    refused = checkout.run("snapshot.restore", "mine", expect=1).stderr
    assert f"{folder}/manifest.json is damaged" in refused
    checkout.run("snapshot.delete", "mine")
    checkout.run("doctor")


def test_saving_and_restoring_do_not_wait_for_clients_that_stay(lived_in: Settings) -> None:
    with (
        pytest.raises(DevError, match="server closed the connection"),
        clients.cursor(stacks.get_database(lived_in)) as cursor,
    ):
        cursor.execute("SELECT 1")
        run(reset.snapshot_save(lived_in, "mine"))
        run(reset.snapshot_restore(lived_in, "mine"))
        cursor.execute("SELECT 1")
    assert content(lived_in)["users"]


def test_nothing_is_copied_on_a_server_that_is_not_ours(lived_in: Settings) -> None:
    database = stacks.get_database(lived_in)
    theirs = replace(database, owned=False)
    databases.create(copies.beside(database, copies.PREV))
    with pytest.raises(RefusedError) as error:
        copies.clear_names(theirs, "")
    assert error.value.reason == f"{database.name}__prev on {database.host}:{database.port}" + (
        " already exists and was not created by this tool"
    )
    assert databases.exists(database)


def test_the_files_are_for_us_only(lived_in: Settings) -> None:
    run(reset.snapshot_save(lived_in, "mine"))
    run(reset.reset(lived_in))
    for folder in (snapshots.get_folder(lived_in, "mine"), transaction.get_last(lived_in)[0]):
        assert folder.stat().st_mode & 0o777 == 0o700
        assert folder.stat().st_uid == os.geteuid()
