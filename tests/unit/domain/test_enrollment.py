"""What an enrollment is, and what must be there as long as it is."""

from __future__ import annotations

import pytest

from accredit.domain.enrollment import CaReferences, EnrollmentKind, EnrollmentRef
from accredit.domain.ids import CaCertificateName, TrustBundleName
from support import stored_values as some

PLANT, SPARE = CaCertificateName.parse("Plant"), CaCertificateName.parse("Spare")
ROOTS = TrustBundleName.parse("Roots")


def test_its_id_says_of_which_kind_it_is() -> None:
    assert some.group("Fleet").ref == EnrollmentRef(EnrollmentKind.GROUP, "fleet")
    assert some.enrollment("Pump-1").ref == EnrollmentRef(EnrollmentKind.INDIVIDUAL, "pump-1")


def test_a_trust_bundle_is_the_one_of_its_name_in_any_case() -> None:
    assert some.group(settings={"trustBundleId": "ROOTS"}).trust_bundle == ROOTS
    assert some.group().trust_bundle is None


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({}, ()),
        ({"settings": {"trustBundleId": "Roots"}}, (ROOTS,)),
        ({"attestation": CaReferences(PLANT)}, (PLANT,)),
        (
            {"attestation": CaReferences(PLANT, SPARE), "settings": {"trustBundleId": "Roots"}},
            (ROOTS, PLANT, SPARE),
        ),
    ],
)
def test_it_names_its_bundle_and_its_cas(facts: dict, named: tuple) -> None:
    assert some.enrollment(**facts).named == named
