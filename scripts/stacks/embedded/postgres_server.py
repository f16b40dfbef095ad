"""A PostgreSQL server of this checkout's own: its start, its health."""

import contextlib
import signal
import time
from pathlib import Path

import psutil

from scripts import clients, state
from scripts.errors import DevError, LoginRefusedError
from scripts.settings import Settings
from scripts.stacks import passwords, processes
from scripts.stacks.embedded import postgres_cluster, postgres_programs
from scripts.stacks.embedded.postgres_programs import Programs
from scripts.targets import Database

ORPHAN_SECONDS = 10.0
PORT_SETTING = "postgres_port"
# Settings of a temporary server: its data need not survive a crash of the machine.
UNSAFE = (
    *("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"),
    *("-c", "wal_level=minimal", "-c", "max_wal_senders=0"),
)
_SCRAM, _ITERATIONS = "scram-sha-256", 4096
_OUTDATED = "its password is stored in a form that some clients refuse; to correct it: ./invoke up"


def server(settings: Settings) -> processes.Server:
    """The server's process. SIGINT is Postgres' fast shutdown: it does not wait for clients."""
    marker = f"cluster_name={state.identity(settings)}"
    return processes.Server("postgres", settings.state, marker, signal.SIGINT)


def start(settings: Settings, database: Database) -> int:
    """Start the server, its cluster made first where there is none; its port.

    `database` is any database of the server, with the superuser's login; the port is not used.
    Raises LoginRefusedError where the server runs, and has another login.
    """
    home, user = postgres_cluster.ensure_home(settings), postgres_cluster.user()
    programs = postgres_programs.find(settings, home, user)
    data = home / "data"
    if data.exists():
        postgres_cluster.check_version(data, programs)
    else:
        postgres_cluster.create(programs, data, database)

    def launch(port: int) -> processes.Launch:
        _clear_stale_lock(data)
        options = [
            "listen_addresses=127.0.0.1",
            f"port={port}",
            "unix_socket_directories=",
            "timezone=UTC",  # as in a container and in RDS: a TIMESTAMP column has no other
            f"cluster_name={state.identity(settings)}",
            f"invoke.{state.origin(settings)}",
            *postgres_programs.extension_options(programs, home, user),
        ]
        flags = [word for option in options for word in ("-c", option)]
        unsafe = UNSAFE if settings.throwaway else ()
        argv = [programs.folder / "postgres", "-D", data, *flags, *unsafe]
        return processes.Launch(argv, postgres_cluster.environment(), user)

    port = processes.start(
        server(settings),
        settings,
        PORT_SETTING,
        launch,
        lambda port: not_ready(settings, database.at(port)),
    )
    if _ping(database.at(port)):
        _store_password_again(database.at(port))
    return port


def find_trouble(settings: Settings, database: Database) -> str | None:
    """None when the server is well, else the reason."""
    try:
        if settings.postgres_home:
            check_programs(settings)
        return not_ready(settings, database) or (_OUTDATED if _ping(database) else None)
    except DevError as error:
        return error.reason


def not_ready(settings: Settings, database: Database) -> str | None:
    """None when the server answers a query with our login, else the reason.

    Raises LoginRefusedError, which waiting does not change.
    """
    try:
        passwords.check_login(settings, database)
    except LoginRefusedError:
        raise
    except DevError as error:
        return error.reason
    return None


def _ping(database: Database) -> bool:
    """Ask a query; True if our password is stored with 1 iteration, as by earlier versions."""
    with clients.cursor(database.named("postgres")) as cursor:
        cursor.execute(
            "SELECT rolpassword LIKE 'SCRAM-SHA-256$1:%' FROM pg_authid"
            " WHERE rolname = current_user"
        )
        return bool(cursor.fetchone()[0])


def _store_password_again(database: Database) -> None:
    """Store our password with PostgreSQL's number of iterations: clients accept no fewer.

    The setting comes first: a kill in between leaves a password that is still recognized.
    """
    from psycopg2.extensions import encrypt_password

    with clients.cursor(database.named("postgres"), autocommit=True) as cursor:
        cursor.execute(f"ALTER SYSTEM SET scram_iterations = {_ITERATIONS}")
        cursor.execute("SELECT pg_reload_conf()")
        cursor.execute(f"SET scram_iterations = {_ITERATIONS}")
        digest = encrypt_password(database.password, database.user, cursor.connection, _SCRAM)
        cursor.execute("ALTER ROLE CURRENT_USER PASSWORD %s", (digest,))


def check_programs(settings: Settings) -> Programs:
    """The programs. Raises DevError if the data has another version."""
    home = postgres_cluster.find_home(settings) or settings.state
    programs = postgres_programs.find(settings, home, user=None)  # for whom nothing is copied
    postgres_cluster.check_version(home / "data", programs)
    return programs


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
