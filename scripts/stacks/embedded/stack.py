"""The embedded stack: Postgres and an AWS emulator as plain processes, from Python packages."""

import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from scripts import clients, state
from scripts.engine.checks import Check, Finding, fail, note, ok
from scripts.errors import LoginRefusedError, count
from scripts.settings import Settings
from scripts.stacks import Service, local_database, passwords, ports, processes
from scripts.stacks.embedded import (
    aws_emulator,
    postgres_cluster,
    postgres_server,
)
from scripts.targets import Aws, Targets

_SHOWN = 3  # folders of checkouts that no longer exist


def targets(settings: Settings) -> Targets:
    """The addresses: the ports that the servers had last, or else the preferred ones."""
    postgres = processes.find_port(postgres_server.server(settings))
    emulator = processes.find_port(aws_emulator.server(settings))
    database = local_database(settings, "127.0.0.1", postgres or settings.postgres_port)
    key_id, secret = aws_emulator.find_key(settings) or ("missing", "missing")
    return Targets(
        database=replace(database, postgres_home=settings.postgres_home),
        aws=Aws(
            messages=settings.app.messages_table,
            sign_in=settings.app.sign_in,
            region=settings.aws_region,
            endpoint=f"http://127.0.0.1:{emulator or settings.emulator_port}",
            access_key=f"{key_id}{settings.emulator_account}",
            secret_key=secret,
            pool_name=settings.pool_name,
            user_password=settings.cognito_password,
            owned=True,
        ),
    )


def services(settings: Settings) -> list[Service]:
    """Postgres and the AWS emulator."""

    def start_postgres() -> str:
        passwords.ensure(settings)
        passwords.note(settings, targets(settings).database)
        try:
            return str(postgres_server.start(settings, targets(settings).database))
        except LoginRefusedError:
            done = passwords.apply(settings, targets(settings).database)
        return f"{postgres_server.start(settings, targets(settings).database)}; {done}"

    def postgres_health() -> str | None:
        return postgres_server.find_trouble(settings, targets(settings).database)

    def start_emulator() -> int:
        return aws_emulator.start(settings)

    def emulator_health() -> str | None:
        if not aws_emulator.find_key(settings):
            return "its key is missing"
        port = processes.find_port(aws_emulator.server(settings))
        return aws_emulator.not_ready(settings, port or settings.emulator_port)

    return [
        _service(
            settings,
            postgres_server.server(settings),
            postgres_server.PORT_SETTING,
            start_postgres,
            postgres_health,
            partial(postgres_cluster.find_home, settings),
            partial(postgres_cluster.erase, settings),
        ),
        _service(
            settings,
            aws_emulator.server(settings),
            aws_emulator.PORT_SETTING,
            start_emulator,
            emulator_health,
            partial(aws_emulator.data_folder, settings),
            lambda: _remove(aws_emulator.data_folder(settings)),
        ),
    ]


def introduce(settings: Settings) -> list[str]:
    """No lines: everything belongs to this checkout, on this machine."""
    return []


def adopt(settings: Settings, former: Path) -> None:
    """Stop the servers of a checkout that was moved, and take over its data.

    The emulator has written all that it holds; stopped gracefully, it would do so at `former`.
    """
    for server, first in zip(_servers(settings), (signal.SIGINT, signal.SIGKILL), strict=True):
        marker = server.marker.replace(state.identity(settings), state.identity_of(former))
        before = replace(server, marker=marker)
        for process in filter(None, [processes.find(before), *processes.list_strays(before)]):
            processes.end(process, first)
    postgres_cluster.adopt(settings, former)


def checks(settings: Settings, chosen: bool) -> list[Check]:
    """The programs, what a kill left behind, and data of checkouts that no longer exist."""
    drafts = partial(postgres_cluster.list_drafts, settings)
    return [
        *([Check("postgres programs", partial(_programs_found, settings))] if chosen else []),
        Check(
            "unfinished cluster", lambda: _drafts_found(drafts()), repair=lambda: _clear(drafts())
        ),
        Check("unknown servers", lambda: _strays_found(settings), repair=lambda: _stop(settings)),
        Check(
            "leftover data",
            partial(_leftovers_found, settings),
            repair=lambda: _remove_leftovers(settings),
            loses=lambda: [_describe_leftover(*one) for one in _list_leftovers(settings)],
        ),
    ]


def _programs_found(settings: Settings) -> Finding:
    programs = postgres_server.check_programs(settings)
    return ok(f"PostgreSQL {programs.major} in {programs.folder}")


def _strays_found(settings: Settings) -> Finding:
    strays = [
        f"{server.name} (pid {process.pid})"
        for server in _servers(settings)
        for process in processes.list_strays(server)
    ]
    if not strays:
        return ok("none")
    return fail(f"belongs to this checkout, but has no record: {', '.join(strays)}", "./invoke up")


def _stop(settings: Settings) -> list[str]:
    for server in _servers(settings):
        processes.stop_strays(server)
    return ["stopped the servers without a record"]


def _servers(settings: Settings) -> list[processes.Server]:
    return [postgres_server.server(settings), aws_emulator.server(settings)]


def _drafts_found(drafts: list[Path]) -> Finding:
    if not drafts:
        return ok("none")
    return note(
        f"a start was killed, or is still running: {', '.join(map(str, drafts))}",
        "./invoke doctor --fix",
    )


def _clear(drafts: list[Path]) -> list[str]:
    for draft in drafts:
        if draft.is_dir():
            _remove(draft)
        else:
            draft.unlink(missing_ok=True)
    return [f"removed {draft}" for draft in drafts]


def _list_leftovers(settings: Settings) -> list[tuple[Path, Path]]:
    return list(postgres_cluster.list_leftovers(settings).items())


def _leftovers_found(settings: Settings) -> Finding:
    leftovers = _list_leftovers(settings)
    if not leftovers:
        return ok("none")
    lines = [_describe_leftover(*one) for one in leftovers[:_SHOWN]]
    if (more := len(leftovers) - _SHOWN) > 0:
        lines.append(f"and {count(more, 'further folder')}")
    return note("\n".join(lines), "./invoke doctor --fix")


def _describe_leftover(home: Path, root: Path) -> str:
    return f"{_describe(home)} of {root}, which was deleted or moved"


def _remove_leftovers(settings: Settings) -> list[str]:
    done = []
    for home, root in _list_leftovers(settings):
        _remove(home)
        done.append(f"removed {home} of {root}")
    return done


def _service(
    settings: Settings,
    server: processes.Server,
    port_setting: str,
    start: Callable[[], int | str],
    answer: Callable[[], str | None],
    folder: Callable[[], Path | None],
    erase: Callable[[], None],
) -> Service:
    def address() -> str:
        port = processes.find_port(server)
        return f"127.0.0.1:{port}" if port else "127.0.0.1"

    def health() -> str | None:
        if not processes.find(server):
            return "not running"
        wanted = ports.find_pinned(settings, port_setting)
        if wanted and wanted != processes.find_port(server):
            return f"not on the port that is set: {settings.describe_source(port_setting)}={wanted}"
        return answer()

    def stop() -> bool:
        hangs = service.health() == clients.SILENT
        return processes.stop(
            server, processes.STOP_SECONDS_SILENT if hangs else processes.STOP_SECONDS
        )

    def notice() -> str:
        return ports.describe_former(processes.find_former_port(server))

    def launch() -> str:
        return "; ".join(filter(None, [f"listening on 127.0.0.1:{start()}", notice()]))

    service = Service(
        name=server.name,
        launch=launch,
        stop=stop,
        ask=health,
        address=address,
        is_running=lambda: processes.find(server) is not None,
        since=lambda: processes.find_start(server),
        log_tail=lambda: processes.log_tail(server),
        log=partial(processes.read_log, server),
        data=lambda: _describe(folder()),
        erase=erase,
        has_crashed=lambda: processes.has_crashed(server),
        port_setting=port_setting,
        notice=notice,
    )
    return service


def _describe(folder: Path | None) -> str | None:
    if not folder or not folder.is_dir():
        return None
    return f"the folder {folder} ({state.count_bytes(folder) / 1e6:.0f} MB)"


def _remove(folder: Path | None) -> None:
    if not folder or not folder.is_dir():
        return
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise state.not_writable(folder, error) from None
