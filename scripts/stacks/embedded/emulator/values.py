"""One form for equal numbers and equal binary values: the one that DynamoDB returns.

Ministack compares keys by their text: to it 10.50 and 10.5, or YQ== and YR== in base64, differ.
"""

import base64
import decimal
import json
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ministack.services import dynamodb

DIGITS = 38  # the precision of a number

# Most numbers, so that they cost little. Ministack refuses those with too many digits itself.
_NORMAL = re.compile(r"0|-?[1-9][0-9]{0,37}|-?(0|[1-9][0-9]*)\.[0-9]*[1-9]")


def normalize_requests() -> None:
    """Have ministack read and calculate normalized values.

    They are in requests, in PartiQL statements and in files that are imported.
    """
    decimal.DefaultContext.prec = DIGITS  # else it calculates with 28; for threads to come, too
    decimal.setcontext(decimal.DefaultContext)
    dynamodb.json = SimpleNamespace(**vars(json) | {"loads": _normalized(json.loads)})
    for name in ("parse_partiql_statement", "_apply_update_expression", "_apply_attribute_updates"):
        setattr(dynamodb, name, _normalized(getattr(dynamodb, name)))


def _normalized(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        result = function(*arguments, **options)
        normalize(result)
        return result

    return call


def normalize(value: Any) -> None:
    """Normalize an item, or whatever contains values, in place."""
    if isinstance(value, dict) and len(value) == 1:
        ((kind, content),) = value.items()
        if kind in _FORMS and isinstance(content, str):
            value[kind] = _FORMS[kind](content)
        elif kind in ("NS", "BS") and isinstance(content, list):
            form = _FORMS[kind[0]]
            value[kind] = [form(one) if isinstance(one, str) else one for one in content]
    if isinstance(value, (dict, list, tuple)):
        for part in value.values() if isinstance(value, dict) else value:
            normalize(part)


def normalize_table(table: dict[str, Any]) -> None:
    """Normalize what an earlier version stored; two items of one key become one."""
    items: dict[str, Any] = {}
    for part in table["items"].values():
        for sort, item in part.items():
            normalize(item)
            partition = dynamodb._extract_key_val(item.get(table["pk_name"]))
            if table["sk_name"]:
                sort = dynamodb._extract_key_val(item.get(table["sk_name"]))
            found = items.setdefault(partition, {})
            found[sort] = found.get(sort, {}) | item
    table["items"] = items


def _normalize_number(text: str) -> str:
    return text if _NORMAL.fullmatch(text) else dynamodb._ddb_canonicalize_number(text) or text


def _normalize_binary(text: str) -> str:
    """The base64 text without bits that belong to no byte."""
    try:
        if text.endswith("="):
            return base64.b64encode(base64.b64decode(text, validate=True)).decode()
    except ValueError:  # ministack refuses it
        pass
    return text


_FORMS = {"N": _normalize_number, "B": _normalize_binary}
