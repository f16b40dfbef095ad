"""The docker stack: the containers of docker-compose.yml, brought up by Compose."""

import http.client
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from scripts import clients, state
from scripts.cognito import user_pool
from scripts.dynamodb import tables
from scripts.engine.checks import Check
from scripts.errors import DevError, LoginRefusedError
from scripts.settings import Settings
from scripts.stacks import Service, local_database, passwords, ports, processes
from scripts.stacks.docker import addresses, compose, engine, engine_checks
from scripts.stacks.docker.addresses import Part
from scripts.stacks.embedded import postgres_server
from scripts.targets import UNCHECKED, Aws, Targets

TAIL = 8
_STOPPED = (0, 130, 143)  # exit codes: by itself, by SIGINT, by SIGTERM
_DATA_VERSIONS = (
    "PG_VERSION",
    "data/PG_VERSION",
    *(f"{n}/docker/PG_VERSION" for n in (18, 19, 20)),
)


def _ask_postgres(settings: Settings) -> None:
    passwords.check_login(settings, targets(settings).database)


def _ask_dynamodb(settings: Settings) -> None:
    aws = targets(settings).aws
    _speak_http(aws.dynamodb_endpoint)
    tables.list_tables(aws)


def _ask_aws(settings: Settings) -> None:
    aws = targets(settings).aws
    _speak_http(aws.endpoint)
    user_pool.find_pool(aws)


PARTS = (
    Part("postgres", "postgres_port", "SELECT 1", _ask_postgres),
    Part("dynamodb", "dynamodb_port", "ListTables", _ask_dynamodb),
    Part("aws", "emulator_port", "ListUserPools", _ask_aws),
)


def targets(settings: Settings) -> Targets:
    """The addresses where the containers were published last, or else would be."""
    postgres, dynamodb_local, emulator = (addresses.find(settings, part) for part in PARTS)
    return Targets(
        database=local_database(settings, postgres.host, postgres.port),
        aws=Aws(
            messages=settings.app.messages_table,
            sign_in=settings.app.sign_in,
            region=settings.aws_region,
            endpoint=f"http://{emulator}",
            access_key=settings.emulator_account,
            secret_key=UNCHECKED,
            pool_name=settings.pool_name,
            user_password=settings.cognito_password,
            dynamodb_endpoint=f"http://{dynamodb_local}",
            keeps_tags=False,
            owned=True,
        ),
    )


def services(settings: Settings) -> list[Service]:
    """Postgres, DynamoDB Local and the AWS emulator."""
    return [_service(settings, part) for part in PARTS]


def introduce(settings: Settings) -> list[str]:
    """No lines: the containers belong to this checkout."""
    return []


def checks(settings: Settings, chosen: bool) -> list[Check]:
    """The engine, Compose, the images, containers left over."""
    own = {addresses.find_former(settings, part) for part in PARTS}
    return engine_checks.checks(settings, chosen, own)


def adopt(settings: Settings, former: Path) -> None:
    """Do nothing: a part does so when it is started, as the engine may not run now."""


def _service(settings: Settings, part: Part) -> Service:
    return Service(
        name=part.name,
        launch=partial(_start, settings, part),
        stop=partial(_stop, settings, part),
        ask=partial(_health, settings, part),
        address=lambda: str(addresses.find(settings, part)),
        is_running=lambda: _since(settings, part) is not None,
        since=partial(_since, settings, part),
        log_tail=partial(_log_tail, settings, part),
        log=partial(_log, settings, part),
        data=partial(_data, settings, part),
        erase=partial(_erase, settings, part),
        has_crashed=partial(_has_crashed, settings, part),
        needs=("docker engine",),
        port_setting=part.port_setting,
        notice=partial(_notice, settings, part),
    )


def _start(settings: Settings, part: Part) -> str:
    """Publish the container on the first port that it gets, and wait until it answers the query."""
    passwords.ensure(settings)
    if part.name == "postgres":
        passwords.note(settings, targets(settings).database)
    _take_over(settings, part)
    container = _find(settings, part)
    if container:
        engine.resume(container)
    ours = engine.published_port(container) if container else None
    before = addresses.find(settings, part)
    for port in addresses.ports_to_try(settings, part, ours):
        try:
            compose.up(settings, part.name, _variables(settings, part, port))
        except compose.PortTakenError:
            if ports.find_pinned(settings, part.port_setting):
                raise addresses.taken(settings, part, port) from None
            continue
        changed = port != before.port and not ports.find_pinned(settings, part.port_setting)
        former = before.port if changed and addresses.is_recorded(settings, part) else 0
        place = addresses.Place(engine.endpoint().host, port, former, str(settings.root.resolve()))
        addresses.record(settings, part, place)
        lines = [f"listening on {addresses.find(settings, part)}"]
        final = clients.SILENT if ours == port else ""
        try:
            _wait(settings, part, final)
        except LoginRefusedError:
            lines.append(passwords.apply(settings, targets(settings).database))
            _wait(settings, part, final)
        return "; ".join(filter(None, [*lines, _notice(settings, part)]))
    raise ports.none_free(part.name)


def _take_over(settings: Settings, part: Part) -> None:
    """Copy the volume of a checkout that was moved: a volume cannot get another name."""
    former = addresses.find_former(settings, part)
    if not former:
        return
    project = state.identity_of(former)
    if container := engine.find_container(project, part.name):
        engine.remove_container(container)
    if volume := engine.find_volume(project, part.name):
        (image,) = compose.list_images(settings, part.name)
        engine.copy_volume(volume, state.identity(settings), part.name, image)
        engine.remove_volume(volume)
    engine.remove_network(project)


def _notice(settings: Settings, part: Part) -> str:
    return ports.describe_former(addresses.find(settings, part).former)


def _variables(settings: Settings, part: Part, port: int) -> dict[str, str]:
    """What docker-compose.yml asks of the environment; so no password is in any argv."""
    return {
        "POSTGRES_USER": settings.postgres_user,
        "POSTGRES_PASSWORD": passwords.ensure(settings),
        "POSTGRES_INITDB_ARGS": " ".join(postgres_server.UNSAFE) if settings.throwaway else "",
        "PERSIST": "0" if settings.throwaway else "1",
        settings.variable("docker_publish"): addresses.publish_address(settings),
        settings.variable(part.port_setting): str(port),
    }


def _wait(settings: Settings, part: Part, final: str) -> None:
    """Wait until the part answers its query. Raises DevError with the last words of its log.

    The reason `final` is one that waiting does not change.
    """
    deadline = time.monotonic() + settings.ready_timeout
    while (reason := _not_answering(settings, part, LoginRefusedError)) is not None:
        container = _find(settings, part)
        if container is None or container.status != "running":
            raise _ended(settings, part, container)
        if reason == final:
            raise DevError(f"{part.name}: {reason}", f"./invoke restart {part.name}")
        if time.monotonic() > deadline:
            raise DevError(
                f"{part.name} is not healthy after {settings.ready_timeout} s (READY_TIMEOUT);"
                f" {part.query}: {reason}{_log_tail(settings, part)}",
                "./invoke up (waits for it again)",
            )
        time.sleep(0.1)


def _ended(settings: Settings, part: Part, container: Any | None) -> DevError:
    """Why a container did not stay."""
    if container is None:
        return DevError(
            f"the container of {part.name} was removed", "see: docker events --since 5m"
        )
    version = container.attrs["Config"]["Image"], _variable(container, "PG_MAJOR")
    found = _data_version(container) if version[1] else None
    if found and found != version[1]:
        return DevError(
            f"the volume of {part.name} holds data of PostgreSQL {found},"
            f" and {version[0]} is PostgreSQL {version[1]}",
            "dump it with its own version: see docs/stacks.md",
        )
    code = container.attrs["State"]["ExitCode"]
    return DevError(
        f"the container of {part.name} ended with code {code}{_log_tail(settings, part)}",
        f"./invoke logs {part.name}",
    )


def _variable(container: Any, name: str) -> str | None:
    pairs = (text.partition("=") for text in container.attrs["Config"]["Env"])
    return next((value for key, _, value in pairs if key == name), None)


def _data_version(container: Any) -> str | None:
    """Which PostgreSQL made the data in the container's volume; None for no data."""
    for path in _DATA_VERSIONS:
        if text := engine.read_file(container, f"/var/lib/postgresql/{path}"):
            return text.strip()
    return None


def _has_crashed(settings: Settings, part: Part) -> bool:
    """Did the container end with an error? Stopped by hand, or with its engine, it has not."""
    try:
        container = _find(settings, part)
    except DevError:  # health says it
        return False
    if container is None or container.status not in ("exited", "dead"):
        return False
    return container.attrs["State"]["ExitCode"] not in _STOPPED


def _stop(settings: Settings, part: Part) -> bool:
    container = _find(settings, part)
    if container is None:
        return False
    hangs = container.status == "running" and _not_answering(settings, part) == clients.SILENT
    engine.remove_container(container, 3 if hangs else engine.STOP_SECONDS)
    engine.remove_network(state.identity(settings))
    return container.status in ("running", "paused")


def _health(settings: Settings, part: Part) -> str | None:
    try:
        container = _find(settings, part)
    except DevError as error:
        return error.reason
    if container is None or container.status != "running":
        return "paused" if container and container.status == "paused" else "not running"
    wanted = ports.find_pinned(settings, part.port_setting)
    if wanted and wanted != engine.published_port(container):
        source = settings.describe_source(part.port_setting)
        return f"not on the port that is set: {source}={wanted}"
    if not addresses.is_right(settings, part, container):
        return f"not at {addresses.find(settings, part)}, where it was"
    return _not_answering(settings, part)


def _not_answering(
    settings: Settings, part: Part, final: tuple[type[DevError], ...] | type[DevError] = ()
) -> str | None:
    """None when the part answers its query with the app's own login, else the reason.

    Raises an error that is `final`.
    """
    import botocore.exceptions

    try:
        part.answer(settings)
    except final:
        raise
    except DevError as error:
        return error.reason.splitlines()[0]
    except botocore.exceptions.ClientError as error:
        return str(error)
    return None


def _speak_http(endpoint: str | None) -> None:
    """One plain request: the SDK would retry for seconds without an answer."""
    _, _, place = (endpoint or "").rpartition("/")
    connection = http.client.HTTPConnection(place, timeout=clients.ANSWER_SECONDS)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except TimeoutError:
        raise DevError(clients.SILENT) from None
    except (OSError, http.client.HTTPException) as error:
        raise DevError(f"no answer ({type(error).__name__})") from None
    finally:
        connection.close()


def _since(settings: Settings, part: Part) -> Any:
    try:
        container = _find(settings, part)
    except DevError:  # health says it
        return None
    ours = container and addresses.is_right(settings, part, container)
    return engine.started_at(container) if ours else None


def _find(settings: Settings, part: Part) -> Any | None:
    return engine.find_container(state.identity(settings), part.name)


def _log_tail(settings: Settings, part: Part) -> str:
    try:
        container = _find(settings, part)
        lines = engine.read_log(container, TAIL, follow=False) if container else ()
        return processes.as_tail(part.name, lines)
    except DevError:
        return ""


def _log(settings: Settings, part: Part, lines: int, follow: bool) -> Iterator[str]:
    container = _find(settings, part)
    if container is not None:
        yield from engine.read_log(container, lines, follow)


def _data(settings: Settings, part: Part) -> str | None:
    volume = engine.find_volume(state.identity(settings), part.name)
    return f"the volume {volume.name} in {engine.endpoint().url}" if volume else None


def _erase(settings: Settings, part: Part) -> None:
    volume = engine.find_volume(state.identity(settings), part.name)
    if volume is not None:
        engine.remove_volume(volume)
