"""A PostgreSQL server of this checkout's own: its cluster, its start, its health."""

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import psutil

from scripts import clients, shell, state
from scripts.errors import DevError
from scripts.settings import Settings
from scripts.stacks import processes
from scripts.targets import Database

# Where root's clusters live: Postgres runs as another user then, who may not enter our `.dev`.
SHARED_HOME = Path("/var/lib/dev-bootstrap")
UNPRIVILEGED = "nobody"
ORPHAN_SECONDS = 10.0
PORT_SETTING = "postgres_port"
# What a throw-away cluster is made with: after a crash of the machine nobody wants it back.
UNSAFE = (
    *("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"),
    *("-c", "wal_level=minimal", "-c", "max_wal_senders=0"),
)


def server(settings: Settings) -> processes.Server:
    """The server's process. SIGINT is Postgres' fast shutdown: it does not wait for clients."""
    marker = f"cluster_name={state.identity(settings)}"
    return processes.Server("postgres", settings.state, marker, signal.SIGINT)


def start(settings: Settings, database: Database) -> int:
    """Start the server, its cluster made first where there is none; its port.

    `database` is any database of the server, with the superuser's login; the port is not used.
    """
    home = _ensure_home(settings)
    programs = _programs(home)
    data = home / "data"
    if not data.exists():
        _create_cluster(programs, data, database, UNSAFE if settings.throwaway else ())

    def launch(port: int) -> processes.Launch:
        _clear_stale_lock(data)
        options = [
            "listen_addresses=127.0.0.1",
            f"port={port}",
            "unix_socket_directories=",
            f"cluster_name={state.identity(settings)}",
            f"invoke.{state.origin(settings)}",
        ]
        flags = [word for option in options for word in ("-c", option)]
        return processes.Launch(
            [programs / "postgres", "-D", data, *flags], _environment(), _user()
        )

    return processes.start(
        server(settings),
        settings,
        PORT_SETTING,
        launch,
        lambda port: not_ready(database.at(port)),
    )


def data_folder(settings: Settings) -> Path | None:
    """Where the cluster is, None for a link that leads to another checkout's.

    Of a throw-away environment it is all that there is of Postgres.
    """
    home = link = settings.state / "postgres"
    if link.is_symlink():
        home = link.readlink()
        if not home.name.startswith(state.identity(settings)):
            return None
    return home if settings.throwaway else home / "data"


def list_leftovers() -> list[Path]:
    """The homes of root's clusters that no checkout leads to any more."""
    homes = sorted(SHARED_HOME.glob("dev-*")) if os.geteuid() == 0 else []
    return [home for home in homes if _is_leftover(home)]


def _is_leftover(home: Path) -> bool:
    written = state.read(home / state.CHECKOUT)
    root = state.find_origin([home.name, f"{state.CHECKOUT}={written}"])
    if not root:  # nobody wrote down whose it is, or it was moved
        return False
    try:
        return (Settings(root).state / "postgres").readlink() != home
    except OSError:
        return True


def list_drafts(settings: Settings) -> list[Path]:
    """What a start that was killed left beside the cluster."""
    data = data_folder(settings)
    if not data:
        return []
    names = ("data.draft-*", "password.draft", "programs.draft")
    return [path for name in names for path in data.parent.glob(name)]


def not_ready(database: Database) -> str | None:
    """None when the server answers a query with our login, else the reason."""
    try:
        clients.ping(database.named("postgres"))
    except DevError as error:
        return error.reason
    return None


def _create_cluster(programs: Path, data: Path, database: Database, options: Sequence[str]) -> None:
    """Make the cluster beside its place and move it there when it is whole."""
    for old in data.parent.glob("data.draft-*"):  # of a killed run; its initdb may live on
        shutil.rmtree(old, ignore_errors=True)
    draft = data.with_name(f"data.draft-{os.getpid()}")
    password_file = data.with_name("password.draft")
    state.write(password_file, database.password)
    if user := _user():
        shutil.chown(password_file, user)
    login = ("-U", database.user, "-A", "scram-sha-256", f"--pwfile={password_file}")
    # Stretching protects a weak password in a stolen file; here it doubles the time of each login.
    quick = ("-c", "scram_iterations=1", "--no-sync", "--no-instructions")
    locale = ("--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=builtin")
    done = shell.run(
        [programs / "initdb", "-D", draft, *login, *locale, *quick, *options],
        env=_environment(),
        user=user,
    )
    password_file.unlink()
    if done.returncode:
        raise DevError(f"initdb failed: {done.stderr.strip()}", "./invoke doctor")
    draft.replace(data)


def _clear_stale_lock(data: Path) -> None:
    """Remove the lock file of a server that is gone.

    Postgres does so itself, unless its pid was taken by another process or is a zombie's. We ask
    who works in the folder instead, and wait for the children that a killed server leaves behind.
    """
    lock = data / "postmaster.pid"
    deadline = time.monotonic() + ORPHAN_SECONDS
    while lock.exists() and time.monotonic() < deadline:
        if not _works_in(data):
            lock.unlink(missing_ok=True)
        time.sleep(0.02)


def _works_in(folder: Path) -> bool:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(folder.resolve()):
                return True
    return False


def _ensure_home(settings: Settings) -> Path:
    """The folder of the cluster: `.dev/postgres`, as root a link to one that Postgres may enter."""
    link = state.ensure_folder(settings.state) / "postgres"
    user = _user()
    if not user:
        return state.ensure_folder(link)
    name = state.identity(settings)
    if not link.exists():  # or it leads to where nothing is any more
        link.unlink(missing_ok=True)
        SHARED_HOME.mkdir(mode=0o755, parents=True, exist_ok=True)
        home = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=SHARED_HOME))
        state.write(home / state.CHECKOUT, str(settings.root.resolve()))
        shutil.chown(home, user)
        link.symlink_to(home)
    home = link.readlink()
    if not home.name.startswith(name):
        raise DevError(
            f"{link} leads to {home}, the data of another folder: was this one copied or moved?",
            f"a copy: rm {link}; moved: mv {home} {SHARED_HOME / name}-moved and link it again",
        )
    return home


def _programs(home: Path) -> Path:
    """The folder of the programs; a copy in `home` where our own is out of Postgres' reach."""
    installed = shell.postgres_home()
    if not (user := _user()) or _may_run(installed / "bin" / "postgres", user):
        return installed / "bin"
    copy = home / "programs"
    if not copy.exists():
        draft = home / "programs.draft"
        shutil.rmtree(draft, ignore_errors=True)
        package = installed.parent
        # Their libraries are found by a relative path: both folders keep their places.
        shutil.copytree(installed, draft / package.name / installed.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        shutil.copytree(libraries, draft / libraries.name, symlinks=True)
        draft.replace(copy)
    return copy / installed.parent.name / installed.name / "bin"


@cache
def _may_run(program: Path, user: str) -> bool:
    try:
        return shell.run([program, "--version"], user=user).returncode == 0
    except PermissionError:
        return False


def _user() -> str | None:
    """Postgres refuses to run as root: the user it runs as instead, None for ourselves."""
    return UNPRIVILEGED if os.geteuid() == 0 else None


def _environment() -> dict[str, str]:
    """The server's surroundings: none of the user's PG* variables, and messages in English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return kept | {"LC_ALL": "C"}
