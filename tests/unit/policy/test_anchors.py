"""Uploaded CA certificates as anchors, in the form of x509-limbo: a case draws its chain, leaf first.

`[X]` is what the enrollment refers to, `*` what is verified, and what stands in parentheses was not sent. Azure:
concepts-x509-attestation, the chain must lead up to a verified certificate; RFC 5280, section 6.1, for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from accredit.domain.ca_certificate import CaCertificate, Purpose
from accredit.domain.enrollment import CaReferences, Enrollment, SigningCertificates
from accredit.domain.errors import Unauthenticated
from accredit.domain.evidence import PresentedChain, ProvenChain
from accredit.domain.ids import RegistrationId
from accredit.policy import anchors, chains
from support import pki
from support import stored_values as some
from support.pki import DAY, NOW

DEVICE = RegistrationId.parse("dev-1")
ROOT = pki.root("Root")
INT1 = ROOT.intermediate("Int 1")
INT2 = INT1.intermediate("Int 2")
LEAF = INT2.issue("dev-1")


def uploaded(entity: pki.Entity, name: str, *, verified: bool, **facts: object) -> CaCertificate:
    return some.ca_certificate(name, root=entity.der, verified=verified, **facts)


def refers(primary: CaCertificate, secondary: CaCertificate | None = None, name: str = "line") -> Enrollment:
    return some.group(name, attestation=CaReferences(primary.name, secondary and secondary.name))


def prove(
    sent: Sequence[pki.Entity],
    enrollments: Sequence[Enrollment],
    records: Sequence[CaCertificate],
    now: float = NOW,
) -> tuple[Enrollment, ProvenChain]:
    """As `provisioning/attest.py` does it: what is verified is looked for by the names of issuers."""
    chain = chains.read(PresentedChain(tuple(one.der for one in sent)), DEVICE, now)
    by_name = {record.name: record for record in records}
    wanted = {name: by_name[name] for name in anchors.referred(enrollments) if name in by_name}
    above = anchors.anchors(enrollments, wanted)
    issuers = (*chain.issuer_sha256s, *(chains.issuer_sha256(anchor.certificate) for anchor in above))
    vouching = [
        record
        for record in records
        if record.purpose is Purpose.X509 and chains.subject_sha256(record.certificate) in issuers
    ]
    return chains.proves_below(chain, above, now, vouching)


def rule_of(
    sent: Sequence[pki.Entity],
    enrollments: Sequence[Enrollment],
    records: Sequence[CaCertificate],
    now: float = NOW,
) -> str:
    with pytest.raises(Unauthenticated) as refused:
        prove(sent, enrollments, records, now)
    assert refused.value.message == "Unauthorized"
    return refused.value.rule


class TestReferredCertificateIsVerified:
    def test_nothing_but_the_leaf_has_to_be_sent_below_it(self) -> None:
        """Produces a **valid** chain: dev-1 (-> [Int 2]*)"""
        record = uploaded(INT2, "int2", verified=True)
        enrollment = refers(record)
        found, proven = prove([LEAF], [enrollment], [record])
        assert found is enrollment
        assert proven == ProvenChain((LEAF.der, INT2.der), ((record.name, record.etag),))

    def test_everything_sent(self) -> None:
        """Produces a **valid** chain: dev-1 -> Int 2 -> Int 1 -> [Root]*"""
        record = uploaded(ROOT, "root", verified=True)
        _, proven = prove([LEAF, INT2, INT1, ROOT], [refers(record)], [record])
        assert proven.chain == (LEAF.der, INT2.der, INT1.der, ROOT.der)

    def test_an_intermediate_is_missing(self) -> None:
        """Produces an **invalid** chain: dev-1 -> Int 2 (-> Int 1 -> [Root]*); RFC 5280, 6.1.3 (a)(4)"""
        record = uploaded(ROOT, "root", verified=True)
        assert rule_of([LEAF, INT2], [refers(record)], [record]) == "chain-stops"

    def test_rollover(self) -> None:
        """Produces two **valid** chains: dev-1 (-> [Old]*) and dev-1 (-> [New]*)"""
        old, new = pki.root("Old"), pki.root("New")
        records = [uploaded(old, "old", verified=True), uploaded(new, "new", verified=True)]
        for signer, record in zip((old, new), records, strict=True):
            leaf = signer.issue("dev-1")
            _, proven = prove([leaf], [refers(*records)], records)
            assert proven.rests_on == ((record.name, record.etag),)

    def test_a_successor_by_the_same_name(self) -> None:
        """Produces two **valid** chains: dev-1 (-> [CA]*) and dev-1 (-> [CA']*), another key by one name."""
        old, new = pki.root("CA"), pki.root("CA")
        records = [uploaded(old, "old", verified=True), uploaded(new, "new", verified=True)]
        for signer in (old, new):
            _, proven = prove([signer.issue("dev-1")], [refers(*records)], records)
            assert proven.chain[1] == signer.der

    @pytest.mark.parametrize("now", [NOW - 2 * DAY, NOW + 40 * DAY])
    def test_it_is_outside_its_life(self, now: float) -> None:
        """Produces an **invalid** chain: dev-1 (-> [CA]*), the CA expired or not valid yet; RFC 5280, 6.1.3 (a)(2)"""
        ca = pki.root("CA", not_after=NOW + 30 * DAY)
        leaf = ca.issue("dev-1", not_before=NOW - 9 * DAY)
        record = uploaded(ca, "ca", verified=True)
        assert rule_of([leaf], [refers(record)], [record], now) == "chain-expired"

    def test_five_minutes_are_forgiven(self) -> None:
        """Produces a **valid** chain: dev-1 (-> [CA]*), the CA expired less than five minutes ago."""
        ca = pki.root("CA", not_after=NOW)
        record = uploaded(ca, "ca", verified=True)
        prove([ca.issue("dev-1")], [refers(record)], [record], NOW + chains.SKEW_S)
        assert (
            rule_of([ca.issue("dev-1")], [refers(record)], [record], NOW + chains.SKEW_S + 1)
            == "chain-expired"
        )

    def test_another_key_by_its_name(self) -> None:
        """Produces an **invalid** chain: dev-1 -> CA', where [CA]* has the name and another key; RFC 5280, 6.1.3 (a)(1)"""
        record = uploaded(pki.root("CA"), "ca", verified=True)
        impostor = pki.root("CA")
        assert rule_of([impostor.issue("dev-1"), impostor], [refers(record)], [record]) == "chain-stops"

    def test_a_tpm_vendors_root(self) -> None:
        """Produces an **invalid** chain: dev-1 (-> [Vendor]*), which vouches for TPMs alone."""
        record = uploaded(ROOT, "vendor", verified=True, purpose=Purpose.TPM_VENDOR_ROOT)
        assert rule_of([LEAF, INT2, INT1], [refers(record)], [record]) == "chain-stops"

    def test_it_was_removed(self) -> None:
        """Produces an **invalid** chain: dev-1 -> Int 2 -> Int 1 -> Root, and what is referred to is not there."""
        gone = uploaded(ROOT, "root", verified=True)
        assert rule_of([LEAF, INT2, INT1, ROOT], [refers(gone)], []) == "chain-stops"


class TestReferredCertificateIsNotVerified:
    """Azure: group on intermediate 2, only the root verified: the device must present leaf, int 2, int 1 (and the root)."""

    RECORD = uploaded(INT2, "int2", verified=False)

    @pytest.mark.parametrize("sent", [[LEAF, INT2, INT1, ROOT], [LEAF, INT2, INT1], [LEAF, INT1]])
    def test_a_verified_root_above(self, sent: list[pki.Entity]) -> None:
        """Produces a **valid** chain: dev-1 (-> [Int 2]) -> Int 1 (-> Root*)"""
        root = uploaded(ROOT, "root", verified=True)
        _, proven = prove(sent, [refers(self.RECORD)], [self.RECORD, root])
        assert proven.chain == (LEAF.der, INT2.der, INT1.der, ROOT.der)
        assert [name.text for name, _ in proven.rests_on] == ["int2", "root"]

    def test_a_verified_intermediate_between(self) -> None:
        """Produces a **valid** chain: dev-1 (-> [Int 2] -> Int 1*)"""
        int1 = uploaded(INT1, "int1", verified=True)
        _, proven = prove([LEAF], [refers(self.RECORD)], [self.RECORD, int1])
        assert proven.chain == (LEAF.der, INT2.der, INT1.der)

    def test_the_way_to_the_verified_one_was_not_sent(self) -> None:
        """Produces an **invalid** chain: dev-1 -> [Int 2] (-> Int 1 -> Root*)"""
        root = uploaded(ROOT, "root", verified=True)
        assert rule_of([LEAF, INT2], [refers(self.RECORD)], [self.RECORD, root]) == "ca-not-verified"

    def test_nothing_is_verified(self) -> None:
        """Produces an **invalid** chain: dev-1 -> [Int 2] -> Int 1 -> Root"""
        root = uploaded(ROOT, "root", verified=False)
        sent = [LEAF, INT2, INT1, ROOT]
        assert rule_of(sent, [refers(self.RECORD)], [self.RECORD, root]) == "ca-not-verified"

    def test_a_root_that_vouches_for_itself(self) -> None:
        """Produces an **invalid** chain: dev-1 -> [Root], sent twice"""
        root = uploaded(ROOT, "root", verified=False)
        leaf = ROOT.issue("dev-1")
        assert rule_of([leaf, ROOT, ROOT], [refers(root)], [root]) == "ca-not-verified"

    def test_a_verified_namesake_of_the_root(self) -> None:
        """Produces an **invalid** chain: dev-1 -> [Int 2] -> Int 1 -> Root, and Root'* of the name has another key"""
        other = uploaded(pki.root("Root"), "other", verified=True)
        sent = [LEAF, INT2, INT1, ROOT]
        assert rule_of(sent, [refers(self.RECORD)], [self.RECORD, other]) == "ca-not-verified"

    def test_a_verified_one_below_does_not_vouch(self) -> None:
        """Produces an **invalid** chain: dev-1 -> Int 2* -> Int 1 -> [Root]: what is verified stands below."""
        root = uploaded(ROOT, "root", verified=False)
        below = uploaded(INT2, "below", verified=True)
        assert rule_of([LEAF, INT2, INT1, ROOT], [refers(root)], [root, below]) == "ca-not-verified"

    def test_an_expired_certificate_on_the_way(self) -> None:
        """Produces an **invalid** chain: dev-1 (-> [Line]) -> Mid (-> Root*), Mid expired; RFC 5280, 6.1.3 (a)(2)"""
        mid = ROOT.issue("Mid", ca=True, not_after=NOW - DAY)
        line = mid.intermediate("Line")
        records = [uploaded(line, "line", verified=False), uploaded(ROOT, "root", verified=True)]
        assert rule_of([line.issue("dev-1"), mid], [refers(records[0])], records) == "chain-expired"

    def test_a_path_that_the_verified_one_does_not_allow(self) -> None:
        """Produces an **invalid** chain: dev-1 (-> [B]) -> A (-> Root*, pathLenConstraint 0); RFC 5280, 6.1.4 (m)"""
        root = pki.root("Root", path_length=0)
        a = root.intermediate("A")
        b = a.intermediate("B")
        records = [uploaded(b, "b", verified=False), uploaded(root, "root", verified=True)]
        assert rule_of([b.issue("dev-1"), a], [refers(records[0])], records) == "chain-path-length"

    def test_an_outdated_digest_above(self) -> None:
        """Produces an **invalid** chain: dev-1 (-> [Line], signed with SHA-1 by Root*)"""
        root = pki.root("Root", key=rsa.generate_private_key(65537, 2048))
        line = root.intermediate("Line")
        outdated = some.ca_certificate("line", root=pki.with_sha1(line), verified=False)
        records = [outdated, uploaded(root, "root", verified=True)]
        assert rule_of([line.issue("dev-1")], [refers(outdated)], records) == "chain-weak"


class TestOrder:
    """Azure, order of operations: the first certificate from the leaf's issuer upward that has a group decides."""

    def test_the_nearest_decides(self) -> None:
        """dev-1 (-> [Int 2]*) with another group on [Root]*"""
        near, far = uploaded(INT2, "int2", verified=True), uploaded(ROOT, "root", verified=True)
        found, _ = prove(
            [LEAF, INT2, INT1], [refers(far, name="far"), refers(near, name="near")], [near, far]
        )
        assert found.id.text == "near"

    def test_one_that_is_not_verified_is_not_passed_by(self) -> None:
        """dev-1 -> [Int 2] -> Int 1 with a group of its own on Root: the first one decides, and is refused."""
        near = uploaded(INT2, "int2", verified=False)
        far = some.group("far", attestation=SigningCertificates(ROOT.der))
        assert rule_of([LEAF, INT2, INT1], [refers(near), far], [near]) == "ca-not-verified"

    def test_beside_a_group_that_has_the_certificate_itself(self) -> None:
        """dev-1 -> Int 2 -> [Int 1], where [Root]* is referred to by another group"""
        root = uploaded(ROOT, "root", verified=True)
        own = some.group("own", attestation=SigningCertificates(INT1.der))
        found, proven = prove([LEAF, INT2], [refers(root), own], [root])
        assert (found.id.text, proven.rests_on) == ("own", ())


def test_an_individual_enrollment_refers_too() -> None:
    record = uploaded(ROOT, "root", verified=True)
    single = some.enrollment("dev-1", attestation=CaReferences(record.name))
    found, _ = prove([LEAF, INT2, INT1], [single], [record])
    assert found is single


def test_enrollments_of_another_mechanism_have_no_anchors() -> None:
    assert anchors.anchors([some.group(), some.enrollment()], {}) == ()
    assert anchors.referred([some.group(), some.enrollment()]) == ()
