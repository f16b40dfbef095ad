"""Where things are, as plain values, and whose they are."""

import ipaddress
from dataclasses import dataclass, field, replace

from scripts.app import Cognito, Messages, Users

UNCHECKED = "local"  # what is given to an emulator that checks no secret


@dataclass(frozen=True)
class Database:
    """One Postgres database, and who logs in to it.

    `owned`: its server is this checkout's own. A loopback address does not say so: it may be the
    near end of a tunnel. `postgres_home` is the PostgreSQL installation whose psql and pg_dump are
    used, "" for the one that comes with this project. `users` is the app's table of users in it.
    `shown` is its name in messages, "" for its own.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    name: str
    sslmode: str = "prefer"
    owned: bool = False
    postgres_home: str = ""
    users: Users | None = None
    shown: str = ""

    def __str__(self) -> str:
        return f"{self.shown or self.name} on {self.host}:{self.port}"

    def variables(self) -> dict[str, str]:
        """The environment variables by which libpq and its programs find it."""
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.name,
            "PGSSLMODE": self.sslmode,
        }

    def named(self, name: str) -> "Database":
        """Another database of the same server."""
        return replace(self, name=name, shown="")

    def at(self, port: int) -> "Database":
        """The same on another port."""
        return replace(self, port=port)


@dataclass(frozen=True)
class Aws:
    """One AWS account and region, and the user pool in it.

    `endpoint` is an emulator's, None for AWS itself; `dynamodb_endpoint` is set where DynamoDB has
    an address of its own. Without an access key the usual chain of credentials applies, starting
    from `profile`. The pool is found by its id, or else by its name. `owned`: the emulators are
    this checkout's own, wherever they run. `keeps_tags`: DynamoDB Local does not know any.
    `messages` is the table of the app's direct messages. `user_password` is the password of local
    users; on AWS there is no known one. `sign_in` is how users sign in: `email` or `handle`.
    """

    region: str
    endpoint: str | None = None
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    profile: str = ""
    pool_name: str = ""
    pool_id: str = ""
    user_password: str = field(default="", repr=False)
    dynamodb_endpoint: str | None = None
    keeps_tags: bool = True
    owned: bool = False
    messages: str = Messages.table
    sign_in: str = Cognito.sign_in

    def __str__(self) -> str:
        apart = f" (DynamoDB: {self.dynamodb_endpoint})" if self.dynamodb_endpoint else ""
        return f"{self.endpoint or f'AWS {self.region}'}{apart}"

    def endpoint_of(self, service: str) -> str | None:
        """Where a service (`dynamodb`, `cognito-idp`) is asked; None for AWS itself."""
        return (self.dynamodb_endpoint if service == "dynamodb" else None) or self.endpoint


@dataclass(frozen=True)
class Loss:
    """What a destructive task would lose that this tool did not create, by name."""

    name: str
    content: list[str]


@dataclass(frozen=True)
class Targets:
    """Where a stack keeps the app's data; `mock` where it is for mock data only."""

    database: Database
    aws: Aws
    mock: bool = True


def is_loopback(host: str) -> bool:
    """Is this host name or address the machine we run on?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
