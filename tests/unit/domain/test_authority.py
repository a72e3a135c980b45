"""Whether an authority takes orders."""

from __future__ import annotations

from accredit.domain.authority import REVOKED_AT
from support import stored_values as some


def test_one_that_was_revoked_says_so() -> None:
    assert not some.authority().is_revoked
    assert some.authority(settings={REVOKED_AT: "2027-01-15T08:00:00.0000000Z"}).is_revoked
