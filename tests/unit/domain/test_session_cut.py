"""A cut is a value: the same one, read twice, is one."""

from __future__ import annotations

import pytest

from accredit.domain.ids import DeviceId
from accredit.domain.session_cut import SessionCut


def test_it_is_known_again_and_stays_as_it_is() -> None:
    cut = SessionCut(1, "", DeviceId("lamp-1"), "revoked")
    assert {cut, SessionCut(1, "", DeviceId("lamp-1"), "revoked")} == {cut}
    with pytest.raises(AttributeError, match="immutable"):
        cut.reason = "another"  # type: ignore[misc]
