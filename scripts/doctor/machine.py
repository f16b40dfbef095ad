"""What doctor checks about this machine and this checkout: no service, no data."""

import contextlib
import os
import platform
import re
import shutil
import signal
import sys
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

import psutil

from scripts import clients, state
from scripts.engine.checks import Check, Finding, fail, note, ok
from scripts.errors import DevError, count
from scripts.settings import ROOT, Settings
from scripts.stacks import ports, processes

LEAST_FREE = 500_000_000  # bytes; a fresh environment needs a tenth of it
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ \\;]+)( ;)?", re.M)
_REINSTALL = "rm -r .venv && ./invoke --version (installs the packages again)"


def checks(settings: Settings) -> list[Check]:
    """Python, its packages, the disk, the files in `.dev`, leftover servers."""
    return [
        Check("python", _python),
        Check("requirements", _requirements),
        Check("disk", partial(_disk, settings)),
        Check("state folder", partial(_state_folder, settings), repair=partial(_open, settings)),
        Check("web port", partial(port, settings, "web_port", None)),
        Check("lock", partial(_lock, settings)),
        Check("unfinished files", partial(_drafts, settings), repair=partial(_clear, settings)),
        Check("leftover servers", _leftovers, repair=_stop_leftovers),
        Check("redirected calls", _redirects),
    ]


def list_settings(settings: Settings) -> list[Check]:
    """Each setting's value, hidden if it is secret, and where it came from."""
    from scripts.settings import declared

    def look(name: str, secret: bool) -> Finding:
        value = getattr(settings, name)
        shown = ("set, hidden" if value else "not set") if secret else value
        source = settings.describe_source(name) or "default"
        return Finding("", "set", f"{shown if value != '' else 'not set'} ({source})")

    return [
        Check(field.metadata["variable"], partial(look, field.name, field.metadata["secret"]))
        for field in declared()
    ]


def port(settings: Settings, setting: str, ours: int | None) -> Finding:
    """Is the port of a setting free? `ours` is the port of the running service."""
    wanted = getattr(settings, setting)
    elsewhere = f"; this checkout uses {ours}" if ours and ours != wanted else ""
    if ours == wanted:
        return ok(f"{wanted} is used by this checkout")
    if ports.is_free(wanted):
        return ok(f"{wanted} is free{elsewhere}")
    holder = ports.holder(wanted)
    if ports.find_pinned(settings, setting):
        taken = ports.taken(settings, setting, holder)
        return fail(taken.reason, taken.hint)
    return ok(f"{wanted} is in use by {holder}{elsewhere or '; the next free port will be used'}")


def _python() -> Finding:
    version = f"{platform.python_version()} in {sys.prefix}"
    if Path(sys.prefix).resolve() != (ROOT / ".venv").resolve():
        return note(f"{version}, not in this checkout's .venv", "use ./invoke")
    return ok(version)


def _requirements() -> Finding:
    """Are the pinned packages installed? One for another system may be missing."""
    text = state.read(ROOT / "requirements.txt")
    if text is None:
        raise DevError(
            "there is no requirements.txt", "git show HEAD:requirements.txt > requirements.txt"
        )
    pins = _PIN.findall(text)
    wrong = []
    for name, version, elsewhere in pins:
        installed = _find_version(name)
        if installed != version and not (elsewhere and installed is None):
            wrong.append(f"{name} {installed or 'is missing'}, required: {version}")
    if wrong:
        return fail("\n".join(wrong), _REINSTALL)
    return ok(f"{count(len(pins), 'package')} as pinned in requirements.txt")


def _find_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _disk(settings: Settings) -> Finding:
    """The free space for `.dev`, and for Postgres' data, which root has elsewhere."""
    places = [settings.root]
    with contextlib.suppress(OSError):  # there is none, or it is another user's
        places.append((settings.state / "postgres").resolve(strict=True))
    free, place = min((shutil.disk_usage(place).free, place) for place in places)
    shown = f"{free / 1e9:.1f} GB free in {place}"
    if free < LEAST_FREE:
        return fail(f"only {shown}", f"free at least {LEAST_FREE / 1e9:.1f} GB")
    return ok(shown)


def _state_folder(settings: Settings) -> Finding:
    folder = settings.state
    if not folder.exists():
        return note(f"{folder} does not exist yet", "./invoke setup")
    state.check_owner(folder)
    state.check_claim(settings)
    if not os.access(folder, os.W_OK | os.X_OK):
        return fail(f"{folder} is not writable", "./invoke doctor --fix")
    return ok(str(folder))


def _open(settings: Settings) -> list[str]:
    if not settings.state.exists():
        return []
    return [f"{state.ensure_folder(settings.state)} is writable now"]


def _lock(settings: Settings) -> Finding:
    if holder := state.find_lock_holder(settings):
        return note(f"held by {holder}", "wait for it")
    return ok("free")


def _list_drafts(settings: Settings) -> list[Path]:
    return [
        draft
        for place in (settings.state, settings.state / "runs")
        for draft in state.list_drafts(place)
    ]


def _drafts(settings: Settings) -> Finding:
    drafts = _list_drafts(settings)
    if drafts:
        names = ", ".join(draft.name for draft in drafts)
        return note(f"a command was killed while writing {names}", "./invoke doctor --fix")
    return ok("none")


def _clear(settings: Settings) -> list[str]:
    drafts = _list_drafts(settings)
    for draft in drafts:
        draft.unlink(missing_ok=True)
    return [f"removed {draft}" for draft in drafts]


@dataclass(frozen=True)
class _Leftover:
    """A server that this tool started for a checkout that no longer exists."""

    process: psutil.Process
    name: str
    parent: int
    root: Path

    def __str__(self) -> str:
        return f"{self.name} (pid {self.process.pid}) of {self.root}"


def _list_leftovers() -> list[_Leftover]:
    """The servers of checkouts that no longer exist, without their new children."""
    found = {}
    for process in psutil.process_iter():  # its `info` would be shared with parallel checks
        with contextlib.suppress(psutil.Error):
            root = state.find_origin(process.cmdline())
            if root and state.is_gone(root) and _sees_our_files(process):
                leftover = _Leftover(process, process.name(), process.ppid(), root)
                found[process.pid] = leftover
    return [one for one in found.values() if one.parent not in found]


def _sees_our_files(process: psutil.Process) -> bool:
    """Does it have our file system, not a container's, in which its checkout may exist?"""
    try:
        theirs, ours = (Path(f"/proc/{pid}/ns/mnt").readlink() for pid in (process.pid, "self"))
    except FileNotFoundError:  # a system without containers of this kind
        return not Path("/proc/self").exists()
    except OSError:  # another user's
        return False
    return theirs == ours


def _leftovers() -> Finding:
    lines = [f"{one}, which no longer exists" for one in _list_leftovers()]
    return note("\n".join(lines), "./invoke doctor --fix (stops them)") if lines else ok("none")


def _stop_leftovers() -> list[str]:
    """Postgres is stopped gracefully: its data may still exist. An emulator's is gone."""
    done = []
    for one in _list_leftovers():
        processes.end(one.process, signal.SIGINT if one.name == "postgres" else signal.SIGKILL)
        done.append(f"stopped {one}")
    return done


def _redirects() -> Finding:
    found = clients.list_redirects()
    if not found:
        return ok(f"none: {clients.REDIRECT} is not set")
    names = [redirect.partition("=")[0] for redirect in found]
    shown = "\n".join([*found, "redirects calls to AWS"])
    return note(shown, f"unset {' '.join(names)}")
