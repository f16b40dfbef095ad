"""The clients of Node.js find the environment by the variables of `./invoke run` alone."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import Checkout

FOLDER = Path(__file__).with_name("node")
CLIENTS = ("pg", "postgres", "knex")
HANDLES = ["korney", "smirnov"]


def test_every_client_of_node_finds_the_services(checkout: Checkout) -> None:
    if not shutil.which("node") or not (FOLDER / "node_modules").exists():
        missing = f"no Node.js with the packages of {FOLDER}; to install them: npm ci"
        (pytest.fail if os.environ.get("REQUIRE_NODE") else pytest.skip)(missing)
    checkout.run("setup")
    done = checkout.run("run", "--", "node", str(FOLDER / "clients.mjs"))
    assert json.loads(done.stdout) == {
        **{f"{client}, {how}": HANDLES for client in CLIENTS for how in ("url", "variables")},
        "dynamodb": 122,
        "s3": "a picture",
        "users": 2,
        "signedIn": True,
    }
