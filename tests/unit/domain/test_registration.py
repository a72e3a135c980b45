"""Whether an assigned device moves away from a hub."""

from __future__ import annotations

import pytest

from accredit.domain.evidence import Attested
from accredit.domain.registration import Allocated, DataFate, Registration, Substatus
from support import stored_values as some

THERE = some.registration(hub="a.example")


@pytest.mark.parametrize(
    ("at_hub", "hub", "leaves"),
    [(None, "a.example", None), (THERE, "a.example", None), (THERE, "b.example", THERE)],
)
def test_it_leaves_the_hub_that_it_is_at_for_another(
    at_hub: Registration | None, hub: str, leaves: Registration | None
) -> None:
    by = some.group()
    attested = Attested(THERE.registration_id, by, some.hub_device().keys)
    allocated = Allocated(
        attested, THERE.registration_id, at_hub, THERE.device_id, at_hub,
        hub, Substatus.INITIAL_ASSIGNMENT, DataFate.STAYS,
    )  # fmt: skip
    assert allocated.leaves is leaves
