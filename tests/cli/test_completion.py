"""Completion of `./invoke`, in the real shells: what a TAB makes of the words before it."""

import contextlib
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from scripts.cli import completion
from scripts.errors import DevError
from tests.conftest import PROJECT, Checkout, clean_environment

START = {"bash": ["bash", "--noprofile", "-i"], "zsh": ["zsh", "-d", "-i"], "fish": ["fish", "-i"]}
STARTUP = {"bash": ".bashrc", "zsh": ".zshrc"}
LAUNCHER = f'#!/bin/sh\nexec "{sys.executable}" "${{0%/*}}/tasks.py" "$@"\n'


@pytest.fixture(params=completion.SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    """A shell. A skip where it is not installed, or a failure where REQUIRE_SHELLS is set."""
    if not shutil.which(request.param):
        (pytest.fail if os.environ.get("REQUIRE_SHELLS") else pytest.skip)(f"no {request.param}")
    return str(request.param)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "my home"
    folder.mkdir()
    return folder


@pytest.fixture
def project(new_checkout: Callable[[str], Checkout]) -> Path:
    """A checkout whose ./invoke uses the Python of these tests."""
    root = new_checkout("my project").root
    (root / "invoke").write_text(LAUNCHER)
    (root / "invoke").chmod(0o755)
    return root


def surroundings(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in clean_environment().items() if "XDG" not in name}
    return kept | {"HOME": str(home), "TERM": "xterm", "ZDOTDIR": str(home)}


def install(checkout: Path, shell: str, home: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "tasks.py", "completion", "--install"],
        cwd=checkout,
        env=surroundings(home) | {"SHELL": f"/usr/bin/{shell}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def press_tab(shell: str, home: Path, folder: Path, line: str) -> str:
    """What stands on a shell's line after a TAB behind `line`."""
    if shell == "fish":  # it says so itself; its line editor wants a whole terminal
        words = ["fish", "-c", "complete --do-complete $argv[1]", line]
        answers = subprocess.check_output(words, cwd=folder, env=surroundings(home), text=True)
        (only,) = answers.splitlines() or [""]
        return f"{line.rpartition(' ')[0]} {only.partition(chr(9))[0]}"
    return _type(START[shell], surroundings(home), folder, line)


def _type(argv: list[str], env: Mapping[str, str], folder: Path, line: str) -> str:
    process, terminal = pty.fork()
    if not process:
        os.chdir(folder)
        os.execvpe(argv[0], argv, dict(env))
    try:
        _read(terminal, "$ |% |# ")
        os.write(terminal, b"PS1='ready> '\n")
        _read(terminal, r"ready> (\x1b\S*)*$")
        os.write(terminal, f"{line}\t".encode())
        _read(terminal, re.escape(line))
        time.sleep(1.5)  # a TAB that completes nothing gives no sign of its end
        os.write(terminal, b'\x01echo "<\x05>"\n')  # at the line's start, and at its end
        seen = _read(terminal, r"[\r\n]<[^>]*>\r\n")
    finally:
        os.close(terminal)
        os.waitpid(process, 0)
    return str(re.findall(r"[\r\n]<([^>]*)>\r\n", seen)[-1]).strip()


def _read(terminal: int, until: str) -> str:
    seen, deadline = "", time.monotonic() + 20
    while not re.search(until, seen):
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 0.1)[0]:
            with contextlib.suppress(OSError):
                seen += os.read(terminal, 65536).decode(errors="replace")
    return seen


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("./invoke stat", "./invoke status"),
        ("./invoke --ver", "./invoke --version"),
        ("./invoke setup --sta", "./invoke setup --stack"),
        ("./invoke up ddb.patterns.sen", "./invoke up ddb.patterns.send-message"),
        ("./invoke db.load sql/sch", "./invoke db.load sql/schema.sql"),
    ],
)
def test_a_tab_completes_tasks_options_and_files(
    shell: str, home: Path, project: Path, line: str, completed: str
) -> None:
    install(project, shell, home)
    assert press_tab(shell, home, project, line) == completed


def test_a_program_of_the_same_name_elsewhere_is_not_run(
    shell: str, home: Path, project: Path, tmp_path: Path
) -> None:
    install(project, shell, home)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "status.txt").touch()
    (elsewhere / "invoke").write_text("#!/bin/sh\ntouch ran\n")
    (elsewhere / "invoke").chmod(0o755)
    assert press_tab(shell, home, elsewhere, "./invoke stat") == "./invoke status.txt"
    assert not (elsewhere / "ran").exists()


def test_a_tab_before_the_installation_installs_nothing(tmp_path: Path) -> None:
    for name in ("invoke", "requirements.txt", "tasks.py"):
        shutil.copy(PROJECT / name, tmp_path / name)
    done = subprocess.run(
        [tmp_path / "invoke", "--complete", "--", "invoke", ""], capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("shell", STARTUP)
def test_installing_says_what_changes_and_how_to_undo_it(
    shell: str, home: Path, project: Path
) -> None:
    startup = home / STARTUP[shell]
    startup.write_text("alias a=b")
    script = f"{home}/.config/dev-bootstrap/invoke.{shell}"
    line = f"[ ! -r '{script}' ] || . '{script}'"
    undo = [
        f"to undo: rm '{script}', and delete that line of {startup}",
        f"it works in every new {shell}",
    ]
    assert install(project, shell, home) == [
        f"done  {script} written",
        f"done  {startup} reads it, by the line: {line}",
        *undo,
    ]
    assert startup.read_text() == f"alias a=b\n{line}\n"
    assert install(project, shell, home) == [
        f"same  {script}",
        f"same  {startup} reads it",
        *undo,
    ]
    assert startup.read_text() == f"alias a=b\n{line}\n"


def test_without_install_it_prints_the_script(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "tasks.py", "completion", "--shell", shell],
        cwd=PROJECT, env=clean_environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (completion.script(shell), "")
    assert subprocess.run([shell, "-n"], input=done.stdout, text=True).returncode == 0


def test_another_shell_is_named() -> None:
    with pytest.raises(DevError) as caught:
        completion.choose_shell("", {"SHELL": "/bin/tcsh"})
    assert caught.value.message == "SHELL=/bin/tcsh is none of bash, zsh, fish\nhint: --shell bash"
