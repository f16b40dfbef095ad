"""The e-mail address of each user in the pool: valid and unique, whatever Postgres holds."""

import itertools
import re
from collections.abc import Iterable, Iterator

from scripts.cognito.users import User

_ADDRESS = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@[a-z0-9-]+(\.[a-z0-9-]+)+", re.ASCII | re.I)
_DOT_ATOM = re.compile(r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*", re.I)


def assign(users: Iterable[User], taken: Iterable[str], pool_name: str) -> dict[str, str]:
    """The address of each user, by handle; none of them is in `taken`.

    A user whose own address is missing, invalid or taken gets a local one.
    """
    used = {address.lower() for address in taken}
    chosen = {}
    for user in users:
        own = [user.email] if _ADDRESS.fullmatch(user.email) else []
        candidates = itertools.chain(own, _local_addresses(user.handle, pool_name))
        address = next(one for one in candidates if one.lower() not in used)
        used.add(address.lower())
        chosen[user.handle] = address
    return chosen


def is_local(address: str, pool_name: str) -> bool:
    """True if this tool made the address; RFC 2606 reserves its domain, without mail."""
    return address.endswith(f"@{_domain(pool_name)}")


def make_local(name: str, pool_name: str) -> str:
    """The local address of a name: korney@cruddur.example."""
    return next(_local_addresses(name, pool_name))


def _local_addresses(name: str, pool_name: str) -> Iterator[str]:
    local = "-".join(_DOT_ATOM.findall(name))[:50] or "user"
    yield f"{local}@{_domain(pool_name)}"
    for number in itertools.count(2):
        yield f"{local}-{number}@{_domain(pool_name)}"


def _domain(pool_name: str) -> str:
    label = "-".join(re.findall("[a-z0-9]+", pool_name.lower()))[:50]
    return f"{label or 'app'}.example"
