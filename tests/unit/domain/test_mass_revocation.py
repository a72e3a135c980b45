"""Which certificates a mass revocation is about, and how it counts."""

from __future__ import annotations

import hashlib

import pytest

from accredit.domain.credential import RevocationReason
from accredit.domain.ids import AuthorityName, GroupId
from accredit.domain.mass_revocation import AuthorityTally, MassRevocation, RevokedIssuer, Tally

PLANT, OTHER = AuthorityName.parse("Plant"), AuthorityName.parse("other")
ISSUER = RevokedIssuer("aa", hashlib.sha256(b"issuer").digest(), listed=True)


def revocation(target: AuthorityName | GroupId, *issuers: RevokedIssuer) -> MassRevocation:
    return MassRevocation("1", target, RevocationReason.UNSPECIFIED, "owner", 7, 9, issuers)


@pytest.mark.parametrize(
    ("issuers", "authority", "above", "covered"),
    [
        ((), PLANT, (), True),
        ((), AuthorityName.parse("PLANT"), (b"issuer", b"root"), True),
        ((), OTHER, (b"issuer",), False),
        ((ISSUER,), PLANT, (b"issuer", b"root"), True),
        ((ISSUER,), PLANT, (b"the next issuer", b"root"), False),
        ((ISSUER,), PLANT, (), False),
        ((ISSUER,), OTHER, (b"issuer",), False),
    ],
)
def test_an_authority_whole_or_some_of_its_issuing_cas(
    issuers: tuple[RevokedIssuer, ...], authority: AuthorityName, above: tuple[bytes, ...], covered: bool
) -> None:
    assert revocation(PLANT, *issuers).covers(authority, above) is covered


def test_a_group_is_no_authority_of_its_name() -> None:
    assert not revocation(GroupId.parse("plant")).covers(PLANT, ())


def test_tallies() -> None:
    assert Tally(1, 2, 3, 4, 5) + Tally(connections=6) == Tally(1, 2, 3, 10, 5)
    assert AuthorityTally(PLANT, 9, 4, 3).pending == 2
