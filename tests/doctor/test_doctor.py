"""doctor: each check on the real thing, well and not, by its whole line."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from scripts import clients, stacks, state
from scripts.cognito import sync, user_pool
from scripts.doctor import examine, machine, report
from scripts.dynamodb import tables
from scripts.engine import checks
from scripts.engine.checks import Check, Finding, note, ok
from scripts.environment import reset
from scripts.postgres import copies, databases
from scripts.settings import Settings, declared
from scripts.stacks.embedded import postgres_cluster
from scripts.stacks.embedded import stack as embedded
from tests.conftest import Checkout, runs
from tests.contents import run
from tests.docker_engine import docker, remove_containers
from tests.stacks.test_embedded import AS_ROOT

DEAD_PID = 2**22 + 1  # above the kernel's limit
USERS = "korney, smirnov"


def diagnose(settings: Settings, fix: bool = False) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine.run(lambda: settings, fix)}


def look(checkout: Checkout, *words: str, expect: int = 0, **env: str) -> dict[str, Finding]:
    done = checkout.run("doctor", "--json", *words, env=env, expect=expect)
    return {one["check"]: Finding(**one) for one in json.loads(done.stdout)}


def edit(checkout: Checkout, part: str, old: str, new: str) -> None:
    path = checkout.root / part
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def failed(found: dict[str, Finding]) -> set[str]:
    return {name for name, finding in found.items() if finding.state == "FAIL"}


def execute(settings: Settings, statement: str, name: str = "") -> None:
    database = stacks.targets(settings).database
    target = database.named(name) if name else database
    with clients.cursor(target, autocommit=True) as cursor:
        cursor.execute(statement)


@pytest.fixture
def linked(filled: Settings) -> Settings:
    """The seed data, its users in a pool too."""
    aws, database = stacks.get_aws(filled), stacks.get_database(filled)
    user_pool.create_pool(aws)
    sync.create_users(database, aws)
    sync.sync(database, aws)
    return filled


@pytest.fixture
def own(checkout: Checkout) -> Settings:
    """Settings of a checkout where nothing runs, with files that the test may change."""
    return checkout.settings()


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this process holds."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield held.getsockname()[1]


def test_redirected_calls_are_noted(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert diagnose(own)["redirected calls"].reason == "none: AWS_ENDPOINT_URL is not set"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert diagnose(own)["redirected calls"] == Finding(
        "redirected calls",
        "note",
        "AWS_ENDPOINT_URL=http://127.0.0.1:1\nredirects calls to AWS",
        "unset AWS_ENDPOINT_URL",
    )


def test_a_healthy_environment_has_no_failure(checkout: Checkout, taken: int) -> None:
    """AWS itself is not called: it would be at a port where nobody answers until time is over."""
    checkout.run("setup")
    done = checkout.run("doctor")
    assert "FAIL" not in done.stdout + checkout.run("doctor", "--all").stdout
    assert len(done.stdout.splitlines()) <= 24
    assert re.fullmatch(
        r"doctor: \d+ checks passed(, \d+ notes?)?; for all: ./invoke doctor --all\n", done.stderr
    )
    found = look(checkout, AWS_ENDPOINT_URL=f"http://127.0.0.1:{taken}")
    database = f"cruddur on {found['postgres'].reason.removeprefix('running at ')}"
    assert found["database"].reason == f"{database}: activities 1, users 2"
    assert found["schema"].reason == "matches sql/schema.sql"
    assert found["users"].reason == "2 users with a Cognito ID"
    assert found["tables"].reason == "cruddur-messages as defined"
    assert found["conversations"].reason == ("1 conversation, all participants exist in Postgres")
    assert found["state folder"].reason == str(checkout.root / ".dev")
    assert found["lock"].reason == "free"
    for name in ("unfinished files", "unfinished cluster", "unknown servers", "leftover databases"):
        assert found[name] == Finding(name, "ok", "none")


def test_a_fresh_clone_has_no_failure_and_makes_nothing(checkout: Checkout) -> None:
    found = look(checkout)
    up = {"state": "note", "reason": "not running", "fix": "./invoke up"}
    assert found["postgres"] == Finding(check="postgres", **up)  # type: ignore[arg-type]
    assert found["aws"] == Finding(check="aws", **up)  # type: ignore[arg-type]
    folder = checkout.root / ".dev"
    assert found["state folder"] == Finding(
        "state folder", "note", f"{folder} does not exist yet", "./invoke setup"
    )
    assert not folder.exists()
    assert "database" not in found


def test_a_broken_env_file_is_a_line_and_the_machine_is_still_looked_at(checkout: Checkout) -> None:
    (checkout.root / ".env").write_text("POSTGRES_PORT=5x\n")
    found = look(checkout, expect=1)
    assert found["settings"] == Finding(
        "settings",
        "FAIL",
        ".env:1: POSTGRES_PORT=5x is not a number from 1 to 65535",
        "correct it; DEV_POSTGRES_PORT overrides it",
    )
    assert failed(found) == {"settings"}
    assert {"requirements", "disk", "leftover servers"} <= found.keys()
    (checkout.root / ".env").unlink()


def test_a_stack_that_is_none(checkout: Checkout) -> None:
    found = look(checkout, expect=1, DEV_STACK="podman")
    assert found["stack"].reason == "DEV_STACK=podman is not a stack (from: environment)"
    assert found["stack"].fix == "use one of: embedded, docker, aws"
    assert found["DEV_STACK"].reason == "podman (environment: DEV_STACK)"


def test_each_setting_says_where_it_came_from_and_no_secret_is_shown(checkout: Checkout) -> None:
    (checkout.root / ".env").write_text("DEV_POSTGRES_DB=shop\nPOSTGRES_PASSWORD=verysecret\n")
    url = "postgresql://me:verysecret@127.0.0.1/shop"
    done = checkout.run("doctor", "--stack", "embedded", env={"PROD_DATABASE_URL": url})
    assert "verysecret" not in done.stdout + done.stderr
    found = look(checkout, "--stack", "embedded", PROD_DATABASE_URL=url)
    assert {field.metadata["variable"] for field in declared()} == {
        name for name, finding in found.items() if finding.state == "set"
    }
    assert found["DEV_STACK"].reason == "embedded (flag: DEV_STACK)"
    assert found["POSTGRES_DB"].reason == "shop (.env:1: DEV_POSTGRES_DB)"
    assert found["POSTGRES_PASSWORD"].reason == "set, hidden (.env:2: POSTGRES_PASSWORD)"
    assert found["PROD_DATABASE_URL"].reason == "set, hidden (environment: PROD_DATABASE_URL)"
    assert found["AWS_PROFILE"].reason == "not set (default)"
    assert found["WEB_PORT"].reason == "4600 (default)"


def test_a_check_that_breaks_is_a_line_and_never_the_end() -> None:
    def broken() -> Finding:
        raise ZeroDivisionError("by nothing")

    found = checks.run(
        [
            Check("one", broken),
            Check("two", lambda: ok("fine")),
            Check("three", lambda: ok("never"), needs=("one",)),
            Check("four", lambda: note("so so"), needs=("two",)),
            Check("five", lambda: ok("never"), needs=("three", "four")),
        ]
    )
    assert found == [
        Finding(
            "one", "FAIL", "bug in this check: ZeroDivisionError: by nothing", "please report it"
        ),
        Finding("two", "ok", "fine"),
        Finding("three", "skip", "not checked: one failed"),
        Finding("four", "note", "so so"),
        Finding("five", "skip", "not checked: one failed"),
    ]


FOUND = [
    Finding("disk", "ok", "enough"),
    Finding("python", "note", "from elsewhere", "use ./invoke"),
    Finding("a schema", "FAIL", "two\nlines", "./invoke db.reset\n./invoke setup"),
    Finding("users", "skip", "not checked: a schema failed"),
    Finding("tables", "skip", "not checked: a schema failed"),
]


def test_problems_are_first_and_alone() -> None:
    problems = [
        "FAIL  a schema  two",
        "                lines",
        "      fix: ./invoke db.reset",
        "      fix: ./invoke setup",
        "skip  2 checks  not checked: a schema failed: users, tables",
        "note  python    from elsewhere",
        "      fix: use ./invoke",
    ]
    assert list(report.lines(FOUND, False, None)) == problems
    assert list(report.lines(FOUND, True, None)) == [*problems, "ok    disk      enough"]
    assert list(report.lines(FOUND[:1], False, None)) == []


def test_reasons_are_wrapped_to_the_terminal_and_fixes_stay_whole() -> None:
    long = Finding("disk", "FAIL", "only 0.1 GB free in /home/somebody", "rm -r /home/somebody/x")
    assert list(report.lines([long], False, 36)) == [
        "FAIL  disk  only 0.1 GB free in",
        "            /home/somebody",
        "      fix: rm -r /home/somebody/x",
    ]
    assert list(report.lines([long], False, 30)) == [
        "FAIL  disk",
        "      only 0.1 GB free in",
        "      /home/somebody",
        "      fix: rm -r /home/somebody/x",
    ]


def test_the_summary_counts_what_was_not_checked() -> None:
    more = "; for all: ./invoke doctor --all"
    failed = "doctor: 1 of 5 checks failed: a schema, 2 not checked"
    assert report.summary(FOUND, True) == failed
    assert report.summary(FOUND, False) == failed + more
    assert report.summary(FOUND[:2], True) == "doctor: 2 checks passed, 1 note"
    setting = Finding("WEB_PORT", "set", "4600 (default)")
    assert report.summary([*FOUND[:1], setting], True) == "doctor: 1 check passed"
    assert list(report.lines([setting], False, None)) == []
    assert list(report.lines([setting], True, None)) == ["set   WEB_PORT  4600 (default)"]


def test_a_server_that_crashed_is_a_failure_and_one_that_was_stopped_is_none(
    checkout: Checkout,
) -> None:
    checkout.run("setup")
    pid = json.loads((checkout.root / ".dev" / "postgres.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)] if runs(pid) else [], timeout=10)
    found = look(checkout, expect=1)
    assert failed(found) == {"postgres"}
    assert (found["postgres"].reason, found["postgres"].fix) == (
        "it has crashed or was killed",
        "./invoke up",
    )
    names = ("database", "leftover databases", "schema", "users", "saved states", "conversations")
    for name in names:
        assert found[name] == Finding(name, "skip", "not checked: postgres failed")
    assert found["tables"].state == "ok"
    shown = checkout.run("doctor", expect=1).stdout.splitlines()
    assert shown[0].split() == ["FAIL", "postgres", "it", "has", "crashed", "or", "was", "killed"]
    assert shown[2].endswith(f"not checked: postgres failed: {', '.join(names)}")
    checkout.run("up")
    assert look(checkout)["postgres"].state == "ok"
    checkout.run("down", "postgres")
    assert look(checkout)["postgres"] == Finding("postgres", "note", "not running", "./invoke up")


def test_what_undo_can_bring_back_says_so(lived_in: Settings) -> None:
    run(reset.db_drop(lived_in, lived_in.postgres_db))
    undo = "./invoke undo (reverts db.drop)"
    database = stacks.targets(lived_in).database
    assert diagnose(lived_in)["database"] == Finding(
        "database", "note", f"there is no database {database}", undo
    )
    run(reset.undo(lived_in))
    run(reset.db_reset(lived_in))
    found = diagnose(lived_in)["conversations"]
    assert (found.state, found.fix) == ("FAIL", "./invoke undo (reverts db.reset)")
    run(reset.undo(lived_in))
    assert diagnose(lived_in)["conversations"].state == "ok"
    run(reset.ddb_drop(lived_in, "cruddur-messages"))
    assert diagnose(lived_in)["tables"].fix == "./invoke undo (reverts ddb.drop)"


def test_packages_that_are_not_as_pinned(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ROOT", own.root)
    path = own.root / "requirements.txt"
    version = psutil.__version__
    text = (
        path.read_text().replace(f"psutil=={version}", "psutil==0.1") + "nobody-has-this==1.0 \\\n"
    )
    path.write_text(text)
    found = diagnose(own)["requirements"]
    assert found.state == "FAIL"
    assert found.reason == (
        f"psutil {version}, required: 0.1\nnobody-has-this is missing, required: 1.0"
    )
    path.unlink()
    assert diagnose(own)["requirements"].reason == "there is no requirements.txt"


def test_python_from_elsewhere_is_noted(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ROOT", own.root)
    assert diagnose(own)["python"].fix == "use ./invoke"
    (own.root / ".venv").symlink_to(sys.prefix)
    assert diagnose(own)["python"].state == "ok"


def test_a_full_disk(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert diagnose(own)["disk"].state == "ok"
    monkeypatch.setattr(machine, "LEAST_FREE", 10**15)
    found = diagnose(own)["disk"]
    assert (found.state, found.fix) == ("FAIL", "free at least 1000000.0 GB")
    assert found.reason.startswith("only ")


@AS_ROOT
def test_a_state_folder_of_another_user(checkout: Checkout) -> None:
    folder = checkout.root / ".dev"
    folder.mkdir(mode=0o700)
    os.chown(folder, 4711, 4711)
    found = look(checkout, expect=1)["state folder"]
    assert found.reason == f"{folder} belongs to another user"
    assert found.fix == "make a clone of your own"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_state_folder_that_cannot_be_written(checkout: Checkout) -> None:
    folder = checkout.root / ".dev"
    folder.mkdir(mode=0o500)
    found = look(checkout, expect=1)["state folder"]
    assert found.reason == f"{folder} is not writable"
    done = checkout.run("doctor", "--fix")
    assert f"state folder: {folder} is writable now\n" in done.stderr


def test_the_lock_of_a_running_command_is_noted(own: Settings) -> None:
    assert machine._lock(own) == ok("free")
    with state.lock(own, "setup", lambda line: None):
        found = machine._lock(own)
    assert found == note(f"held by ./invoke setup (pid {os.getpid()})", "wait for it")
    assert machine._lock(own) == ok("free")


def test_unfinished_files_are_removed_and_those_being_written_are_not(checkout: Checkout) -> None:
    folder = state.ensure_folder(checkout.root / ".dev")
    dead, living = (folder / f"aws.json.{pid}.tmp" for pid in (DEAD_PID, os.getpid()))
    dead.touch()
    living.touch()
    assert look(checkout)["unfinished files"] == Finding(
        "unfinished files",
        "note",
        f"a command was killed while writing {dead.name}",
        "./invoke doctor --fix",
    )
    assert f"unfinished files: removed {dead}\n" in checkout.run("doctor", "--fix").stderr
    assert not dead.exists()
    assert living.exists()


def test_a_port_that_is_set_and_held_by_another(checkout: Checkout, taken: int) -> None:
    found = look(checkout, expect=1, POSTGRES_PORT=f"{taken}")
    name = psutil.Process().name()
    assert found["postgres port"].reason == (
        f"environment: POSTGRES_PORT={taken} is taken by {name} (pid {os.getpid()})"
    )
    assert found["postgres port"].fix.startswith("stop it, set DEV_POSTGRES_PORT to a free port")
    assert failed(found) == {"postgres port"}


def test_a_port_that_is_not_set_is_told_with_its_holder(linked: Settings, taken: int) -> None:
    other = diagnose(replace(linked, postgres_port=taken, web_port=taken))
    holder = f"{taken} is in use by {psutil.Process().name()} (pid {os.getpid()})"
    assert other["postgres port"].reason == (
        f"{holder}; this checkout uses {stacks.targets(linked).database.port}"
    )
    assert other["web port"].reason == f"{holder}; the next free port will be used"
    ours = stacks.targets(linked).database.port
    found = diagnose(replace(linked, postgres_port=ours))["postgres port"]
    assert found.reason == f"{ours} is used by this checkout"


def test_a_wrong_password(linked: Settings) -> None:
    found = diagnose(replace(linked, postgres_password="wrong"))
    place = f"postgres on 127.0.0.1:{stacks.targets(linked).database.port}"
    reason = f"{place} does not accept the password of postgres"
    assert failed(found) == {"postgres"}
    assert found["postgres"].reason == reason
    assert found["postgres"].fix == "./invoke up"
    for name in ("database", "schema", "users"):
        assert found[name] == Finding(name, "skip", "not checked: postgres failed")


def test_services_that_hold_nothing_yet(environment: Settings) -> None:
    found = diagnose(environment)
    assert not failed(found)
    database = stacks.targets(environment).database
    assert found["database"].reason == f"there is no database {database}"
    assert found["schema"].reason == f"{database} was not created from sql/schema.sql"
    assert found["users"].reason == "none"
    assert found["tables"].reason == "missing: cruddur-messages"
    assert found["conversations"].reason == "none"


def test_files_that_were_changed(checkout: Checkout) -> None:
    checkout.run("setup")
    schema, table = "sql/schema.sql", "ddb/tables/cruddur-messages.json"
    edit(checkout, schema, "-- The app's tables.", "-- Tables.")
    edit(checkout, table, '"ALL"', '"KEYS_ONLY"')
    found = look(checkout, expect=1)
    assert failed(found) == {"schema", "tables"}
    database = found["database"].reason.partition(": ")[0]
    assert (
        found["schema"].reason == f"sql/schema.sql was changed after it was loaded into {database}"
    )
    assert found["schema"].fix == "./invoke db.reset (rebuilds the database; undo reverts it)"
    assert found["tables"].reason.splitlines()[1:] == [
        "  index message-group-sk-index: message_group_uuid (S) + sk (S), ALL,"
        " wanted: message_group_uuid (S) + sk (S), KEYS_ONLY"
    ]
    assert found["tables"].fix.startswith("./invoke ddb.drop cruddur-messages ddb.schema-load ")
    (checkout.root / table).write_text("{")
    assert look(checkout, expect=1)["tables"].reason.startswith(f"{table}:1: ")


def test_a_structure_that_was_changed_by_hand(linked: Settings) -> None:
    execute(linked, "ALTER TABLE users ALTER COLUMN email DROP NOT NULL")
    found = diagnose(linked)["schema"]
    assert found.state == "FAIL"
    assert found.reason.splitlines() == [
        f"{stacks.targets(linked).database} was changed by hand:",
        "-    email text NOT NULL,",
        "+    email text,",
    ]
    assert found.fix == "./invoke db.reset (rebuilds the database; undo reverts it)"
    execute(linked, "ALTER TABLE users ALTER COLUMN email SET NOT NULL")
    assert diagnose(linked)["schema"].state == "ok"
    assert copies.list_temporary(stacks.targets(linked).database) == {}


def test_leftover_databases_are_listed_and_only_scratch_is_dropped(linked: Settings) -> None:
    database = stacks.get_database(linked)
    gone, scratch, used = (
        database.named(f"{database.name}{databases.SCRATCH.replace('scratch', word)}")
        for word in ("gone", f"scratch{DEAD_PID}", f"scratch{os.getppid()}")
    )
    for one in (gone, scratch, used):
        databases.create(one)
    try:
        found = diagnose(linked)["leftover databases"]
        assert found.state == "note"
        assert found.reason.startswith(
            f"left by a command that was killed, or is still running: {gone.name} ("
        )
        assert f"{scratch.name} (" in found.reason
        assert used.name not in found.reason
        assert f"./invoke db.connect -- -c 'DROP DATABASE \"{gone.name}\"'" in found.fix
        diagnose(linked, fix=True)
        assert databases.exists(gone)
        assert not databases.exists(scratch)
        assert databases.exists(used)
    finally:
        for one in (gone, used):
            databases.drop(one)


def test_users_without_a_cognito_id(filled: Settings) -> None:
    assert diagnose(filled)["users"] == Finding(
        "users", "note", f"without a Cognito ID of the pool: {USERS}", "./invoke setup"
    )


def test_conversations_of_nobody(linked: Settings) -> None:
    execute(linked, "DELETE FROM users WHERE handle = 'smirnov'")
    found = diagnose(linked)["conversations"]
    assert found.state == "FAIL"
    assert found.reason == (
        "a participant is missing in Postgres, in 1 of 1 conversation:"
        " 56eeea25-1ffc-4384-9065-5813ead1c8aa (c4e2a1d8-93b7-4f52-8a6d-5e7f0b1c2d39)"
    )
    tables.drop_table(stacks.get_aws(linked), "cruddur-messages")
    assert diagnose(linked)["conversations"].reason == "none"


def test_a_server_that_no_record_tells_of(checkout: Checkout) -> None:
    checkout.run("up")
    record = checkout.root / ".dev" / "aws.json"
    pid = json.loads(record.read_text())["pid"]
    record.unlink()
    assert look(checkout, expect=1)["unknown servers"] == Finding(
        "unknown servers",
        "FAIL",
        f"belongs to this checkout, but has no record: aws (pid {pid})",
        "./invoke up",
    )
    done = checkout.run("doctor", "--fix")
    assert "unknown servers: stopped the servers without a record\n" in done.stderr
    assert not runs(pid)


def test_what_a_killed_start_left(checkout: Checkout) -> None:
    checkout.run("up")
    home = (checkout.root / ".dev" / "postgres").resolve()
    (home / f"data.draft-{DEAD_PID}").mkdir()
    (home / "password.draft").touch()
    found = look(checkout)["unfinished cluster"]
    assert found.state == "note"
    assert found.reason.startswith("a start was killed, or is still running: ")
    checkout.run("doctor", "--fix")
    assert look(checkout)["unfinished cluster"].state == "ok"
    assert (home / "data").is_dir()


@AS_ROOT
def test_leftover_data_is_listed_and_removed_after_a_question(
    environment: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number in range(9):
        root = tmp_path / f"gone {number}"
        home = tmp_path / f"{state.identity_of(root)}-x"
        home.mkdir()
        (home / state.CHECKOUT).write_text(str(root))
    monkeypatch.setattr(postgres_cluster, "SHARED_HOME", tmp_path)
    (check,) = [c for c in embedded.checks(environment, True) if c.name == "leftover data"]
    found = check.look()
    assert found.reason.count(f" of {tmp_path}/gone ") == 3
    assert found.reason.count(", which was deleted or moved\n") == 3
    assert found.reason.endswith("\nand 6 further folders")
    assert found.fix == "./invoke doctor --fix"
    said = capsys.readouterr
    examine._repair([check], [found], agreed=False)
    assert said().err.endswith(
        "leftover data: not fixed: nothing was deleted: there is no terminal to ask\n"
        "hint: ./invoke doctor --fix --yes\n"
    )
    assert len(list(tmp_path.glob("dev-*"))) == 9
    examine._repair([check], [found], agreed=True)
    assert said().err.count("leftover data: removed ") == 9
    assert not list(tmp_path.glob("dev-*"))
    assert check.look() == ok("none")


def test_servers_of_a_checkout_that_is_gone(
    checkout: Checkout, new_checkout: Callable[[str], Checkout]
) -> None:
    lost = new_checkout("lost and gone")
    lost.run("up")
    state_of = {
        name: json.loads((lost.root / ".dev" / f"{name}.json").read_text())["pid"]
        for name in ("postgres", "aws")
    }
    home = (lost.root / ".dev" / "postgres").resolve()
    assert str(lost.root) not in look(checkout)["leftover servers"].reason
    shutil.rmtree(lost.root)
    found = look(checkout)
    assert found["leftover servers"].state == "note"
    for pid in state_of.values():
        assert (
            f"(pid {pid}) of {lost.root}, which no longer exists"
            in found["leftover servers"].reason
        )
    if os.geteuid() == 0:
        assert f"the folder {home} (" in found["leftover data"].reason
        assert found["leftover data"].fix == "./invoke doctor --fix"
    try:
        talk = checkout.run("doctor", "--fix").stderr
        for pid in state_of.values():
            assert f"(pid {pid}) of {lost.root}\n" in talk
            assert not runs(pid)
        assert str(lost.root) not in look(checkout)["leftover servers"].reason
        assert home.exists() == (os.geteuid() == 0)
    finally:
        if os.geteuid() == 0:
            shutil.rmtree(home)


def test_no_docker_is_no_failure_unless_it_is_needed(checkout: Checkout, tmp_path: Path) -> None:
    without = look(checkout, PATH=str(tmp_path))
    assert without["docker engine"] == Finding(
        "docker engine", "note", "there is no docker command; only the docker stack needs it"
    )
    needed = look(checkout, "--stack", "docker", expect=1, PATH=str(tmp_path))
    assert needed["docker engine"].state == "FAIL"
    assert needed["docker engine"].reason == "there is no docker command"
    assert needed["docker compose"].reason == "not checked: docker engine failed"


def test_the_docker_stack_and_containers_of_a_checkout_that_is_gone(
    engine: None, checkout: Checkout, new_checkout: Callable[[str], Checkout]
) -> None:
    checkout.run("setup", "--stack", "docker")
    try:
        found = look(checkout)
        assert not failed(found)
        assert found["docker engine"].state == "ok"
        assert found["docker images"].reason.startswith("amazon/dynamodb-local:")
        assert found["dynamodb"].state == found["dynamodb port"].state == "ok"
        other = new_checkout("other")
        project = state.identity(checkout.settings())
        shutil.move(checkout.root, f"{checkout.root}-moved")
        found = look(other)
        shutil.move(f"{checkout.root}-moved", checkout.root)
        assert (
            f" of {checkout.root}, which was deleted or moved"
            in found["leftover containers"].reason
        )
        assert f"{project}-postgres-1" in found["leftover containers"].reason
        assert f"{project}_postgres" in found["leftover containers"].reason
        assert found["leftover containers"].fix == "./invoke doctor --fix"
        assert docker("ps", "--quiet", "--filter", f"name={project}")
    finally:
        remove_containers(checkout.root)


def test_images_that_are_not_there(engine: None, checkout: Checkout) -> None:
    path = checkout.root / "docker-compose.yml"
    path.write_text(path.read_text().replace("postgres:18.6-alpine", "postgres:none-such"))
    found = look(checkout, "--stack", "docker")
    assert found["docker images"].reason == "not pulled yet: postgres:none-such"


def test_the_aws_stack_without_its_settings(checkout: Checkout) -> None:
    found = look(checkout, "--stack", "aws", expect=1)
    assert found["stack"].reason == "the stack aws needs the URL of its database"
    assert found["stack"].fix == "PROD_DATABASE_URL=postgresql://user:password@host:5432/database"
    assert found["aws target"] == replace(found["stack"], check="aws target")


def test_the_aws_stack_says_who_and_where(checkout: Checkout, linked: Settings) -> None:
    where = stacks.targets(linked)
    login = f"{where.database.user}:{where.database.password}"
    env: Any = {
        "PROD_DATABASE_URL": f"postgresql://{login}@127.0.0.1:{where.database.port}"
        f"/{where.database.name}?sslmode=disable",
        "AWS_ENDPOINT_URL": where.aws.endpoint or "",
        "AWS_ACCESS_KEY_ID": where.aws.access_key,
        "AWS_SECRET_ACCESS_KEY": where.aws.secret_key,
    }
    found = look(checkout, "--stack", "aws", **env)
    account = linked.emulator_account
    assert found["aws target"].reason.startswith(f"stack aws: account {account} as ")
    assert found["schema"].reason == (
        "loaded from sql/schema.sql; not compared: not a server of this checkout"
    )
    without = {name: value for name, value in env.items() if not name.startswith("AWS_")}
    nowhere = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(checkout.root)}
    found = look(checkout, "--stack", "aws", expect=1, **(without | nowhere))
    assert found["aws target"].state == "FAIL"
    assert found["aws target"].reason.startswith("no credentials for AWS us-east-1: ")


def test_it_ends_quietly_when_its_reader_has_gone(checkout: Checkout) -> None:
    command = f"exec {shlex.join(checkout.command('doctor', '--all'))} | head -1"
    done = subprocess.run(
        command, shell=True, cwd=checkout.root, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("note  ")
    assert "Traceback" not in done.stderr
