import re
from dataclasses import Field, replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from scripts import settings, stacks
from scripts.app import App
from scripts.errors import DevError
from scripts.settings import Settings
from scripts.targets import Aws, Database
from tests.conftest import PROJECT

VARIABLES = [field.metadata["variable"] for field in settings.declared()]
TEXTS = {
    "DEV_STACK": "other",
    "DEV_THROWAWAY": "once",
    "POSTGRES_PORT": "6000",
    "POSTGRES_USER": "me",
    "POSTGRES_PASSWORD": "p w",
    "POSTGRES_DB": "app",
    "POSTGRES_HOME": "/opt/postgresql",
    "AWS_REGION": "eu-north-1",
    "AWS_EMULATOR_PORT": "6001",
    "AWS_EMULATOR_ACCOUNT": "123456789012",
    "WEB_PORT": "6002",
    "DYNAMODB_PORT": "6003",
    "DOCKER_PUBLISH_ADDRESS": "192.0.2.1",
    "COGNITO_POOL_NAME": "people",
    "COGNITO_PASSWORD": "Other-Passw0rd",
    "READY_TIMEOUT": "7",
    "PROD_DATABASE_URL": "postgresql://me:secret@db.example.com/app",
    "AWS_PROFILE": "work",
    "AWS_COGNITO_USER_POOL_ID": "eu-north-1_abc",
    "AWS_COGNITO_USER_POOL_CLIENT_ID": "abc123",
    "DB_SG_ID": "sg-1",
    "DB_SG_RULE_ID": "sgr-1",
    "IP_LOOKUP_URL": "http://127.0.0.1:1",
}
ENV_HINT = "\nhint: write KEY=value, with quotes around a value that has spaces or #"
LEAVE_OUT = "\nhint: correct it"
NAME_RULE = "must be letters, digits and _, 50 at most, and not begin with a digit"

# Half of it looks like a .env file, so that the parser is not left at the first character.
env_texts = st.text() | st.lists(
    st.sampled_from([*VARIABLES, *"ab=\"'\\#$ {}:-\n\r\t", "export ", "${", "\0", "\ufeff", "ü"]),
    max_size=30,
).map("".join)


@pytest.fixture(autouse=True)
def app(tmp_path: Path) -> None:
    """The folder of an app called cruddur."""
    (tmp_path / "app.toml").write_text('name = "cruddur"\n')


def with_defaults(root: Path) -> Settings:
    app = App(root, "cruddur")
    return Settings(root=root, app=app, postgres_db="cruddur", pool_name="cruddur")


def message(error: pytest.ExceptionInfo[DevError]) -> str:
    return str(error.value.message)


def write_env(root: Path, text: str) -> None:
    (root / ".env").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("flag", "environment", "file", "value", "source"),
    [
        ("one", "two", "three", "one", "flag"),
        ("", "two", "three", "two", "environment"),
        ("", "", "three", "three", ".env"),
        ("", "", "", "embedded", "default"),
    ],
)
def test_flag_comes_before_environment_before_file_before_default(
    tmp_path: Path, flag: str, environment: str, file: str, value: str, source: str
) -> None:
    write_env(tmp_path, f"DEV_STACK={file}\n")
    loaded = settings.load(tmp_path, {"DEV_STACK": environment}, stack=flag)
    assert (loaded.stack, loaded.source("stack")) == (value, source)


def test_the_remembered_stack_comes_after_every_choice_of_now(tmp_path: Path) -> None:
    (tmp_path / ".dev").mkdir()
    (tmp_path / ".dev" / "stack").write_text("docker\n")
    loaded = settings.load(tmp_path, {})
    assert (loaded.stack, loaded.source("stack")) == ("docker", "remembered")
    chosen = settings.load(tmp_path, {"DEV_STACK": "embedded"})
    assert (chosen.stack, chosen.source("stack")) == ("embedded", "environment")


def test_every_setting_is_read_from_its_variable(tmp_path: Path) -> None:
    loaded = settings.load(tmp_path, TEXTS)
    assert {
        loaded.variable(field.name): str(getattr(loaded, field.name))
        for field in settings.declared()
    } == TEXTS


def test_without_any_source_every_setting_has_its_default(tmp_path: Path) -> None:
    assert settings.load(tmp_path, {}) == with_defaults(tmp_path)


def test_each_value_keeps_its_own_source(tmp_path: Path) -> None:
    write_env(tmp_path, "POSTGRES_DB=app\n")
    loaded = settings.load(tmp_path, {"AWS_REGION": "eu-north-1"}, stack="docker")
    names = ("stack", "aws_region", "postgres_db", "postgres_port")
    assert [loaded.source(name) for name in names] == ["flag", "environment", ".env", "default"]


def test_the_example_is_what_the_code_declares() -> None:
    assert (PROJECT / ".env.example").read_text(encoding="utf-8") == settings.example()


def test_the_example_with_every_line_in_force_gives_the_defaults(tmp_path: Path) -> None:
    write_env(tmp_path, re.sub(r"^#(?=[A-Z_]+=)", "", settings.example(), flags=re.M))
    loaded = settings.load(tmp_path, {})
    assert replace(loaded, sources={}) == with_defaults(tmp_path)
    assert loaded.source("postgres_port") == ".env"


def test_every_setting_has_a_second_name_that_overrides_the_apps_variable(tmp_path: Path) -> None:
    second = {settings.add_prefix(name): text for name, text in TEXTS.items()}
    loaded = settings.load(tmp_path, dict.fromkeys(VARIABLES, "\a") | second)
    for field in settings.declared():
        name = settings.add_prefix(loaded.variable(field.name))
        assert str(getattr(loaded, field.name)) == second[name]
        assert loaded.describe_source(field.name) == f"environment: {name}"
    assert set(settings.list_names()) == {*VARIABLES, *second}


def test_a_second_name_wins_in_its_own_layer_only(tmp_path: Path) -> None:
    write_env(tmp_path, "\nDEV_POSTGRES_DB=mine\nPOSTGRES_DB=app\n")
    loaded = settings.load(tmp_path, {})
    assert (loaded.postgres_db, str(loaded.sources["postgres_db"])) == ("mine", ".env:2")
    assert settings.load(tmp_path, {"POSTGRES_DB": "now"}).postgres_db == "now"


def test_a_setting_whose_name_begins_with_the_prefix_has_no_second_name() -> None:
    assert {"DEV_STACK", "DEV_THROWAWAY"} <= set(VARIABLES)
    assert not [name for name in settings.list_names() if name.startswith("DEV_DEV_")]


def test_a_bad_value_in_the_file_is_named_with_its_line(tmp_path: Path) -> None:
    write_env(tmp_path, "# the app's\nA='x\ny'\n\nPOSTGRES_USER=my-app\n")
    with pytest.raises(DevError) as error:
        settings.load(tmp_path, {})
    assert message(error) == (
        f".env:5: POSTGRES_USER=my-app {NAME_RULE}{LEAVE_OUT}; DEV_POSTGRES_USER overrides it"
    )


@pytest.mark.parametrize(
    ("variable", "text", "problem"),
    [
        ("POSTGRES_PORT", "http", "=http is not a number from 1 to 65535"),
        ("POSTGRES_PORT", "0", "=0 is not a number from 1 to 65535"),
        ("AWS_EMULATOR_PORT", "70000", "=70000 is not a number from 1 to 65535"),
        ("READY_TIMEOUT", "1.5", "=1.5 is not a number from 1 to 3600"),
        ("READY_TIMEOUT", "٣", "=٣ is not a number from 1 to 3600"),
        ("AWS_EMULATOR_ACCOUNT", "12345", "=12345 is not an account ID, which has 12 digits"),
        ("POSTGRES_DB", "template1", "=template1 is a database of Postgres itself"),
        ("POSTGRES_DB", "a-b", f"=a-b {NAME_RULE}"),
        ("POSTGRES_USER", 'a"b', f'=a"b {NAME_RULE}'),
        ("POSTGRES_USER", "1a", f"=1a {NAME_RULE}"),
        ("POSTGRES_USER", "public", "=public is a name that PostgreSQL reserves"),
        ("POSTGRES_USER", "None", "=None is a name that PostgreSQL reserves"),
        ("POSTGRES_USER", "current_user", "=current_user is a name that PostgreSQL reserves"),
        ("POSTGRES_USER", "session_user", "=session_user is a name that PostgreSQL reserves"),
        ("POSTGRES_USER", "user", "=user is a name that PostgreSQL reserves"),
        ("POSTGRES_USER", "pg_me", "=pg_me is a name that PostgreSQL reserves"),
        ("POSTGRES_HOME", "pgsql", "=pgsql is not an absolute path"),
        ("POSTGRES_USER", "a" * 51, f"={'a' * 51} {NAME_RULE}"),
        ("IP_LOOKUP_URL", "gopher://x", "=gopher://x is not a URL"),
        ("IP_LOOKUP_URL", "http://[::1", "=http://[::1 is not a URL"),
        ("DOCKER_PUBLISH_ADDRESS", "everywhere", "=everywhere is not an IP address"),
        ("AWS_REGION", "eu\n", " has characters that cannot be printed"),
    ],
)
def test_a_bad_value_is_named_with_its_fix(
    tmp_path: Path, variable: str, text: str, problem: str
) -> None:
    with pytest.raises(DevError) as error:
        settings.load(tmp_path, {variable: text})
    assert message(error) == f"environment: {variable}{problem}{LEAVE_OUT}"


def test_an_unknown_stack_is_named_with_its_source_and_the_known_ones(tmp_path: Path) -> None:
    known = ", ".join(stacks.MODULES)
    with pytest.raises(DevError) as error:
        stacks.get(settings.load(tmp_path, {}, stack="moon"))
    assert (
        message(error) == f"DEV_STACK=moon is not a stack (from: flag)\nhint: use one of: {known}"
    )


def test_a_password_is_in_no_representation(tmp_path: Path) -> None:
    local = {"COGNITO_PASSWORD": "Aa1-s3cret"}
    loaded = settings.load(tmp_path, {"POSTGRES_PASSWORD": "s3cret", **local})
    database = Database("127.0.0.1", 5432, "me", loaded.postgres_password, "app")
    aws = Aws("us-east-1", None, "key", "s3cret", user_password=loaded.cognito_password)
    shown = [text for value in (loaded, database, aws) for text in (repr(value), str(value))]
    assert loaded.postgres_password == "s3cret"
    assert not [text for text in shown if "s3cret" in text]


def test_a_password_that_cannot_be_used_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(DevError) as error:
        settings.load(tmp_path, {"POSTGRES_PASSWORD": "s3cret\a"})
    assert message(error) == (
        f"environment: POSTGRES_PASSWORD has characters that cannot be printed{LEAVE_OUT}"
    )


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Aa1!aaa", "8 to 256 characters"),
        ("Aa1!" * 65, "8 to 256 characters"),
        ("aaaaaa1!", "an uppercase letter"),
        ("AAAAAA1!", "a lowercase letter"),
        ("Aaaaaaa!", "a digit"),
        ("Aaaaaaa1", "a symbol"),
        ("Aaaaaa1 !", "no space or control character"),
        ("Äa1!äää\u2028", "an uppercase letter, no space or control character"),
        ("local", "8 to 256 characters, an uppercase letter, a digit, a symbol"),
    ],
)
def test_a_local_password_that_cognito_would_refuse_is_refused_by_rule(
    tmp_path: Path, text: str, rule: str
) -> None:
    with pytest.raises(DevError) as error:
        settings.load(tmp_path, {"COGNITO_PASSWORD": text})
    assert message(error) == (
        f"environment: COGNITO_PASSWORD (not shown) must have {rule}{LEAVE_OUT}"
    )


@pytest.mark.parametrize("symbol", r"""^$*.[]{}()?"!@#%&/\,><':;|_~`=+-""")
def test_every_symbol_of_cognito_counts_in_a_local_password(tmp_path: Path, symbol: str) -> None:
    text = f"Passw0rd{symbol}"
    assert settings.load(tmp_path, {"COGNITO_PASSWORD": text}).cognito_password == text


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("DEV_STACK=a\n\n= b\n", ".env:3"),
        ("# a\nDEV_STACK\n", ".env:2 (DEV_STACK)"),
        ("\n\nPOSTGRES_PASSWORD='s3cret\n\n", ".env:3"),
        ("POSTGRES_PASSWORD='a' s3cret\n", ".env:1"),
        ("POSTGRES_PASSWORD s3cret\n", ".env:1"),
        ("POSTGRES_PASSWORD=\ns3cret\n", ".env:2"),
        ("DEV_STACK=a\r\n=b\r\n", ".env:2"),
    ],
)
def test_a_broken_line_is_named_and_its_value_is_not_shown(
    tmp_path: Path, text: str, place: str
) -> None:
    write_env(tmp_path, text)
    with pytest.raises(DevError) as error:
        settings.load(tmp_path, {})
    assert message(error) == f"{place} cannot be read{ENV_HINT}"


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    with pytest.raises(DevError) as error:
        settings.load(tmp_path, {})
    assert message(error) == (
        f"{tmp_path}/.env cannot be read: it is not a file\nhint: compare it with .env.example"
    )


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("DEV_STACK=ü".encode("latin-1"))
    with pytest.raises(DevError) as error:
        settings.load(tmp_path, {})
    assert message(error) == (
        f"{tmp_path}/.env cannot be read: it is not UTF-8 text\nhint: compare it with .env.example"
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("settings")


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(content=env_texts.map(str.encode) | st.binary())
def test_any_file_is_read_or_refused(folder: Path, content: bytes) -> None:
    path = folder / ".env"
    path.write_bytes(content)
    try:
        values = settings.read_env_file(path)
    except DevError:
        return
    lines = len(content.splitlines())
    assert all(key and value and 1 <= line <= lines for key, (value, line) in values.items())


@pytest.mark.parametrize("field", settings.declared(), ids=VARIABLES)
@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(text=st.text(st.characters()) | st.integers().map(str) | st.from_regex(r"\w+"))
def test_any_value_is_taken_or_refused(field: Field[Any], text: str) -> None:
    variable = field.metadata["variable"]
    try:
        value = getattr(settings.load(PROJECT, {variable: text}), field.name)
    except DevError as error:
        assert variable in str(error.message)
    else:
        default = getattr(settings.load(PROJECT, {}), field.name)
        assert value == (type(value)(text) if text else default)
