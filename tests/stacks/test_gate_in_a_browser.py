"""What a web page of another origin can do with the embedded AWS emulator, in a real browser."""

import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from scripts import clients
from scripts.cognito import user_pool
from scripts.dynamodb import tables
from scripts.stacks.embedded.emulator import gate
from scripts.stacks.embedded.emulator.services import COGNITO
from scripts.targets import Aws
from tests.stacks.conftest import PASSWORD, sign_dynamodb

FETCH = """async ([url, options]) => {
    try {
        const answer = await fetch(url, options);
        return {type: answer.type, status: answer.status, text: await answer.text()};
    } catch (error) {
        return String(error);
    }
}"""
BLOCKED = "TypeError: Failed to fetch"


class Empty(http.server.BaseHTTPRequestHandler):
    """An app of its own: a page without anything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        opened = browser.new_page()
        try:
            opened.goto(f"http://localhost:{server.server_port}/")
            yield opened
        finally:
            opened.close()
            server.shutdown()


def fetch(page: Page, url: str, **options: Any) -> Any:
    return page.evaluate(FETCH, [url, options])


def test_it_signs_a_user_up_and_in(page: Page, aws: Aws) -> None:
    pool = user_pool.create_pool(replace(aws, sign_in="handle"))
    made = clients.cognito(aws).create_user_pool_client(UserPoolId=pool, ClientName="app")
    client_id = made["UserPoolClient"]["ClientId"]

    def call(operation: str, body: str) -> Any:
        target = {"X-Amz-Target": f"{COGNITO}.{operation}"}
        kind = {"Content-Type": "application/x-amz-json-1.1"}
        url = f"{aws.endpoint}/"
        return fetch(page, url, method="POST", headers=target | kind, body=body)

    user = f'"ClientId": "{client_id}", "Username": "ada", "Password": "{PASSWORD}"'
    assert call("SignUp", f"{{{user}}}")["status"] == 200
    assert [one.username for one in user_pool.list_users(aws, pool)] == ["ada"]
    keys = fetch(page, f"{aws.endpoint}/{pool}/.well-known/jwks.json")
    assert '"kty": "RSA"' in keys["text"]
    assert call("ListUsers", f'{{"UserPoolId": "{pool}"}}') == BLOCKED


def test_it_cannot_do_anything_else(page: Page, table: Aws) -> None:
    home = f"{table.endpoint}/"
    plain = {"method": "POST", "mode": "no-cors"}  # as a form sends it
    assert fetch(page, f"{home}_ministack/reset", **plain)["type"] == "opaque"
    assert fetch(page, f"{home}2015-03-31/functions", **plain, body="{}")["type"] == "opaque"
    target = {"X-Amz-Target": "DynamoDB_20120810.DeleteTable"}
    assert fetch(page, home, method="POST", headers=target) == BLOCKED
    assert fetch(page, home + gate.HEALTH[1:]) == BLOCKED
    signed = sign_dynamodb(table, "ListTables", "{}")
    assert fetch(page, home, method="POST", headers=signed, body="{}") == BLOCKED
    assert tables.list_tables(table) == ["cruddur-messages"]


def test_it_uses_urls_that_were_signed_for_it(page: Page, aws: Aws) -> None:
    client = clients.s3(aws)
    place = {"Bucket": f"avatars-{aws.access_key[-12:]}", "Key": "me.jpg"}
    client.create_bucket(Bucket=place["Bucket"])
    url = client.generate_presigned_url("put_object", {**place, "ContentType": "image/jpeg"})
    sent = {"method": "PUT", "headers": {"Content-Type": "image/jpeg"}, "body": "a picture"}
    assert fetch(page, url, **sent)["status"] == 200
    assert client.get_object(**place)["Body"].read() == b"a picture"
    url = client.generate_presigned_url("get_object", place)
    assert fetch(page, url)["text"] == "a picture"
    assert fetch(page, url.partition("?")[0]) == BLOCKED
