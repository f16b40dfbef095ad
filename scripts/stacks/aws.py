"""The aws stack: a production database and AWS itself. It starts nothing and stops nothing."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from scripts import clients
from scripts.engine.checks import Check, ok
from scripts.errors import DevError, RefusedError
from scripts.settings import Settings
from scripts.stacks import Service
from scripts.targets import Aws, Database, Targets, is_loopback


def targets(settings: Settings) -> Targets:
    """The addresses that the user gave. TLS is required unless the URL's sslmode says otherwise."""
    if not settings.prod_database_url:
        raise DevError(
            "the stack aws needs the URL of its database",
            "PROD_DATABASE_URL=postgresql://user:password@host:5432/database",
        )
    url = urlsplit(settings.prod_database_url)
    return Targets(
        database=Database(
            host=url.hostname or "",
            port=url.port or 5432,
            user=unquote(url.username or settings.postgres_user),
            password=unquote(url.password or ""),
            name=unquote(url.path.removeprefix("/")) or settings.postgres_db,
            sslmode=parse_qs(url.query).get("sslmode", ["require"])[0],
            users=settings.app.users,
            postgres_home=settings.postgres_home,
        ),
        aws=Aws(
            messages=settings.app.messages_table,
            sign_in=settings.app.sign_in,
            region=settings.aws_region,
            profile=settings.aws_profile,
            pool_name=settings.pool_name,
            pool_id=settings.pool_id,
        ),
        mock=False,
    )


def services(settings: Settings) -> list[Service]:
    """The database and AWS, which run by themselves."""
    where = targets(settings)

    def ask_database() -> str | None:
        return _reason(lambda: clients.ping(where.database.named("postgres")))

    def ask_aws() -> str | None:
        return _reason(lambda: clients.sts(where.aws).get_caller_identity())

    return [
        _service("postgres", f"{where.database.host}:{where.database.port}", ask_database),
        _service("aws", str(where.aws), ask_aws),
    ]


def introduce(settings: Settings) -> list[str]:
    """Who we are and where everything is; calls that are redirected are named.

    Raises RefusedError for a database on this machine beside tables elsewhere, or the reverse.
    """
    where = targets(settings)
    who = clients.sts(where.aws).get_caller_identity()
    endpoint = clients.dynamodb(where.aws).meta.endpoint_url
    if is_loopback(where.database.host) != is_loopback(urlsplit(endpoint).hostname or ""):
        raise RefusedError(
            f"the database is at {where.database.host}, but the tables are at {endpoint}",
            f"for production: set PROD_DATABASE_URL to its database, and unset {clients.REDIRECT}",
        )
    return [
        f"stack aws: account {who['Account']} as {who['Arn']}, region {where.aws.region},",
        f"  database {where.database}, tables at {endpoint},",
        f"  user pool {where.aws.pool_id or where.aws.pool_name}",
        *(f"  calls are redirected by {redirect}" for redirect in clients.list_redirects()),
    ]


def checks(settings: Settings, chosen: bool) -> list[Check]:
    """Who we are there. Where another stack is chosen, AWS is not asked at all."""
    return [Check("aws target", lambda: ok("\n".join(introduce(settings))))] if chosen else []


def adopt(settings: Settings, former: Path) -> None:
    """Do nothing: what runs there does not depend on a path here."""


def _service(name: str, address: str, health: Callable[[], str | None]) -> Service:
    def start() -> str:
        raise DevError(
            f"{name} at {address} does not answer: {health()}",
            "check that it is running and reachable",
        )

    return Service(
        name=name,
        launch=start,
        stop=lambda: False,
        ask=health,
        address=lambda: address,
        is_running=lambda: True,
        since=lambda: None,
        log_tail=lambda: "",
        log=lambda lines, follow: iter(()),
        data=lambda: None,
        erase=lambda: None,
        ours=False,
    )


def _reason(ask: Callable[[], object]) -> str | None:
    try:
        ask()
    except DevError as error:
        return error.reason
    return None
