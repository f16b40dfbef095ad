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

    def __str__(self) -> str:
        return f"{self.name} on {self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Does its server run on the machine we run on?"""
        return is_loopback(self.host)

    def named(self, name: str) -> "Database":
        """Another database of the same server."""
        return replace(self, name=name)

    def at(self, port: int) -> "Database":
        """The same on another port."""
        return replace(self, port=port)


@dataclass(frozen=True)
class Aws:
    """One AWS account and region; `endpoint` is None for AWS itself."""

    region: str
    endpoint: str | None
    access_key: str
    secret_key: str = field(repr=False)
    pool_name: str

    def __str__(self) -> str:
        return self.endpoint or f"AWS {self.region}"

    @property
    def is_local(self) -> bool:
        """Is this an emulator on the machine we run on?"""
        return self.endpoint is not None and is_loopback(urlsplit(self.endpoint).hostname or "")


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
