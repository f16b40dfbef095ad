"""One form for equal numbers: to DynamoDB, 10.50, 1.05E1 and 10.5 are one key.

Ministack looks items up by the text of their key. So every number of a request gets the form in
which DynamoDB returns it, before ministack reads it; and so does every key that it looks up.
"""

import re
from collections import defaultdict
from typing import Any

from ministack import app
from ministack.services import dynamodb

# In JSON, a quote within a text follows a backslash: so these are attribute values, never texts.
_NUMBER = re.compile(rb'("N"\s*:\s*")([^"\\]*)"')
_SET = re.compile(rb'("NS"\s*:\s*\[)([^\]]*)\]')
_MEMBER = re.compile(rb'"([^"\\]*)"')
_SHORT = re.compile(rb"-?[1-9][0-9]{0,36}|0")  # as DynamoDB returns it: nothing to do


def normalize(body: bytes) -> bytes:
    """A request with all its numbers in the form of DynamoDB; a text that is none is left."""
    body = _NUMBER.sub(lambda found: b'%b%b"' % (found[1], _canonical(found[2])), body)
    return _SET.sub(lambda found: b"%b%b]" % (found[1], _normalize_members(found[2])), body)


def use_one_form() -> None:
    """Have ministack find items by the value of their number keys."""
    extract, handle = dynamodb._extract_key_val, app.SERVICE_HANDLERS["dynamodb"]

    def extract_normalized(attribute: Any) -> Any:
        value = extract(attribute)
        is_number = isinstance(attribute, dict) and "N" in attribute and isinstance(value, str)
        return _canonical(value.encode()).decode() if is_number else value

    async def handle_normalized(
        method: str, path: str, headers: dict[str, str], body: bytes, query: Any
    ) -> Any:
        return await handle(method, path, headers, normalize(body), query)

    dynamodb._extract_key_val = extract_normalized
    app.SERVICE_HANDLERS["dynamodb"] = handle_normalized


def rekey(table: dict[str, Any]) -> bool:
    """Correct the keys of items that an earlier version stored; True if one was wrong."""
    if "N" not in {part["AttributeType"] for part in table.get("AttributeDefinitions", [])}:
        return False
    items: dict[str, dict[str, Any]] = defaultdict(dict)
    changed = False
    for partition, sorted_items in table["items"].items():
        for sort, item in sorted_items.items():
            key = dynamodb._resolve_table_key_values(table, item, allow_extra=True)[:2]
            changed = changed or key != (partition, sort)
            items[key[0]][key[1]] = item
    table["items"] = items
    return changed


def _normalize_members(members: bytes) -> bytes:
    return _MEMBER.sub(lambda found: b'"%b"' % _canonical(found[1]), members)


def _canonical(number: bytes) -> bytes:
    if _SHORT.fullmatch(number):
        return number
    text: str | None = dynamodb._ddb_canonicalize_number(number.decode("utf-8", "replace"))
    return number if text is None else text.encode()
