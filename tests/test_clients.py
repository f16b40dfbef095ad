import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import urllib3
from botocore.awsrequest import AWSResponse

from scripts import clients, stacks
from scripts.dynamodb import tables
from scripts.errors import DevError
from scripts.settings import Settings
from scripts.targets import Aws
from tests.conftest import PROJECT, clean_environment

# What a task does with the services, in a process that starts with the environment under test.
WORK = """
import sys
from dataclasses import replace
from pathlib import Path
from scripts import settings, stacks
from scripts.cognito import user_pool, users
from scripts.dynamodb import tables
from scripts.postgres import databases

found = settings.load(Path(sys.argv[1]), {})
found = replace(found, postgres_db=sys.argv[2], emulator_account=sys.argv[3])
targets = stacks.targets(found)
databases.create(targets.database)
databases.load_schema(targets.database, (found.root / "sql" / "schema.sql",))
databases.load_seed(targets.database, (found.root / "sql" / "seed.sql",))
for definition in tables.read_definitions(found.root / "ddb" / "tables"):
    tables.ensure_table(targets.aws, definition)
user_pool.create_pool(targets.aws)
print(*(user.handle for user in users.list_users(targets.database)))
print(*tables.list_tables(targets.aws))
"""


def work_with(environment: Settings, **variables: str) -> str:
    account = environment.emulator_account
    done = subprocess.run(
        [sys.executable, "-c", WORK, environment.root, environment.postgres_db, account],
        cwd=PROJECT,
        env=clean_environment() | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def failure(action: Callable[[], object]) -> str:
    with pytest.raises(DevError) as caught:
        action()
    return str(caught.value.message)


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_PROFILE": "nope"},
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_DYNAMODB": "http://[::1]:1"},
        {"AWS_ACCESS_KEY_ID": "theirs", "AWS_SESSION_TOKEN": "old", "AWS_DEFAULT_REGION": "moon-1"},
        {"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"},
        {"PGHOST": "nohost.invalid", "PGPORT": "1", "PGDATABASE": "nope", "PGUSER": "nobody"},
        {"PGOPTIONS": "--nonsense"},
        {"PGHOSTADDR": "127.0.0.2"},
        {"PGSERVICE": "nope"},
        {"PGSSLMODE": "require", "PGREQUIREAUTH": "none", "PGTARGETSESSIONATTRS": "standby"},
        {"PGDATESTYLE": "nonsense", "PGTZ": "nonsense", "PGCLIENTENCODING": "nonsense"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_the_users_environment_does_not_disturb_the_embedded_services(
    environment: Settings, variables: dict[str, str]
) -> None:
    assert work_with(environment, **variables) == "korney smirnov\ncruddur-messages\n"


def test_a_broken_aws_configuration_of_the_user_is_not_read(
    environment: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / ".aws").mkdir()
    (home / ".aws" / "config").write_text("[default\nnonsense", encoding="utf-8")
    assert work_with(environment, HOME=str(home)) == "korney smirnov\ncruddur-messages\n"


def test_an_emulator_that_is_down_is_said(aws: Aws, closed_port: int) -> None:
    down = replace(aws, endpoint=f"http://127.0.0.1:{closed_port}")
    assert failure(lambda: tables.list_tables(down)) == (
        f"no answer from http://127.0.0.1:{closed_port}: EndpointConnectionError\nhint: ./invoke up"
    )


def test_an_emulator_that_fails_is_said(aws: Aws) -> None:
    def fail(request: Any, **_: Any) -> AWSResponse:
        body = io.BytesIO(b'{"__type":"InternalError","message":"No space left on device"}')
        raw = urllib3.HTTPResponse(body, preload_content=False)
        return AWSResponse(request.url, 500, {}, raw)

    clients.dynamodb(aws).meta.events.register("before-send.dynamodb.ListTables", fail)
    assert failure(lambda: tables.list_tables(aws)) == (
        f"{aws} failed: No space left on device\nhint: ./invoke logs aws"
    )


def test_a_database_server_that_fails_is_said(services: Settings) -> None:
    server = stacks.get_database(services).named("postgres")

    def work() -> None:
        with clients.cursor(server) as cursor:
            cursor.execute("DO $$ BEGIN RAISE 'no checkpoint' USING ERRCODE = 'XX000'; END $$")

    assert failure(work) == f"{server}: no checkpoint\nhint: ./invoke status"


def test_each_account_and_region_has_a_client_of_its_own(aws: Aws) -> None:
    elsewhere = replace(aws, region="eu-north-1")
    assert clients.dynamodb(aws) is clients.dynamodb(aws)
    assert clients.dynamodb(elsewhere).meta.region_name == "eu-north-1"


def test_secrets_are_in_no_repr(aws: Aws) -> None:
    assert "hidden" not in f"{aws} {replace(aws, secret_key='hidden')!r}"


def test_psql_gets_its_password_by_environment_and_nothing_else_of_the_users(
    environment: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSERVICE", "nope")
    database = stacks.targets(environment).database
    found = {
        name: value
        for name, value in clients.psql_environment(database).items()
        if name.startswith("PG")
    }
    assert found == {
        "PGHOST": database.host,
        "PGPORT": str(database.port),
        "PGUSER": database.user,
        "PGPASSWORD": database.password,
        "PGDATABASE": database.name,
        "PGSSLMODE": "disable",
        "PGCONNECT_TIMEOUT": "5",
        "PGAPPNAME": "invoke",
    }
