"""The e-mail address of each user in the pool."""

import pytest

from scripts.cognito import addresses
from scripts.cognito.users import User


def user(handle: str, email: str = "") -> User:
    return User("id", handle, handle, email, None)


def assign(*users: User, taken: tuple[str, ...] = ()) -> list[str]:
    return list(addresses.assign(users, taken, "my Shop_2").values())


def test_a_valid_address_is_taken_as_it_is() -> None:
    assert assign(user("ada", "Ada.L+x@Example.co.uk")) == ["Ada.L+x@Example.co.uk"]


@pytest.mark.parametrize(
    "text", ["", "ada", "ada@", "@x.org", "ada@localhost", "a b@x.org", "a@b@x.org", "ä@x.org"]
)
def test_what_is_no_address_is_replaced_by_a_local_one(text: str) -> None:
    assert assign(user("ada", text)) == ["ada@my-shop-2.example"]


def test_the_first_of_two_users_has_the_address() -> None:
    given = assign(user("ada", "same@x.org"), user("ben", "Same@X.org"))
    assert given == ["same@x.org", "ben@my-shop-2.example"]


def test_an_address_of_somebody_in_the_pool_is_left_to_them() -> None:
    assert assign(user("ada", "a@x.org"), taken=("A@x.org",)) == ["ada@my-shop-2.example"]


def test_local_addresses_are_numbered_where_they_would_be_the_same() -> None:
    given = assign(user("a b"), user("a-b"), user("a/b"), taken=("a-b@my-shop-2.example",))
    assert given == [f"a-b-{number}@my-shop-2.example" for number in (2, 3, 4)]


@pytest.mark.parametrize(
    ("handle", "local"),
    [
        ("ann.lee", "ann.lee"),
        (".ann..lee.", "ann-lee"),
        ("Ann Lee", "Ann-Lee"),
        ("Жанна", "user"),
        ("x" * 80, "x" * 50),
    ],
)
def test_any_handle_makes_a_valid_address(handle: str, local: str) -> None:
    (address,) = assign(user(handle))
    assert address == f"{local}@my-shop-2.example"
    assert addresses.is_local(address, "my Shop_2")
    assert assign(user("other", address)) == [address]


@pytest.mark.parametrize(("name", "domain"), [("cruddur", "cruddur"), ("Ünï", "n"), ("_", "app")])
def test_the_domain_is_a_valid_one(name: str, domain: str) -> None:
    assert addresses.make_local("ada", name) == f"ada@{domain}.example"
