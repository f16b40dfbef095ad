"""Every section of app.toml is optional: the whole round, for every subset of an app's parts."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts import stacks
from scripts.settings import load
from tests.apps.conftest import RealApp

SCHEMA = "CREATE TABLE IF NOT EXISTS users (uuid text, handle text, email text, cognito text);\n"
FILES = {
    "schema": ("schema.sql", SCHEMA),
    "seed": ("seed.sql", f"{SCHEMA}INSERT INTO users VALUES ('1', 'ada', 'ada@example.com');\n"),
    "tables": (
        "tables/carts.json",
        json.dumps(
            {
                "TableName": "carts",
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "BillingMode": "PAY_PER_REQUEST",
            }
        ),
    ),
}
TOML = {
    "schema": '[postgres]\nschema = "schema.sql"\n',
    "seed": '[postgres]\nseed = "seed.sql"\n',
    "tables": '[dynamodb]\ntables = "tables"\n',
    "users": '[users]\nname = ""\ncognito_id = "cognito"\n[cognito]\n',
}
SUBSETS: list[tuple[str, ...]] = [
    parts for size in range(5) for parts in itertools.combinations(TOML, size)
]
EVERY_DAY: dict[str, list[tuple[str, ...]]] = {
    "embedded": [(), ("tables",), ("schema", "seed"), ("users",)],
    "docker": [("schema",)],
}


def list_cases() -> Iterator[Any]:
    for stack, parts in itertools.product(EVERY_DAY, SUBSETS):
        marks = [] if parts in EVERY_DAY[stack] else [pytest.mark.night]
        yield pytest.param(stack, parts, marks=marks, id=f"{stack}: {', '.join(parts) or 'none'}")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for stack in stacks.MODULES if (tmp_path / "app.toml").exists() else ():
        if stack != "aws" and (tmp_path / ".dev").exists():
            RealApp(tmp_path).run("down", "--volumes", "--yes", env={"DEV_STACK": stack})


def write_app(folder: Path, parts: tuple[str, ...], more: str = "") -> RealApp:
    """An app that has these parts only."""
    toml = "".join(TOML[part] for part in parts).replace(
        '[postgres]\nschema = "schema.sql"\n[postgres]\n', '[postgres]\nschema = "schema.sql"\n'
    )
    (folder / "app.toml").write_text(f'name = "shop"\n{more}{toml}')
    for part in set(parts) & FILES.keys():
        path, text = FILES[part]
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    return RealApp(folder)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("stack", "parts"), [*list_cases()])
def test_an_app_of_any_parts_lives_through_the_whole_round(
    request: pytest.FixtureRequest, folder: Path, stack: str, parts: tuple[str, ...]
) -> None:
    if stack == "docker":
        request.getfixturevalue("engine")
    app = write_app(folder, parts)
    live_through(app, stack)
    variables = set(app.variables())
    assert ("AWS_COGNITO_USER_POOL_ID" in variables) == ("users" in parts)
    assert ("COGNITO_PASSWORD" in variables) == ("users" in parts)
    assert {"DATABASE_URL", "AWS_ENDPOINT_URL"} <= variables


@pytest.mark.parametrize(
    ("services", "parts"),
    [("postgres", ("schema", "seed")), ("aws", ("tables",))],
)
def test_an_app_names_the_services_that_it_needs(
    folder: Path, services: str, parts: tuple[str, ...]
) -> None:
    app = write_app(folder, parts, f'services = ["{services}"]\n')
    live_through(app, "embedded")
    loaded = load(folder, {})
    assert [one.name for one in stacks.list_services(loaded) if one.is_running()] == [services]
    assert ("DATABASE_URL" in app.variables()) == (services == "postgres")
    refused = app.run("ddb.list-tables" if services == "postgres" else "db.sessions", expect=1)
    other = "aws" if services == "postgres" else "postgres"
    assert refused.stderr == (
        f"shop has no service {other}\nhint: add {other} to services at the top of app.toml\n"
    )


def live_through(app: RealApp, stack: str) -> None:
    """Setup, reset, undo, snapshots, check, doctor: each succeeds, and says what there is."""
    app.run("setup", "--stack", stack)
    for words in ("check", "reset", "undo", "undo", "snapshot.save one", "reset"):
        app.run(*words.split())
    app.run("snapshot.restore", "one")
    app.run("setup")
    checked = app.run("check").stderr
    assert re.search(r"check +[\d.]+ s +\w", checked), checked
    app.run("doctor")
    app.run("status")
