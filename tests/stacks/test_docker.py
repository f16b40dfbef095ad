"""The docker stack on a real engine: each thing that goes wrong has its own sentence and fix."""

import json
import os
import pwd
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from scripts import stacks, state
from scripts.postgres import databases
from scripts.stacks.docker import engine
from scripts.targets import is_loopback
from tests.conftest import PROJECT, Checkout, clean_environment
from tests.docker_engine import docker, remove_containers
from tests.stacks.test_embedded import AS_ROOT, other_python, packages

FILE = "docker-compose.yml"


@pytest.fixture
def checkout(engine: None, new_checkout: Callable[[str], Checkout]) -> Iterator[Checkout]:
    """A checkout, of which docker holds nothing afterwards."""
    checkout = new_checkout("checkout")
    yield checkout
    remove_containers(checkout.root)


@pytest.fixture
def listener() -> Iterator[int]:
    """A port that is held by this process."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield held.getsockname()[1]


def edit(checkout: Checkout, old: str, new: str) -> None:
    path = checkout.root / FILE
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def up(checkout: Checkout, expect: int = 1, **env: str) -> str:
    return checkout.run("up", "--stack", "docker", env=env, expect=expect).stderr


def failure(talk: str, service: str) -> str:
    """What a run says about a step that failed, without its seconds."""
    lines = talk.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f"FAIL  {service} "))
    rest = [line[6:] for line in lines[start + 1 :]]
    end = next(n for n, line in enumerate(rest) if line.startswith("hint: "))
    return "\n".join([lines[start].partition(" s  ")[2], *rest[: end + 1]])


def shim(folder: Path, script: str) -> str:
    """A PATH on which `docker` is a script."""
    folder.mkdir()
    program = folder / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_no_docker_command(new_checkout: Callable[[str], Checkout], tmp_path: Path) -> None:
    talk = up(new_checkout("checkout"), PATH=str(tmp_path))
    assert failure(talk, "postgres") == (
        "there is no docker command\nhint: install Docker Engine with its Compose plugin"
    )


def test_no_compose_plugin(checkout: Checkout, tmp_path: Path) -> None:
    script = f'[ "$1" != compose ] || exit 1\nexec {shutil.which("docker")} "$@"'
    talk = up(checkout, PATH=shim(tmp_path / "bin", script))
    assert failure(talk, "aws") == (
        "docker has no compose plugin\n"
        "hint: install it (Debian, Ubuntu: apt install docker-compose-plugin)"
    )


@pytest.mark.parametrize("url", ["unix:///nonexistent/docker.sock", "tcp://127.0.0.1:1"])
def test_no_daemon(checkout: Checkout, url: str) -> None:
    talk = up(checkout, DOCKER_HOST=url)
    assert failure(talk, "postgres") == (
        f"no Docker engine runs at {url}\nhint: sudo systemctl start docker"
    )
    words = ("status", "--stack", "docker", "--json")
    rows = json.loads(checkout.run(*words, env={"DOCKER_HOST": url}, expect=1).stdout)
    assert {(row["state"], row["reason"]) for row in rows} == {
        ("down", f"no Docker engine runs at {url}")
    }


@AS_ROOT
def test_no_permission(engine: None) -> None:
    socket_path = Path("/var/run/docker.sock")
    if not socket_path.exists():
        pytest.skip("the engine has no socket there")
    code = """
from scripts.errors import DevError
from scripts.stacks.docker import engine
try:
    engine.find_volume("any", "any")
except DevError as error:
    print(error.message)
"""
    python = other_python()
    if not python:
        pytest.skip("no Python that another user can run")
    user = pwd.getpwnam("nobody")
    done = subprocess.run(
        [python, "-c", code],
        cwd=PROJECT,
        env=clean_environment()
        | {"HOME": "/", "DOCKER_HOST": f"unix://{socket_path}", "PYTHONPATH": str(packages())},
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
    )
    assert done.stdout == (
        f"you have no permission to use the Docker engine at unix://{socket_path}\n"
        "hint: join its group (sudo usermod -aG docker $USER), then log in again\n"
    ), done.stderr


def test_an_image_that_cannot_be_pulled(checkout: Checkout) -> None:
    edit(checkout, "postgres:18.6-alpine", "127.0.0.1:1/postgres:18")
    said = failure(up(checkout), "postgres")
    assert said.startswith("the image 127.0.0.1:1/postgres:18 cannot be pulled: ")
    assert "connection refused" in said
    assert said.endswith("hint: docker pull 127.0.0.1:1/postgres:18")


def test_a_port_that_a_process_holds(checkout: Checkout, listener: int) -> None:
    said = failure(up(checkout, DYNAMODB_PORT=str(listener)), "dynamodb")
    assert said == (
        f"environment: DYNAMODB_PORT={listener} is taken by"
        f" {psutil.Process().name()} (pid {os.getpid()})\n"
        "hint: stop it, set DEV_DYNAMODB_PORT to a free port,"
        " or unset DYNAMODB_PORT to take the next free one"
    )


def test_a_login_and_a_database_that_were_changed_are_applied(checkout: Checkout) -> None:
    checkout.run("setup", "--stack", "docker")
    own = checkout.root / ".env"
    own.write_text("POSTGRES_USER=app\nPOSTGRES_PASSWORD=secret\nPOSTGRES_DB=shop\n")
    talk = checkout.run("setup").stderr
    source = ".env:1: POSTGRES_USER, .env:2: POSTGRES_PASSWORD"
    assert f"; created the superuser app ({source})\n" in talk
    assert "; the former one still exists: cruddur\n" in talk
    query = "SELECT current_user, current_database(), count(*) FROM users"
    assert checkout.run("db.connect", "--", "-qAtc", query).stdout == "app|shop|2\n"
    own.write_text("POSTGRES_PASSWORD=other\nCOGNITO_PASSWORD=Other-Passw0rd\n")
    talk = checkout.run("setup").stderr
    assert " 0 users created, 2 given the new local password\n" in talk
    assert "; set the password of postgres (.env:1: POSTGRES_PASSWORD)\n" in talk
    assert checkout.run("db.connect", "--", "-qAtc", query).stdout == "postgres|cruddur|2\n"


def test_a_port_that_a_container_holds_and_the_next_free_one(
    checkout: Checkout, new_checkout: Callable[[str], Checkout]
) -> None:
    up(checkout, expect=0)
    port = stacks.targets(checkout.settings()).database.port
    second = new_checkout("second")
    try:
        said = failure(up(second, POSTGRES_PORT=str(port)), "postgres")
        name = state.identity(checkout.settings())
        holder = f"the container {name}-postgres-1 of {name}"
        assert said.startswith(f"environment: POSTGRES_PORT={port} is taken by {holder}\n")
        up(second, expect=0)
        assert stacks.targets(second.settings()).database.port != port
    finally:
        remove_containers(second.root)
    bindings = docker(
        *("ps", "--format", "{{.Ports}}"),
        *("--filter", f"label=com.docker.compose.project={state.identity(checkout.settings())}"),
    )
    assert bindings.count("127.0.0.1:") == bindings.count("->") == 3


def test_a_container_that_ends_at_its_start(checkout: Checkout) -> None:
    edit(checkout, '"-sharedDb"', '"-sharedNonsense"')
    said = failure(up(checkout), "dynamodb").splitlines()
    assert said[0].startswith("the container of dynamodb ended with code ")
    assert any(line.startswith("  dynamodb.log: Unrecognized option") for line in said)
    assert said[-1] == "hint: ./invoke --stack docker logs dynamodb"


def test_a_service_that_is_not_healthy_in_time(checkout: Checkout) -> None:
    edit(checkout, "  aws: #", '  aws:\n    entrypoint: [sh, -c, "echo starting; sleep 600"] #')
    said = failure(up(checkout, READY_TIMEOUT="3"), "aws").splitlines()
    start = "aws is not healthy after 3 s (READY_TIMEOUT); ListUserPools: no answer ("
    assert said[0].startswith(start)
    assert said[1] == "  aws.log: starting"
    assert said[2] == "hint: ./invoke --stack docker up (waits for it again)"


def test_a_volume_of_another_postgres(checkout: Checkout) -> None:
    project = state.identity(checkout.settings())
    volume = f"{project}_postgres"
    labels = {"com.docker.compose.project": project, "com.docker.compose.volume": "postgres"}
    flags = [word for pair in labels.items() for word in ("--label", "=".join(pair))]
    docker("volume", "create", *flags, volume)
    docker(
        *(
            "run",
            "--rm",
            "--volume",
            f"{volume}:/v",
            "--entrypoint",
            "sh",
            "postgres:18.6-alpine",
        ),
        *("-c", "mkdir /v/data && echo 17 > /v/data/PG_VERSION"),
    )
    assert failure(up(checkout), "postgres") == (
        "the volume of postgres holds data of PostgreSQL 17,"
        " and postgres:18.6-alpine is PostgreSQL 18\n"
        "hint: dump it with its own version: see docs/stacks.md"
    )


def test_a_lost_password_is_said_at_once(checkout: Checkout) -> None:
    up(checkout, expect=0)
    shutil.rmtree(checkout.root / ".dev")
    said = failure(up(checkout, READY_TIMEOUT="60"), "postgres").splitlines()
    assert said[0].endswith(" refuses the login of the default settings, and its own is not noted")
    assert said[1].endswith("without its data: ./invoke --stack docker down --volumes setup")


@pytest.fixture
def remote(engine: None) -> Iterator[tuple[str, int]]:
    """The engine, as if it were on another machine: at an address that is not loopback."""
    host = docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
    with socket.create_server((host.strip(), 0)) as server:
        threading.Thread(target=forward, args=(server,), daemon=True).start()
        yield server.getsockname()[:2]


def forward(server: socket.socket) -> None:
    while True:
        try:
            near, _ = server.accept()
        except OSError:
            return
        far = socket.socket(socket.AF_UNIX)
        far.connect("/var/run/docker.sock")
        for pair in ((near, far), (far, near)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def test_a_remote_engine_by_its_host_and_by_a_context(
    checkout: Checkout, remote: tuple[str, int], tmp_path: Path
) -> None:
    url = "tcp://{}:{}".format(*remote)
    by_host, by_context = {"DOCKER_HOST": url}, {"DOCKER_CONFIG": use_context(tmp_path, url)}
    checkout.run("setup", "--stack", "docker", env=by_host)
    for env in (by_host, by_context):
        rows = json.loads(checkout.run("status", "--json", env=env).stdout)
        assert all(row["address"].startswith(f"{remote[0]}:") for row in rows)
        checkout.run("check", env=env)
    target = stacks.targets(checkout.settings())
    assert not is_loopback(target.database.host)
    assert target.aws.owned
    assert databases.is_disposable(target.database)
    checkout.run("db.drop", "ddb.drop", "cruddur-messages", env=by_context)
    elsewhere = checkout.run("db.sessions", env={"DOCKER_HOST": "unix:///nowhere"}, expect=1)
    assert elsewhere.stderr.endswith("hint: ./invoke up\n")
    checkout.run("up", env=by_context)
    checkout.run("down", env=by_context)


def use_context(folder: Path, url: str) -> str:
    """A configuration of docker whose context in force is an engine elsewhere."""
    config, ours = folder / "config", os.environ.get("DOCKER_CONFIG")
    config.mkdir()
    plugins = (Path(ours) if ours else Path.home() / ".docker") / "cli-plugins"
    if plugins.exists():
        (config / "cli-plugins").symlink_to(plugins)
    context = ("--config", str(config), "context")
    docker(*context, "create", "far", "--docker", f"host={url}")
    docker(*context, "use", "far")
    return str(config)


def test_plain_compose_works_without_us(checkout: Checkout, tmp_path: Path) -> None:
    ports = {}
    for name in ("POSTGRES_PORT", "DYNAMODB_PORT", "AWS_EMULATOR_PORT"):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports[name] = free.getsockname()[1]
    (checkout.root / ".env").write_text("".join(f"{k}={v}\n" for k, v in ports.items()))
    compose = ["docker", "compose", "--project-name", state.identity(checkout.settings())]
    done = subprocess.run(
        [*compose, "up", "--detach"],
        cwd=checkout.root,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for port in ports.values():
        socket.create_connection(("127.0.0.1", port), timeout=20).close()


def test_a_moved_checkout_finds_the_data_of_its_containers(
    checkout: Checkout, new_checkout: Callable[[str], Checkout]
) -> None:
    checkout.run("setup", "--stack", "docker")
    former = state.identity(checkout.settings())
    moved = Checkout(checkout.root.with_name("moved"))
    checkout.root.rename(moved.root)
    try:
        found = json.loads(moved.run("doctor", "--json", expect=None).stdout)
        assert not [one for one in found if former in one["reason"] + one["fix"]]
        said = f"this checkout was moved from {checkout.root}; its data is used here\n"
        assert moved.run("up").stderr.startswith(said)
        assert moved.run("check").stderr.startswith("done  check ")
        assert former not in docker("ps", "--all", "--format", "{{.Names}}")
        assert former not in docker("volume", "ls", "--quiet")
        # What is left of a checkout that is gone is removed, by the function behind doctor --fix.
        engine.remove_project(state.identity(moved.settings()))
        assert state.identity(moved.settings()) not in docker("volume", "ls", "--quiet")
    finally:
        remove_containers(moved.root)
        moved.root.rename(checkout.root)
