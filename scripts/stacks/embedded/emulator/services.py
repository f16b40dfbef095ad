"""The services and operations that the emulator answers: those that an app needs, no other."""

import re
from urllib.parse import parse_qs

from scripts.stacks.embedded.emulator.refusal import RefusedError
from scripts.stacks.embedded.emulator.request import Request

COGNITO = "AWSCognitoIdentityProviderService"
ENABLED = "DynamoDB, Cognito user pools, S3, EC2 security groups and sts:GetCallerIdentity"

# What an X-Amz-Target begins with, and the service that the signature of the request is for.
_JSON = {
    "DynamoDB_20120810": "dynamodb",
    "DynamoDBStreams_20120810": "dynamodb",
    COGNITO: "cognito-idp",
}
_FORMS = {
    "ec2": re.compile("[A-Za-z]+SecurityGroup[A-Za-z]*"),
    "sts": re.compile("GetCallerIdentity"),
}
# Buckets that ministack would take for something else of its own.
_NO_BUCKETS = {"health", "iceberg", "login", "logout", "oauth2", "restapis", "v20180820"}
_BUCKET = re.compile("[a-z0-9][a-z0-9.-]{2,}")


def check(request: Request, service: str, body: bytes) -> None:
    """Raise RefusedError for an operation that the emulator does not answer.

    `service` is the one that the request is signed for.
    """
    if service == "s3":
        enabled = not request.target and is_bucket(request.path)
    elif request.method != "POST" or request.path != "/" or request.query:
        enabled = False
    elif service in _FORMS:
        actions = parse_qs(body.decode("utf-8", "replace")).get("Action", [])
        fits = [bool(_FORMS[service].fullmatch(action)) for action in actions]
        enabled = not request.target and fits == [True]
    else:
        enabled = _JSON.get(request.target.partition(".")[0]) == service
    if not enabled:
        raise RefusedError(f"this emulator supports {ENABLED}, not this request to {service}")


def is_bucket(path: str) -> bool:
    """Is this path a bucket, something in one, or the list of all?"""
    name = path[1:].partition("/")[0]
    return not name or (bool(_BUCKET.fullmatch(name)) and name not in _NO_BUCKETS)
