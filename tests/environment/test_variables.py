"""`env`: what an app needs to use the environment, read back by what reads such formats."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import dotenv
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from scripts import settings as project
from scripts import shell, stacks
from scripts.environment import variables
from scripts.errors import DevError
from scripts.stacks.embedded import aws_emulator
from scripts.targets import UNCHECKED, Aws, Database
from tests.conftest import Checkout, clean_environment

ODD = "a b'c\"d\\e$f${HOME}`g`!h#i=j;k&l|m<n>o*p?q~r%s\n\tü🍰\\"
DATABASE = Database("127.0.0.1", 5432, "me", ODD, "app")
AWS = Aws(region="us-east-1", endpoint="http://127.0.0.1:4566", access_key="0", secret_key="s")
LOCAL = variables._of_postgres(DATABASE) | variables._of_aws(AWS)
VALUES = {name: value for name, value in LOCAL.items() if value}
TEXTS = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), min_size=1)

# An app that has no other configuration than its surroundings.
APP = """
import json, os
import boto3, psycopg, psycopg2
urls = [os.environ["DATABASE_URL"], ""]
query = "SELECT handle FROM users ORDER BY handle"
connection = psycopg2.connect(os.environ["DATABASE_URL"])
cursor = connection.cursor()
cursor.execute(query)
pool = os.environ["AWS_COGNITO_USER_POOL_ID"]
print(json.dumps({
    "handles": [row[0] for row in cursor],
    "psycopg": [psycopg.connect(url).execute(query).fetchall() for url in urls],
    "items": boto3.resource("dynamodb").Table("cruddur-messages").scan(Select="COUNT")["Count"],
    "users": len(boto3.client("cognito-idp").list_users(UserPoolId=pool)["Users"]),
    "account": boto3.client("sts").get_caller_identity()["Account"],
}))
"""
SEEN = {
    "handles": ["korney", "smirnov"],
    "psycopg": [[["korney"], ["smirnov"]]] * 2,
    "items": 122,
    "users": 2,
    "account": "000000000000",
}


def sourced(program: str, text: str, env: dict[str, str], then: str) -> str:
    """What a shell prints that evaluates a text and then runs a command."""
    script = f'eval "$TEXT"\nunset TEXT\n{then}'
    argv = [program, "-euc", script] if program != "zsh" else [program, "-feuc", script]
    return subprocess.check_output(argv, env=env | {"TEXT": text}, text=True)


def surroundings(program: str, text: str, env: dict[str, str]) -> dict[str, str]:
    dump = f'"{sys.executable}" -c "import json, os; print(json.dumps(dict(os.environ)))"'
    seen: dict[str, str] = json.loads(sourced(program, text, env, dump))
    return seen


def of_a_job(text: str) -> dict[str, str]:
    """What GitHub's runner makes of the lines in $GITHUB_ENV."""
    values, lines = {}, iter(text.splitlines(keepends=True))
    for line in lines:
        name, _, end = line.rstrip("\n").partition("<<")
        value = ""
        while (part := next(lines)).rstrip("\n") != end:
            value += part
        values[name] = value.removesuffix("\n")
    return values


def app(env: dict[str, str]) -> Any:
    return json.loads(subprocess.check_output([sys.executable, "-c", APP], env=env, text=True))


# The formats


@pytest.mark.parametrize("program", ["sh", "bash", "zsh"])
def test_a_shell_reads_every_value_as_it_is(program: str) -> None:
    if program == "zsh" and not shutil.which("zsh"):
        (pytest.fail if os.environ.get("REQUIRE_SHELLS") else pytest.skip)("no zsh")
    seen = surroundings(program, variables.to_shell({}, VALUES), clean_environment())
    assert {name: seen[name] for name in VALUES} == VALUES


def test_python_dotenv_reads_every_value_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(variables.to_dotenv({}, VALUES))
    assert dotenv.dotenv_values(tmp_path / ".env") == VALUES


@given(value=TEXTS)
@hypothesis(max_examples=300, deadline=None)
def test_no_value_breaks_a_dotenv_file(value: str, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "any.env"
    path.write_text(variables.to_dotenv({}, {"A": value, "B": "b"}), newline="")
    assert dotenv.dotenv_values(path) == {"A": value, "B": "b"}


def test_json_is_one_object() -> None:
    assert json.loads(variables.to_json({}, VALUES)) == VALUES


def test_a_job_reads_every_value_also_one_that_looks_like_the_format() -> None:
    values = VALUES | {"PGPASSWORD": "X<<end\nend\nPATH=/evil"}
    seen = of_a_job(variables.to_github({}, values))
    assert {name: seen[name] for name in values} == values


def test_the_url_holds_the_password_escaped() -> None:
    url = urlsplit(VALUES["DATABASE_URL"])
    assert (url.hostname, url.port, url.path) == ("127.0.0.1", 5432, "/app")
    assert unquote(url.password or "") == ODD


def test_the_key_of_an_emulator_that_checks_none_is_no_secret() -> None:
    values = {"AWS_ACCESS_KEY_ID": "000000000000", "AWS_SECRET_ACCESS_KEY": UNCHECKED}
    assert variables.secret_values(values) == []
    assert variables.secret_values(values | {"AWS_SECRET_ACCESS_KEY": "s"}) == ["000000000000", "s"]


# The shell that carries them


def test_what_would_win_is_unset_and_kept_for_our_own_commands() -> None:
    before = {
        "AWS_PROFILE": "prod",
        "AWS_SESSION_TOKEN": "secret",
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL_S3": "http://elsewhere",
        "PGHOSTADDR": "192.0.2.1",
    }
    text = variables.to_shell(before, VALUES)
    assert "secret" not in text
    seen = surroundings("sh", text, clean_environment() | before)
    assert not seen.keys() & (before.keys() - {"AWS_REGION"})
    assert seen["AWS_REGION"] == "us-east-1"
    variables.restore(seen)
    assert {name: seen.get(name) for name in seen if name.startswith("AWS_")} == {
        name: value for name, value in before.items() if name.startswith("AWS_")
    }


def test_twice_or_for_another_environment_is_as_once() -> None:
    before = clean_environment() | {"AWS_PROFILE": "prod"}
    docker = VALUES | {"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:8000"}
    seen = before
    for values in (docker, docker, VALUES):
        ours = dict(seen)
        variables.restore(ours)
        seen = surroundings("sh", variables.to_shell(ours, values), seen)
    assert "AWS_ENDPOINT_URL_DYNAMODB" not in seen
    assert {name: seen[name] for name in VALUES} == VALUES
    variables.restore(seen)
    assert {name: value for name, value in seen.items() if name.startswith("AWS_")} == {
        "AWS_PROFILE": "prod"
    }


def test_what_the_user_sets_afterwards_stays() -> None:
    before = {"AWS_PROFILE": "prod", "AWS_REGION": "eu-west-1"}
    seen = variables.overlay(before, VALUES) | {"AWS_PROFILE": "other", "AWS_REGION": "us-west-2"}
    variables.restore(seen)
    assert (seen["AWS_PROFILE"], seen["AWS_REGION"]) == ("other", "us-west-2")
    assert "AWS_ACCESS_KEY_ID" not in seen


def test_settings_that_the_app_exports_by_their_own_names_are_taken_back() -> None:
    own = {"POSTGRES_DB": "cruddur__next", "POSTGRES_USER": "me", "DEV_WEB_PORT": "1"}
    seen = variables.overlay({"POSTGRES_DB": "shop", "DEV_AWS_REGION": "x"}, VALUES | own)
    assert own.items() <= seen.items()
    variables.restore(seen)
    assert (seen["POSTGRES_DB"], seen["DEV_AWS_REGION"]) == ("shop", "x")
    assert not seen.keys() & {"POSTGRES_USER", "DEV_WEB_PORT"}


@pytest.mark.parametrize("text", ["", "{", "[1]", "null"])
def test_a_broken_record_of_what_was_exported_is_passed_over(text: str) -> None:
    seen = {variables.EXPORTED: text, "AWS_REGION": "x"}
    variables.restore(seen)
    assert seen["AWS_REGION"] == "x"


# The task


def test_with_nothing_else_psql_and_an_app_use_the_environment(checkout: Checkout) -> None:
    checkout.run("setup", env={"POSTGRES_PASSWORD": "a b'c\"d\\e$f`g`!h#i%25"})
    password = {"POSTGRES_PASSWORD": "a b'c\"d\\e$f`g`!h#i%25"}
    hostile = {
        "AWS_PROFILE": "nobody",
        "AWS_SESSION_TOKEN": "x",
        "PGHOSTADDR": "192.0.2.1",
        "HOME": "/nonexistent",
    }
    text = checkout.run("env", "--format", "shell", env=hostile | password).stdout
    shell_now = surroundings("bash", text, clean_environment() | hostile)
    assert app(shell_now) == SEEN
    assert shell_now["PGSSLMODE"] == "disable"  # node-postgres reads "prefer" as TLS required
    assert shell_now["DATABASE_URL"].endswith("?sslmode=disable")
    psql = [str(shell.postgres_home() / "bin" / "psql"), "-tAc", "SELECT count(*) FROM users"]
    assert subprocess.check_output(psql, env=shell_now, text=True) == "2\n"
    aws = shutil.which("aws")
    if aws and subprocess.run([aws, "--version"], capture_output=True, check=False).returncode == 0:
        tables = subprocess.check_output([aws, "dynamodb", "list-tables"], env=shell_now)
        assert json.loads(tables) == {"TableNames": ["cruddur-messages"]}
    # Our own commands go on there as before.
    carried = {name: shell_now[name] for name in shell_now if name not in clean_environment()}
    again = checkout.run("env", "--format", "json", env=carried | password)
    assert json.loads(again.stdout)["DATABASE_URL"] == shell_now["DATABASE_URL"]
    again = checkout.run("setup", env=carried | password)
    assert "10 steps were already done" in again.stderr.splitlines()
    refused = checkout.run("status", "--stack", "aws", env=carried | password, expect=1)
    assert refused.stderr.startswith("the stack aws needs the URL of its database\n")


def test_production_in_such_a_shell_is_not_led_to_the_emulator(checkout: Checkout) -> None:
    env = variables.overlay({}, VALUES) | {"PROD_DATABASE_URL": "postgresql://me@192.0.2.1/x"}
    files = {"HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true"}
    done = checkout.run("status", "--stack", "aws", env=env | files, expect=1)
    assert done.stderr.startswith("no credentials for AWS us-east-1: ")


def test_the_job_gets_them_and_the_log_never_shows_password_and_key(
    checkout: Checkout, tmp_path: Path
) -> None:
    job = {"GITHUB_ENV": str(tmp_path / "github env"), "POSTGRES_PASSWORD": "p%ss word"}
    done = checkout.run("setup", "--export-env", env=job)
    key = aws_emulator.find_key(checkout.settings())
    assert key
    masked = [f"{key[0]}000000000000", key[1], "p%2525ss%2520word", "p%25ss word"]
    assert done.stdout == "".join(f"::add-mask::{text}\n" for text in sorted(masked))
    assert "15 variables added to the job" in done.stderr.splitlines()
    seen = of_a_job((tmp_path / "github env").read_text())
    assert app(clean_environment() | seen) == SEEN
    more = checkout.run("env", "--format", "github", env=job | {"AWS_PROFILE": "nobody"})
    assert more.stderr.splitlines()[-1] == (
        "these variables of the job may override them: AWS_PROFILE"
    )


def test_without_a_job_it_prints_what_would_go_there(checkout: Checkout) -> None:
    checkout.run("up")
    done = checkout.run("env", "--format", "github")
    assert of_a_job(done.stdout)["PGHOST"] == "127.0.0.1"
    assert "add-mask" not in done.stdout
    assert done.stderr == (
        "AWS_COGNITO_USER_POOL_ID is left out: there is no user pool cruddur in"
        f" {stacks.targets(checkout.settings()).aws}; next: ./invoke setup\n"
    )


def test_another_region_than_that_of_the_data_is_named(checkout: Checkout) -> None:
    checkout.run("setup", env={"AWS_DEFAULT_REGION": "eu-west-1"})  # not ours: for the app
    pool = f"there is no user pool cruddur in {stacks.targets(checkout.settings()).aws}"
    table = f"there is no table cruddur-messages in {stacks.targets(checkout.settings()).aws}"
    for command, reason, fix in [
        (("env",), f"AWS_COGNITO_USER_POOL_ID is left out: {pool}", "./invoke setup"),
        (("cognito.list-users",), pool, "./invoke setup"),
        (("check",), table, "./invoke setup"),
        (
            ("ddb.drop", "cruddur-messages"),
            table.replace("is no table cruddur-messages", "are no tables"),
            "./invoke ddb.schema-load",
        ),
        (("doctor", "--all"), "missing: cruddur-messages", "./invoke setup"),
    ]:
        done = checkout.run(*command, env={"AWS_REGION": "eu-west-1"}, expect=None)
        shown = done.stderr + done.stdout
        assert f"{reason}, region eu-west-1; it exists in region us-east-1" in shown
        assert f" set AWS_REGION to us-east-1; to use eu-west-1 instead: {fix}\n" in shown
    checkout.run("check", env={"AWS_DEFAULT_REGION": "eu-west-1"})


def test_outside_a_job_setup_exports_nothing_and_starts_nothing(checkout: Checkout) -> None:
    done = checkout.run("setup", "--export-env", expect=1)
    assert done.stderr == (
        "not in a GitHub Actions job: GITHUB_ENV is not set\n"
        'hint: in a shell: eval "$(./invoke env --format shell)"\n'
    )
    assert not checkout.settings().state.exists()


def test_an_environment_that_does_not_run_exports_nothing(checkout: Checkout) -> None:
    done = checkout.run("env", "--format", "shell", expect=1)
    said = "postgres is not running at 127.0.0.1\nhint: ./invoke up\n"
    assert (done.stdout, done.stderr) == ("", said)


def test_an_unknown_format_is_named(checkout: Checkout) -> None:
    done = checkout.run("env", "--format", "yaml", expect=2)
    assert done.stderr == (
        "--format=yaml is none of dotenv, shell, json, github\nhint: ./invoke env --help\n"
    )


BLOCK = "# >>> ./invoke env\nPGHOST=old\nGONE=1\n# <<< ./invoke env\n"


def test_a_file_keeps_the_lines_of_the_app(checkout: Checkout) -> None:
    checkout.run("up")
    path = checkout.root / "app.env"
    crlf = BLOCK.replace("\n", "\r\n")
    for before, blocks, after in [
        ("", "", ""),
        ("SECRET=a", "", ""),
        ("SECRET='a\n b'\n\n", "", ""),
        ("SECRET=a\n", BLOCK.rstrip(), ""),
        ("SECRET=a\n", BLOCK, "OTHER='\udcff'\n# end"),
        ("SECRET=a\n", BLOCK * 2, "OTHER=b\n"),
        ("SECRET=a\r\n\r\nOTHER=b", "", ""),
        ("SECRET=a\r\n", crlf, "OTHER=b\r\n"),
    ]:
        path.write_bytes((before + blocks + after).encode(errors="surrogateescape"))
        path.chmod(0o644)
        for _ in range(2):
            checkout.run("env", "--output", "app.env")
            written = path.read_bytes().decode(errors="surrogateescape")
            end = "\r\n" if "\r" in before else "\n"
            start = before if not before or before.endswith("\n") else before + end
            assert written.startswith(f"{start}# >>> ./invoke env")
            assert written.endswith(f"{end}# <<< ./invoke env{end}{after}")
            assert written.count("PGHOST=") == 1
            assert "GONE" not in written
            assert path.stat().st_mode & 0o777 == 0o600
        own = dotenv.dotenv_values(stream=io.StringIO(before))
        read = dotenv.dotenv_values(path, encoding="latin-1")
        assert own.items() <= read.items()
        assert read["PGHOST"] == "127.0.0.1"
    assert not [*checkout.root.glob("*.tmp")]


def test_what_it_writes_to_the_apps_env_file_is_no_setting(checkout: Checkout) -> None:
    """An app in containers often names its variables as the image of Postgres does."""
    (checkout.root / ".env").write_text("POSTGRES_USER=me\nAWS_REGION=eu-west-1")
    names = {"POSTGRES_PORT": "PGPORT", "POSTGRES_PASSWORD": "PGPASSWORD", "POSTGRES_DB": "PGUSER"}
    lines = [f'{name} = "${{{value}}}"\n' for name, value in names.items()]
    with (checkout.root / "app.toml").open("a") as file:
        file.write("[env]\n" + "".join(lines))
    before = checkout.settings()
    checkout.run("up")
    checkout.run("env", "--output", ".env")
    assert dotenv.dotenv_values(checkout.root / ".env")["POSTGRES_DB"] == "me"
    assert checkout.settings() == before
    assert set(before.sources) == {"postgres_user", "aws_region"}
    (checkout.root / ".env").open("a").write("POSTGRES_PORT=no\n")
    line = (checkout.root / ".env").read_text().count("\n")
    done = checkout.run("env", expect=1)
    assert done.stderr.startswith(f".env:{line}: POSTGRES_PORT=no is not a number")
    (checkout.root / ".env").open("a").write("no value\n")
    assert checkout.run("env", expect=1).stderr.startswith(f".env:{line + 1} cannot be read")
    (checkout.root / ".env").unlink()


def test_a_line_that_wins_over_the_block_is_named(checkout: Checkout) -> None:
    checkout.run("up")
    path = checkout.root / "app.env"
    path.write_text(f"PGPORT=1\n{BLOCK} export PGUSER = me\nPGHOST=db\nOTHER=1\n")
    done = checkout.run("env", "--output", "app.env")
    assert done.stderr.splitlines()[-1] == "lines below them in app.env override: PGHOST, PGUSER"


@pytest.mark.parametrize("end", ["# >>> ./invoke env", "# <<< ./invoke env"])
def test_half_a_block_is_named_and_nothing_is_written(checkout: Checkout, end: str) -> None:
    checkout.run("up")
    for name in ("app.env", ".env"):
        text = f"A=1\n{BLOCK}{end}\nPGHOST=mine\n"
        (checkout.root / name).write_text(text)
        done = checkout.run("env", "--output", name, expect=1)
        assert "".join(done.stderr.splitlines(keepends=True)[-2:]) == (
            f"{name}:6 is only one end of the block that env writes\n"
            "hint: delete this line and the lines of the block, then: ./invoke env --output FILE\n"
        )
        assert (checkout.root / name).read_text() == text
    (checkout.root / ".env").unlink()


def test_a_file_that_env_cannot_update_is_refused(checkout: Checkout) -> None:
    checkout.run("up")
    root = checkout.root
    (root / "link").symlink_to(".env.example")
    (root / "config.json").write_text('{"secret": 1}')
    os.mkfifo(root / "pipe")
    more, other = " contains more than the variables that env writes", "name another file with"
    for words, said, hint in [
        (("dotenv", "link"), " is a symbolic link, which is not followed", "--output /"),
        (("dotenv", "pipe"), " cannot be read: it is not a file", other),
        (("dotenv", "scripts"), " cannot be read: it is not a file", other),
        (("json", "config.json"), more, other),
        (("github", "tasks.py"), more, other),
    ]:
        done = checkout.run("env", "--format", words[0], "--output", words[1], expect=1)
        assert done.stderr.splitlines()[-2] == words[1] + said
        assert done.stderr.splitlines()[-1].startswith(f"hint: {hint}")
    assert (root / "link").is_symlink()
    assert (root / "config.json").read_text() == '{"secret": 1}'
    for _ in range(2):
        checkout.run("env", "--format", "json", "--output", "env.json")
    assert json.loads((root / "env.json").read_text())["PGHOST"] == "127.0.0.1"


def test_of_production_it_tells_what_it_knows(tmp_path: Path) -> None:
    (tmp_path / "app.toml").write_text('name = "cruddur"\n[cognito]\n')
    chosen = project.load(
        tmp_path,
        {
            "PROD_DATABASE_URL": "postgresql://me:p%25@db.example.com/app",
            "AWS_PROFILE": "prod",
            "AWS_COGNITO_USER_POOL_ID": "pool",
            "AWS_COGNITO_USER_POOL_CLIENT_ID": "client",
        },
        stack="aws",
    )
    values = variables.collect(chosen)
    assert values == {
        "DATABASE_URL": "postgresql://me:p%25@db.example.com:5432/app?sslmode=require",
        "PGHOST": "db.example.com",
        "PGPORT": "5432",
        "PGUSER": "me",
        "PGPASSWORD": "p%",
        "PGDATABASE": "app",
        "PGSSLMODE": "require",
        "AWS_PROFILE": "prod",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_COGNITO_USER_POOL_ID": "pool",
        "AWS_COGNITO_USER_POOL_CLIENT_ID": "client",
    }
    assert "AWS_ACCESS_KEY_ID" in variables.in_the_way(values, {})


@pytest.mark.parametrize("mode", [0o644, 0o755])
def test_what_cannot_be_run_is_named(tmp_path: Path, mode: int) -> None:
    program = tmp_path / "program"
    program.write_text("no program")  # without its first line, and perhaps not executable either
    program.chmod(mode)
    with pytest.raises(DevError) as caught:
        shell.replace_process([program], {})
    assert caught.value.message.startswith(f"{program} cannot be run: ")


def test_variables_about_tls_do_not_lead_libpq_astray(environment: project.Settings) -> None:
    hostile = {"PGSSLNEGOTIATION": "direct", "PGSSLROOTCERT": "system", "PGSSLMODE": "require"}
    lent = variables.lend(environment, clean_environment() | hostile)
    assert subprocess.check_output(["psql", "-dpostgres", "-tAc", "SELECT 1"], env=lent) == b"1\n"
    production = VALUES | {"PGSSLMODE": "verify-full"}
    assert "PGSSLROOTCERT" not in variables.in_the_way(production, hostile)
