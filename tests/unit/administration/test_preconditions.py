"""The retry of stale changes; the etag table itself is tried on every resource in tests/unit/fronts."""

from __future__ import annotations

import pytest

from accredit.administration.preconditions import ROUNDS, repeated
from accredit.domain.changes import DeleteRegistration
from accredit.domain.errors import UpstreamUnavailable
from accredit.domain.ids import RegistrationId
from accredit.interfaces import Stale

STALE = Stale(DeleteRegistration(RegistrationId.parse("a"), "e"))


async def test_a_stale_change_starts_over() -> None:
    left = [STALE, STALE]

    async def attempt() -> str:
        if left:
            raise left.pop()
        return "done"

    assert await repeated(attempt) == "done"


async def test_it_gives_up_in_the_end() -> None:
    rounds = 0

    async def attempt() -> None:
        nonlocal rounds
        rounds += 1
        raise STALE

    with pytest.raises(UpstreamUnavailable) as refused:
        await repeated(attempt)
    assert refused.value.retry_after_s > 0
    assert rounds == ROUNDS
