"""Items in S3: the parts of an export, and AWS' own import of them into a new table."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts import clients
from scripts.dynamodb import tables
from scripts.dynamodb.tables import Item
from scripts.errors import DevError, NotFoundError, UsageError, count
from scripts.targets import Aws

_URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?")
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0


@dataclass(frozen=True)
class Place:
    """A bucket, and the folder in it as a prefix of keys: "" or ending in a slash."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"


@dataclass(frozen=True)
class Report:
    """How an import ended. AWS bills the uncompressed size of what it processed."""

    status: str
    table: str
    items_processed: int
    items_imported: int
    items_failed: int
    bytes_processed: int
    bytes_billed: int
    errors: str


def parse(url: str) -> Place:
    """The place that s3://bucket/prefix names. Raises UsageError for anything else."""
    found = _URL.fullmatch(url)
    if not found:
        raise UsageError(f"{url} is not an S3 URL", "write it like s3://bucket/prefix")
    prefix = (found[2] or "").strip("/")
    return Place(found[1], f"{prefix}/" if prefix else "")


def check_is_free(aws: Aws, place: Place) -> None:
    """Raises DevError if there are objects: an import would read them, too.

    On this machine a missing bucket is made.
    """
    if aws.owned:
        _ensure_bucket(aws, place.bucket)
    if found := list_objects(aws, place):
        raise DevError(
            f"{place} already contains {count(len(found), 'object')}",
            "name another prefix",
        )


def _ensure_bucket(aws: Aws, name: str) -> None:
    client = clients.s3(aws)
    try:
        client.head_bucket(Bucket=name)
    except client.exceptions.ClientError:
        try:
            client.create_bucket(Bucket=name)
        except client.exceptions.ClientError as error:
            reason = error.response["Error"].get("Message")
            raise DevError(f"the bucket {name} cannot be used: {reason}", "name another") from None


def list_objects(aws: Aws, place: Place) -> list[Item]:
    """The objects of a place, folders left out. Raises NotFoundError without the bucket."""
    client = clients.s3(aws)
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=place.bucket, Prefix=place.prefix
    )
    try:
        found = [entry for page in pages for entry in page.get("Contents", [])]
    except client.exceptions.NoSuchBucket:
        raise NotFoundError(f"there is no bucket {place.bucket} in {aws}", "create it") from None
    return [entry for entry in found if not entry["Key"].endswith("/")]


def upload(aws: Aws, part: Path, place: Place) -> None:
    """Put a file into the place, under its own name. Raises DevError where S3 refuses it."""
    from boto3.exceptions import S3UploadFailedError

    try:
        clients.s3(aws).upload_file(str(part), place.bucket, f"{place.prefix}{part.name}")
    except S3UploadFailedError as error:
        raise DevError(str(error), "correct that, and try again") from None


def import_table(
    aws: Aws, definition: Item, place: Place, show: Callable[[int, float], None]
) -> Report:
    """Have AWS make a table from the place, and follow it to the end.

    An import of the same place into the same table that runs already is followed instead: so one
    whose follower was killed is not lost.
    """
    client = clients.dynamodb(aws)
    objects = list_objects(aws, place)
    request = _request(definition, place, objects)
    try:
        started = client.import_table(**request)["ImportTableDescription"]
    except client.exceptions.ResourceInUseException:
        started = _find_running(aws, definition["TableName"], request["S3BucketSource"])
    except client.exceptions.ClientError as error:
        reason = error.response["Error"].get("Message")
        raise DevError(f"{aws} does not start the import of {place}: {reason}") from None
    done = _follow(aws, started["ImportArn"], sum(entry["Size"] for entry in objects), show)
    tags = tables.list_tags(aws, definition)  # ImportTable itself takes none
    if tags and tables.find_table(aws, definition["TableName"]):
        client.tag_resource(ResourceArn=done["TableArn"], Tags=tags)
    return _report(definition["TableName"], done)


def _request(definition: Item, place: Place, objects: list[Item]) -> Item:
    """The ImportTable request for the objects of a place."""
    if not objects:
        raise NotFoundError(
            f"{place} holds no object", f"./invoke ddb.export-to-s3 TABLE {place} (writes them)"
        )
    packed = {entry["Key"].endswith(".gz") for entry in objects}
    if len(packed) > 1:
        raise DevError(f"{place} holds objects with and without .gz", "import one kind of them")
    shape = clients.input_shape("dynamodb", "ImportTable").members["TableCreationParameters"]
    if foreign := definition.keys() - shape.members.keys() - {"Tags"}:
        raise DevError(
            f"an import cannot create a table with {', '.join(sorted(foreign))}",
            "./invoke ddb.schema-load ddb.load PATH (can)",
        )
    return {
        "S3BucketSource": {"S3Bucket": place.bucket, "S3KeyPrefix": place.prefix},
        "InputFormat": "DYNAMODB_JSON",
        "InputCompressionType": "GZIP" if packed == {True} else "NONE",
        "TableCreationParameters": {k: v for k, v in definition.items() if k != "Tags"},
    }


def _find_running(aws: Aws, table: str, source: Item) -> Item:
    client = clients.dynamodb(aws)
    arn = tables.get_table(aws, table)["TableArn"]
    for entry in client.list_imports(TableArn=arn)["ImportSummaryList"]:
        found = entry["S3BucketSource"]
        same = all(found.get(name, "") == value for name, value in source.items())
        if same and entry["ImportStatus"] == "IN_PROGRESS":
            return dict(entry)
    raise DevError(
        f"the table {table} already exists, and an import only creates new tables",
        "./invoke ddb.load PATH (adds items to a table)",
    )


def _follow(aws: Aws, arn: str, size: int, show: Callable[[int, float], None]) -> Item:
    """Wait until the import has ended; its description."""
    client = clients.dynamodb(aws)
    pause = FIRST_PAUSE
    while True:
        found: Item = client.describe_import(ImportArn=arn)["ImportTableDescription"]
        if found["ImportStatus"] not in ("IN_PROGRESS", "CANCELLING"):
            return found
        show(found.get("ImportedItemCount", 0), min(1.0, found.get("ProcessedSizeBytes", 0) / size))
        time.sleep(pause)
        pause = min(LONGEST_PAUSE, pause * 1.5)


def _report(table: str, done: Item) -> Report:
    size: Any = done.get("ProcessedSizeBytes", 0)
    words = [done.get("FailureCode"), done.get("FailureMessage")]
    if done.get("ErrorCount") and "CloudWatchLogGroupArn" in done:
        words.append(f"all errors are in {done['CloudWatchLogGroupArn']}")
    return Report(
        status=done["ImportStatus"],
        table=table,
        items_processed=done.get("ProcessedItemCount", 0),
        items_imported=done.get("ImportedItemCount", 0),
        items_failed=done.get("ErrorCount", 0),
        bytes_processed=size,
        bytes_billed=size,
        errors="; ".join(word for word in words if word),
    )
