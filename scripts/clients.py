"""The only builder of psycopg2 and boto3 clients; says connection errors in the user's words.

The SDKs are imported at the first use: listing the tasks must not wait for them.
"""

import contextlib
import importlib
import os
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

from scripts.errors import DevError, LoginRefusedError, NotFoundError
from scripts.targets import Aws, Database

CONNECT_SECONDS = 5


@contextlib.contextmanager
def cursor(database: Database, autocommit: bool = False) -> Iterator[Any]:
    """A psycopg2 cursor in a transaction of its own: committed at the end, undone on an error."""
    import psycopg2

    connection = _connect(database)
    connection.autocommit = autocommit
    try:
        with connection.cursor() as cursor:
            yield cursor
        connection.commit()
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        raise DevError(f"{database}: {_first_line(error)}", "./invoke status") from None
    except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn) as error:
        raise NotFoundError(f"{database}: {_first_line(error)}", "./invoke db.setup") from None
    except psycopg2.errors.InsufficientPrivilege as error:
        raise DevError(
            f"{database.user} may not do this in {database}: {_first_line(error)}",
            "log in as the owner",
        ) from None
    finally:
        connection.close()


def _connect(database: Database) -> Any:
    import psycopg2

    try:
        return psycopg2.connect(
            host=database.host,
            port=database.port,
            user=database.user,
            password=database.password,
            dbname=database.name,
            connect_timeout=CONNECT_SECONDS,
            application_name="invoke",
            options="",
        )
    except psycopg2.OperationalError as error:
        raise _connection_error(database, str(error)) from None


def _connection_error(database: Database, text: str) -> DevError:
    if "does not exist" in text and "database" in text:
        return NotFoundError(f"there is no database {database}", "./invoke db.setup")
    if "authentication failed" in text:
        return LoginRefusedError(
            f"{database} does not accept the password of {database.user}",
            "POSTGRES_USER and POSTGRES_PASSWORD must be those it was made with;"
            " to start afresh: ./invoke down --volumes up",
        )
    return DevError(f"no answer from {database}: {text.strip().splitlines()[-1]}", "./invoke up")


def psql_environment(database: Database) -> dict[str, str]:
    """The environment in which libpq's programs reach `database`; no password in any argv."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return inherited | {
        "PGHOST": database.host,
        "PGPORT": str(database.port),
        "PGUSER": database.user,
        "PGPASSWORD": database.password,
        "PGDATABASE": database.name,
        "PGCONNECT_TIMEOUT": str(CONNECT_SECONDS),
        "PGAPPNAME": "invoke",
    }


def dynamodb(aws: Aws) -> Any:
    """A DynamoDB client."""
    return _client("dynamodb", aws)


def cognito(aws: Aws) -> Any:
    """A client for Cognito user pools."""
    return _client("cognito-idp", aws)


def input_shape(service: str, operation: str) -> Any:
    """The shape of an operation's parameters, from the model that the SDK carries."""
    with _lock:
        core = _local_session()._session
        return core.get_service_model(service).operation_model(operation).input_shape


def warm_up() -> None:
    """Load the SDKs and their models in the background, while the servers start."""

    # It registers what to do at the exit, which its first import in a thread may come too late for.
    importlib.import_module("concurrent.futures.thread")

    def load() -> None:
        importlib.import_module("psycopg2")
        for service, operation in (("dynamodb", "CreateTable"), ("cognito-idp", "ListUsers")):
            input_shape(service, operation)

    threading.Thread(target=load).start()


_lock = threading.Lock()


def _client(service: str, aws: Aws) -> Any:
    with _lock:  # a session is not safe to share between threads, its clients are
        return _build_client(service, aws)


@cache
def _build_client(service: str, aws: Aws) -> Any:
    from botocore.config import Config

    client = _local_session().client(
        service,
        region_name=aws.region,
        endpoint_url=aws.endpoint_of(service),
        aws_access_key_id=aws.access_key,
        aws_secret_access_key=aws.secret_key,
        config=Config(
            connect_timeout=CONNECT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 3},
            max_pool_connections=32,
            proxies={},
        ),
    )
    call = client._make_api_call  # the one door: every operation, paginator and waiter

    def translated(operation: str, parameters: dict[str, Any]) -> Any:
        with _aws_errors(aws):
            return call(operation, parameters)

    client._make_api_call = translated
    return client


@cache
def _local_session() -> Any:
    """A session that ignores the user's AWS profile and files: an emulator must not see them."""
    import boto3.session
    import botocore.session

    nothing = (None, None, os.devnull, None)
    core = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": nothing,
            "credentials_file": nothing,
        }
    )
    return boto3.session.Session(botocore_session=core)


@contextlib.contextmanager
def _aws_errors(aws: Aws) -> Iterator[None]:
    from botocore import exceptions

    try:
        yield
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise DevError(f"no answer from {aws}: {type(error).__name__}", "./invoke up") from None
    except exceptions.NoCredentialsError:
        raise DevError(f"no credentials for {aws}", "aws configure") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
