"""Damaged, foreign and overgrown files of `.dev`: said, tolerated or cut, never followed."""

import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import state
from scripts.errors import DevError
from scripts.stacks import processes
from tests.conftest import Checkout
from tests.stacks.test_embedded import states

RECORDS = ['{"pid": 1, "port": -5}', '{"pid": 1, "port": "x"}', f'{{"pid": {2**70}, "port": 5439}}']


@pytest.mark.parametrize("service", ["postgres", "aws"])
@pytest.mark.parametrize("text", [*RECORDS, '{"pid": true, "port": 70000}', "[" * 100_000])
def test_a_record_that_cannot_be_is_none(checkout: Checkout, service: str, text: str) -> None:
    folder = checkout.root / ".dev"
    folder.mkdir(mode=0o700)
    (folder / f"{service}.json").write_text(text)
    assert states(checkout)[service] == "down"
    checkout.run("env", expect=1)
    checkout.run("setup")


def test_a_stopped_server_is_started_on_the_port_it_had(checkout: Checkout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    record = checkout.root / ".dev" / "aws.json"
    checkout.run("up", "aws", env={"AWS_EMULATOR_PORT": str(port)})
    checkout.run("down", "aws")
    assert json.loads(record.read_text()) == {"port": port}
    checkout.run("up", "aws")
    assert json.loads(record.read_text())["port"] == port


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a\0b", b"a\nb", b"\xc3"])
def test_a_damaged_password_is_named_and_replaced(checkout: Checkout, content: bytes) -> None:
    checkout.run("setup")
    path = checkout.root / ".dev" / "password"
    path.write_bytes(content)
    checkout.run("status", expect=1)
    talk = checkout.run("up", expect=1).stderr
    assert f"{path} contains no password; it is damaged\n      hint: rm {path}\n" in talk
    path.unlink()
    assert "set the password of postgres (the default settings)" in checkout.run("up").stderr
    assert path.read_text().encode() != content
    checkout.run("check")


@pytest.mark.parametrize(
    ("name", "command", "reason"),
    [
        ("lock", "up", "cannot be written: Is a directory"),
        ("lock", "doctor", "cannot be read: Is a directory"),
        ("aws.log", "up", "cannot be written: Is a directory"),
        ("aws.log", "logs", "cannot be read: Is a directory"),
        ("postgres.json", "status", "cannot be read: Is a directory"),
        ("password", "status", "cannot be read: Is a directory"),
    ],
)
def test_a_folder_in_place_of_a_file_is_said(
    checkout: Checkout, name: str, command: str, reason: str
) -> None:
    path = checkout.root / ".dev" / name
    path.mkdir(mode=0o700, parents=True)
    path.parent.chmod(0o700)
    done = checkout.run(command, expect=1)
    assert f"{path} {reason}" in done.stderr + done.stdout
    path.rmdir()


def test_a_folder_among_the_records_of_runs_is_passed_over(checkout: Checkout) -> None:
    for number in range(25):
        (checkout.root / ".dev" / "runs" / f"2020-{number:02}.jsonl").mkdir(0o700, parents=True)
    checkout.run("up")
    assert "up" in checkout.run("timeline").stdout


@pytest.mark.parametrize("name", ["lock", "aws.log", "postgres.log"])
def test_a_link_in_place_of_a_file_is_not_followed(
    checkout: Checkout, tmp_path: Path, name: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    victim.chmod(0o644)
    path = checkout.root / ".dev" / name
    path.parent.mkdir(mode=0o700)
    path.symlink_to(victim)
    talk = checkout.run("up", expect=1).stderr
    assert f"{path} is a symbolic link, which is not followed\n" in talk
    assert f"hint: rm {path}\n" in talk
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("mine", 0o644)


def test_a_link_in_place_of_a_draft_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    draft = tmp_path / f"file.{threading.get_ident()}.{os.getpid()}.tmp"
    draft.symlink_to(victim)
    with pytest.raises(DevError) as caught:
        state.write(tmp_path / "file", "new")
    assert caught.value.message == (
        f"{draft} is a symbolic link, which is not followed\nhint: rm {draft}"
    )
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("through", ["the other's folder", "a third place"])
def test_the_folder_of_another_checkout_is_refused(
    new_checkout: Callable[[str], Checkout], tmp_path: Path, through: str
) -> None:
    first, second = new_checkout("first"), new_checkout("second")
    shared = first.root / ".dev"
    if through == "a third place":
        (tmp_path / "place").mkdir(mode=0o700)
        shared.symlink_to(tmp_path / "place")
    first.run("setup")
    link = second.root / ".dev"
    link.symlink_to(shared.resolve())
    said = (
        f"{link} is the folder of another checkout, {first.root}: both would write the same data\n"
        f"hint: rm {link}\n"
    )
    assert second.run("up", expect=1).stderr == said
    assert second.run("down", "--volumes", "--yes", expect=1).stderr.endswith(said)
    found = json.loads(second.run("doctor", "--json", expect=1).stdout)
    wrong = next(one for one in found if one["check"] == "state folder")
    assert f"{wrong['reason']}\nhint: {wrong['fix']}\n" == said
    first.run("check")
    link.unlink()
    second.run("setup")


def test_a_folder_elsewhere_may_be_ones_own(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "place").mkdir(mode=0o700)
    (checkout.root / ".dev").symlink_to(tmp_path / "place")
    checkout.run("setup")
    checkout.run("down")
    moved = Checkout(checkout.root.with_name("moved"))
    checkout.root.rename(moved.root)
    try:
        assert moved.run("up", "--plan").stdout
        moved.run("check", expect=1)
        assert (tmp_path / "place" / "checkout").read_text() == str(moved.root)
        moved.run("up")
        moved.run("check")
        moved.run("down", "--volumes", "--yes")
    finally:
        moved.root.rename(checkout.root)


def git(folder: Path, *words: str) -> str:
    options = ["-c", "user.name=me", "-c", "user.email=me@x.org", "-C", str(folder)]
    done = subprocess.run(["git", *options, *words], check=True, capture_output=True, text=True)
    return done.stdout


def test_git_stages_no_key_and_removes_a_worktree(checkout: Checkout, tmp_path: Path) -> None:
    git(checkout.root, "init", "--quiet")
    git(checkout.root, "add", "app.toml", "sql", "ddb")
    git(checkout.root, "commit", "--quiet", "--message=app")
    checkout.run("up", "aws")
    git(checkout.root, "add", "--all")
    assert ".dev" not in git(checkout.root, "ls-files")
    tree = tmp_path / "tree"
    git(checkout.root, "worktree", "add", "--quiet", str(tree))
    checkout.run("up", "aws", env={"DEV_APP": str(tree)})
    checkout.run("down", env={"DEV_APP": str(tree)})
    assert (tree / ".dev" / "aws-key").exists()
    git(checkout.root, "worktree", "remove", str(tree))
    assert not tree.exists()


@pytest.mark.parametrize("name", ["aws-key", "password"])
def test_a_secret_that_others_can_read_is_refused(checkout: Checkout, name: str) -> None:
    checkout.run("setup")
    path = checkout.root / ".dev" / name
    path.chmod(0o640)
    fix = {"aws-key": f"rm {path} && ./invoke up", "password": f"chmod 600 {path}"}[name]
    said = f"{path} is secret, and other users can read it (mode 640)\nhint: {fix}\n"
    assert checkout.run("env", expect=1).stderr == said
    assert checkout.run("setup", expect=1).stderr == said
    shell = fix.replace("./invoke", " ".join(checkout.command()))
    subprocess.run(shell, shell=True, cwd=checkout.root, check=True, stdout=subprocess.DEVNULL)
    checkout.run("check")


@pytest.mark.parametrize("through", ["the folder", "a link", "a link that is tracked itself"])
def test_files_that_git_tracks_are_refused(
    checkout: Checkout, tmp_path: Path, through: str
) -> None:
    folder, where = checkout.root / ".dev", checkout.root
    if through == "a link":
        where = tmp_path / "elsewhere"
        (where / "it's").mkdir(0o700, parents=True)
        folder.symlink_to(where / "it's")
    elif through == "a link that is tracked itself":
        (tmp_path / "place").mkdir(0o700)
        folder.symlink_to(tmp_path / "place")
    checkout.run("up", "aws")
    git(where, "init", "--quiet")
    git(where, "add", "--force", ".dev" if where == checkout.root else "it's")
    done = checkout.run("up", expect=1)
    first, hint = done.stderr.splitlines()
    assert first.startswith(f"git tracks {where}/")
    assert first.endswith(": everybody with the repository has the keys")
    found = json.loads(checkout.run("doctor", "--json", expect=1).stdout)
    assert first in [one["reason"] for one in found]
    subprocess.run(hint.removeprefix("hint: "), shell=True, check=True)
    checkout.run("setup")
    assert git(where, "ls-files") == ""


def test_a_log_that_grew_is_cut_while_its_server_writes_it(checkout: Checkout) -> None:
    checkout.run("up")
    log = checkout.root / ".dev" / "postgres.log"
    with log.open("a") as file:
        for number in range(processes.LOG_LIMIT // 100 + 1):
            file.write(f"{number:099}\n")
    checkout.run("up")
    lines = log.read_text().splitlines()
    assert lines[-1] == f"{processes.LOG_LIMIT // 100:099}"
    assert {len(line) for line in lines} == {99}
    assert processes.LOG_KEPT - 200 < log.stat().st_size <= processes.LOG_KEPT
    checkout.run("down")
    assert log.read_text().splitlines()[-1].endswith("database system is shut down")


def test_a_short_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "aws.log"
    log.write_text("x" * processes.LOG_LIMIT)
    processes.trim_logs(tmp_path)
    assert log.stat().st_size == processes.LOG_LIMIT


def test_following_goes_on_after_a_cut(checkout: Checkout) -> None:
    checkout.run("up")
    following = checkout.start("logs", "postgres", "--follow")
    assert following.stdout
    following.stdout.readline()
    with (checkout.root / ".dev" / "postgres.log").open("a") as file:
        file.write("x" * processes.LOG_LIMIT + "\nfilled\n")
    while following.stdout.readline() != "postgres | filled\n":
        pass
    checkout.run("up")
    checkout.run("down")
    rest, _ = following.communicate(timeout=30)
    assert "database system is shut down" in rest
    assert following.returncode == 0
