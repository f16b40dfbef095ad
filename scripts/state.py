"""The checkout's own folder `.dev`: private files, and the name its servers are known by."""

import contextlib
import errno
import fcntl
import hashlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from shlex import quote
from typing import IO

from scripts.errors import DevError
from scripts.settings import Settings

LOCK_SECONDS = 300.0
FOLDER = ".dev"
CHECKOUT = "checkout"  # precedes a checkout's path in a server's arguments and in a file of `.dev`


def identity(settings: Settings) -> str:
    """A short name for this checkout, from its path; its servers carry it in their arguments.

    A copied checkout gets another one, so it never takes the original's servers for its own; and
    so does a temporary environment of this checkout.
    """
    return identity_of(_place(settings))


def identity_of(root: Path) -> str:
    """The short name of the checkout at this path."""
    return "dev-" + hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:12]


def origin(settings: Settings) -> str:
    """The checkout's path, as its servers carry it in their arguments, for `find_origin`."""
    return f"{CHECKOUT}={_place(settings).resolve()}"


def find_origin(words: Iterable[str]) -> Path | None:
    """The checkout named in a server's arguments, or None.

    The identity that stands beside the path proves it.
    """
    words = list(words)
    for word in words:
        _, found, path = word.partition(f"{CHECKOUT}=")
        if found and any(identity_of(Path(path)) in other for other in words):
            return Path(path)
    return None


def is_gone(root: Path) -> bool:
    """True if the path no longer contains a checkout; False if it cannot be read."""
    try:
        return not any((root / name).exists() for name in ("tasks.py", "app.toml", "lock"))
    except OSError:
        return False


def _place(settings: Settings) -> Path:
    """The folder that identifies this environment: the checkout, or a temporary one."""
    return settings.state if settings.throwaway else settings.root


def ensure_folder(path: Path) -> Path:
    """Create a folder that only the user can enter. DevError if it is another user's."""
    try:
        if not path.parent.exists():
            ensure_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        check_owner(path)
        path.chmod(0o700)
        ignored = path.name != FOLDER or (path / ".gitignore").exists()
    except OSError as error:
        raise not_writable(path, error) from None
    if not ignored:
        with contextlib.suppress(DevError):  # on a full disk there are no keys to write either
            write(path / ".gitignore", "*\n")
    return path


def check_owner(path: Path) -> None:
    """Raise DevError for what belongs to another user."""
    if path.stat().st_uid != os.geteuid():
        raise _foreign(path)


def read(path: Path) -> str | None:
    """The text of a file of `.dev`, None if it does not exist."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise not_readable(path, error) from None


def read_secret(path: Path, fix: str) -> str | None:
    """The text of a secret file, None if there is none. `fix` is for one that others can read."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(opened, encoding="utf-8", errors="replace") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise (not_writable if error.errno == errno.ELOOP else not_readable)(path, error) from None
    if mode & 0o077:
        raise DevError(
            f"{path} is secret, and other users can read it (mode {mode & 0o777:o})", fix
        )
    return text


def open_file(path: Path, flags: int) -> int:
    """Open a file of `.dev`, created with mode 0600; a symbolic link is not followed."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise not_writable(path, error) from None


def write(path: Path, text: str, locked: bool = False) -> None:
    """Write a file of mode 0600, whole or not at all; `locked`: until this process ends."""
    draft = path.with_name(f"{path.name}.{threading.get_ident()}.{os.getpid()}.tmp")
    opened = open_file(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        with os.fdopen(opened, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            if locked:
                _try_lock(os.dup(opened))  # the copy stays open
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise not_writable(path, error) from None


def make_held_folder(parent: Path, name: str) -> None:
    """Create a folder locked by this process."""
    draft = Path(tempfile.mkdtemp(prefix=".", dir=ensure_folder(parent)))
    hold(draft)
    draft.rename(parent / name)


def hold(folder: Path) -> bool:
    """Hold a folder until this process ends. False where another one does, or has removed it."""
    try:
        held = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return False
    if not _try_lock(held):
        os.close(held)
        return False
    return True


@contextlib.contextmanager
def lock(settings: Settings, command: str, say: Callable[[str], None]) -> Iterator[None]:
    """Keep other pipelines of this checkout out; the kernel lets go when the process ends.

    Waits for the one that runs, and says for whom. Raises DevError after LOCK_SECONDS.
    """
    path = ensure_folder(settings.state) / "lock"
    check_claim(settings)
    opened = open_file(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    with os.fdopen(opened, "a+", errors="replace") as file:
        deadline = time.monotonic() + LOCK_SECONDS
        failed = 0
        while not _try_lock(file):
            failed += 1
            file.seek(0)
            holder = file.read() or "another command"
            if time.monotonic() > deadline:
                raise DevError(
                    f"{holder} is still running after {LOCK_SECONDS:.0f} s", "wait for it"
                )
            if failed == 2:  # not the first: it may be `find_lock_holder` that asked
                say(f"waiting for {holder} ...")
            time.sleep(0.05)
        with contextlib.suppress(OSError):  # only those who wait read it; a disk may be full
            file.truncate(0)
            os.write(file.fileno(), os.fsencode(f"./invoke {command} (pid {os.getpid()})"))
        yield


def find_lock_holder(settings: Settings) -> str | None:
    """The command that holds the lock now, None where it is free."""
    holder = read_locked(settings.state / "lock")
    return None if holder is None else holder or "another command"


def read_locked(path: Path) -> str | None:
    """The text of a file that a running process has locked, else None."""
    try:
        file = path.open(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise not_readable(path, error) from None
    with file:
        free = _try_lock(file, fcntl.LOCK_SH)  # shared: two who ask do not see each other
        return None if free else file.read()


def list_files(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder whose names match, in order; [] where there is no folder."""
    try:
        return sorted(folder.glob(pattern))
    except OSError as error:
        raise not_readable(folder, error) from None


def count_bytes(folder: Path) -> int:
    """The size of all files below a folder, also while others are written and removed there."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += Path(place, name).lstat().st_size
    return total


def list_drafts(folder: Path) -> list[Path]:
    """Drafts that `write` left in a folder when it was killed."""
    return [path for path in list_files(folder, "*.*.tmp") if not _is_being_written(path)]


def _is_being_written(draft: Path) -> bool:
    pid = draft.name.split(".")[-2]
    return pid.isdecimal() and is_alive(int(pid))


def is_alive(pid: int) -> bool:
    """Is there a process of this id?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _try_lock(file: IO[str] | int, how: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def not_writable(path: Path, error: OSError) -> DevError:
    """The DevError for a file or folder that could not be written."""
    if error.errno == errno.ELOOP:  # what O_NOFOLLOW says
        return DevError(
            f"{path} is a symbolic link, which is not followed", f"rm {quote(str(path))}"
        )
    return DevError(
        f"{path} cannot be written: {error.strerror}", "check its owner, permissions and free space"
    )


def remember_stack(settings: Settings) -> None:
    """Keep the stack that a flag chose, for the commands that follow."""
    if settings.source("stack") == "flag":
        ensure_folder(settings.state)
        write(settings.remembered_stack, settings.stack)


def find_remembered_stack(settings: Settings) -> str | None:
    """The stack that was chosen with --stack last, None since the last `down`."""
    return (read(settings.remembered_stack) or "").strip() or None


def forget_stack(settings: Settings) -> None:
    """Go back to the default, where this stack is the one remembered."""
    if find_remembered_stack(settings) == settings.stack:
        settings.remembered_stack.unlink()


def check_claim(settings: Settings) -> None:
    """Raise DevError where a link leads `.dev` to another checkout's; else write down our path.

    The path of a checkout that was moved is replaced by `claim`, once the move is complete.
    """
    folder, root = settings.throwaways.parent, settings.root.resolve()
    for place in {folder, folder.resolve()}:
        _check_untracked(place)
    if read(folder / CHECKOUT) == str(root) or find_former(settings):
        return
    owner = _find_owner(folder)
    if owner and owner != root and (owner / folder.name).resolve() == folder.resolve():
        raise DevError(
            f"{folder} is the folder of another checkout, {owner}: both would write the same data",
            f"rm {quote(str(folder))}",
        )
    claim(settings)


def claim(settings: Settings) -> None:
    """Write the path of the checkout into its `.dev`."""
    with contextlib.suppress(DevError):  # a full disk is said by what needs it
        write(settings.throwaways.parent / CHECKOUT, str(settings.root.resolve()))


def find_former(settings: Settings) -> Path | None:
    """The path from which this checkout was moved, until `claim`; None if it was not."""
    folder = settings.throwaways.parent  # root's data has the path, too
    written = read(folder / CHECKOUT) or read(folder / "postgres" / CHECKOUT)
    moved = written and written != str(settings.root.resolve()) and is_gone(Path(written))
    return Path(written) if written and moved else None


def _check_untracked(folder: Path) -> None:
    """Raise DevError for a file of `.dev` in a repository: who has that, has the keys."""
    # Neither a hook's own variables nor the repository's settings lead git elsewhere.
    environ = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    options = ["-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C", str(folder.parent)]
    with contextlib.suppress(OSError):  # no git
        done = subprocess.run(
            ["git", *options, "ls-files", "-z", "--", folder.name],  # noqa: S607
            env=environ,
            capture_output=True,
            check=False,
        )
        if tracked := done.stdout.partition(b"\0")[0]:
            place, name, path = (quote(str(one)) for one in (folder.parent, folder.name, folder))
            raise DevError(
                f"git tracks {folder.parent / os.fsdecode(tracked)}:"
                " everybody with the repository has the keys",
                f"git -C {place} rm -r --quiet --cached {name} && rm -f {path}/aws-key"
                f" && chmod -R go= {path}",
            )


def _find_owner(folder: Path) -> Path | None:
    if written := read(folder / CHECKOUT):
        return Path(written)
    real = folder.resolve()  # of an earlier version, that did not write it down
    return real.parent if real.name == folder.name and not is_gone(real.parent) else None


def not_readable(path: Path, error: OSError) -> DevError:
    """The DevError for a file that could not be read."""
    if isinstance(error, PermissionError):
        return _foreign(path)
    return DevError(f"{path} cannot be read: {error.strerror}", move_aside(path))


def move_aside(path: Path) -> str:
    """The command that keeps a damaged file or folder under another name."""
    return f"mv {quote(str(path))} {quote(f'{path}.damaged')}"


def _foreign(path: Path) -> DevError:
    return DevError(f"{path} belongs to another user", "make a clone of your own")
