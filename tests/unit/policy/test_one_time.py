"""One-time passwords: bound at first use to one CSR, good for its repeats until the certificate is used or 15 minutes have passed."""

from __future__ import annotations

import pytest

from accredit.domain.credential import CertificateRecord, CertificateStatus, IssuedChain
from accredit.domain.enrollment import Enrollment, SymmetricKeys
from accredit.domain.ids import AuthorityName, DeviceId, RegistrationId
from accredit.domain.one_time_password import OneTimePassword
from accredit.domain.secret import Secret
from accredit.policy import one_time
from accredit.values import replace

NOW = 1_800_000_000
DEVICE = RegistrationId.parse("dev-1")
SHOWN = Secret(b"abc-def")
ENROLLMENT = Enrollment(DEVICE, SymmetricKeys(Secret(b"k" * 32), Secret(b"k" * 32)), "g1", "e", NOW, NOW)
FRESH = OneTimePassword(DEVICE, "g1", one_time.digest_of(SHOWN), NOW + one_time.LIFE_S)
CSR = one_time.request_digest("AAAA")
USED = replace(FRESH, request_sha256=CSR, first_used_at=NOW)


def certificate(status, issued_at=NOW):
    chain = IssuedChain((b"leaf",), 1, NOW, NOW + 9, b"s", b"k")
    return CertificateRecord(
        chain,
        AuthorityName.parse("ca"),
        "v",
        "device/1",
        DEVICE,
        DeviceId("dev-1"),
        "g1",
        b"c",
        "o",
        issued_at,
        status,
    )


def objection(known, *, shown=SHOWN, csr=CSR, newest=None, now=NOW):
    return one_time.objection(known, shown, csr, ENROLLMENT, newest, now)


def test_a_fresh_one():
    assert objection(FRESH) is None
    assert objection(FRESH, now=FRESH.expires_at - 1) is None
    assert "expired" in objection(FRESH, now=FRESH.expires_at)


@pytest.mark.parametrize("known", [None, replace(FRESH, generation="g0")])
def test_none_is_open(known):
    assert "no one-time" in objection(known)


def test_another_password():
    assert "not the one-time" in objection(FRESH, shown=Secret(b"abc-deF"))


def test_repeats_of_the_same_csr():
    assert objection(USED) is None
    assert objection(USED, now=NOW + one_time.REPEATS_S - 1) is None
    assert "too long ago" in objection(USED, now=NOW + one_time.REPEATS_S)
    # The day that an unused one has does not end those minutes.
    late = replace(USED, expires_at=NOW)
    assert objection(late) is None


def test_a_replay_with_another_csr():
    assert "another CSR" in objection(USED, csr=one_time.request_digest("AAAB"))


def test_line_ends_make_no_other_csr():
    assert one_time.request_digest("AA\r\nAA\n") == CSR


@pytest.mark.parametrize("status", CertificateStatus)
def test_until_the_certificate_is_used(status):
    waiting = status in (CertificateStatus.PENDING, CertificateStatus.UNBOUND)
    assert (objection(USED, newest=certificate(status)) is None) is waiting


def test_an_earlier_certificate_does_not_matter():
    assert objection(USED, newest=certificate(CertificateStatus.ACTIVE, NOW - 1)) is None
