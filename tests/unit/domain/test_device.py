"""Which binding opens the hub, and how a twin's versions count."""

from __future__ import annotations

import pytest

from accredit.domain.device import Binding, BindingState, TwinVersions
from accredit.domain.ids import DeviceId


def binding(state: BindingState) -> Binding:
    return Binding(b"sha", DeviceId.parse("mydevice1"), state, not_before=100, not_after=200, bound_at=100)


@pytest.mark.parametrize("state", BindingState)
def test_pending_and_active_ones_do(state: BindingState) -> None:
    assert binding(state).good(150) is (state in (BindingState.PENDING, BindingState.ACTIVE))


@pytest.mark.parametrize(("now", "good"), [(99, False), (100, True), (200, True), (201, False)])
def test_within_their_life_both_ends_included(now: int, good: bool) -> None:
    """RFC 5280, 4.1.2.5: the period is from notBefore through notAfter, inclusive."""
    assert binding(BindingState.ACTIVE).good(now) is good


def test_every_change_counts_for_the_twin_and_only_some_for_its_desired_properties() -> None:
    fresh = TwinVersions()
    assert fresh.after(desired=True, now=7) == TwinVersions(etag=2, version=3, desired=2, updated_at=7)
    assert fresh.after(desired=False, now=7) == TwinVersions(etag=2, version=3, desired=1, updated_at=7)
