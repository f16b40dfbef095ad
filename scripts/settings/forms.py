"""The forms of values of settings: each function parses a text, or raises DevError.

The error names the variable and, unless it is a secret, the value.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from scripts.app import IDENTIFIER, IDENTIFIER_RULE
from scripts.errors import DevError

_CORRECT = "correct it"
_RESERVED_ROLES = ("public", "none", "user", "current_user", "current_role", "session_user")
_SYSTEM_DATABASES = ("postgres", "template0", "template1")


def whole_number(name: str, text: str, low: int, high: int) -> int:
    """The number that `text` writes; DevError with `name` unless it lies in low..high."""
    if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
        raise DevError(f"{name}={text} is not a number from {low} to {high}", _CORRECT)
    return int(text)


def port(name: str, text: str) -> int:
    """A TCP port."""
    return whole_number(name, text, 1, 65535)


def seconds(name: str, text: str) -> int:
    """A timeout of at most an hour."""
    return whole_number(name, text, 1, 3600)


def printable(name: str, text: str) -> str:
    """A text without control characters."""
    if not text.isprintable():
        raise DevError(f"{name} has characters that cannot be printed", _CORRECT)
    return text


def role(name: str, text: str) -> str:
    """A name that needs no quotes in SQL."""
    if not IDENTIFIER.fullmatch(text):
        raise DevError(f"{name}={text} {IDENTIFIER_RULE}", _CORRECT)
    return text


def superuser(name: str, text: str) -> str:
    """A role that initdb can create."""
    if text.lower() in _RESERVED_ROLES or text.lower().startswith("pg_"):
        raise DevError(f"{name}={text} is a name that PostgreSQL reserves", _CORRECT)
    return role(name, text)


def folder(name: str, text: str) -> str:
    """An absolute path."""
    if not text.startswith("/"):
        raise DevError(f"{name}={text} is not an absolute path", _CORRECT)
    return printable(name, text)


def database(name: str, text: str) -> str:
    """The name of a database that is not Postgres' own."""
    if text in _SYSTEM_DATABASES:
        raise DevError(f"{name}={text} is a database of Postgres itself", _CORRECT)
    return role(name, text)


def account(name: str, text: str) -> str:
    """An AWS account ID."""
    if not re.fullmatch(r"[0-9]{12}", text):
        raise DevError(f"{name}={text} is not an account ID, which has 12 digits", _CORRECT)
    return text


def url(name: str, text: str) -> str:
    """An http or https URL."""
    if not _is_url(text, "http", "https"):
        raise DevError(f"{name}={text} is not a URL", _CORRECT)
    return text


def database_url(name: str, text: str) -> str:
    """A postgresql:// URL, which may hold a password: so it is not shown."""
    if not _is_url(text, "postgresql", "postgres"):
        hint = "write it as postgresql://user:password@host:5432/database"
        raise DevError(f"{name} is not the URL of a database (its value is not shown)", hint)
    return text


def _is_url(text: str, *schemes: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in schemes and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


def address(name: str, text: str) -> str:
    """An IPv4 or IPv6 address."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise DevError(f"{name}={text} is not an IP address", _CORRECT) from None


def password(name: str, text: str) -> str:
    """A password that Cognito's default policy accepts; it is not shown."""
    rules = {
        "8 to 256 characters": ".{8,256}",
        "an uppercase letter": ".*[A-Z].*",
        "a lowercase letter": ".*[a-z].*",
        "a digit": ".*[0-9].*",
        "a symbol": r""".*[$^*.\[\]{}()?"!@#%&/\\,><':;|_~`+=-].*""",
        "no space or control character": r"[^\s\x00-\x1f\x7f]*",
    }
    broken = [rule for rule, form in rules.items() if not re.fullmatch(form, text, re.DOTALL)]
    if broken:
        raise DevError(f"{name} (not shown) must have {', '.join(broken)}", _CORRECT)
    return text
