"""The only builder of psycopg2 and boto3 clients; says connection errors in the user's words.

The SDKs are imported at the first use: listing the tasks must not wait for them.
"""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from scripts.errors import DevError, LoginRefusedError, NotFoundError
from scripts.targets import Aws, Database

CONNECT_SECONDS = 5
ANSWER_SECONDS = 3  # for a question about health
SILENT = f"no answer within {ANSWER_SECONDS} s"  # a server that hangs, unlike one that starts
REDIRECT = "AWS_ENDPOINT_URL"  # and those that begin with it: AWS_ENDPOINT_URL_DYNAMODB
_NOT_LET_IN = (
    *("AccessDenied", "AccessDeniedException", "AuthFailure", "UnrecognizedClientException"),
    *("ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId"),
    *("InvalidSignatureException", "SignatureDoesNotMatch", "UnauthorizedOperation"),
)
_TIMEOUT = "timeout expired"  # as libpq says it
_FAILED = "InternalError"  # an emulator's own trouble: a full disk, say


@contextlib.contextmanager
def cursor(
    database: Database, autocommit: bool = False, seconds: int = CONNECT_SECONDS
) -> Iterator[Any]:
    """A psycopg2 cursor in a transaction of its own: committed at the end, undone on an error."""
    psycopg2 = _psycopg2(database.owned)
    connection = _connect(database, connect_timeout=seconds)
    connection.autocommit = autocommit
    try:
        with connection.cursor() as cursor:
            yield cursor
        connection.commit()
    except psycopg2.errors.ObjectInUse as error:
        reason = f"{error.diag.message_primary}: {error.diag.message_detail}"
        raise DevError(reason, "./invoke db.sessions (lists what uses it)") from None
    except (
        psycopg2.OperationalError,
        psycopg2.InterfaceError,
        psycopg2.errors.InternalError_,  # the server's own trouble: a full disk, say
    ) as error:
        raise DevError(f"{database}: {_first_line(error)}", "./invoke status") from None
    except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn) as error:
        raise NotFoundError(f"{database}: {_first_line(error)}", "./invoke doctor") from None
    except psycopg2.errors.InsufficientPrivilege as error:
        raise DevError(
            f"{database.user} may not do this in {database}: {_first_line(error)}",
            "log in as the owner",
        ) from None
    finally:
        connection.close()


@cache
def _psycopg2(owned: bool) -> Any:
    """The driver, without libpq's own variables: PGHOSTADDR alone would lead to another server.

    Only those about TLS are kept, for servers elsewhere: our own have none.
    """
    for name in [name for name in os.environ if _is_of_libpq(name, owned)]:
        os.environ.pop(name, None)
    import psycopg2

    return psycopg2


def _is_of_libpq(variable: str, owned: bool) -> bool:
    """Is it a variable that must not lead libpq elsewhere?"""
    return variable.startswith("PG") and (owned or not variable.startswith("PGSSL"))


def _connect(database: Database, again: bool = False, **place: Any) -> Any:
    psycopg2 = _psycopg2(database.owned)
    try:
        return psycopg2.connect(
            host=database.host,
            port=database.port,
            user=database.user,
            password=database.password,
            dbname=database.name,
            sslmode=database.sslmode,
            application_name="invoke",
            options="",
            **place,
        )
    except psycopg2.OperationalError as error:
        if "just been dropped or renamed" in str(error) and not again:
            return _connect(database, again=True, **place)  # another has its name by now
        if database.owned and "replication" not in place and _is_full(error):
            # The places for replication are apart, run SQL as well, and are taken by no app.
            return _connect(database, again, replication="database", **place)
        raise _connection_error(database, str(error)) from None


def _connection_error(database: Database, text: str) -> DevError:
    if "does not exist" in text and "database" in text:
        return NotFoundError(f"there is no database {database}", "./invoke db.setup")
    if "authentication failed" in text:
        return LoginRefusedError(
            f"{database} does not accept the password of {database.user}",
            "./invoke up" if database.owned else "correct the login in PROD_DATABASE_URL",
        )
    reason = text.strip().splitlines()[0].rpartition("failed: ")[2]
    if _is_full(text):
        return DevError(
            f"{database} has no connection left: {reason}", "close some: ./invoke db.kill-sessions"
        )
    hint = "./invoke restart postgres" if _TIMEOUT in text and database.owned else "./invoke up"
    return DevError(f"no answer from {database}: {reason}", hint)


def _is_full(error: object) -> bool:
    return any(words in str(error) for words in ("too many clients", "slots are reserved"))


def ping(database: Database) -> None:
    """Ask the database a query. Raises DevError where it does not answer, in ANSWER_SECONDS."""
    try:
        with cursor(database, seconds=ANSWER_SECONDS) as asking:
            asking.execute("SELECT 1")
    except DevError as error:
        if _TIMEOUT in error.reason:
            raise DevError(SILENT, error.hint) from None
        raise


def psql_environment(database: Database) -> dict[str, str]:
    """The environment in which libpq's programs reach `database`; no password in any argv."""
    owned = database.owned
    inherited = {name: text for name, text in os.environ.items() if not _is_of_libpq(name, owned)}
    ours = {"PGCONNECT_TIMEOUT": str(CONNECT_SECONDS), "PGAPPNAME": "invoke"}
    return inherited | database.variables() | ours


def dynamodb(aws: Aws) -> Any:
    """A DynamoDB client. Its BatchWriteItem also takes requests that are JSON text (bytes)."""
    return _client("dynamodb", aws)


def s3(aws: Aws) -> Any:
    """An S3 client."""
    return _client("s3", aws)


def cognito(aws: Aws) -> Any:
    """A client for Cognito user pools."""
    return _client("cognito-idp", aws)


def ec2(aws: Aws) -> Any:
    """A client for EC2, which keeps the security groups."""
    return _client("ec2", aws)


def sts(aws: Aws) -> Any:
    """A client for STS, which knows who we are."""
    return _client("sts", aws)


def not_found(aws: Aws, reason: str, hint: str, exists: Callable[[Aws], object]) -> NotFoundError:
    """The error for a missing thing; names the region of an emulator in which it `exists`."""
    regions = _local_session().get_available_regions("dynamodb") if aws.endpoint else []
    for region in regions:
        if region != aws.region and exists(replace(aws, region=region)):
            return NotFoundError(
                f"{reason}, region {aws.region}; it exists in region {region}",
                f"set AWS_REGION to {region}; to use {aws.region} instead: {hint}",
            )
    return NotFoundError(reason, hint)


def list_redirects() -> list[str]:
    """The variables that lead calls to AWS elsewhere, each as `NAME=value`."""
    names = [name for name in sorted(os.environ) if name.startswith(REDIRECT) and os.environ[name]]
    return [f"{name}={os.environ[name]}" for name in names]


def input_shape(service: str, operation: str) -> Any:
    """The shape of an operation's parameters, from the model that the SDK carries."""
    with _lock:
        core = _local_session()._session
        return core.get_service_model(service).operation_model(operation).input_shape


_lock = threading.Lock()


def _client(service: str, aws: Aws) -> Any:
    with _lock:  # a session is not safe to share between threads, its clients are
        return _build_client(service, aws)


@cache
def _build_client(service: str, aws: Aws) -> Any:
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    local: dict[str, Any] = {
        "endpoint_url": aws.endpoint_of(service),
        "aws_access_key_id": aws.access_key,
        "aws_secret_access_key": aws.secret_key,
    }
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=32,
        user_agent="dev-bootstrap",  # botocore takes a tenth of a call to compose its own
        proxies={} if aws.endpoint else None,
    )
    try:
        session = _local_session() if aws.endpoint else _user_session(aws.profile)
        client = session.client(
            service, region_name=aws.region, config=config, **(local if aws.endpoint else {})
        )
    except BotoCoreError as error:  # a profile that is not there, a broken file
        raise DevError(f"no client for {aws}: {error}", "aws configure") from None
    call = client._make_api_call  # the one door: every operation, paginator and waiter
    if service == "dynamodb":
        events = client.meta.events
        events.register("provide-client-params.dynamodb.BatchWriteItem", _keep_prepared)
        events.register("before-call.dynamodb.BatchWriteItem", _send_prepared)

    if service == "cognito-idp" and aws.endpoint:
        client.meta.events.register("choose-signer.cognito-identity-provider", _sign)

    def translated(operation: str, parameters: dict[str, Any]) -> Any:
        with _aws_errors(aws):
            return call(operation, parameters)

    client._make_api_call = translated
    return client


def _sign(**_: Any) -> str:
    """Sign what needs no signature, too (SignUp): an emulator reads the account from it."""
    return "v4"


def _prepare(params: dict[str, Any]) -> bytes | None:
    """The body of a BatchWriteItem whose requests are JSON text; None for another."""
    ((table, requests),) = params["RequestItems"].items()
    if not isinstance(requests[0], bytes):
        return None
    others = [(name, value) for name, value in params.items() if name != "RequestItems"]
    rest = b"".join(b',"%b":"%b"' % (name.encode(), value.encode()) for name, value in others)
    puts = b",".join(requests)
    return b'{"RequestItems":{%b:[%b]}%b}' % (json.dumps(table).encode(), puts, rest)


def _keep_prepared(
    params: dict[str, Any], context: dict[str, Any], **_: Any
) -> dict[str, Any] | None:
    """Keep requests that are JSON text from being parsed, checked and written again.

    That would take most of the time of a large load.
    """
    context["prepared"] = _prepare(params)
    if not context["prepared"]:
        return None
    (table,) = params["RequestItems"]
    return params | {"RequestItems": {table: [{"PutRequest": {"Item": {}}}]}}


def _send_prepared(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    """Put the finished body into the request."""
    params["body"] = context["prepared"] or params["body"]


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
    loader = core.get_component("data_loader")  # it would look into 800 folders to find them
    loader.list_available_services = lambda _: ["cognito-idp", "dynamodb", "ec2", "s3", "sts"]
    return boto3.session.Session(botocore_session=core)


@cache
def _user_session(profile: str) -> Any:
    import boto3.session

    return boto3.session.Session(profile_name=profile or None)


@contextlib.contextmanager
def _aws_errors(aws: Aws) -> Iterator[None]:
    from botocore import exceptions

    timeouts = exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError
    try:
        yield
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        hint = "./invoke restart aws" if isinstance(error, timeouts) else "./invoke up"
        raise DevError(f"no answer from {aws}: {type(error).__name__}", hint) from None
    except (exceptions.NoCredentialsError, exceptions.CredentialRetrievalError) as error:
        raise DevError(f"no credentials for {aws}: {error}", "aws configure") from None
    except exceptions.ClientError as error:
        code, reason = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        if code == _FAILED:
            raise DevError(f"{aws} failed: {reason}", "./invoke logs aws") from None
        if code not in _NOT_LET_IN:
            raise
        hint = "./invoke up" if aws.endpoint else "request the permission"
        raise DevError(f"{aws} denied access: {reason}", hint) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
