"""Which certificates of our own prove a renewal, and for how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.credential import CertificateRecord, CertificateStatus, IssuedChain
from accredit.domain.errors import Unauthenticated
from accredit.domain.ids import AuthorityName, DeviceId, RegistrationId
from accredit.policy.held_certificates import judge
from accredit.values import replace

NOT_BEFORE, NOT_AFTER = 1_000, 2_000
OWNER = RegistrationId.parse("dev-1")
HELD = CertificateRecord(
    issued=IssuedChain((b"leaf",), 7, NOT_BEFORE, NOT_AFTER, b"s" * 32, b"k" * 32),
    authority=AuthorityName.parse("builtin"),
    authority_version="1",
    profile="device/1",
    registration_id=OWNER,
    device_id=DeviceId("dev-1"),
    enrollment_generation="g",
    csr_sha256=bytes(32),
    operation_id="op",
    issued_at=NOT_BEFORE,
    status=CertificateStatus.ACTIVE,
)


def rule(record: CertificateRecord | None, now: int, grace_s: int = 0) -> str | None:
    try:
        judge(record, OWNER, now, grace_s)
    except Unauthenticated as refusal:
        return refusal.rule
    return None


@pytest.mark.parametrize("status", CertificateStatus)
def test_what_is_bound_proves_a_renewal_and_nothing_else_does(status: CertificateStatus) -> None:
    good = status in (CertificateStatus.PENDING, CertificateStatus.ACTIVE)
    expected = None if good else "held-certificate-replaced"
    assert rule(replace(HELD, status=status), 1_500) == expected


def test_one_that_is_not_on_record_or_another_devices_proves_nothing() -> None:
    assert rule(None, 1_500) == "held-certificate-unknown"
    other = replace(HELD, registration_id=RegistrationId.parse("dev-2"))
    assert rule(other, 1_500) == "held-certificate-unknown"


@given(now=st.integers(0, 4_000), grace_s=st.integers(0, 1_000))
def test_it_is_good_from_its_beginning_to_the_end_of_the_grace(now: int, grace_s: int) -> None:
    good = NOT_BEFORE <= now <= NOT_AFTER + grace_s
    assert rule(HELD, now, grace_s) == (None if good else "held-certificate-expired")
