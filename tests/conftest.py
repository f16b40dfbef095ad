"""Services for the tests: started once, with a database and an AWS account for each test.

`checkout` is a copy of the project for tests that run it as its users do, by the command line.
"""

import compileall
import contextlib
import itertools
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from scripts import clients, settings, stacks
from scripts.cognito import users
from scripts.cruddur import messages
from scripts.dynamodb import tables
from scripts.environment import setup, transaction
from scripts.settings import Settings
from scripts.targets import Aws, Database
from tests.contents import run
from tests.docker_engine import why_not

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Started in a shell's background, or by nohup, we ignore Ctrl-C or a hang-up, and so would all whom
# the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

PROJECT = Path(__file__).resolve().parent.parent
PARTS = (
    *("tasks.py", "app.toml", "scripts", "sql", "ddb"),
    *(".env.example", "docker-compose.yml", "requirements.txt"),
)
_numbers = itertools.count(1)

# Our own settings, and what the tools we run look at, would change what the tests see.
FOREIGN = (
    *("AWS_", "POSTGRES_", "DYNAMODB_", "DEV_", "COGNITO_", "PG", "INVOKE_", "READY_", "WEB_"),
    *("COMPOSE_", "NO_COLOR", "CI", "PYTHONDONTWRITEBYTECODE", *settings.list_names()),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="also run the tests marked `night`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the cases of long matrices to the night, unless --all is given."""
    if config.getoption("--all"):
        return
    left = [item for item in items if item.get_closest_marker("night")]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


def clean_environment() -> dict[str, str]:
    """The environment without anything that our project reads."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}


@cache
def _compile_project() -> None:
    """Compile it once, so that no copy has to: a copy's files keep their times."""
    compileall.compile_dir(PROJECT / "scripts", quiet=1)


def copy_project(folder: Path) -> Path:
    """A copy of the project's own files, without any state."""
    _compile_project()
    folder.mkdir(parents=True)
    for part in PARTS:
        source = PROJECT / part
        if source.is_dir():
            shutil.copytree(source, folder / part)
        else:
            shutil.copy(source, folder / part)
    return folder


def runs(pid: int) -> bool:
    """A zombie, which in a container may wait long for its reaper, does not."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def remove_state(root: Path) -> None:
    """Stop the embedded services of a checkout; delete their data, also where root keeps it."""
    loaded = settings.load(root, {}, stack="embedded")
    for service in stacks.get(loaded).services(loaded):
        service.stop()
    postgres = loaded.state / "postgres"
    if postgres.is_symlink():
        shutil.rmtree(postgres.readlink(), ignore_errors=True)
    shutil.rmtree(loaded.state, ignore_errors=True)


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow meanwhile, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@dataclass(frozen=True)
class Checkout:
    """A copy of the project, used through its command line."""

    root: Path

    def run(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        expect: int | None = 0,
        timeout: float = 120,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a task to its end; its exit code must be `expect`, None for any."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=clean_environment() | dict(env or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert expect is None or done.returncode == expect, done.stderr + done.stdout
        return done

    def start(
        self, *arguments: str, env: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[str]":
        """Start a task, for tests that interfere with it."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.root,
            env=clean_environment() | dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def command(self, *arguments: str) -> list[str]:
        """The words that run tasks of this checkout."""
        return [sys.executable, "tasks.py", *arguments]

    def settings(self) -> Settings:
        """Its settings, without the tests' own environment."""
        return settings.load(self.root, {})


@pytest.fixture(scope="session")
def engine() -> None:
    """An engine with the images. A skip without, or a failure where REQUIRE_DOCKER is set."""
    if reason := why_not():
        (pytest.fail if os.environ.get("REQUIRE_DOCKER") else pytest.skip)(reason)


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """Chromium, one for each worker. A skip without, or a failure on CI."""
    from tests.web import browser as chromium  # Playwright: not for those who need no browser

    path = chromium.find()
    if not path:
        missing = f"no Chromium: none of {', '.join(chromium.NAMES)} is installed"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    with chromium.launch(path) as running:
        yield running


@pytest.fixture
def new_checkout(tmp_path: Path) -> Iterator[Callable[[str], Checkout]]:
    """Make checkouts by name; their servers and data are gone afterwards."""
    roots: list[Path] = []

    def make(name: str = "checkout") -> Checkout:
        roots.append(copy_project(tmp_path / name))
        return Checkout(roots[-1])

    yield make
    for root in filter(Path.exists, roots):  # a test may have removed it
        remove_state(root)


@pytest.fixture
def checkout(new_checkout: Callable[[str], Checkout]) -> Checkout:
    """One checkout."""
    return new_checkout("checkout")


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The embedded stack, started once for all tests; the settings that find it."""
    root = copy_project(tmp_path_factory.mktemp("services") / "project")
    loaded = settings.load(root, {})
    try:
        for service in stacks.get(loaded).services(loaded):
            service.start()
        # What a test leaves behind is thrown away: nobody waits for the disk.
        server = stacks.targets(loaded).database.named("postgres")
        with clients.cursor(server, autocommit=True) as cursor:
            cursor.execute("ALTER SYSTEM SET fsync = off")
            cursor.execute("SELECT pg_reload_conf()")
        yield loaded
    finally:
        remove_state(root)


@pytest.fixture
def environment(services: Settings) -> Settings:
    """Settings of a database and an AWS account that this test has for itself."""
    number = next(_numbers)
    return replace(services, postgres_db=f"test_{number}", emulator_account=f"{number:012d}")


@pytest.fixture
def filled(environment: Settings) -> Settings:
    """Settings of a database and an AWS account with the seed data, for this test alone."""
    run(setup.db_setup(environment))
    run(setup.pick(environment, "ddb.schema-load", "ddb.seed"))
    return environment


@pytest.fixture
def lived_in(environment: Settings) -> Settings:
    """An environment that somebody has worked in: more users, messages and activities."""
    transaction.erase(environment)
    run(setup.setup(environment))
    database, aws = stacks.get_database(environment), stacks.get_aws(environment)
    with clients.cursor(database) as cursor:
        cursor.execute(
            "INSERT INTO users (display_name, handle, email) VALUES ('Ada', 'ada', 'ada@x.org')"
        )
        cursor.execute("UPDATE activities SET message = 'changed'")
    run(setup.setup(environment))
    people = users.people(users.list_users(database))
    messages.start(aws, people["ada"], people["korney"], "hello")
    return environment


@pytest.fixture
def database(environment: Settings) -> Database:
    """The place of this test's database, which is not created yet."""
    return stacks.targets(environment).database


@pytest.fixture
def aws(environment: Settings) -> Aws:
    """This test's AWS account, empty."""
    return stacks.targets(environment).aws


@pytest.fixture
def seeded(environment: Settings, database: Database) -> Database:
    """The database, with the schema and the seed in it."""
    run(setup.db_setup(environment))
    return database


@pytest.fixture
def table(environment: Settings, aws: Aws) -> Aws:
    """The account, with the table in it."""
    path = environment.root / "ddb" / "tables" / f"{messages.TABLE}.json"
    tables.ensure_table(aws, tables.read_definition(path))
    return aws


@pytest.fixture
def vienna(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is that of Vienna: an hour after UTC, two in summer."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
