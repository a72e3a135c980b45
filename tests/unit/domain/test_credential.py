"""When the same request gets the same certificate back, and what a revocation's reasons are numbered."""

from __future__ import annotations

import pytest
from cryptography import x509

from accredit.domain.credential import (
    CertificateRecord,
    CertificateStatus,
    IssuedChain,
    Profile,
    RevocationReason,
)
from accredit.domain.ids import AuthorityName, DeviceId, RegistrationId
from accredit.values import replace

ISSUED = IssuedChain(
    (b"leaf", b"ca"), serial=7, not_before=1_000, not_after=4_000, sha256=b"s", spki_sha256=b"k"
)
RECORD = CertificateRecord(
    issued=ISSUED,
    authority=AuthorityName.parse("myca1"),
    authority_version="1",
    profile="device/1",
    registration_id=RegistrationId.parse("mydevice1"),
    device_id=DeviceId.parse("mydevice1"),
    enrollment_generation="g",
    csr_sha256=b"c",
    operation_id="o",
    issued_at=1_000,
)


@pytest.mark.parametrize(
    ("now", "reusable"),
    [(999, False), (1_000, True), (2_999, True), (3_000, False), (4_000, False), (5_000, False)],
)
def test_a_certificate_is_given_back_until_two_thirds_of_its_life_are_gone(now: int, reusable: bool) -> None:
    assert RECORD.reusable(now) is reusable


@pytest.mark.parametrize("status", CertificateStatus)
def test_a_revoked_one_is_never_given_back(status: CertificateStatus) -> None:
    assert replace(RECORD, status=status).reusable(1_500) is (status is not CertificateStatus.REVOKED)


def test_the_leaf_is_the_chain_s_first() -> None:
    assert ISSUED.leaf == b"leaf"


@pytest.mark.parametrize("reason", RevocationReason)
def test_reasons_have_their_numbers_in_a_crl(reason: RevocationReason) -> None:
    """`cryptography` knows the names and numbers of RFC 5280, 5.3.1, by itself."""
    encoded = x509.CRLReason(x509.ReasonFlags(reason.value)).public_bytes()
    assert encoded == bytes((0x0A, 1, reason.code))


def test_a_certificate_remembers_the_version_of_its_profile() -> None:
    assert Profile().label == "device/1"
    assert {Profile(name, version).label for name in "ab" for version in "12"} == {"a/1", "a/2", "b/1", "b/2"}
