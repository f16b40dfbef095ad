"""Stands in for `java` in the image of DynamoDB Local; see README.md."""

import os
import sys
from typing import Any

WORDS = ["-jar", "DynamoDBLocal.jar", "-sharedDb", "-dbPath"]
TAGGING = ("TagResource", "UntagResource", "ListTagsOfResource")


def main(words: list[str]) -> None:
    """Serve, as the words for DynamoDB Local want it."""
    if words[:4] != WORDS or len(words) != 5:
        sys.exit(f"Unrecognized options: {words}")
    os.environ |= {"STATE_DIR": words[4], "S3_DATA_DIR": f"{words[4]}/s3"}
    sys.argv = ["ministack"]
    from ministack import app

    forget_tags()
    app.main()


def forget_tags() -> None:
    """Refuse what DynamoDB Local does not know."""
    from ministack.core.responses import error_response_json
    from ministack.services import dynamodb

    handle = dynamodb.handle_request

    async def refuse_or_handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: Any
    ) -> Any:
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if action in TAGGING or (action == "CreateTable" and b'"Tags"' in body):
            return error_response_json(
                "UnknownOperationException", "Tagging is not currently supported in DynamoDB Local."
            )
        return await handle(method, path, headers, body, query)

    dynamodb.handle_request = refuse_or_handle


if __name__ == "__main__":
    main(sys.argv[1:])
