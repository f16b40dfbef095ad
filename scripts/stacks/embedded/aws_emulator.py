"""The AWS emulator of this checkout (ministack): DynamoDB, Cognito and more on one port."""

import http.client
import json
import os
import secrets
import signal
import sys
from functools import partial
from pathlib import Path
from shlex import quote

from scripts import clients, shell, state
from scripts.settings import ROOT, Settings
from scripts.stacks import processes

PORT_SETTING = "emulator_port"
PROGRAM = "scripts.stacks.embedded.emulator"
SERVICES = ("cognito-idp", "dynamodb", "dynamodbstreams", "ec2", "s3", "sts")
_KEY = "aws-key"


def server(settings: Settings) -> processes.Server:
    """The emulator's process."""
    marker = f"emulator={state.identity(settings)}"
    return processes.Server("aws", settings.state, marker, signal.SIGTERM)


def start(settings: Settings) -> int:
    """Start the emulator with what it held; its port."""
    ours = server(settings)
    ensure_key(settings)
    environment = _environment(settings)

    def launch(port: int) -> processes.Launch:
        ours_for = [word for mark in (ours.marker, state.origin(settings)) for word in ("-X", mark)]
        # -P: whatever the folder that we are run in holds, nothing is imported from there.
        argv = [sys.executable, "-P", *ours_for, str(ROOT / "scripts" / "caches.py"), PROGRAM]
        return processes.Launch(argv, environment | {"GATEWAY_PORT": str(port)})

    return processes.start(ours, settings, PORT_SETTING, launch, partial(not_ready, settings))


def data_folder(settings: Settings) -> Path:
    """Where it keeps what it holds."""
    return settings.state / "aws"


def find_key(settings: Settings) -> tuple[str, str] | None:
    """The ID and the secret of the checkout's key; None where it was not made or is damaged."""
    path = settings.state / _KEY
    fix = f"rm {quote(str(path))} && ./invoke up"
    words = (state.read_secret(path, fix) or "").split()
    return (words[0], words[1]) if len(words) == 2 else None


def ensure_key(settings: Settings) -> None:
    """Make the checkout's key, at random, unless there is one. Data does not depend on it."""
    if not find_key(settings):
        text = f"DEV{secrets.token_hex(12).upper()} {secrets.token_urlsafe(30)}"
        state.write(state.ensure_folder(settings.state) / _KEY, text)


def not_ready(settings: Settings, port: int) -> str | None:
    """None when this checkout's emulator answers on the port, else the reason."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=clients.ANSWER_SECONDS)
    try:
        connection.request("GET", "/_ministack/health")
        answer = json.loads(connection.getresponse().read())
    except TimeoutError:
        return clients.SILENT
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"no answer ({type(error).__name__})"
    finally:
        connection.close()
    ours = isinstance(answer, dict) and answer.get("edition") == state.identity(settings)
    return None if ours else "another emulator answers there"


def _environment(settings: Settings) -> dict[str, str]:
    home = state.ensure_folder(data_folder(settings))
    persist = "0" if settings.throwaway else "1"
    ours = "" if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "")
    return shell.minimal_environment() | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), ours])),
        "BIND_HOST": "127.0.0.1",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "PERSIST_STATE": persist,
        "STATE_DIR": str(home / "state"),
        "S3_PERSIST": persist,
        "S3_DATA_DIR": str(home / "s3"),
        "TMPDIR": str(home),  # for its pid file: in /tmp another user's may stand in the way
        "MINISTACK_EDITION": state.identity(settings),  # comes back in its health answer
        "DOCKER_HOST": "unix:///nonexistent",  # or it removes the containers of other emulators
        "SERVICES": ",".join(SERVICES),
        "EMULATOR_KEY_FILE": str(settings.state / _KEY),
        "AUTH": "false",
        "USE_SSL": "0",
        "LOG_LEVEL": "INFO",
    }
