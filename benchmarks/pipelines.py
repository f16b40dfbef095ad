"""The pipeline on services that are up and empty, against the steps by hand and against make."""

import json
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import places
from benchmarks.figures import Figure, measure, pair
from benchmarks.setup import last_run
from scripts import clients, settings, shell, stacks
from scripts.cruddur import messages
from scripts.dynamodb import parallel_scan
from scripts.dynamodb.batch_write import MOST_ITEMS
from scripts.settings import Settings
from tests.conftest import PROJECT, Checkout, clean_environment

HERE = Path(__file__).resolve().parent
GOAL = 0.25
STEPS = (
    *("create_pool", "create_users", "update_ids", "create_table"),
    *("seed_messages", "show_conversations", "show_conversation"),
)


def figures(checkout: Checkout, rounds: int, with_make: bool) -> list[Figure]:
    """`setup`, the steps by hand, and make where it is wanted: each in places of its own."""
    checkout.run("up")
    numbers = iter(range(1, 1_000))

    def emptied(side: Callable[[Settings, Mapping[str, str]], float]) -> float:
        number = next(numbers)
        ours = {"POSTGRES_DB": f"bench_{number}", "AWS_EMULATOR_ACCOUNT": f"{number:012d}"}
        chosen = settings.load(checkout.root, ours)
        seconds = side(chosen, ours)
        checkout.run("check", env=ours)  # every side must end where the app works
        return seconds

    def setup(chosen: Settings, ours: Mapping[str, str]) -> float:
        return places.invoke(checkout, "setup", env=ours)

    sides = [lambda: emptied(setup), lambda: emptied(by_hand)]
    if with_make:
        items = make_batches(checkout)
        tools = install_aws_cli()
        sides.append(lambda: emptied(lambda chosen, _: make(chosen, items, tools)))

    found = measure(rounds, *sides)
    names = ["one process a step, in order", "make -j, psql and the AWS CLI"]
    return [
        Figure(
            "setup, services up", name, pair(found, 0, side), "s", GOAL, lambda: last_run(checkout)
        )
        for side, name in enumerate(names[: len(sides) - 1], start=1)
    ]


def by_hand(chosen: Settings, _: Mapping[str, str]) -> float:
    """Seconds of a process for each step, one after another."""
    psql = [str(shell.postgres_home() / "bin" / "psql"), "-X", "-q"]
    script = str(HERE / "by_hand.py")
    name = chosen.postgres_db
    commands = [
        [*psql, "-d", "postgres", "-c", f"DROP DATABASE IF EXISTS {name}"],
        [*psql, "-d", "postgres", "-c", f"CREATE DATABASE {name}"],
        [*psql, "-f", str(PROJECT / "sql" / "schema.sql")],
        [*psql, "-f", str(PROJECT / "sql" / "seed.sql")],
        *(places.python(script, step) for step in STEPS),
    ]
    return sum(places.run(command, env=_addresses(chosen)) for command in commands)


def make(chosen: Settings, items: Path, tools: Path) -> float:
    """Seconds of the Makefile."""
    path = f"{tools}:{shell.postgres_home() / 'bin'}:{clean_environment()['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        return places.run(
            ["make", "-j", "-f", str(HERE / "Makefile"), f"ROOT={PROJECT}", f"ITEMS={items}"],
            Path(folder),
            _addresses(chosen) | {"PATH": path},
        )


def make_batches(checkout: Checkout) -> Path:
    """The seed's items as files of BatchWriteItem requests, for the AWS CLI; their folder."""
    checkout.run("setup")
    found = list(parallel_scan.scan(stacks.get_aws(checkout.settings()), messages.TABLE))
    folder = Path(tempfile.mkdtemp(dir=checkout.root))
    for start in range(0, len(found), MOST_ITEMS):
        puts = [{"PutRequest": {"Item": item}} for item in found[start : start + MOST_ITEMS]]
        path = folder / f"{start:03}.json"
        path.write_text(json.dumps({messages.TABLE: puts}), encoding="utf-8")
    return folder


def install_aws_cli() -> Path:
    """The AWS CLI in an environment of its own; the folder of its program."""
    home = Path(sys.prefix) / "awscli"
    wanted = HERE / "awscli.txt"
    stamp = home / ".installed"
    if not stamp.exists() or stamp.read_bytes() != wanted.read_bytes():
        venv.create(home, with_pip=True, clear=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "-q", *places.PINNED]
        subprocess.run([*pip, "-r", str(wanted)], check=True)
        shutil.copy(wanted, stamp)
    return home / "bin"


def _addresses(chosen: Settings) -> dict[str, str]:
    """Where the services are, in the variables of libpq and of the SDK."""
    targets = stacks.targets(chosen)
    variables = clients.psql_environment(targets.database)
    return {name: value for name, value in variables.items() if name.startswith("PG")} | {
        "AWS_ENDPOINT_URL": targets.aws.endpoint or "",
        "AWS_ACCESS_KEY_ID": targets.aws.access_key,
        "AWS_SECRET_ACCESS_KEY": targets.aws.secret_key,
        "AWS_DEFAULT_REGION": targets.aws.region,
    }
