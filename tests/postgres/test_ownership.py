"""Databases that this tool did not create are not dropped, whatever their name is."""

from collections.abc import Callable, Iterator

import pytest

from scripts import clients, stacks
from scripts.engine import pipeline
from scripts.engine.pipeline import Step
from scripts.environment import reset, setup
from scripts.errors import RefusedError
from scripts.postgres import copies, databases, ownership, schema_diff
from scripts.settings import Settings
from scripts.targets import Database
from tests.contents import content, run

CHANGES: dict[str, Callable[[Settings], list[Step]]] = {
    "reset": reset.reset,
    "db.reset": reset.db_reset,
    "db.drop": reset.db_drop,
    "snapshot.save": lambda settings: reset.snapshot_save(settings, "one"),
}
SUFFIXES = ("__next", "__prev", "__gone", "__seal_0123456789ab", "__snap_mine")


@pytest.fixture
def by_hand(lived_in: Settings) -> Iterator[Callable[[str], Database]]:
    """Create databases beside the app's by hand, with a table in each."""
    made = []

    def make(suffix: str) -> Database:
        database = copies.beside(stacks.get_database(lived_in), suffix)
        with clients.cursor(database.named("postgres"), autocommit=True) as cursor:
            cursor.execute(databases.compose("CREATE DATABASE {}", database.name))
        with clients.cursor(database) as cursor:
            cursor.execute("CREATE TABLE precious AS SELECT 42 AS x")
        made.append(database)
        return database

    yield make
    for database in made:
        databases.drop(database, database.name)


@pytest.mark.parametrize(
    ("command", "suffix"),
    [*(("db.reset", suffix) for suffix in SUFFIXES), *zip(CHANGES, SUFFIXES, strict=False)],
)
def test_a_database_of_the_users_is_named_before_anything_is_done(
    lived_in: Settings, by_hand: Callable[[str], Database], command: str, suffix: str
) -> None:
    theirs, before = by_hand(suffix), content(lived_in)
    database = stacks.get_database(lived_in)
    others = {other.name for other in copies.list_beside(database)}
    with pytest.raises(pipeline.FailedError) as error:
        run(CHANGES[command](lived_in))
    assert error.value.code == RefusedError("").code
    assert databases.count_rows(theirs) == {"precious": 1}
    assert content(lived_in) == before
    assert {other.name for other in copies.list_beside(database)} == others


def test_the_refusal_says_what_to_do(
    lived_in: Settings, by_hand: Callable[[str], Database]
) -> None:
    theirs = by_hand("__next")
    with pytest.raises(RefusedError) as error:
        copies.check_companions(stacks.get_database(lived_in))
    free = theirs.name.replace("__", "_")
    assert error.value.message == (
        f"{theirs.name}: not created by this tool, which reserves names of this form"
        "\nhint: rename or drop it by hand: ./invoke db.connect --"
        f' -c \'ALTER DATABASE "{theirs.name}" RENAME TO "{free}"\''
    )


@pytest.mark.parametrize("suffix", ["__draft", "__next__draft", "__analytics", "__nextyear"])
def test_a_database_with_a_name_that_is_not_used_is_left_alone(
    lived_in: Settings, by_hand: Callable[[str], Database], suffix: str
) -> None:
    theirs = by_hand(suffix)
    run(reset.db_reset(lived_in))
    run(setup.setup(lived_in))
    assert databases.count_rows(theirs) == {"precious": 1}


def test_a_scratch_database_of_the_users_stays(
    lived_in: Settings, by_hand: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getpid", lambda: 4_194_305)
    theirs = by_hand(f"{databases.SCRATCH}4194305")
    database = stacks.get_database(lived_in)
    with pytest.raises(RefusedError, match=f"^{theirs.name}: not created by this tool"):
        schema_diff.list_changes(database, (lived_in.root / "sql" / "schema.sql",))
    assert databases.count_rows(theirs) == {"precious": 1}
    assert theirs.name not in copies.list_temporary(database)


def test_what_was_confirmed_is_dropped_when_undo_no_longer_needs_it(lived_in: Settings) -> None:
    database = stacks.get_database(lived_in)
    with clients.cursor(database) as cursor:
        cursor.execute(databases.compose("ALTER DATABASE {} RESET invoke.server", database.name))
    run(reset.db_reset(lived_in, database.name))
    run(reset.db_reset(lived_in))
    assert [other.name for other in copies.list_beside(database)] == [f"{database.name}__prev"]


def test_a_comment_of_the_apps_takes_nothing(lived_in: Settings) -> None:
    database = stacks.get_database(lived_in)
    with clients.cursor(database) as cursor:
        cursor.execute(databases.compose("COMMENT ON DATABASE {} IS 'The app'", database.name))
    assert databases.is_disposable(database)
    run(reset.db_reset(lived_in))


def test_a_tag_of_another_server_counts_for_nothing(lived_in: Settings) -> None:
    database = stacks.get_database(lived_in)
    with clients.cursor(database) as cursor:
        cursor.execute("SELECT system_identifier + 1 FROM pg_control_system()")
        statement = f"ALTER DATABASE {{}} SET {ownership.SETTING} = '{cursor.fetchone()[0]}'"
        cursor.execute(databases.compose(statement, database.name))
    assert not databases.is_disposable(database)
