"""The data folder of the embedded PostgreSQL server: where it is, how it is created."""

import contextlib
import os
import pwd
import re
import shutil
import sys
import tempfile
from pathlib import Path
from shlex import quote

from scripts import shell, state
from scripts.errors import DevError
from scripts.settings import Settings
from scripts.stacks.embedded import postgres_programs
from scripts.stacks.embedded.postgres_programs import Programs
from scripts.targets import Database

# Where root's clusters live: Postgres runs as another user then, who may not enter our `.dev`.
# All folders are root's, but for the data itself: else that user could put links into our way.
SHARED_HOME = Path("/var/lib/dev-bootstrap")
UNPRIVILEGED = "nobody"


def user() -> str | None:
    """Postgres refuses to run as root: the user it runs as instead, None for ourselves."""
    return UNPRIVILEGED if os.geteuid() == 0 else None


def environment() -> dict[str, str]:
    """The server's surroundings: nothing of the user's, and messages in English."""
    return shell.minimal_environment() | {"LC_ALL": "C"}


def find_home(settings: Settings) -> Path | None:
    """All that there is of Postgres' data; None for a link that leads to another checkout's."""
    link = settings.state / "postgres"
    try:
        home = link.readlink()
    except OSError:  # no link, or one that we may not see
        return link
    former = state.find_former(settings)
    names = [state.identity(settings), *([state.identity_of(former)] if former else [])]
    return home if home.name.startswith(tuple(names)) else None


def erase(settings: Settings) -> None:
    """Remove the data, the link to it last: a kill between them leaves one that leads nowhere."""
    home, link = find_home(settings), settings.state / "postgres"
    if not home:
        return
    try:
        if home.is_dir():
            shutil.rmtree(home)
        if link.is_symlink():
            link.unlink()
    except OSError as error:
        raise state.not_writable(home, error) from None


def list_leftovers(settings: Settings) -> dict[Path, Path]:
    """The folders of root's clusters whose checkouts no longer exist, with their paths."""
    found = {}
    homes = SHARED_HOME.glob("dev-*") if os.geteuid() == 0 else []
    for home in sorted(homes, key=_find_time, reverse=True):
        root = state.find_origin(
            [home.name, f"{state.CHECKOUT}={state.read(home / state.CHECKOUT)}"]
        )
        # None: its path is unknown, or another one
        if root and home not in (_find_link(Settings(root)), _find_link(settings)):
            found[home] = root
    return found


def _find_time(home: Path) -> float:
    try:
        return home.stat().st_mtime
    except FileNotFoundError:  # another process removed it
        return 0.0


def _find_link(settings: Settings) -> Path | None:
    try:
        return (settings.state / "postgres").readlink()
    except OSError:
        return None


def adopt(settings: Settings, former: Path) -> None:
    """Name root's data after the present path of a checkout that was moved from `former`."""
    link, home = settings.state / "postgres", _find_link(settings)
    before, now = state.identity_of(former), state.identity(settings)
    if not home or home.parent != SHARED_HOME or not home.name.startswith(before):
        return
    moved = home.with_name(home.name.replace(before, now))
    if home.is_dir():
        home.rename(moved)
    draft = link.with_name("postgres.link")  # a kill leaves a link to either name
    draft.unlink(missing_ok=True)
    draft.symlink_to(moved)
    draft.replace(link)
    if moved.is_dir():
        _sign(moved, settings)


def list_drafts(settings: Settings) -> list[Path]:
    """What a start that was killed left beside the cluster."""
    home = find_home(settings)
    if not home:
        return []
    names = ("data.draft-*", "programs.draft", "password.draft")  # the last of earlier versions
    return [path for name in names for path in state.list_files(home, name)]


def ensure_home(settings: Settings) -> Path:
    """The folder of the cluster: `.dev/postgres`, as root a link to one that Postgres may enter."""
    link = state.ensure_folder(settings.state) / "postgres"
    if not user():
        return state.ensure_folder(link)
    if not link.exists():  # or it leads to where nothing is any more
        link.unlink(missing_ok=True)
        link.symlink_to(_make_shared_home(settings))
    home = find_home(settings)
    if not home:
        raise DevError(
            f"{link} points to {link.readlink()}, the data of another checkout",
            f"rm {quote(str(link))}",
        )
    _take_over(home, settings)
    return home


def _make_shared_home(settings: Settings) -> Path:
    if not SHARED_HOME.exists():
        SHARED_HOME.mkdir(parents=True)
        SHARED_HOME.chmod(0o755)  # whatever the umask
    home = Path(tempfile.mkdtemp(prefix=f"{state.identity(settings)}-", dir=SHARED_HOME))
    _sign(home, settings)
    home.chmod(0o711)
    return home


def _sign(home: Path, settings: Settings) -> None:
    state.write(home / state.CHECKOUT, str(settings.root.resolve()))


def _take_over(home: Path, settings: Settings) -> None:
    """Make a home of an earlier version root's, and remove what its owner put there."""
    opened = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(opened).st_uid == os.geteuid():
            return
        os.fchown(opened, os.geteuid(), os.getegid())
        os.fchmod(opened, 0o711)
    finally:
        os.close(opened)
    for path in home.iterdir():
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        elif path.name != "data":
            shutil.rmtree(path)
    _sign(home, settings)


def check_version(data: Path, programs: Programs) -> None:
    """Raise DevError where the data is of another major version than the programs."""
    found = _find_version(data)
    if found in (None, programs.major):
        return
    raise DevError(
        f"the data is of PostgreSQL {found}, and the programs are PostgreSQL {programs.major}:"
        f" {data}, {programs.folder}",
        f"set POSTGRES_HOME to PostgreSQL {found} (unset it if that is the embedded one)",
    )


def _find_version(data: Path) -> int | None:
    """The major version of the data; a link in the file's place is not followed."""
    try:
        opened = os.open(data / "PG_VERSION", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(opened, "rb") as file:
        found = re.match(rb"\d{1,3}", file.read(8))
    return int(found[0]) if found else None


def create(programs: Programs, data: Path, database: Database) -> None:
    """Make the cluster beside its place and move it there when it is whole."""
    _check_user()
    _check_path(programs.folder)
    _check_path(data)
    for old in data.parent.glob("data.draft-*"):  # of a killed run; its initdb may live on
        shutil.rmtree(old, ignore_errors=True)
    draft = data.with_name(f"data.draft-{os.getpid()}")
    draft.mkdir(mode=0o700)
    reading = _write_to_pipe(database.password)
    if owner := user():
        entry = shell.get_user(owner)
        os.chown(draft, entry.pw_uid, entry.pw_gid, follow_symlinks=False)
        with contextlib.suppress(OSError):  # where a system refuses, /dev/fd needs no permission
            os.fchown(reading, entry.pw_uid, entry.pw_gid)
    try:
        with postgres_programs.for_shell(programs) as folder:
            done = shell.run(
                [
                    *(folder / "initdb", "-D", draft, "-U", database.user, "-A", "scram-sha-256"),
                    *(f"--pwfile=/dev/fd/{reading}", "--no-sync", "--no-instructions"),
                    *_initdb_options(programs.major),
                ],
                env=environment(),
                user=owner,
                inherited=[reading],
            )
    finally:
        os.close(reading)
    if done.returncode:
        reason = _without_password(done.stderr, database.password)
        raise DevError(f"initdb failed: {reason}", "./invoke doctor")
    draft.replace(data)


def _check_user() -> None:
    """Raise DevError where initdb would not find out who we are."""
    number = os.geteuid()
    try:
        pwd.getpwuid(number)
    except KeyError:
        raise DevError(
            f"the user id {number} has no entry in /etc/passwd, which initdb requires",
            f"as root: useradd --uid {number} dev",
        ) from None


def _check_path(path: Path) -> None:
    """Raise DevError for a path that initdb cannot write into its tables."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise DevError(f"the path {path} is not UTF-8, as initdb requires", "rename it") from None


def _write_to_pipe(password: str) -> int:
    """A file descriptor from which the password is read: so it stands in no file and no argv."""
    reading, writing = os.pipe()
    os.write(writing, f"{password}\n".encode(errors="surrogateescape"))
    os.close(writing)
    return reading


def _initdb_options(major: int) -> list[str]:
    options = ["--encoding=UTF8"]
    if major >= 17:
        options += ["--locale-provider=builtin", "--locale=C.UTF-8"]
    else:  # the system's, which on macOS has none that sorts like it and knows UTF-8
        options += [f"--locale={'C' if sys.platform == 'darwin' else 'C.UTF-8'}"]
    return options


def _without_password(text: str, password: str) -> str:
    """What initdb printed, without the statement that sets the password, and without that."""
    lines = [line for line in text.splitlines() if line.strip() and "PASSWORD" not in line]
    return "\n".join(lines).replace(password, "***")
