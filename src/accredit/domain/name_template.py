"""Texts with places for the names of a device in them: `{registrationId}`, `{deviceId}`, `{enrollmentGroupId}`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

REGISTRATION_ID = "registrationId"
DEVICE_ID = "deviceId"
GROUP_ID = "enrollmentGroupId"
PLACES = (REGISTRATION_ID, DEVICE_ID, GROUP_ID)

_PLACE = re.compile(r"\{([A-Za-z]*)\}")


@lru_cache(maxsize=1024)
def parts(template: str) -> tuple[str, ...]:
    """Literal, place, literal, place, ..., literal. Raises ValueError for a place that there is not, or a stray brace."""
    found = tuple(_PLACE.split(template))
    for place in found[1::2]:
        if place not in PLACES:
            raise ValueError(f"{{{place}}} is not one of {', '.join(f'{{{each}}}' for each in PLACES)}")
    if any("{" in literal or "}" in literal for literal in found[::2]):
        raise ValueError("a brace stands alone")
    return found


def filled(template: str, names: Mapping[str, str], spelled: Callable[[str], str] = str) -> str:
    """The text with every place taken; `spelled` writes a name as the text's form needs it.

    Raises KeyError for a place that `names` has nothing for, ValueError as `parts`.
    """
    found = parts(template)
    return "".join(spelled(names[each]) if number % 2 else each for number, each in enumerate(found))
