"""The closed hierarchy of refusals."""

from __future__ import annotations

import pytest

from accredit.domain.errors import (
    KINDS,
    AccreditError,
    Fault,
    Throttled,
    UpstreamRejected,
    UpstreamUnavailable,
)


def test_the_root_can_not_be_raised() -> None:
    with pytest.raises(TypeError):
        AccreditError("no", rule="x")


def test_every_kind_is_listed() -> None:
    assert set(KINDS) == set(AccreditError.__subclasses__())


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_carries_what_the_operator_needs(kind: type[AccreditError]) -> None:
    more = {"retry_after_s": 7} if kind in (Throttled, UpstreamUnavailable) else {}
    error = kind("A sentence.", rule="some-rule", hint="do this", evidence="seen that", **more)
    assert (error.message, error.rule, error.hint, error.evidence) == (
        "A sentence.", "some-rule", "do this", "seen that",
    )  # fmt: skip
    assert str(error) == "A sentence."
    assert getattr(error, "retry_after_s", 7) == 7


def test_only_the_upstream_is_at_fault_for_the_upstream() -> None:
    assert {kind for kind in KINDS if kind.fault is Fault.UPSTREAM} == {UpstreamRejected, UpstreamUnavailable}
