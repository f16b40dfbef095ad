"""Completion of `./invoke` in the user's shell: its script, and where to install it."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from scripts import state
from scripts.errors import DevError

SHELLS = ("bash", "zsh", "fish")
_SCRIPTS = Path(__file__).parent / "completions"


def choose_shell(name: str, environ: Mapping[str, str]) -> str:
    """The named shell, else the user's own. Raises DevError for one without completion."""
    shell = name or Path(environ.get("SHELL", "")).name
    if shell not in SHELLS:
        said = f"--shell {shell}" if name else f"SHELL={environ.get('SHELL', '')}"
        raise DevError(f"{said} is none of {', '.join(SHELLS)}", f"--shell {SHELLS[0]}")
    return shell


def script(shell: str) -> str:
    """The shell's completion script."""
    return (_SCRIPTS / f"invoke.{shell}").read_text(encoding="utf-8")


def install(shell: str, environ: Mapping[str, str]) -> list[str]:
    """Install the script for the shell; lines about what changed, and how to undo it.

    The script is a file of its own; bash and zsh get a line in their start-up file that reads it.
    """
    home = Path(environ.get("HOME", "~")).expanduser()
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    if shell == "fish":
        place, startup = config / "fish" / "conf.d" / "invoke.fish", None
    else:
        place = config / "dev-bootstrap" / f"invoke.{shell}"
        startup = home / ".bashrc" if shell == "bash" else _zsh_home(home, environ) / ".zshrc"
    lines = [_write(place, script(shell))]
    undo = f"to undo: rm {shlex.quote(str(place))}"
    if startup:
        quoted = shlex.quote(str(place))
        lines.append(_ensure_line(startup, f"[ ! -r {quoted} ] || . {quoted}"))
        undo += f", and delete that line of {startup}"
    return [*lines, undo, f"it works in every new {shell}"]


def _zsh_home(home: Path, environ: Mapping[str, str]) -> Path:
    return Path(environ.get("ZDOTDIR") or home)


def _write(path: Path, text: str) -> str:
    if _read(path) == text:
        return f"same  {path}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise state.not_writable(path, error) from None
    return f"done  {path} written"


def _ensure_line(path: Path, line: str) -> str:
    """Append the line if it is missing; the rest of the user's file is not changed."""
    before = _read(path)
    if line in before.splitlines():
        return f"same  {path} reads it"
    start = "" if not before or before.endswith("\n") else "\n"
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{start}{line}\n")
    except OSError as error:
        raise state.not_writable(path, error) from None
    return f"done  {path} reads it, by the line: {line}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise DevError(f"{path} cannot be read: {error.strerror}", "check its owner") from None
