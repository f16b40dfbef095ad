"""The aws stack and the guard, proven on the embedded services in the role of production."""

import http.server
import json
import os
import pty
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from scripts import clients, rds, settings, stacks
from scripts.cognito import sync, user_pool, users
from scripts.dynamodb import tables
from scripts.errors import DevError, RefusedError, UsageError
from scripts.postgres import copies, databases
from scripts.settings import Settings
from scripts.targets import Aws, Database
from tests.conftest import Checkout, clean_environment


@dataclass(frozen=True)
class Production:
    """An account and a database that nobody marked as disposable, reached as AWS is."""

    checkout: Checkout
    env: Mapping[str, str]
    database: Database
    aws: Aws

    def run(
        self, *words: str, expect: int | None = 0, **more: str
    ) -> "subprocess.CompletedProcess[str]":
        return self.checkout.run(*words, "--stack", "aws", env={**self.env, **more}, expect=expect)

    def content(self) -> dict[str, Any]:
        names = tables.list_tables(self.aws)
        counts = databases.count_rows(self.database) if databases.exists(self.database) else None
        return {
            "database": counts,
            "tables": {table: list(tables.scan(self.aws, table)) for table in names},
            "pool": user_pool.list_users(self.aws, user_pool.get_pool(self.aws)),
        }


@pytest.fixture
def production(checkout: Checkout, database: Database, aws: Aws) -> Production:
    pool = user_pool.create_pool(aws)
    user_pool.create_user(aws, pool, "ada", "ada@example.com", "Ada")
    url = f"postgresql://{database.user}:{database.password}@127.0.0.1:{database.port}"
    env = {
        "PROD_DATABASE_URL": f"{url}/{database.name}?sslmode=disable",
        "AWS_ENDPOINT_URL": aws.endpoint or "",
        "AWS_ACCESS_KEY_ID": aws.access_key,
        "AWS_SECRET_ACCESS_KEY": aws.secret_key,
        "AWS_COGNITO_USER_POOL_ID": pool,
    }
    return Production(checkout, env, database, replace(aws, pool_id=pool))


@pytest.fixture
def filled(production: Production) -> Production:
    """Production with data in it, that carries no mark of ours."""
    production.run("setup", "--with-seed")
    with clients.cursor(production.database.named("postgres"), autocommit=True) as cursor:
        cursor.execute(f"ALTER DATABASE {production.database.name} RESET invoke.server")
    arn = tables.get_table(production.aws, "cruddur-messages")["TableArn"]
    clients.dynamodb(production.aws).untag_resource(ResourceArn=arn, TagKeys=["disposable"])
    return production


def test_setup_makes_what_is_missing_and_no_mock_data(production: Production) -> None:
    done = production.run("setup")
    held = production.content()
    assert held["database"] == {"activities": 0, "users": 0}
    assert held["tables"] == {"cruddur-messages": []}
    assert [user.handle for user in held["pool"]] == ["ada"]
    assert "db.seed" not in done.stderr


def test_who_and_where_is_said_before_anything_is_done(production: Production) -> None:
    first, second, third, *rest = production.run("db.create").stderr.splitlines()
    account = production.aws.access_key[-12:]
    assert first.startswith(f"stack aws: account {account} as arn:aws:")
    assert first.endswith("region us-east-1,")
    assert second == f"  database {production.database}, tables at {production.aws.endpoint},"
    assert third == f"  user pool {production.aws.pool_id}"
    assert rest[0] == f"  calls are redirected by AWS_ENDPOINT_URL={production.aws.endpoint}"


@pytest.mark.parametrize("words", [("db.setup",), ("db.reset", "--confirm", "{name}")])
def test_a_part_of_setup_writes_no_mock_data_either(
    production: Production, words: tuple[str, ...]
) -> None:
    production.run("db.setup")
    production.run(*(word.format(name=production.database.name) for word in words))
    assert databases.count_rows(production.database) == {"activities": 0, "users": 0}


def test_how_to_go_on_names_the_stack(production: Production) -> None:
    done = production.run("setup")
    assert "next: ./invoke --stack aws status, " in done.stderr
    failed = production.run("setup", expect=1, AWS_COGNITO_USER_POOL_ID="us-east-1_none")
    assert failed.stderr.endswith("Fix the error above, then rerun: ./invoke --stack aws setup\n")
    assert "hint: set AWS_COGNITO_USER_POOL_ID to an existing pool\n" in failed.stderr


def test_undo_is_not_promised_where_nothing_is_kept(filled: Production) -> None:
    table = filled.run("ddb.drop", "cruddur-messages", "--confirm", "cruddur-messages")
    assert table.stderr.endswith("; next: ./invoke --stack aws ddb.schema-load\n")
    database = filled.run("db.drop", "--confirm", filled.database.name)
    assert "next" not in database.stderr.splitlines()[-1]


def test_mock_data_is_written_when_asked_for(production: Production) -> None:
    production.run("setup", "--with-seed")
    held = production.content()
    assert held["database"] == {"activities": 1, "users": 2}
    assert len(held["tables"]["cruddur-messages"]) == 122


def test_sync_links_the_users_of_the_pool(production: Production) -> None:
    production.run("setup")
    with clients.cursor(production.database) as cursor:
        cursor.execute("INSERT INTO users (display_name, handle, email) VALUES ('A', 'ada', 'a')")
    production.run("setup")
    (ada,) = users.list_users(production.database)
    assert (
        ada.cognito_user_id == user_pool.list_users(production.aws, production.aws.pool_id)[0].sub
    )


def test_production_is_never_remembered(production: Production) -> None:
    production.run("setup")
    done = production.checkout.run("status", env=production.env, expect=1)
    assert done.stderr == "stack: embedded (the default)\n"


def test_a_table_made_on_aws_carries_no_mark(production: Production) -> None:
    production.run("setup")
    table = tables.get_table(production.aws, "cruddur-messages")
    assert not tables.is_disposable(production.aws, table)


def test_a_local_database_beside_real_tables_is_refused(production: Production) -> None:
    done = production.run("setup", "--plan", expect=3, AWS_ENDPOINT_URL_DYNAMODB="https://ddb.test")
    assert done.stderr == (
        "the database is at 127.0.0.1, but the tables are at https://ddb.test\n"
        "hint: for production: set PROD_DATABASE_URL to its database, and unset AWS_ENDPOINT_URL\n"
    )


def test_the_database_url_is_needed(checkout: Checkout) -> None:
    done = checkout.run("setup", "--stack", "aws", expect=1)
    assert done.stderr == (
        "the stack aws needs the URL of its database\n"
        "hint: PROD_DATABASE_URL=postgresql://user:password@host:5432/database\n"
    )


def test_a_url_that_is_none_is_said_without_its_password(checkout: Checkout) -> None:
    env = {"PROD_DATABASE_URL": "mysql://me:s3cret@host/db"}
    done = checkout.run("status", env=env, expect=1)
    assert done.stderr == (
        "environment: PROD_DATABASE_URL is not the URL of a database (its value is not shown)\n"
        "hint: write it as postgresql://user:password@host:5432/database\n"
    )


def test_tls_is_required_unless_the_url_says_otherwise(production: Production) -> None:
    url = production.env["PROD_DATABASE_URL"].removesuffix("?sslmode=disable")
    done = production.run("db.create", expect=1, PROD_DATABASE_URL=url)
    assert "server does not support SSL, but SSL was required" in done.stderr


def test_missing_credentials_are_said(production: Production) -> None:
    done = production.run(
        "db.create",
        expect=1,
        AWS_ACCESS_KEY_ID="",
        AWS_SECRET_ACCESS_KEY="",
        AWS_EC2_METADATA_DISABLED="true",
        HOME=str(production.checkout.root),
    )
    assert done.stderr.startswith("no credentials for AWS us-east-1: ")


def test_status_and_up_and_down_ask_but_start_and_stop_nothing(production: Production) -> None:
    production.run("db.create")
    plan = production.run("up", "--plan").stdout
    assert [line.split()[1] for line in plan.splitlines()[1:]] == ["done", "done"]
    down = production.run("down", "--volumes", "--yes").stderr
    assert down.count("left running: this tool does not manage it") == 2
    assert down.count("stack aws: account") == 1
    rows = json.loads(production.run("status", "--json").stdout)
    assert [row["state"] for row in rows] == ["healthy", "healthy"]
    production.run("up")
    production.run("down")
    assert databases.exists(production.database)


DESTRUCTIVE = (("db.drop",), ("db.reset",), ("ddb.drop", "cruddur-messages"), ("reset",))


def name_of(production: Production, words: tuple[str, ...]) -> str:
    return words[1] if len(words) > 1 else production.database.name


@pytest.mark.parametrize("words", DESTRUCTIVE)
def test_nothing_goes_without_its_name(filled: Production, words: tuple[str, ...]) -> None:
    before = filled.content()
    name = name_of(filled, words)
    for confirmed in ((), ("--confirm", "yes"), ("--confirm", name.upper())):
        done = filled.run(
            *words, *confirmed, expect=3, CONFIRM=name, INVOKE_CONFIRM=name, DEV_CONFIRM=name
        )
        assert "not created by this tool:" in done.stderr
        again = f"./invoke --stack aws {' '.join(words)} --confirm {name}"
        assert done.stderr.endswith(f"hint: {again}\n")
    assert "--confirm is empty" in filled.run(*words, "--confirm", "", expect=2).stderr
    assert filled.content() == before


@pytest.mark.parametrize(
    ("words", "typed"),
    list(zip(DESTRUCTIVE, ("", "yes", "Cruddur-Messages", "prod"), strict=True)),
)
def test_a_wrong_name_typed_at_a_terminal_is_refused(
    filled: Production, words: tuple[str, ...], typed: str
) -> None:
    before = filled.content()
    code, screen = at_a_terminal(filled, words, typed)
    assert code == 3
    assert f"type {name_of(filled, words)} to confirm that it may be deleted: " in screen
    assert filled.content() == before


def test_the_name_typed_in_full_lets_the_database_go(filled: Production) -> None:
    code, screen = at_a_terminal(filled, ("db.drop",), filled.database.name)
    assert code == 0, screen
    assert "activities 1, users 2" in screen
    assert not databases.exists(filled.database)


def test_a_table_is_backed_up_before_it_goes(filled: Production) -> None:
    done = filled.run("ddb.drop", "cruddur-messages", "--confirm", "cruddur-messages")
    client = clients.dynamodb(filled.aws)
    (backup,) = client.list_backups()["BackupSummaries"]
    assert f"after the backup {backup['BackupName']}" in done.stderr
    assert tables.list_tables(filled.aws) == []


def test_a_reset_that_is_confirmed_builds_it_anew(filled: Production) -> None:
    with clients.cursor(filled.database) as cursor:
        cursor.execute("UPDATE users SET display_name = 'changed'")
    filled.run("db.reset", "--confirm", filled.database.name)
    names = {user.display_name for user in users.list_users(filled.database)}
    assert "changed" not in names


def test_a_reset_that_is_confirmed_keeps_the_database_and_backs_up_the_table(
    filled: Production,
) -> None:
    done = filled.run("reset", "--confirm", filled.database.name)
    (backup,) = clients.dynamodb(filled.aws).list_backups()["BackupSummaries"]
    assert f"after the backup {backup['BackupName']}" in done.stderr
    assert list(tables.scan(filled.aws, "cruddur-messages")) == []
    assert databases.count_rows(filled.database) == {"activities": 0, "users": 0}
    kept = copies.beside(filled.database, copies.PREV)
    assert databases.count_rows(kept) == {"activities": 1, "users": 2}
    again = filled.run("reset", "--confirm", filled.database.name, expect=3)
    assert f"{kept} already exists and was not created by this tool" in again.stderr
    assert databases.count_rows(kept) == {"activities": 1, "users": 2}
    filled.run("undo", "--confirm", filled.database.name)
    assert databases.count_rows(filled.database) == {"activities": 1, "users": 2}


def test_down_with_volumes_takes_nothing_of_production(filled: Production) -> None:
    before = filled.content()
    filled.run("down", "--volumes", "--yes")
    assert filled.content() == before


def test_a_local_database_without_the_mark_stays(database: Database) -> None:
    databases.create(database)
    with clients.cursor(database.named("postgres"), autocommit=True) as cursor:
        cursor.execute(f"ALTER DATABASE {database.name} RESET invoke.server")
    loss = databases.find_loss(database)
    assert loss
    assert loss.name == database.name
    with pytest.raises(RefusedError):
        databases.drop(database)
    assert databases.exists(database)


def test_a_restored_dump_with_the_mark_of_another_server_stays(database: Database) -> None:
    databases.create(database)
    with clients.cursor(database.named("postgres"), autocommit=True) as cursor:
        cursor.execute("SELECT system_identifier - 1 FROM pg_control_system()")
        elsewhere = str(cursor.fetchone()[0])
        cursor.execute(f"ALTER DATABASE {database.name} SET invoke.server = %s", (elsewhere,))
    with pytest.raises(RefusedError):
        databases.drop(database)
    assert databases.exists(database)


def at_a_terminal(production: Production, words: tuple[str, ...], typed: str) -> tuple[int, str]:
    """Run a task on a terminal and type a line at its question; its exit code and its screen."""
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        production.checkout.command(*words, "--stack", "aws"),
        cwd=production.checkout.root,
        env=clean_environment() | dict(production.env) | {"TERM": "xterm", "COLUMNS": "200"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    shown = ""
    asked = False
    while True:
        try:
            shown += os.read(screen, 65536).decode()
        except OSError:
            break
        if "to confirm that it may be deleted: " in shown and not asked:
            asked = True
            os.write(screen, f"{typed}\n".encode())
    os.close(screen)
    return process.wait(30), shown


@pytest.fixture
def rule(aws: Aws) -> rds.Rule:
    client = clients.ec2(aws)
    group = client.create_security_group(GroupName="database", Description="d")["GroupId"]
    permission = {
        "IpProtocol": "tcp",
        "FromPort": 5432,
        "ToPort": 5432,
        "IpRanges": [{"CidrIp": "198.51.100.1/32", "Description": "my desk"}],
    }
    made = client.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    return rds.get_rule(aws, group, made["SecurityGroupRules"][0]["SecurityGroupRuleId"])


@pytest.fixture
def lookup() -> Iterator[Callable[[bytes], str]]:
    """A look-up service that answers with the given text; its URL."""
    servers: list[http.server.HTTPServer] = []

    def serve(text: bytes) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:
                return

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def update(
    production: Production, rule: rds.Rule, *words: str, expect: int = 0, **more: str
) -> str:
    env = {"DB_SG_ID": rule.group, "DB_SG_RULE_ID": rule.id, **more}
    return production.run(*words, expect=expect, **env).stderr


def test_the_rule_lets_in_the_address_given(production: Production, rule: rds.Rule) -> None:
    said = update(production, rule, "rds.update-sg-rule", "--ip", "203.0.113.7")
    assert "before: 198.51.100.1/32 to tcp 5432 (my desk)\n" in said
    assert said.endswith("after:  203.0.113.7/32 to tcp 5432 (my desk)\n")
    changed = rds.get_rule(production.aws, rule.group, rule.id)
    assert changed == replace(rule, cidr="203.0.113.7/32")


def test_without_an_address_the_look_up_service_is_asked(
    production: Production, rule: rds.Rule, lookup: Callable[[bytes], str]
) -> None:
    url = lookup(b"203.0.113.9\n")
    update(production, rule, "rds.update-sg-rule", IP_LOOKUP_URL=url)
    assert rds.get_rule(production.aws, rule.group, rule.id).cidr == "203.0.113.9/32"


def test_a_dry_run_shows_the_rule_and_changes_nothing(
    production: Production, rule: rds.Rule
) -> None:
    said = update(production, rule, "--dry", "rds.update-sg-rule", "--ip", "203.0.113.7")
    assert said.endswith("would allow 203.0.113.7/32 instead\n")
    assert rds.get_rule(production.aws, rule.group, rule.id) == rule


def test_an_empty_address_is_refused_not_looked_up(
    production: Production, rule: rds.Rule, lookup: Callable[[bytes], str]
) -> None:
    url = lookup(b"203.0.113.9")
    said = update(production, rule, "rds.update-sg-rule", "--ip", "", expect=2, IP_LOOKUP_URL=url)
    assert "--ip is empty\n" in said
    assert rds.get_rule(production.aws, rule.group, rule.id) == rule


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"", "an empty text is not an address"),
        (b"<html>", "<html> is not an address"),
        (b"0.0.0.0/0", "0.0.0.0/0 would allow every address"),
        (b"0.0.0.0", "0.0.0.0/32 would allow every address"),
        (b"::/0", "::/0 would allow every address"),
        (b"300.1.2.3", "300.1.2.3 is not an address"),
    ],
)
def test_a_useless_address_is_refused(
    lookup: Callable[[bytes], str], answer: bytes, problem: str
) -> None:
    with pytest.raises(DevError) as error:
        rds.find_my_cidr(lookup(answer))
    assert error.value.reason.endswith(f" does not return an address: {problem}")
    assert error.value.code == 1


def test_an_address_that_cannot_be_used_is_a_usage_error() -> None:
    with pytest.raises(UsageError) as error:
        rds.parse_cidr("0.0.0.0/0")
    assert error.value.message == (
        "0.0.0.0/0 would allow every address\nhint: ./invoke rds.update-sg-rule --ip 203.0.113.7"
    )


def test_a_look_up_service_that_is_away_is_said() -> None:
    with pytest.raises(DevError) as error:
        rds.find_my_cidr("http://127.0.0.1:1")
    assert error.value.hint == "./invoke rds.update-sg-rule --ip ADDRESS"


def test_a_rule_of_another_group_is_not_touched(aws: Aws, rule: rds.Rule) -> None:
    with pytest.raises(DevError) as error:
        rds.get_rule(aws, "sg-other", rule.id)
    assert error.value.reason == f"sg-other has no inbound rule {rule.id}"


def test_five_thousand_users_are_synced(
    environment: Settings, database: Database, aws: Aws
) -> None:
    databases.create(database)
    databases.load_schema(database, (settings.ROOT / "sql" / "schema.sql",))
    with clients.cursor(database) as cursor:
        cursor.execute(
            "INSERT INTO users (display_name, handle, email)"
            " SELECT 'U', 'user' || n, 'u@example.com' FROM generate_series(1, 5000) n"
        )
    pool = user_pool.create_pool(replace(aws, sign_in="handle"))
    client = clients.cognito(aws)
    sync.create_users(database, replace(aws, user_password=""))
    client.admin_create_user(UserPoolId=pool, Username="nameless", MessageAction="SUPPRESS")
    for username in ("twin-a", "twin-b"):
        twin = [{"Name": "preferred_username", "Value": "twin"}]
        client.admin_create_user(
            UserPoolId=pool, Username=username, UserAttributes=twin, MessageAction="SUPPRESS"
        )
    app = client.create_user_pool_client(UserPoolId=pool, ClientName="app")["UserPoolClient"]
    client.sign_up(ClientId=app["ClientId"], Username="newcomer", Password="Secret-Pass-1")
    client.admin_disable_user(UserPoolId=pool, Username="user7")
    compared = sync.sync(database, aws)
    assert len(compared.matched) == 5000
    assert compared.without_handle == ["nameless", "newcomer"]
    assert compared.ambiguous == ["twin"]
    assert compared.unconfirmed == ["newcomer"]
    assert compared.disabled == ["user7"]
    assert sync.is_synced(database, aws)
    assert len({user.cognito_user_id for user in users.list_users(database)}) == 5000
    assert stacks.targets(environment).mock
