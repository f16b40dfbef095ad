"""Where things are, as plain values, and which places count as this machine."""

import ipaddress
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Database:
    """One Postgres database, and who logs in to it."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    name: str
    owned: bool = False
    """Is its server one that this checkout started, wherever it runs?"""

    def __str__(self) -> str:
        return f"{self.name} on {self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Does its server run on the machine we run on?"""
        return is_loopback(self.host)

    @property
    def is_for_development(self) -> bool:
        """May things that carry our mark be destroyed here?"""
        return self.is_local or self.owned

    def named(self, name: str) -> "Database":
        """Another database of the same server."""
        return replace(self, name=name)

    def at(self, port: int) -> "Database":
        """The same on another port."""
        return replace(self, port=port)


@dataclass(frozen=True)
class Aws:
    """One AWS account and region; `endpoint` is None for AWS itself.

    `dynamodb_endpoint` is set where DynamoDB has an address of its own.
    """

    region: str
    endpoint: str | None
    access_key: str
    secret_key: str = field(repr=False)
    pool_name: str
    dynamodb_endpoint: str | None = None
    keeps_tags: bool = True
    """Does its DynamoDB keep the tags of a table? DynamoDB Local does not know any."""
    owned: bool = False
    """Are its servers ones that this checkout started, wherever they run?"""

    def __str__(self) -> str:
        apart = f" (DynamoDB: {self.dynamodb_endpoint})" if self.dynamodb_endpoint else ""
        return f"{self.endpoint or f'AWS {self.region}'}{apart}"

    def endpoint_of(self, service: str) -> str | None:
        """Where a service (`dynamodb`, `cognito-idp`) is asked; None for AWS itself."""
        return (self.dynamodb_endpoint if service == "dynamodb" else None) or self.endpoint

    @property
    def is_local(self) -> bool:
        """Is this an emulator on the machine we run on?"""
        endpoints = {self.endpoint_of(service) for service in ("dynamodb", "cognito-idp")}
        return all(is_loopback(urlsplit(endpoint or "").hostname or "") for endpoint in endpoints)

    @property
    def is_for_development(self) -> bool:
        """May things that carry our mark be destroyed here?"""
        return self.is_local or self.owned


@dataclass(frozen=True)
class Targets:
    """Where a stack keeps the app's data."""

    database: Database
    aws: Aws


def is_loopback(host: str) -> bool:
    """Is this host name or address the machine we run on?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
