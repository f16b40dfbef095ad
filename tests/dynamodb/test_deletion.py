"""Deleting tables: protected ones, and what DynamoDB refuses for now or for good."""

import time
from dataclasses import replace

import pytest
from botocore.stub import Stubber

from scripts import clients, stacks
from scripts.cruddur import messages
from scripts.dynamodb import batch_write, deletion, parallel_scan, tables
from scripts.engine import pipeline
from scripts.environment import journal, reset, setup, snapshots, transaction
from scripts.errors import DevError, RefusedError
from scripts.postgres import copies
from scripts.settings import Settings
from scripts.targets import Aws
from tests.contents import content, is_linked, run, without_ids

TABLE = messages.TABLE
ACTIVE = {"TableName": TABLE, "TableStatus": "ACTIVE"}


def protect(settings: Settings, on: bool = True) -> None:
    client = clients.dynamodb(stacks.get_aws(settings))
    client.update_table(TableName=TABLE, DeletionProtectionEnabled=on)


def is_protected(settings: Settings) -> bool:
    table = tables.get_table(stacks.get_aws(settings), TABLE)
    return bool(table["DeletionProtectionEnabled"])


def untag(settings: Settings) -> None:
    aws = stacks.get_aws(settings)
    arn = tables.get_table(aws, TABLE)["TableArn"]
    key = tables.OWNERSHIP_TAG["Key"]
    clients.dynamodb(aws).untag_resource(ResourceArn=arn, TagKeys=[key])


def test_a_reset_leaves_a_protected_table_protected_and_undo_as_well(lived_in: Settings) -> None:
    before = content(lived_in)
    protect(lived_in)
    for pipe in (reset.reset, reset.undo, reset.undo):
        run(pipe(lived_in))
        assert is_protected(lived_in)
    run(reset.undo(lived_in))
    now = content(lived_in)
    assert now[TABLE] == before[TABLE]
    assert without_ids(now["users"]) == without_ids(before["users"])
    assert is_linked(lived_in)


def test_a_protected_table_is_dropped_and_comes_back_protected(lived_in: Settings) -> None:
    before = content(lived_in)
    protect(lived_in)
    run(reset.ddb_drop(lived_in, TABLE))
    assert tables.find_table(stacks.get_aws(lived_in), TABLE) is None
    run(reset.undo(lived_in))
    assert is_protected(lived_in)
    assert content(lived_in) == before


def test_a_snapshot_decides_whether_the_table_is_protected(lived_in: Settings) -> None:
    run(reset.snapshot_save(lived_in, "free"))
    protect(lived_in)
    run(reset.snapshot_restore(lived_in, "free"))
    assert not is_protected(lived_in)
    run(reset.undo(lived_in))
    assert is_protected(lived_in)


@pytest.mark.parametrize("back", [False, True])
def test_protection_survives_a_kill_between_lifting_and_deleting(
    lived_in: Settings, monkeypatch: pytest.MonkeyPatch, back: bool
) -> None:
    before = content(lived_in)
    protect(lived_in)

    def die(aws: Aws, name: str, *_: object) -> None:
        clients.dynamodb(aws).update_table(TableName=name, DeletionProtectionEnabled=False)
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(deletion, "delete", die)
        with pytest.raises(RuntimeError):
            run(reset.reset(lived_in))
    assert not is_protected(lived_in)
    run((reset.undo if back else setup.setup)(lived_in))
    assert is_protected(lived_in)
    assert (content(lived_in)[TABLE] == before[TABLE]) == back
    assert journal.find_pending(lived_in) is None


@pytest.mark.parametrize("command", ["reset", "ddb.drop", "snapshot.restore", "undo"])
def test_a_protected_table_of_somebody_else_is_refused_by_name(
    lived_in: Settings, command: str
) -> None:
    run(reset.snapshot_save(lived_in, "mine"))
    run(reset.reset(lived_in))
    protect(lived_in)
    untag(lived_in)
    pipes = {
        "reset": lambda: reset.reset(lived_in, TABLE),
        "ddb.drop": lambda: reset.ddb_drop(lived_in, TABLE, TABLE),
        "snapshot.restore": lambda: reset.snapshot_restore(lived_in, "mine", TABLE),
        "undo": lambda: reset.undo(lived_in, TABLE),
    }
    before, saved = content(lived_in), transaction.get_last(lived_in)
    details: list[str] = []
    with pytest.raises(pipeline.FailedError) as error:
        pipeline.run(
            pipes[command](), lambda e: details.append(e.detail) if e.kind == "failed" else None
        )
    assert error.value.code == RefusedError("").code
    assert details == [
        f"the table {TABLE} in {stacks.get_aws(lived_in)} has deletion protection and was not"
        " created by this tool, so it is not dropped"
        f"\nhint: aws dynamodb update-table --table-name {TABLE} --no-deletion-protection-enabled"
    ]
    assert (content(lived_in), transaction.get_last(lived_in)) == (before, saved)
    assert journal.find_pending(lived_in) is None
    assert is_protected(lived_in)


@pytest.mark.parametrize("status", ["CREATING", "UPDATING", "DELETING"])
def test_a_table_that_is_being_changed_is_refused_before_anything_changes(
    lived_in: Settings, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    """CREATING is also the status of a table that is being imported."""
    before = content(lived_in)
    find = tables.find_table

    def find_busy(aws: Aws, name: str) -> tables.Item | None:
        table = find(aws, name)
        return table and table | {"TableStatus": status}

    with monkeypatch.context() as patch:
        patch.setattr(tables, "find_table", find_busy)
        with pytest.raises(DevError) as error:
            transaction.prepare(lived_in, "reset", True, [TABLE], users=True)
    assert error.value.message == (
        f"the table {TABLE} in {stacks.get_aws(lived_in)} is {status}, so it cannot be saved and"
        " deleted now; nothing was changed"
        "\nhint: try again when ./invoke ddb.list-tables shows it as ACTIVE"
    )
    assert content(lived_in) == before


@pytest.mark.parametrize(
    "code", ["ResourceInUseException", "LimitExceededException", "ThrottlingException"]
)
def test_a_refusal_that_passes_is_tried_again(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(batch_write, "pause", lambda tries: None)
    found = iter([ACTIVE, ACTIVE | {"TableStatus": "UPDATING"}, ACTIVE, None])
    with Stubber(clients.dynamodb(aws)) as stub:
        stub.add_client_error("delete_table", code, "later", expected_params={"TableName": TABLE})
        stub.add_client_error("delete_table", code, "later", expected_params={"TableName": TABLE})
        stub.add_response("delete_table", {}, {"TableName": TABLE})
        deletion.delete(aws, TABLE, lambda *_: next(found))
        stub.assert_no_pending_responses()


def test_a_refusal_that_lasts_is_an_error_with_its_reason(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_write, "pause", lambda tries: None)
    monkeypatch.setattr(deletion, "SECONDS", 0.0)
    with Stubber(clients.dynamodb(aws)) as stub, pytest.raises(DevError) as error:
        stub.add_client_error("delete_table", "LimitExceededException", "50 at a time")
        deletion.delete(aws, TABLE, lambda *_: ACTIVE)
    assert error.value.message == (
        f"the table {TABLE} in {aws} is not deleted after 0 s: LimitExceededException: 50 at a time"
        "\nhint: run the same command again"
    )


def test_any_other_refusal_is_an_error_at_once(aws: Aws) -> None:
    with Stubber(clients.dynamodb(aws)) as stub, pytest.raises(DevError) as error:
        stub.add_client_error("update_table", "ValidationException", "a replica")
        deletion.delete(aws, TABLE, lambda *_: ACTIVE | {"DeletionProtectionEnabled": True})
    assert error.value.message == (
        f"{aws} refuses to delete the table {TABLE}: ValidationException: a replica"
        "\nhint: remove the cause, then run the same command again"
    )


def test_creating_a_table_waits_while_too_many_are_created(
    table: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = {
        "TableName": "orders",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    found = iter([None, None, ACTIVE | definition])
    monkeypatch.setattr(tables, "is_ready", lambda *_: next(found) is not None)
    monkeypatch.setattr(tables, "find_table", lambda *_: None)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with Stubber(clients.dynamodb(table)) as stub:
        stub.add_client_error("create_table", "LimitExceededException", "50 at a time")
        stub.add_response("create_table", {})
        tables.ensure_table(table, definition)
        stub.assert_no_pending_responses()


def test_saved_items_are_restored_into_a_protected_table(lived_in: Settings) -> None:
    """The change was killed after it had created the table again, protected, and half filled."""
    aws = stacks.get_aws(lived_in)
    protect(lived_in)
    run(reset.ddb_drop(lived_in, TABLE))
    _, saved = transaction.get_last(lived_in)
    table = saved.tables[TABLE]
    assert table
    tables.ensure_table(aws, table.definition)
    assert is_protected(lived_in)
    run(reset.undo(lived_in))
    assert is_protected(lived_in)
    assert len(list(parallel_scan.scan(aws, TABLE))) == table.items


def test_a_protected_table_on_a_server_that_is_not_ours_is_never_dropped(
    lived_in: Settings,
) -> None:
    protect(lived_in)
    far = replace(stacks.get_aws(lived_in), owned=False)
    with pytest.raises(RefusedError, match="has deletion protection and was not created by"):
        tables.drop_table(far, TABLE, TABLE)
    assert is_protected(lived_in)


def test_nothing_is_left_of_a_snapshot_of_a_protected_table(lived_in: Settings) -> None:
    protect(lived_in)
    run(reset.snapshot_save(lived_in, "mine"))
    protect(lived_in, on=False)
    run(reset.snapshot_restore(lived_in, "mine"))
    assert is_protected(lived_in)
    run(reset.snapshot_delete(lived_in, "mine"))
    assert snapshots.list_all(lived_in) == []
    database = stacks.get_database(lived_in)
    assert copies.list_beside(database, copies.SNAPSHOT) == []
