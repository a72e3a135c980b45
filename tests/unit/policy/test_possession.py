"""Proof of possession: only a certificate that the CA signed for the code counts."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.ca_certificate import VerificationCode
from accredit.domain.errors import Malformed
from accredit.policy.possession import CODE_BYTES, SKEW_S, check_possession
from accredit.values import replace
from support import pki
from support import stored_values as some
from support.pki import DAY, NOW

CODE = "AB" * CODE_BYTES
PLANT = pki.root("Plant")
UPLOADED = some.ca_certificate(root=PLANT.der, verified=False, code=VerificationCode(CODE, ends_at=NOW + DAY))


def rule_of(shown: bytes, now: float = NOW, **changes: object) -> str:
    with pytest.raises(Malformed) as refused:
        check_possession(replace(UPLOADED, **changes), shown, now)  # type: ignore[arg-type]
    return refused.value.rule


def test_signed_for_the_code() -> None:
    check_possession(UPLOADED, PLANT.issue(CODE).der, NOW)


def test_the_code_fits_a_common_name() -> None:
    assert len(CODE) <= 64


def test_from_an_intermediate_that_was_uploaded() -> None:
    line = PLANT.intermediate("Line")
    check_possession(replace(UPLOADED, certificate=line.der), line.issue(CODE).der, NOW)


def test_no_code_or_one_that_has_ended() -> None:
    shown = PLANT.issue(CODE).der
    assert rule_of(shown, code=None) == "verification-code"
    check_possession(UPLOADED, shown, NOW + DAY)
    assert rule_of(shown, now=NOW + DAY + 1) == "verification-code"


@pytest.mark.parametrize(
    "shown",
    [
        PLANT.issue("AB"),
        PLANT.issue(CODE.lower()),
        PLANT.issue(None),
        PLANT.issue(None, subject=x509.Name([*pki.name(CODE), *pki.name("other")])),
        PLANT.issue(CODE, not_after=NOW - SKEW_S - 1),
        PLANT.issue(CODE, not_before=NOW + SKEW_S + 1),
        PLANT.intermediate("Line").issue(CODE),
        pki.root(CODE),
        pki.root("Plant").issue(CODE),
        PLANT,
    ],
    ids=[
        "another-name",
        "case",
        "no-name",
        "two-names",
        "expired",
        "early",
        "below",
        "self",
        "namesake",
        "ca",
    ],
)
def test_proves_nothing(shown: pki.Entity) -> None:
    assert rule_of(shown.der) == "verification-certificate"


def test_signed_with_an_outdated_digest() -> None:
    plant = pki.root("Plant", key=rsa.generate_private_key(65537, 2048))
    shown = pki.with_sha1(plant.issue(CODE))
    assert rule_of(shown, certificate=plant.der) == "verification-certificate"


@given(st.binary(max_size=300))
def test_only_malformed_leaves(shown: bytes) -> None:
    assert rule_of(shown) == "verification-certificate"


@pytest.mark.parametrize("serial", [b"\x00\x00", b"\xff\xff"])
def test_a_serial_number_that_is_not_positive(serial: bytes) -> None:
    shown = PLANT.issue(CODE)
    number = b"\x02\x02" + shown.certificate.serial_number.to_bytes(2, "big")
    assert rule_of(shown.der.replace(number, b"\x02\x02" + serial, 1)) == "verification-certificate"
