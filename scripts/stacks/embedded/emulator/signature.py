"""The key of the checkout, and the signature that a request must have been made with it.

A signature (Version 4, in URLs also Version 2) proves the key without sending its secret. The
access key ID is the checkout's random one and the 12 digits of the account that is meant.
"""

import base64
import hmac
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult

from ministack.core import sigv4

from scripts.stacks.embedded.emulator.refusal import KeyRefusedError, RefusedError
from scripts.stacks.embedded.emulator.request import Request

_KEY_ID = re.compile(r"(.+)([0-9]{12})")
_AMAZONS = re.compile("x-amz-", re.IGNORECASE)
_FORM_V4 = {"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"}
_V2 = {"AWSAccessKeyId", "Expires", "Signature", "content-md5", "content-type"}


class Key:
    """The checkout's key. Its file is read again when a request has another key."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._id, self._secret = self._read()

    def find_secret(self, key_id: str) -> str | None:
        """The secret that belongs to an ID; None for the ID of another key."""
        if not self._is(key_id):
            self._id, self._secret = self._read()
        return self._secret if self._is(key_id) else None

    def _is(self, key_id: str) -> bool:
        same = hmac.compare_digest(self._id.encode(), key_id.encode("utf-8", "replace"))
        return bool(self._id) and same

    def _read(self) -> tuple[str, str]:
        try:
            words = self._path.read_text(encoding="utf-8").split()
        except OSError:
            words = []
        return (words[0], words[1]) if len(words) == 2 else ("", "")


@dataclass(frozen=True)
class Claim:
    """A request that names the checkout's key; `check` verifies its signature."""

    signature: sigv4.HeaderSignature
    account: str
    secret: str = field(repr=False)


def find_claim(request: Request, key: Key) -> Claim:
    """The signature that the request claims. Raises KeyRefusedError for another key."""
    return _claim(_parse(request), key)


def check_form(request: Request, body: bytes, key: Key) -> Claim:
    """The claim of an upload by a form, whose policy the checkout's secret signed.

    Raises KeyRefusedError for another signature. Ministack checks what the policy demands, and
    when it expires. The fields are read as ministack reads them: the last of a name counts.
    """
    from ministack.services import s3  # seldom needed, and slow to import

    _refuse_unsigned(request, signed=set())
    parts = s3._parse_multipart_form(request.headers["content-type"], body) or []
    fields = {
        name.lower(): value.decode("utf-8", "replace")
        for name, _, _, value in parts
        if name != "file"
    }
    policy = fields.get("policy", "")
    if _FORM_V4 & fields.keys():
        scope = fields.get("x-amz-credential", "").split("/")
        sent = fields.get("x-amz-signature", "")
        key_id, date, region = scope[:3] if len(scope) == 5 else ("", "", "")
    else:
        sent, date, region = fields.get("signature", ""), "", ""
        key_id = fields.get("awsaccesskeyid", "")
    claim = _claim(sigv4.HeaderSignature(key_id, date, region, "s3", "", sent, ""), key)
    if date:
        expected = sigv4.calculate_signature(claim.secret, date, region, "s3", policy)
    else:
        digest = hmac.digest(claim.secret.encode(), policy.encode(), "sha1")
        expected = base64.b64encode(digest).decode()
    if not hmac.compare_digest(expected.encode(), sent.encode()):
        raise KeyRefusedError("the signature does not belong to the policy and the secret key")
    return claim


def _claim(signature: sigv4.HeaderSignature, key: Key) -> Claim:
    parts = _KEY_ID.fullmatch(signature.access_key_id)
    secret = key.find_secret(parts[1]) if parts else None
    if not parts or not secret:
        raise KeyRefusedError("the request is signed with another key")
    return Claim(signature, parts[2], secret)


def check(claim: Claim, request: Request, body: bytes) -> None:
    """Raise KeyRefusedError unless the checkout's secret signed this request."""
    if not (_is_right_v2 if request.presigned_v2 else _is_right)(claim, request, body):
        raise KeyRefusedError("the signature does not belong to the request and the secret key")
    if request.presigned and _is_expired(request):
        raise RefusedError("the URL has expired")
    if request.presigned and not request.presigned_v2:  # Version 2 signs all of them
        _refuse_unsigned(request, set(claim.signature.signed_headers.lower().split(";")))


def _refuse_unsigned(request: Request, signed: set[str]) -> None:
    """Raise RefusedError for headers by which S3 does more than what was signed, as AWS does."""
    extra = sorted(name for name in request.headers.keys() - signed if _AMAZONS.match(name))
    if extra:
        raise RefusedError(f"there were headers that were not signed: {', '.join(extra)}")


def _parse(request: Request) -> sigv4.HeaderSignature:
    if request.presigned_v2:
        key_id, signed = (request.query[name][0] for name in ("AWSAccessKeyId", "Signature"))
        return sigv4.HeaderSignature(key_id, "", "", "s3", "", signed, "")
    if request.presigned:
        signature = sigv4.parse_query_signature(request.query)
    elif request.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 "):
        signature = sigv4.parse_header_signature(request.headers)
    else:
        raise KeyRefusedError("the request is not signed")
    if isinstance(signature, tuple):
        raise KeyRefusedError(signature[1])
    return signature


def _is_right(claim: Claim, request: Request, body: bytes) -> bool:
    failure = sigv4.header_signature_failure(
        claim.signature,
        claim.secret,
        request.method,
        request.raw_path,
        request.query,
        request.headers,
        body,
        presigned=request.presigned,
    )
    return failure is None


def _is_right_v2(claim: Claim, request: Request, body: bytes) -> bool:
    from botocore.auth import HmacV1Auth  # seldom needed, and slow to import
    from botocore.compat import HTTPHeaders
    from botocore.credentials import Credentials

    signer = HmacV1Auth(Credentials(claim.signature.access_key_id, claim.secret))
    signer._get_date = lambda: request.query.get("Expires", [""])[0]
    in_url = {name: values[0] for name, values in request.query.items() if _AMAZONS.match(name)}
    headers = HTTPHeaders.from_dict({**in_url, **request.headers})
    url = SplitResult("", "", request.raw_path, request.raw_query, "")
    expected = signer.get_signature(request.method, url, headers)
    others = request.query.keys() - in_url.keys() - _V2 - set(signer.QSAOfInterest)  # not signed
    same = hmac.compare_digest(expected.encode(), claim.signature.signature.encode())
    return same and not others


def _is_expired(request: Request) -> bool:
    date, expires, until = (
        request.query.get(name, [""])[0] for name in ("X-Amz-Date", "X-Amz-Expires", "Expires")
    )
    try:
        if request.presigned_v2:
            return time.time() > int(until)
        return bool(sigv4.presigned_request_is_expired(date, expires))
    except ValueError:
        return True
