"""A backend in the shape of Cruddur's, run by `./invoke run`, answers a signed-in request."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.apps.conftest import RealApp
from tests.apps.shapes import SHAPES, Shape
from tests.conftest import PROJECT, clean_environment

BACKEND = Path(__file__).with_name("backend.py")


def ask(url: str, token: str = "", body: dict[str, str] | None = None) -> Any:
    """The JSON that the backend answers."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body else None
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=20) as answer:
        return json.loads(answer.read())


@pytest.fixture
def app(make_app: Callable[[Shape], RealApp]) -> RealApp:
    app = make_app(SHAPES["classic"])
    with (app.root / "app.toml").open("r+") as file:
        text = file.read().replace("[env]", '[env]\nDDB_MESSAGE_TABLE = "cruddur-messages"\n#')
        file.seek(0)
        file.write(text)
    app.run("setup")
    return app


@pytest.fixture
def backend(app: RealApp, closed_port: int) -> Iterator[str]:
    """The address of the running backend; it ends with the signal that `run` gets."""
    with subprocess.Popen(
        [
            sys.executable,
            PROJECT / "tasks.py",
            "run",
            "--",
            sys.executable,
            BACKEND,
            str(closed_port),
        ],
        cwd=app.root,
        env=clean_environment() | {"DEV_APP": str(app.root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            wait_for(closed_port, process)
            yield f"http://127.0.0.1:{closed_port}/api"
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == -signal.SIGTERM


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(process.communicate(timeout=1)[0])


def sign_in(app: RealApp, email: str) -> str:
    """An access token, got as the frontend does: by e-mail and password, with the client's id."""
    values = app.variables()
    cognito = boto3.client(
        "cognito-idp",
        endpoint_url=values["AWS_ENDPOINT_URL"],
        region_name=values["AWS_REGION"],
        aws_access_key_id="",
        aws_secret_access_key="",
    )
    answer = cognito.initiate_auth(
        AuthFlow="USER_PASSWORD_AUTH",
        ClientId=values["AWS_COGNITO_USER_POOL_CLIENT_ID"],
        AuthParameters={"USERNAME": email, "PASSWORD": values["COGNITO_PASSWORD"]},
    )
    return str(answer["AuthenticationResult"]["AccessToken"])


def test_a_signed_in_user_sees_the_seeded_messages_and_writes_one(
    app: RealApp, backend: str
) -> None:
    assert ask(f"{backend}/activities") == [{"message": "the first activity"}]
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(f"{backend}/message_groups", "nonsense")
    assert refused.value.code == 401
    token = sign_in(app, "ada@example.com")
    found = ask(f"{backend}/message_groups", token)
    assert found["handle"] == "ada"
    (group,) = found["groups"]
    messages = ask(f"{backend}/messages/{group['message_group_uuid']}", token)
    assert len(messages) == 20
    assert messages[0]["message"] == group["message"]
    sent = ask(f"{backend}/messages/{group['message_group_uuid']}", token, {"message": "hello"})
    shown = app.run("ddb.patterns.get-conversation", group["message_group_uuid"]).stdout
    assert sent["message"] in shown
    app.run("check")


def test_run_passes_on_the_exit_code(app: RealApp) -> None:
    assert app.run("run", "--", "sh", "-c", 'test -n "$CONNECTION_URL" && exit 7', expect=7)
    missing = app.run("run", "--", "no-such-program", expect=1).stderr
    assert missing == ("the program no-such-program is not installed\nhint: install it\n")


def test_env_writes_a_private_file_with_the_apps_names(app: RealApp) -> None:
    path = app.root / "backend.env"
    path.write_text("SECRET=old")
    path.chmod(0o644)
    app.run("env", "--output", "backend.env")
    text = path.read_text()
    assert "CONNECTION_URL=postgresql://" in text
    assert text.startswith("SECRET=old\n")
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_unknown_variable_of_env_is_named(app: RealApp) -> None:
    with (app.root / "app.toml").open("a") as file:
        file.write("\n[env.more]\n")
    assert "env more must be a text" in app.run("env", expect=1).stderr
    text = (
        (app.root / "app.toml")
        .read_text()
        .replace("[env.more]", "")
        .replace("${DATABASE_URL}", "${DATABASE_URI}")
    )
    (app.root / "app.toml").write_text(text)
    assert app.run("env", expect=1).stderr == (
        "app.toml: [env] uses ${DATABASE_URI}, which has no value here"
        "\nhint: did you mean DATABASE_URL or PGDATABASE?\n"
    )
