"""The emulator of a checkout, and requests to it that no SDK would send."""

import contextlib
import http.client
import json
import signal
import time
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from scripts import clients, stacks
from scripts.dynamodb import parallel_scan, tables
from scripts.stacks import processes
from scripts.stacks.embedded import aws_emulator
from scripts.stacks.embedded.emulator.services import COGNITO
from scripts.targets import Aws
from tests.conftest import Checkout

TABLE = "cruddur-messages"
PAGE = {"Origin": "http://localhost:3000"}
PASSWORD = "Secret-Pass-1"


def sign(
    aws: Aws, url: str, headers: dict[str, str], body: str = "", service: str = "dynamodb"
) -> dict[str, str]:
    """The headers of a POST, with a signature made with the key."""
    request = AWSRequest("POST", url, headers, body)
    SigV4Auth(Credentials(aws.access_key, aws.secret_key), service, aws.region).add_auth(request)
    return dict(request.headers.items())


def sign_dynamodb(aws: Aws, action: str, body: str) -> dict[str, str]:
    """The headers of a request to DynamoDB."""
    target = {"X-Amz-Target": f"DynamoDB_20120810.{action}"}
    kind = {"Content-Type": "application/x-amz-json-1.0"}
    return sign(aws, f"{aws.endpoint}/", target | kind, body)


@dataclass(frozen=True)
class Answer:
    """What came back: the status, the headers with names in lower case, the body."""

    status: int
    headers: dict[str, str]
    text: str

    def lets_read(self) -> str | None:
        """Whose pages may read it."""
        return self.headers.get("access-control-allow-origin")


def ask(
    aws: Aws, method: str, path: str, headers: dict[str, str] | None = None, body: str = ""
) -> Answer:
    """Send a request to the emulator as it stands."""
    connection = http.client.HTTPConnection(urlsplit(aws.endpoint or "").netloc, timeout=30)
    try:
        connection.request(method, path, body.encode(), headers or {})
        got = connection.getresponse()
        found = {name.lower(): value for name, value in got.getheaders()}
        return Answer(got.status, found, got.read().decode())
    finally:
        connection.close()


def call(aws: Aws, operation: str, **data: Any) -> Any:
    """What a page gets from Cognito. It must be allowed to read it."""
    headers = {**PAGE, "X-Amz-Target": f"{COGNITO}.{operation}"}
    assert ask(aws, "OPTIONS", "/", PAGE).lets_read() == "*"
    answer = ask(aws, "POST", "/", headers, json.dumps(data))
    assert answer.lets_read() == "*"
    return json.loads(answer.text)


def sign_in(aws: Aws, client_id: str, username: str = "ada") -> Any:
    login = {"USERNAME": username, "PASSWORD": PASSWORD}
    flow = "USER_PASSWORD_AUTH"
    return call(aws, "InitiateAuth", ClientId=client_id, AuthFlow=flow, AuthParameters=login)


def sign_up(aws: Aws, client_id: str, username: str = "ada") -> None:
    call(aws, "SignUp", ClientId=client_id, Username=username, Password=PASSWORD)
    call(aws, "ConfirmSignUp", ClientId=client_id, Username=username, ConfirmationCode="123456")


@dataclass(frozen=True)
class Emulator:
    """The emulator of a checkout, to be killed and started again."""

    checkout: Checkout

    def start(self) -> None:
        aws_emulator.start(self.checkout.settings())

    def end(self, *signals: signal.Signals, pause: float = 0) -> None:
        process = self.process()
        for number in signals:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
            time.sleep(pause)
        process.wait(30)

    def process(self) -> psutil.Process:
        process = processes.find(aws_emulator.server(self.checkout.settings()))
        assert process
        return process

    def restart(self) -> None:
        self.end(signal.SIGKILL)
        self.start()

    def aws(self, account: str = "000000000000", region: str = "us-east-1") -> Aws:
        settings = replace(self.checkout.settings(), emulator_account=account)
        return replace(stacks.targets(settings).aws, region=region)

    def dynamodb(self) -> Any:
        return clients.dynamodb(self.aws())

    def create_table(self, aws: Aws | None = None) -> None:
        path = self.checkout.root / "ddb" / "tables" / f"{TABLE}.json"
        tables.ensure_table(aws or self.aws(), tables.read_definition(path))

    def items(self, aws: Aws | None = None, table: str = TABLE) -> dict[str, Any]:
        found = parallel_scan.scan(aws or self.aws(), table)
        return {f"{item['pk']['S']} {item['sk']['S']}": item for item in found}

    def state(self, name: str) -> Any:
        return aws_emulator.data_folder(self.checkout.settings()) / "state" / name


@pytest.fixture
def emulator(checkout: Checkout) -> Emulator:
    made = Emulator(checkout)
    made.start()
    return made
