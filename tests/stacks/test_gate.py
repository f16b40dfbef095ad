"""Who gets an answer from the embedded AWS emulator: another user, a web page, the app."""

import base64
import json
import socket
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from scripts import clients, stacks
from scripts.cognito import user_pool
from scripts.dynamodb import tables
from scripts.errors import DevError
from scripts.stacks.embedded import aws_emulator
from scripts.stacks.embedded.emulator import gate
from scripts.stacks.embedded.emulator.services import COGNITO
from scripts.targets import Aws
from tests.stacks.conftest import (
    PAGE,
    PASSWORD,
    Answer,
    Emulator,
    ask,
    call,
    sign,
    sign_dynamodb,
    sign_in,
    sign_up,
)

USE_OURS = "use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of ./invoke env"
LIST_TABLES = {"X-Amz-Target": "DynamoDB_20120810.ListTables"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def said(answer: Answer) -> tuple[int, Any]:
    return answer.status, json.loads(answer.text)


def unsigned(reason: str) -> Any:
    return {"__type": "UnrecognizedClientException", "message": f"{reason}; {USE_OURS}"}


def port(aws: Aws) -> int:
    return urlsplit(aws.endpoint or "").port or 0


def sdk(aws: Aws, service: str, **config: Any) -> Any:
    """A client as an app makes it from the variables of `env`."""
    return boto3.client(
        service,
        endpoint_url=aws.endpoint,
        region_name=aws.region,
        aws_access_key_id=aws.access_key,
        aws_secret_access_key=aws.secret_key,
        config=Config(**config),
    )


# Another user of this machine, who has no key


@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        ("POST", "/2015-03-31/functions", {}, '{"FunctionName": "run-me"}'),
        ("POST", "/2015-03-31/functions", FORM, '{"FunctionName": "run-me"}'),
        ("POST", "/_ministack/reset", {}, ""),
        ("POST", "/_ministack/config", {}, '{"lambda_svc.LAMBDA_EXECUTOR": "local"}'),
        ("POST", "/_ministack/health", {}, ""),
        ("GET", "/_ministack/ready", {}, ""),
        ("GET", "/health", {}, ""),
        ("GET", "/", {}, ""),
        ("GET", "/bucket/key", {}, ""),
        ("PUT", "/bucket", {}, ""),
        ("POST", "/", LIST_TABLES, "{}"),
        ("POST", "/", LIST_TABLES | FORM, "{}"),
        ("POST", "/oauth2/token", {}, ""),
        ("POST", "/", {"X-Amz-Target": f"{COGNITO}.ListUserPools"}, "{}"),
        ("POST", "/", {"X-Amz-Target": "AWSCognitoIdentityService.GetId"}, "{}"),
        ("POST", "/", {"Authorization": "AWS key:signature"}, ""),
        ("POST", "/", {"Authorization": "Bearer token"}, ""),
    ],
)
def test_who_does_not_sign_is_refused(
    aws: Aws, method: str, path: str, headers: dict[str, str], body: str
) -> None:
    answer = ask(aws, method, path, headers, body)
    assert said(answer) == (403, unsigned("the request is not signed"))
    assert answer.lets_read() is None


def test_a_reset_by_somebody_else_wipes_nothing(table: Aws) -> None:
    ask(table, "POST", "/_ministack/reset")
    assert tables.list_tables(table) == ["cruddur-messages"]


def test_an_account_alone_is_no_key(aws: Aws) -> None:
    for key_id in (aws.access_key[-12:], aws.access_key[:-12], f"{aws.access_key}1", "lost", ""):
        headers = sign_dynamodb(replace(aws, access_key=key_id), "ListTables", "{}")
        answer = ask(aws, "POST", "/", headers, "{}")
        assert said(answer) == (403, unsigned("the request is signed with another key"))


def test_the_id_of_the_key_is_not_enough(aws: Aws) -> None:
    headers = sign_dynamodb(replace(aws, secret_key="guess"), "ListTables", "{}")
    wrong = unsigned("the signature does not belong to the request and the secret key")
    assert said(ask(aws, "POST", "/", headers, "{}")) == (403, wrong)
    headers = sign_dynamodb(aws, "ListTables", "{}")
    assert ask(aws, "POST", "/", headers, "{}").status == 200
    assert said(ask(aws, "POST", "/", headers, '{"Limit": 1}')) == (403, wrong)
    other = headers | {"X-Amz-Target": "DynamoDB_20120810.DescribeLimits"}
    assert said(ask(aws, "POST", "/", other, "{}")) == (403, wrong)


def test_a_broken_signature_is_named(aws: Aws) -> None:
    status, error = said(ask(aws, "POST", "/", {"Authorization": "AWS4-HMAC-SHA256 x"}))
    assert status == 403
    assert error["message"].startswith("Authorization header requires 'Credential' parameter.")


@pytest.mark.parametrize(
    ("service", "code"),
    [
        ("dynamodb", "UnrecognizedClientException"),
        ("cognito-idp", "UnrecognizedClientException"),
        ("s3", "InvalidAccessKeyId"),
        ("ec2", "AuthFailure"),
        ("sts", "InvalidClientTokenId"),
    ],
)
def test_the_sdk_raises_the_error_of_each_service(aws: Aws, service: str, code: str) -> None:
    client = sdk(replace(aws, access_key="000000000000"), service)
    calls: dict[str, Any] = {
        "dynamodb": lambda: client.list_tables(),
        "cognito-idp": lambda: client.list_user_pools(MaxResults=1),
        "s3": lambda: client.list_buckets(),
        "ec2": lambda: client.describe_security_groups(),
        "sts": lambda: client.get_caller_identity(),
    }
    with pytest.raises(ClientError) as error:
        calls[service]()
    reason = f"the request is signed with another key; {USE_OURS}"
    assert error.value.response["Error"]["Code"] == code
    assert error.value.response["Error"]["Message"] == reason


def test_our_own_commands_say_what_helps(aws: Aws) -> None:
    with pytest.raises(DevError) as error:
        tables.list_tables(replace(aws, access_key="000000000000"))
    reason = f"the request is signed with another key; {USE_OURS}"
    assert error.value.reason == f"{aws.endpoint} denied access: {reason}"
    assert error.value.hint == "./invoke up"


# A web page


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_own_host_names_are_answered(aws: Aws, host: str) -> None:
    answer = ask(aws, "GET", gate.HEALTH, {"Host": f"{host}:{port(aws)}"})
    assert answer.status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:{}",
        "evil.example",
        "127.0.0.1",
        "127.0.0.1:1",
        "x.localhost:{}",
        "localhost:{}.x",
    ],
)
def test_other_host_names_are_refused(aws: Aws, host: str) -> None:
    names = ", ".join(f"{name}:{port(aws)}" for name in ("127.0.0.1", "[::1]", "localhost"))
    error = {
        "__type": "AccessDeniedException",
        "message": f"this emulator accepts requests to {names} only",
    }
    for path in (gate.HEALTH, "/"):
        answer = ask(aws, "GET", path, {"Host": host.format(port(aws))})
        assert said(answer) == (403, error)


def test_a_page_with_the_key_is_refused_too(aws: Aws) -> None:
    answer = ask(aws, "POST", "/", sign_dynamodb(aws, "ListTables", "{}") | PAGE, "{}")
    message = "a page of another origin may only call public operations of Cognito"
    assert said(answer) == (403, {"__type": "AccessDeniedException", "message": message})
    assert answer.lets_read() is None


def test_a_page_cannot_read_what_is_not_for_it(aws: Aws) -> None:
    asked = {**PAGE, "Access-Control-Request-Method": "PUT"}
    for path in ("/bucket/key", "/restapis/a/b/_user_request_/?X-Amz-Signature=x"):
        assert ask(aws, "OPTIONS", path, asked).lets_read() is None
    assert ask(aws, "GET", gate.HEALTH, PAGE).lets_read() is None
    signed = ask(aws, "POST", "/", sign_dynamodb(aws, "ListTables", "{}"), "{}")
    assert (signed.status, signed.lets_read()) == (200, None)


def test_a_web_socket_is_refused(aws: Aws) -> None:
    with socket.create_connection(("127.0.0.1", port(aws)), timeout=10) as connection:
        connection.sendall(
            f"GET /_aws/execute-api/a/b HTTP/1.1\r\nHost: 127.0.0.1:{port(aws)}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 403 ")


# What browsers call without a key


@pytest.fixture
def client_id(aws: Aws) -> str:
    pool = user_pool.create_pool(replace(aws, sign_in="handle"))
    made = clients.cognito(aws).create_user_pool_client(UserPoolId=pool, ClientName="app")
    return str(made["UserPoolClient"]["ClientId"])


def test_the_public_operations_are_those_of_aws() -> None:
    model = botocore.session.get_session().get_service_model("cognito-idp")
    names = model.operation_names
    assert {
        name for name in names if model.operation_model(name).auth_type == "none"
    } == gate.PUBLIC


def test_a_page_signs_up_and_in_whatever_the_account(aws: Aws, client_id: str) -> None:
    sign_up(aws, client_id)
    tokens = sign_in(aws, client_id)["AuthenticationResult"]
    assert call(aws, "GetUser", AccessToken=tokens["AccessToken"])["Username"] == "ada"
    call(
        aws,
        "ChangePassword",
        AccessToken=tokens["AccessToken"],
        PreviousPassword=PASSWORD,
        ProposedPassword="Other-Pass-2",
    )
    assert sign_in(aws, client_id)["__type"] == "NotAuthorizedException"
    call(aws, "GlobalSignOut", AccessToken=tokens["AccessToken"])
    gone = call(aws, "GetUser", AccessToken=tokens["AccessToken"])
    assert gone == {"__type": "NotAuthorizedException", "message": "Access Token has been revoked"}


def decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_tokens_can_be_verified_with_the_published_keys(aws: Aws, client_id: str) -> None:
    sign_up(aws, client_id)
    pool = user_pool.find_pool(aws)
    answer = ask(aws, "GET", f"/{pool}/.well-known/jwks.json", PAGE)
    assert answer.lets_read() == "*"
    keys = {key["kid"]: key for key in json.loads(answer.text)["keys"]}
    for name in ("AccessToken", "IdToken"):
        head, claims, signature = sign_in(aws, client_id)["AuthenticationResult"][name].split(".")
        key = keys[json.loads(decode(head))["kid"]]
        exponent, modulus = (int.from_bytes(decode(key[part]), "big") for part in ("e", "n"))
        public = rsa.RSAPublicNumbers(exponent, modulus).public_key()
        text = f"{head}.{claims}".encode()
        public.verify(decode(signature), text, padding.PKCS1v15(), SHA256())
    found = json.loads(ask(aws, "GET", f"/{pool}/.well-known/openid-configuration").text)
    assert found["jwks_uri"] == f"{aws.endpoint}/{pool}/.well-known/jwks.json"


def forge(token: str) -> str:
    """A token with another user's name, and the signature of the first one."""
    head, claims, signature = token.split(".")
    other = json.dumps(json.loads(decode(claims)) | {"username": "victim"}).encode()
    return f"{head}.{base64.urlsafe_b64encode(other).decode().rstrip('=')}.{signature}"


def test_forged_tokens_are_refused(aws: Aws, client_id: str) -> None:
    sign_up(aws, client_id)
    tokens = sign_in(aws, client_id)["AuthenticationResult"]
    assert call(aws, "GetUser", AccessToken=forge(tokens["AccessToken"])) == {
        "__type": "NotAuthorizedException",
        "message": "Could not verify signature for Access Token",
    }
    refresh = {"REFRESH_TOKEN": forge(tokens["RefreshToken"])}
    flow = {"ClientId": client_id, "AuthFlow": "REFRESH_TOKEN_AUTH"}
    invalid = {"__type": "NotAuthorizedException", "message": "Invalid Refresh Token"}
    assert call(aws, "InitiateAuth", **flow, AuthParameters=refresh) == invalid
    data = {"ClientId": client_id, "RefreshToken": refresh["REFRESH_TOKEN"]}
    assert call(aws, "GetTokensFromRefreshToken", **data) == invalid
    refresh = {"REFRESH_TOKEN": tokens["RefreshToken"]}
    renewed = call(aws, "InitiateAuth", **flow, AuthParameters=refresh)
    assert "AccessToken" in renewed["AuthenticationResult"]


# The app, which has the key


@pytest.mark.parametrize("service", ["lambda", "cloudformation", "iam", "sqs", "tagging", "events"])
def test_services_that_no_app_needs_are_off(aws: Aws, service: str) -> None:
    answer = ask(aws, "POST", "/", sign(aws, f"{aws.endpoint}/", {}, "", service))
    assert said(answer) == (403, not_enabled(service))


def not_enabled(service: str) -> Any:
    return {
        "__type": "AccessDeniedException",
        "message": "this emulator supports DynamoDB, Cognito user pools, S3, EC2 security groups"
        f" and sts:GetCallerIdentity, not this request to {service}",
    }


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("lambda", "list_functions", {}),
        ("cloudformation", "create_stack", {"StackName": "app", "TemplateBody": "{}"}),
        ("resourcegroupstaggingapi", "tag_resources", {"ResourceARNList": ["a"], "Tags": {}}),
        ("cognito-identity", "list_identity_pools", {"MaxResults": 1}),
        ("sts", "assume_role", {"RoleArn": "arn:aws:iam::1:role/admin", "RoleSessionName": "me"}),
        ("ec2", "run_instances", {"ImageId": "ami-1", "MinCount": 1, "MaxCount": 1}),
    ],
)
def test_the_sdk_says_what_is_enabled(
    aws: Aws, service: str, operation: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ClientError, match="this emulator supports DynamoDB, Cognito user pools"):
        getattr(sdk(aws, service), operation)(**arguments)


@pytest.mark.parametrize(
    ("path", "service", "headers", "body"),
    [
        ("/_ministack/reset", "s3", {}, ""),
        ("/_ministack/config", "s3", {}, "{}"),
        ("/2015-03-31/functions", "dynamodb", {}, "{}"),
        ("/2015-03-31/functions", "s3", {"X-Amz-Target": "AWSLambda.CreateFunction"}, "{}"),
        ("/", "s3", {"X-Amz-Target": "AmazonSQS.ListQueues"}, "{}"),
        ("/v2/email/identities", "s3", {}, "{}"),
        ("/oauth2/token", "s3", {}, ""),
        ("/?Action=ListUsers", "ec2", FORM, "Action=DescribeSecurityGroups"),
        ("/", "ec2", FORM, "Action=DescribeSecurityGroups&Action=RunInstances"),
        ("/", "cognito-idp", LIST_TABLES, "{}"),
    ],
)
def test_no_other_way_leads_to_them(
    aws: Aws, path: str, service: str, headers: dict[str, str], body: str
) -> None:
    signed = sign(aws, f"{aws.endpoint}{path}", headers, body, service)
    answer = ask(aws, "POST", path, signed, body)
    assert answer.status == 403
    assert not_enabled(service)["message"] in answer.text


@pytest.mark.parametrize("version", [None, "s3v4"])
def test_a_page_uses_a_url_that_was_signed_for_it(aws: Aws, version: str | None) -> None:
    client = sdk(aws, "s3", signature_version=version)
    bucket = f"avatars-{aws.access_key[-12:]}"
    client.create_bucket(Bucket=bucket)
    place = {"Bucket": bucket, "Key": "a folder/ü & me.jpg"}
    url = client.generate_presigned_url("put_object", {**place, "ContentType": "image/jpeg"})
    path = url.removeprefix(aws.endpoint or "")
    sent = {**PAGE, "Content-Type": "image/jpeg"}
    assert ask(aws, "OPTIONS", path, PAGE).lets_read() == "*"
    answer = ask(aws, "PUT", path, sent, "a picture")
    assert (answer.status, answer.lets_read()) == (200, "*")
    assert client.get_object(**place)["Body"].read() == b"a picture"
    url = client.generate_presigned_url("get_object", place)
    assert urllib.request.urlopen(url).read() == b"a picture"
    for changed in (url.replace("me.jpg", "you.jpg"), url.replace(bucket, "other")):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(changed)
    path = url.removeprefix(aws.endpoint or "")
    assert ask(aws, "DELETE", path).status == 403
    for other in (f"//other{path}", f"{path}&legal-hold", path.replace("?", "%23x?")):
        assert ask(aws, "GET", other).status == 403


@pytest.mark.parametrize("version", [None, "s3v4"])
def test_a_signed_url_expires(aws: Aws, version: str | None) -> None:
    place = {"Bucket": "any", "Key": "key"}
    client = sdk(aws, "s3", signature_version=version)
    url = client.generate_presigned_url("get_object", place, ExpiresIn=0)
    time.sleep(1.1)
    answer = ask(aws, "GET", url.removeprefix(aws.endpoint or ""))
    error = "<Error><Code>AccessDenied</Code><Message>the URL has expired</Message></Error>"
    assert (answer.status, answer.text) == (403, error)


# The key


def test_the_key_is_private_and_random(emulator: Emulator) -> None:
    path = emulator.checkout.settings().state / "aws-key"
    key = aws_emulator.find_key(emulator.checkout.settings())
    assert key
    assert path.stat().st_mode & 0o777 == 0o600
    emulator.create_table()
    process = emulator.process()
    log = Path(emulator.checkout.settings().state / "aws.log").read_text()
    seen = f"{process.cmdline()} {process.environ()} {log} {emulator.aws()!r}"
    assert not [word for word in key if word in seen]


def test_a_new_key_is_accepted_at_once_and_finds_the_data(emulator: Emulator) -> None:
    emulator.create_table()
    before = emulator.aws()
    path = emulator.checkout.settings().state / "aws-key"
    path.write_text("DEVNEW secret")
    assert tables.list_tables(emulator.aws()) == ["cruddur-messages"]
    with pytest.raises(DevError, match="the request is signed with another key"):
        tables.list_tables(before)


def test_a_lost_key_is_made_anew_by_up(emulator: Emulator) -> None:
    emulator.create_table()
    settings = emulator.checkout.settings()
    (settings.state / "aws-key").unlink()
    status = emulator.checkout.run("status", expect=1)
    assert "its key is missing" in status.stdout
    refused = emulator.checkout.run("ddb.list-tables", expect=1).stderr
    reason = f"the request is signed with another key; {USE_OURS}"
    assert refused == f"{emulator.aws()} denied access: {reason}\nhint: ./invoke up\n"
    emulator.checkout.run("up")
    assert tables.list_tables(stacks.get_aws(settings)) == ["cruddur-messages"]
