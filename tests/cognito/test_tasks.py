"""cognito.token, cognito.set-password, env and status at the command line, used as an app does."""

import json
import os
import pty
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

import pytest

from scripts import stacks
from scripts.cognito import user_pool
from scripts.settings import Settings
from scripts.stacks import processes
from scripts.stacks.embedded import aws_emulator
from scripts.targets import Aws
from tests.conftest import Checkout, clean_environment, copy_project, remove_state
from tests.sign_in import LOCAL, OTHER, by_password, by_srp, find, sub_in_postgres, verify

# A backend's and a frontend's part of a sign-in, with nothing but the variables of `env`.
APP = """
import json, os, sys
import boto3, jwt, psycopg2
pool, client = (os.environ[f"AWS_COGNITO_USER_POOL_{name}"] for name in ("ID", "CLIENT_ID"))
for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
    os.environ.pop(key)  # a browser has none
connection = psycopg2.connect(os.environ["DATABASE_URL"])
cursor = connection.cursor()
cursor.execute("SELECT handle, email FROM users")
for handle, email in cursor.fetchall():
    tokens = boto3.client("cognito-idp").initiate_auth(
        ClientId=client, AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": email, "PASSWORD": os.environ["COGNITO_PASSWORD"]},
    )["AuthenticationResult"]
    keys = jwt.PyJWKClient(f"{os.environ['AWS_ENDPOINT_URL']}/{pool}/.well-known/jwks.json")
    issuer = f"https://cognito-idp.{os.environ['AWS_REGION']}.amazonaws.com/{pool}"
    token = tokens["AccessToken"]
    claims = jwt.decode(token, keys.get_signing_key_from_jwt(token), ["RS256"], issuer=issuer)
    cursor.execute("SELECT handle FROM users WHERE cognito_user_id = %s", (claims["sub"],))
    print(handle, *cursor.fetchone())
"""

PYCOGNITO = """
import os
from pycognito import Cognito
pool, client = (os.environ[f"AWS_COGNITO_USER_POOL_{name}"] for name in ("ID", "CLIENT_ID"))
user = Cognito(pool, client, username="korney@example.com")
user.authenticate(password=os.environ["COGNITO_PASSWORD"])
print(user.id_claims["email"])
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout that is set up, for the tests of this module."""
    checkout = Checkout(copy_project(tmp_path_factory.mktemp("signing-in") / "checkout"))
    try:
        checkout.run("setup")
        yield checkout
    finally:
        remove_state(checkout.root)


@pytest.fixture
def aws(running: Checkout) -> Aws:
    """The emulator of the checkout, where everybody has the local password."""
    running.run("cognito.set-password", "korney")
    return stacks.targets(running.settings()).aws


def read_env(checkout: Checkout) -> dict[str, str]:
    values: dict[str, str] = json.loads(checkout.run("env", "--format", "json").stdout)
    return values


def kill_emulator(settings: Settings) -> None:
    process = processes.find(aws_emulator.server(settings))
    assert process
    process.send_signal(signal.SIGKILL)
    process.wait(30)


# What an app needs


@pytest.mark.parametrize(
    "commands",
    [
        [],
        ["reset"],
        ["reset", "undo"],
        ["snapshot.save mine", "reset", "snapshot.restore mine", "snapshot.delete mine"],
        ["down", "up"],
        ["kill", "up"],
        ["down --volumes --yes", "setup"],
    ],
)
def test_an_app_signs_everybody_in_with_the_variables_of_env(
    running: Checkout, commands: list[str]
) -> None:
    for command in commands:
        if command == "kill":
            kill_emulator(running.settings())
        else:
            running.run(*command.split())
    shown = subprocess.check_output(
        [sys.executable, "-c", APP], env=clean_environment() | read_env(running), text=True
    )
    assert sorted(shown.splitlines()) == ["korney korney", "smirnov smirnov"]


def test_pycognito_verifies_tokens_with_the_keys_of_the_pool(running: Checkout) -> None:
    values = read_env(running)
    pool = f"{values['AWS_ENDPOINT_URL']}/{values['AWS_COGNITO_USER_POOL_ID']}"
    with urllib.request.urlopen(f"{pool}/.well-known/jwks.json") as answer:
        values["COGNITO_JWKS"] = answer.read().decode()
    shown = subprocess.check_output(
        [sys.executable, "-c", PYCOGNITO], env=clean_environment() | values, text=True
    )
    assert shown == "korney@example.com\n"


def test_status_tells_the_password_while_the_emulator_runs(running: Checkout) -> None:
    line = f"sign-in:   every user with the password {LOCAL}\n"
    assert line in running.run("status").stderr
    kill_emulator(running.settings())
    assert line not in running.run("status", expect=1).stderr
    running.run("up")


def test_without_a_pool_status_shows_no_password(checkout: Checkout) -> None:
    checkout.run("up")
    assert "password" not in checkout.run("status").stderr


def test_another_local_password_is_used_shown_and_printed(running: Checkout, aws: Aws) -> None:
    env = {"COGNITO_PASSWORD": OTHER}
    assert f"with the password {OTHER}\n" in running.run("status", env=env).stderr
    assert (
        json.loads(running.run("env", "--format", "json", env=env).stdout)["COGNITO_PASSWORD"]
        == OTHER
    )
    running.run("cognito.set-password", "korney", env=env)
    assert by_password(aws, "korney@example.com", OTHER)


def test_setup_gives_a_changed_local_password_to_the_users(running: Checkout, aws: Aws) -> None:
    path = running.root / ".env"
    for password in (OTHER, LOCAL):
        path.write_text(f"COGNITO_PASSWORD={password}\n")
        talk = running.run("setup").stderr
        assert " 0 users created, 2 given the new local password\n" in talk
        assert running.run("cognito.token", "korney").stdout
        assert "cognito.create-users" not in running.run("setup").stderr
    path.unlink()


@pytest.mark.parametrize("stale", ["MOCK", "0f4c1f5e-5f6c-4a51-9d35-0d6c0b6f8f11"])
def test_an_id_that_is_not_in_the_pool_counts_as_missing(running: Checkout, stale: str) -> None:
    change = f"UPDATE users SET cognito_user_id = '{stale}' WHERE handle = 'korney'"
    running.run("db.connect", "--", "-qc", change)
    assert "1 of 2 users have Cognito IDs" in running.run("check").stderr
    found = json.loads(running.run("doctor", "--json").stdout)
    (finding,) = [one for one in found if one["check"] == "users"]
    assert finding["reason"] == "without a Cognito ID of the pool: korney"
    running.run("setup")
    assert "2 of 2 users have Cognito IDs" in running.run("check").stderr


def test_an_unusable_local_password_is_refused_by_name(running: Checkout) -> None:
    done = running.run("status", env={"COGNITO_PASSWORD": "secret"}, expect=1)
    assert done.stderr == (
        "environment: COGNITO_PASSWORD (not shown) must have 8 to 256 characters, an uppercase"
        " letter, a digit, a symbol\nhint: correct it\n"
    )


# Tokens


def test_a_token_is_all_that_is_printed(running: Checkout, aws: Aws) -> None:
    database = stacks.targets(running.settings()).database
    done = running.run("cognito.token", "korney")
    assert done.stderr == ""
    claims = verify(aws, done.stdout.strip())
    assert (claims["token_use"], claims["sub"]) == ("access", sub_in_postgres(database, "korney"))


def test_the_id_token_and_all_tokens_are_printed_when_asked_for(
    running: Checkout, aws: Aws
) -> None:
    client = read_env(running)["AWS_COGNITO_USER_POOL_CLIENT_ID"]
    claims = verify(
        aws, running.run("cognito.token", "korney", "--id").stdout.strip(), audience=client
    )
    assert claims["preferred_username"] == "korney"
    tokens = json.loads(running.run("cognito.token", "korney@example.com", "--json").stdout)
    assert list(tokens) == ["access_token", "id_token", "refresh_token", "expires_at"]
    assert verify(aws, tokens["access_token"])["username"] == find(aws, "korney").username
    assert tokens["expires_at"].endswith("+00:00")


def test_no_token_for_a_user_who_does_not_exist(running: Checkout, aws: Aws) -> None:
    done = running.run("cognito.token", "nobody", expect=1)
    assert done.stderr == (
        "there is no user nobody in the pool cruddur; users: korney, smirnov\n"
        "hint: all users: ./invoke cognito.list-users\n"
    )


def test_no_token_on_the_aws_stack(running: Checkout, aws: Aws) -> None:
    database = stacks.targets(running.settings()).database
    env = {
        "PROD_DATABASE_URL": f"postgresql://u:p@127.0.0.1:{database.port}/x?sslmode=disable",
        "AWS_ENDPOINT_URL": aws.endpoint or "",
        "AWS_ACCESS_KEY_ID": aws.access_key,
        "AWS_SECRET_ACCESS_KEY": aws.secret_key,
        "AWS_COGNITO_USER_POOL_ID": user_pool.get_pool(aws),
    }
    done = running.run("cognito.token", "korney", "--stack", "aws", env=env, expect=1)
    assert done.stderr.endswith(
        "there is no local password for AWS us-east-1, so this tool cannot sign users in\n"
        "hint: sign in through the app, and take the token from there\n"
    )
    done = running.run("cognito.set-password", "korney", "--stack", "aws", env=env, expect=1)
    assert done.stderr.endswith(
        "there is no local password in AWS us-east-1\nhint: --prompt (asks for it)\n"
    )
    shown = running.run("env", "--format", "json", "--stack", "aws", env=env).stdout
    assert "COGNITO_PASSWORD" not in json.loads(shown)
    assert "password" not in running.run("status", "--stack", "aws", env=env, expect=None).stderr


# Passwords


def set_password(checkout: Checkout, text: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        checkout.command("cognito.set-password", "korney", *words),
        cwd=checkout.root,
        env=clean_environment(),
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_password_is_read_from_stdin_and_reset_without(running: Checkout, aws: Aws) -> None:
    done = set_password(running, f"{OTHER}\n", "--stdin")
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "",
        "korney signs in as korney@example.com with the given password\n",
    )
    assert by_srp(aws, "korney@example.com", OTHER)
    refused = running.run("cognito.token", "korney", expect=1)
    assert refused.stderr == (
        "korney does not have the local password\nhint: ./invoke cognito.set-password korney\n"
    )
    done = running.run("cognito.set-password", "korney")
    assert done.stderr == "korney signs in as korney@example.com with the local password\n"
    assert by_srp(aws, "korney@example.com")


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("\n", ["--stdin"], "the password is empty; nothing is changed\n"),
        (
            "",
            ["--prompt"],
            "--prompt needs a terminal\nhint: --stdin reads the password from stdin\n",
        ),
        (
            "lowercase-1\n",
            ["--stdin"],
            "the pool cruddur refuses the password: Password did not conform with policy:"
            " Password must have uppercase characters\n"
            "hint: choose another one; the local password is the setting COGNITO_PASSWORD\n",
        ),
    ],
)
def test_a_password_that_cannot_be_set_is_said_and_the_old_one_stays(
    running: Checkout, aws: Aws, text: str, words: list[str], message: str
) -> None:
    done = set_password(running, text, *words)
    assert (done.returncode, done.stderr) == (2, message)
    assert by_password(aws, "korney@example.com")


@pytest.mark.parametrize(
    ("again", "message"),
    [
        (OTHER, "korney signs in as korney@example.com with the given password"),
        ("x", "the two passwords differ; nothing is changed"),
    ],
)
def test_a_password_is_typed_unseen(running: Checkout, aws: Aws, again: str, message: str) -> None:
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        running.command("cognito.set-password", "korney", "--prompt"),
        cwd=running.root,
        env=clean_environment() | {"TERM": "xterm"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    typed = {"new password of korney: ": OTHER, "again: ": again}
    shown = ""
    while True:
        try:
            shown += os.read(screen, 65536).decode()
        except OSError:
            break
        for question in [question for question in typed if shown.endswith(question)]:
            os.write(screen, f"{typed.pop(question)}\n".encode())
    os.close(screen)
    assert process.wait(30) == (0 if again == OTHER else 2)
    assert message in shown
    assert OTHER not in shown
    assert by_password(aws, "korney@example.com", OTHER if again == OTHER else LOCAL)


def test_a_dry_run_asks_nothing_and_sets_nothing(running: Checkout, aws: Aws) -> None:
    done = running.run("--dry", "cognito.set-password", "korney", "--stdin")
    assert done.stderr == "would set the password of korney in the pool cruddur\n"
    assert by_password(aws, "korney@example.com")


def test_no_command_leaves_a_password_in_the_records(running: Checkout, aws: Aws) -> None:
    set_password(running, f"{OTHER}\n", "--stdin")
    running.run("snapshot.save", "secrets")
    running.run("snapshot.delete", "secrets")
    state = replace(running.settings()).state
    for path in state.rglob("*"):
        if path.is_file() and "aws" not in path.parts and "postgres" not in path.parts:
            assert OTHER.encode() not in path.read_bytes(), path
            assert LOCAL.encode() not in path.read_bytes(), path
