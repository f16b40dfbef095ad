"""Uploads by a URL or a form that the app signed: what was signed, and nothing else."""

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from scripts.stacks.embedded.emulator import gate
from scripts.stacks.embedded.emulator.services import COGNITO
from scripts.targets import Aws
from tests.stacks.conftest import PAGE, Answer, ask

SIGNED = [None, "s3v4"]
SECRET = "secret.txt"


@pytest.fixture(params=SIGNED)
def client(request: pytest.FixtureRequest, aws: Aws) -> Any:
    made = boto3.client(
        "s3",
        endpoint_url=aws.endpoint,
        region_name=aws.region,
        aws_access_key_id=aws.access_key,
        aws_secret_access_key=aws.secret_key,
        config=Config(signature_version=request.param),
    )
    made.create_bucket(Bucket=bucket(aws))
    made.put_object(Bucket=bucket(aws), Key=SECRET, Body=b"not for everybody")
    return made


def bucket(aws: Aws) -> str:
    return f"uploads-{aws.access_key[-12:]}"


def list_keys(client: Any, aws: Aws) -> set[str]:
    return {one["Key"] for one in client.list_objects_v2(Bucket=bucket(aws))["Contents"]}


HEADERS = [
    {"x-amz-copy-source": f"/uploads/{SECRET}"},
    {"x-amz-acl": "public-read"},
    {"x-amz-tagging": "a=b"},
    {"x-amz-meta-role": "admin"},
    {"X-AMZ-Website-Redirect-Location": "http://example.com"},
    {"x-amz-storage-class": "GLACIER"},
    {"x-amz-object-lock-mode": "COMPLIANCE"},
]


@pytest.mark.parametrize("header", HEADERS, ids=[next(iter(each)) for each in HEADERS])
def test_a_url_does_only_what_was_signed(client: Any, aws: Aws, header: dict[str, str]) -> None:
    place = {"Bucket": bucket(aws), "Key": "mine.txt"}
    url = client.generate_presigned_url("put_object", place).removeprefix(aws.endpoint)
    sent = {name: text.replace("/uploads/", f"/{bucket(aws)}/") for name, text in header.items()}
    assert ask(aws, "PUT", url, sent, "").status == 403
    for more in ("&acl", "&x-amz-copy-source=x", "&tagging", "&uploads"):
        assert ask(aws, "PUT", url + more, {}, "").status == 403
    assert list_keys(client, aws) == {SECRET}
    assert ask(aws, "PUT", url, {}, "mine").status == 200
    assert client.get_object(**place)["Body"].read() == b"mine"


def test_a_header_that_was_signed_is_obeyed(client: Any, aws: Aws) -> None:
    place = {"Bucket": bucket(aws), "Key": "mine.txt", "Metadata": {"role": "guest"}}
    url = client.generate_presigned_url("put_object", place).removeprefix(aws.endpoint)
    header = {} if "x-amz-meta-role=guest" in url else {"x-amz-meta-role": "guest"}
    assert ask(aws, "PUT", url, header, "mine").status == 200
    assert client.head_object(Bucket=bucket(aws), Key="mine.txt")["Metadata"] == {"role": "guest"}
    assert ask(aws, "PUT", url, {"x-amz-meta-role": "admin"}, "mine").status == 403


def post(aws: Aws, fields: dict[str, str], content: str = "a picture", **headers: str) -> Answer:
    """Send a form, as a page does."""
    lines = [
        f'--cut\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in fields.items()
    ]
    file = (
        f'--cut\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n{content}\r\n'
    )
    kind = {"Content-Type": "multipart/form-data; boundary=cut"}
    path = f"/{bucket(aws)}"
    return ask(aws, "POST", path, PAGE | kind | headers, "".join([*lines, file, "--cut--\r\n"]))


def test_a_form_uploads_what_its_policy_allows(client: Any, aws: Aws) -> None:
    signed = client.generate_presigned_post(
        bucket(aws),
        "avatars/${filename}",
        Fields={"acl": "private"},
        Conditions=[{"acl": "private"}, ["content-length-range", 1, 20]],
    )
    assert signed["url"] == f"{aws.endpoint}/{bucket(aws)}"
    fields = signed["fields"]
    assert ask(aws, "OPTIONS", f"/{bucket(aws)}", PAGE).lets_read() == "*"
    answer = post(aws, fields)
    assert (answer.status, answer.lets_read()) == (204, "*")
    assert client.get_object(Bucket=bucket(aws), Key="avatars/a")["Body"].read() == b"a picture"
    assert post(aws, fields, "x" * 21).status == 400
    assert post(aws, fields | {"acl": "public-read"}).status == 403
    assert post(aws, fields | {"key": SECRET}).status == 403
    assert post(aws, fields | {"x-amz-meta-role": "admin"}).status == 403
    assert list_keys(client, aws) == {SECRET, "avatars/a"}


def list_forgeries(fields: dict[str, str]) -> Iterator[dict[str, str]]:
    """A form with another signature, key or policy, and with none."""
    signature = "signature" if "signature" in fields else "x-amz-signature"
    who = "AWSAccessKeyId" if "AWSAccessKeyId" in fields else "x-amz-credential"
    yield fields | {signature: "0" * 64}
    yield fields | {who: f"X{fields[who]}"}
    yield fields | {"policy": fields["policy"][:-4]}
    for name in (signature, who, "policy"):
        yield {key: text for key, text in fields.items() if key != name}
    yield {"key": "theirs"}


def test_a_form_that_nobody_signed_is_refused(client: Any, aws: Aws) -> None:
    fields = client.generate_presigned_post(bucket(aws), "theirs")["fields"]
    for forged in list_forgeries(fields):
        assert post(aws, forged).status == 403
    assert post(aws, fields, **{"x-amz-copy-source": f"/{bucket(aws)}/{SECRET}"}).status == 403
    expired = client.generate_presigned_post(bucket(aws), "theirs", ExpiresIn=-10)["fields"]
    assert post(aws, expired).status == 403
    assert list_keys(client, aws) == {SECRET}


def send_chunks(aws: Aws, path: str, headers: dict[str, str], chunks: Iterator[bytes]) -> int:
    """Send a body whose length no header says."""
    connection = http.client.HTTPConnection(urlsplit(aws.endpoint or "").netloc, timeout=30)
    try:
        connection.request("POST", path, chunks, headers, encode_chunked=True)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("operation", ["SignUp", "InitiateAuth", "ForgotPassword"])
def test_a_request_without_a_signature_has_a_small_body(aws: Aws, operation: str) -> None:
    headers = PAGE | {"X-Amz-Target": f"{COGNITO}.{operation}"}
    large = json.dumps({"ClientId": "x" * gate.PUBLIC_BYTES})
    answer = ask(aws, "POST", "/", headers, large)
    assert (answer.status, json.loads(answer.text)) == (
        403,
        {
            "__type": "AccessDeniedException",
            "message": "a body of 1,000,016 bytes without a signature; at most 1,000,000",
        },
    )
    chunked = headers | {"Transfer-Encoding": "chunked"}
    assert send_chunks(aws, "/", chunked, (b"x" * 100_000 for _ in range(11))) == 403
    assert ask(aws, "POST", "/", headers, json.dumps({"ClientId": "x" * 900_000})).status == 400
