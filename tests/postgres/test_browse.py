"""Looking at a database: its tables, their structure, their rows in pages."""

import itertools
import random
from dataclasses import replace

import pytest

from scripts import clients
from scripts.errors import InvalidError
from scripts.postgres import browse, databases, rows
from scripts.postgres.browse import Table
from scripts.postgres.reading import QueryError
from scripts.postgres.rows import Filter, Row, View
from scripts.targets import Database

WEIRD = 'We ird/"<b>%s'
LAB = """
    CREATE SCHEMA lab;
    CREATE TABLE lab.events (
        a int, b text, at timestamptz, score numeric, data json, PRIMARY KEY (b, a));
    CREATE INDEX ON lab.events (score);
    CREATE TABLE lab.notes (event_a int, event_b text, note text,
        FOREIGN KEY (event_b, event_a) REFERENCES lab.events (b, a));
    CREATE TABLE lab.tagged (tag text NOT NULL UNIQUE, n int);
    CREATE VIEW lab.recent AS SELECT * FROM lab.events;
    CREATE TABLE lab.parted (n int PRIMARY KEY) PARTITION BY RANGE (n);
    CREATE TABLE lab.part PARTITION OF lab.parted FOR VALUES FROM (0) TO (100);
    INSERT INTO lab.parted VALUES (1), (2), (3);
"""


@pytest.fixture
def lab(seeded: Database) -> Database:
    """A database with tables of every kind; `events` has gaps and equal values."""
    numbers = random.Random(7)
    with clients.cursor(seeded) as cursor:
        cursor.execute(LAB)
        for a, b in itertools.product(range(20), "xyz"):
            score = numbers.choice([None, "NaN", 1, 2.5, 3])
            at = numbers.choice([None, "2026-03-28 15:00:00.123456+00", "infinity"])
            cursor.execute(
                "INSERT INTO lab.events VALUES (%s, %s, %s, %s, '{}')", (a, b, at, score)
            )
    return seeded


def get(database: Database, name: str, schema: str = "lab") -> Table:
    found = browse.find_table(database, schema, name)
    assert found
    return found


def walk(database: Database, table: Table, sort: str, down: bool) -> list[Row]:
    """Every row, page by page."""
    view, found = View(sort, down, size=7), list[Row]()
    while True:
        page = rows.read_page(database, table, view)
        assert page.is_first is not bool(found)
        found += page.rows
        if page.is_last:
            return found
        view = replace(view, after=page.rows[-1].key)


def test_tables_of_all_schemas_are_listed_with_their_rows(lab: Database) -> None:
    found = [(e.schema, e.name, e.kind, e.rows, e.exact) for e in browse.list_tables(lab)]
    assert found == [
        ("public", "activities", "table", 1, True),
        ("public", "users", "table", 2, True),
        ("lab", "events", "table", 60, True),
        ("lab", "notes", "table", 0, True),
        ("lab", "parted", "table", 3, True),
        ("lab", "recent", "view", None, False),
        ("lab", "tagged", "table", 0, True),
    ]


def test_a_large_table_is_estimated(lab: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "SMALL", 0)
    with clients.cursor(lab) as cursor:
        cursor.execute("ANALYZE lab.events")
    entry = get(lab, "events").entry
    assert (entry.rows, entry.exact) == (60, False)


def test_a_table_has_its_columns_key_indexes_and_references(lab: Database) -> None:
    table = get(lab, "events")
    assert [(c.name, c.kind, c.nullable, c.sortable) for c in table.columns] == [
        ("a", "integer", False, True),
        ("b", "text", False, True),
        ("at", "timestamp with time zone", True, True),
        ("score", "numeric", True, True),
        ("data", "json", True, False),
    ]
    assert table.key == ["b", "a"]
    assert table.constraints == [("events_pkey", "PRIMARY KEY (b, a)")]
    assert [index.name for index in table.indexes] == ["events_pkey", "events_score_idx"]
    (by,) = table.referenced_by
    assert (by.schema, by.table, by.columns, by.targets) == (
        *("lab", "notes"),
        *(["event_b", "event_a"], ["b", "a"]),
    )
    (to,) = get(lab, "notes").references
    assert (to.table, to.columns, to.targets) == ("events", ["event_b", "event_a"], ["b", "a"])


@pytest.mark.parametrize(
    ("name", "key"), [("notes", []), ("tagged", ["tag"]), ("recent", []), ("parted", ["n"])]
)
def test_a_row_is_known_by_a_key_without_gaps(lab: Database, name: str, key: list[str]) -> None:
    assert get(lab, name).key == key


def test_what_is_not_there_is_not_found(lab: Database) -> None:
    assert browse.find_table(lab, "lab", "nothing") is None
    assert browse.find_table(lab, "pg_catalog", "pg_authid") is None
    assert browse.find_table(lab, "", "users") is None


@pytest.mark.parametrize("sort", ["", "a", "b", "at", "score"])
@pytest.mark.parametrize("down", [False, True])
def test_pages_together_are_the_table_in_order(lab: Database, sort: str, down: bool) -> None:
    table = get(lab, "events")
    order = f"{sort or 'b'} {'DESC' if down else 'ASC'}"
    rest = f"b {'DESC' if down else 'ASC'}, a {'DESC' if down else 'ASC'}"
    with clients.cursor(lab) as cursor:
        cursor.execute(f"SELECT b, a::text AS n FROM lab.events ORDER BY {order}, {rest}")
        wanted = [list(row) for row in cursor.fetchall()]
    assert len(wanted) == 60
    assert [row.key for row in walk(lab, table, sort, down)] == wanted
    last = View(sort, down, size=60)
    end = rows.read_page(lab, table, last).rows[-1].key
    view = View(sort, down, before=end, size=59)
    assert [row.key for row in rows.read_page(lab, table, view).rows] == wanted[:-1]
    middle = View(sort, down, before=wanted[30], size=7)
    page = rows.read_page(lab, table, middle)
    assert [row.key for row in page.rows] == wanted[23:30]
    assert (page.is_first, page.is_last) == (False, False)


def test_without_a_key_pages_are_counted_off(lab: Database) -> None:
    view = get(lab, "recent")
    first = rows.read_page(lab, view, View("a", size=50))
    second = rows.read_page(lab, view, View("a", offset=50, size=50))
    assert [len(page.rows) for page in (first, second)] == [50, 10]
    assert (first.is_last, second.is_first, second.is_last) == (False, False, True)


@pytest.mark.parametrize(
    ("column", "operator", "value", "count"),
    [
        ("a", "is", "3", 3),
        ("a", "is not", "3", 57),
        ("a", "less than", "2", 6),
        ("a", "greater than", "17", 6),
        ("b", "contains", "X", 20),
        ("b", "contains", "%", 0),
        ("at", "is null", "", None),
        ("at", "is not null", "", None),
    ],
)
def test_a_filter_chooses_rows(
    lab: Database, column: str, operator: str, value: str, count: int | None
) -> None:
    table = get(lab, "events")
    view = View(filters=[Filter(column, operator, value)], size=100)
    found = rows.read_page(lab, table, view).rows
    if count is None:
        cells = [row.cells[2].text for row in found]
        assert {text is None for text in cells} == {operator == "is null"}
    else:
        assert len(found) == count


def test_filters_hold_together_and_on_every_page(lab: Database) -> None:
    table = get(lab, "events")
    filters = [Filter("b", "is", "y"), Filter("a", "less than", "15")]
    first = rows.read_page(lab, table, View("at", filters=filters, size=10))
    after = first.rows[-1].key
    second = rows.read_page(lab, table, View("at", filters=filters, after=after, size=10))
    keys = [row.key for row in first.rows + second.rows]
    assert sorted(keys, key=lambda key: int(key[1])) == [["y", str(a)] for a in range(15)]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (Filter("a", "is", "x"), 'invalid input syntax for type integer: "x"'),
        (Filter("a", "is", "\0"), "the query cannot be sent"),
        (Filter("nothing", "is", "x"), "lab.events has no column nothing"),
        (Filter("a", "; DROP", "x"), "; DROP is not an operator"),
        (Filter("data", "is", "{}"), "operator does not exist: json = unknown"),
    ],
)
def test_a_filter_that_cannot_be_is_refused(lab: Database, wrong: Filter, reason: str) -> None:
    with pytest.raises(InvalidError) as error:
        rows.read_page(lab, get(lab, "events"), View(filters=[wrong]))
    assert error.value.reason.startswith(reason)


def test_a_page_after_a_row_that_was_deleted(lab: Database) -> None:
    table, key = get(lab, "events"), ["x", "999"]
    assert rows.read_page(lab, table, View(after=key)).rows[0].key == ["y", "0"]
    with pytest.raises(InvalidError, match="was deleted"):
        rows.read_page(lab, table, View("at", after=key))


def test_names_and_values_of_any_kind_are_only_names_and_values(lab: Database) -> None:
    quoted = WEIRD.replace('"', '""').replace("%", "%%")
    with clients.cursor(lab) as cursor:
        cursor.execute(
            f'CREATE TABLE "{quoted}" ("co<l%%" text PRIMARY KEY, "x;y" bytea, z text)'
            f"; INSERT INTO \"{quoted}\" VALUES ('<i>%%s', '\\x00ff', repeat('é', 3000))",
            (),
        )
    table = get(lab, WEIRD, "public")
    view = View("co<l%", filters=[Filter("co<l%", "contains", "%S")])
    (row,) = rows.read_page(lab, table, view).rows
    assert [cell.text for cell in row.cells[:2]] == ["<i>%s", "\\x00ff"]
    assert (row.cells[2].text, row.cells[2].cut) == ("é" * rows.LONGEST, True)
    whole = rows.find_row(lab, table, row.key)
    assert whole
    assert (whole.cells[2].text, whole.cells[2].cut) == ("é" * 3000, False)


def test_a_row_is_found_by_its_whole_key(lab: Database) -> None:
    table = get(lab, "events")
    found = rows.find_row(lab, table, ["z", "19"])
    assert found
    assert [cell.text for cell in found.cells[:2]] == ["19", "z"]
    assert rows.find_row(lab, table, ["z", "20"]) is None
    with pytest.raises(InvalidError, match="no key of 1 columns"):
        rows.find_row(lab, table, ["z"])


def test_looking_changes_nothing_and_takes_no_longer_than_allowed(lab: Database) -> None:
    with clients.cursor(lab) as cursor:
        cursor.execute("CREATE VIEW lab.slow AS SELECT 1 AS n FROM pg_sleep(20)")
        cursor.execute("CREATE SEQUENCE lab.s")
        cursor.execute("CREATE VIEW lab.writes AS SELECT nextval('lab.s') AS n")
    with pytest.raises(QueryError, match="the query took longer than 5 s"):
        rows.read_page(lab, get(lab, "slow"), View())
    with pytest.raises(QueryError, match="cannot execute nextval"):
        rows.read_page(lab, get(lab, "writes"), View())
