"""The embedded stack: Postgres and an AWS emulator as plain processes, from Python packages."""

from collections.abc import Callable

from scripts import processes, state
from scripts.settings import Settings
from scripts.stacks import Service, aws_emulator, postgres_server
from scripts.targets import Aws, Database, Targets


def targets(settings: Settings) -> Targets:
    """The addresses: the ports that the servers had last, or else the preferred ones."""
    postgres = processes.find_port(postgres_server.server(settings))
    emulator = processes.find_port(aws_emulator.server(settings))
    return Targets(
        database=Database(
            host="127.0.0.1",
            port=postgres or settings.postgres_port,
            user=settings.postgres_user,
            password=state.find_password(settings) or "",
            name=settings.postgres_db,
            owned=True,
        ),
        aws=Aws(
            region=settings.aws_region,
            endpoint=f"http://127.0.0.1:{emulator or settings.emulator_port}",
            access_key=settings.emulator_account,
            secret_key="local",  # noqa: S106 - the emulator asks for one and checks none
            pool_name=settings.pool_name,
            owned=True,
        ),
    )


def services(settings: Settings) -> list[Service]:
    """Postgres and the AWS emulator."""

    def start_postgres() -> int:
        state.ensure_password(settings)
        return postgres_server.start(settings, targets(settings).database)

    def postgres_health() -> str | None:
        return postgres_server.not_ready(targets(settings).database)

    def start_emulator() -> int:
        return aws_emulator.start(settings)

    def emulator_health() -> str | None:
        port = processes.find_port(aws_emulator.server(settings))
        return aws_emulator.not_ready(settings, port or settings.emulator_port)

    return [
        _service(
            settings,
            postgres_server.server(settings),
            postgres_server.PORT_SETTING,
            start_postgres,
            postgres_health,
        ),
        _service(
            settings,
            aws_emulator.server(settings),
            aws_emulator.PORT_SETTING,
            start_emulator,
            emulator_health,
        ),
    ]


def introduce(settings: Settings) -> list[str]:
    """Nothing to say: it is all ours, on this machine."""
    return []


def _service(
    settings: Settings,
    server: processes.Server,
    port_setting: str,
    start: Callable[[], int],
    answer: Callable[[], str | None],
) -> Service:
    def address() -> str:
        port = processes.find_port(server)
        return f"127.0.0.1:{port}" if port else "127.0.0.1"

    def health() -> str | None:
        if not processes.find(server):
            return "not running"
        wanted = processes.pinned_port(settings, port_setting)
        if wanted and wanted != processes.find_port(server):
            return f"not where {settings.variable(port_setting)}={wanted} wants it"
        return answer()

    return Service(
        name=server.name,
        start=lambda: f"listening on 127.0.0.1:{start()}",
        stop=lambda: processes.stop(server),
        health=health,
        address=address,
        is_running=lambda: processes.find(server) is not None,
        since=lambda: processes.find_start(server),
        log_tail=lambda: processes.log_tail(server),
    )
