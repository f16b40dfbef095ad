"""A server that accepts connections and does not answer: each command says so; restart helps."""

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from scripts import clients
from scripts.web import app
from tests.conftest import Checkout
from tests.docker_engine import docker, remove_containers

LONGEST = 10.0  # seconds until a command has printed its answer
WORDS = ("status", "env", "setup --plan", "setup", "check", "doctor", "reset", "snapshot.save two")


def suspend(checkout: Checkout, service: str) -> None:
    """Stop a server and its children in their tracks."""
    record = json.loads((checkout.root / ".dev" / f"{service}.json").read_text())
    process = psutil.Process(record["pid"])
    for one in [process, *process.children()]:
        one.send_signal(signal.SIGSTOP)


def answer(checkout: Checkout, line: str, expect: int | None) -> str:
    """What a command prints, within the time that it has."""
    begin = time.monotonic()
    done = checkout.run(*line.split(), expect=expect)
    assert time.monotonic() - begin < LONGEST, line
    return done.stdout + done.stderr


@pytest.mark.parametrize("service", ["postgres", "aws"])
def test_a_suspended_server_is_named_and_replaced(checkout: Checkout, service: str) -> None:
    checkout.run("setup")
    checkout.run("reset")
    suspend(checkout, service)
    said = {line: answer(checkout, line, expect=None) for line in WORDS}
    for line in set(WORDS) - {"setup --plan"}:
        assert clients.SILENT in said[line], line
        assert line == "status" or f"./invoke restart {service}" in said[line], line
    assert "would run" in said["setup --plan"]
    assert answer(checkout, f"restart {service}", expect=0).startswith(f"done  {service} ")
    answer(checkout, "check", expect=0)
    suspend(checkout, service)
    answer(checkout, "down", expect=0)
    answer(checkout, "up", expect=0)
    answer(checkout, "check", expect=0)


@pytest.mark.parametrize("service", ["postgres", "aws"])
def test_the_pages_answer_while_a_server_is_suspended(checkout: Checkout, service: str) -> None:
    checkout.run("setup")
    pages = app.create_app(checkout.settings(), 4600, "key")
    suspend(checkout, service)
    for page in ("environment.overview", "environment.doctor"):
        begin = time.monotonic()
        with pages.test_request_context("/"):
            shown = pages.view_functions[page]()
        assert time.monotonic() - begin < LONGEST
        assert clients.SILENT in str(shown)
    checkout.run("down")


@pytest.fixture
def contained(engine: None, new_checkout: Callable[[str], Checkout]) -> Iterator[Checkout]:
    """A checkout whose docker stack is set up."""
    made = new_checkout("checkout")
    made.run("setup", "--stack", "docker")
    yield made
    remove_containers(made.root)


def test_a_paused_container_is_named_resumed_and_replaced(contained: Checkout) -> None:
    labels = f"label=com.docker.compose.project.working_dir={contained.root}"
    for service in ("postgres", "aws", "dynamodb"):
        of_service = f"label=com.docker.compose.service={service}"
        for words, expect in ((("up",), 0), (("restart", service), 0), (("down",), 0)):
            found = ["--filter", labels, "--filter", of_service, "--format", "{{.Names}}"]
            docker("pause", docker("ps", *found).strip())
            assert "paused" in answer(contained, "status", expect=1)
            assert "./invoke up" in answer(contained, "env", expect=1)
            answer(contained, " ".join(words), expect)
        contained.run("up", "--stack", "docker")
    contained.run("check")


def test_an_engine_that_does_not_answer(
    contained: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(place))
        silent.listen(100)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{place}")
        for line in ("status", "env", "setup --plan", "up", "down", "doctor"):
            assert "no answer" in answer(contained, line, expect=None) or line == "setup --plan"
    monkeypatch.undo()
    contained.run("check", "--stack", "docker")
