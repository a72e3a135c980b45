"""Twins: how a change is merged, and what a twin may hold (Azure, *Understand and use device twins*).

Not here: versions and etags, which the store's changes carry.
"""

from __future__ import annotations

import re
from typing import Any

from accredit.domain.errors import Malformed

MAX_TAGS_BYTES = 8 * 1024
MAX_DESIRED_BYTES = 32 * 1024
MAX_REPORTED_BYTES = 32 * 1024
MAX_DEPTH = 10
MAX_KEY_BYTES = 1024
MAX_TEXT_BYTES = 4 * 1024
MAX_NUMBER = 4_503_599_627_370_496

_NUMBER_BYTES, _BOOLEAN_BYTES = 8, 4
_IN_NO_KEY = re.compile(r"[\x00-\x1f\x7f-\x9f.$ ]")


def merged(present: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`change` laid over `present`: objects are merged member by member, null removes, all else replaces."""
    result = dict(present)
    for name, value in change.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            below = result.get(name)
            result[name] = merged(below if isinstance(below, dict) else {}, value)
        else:
            result[name] = value
    return result


def check_tags(tags: dict[str, Any]) -> None:
    """Raises Malformed."""
    _check(tags, "tags", MAX_TAGS_BYTES)


def check_desired(desired: dict[str, Any]) -> None:
    """Raises Malformed."""
    _check(desired, "properties.desired", MAX_DESIRED_BYTES)


def check_reported(reported: dict[str, Any]) -> None:
    """Raises Malformed."""
    _check(reported, "properties.reported", MAX_REPORTED_BYTES)


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The change that `merged` makes `after` of `before` with."""
    change: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        present = before.get(name)
        if isinstance(value, dict) and isinstance(present, dict):
            below = difference(present, value)
            if below:
                change[name] = below
        elif name not in before or value != present or type(value) is not type(present):
            change[name] = value
    return change


def _check(document: dict[str, Any], where: str, max_bytes: int) -> None:
    if _size(document, where, 0) > max_bytes:
        raise _beyond(f"{where} has more than {max_bytes} bytes")


def _size(value: Any, where: str, depth: int) -> int:
    """Azure counts the text of names and values, 8 bytes for a number and 4 for a boolean."""
    if depth > MAX_DEPTH:
        raise _beyond(f"{where} nests more than {MAX_DEPTH} levels deep")
    match value:
        case dict():
            return sum(
                _key_size(name, where) + _size(inner, where, depth + 1) for name, inner in value.items()
            )
        case list():
            return sum(_size(inner, where, depth + 1) for inner in value)
        case str():
            size = len(value.encode())
            if size > MAX_TEXT_BYTES:
                raise _beyond(f"{where} has a text of more than {MAX_TEXT_BYTES} bytes")
            return size
        case bool():
            return _BOOLEAN_BYTES
        case int() if abs(value) > MAX_NUMBER:
            raise _beyond(f"{where} has a whole number beyond {MAX_NUMBER}")
        case int() | float():
            return _NUMBER_BYTES
        case _:
            return 0


def _key_size(name: str, where: str) -> int:
    size = len(name.encode())
    if size > MAX_KEY_BYTES or _IN_NO_KEY.search(name):
        raise _beyond(f"{where} has a name with more than {MAX_KEY_BYTES} bytes, or with a space, '.' or '$'")
    return size


def _beyond(what: str) -> Malformed:
    return Malformed(f"{what}.", rule="twin-limit")
