"""What a register call came to, in one word."""

from __future__ import annotations

import pytest

from accredit.domain.errors import (
    Disabled,
    Malformed,
    Throttled,
    Unauthenticated,
    UpstreamRejected,
    UpstreamUnavailable,
)
from accredit.domain.ids import RegistrationId
from accredit.domain.registration import Assigning, Ended, Status
from accredit.provisioning import tallied


@pytest.mark.parametrize(
    ("raised", "name"),
    [
        (Throttled("m", rule="r", retry_after_s=1), "throttled"),
        (UpstreamUnavailable("m", rule="r", retry_after_s=1), "unavailable"),
        (UpstreamRejected("m", rule="r"), "unavailable"),
        (Malformed("m", rule="r"), "refused"),
        (Unauthenticated("m", rule="r"), "refused"),
        (Disabled("m", rule="r"), "refused"),
        (RuntimeError("a defect"), "error"),
    ],
)  # fmt: skip
def test_what_keeps_a_device_from_its_answer(raised, name):
    assert tallied.failure(raised) == (name, getattr(raised, "rule", ""))
    assert name in tallied.OUTCOMES


@pytest.mark.parametrize("status", [Status.FAILED, Status.DISABLED])
def test_an_end_without_an_assignment_is_called_what_the_device_hears(status):
    ended = Ended("o", RegistrationId.parse("lamp"), status, None, None, None, 1, 1, "e")
    assert tallied.outcome(ended) == status.value
    assert status.value in tallied.OUTCOMES


def test_one_that_goes_on():
    assert tallied.outcome(Assigning("o", RegistrationId.parse("lamp"), 3)) == "assigning"
