"""A receipt says for ever what was checked when it was made."""

from __future__ import annotations

import pytest

from accredit.domain.credential import Presented
from accredit.domain.evidence import Attested
from accredit.domain.receipts import Bound, Recorded
from accredit.domain.registration import Allocated, DataFate, Issued, Substatus
from support import stored_values as some

DEVICE = some.registration()
ATTESTED = Attested(DEVICE.registration_id, some.group(), some.hub_device().keys)
ALLOCATED = Allocated(
    ATTESTED, DEVICE.registration_id, None, DEVICE.device_id, None,
    "a.example", Substatus.INITIAL_ASSIGNMENT, DataFate.STAYS,
)  # fmt: skip
ISSUED = Issued(ALLOCATED, "operation", Presented())
RECORDED = Recorded(ISSUED, ())


@pytest.mark.parametrize("receipt", [RECORDED, Bound(RECORDED, ())], ids=["Recorded", "Bound"])
def test_what_it_commits_can_t_be_changed_afterwards(receipt: Recorded | Bound) -> None:
    with pytest.raises(AttributeError, match="immutable"):
        receipt.changes = tuple(some.configured())  # type: ignore[misc]
