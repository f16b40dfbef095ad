"""Which ports a server tries: none that an app listens on by default, unless the user set it."""

from dataclasses import replace
from itertools import islice

import pytest

from scripts import settings
from scripts.stacks import ports
from tests.conftest import PROJECT


@pytest.mark.parametrize(
    ("preferred", "tried"),
    [(4566, [4566, 4568, 4569]), (2999, [2999, 3001, 3002]), (5000, [5001, 5002, 5003])],
)
def test_the_ports_of_apps_are_left_out(preferred: int, tried: list[int]) -> None:
    loaded = replace(settings.load(PROJECT, {}), emulator_port=preferred)
    for last in (None, 4567):
        found = ports.to_try(loaded, "emulator_port", last, anywhere=True)
        assert list(islice(found, 3)) == tried


def test_no_default_is_a_port_of_apps() -> None:
    loaded = settings.load(PROJECT, {})
    names = ("postgres_port", "emulator_port", "dynamodb_port", "web_port")
    assert not {getattr(loaded, name) for name in names} & ports.OF_APPS


def test_one_that_the_user_set_is_taken() -> None:
    loaded = settings.load(PROJECT, {"AWS_EMULATOR_PORT": "4567"})
    assert list(ports.to_try(loaded, "emulator_port", None)) == [4567]
