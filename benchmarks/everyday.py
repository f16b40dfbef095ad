"""`reset` and `undo`, against making it all, and on a database of many rows against a small one."""

from benchmarks import places
from benchmarks.figures import Figure, measure, pair
from tests.conftest import Checkout

SMALL = {"POSTGRES_DB": "small", "AWS_EMULATOR_ACCOUNT": "000000000001"}
SAME = 1.5  # what undo may take more on many rows; it is renaming on both


def figures(checkout: Checkout, rounds: int, rows: int) -> list[Figure]:
    """Reset and undo with the shipped data; then with a seed of so many rows."""
    checkout.run("setup")
    numbers = iter(range(1, 1_000))

    def fresh() -> float:
        number = next(numbers)
        ours = {"POSTGRES_DB": f"fresh_{number}", "AWS_EMULATOR_ACCOUNT": f"1{number:011d}"}
        return places.invoke(checkout, "setup", env=ours)

    reset = measure(rounds, lambda: places.invoke(checkout, "reset"), fresh)
    return [
        Figure("reset", "setup, services up", pair(reset), "s"),
        *_of_many_rows(checkout, rounds, rows),
    ]


def _of_many_rows(checkout: Checkout, rounds: int, rows: int) -> list[Figure]:
    checkout.run("setup", env=SMALL)
    checkout.run("db.reset", env=SMALL)
    seed = checkout.root / "sql" / "seed.sql"
    with seed.open("a", encoding="utf-8") as file:
        file.write(
            "INSERT INTO activities (user_uuid, message) SELECT uuid, md5(n::text)"
            f" FROM users CROSS JOIN generate_series(1, {rows // 2}) n;\n"
        )

    def build() -> float:
        with seed.open("a", encoding="utf-8") as file:
            file.write("-- another seed, so that no template fits\n")
        return places.invoke(checkout, "db.reset")

    found = measure(
        rounds,
        lambda: places.invoke(checkout, "undo"),
        lambda: places.invoke(checkout, "undo", env=SMALL),
        build,
        lambda: places.invoke(checkout, "db.reset"),
    )
    return [
        Figure(f"undo of {rows:,} rows", "undo of 3 rows", pair(found), "s", SAME),
        Figure(
            f"db.reset, {rows:,} rows again", "the first time", pair(found, ours=3, theirs=2), "s"
        ),
    ]
