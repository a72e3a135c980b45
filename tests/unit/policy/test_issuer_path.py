"""The certificates above a leaf: in which order, up to where, and when there is no way up.

Chains are drawn from the top: `root -> issuing -> leaf`.
"""

import itertools

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from accredit.domain.errors import UpstreamRejected
from accredit.policy.issuer_path import CLOCK_LEEWAY_S, path_above
from support.outside_ca import DAY_S, NOW, OutsideCA, name
from support.signing_requests import key

OURS = key().public_key()
ROOT = OutsideCA.root()
ISSUING = ROOT.under()
LEAF = ISSUING.leaf(OURS)
STRANGER = OutsideCA.root("Stranger")


def path(leaf, *others, anchors=()):
    return tuple(path_above(leaf, others, [anchor.certificate for anchor in anchors], NOW))


def rule(*certificates, **facts) -> str:
    with pytest.raises(UpstreamRejected) as caught:
        path(*certificates, **facts)
    return caught.value.rule


def usage(**asked: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{each: asked.get(each, False) for each in names})


class TestPath:
    @pytest.mark.parametrize("anchors", [(), (ROOT,), (STRANGER, ROOT)])
    def test_every_order_is_repaired(self, anchors):
        for above in itertools.permutations((ISSUING.certificate, ROOT.certificate)):
            assert path(LEAF, *above, anchors=anchors) == (LEAF, ISSUING.certificate, ROOT.certificate)

    def test_it_goes_as_far_as_is_known(self):
        assert path(LEAF) == (LEAF,)
        assert path(LEAF, ISSUING.certificate) == (LEAF, ISSUING.certificate)

    def test_a_ca_that_begins_within_the_leeway(self):
        early = ROOT.under(begins=NOW + CLOCK_LEEWAY_S)
        late = ROOT.under(begins=NOW + CLOCK_LEEWAY_S + 1)
        assert len(path(early.leaf(OURS), early.certificate)) == 2
        assert rule(late.leaf(OURS), late.certificate) == "ca-broken-chain"

    def test_the_anchor_completes_the_chain(self):
        expected = (LEAF, ISSUING.certificate, ROOT.certificate)
        assert path(LEAF, ISSUING.certificate, anchors=(ROOT,)) == expected

    def test_an_issuing_ca_as_the_anchor_ends_the_chain(self):
        chain = path(LEAF, ISSUING.certificate, ROOT.certificate, anchors=(ISSUING,))
        assert chain == (LEAF, ISSUING.certificate)

    def test_a_leaf_alone_below_its_anchor(self):
        assert path(LEAF, anchors=(ISSUING,)) == (LEAF, ISSUING.certificate)

    def test_an_anchor_that_has_ended_is_the_operator_s_affair(self):
        ended = ROOT.under("Ended", begins=NOW - 90 * DAY_S, life_s=DAY_S)
        leaf = ended.leaf(OURS)
        assert path(leaf, anchors=(ended,)) == (leaf, ended.certificate)

    def test_a_cross_signed_issuing_ca_leads_to_the_anchor(self):
        other = OutsideCA.root("Other Root")
        crossed = other.under(key=ISSUING.key)
        certificates = (LEAF, ISSUING.certificate, crossed.certificate, ROOT.certificate)
        assert path(*certificates, anchors=(other,)) == (
            LEAF,
            crossed.certificate,
            other.certificate,
        )
        assert path(*certificates, anchors=(ROOT,))[1] == ISSUING.certificate

    def test_two_roots_that_signed_each_other_end_the_walk(self):
        """root A -> root B -> root A: nobody walks in a circle."""
        other = OutsideCA.root("Other Root")
        there, back = ROOT.under("Other Root", key=other.key), other.under("Outside Root", key=ROOT.key)
        leaf = other.leaf(OURS)
        assert path(leaf, there.certificate, back.certificate) == (leaf, there.certificate, back.certificate)

    def test_a_ca_with_another_kind_of_key(self):
        root = OutsideCA.root("RSA Root", rsa.generate_private_key(65537, 2048))
        leaf = root.leaf(OURS)
        assert path(leaf, root.certificate) == (leaf, root.certificate)


class TestNoPath:
    def test_an_issuing_ca_that_did_not_sign_it(self):
        """issuing (same name, other key) -> leaf"""
        impostor = ROOT.under()
        assert rule(LEAF, impostor.certificate, ROOT.certificate) == "ca-broken-chain"

    def test_a_link_is_missing(self):
        assert rule(LEAF, ROOT.certificate) == "ca-broken-chain"

    def test_a_stranger_above_a_good_chain(self):
        assert rule(LEAF, ISSUING.certificate, STRANGER.certificate) == "ca-broken-chain"

    def test_a_stranger_with_the_root_s_name(self):
        impostor = OutsideCA.root()
        assert rule(LEAF, ISSUING.certificate, impostor.certificate) == "ca-broken-chain"

    def test_an_issuing_ca_without_the_ca_bit(self):
        for constraints in (None, x509.BasicConstraints(ca=False, path_length=None)):
            issuing = ROOT.under(constraints=constraints)
            assert rule(issuing.leaf(OURS), issuing.certificate, anchors=(ROOT,)) == "ca-broken-chain"

    def test_the_right_to_sign_certificates_does_not_replace_the_ca_bit(self):
        issuing = ROOT.under(constraints=None, usage=usage(key_cert_sign=True))
        assert rule(issuing.leaf(OURS), issuing.certificate) == "ca-broken-chain"

    def test_an_issuing_ca_that_may_not_sign_certificates(self):
        issuing = ROOT.under(usage=usage(crl_sign=True))
        assert rule(issuing.leaf(OURS), issuing.certificate) == "ca-broken-chain"
        allowed = ROOT.under(usage=usage(key_cert_sign=True))
        path(allowed.leaf(OURS), allowed.certificate)

    def test_more_cas_than_the_path_length_allows(self):
        """root -> first (pathlen 0) -> second -> leaf"""
        first = ROOT.under("First", constraints=x509.BasicConstraints(ca=True, path_length=0))
        second = first.under("Second")
        leaf = second.leaf(OURS)
        assert rule(leaf, second.certificate, first.certificate) == "ca-broken-chain"
        path(first.leaf(OURS), first.certificate)

    def test_an_issuing_ca_that_has_ended(self):
        ended = ROOT.under(begins=NOW - 90 * DAY_S, life_s=DAY_S)
        assert rule(ended.leaf(OURS), ended.certificate) == "ca-broken-chain"
        assert rule(ended.leaf(OURS), ended.certificate, anchors=(ROOT,)) == "ca-untrusted-chain"

    def test_a_leaf_that_signed_itself(self):
        subject = name("device-1")
        itself = OutsideCA(subject, key(), None).leaf(OURS)
        assert rule(itself) == "ca-broken-chain"

    def test_another_anchor(self):
        certificates = (LEAF, ISSUING.certificate, ROOT.certificate)
        assert rule(*certificates, anchors=(STRANGER,)) == "ca-untrusted-chain"
        assert rule(LEAF, anchors=(STRANGER,)) == "ca-untrusted-chain"

    def test_an_anchor_of_the_right_name_and_another_key(self):
        certificates = (LEAF, ISSUING.certificate, ROOT.certificate)
        assert rule(*certificates, anchors=(OutsideCA.root(),)) == "ca-untrusted-chain"

    def test_a_leaf_alone_whose_issuer_is_not_at_hand(self):
        assert rule(LEAF, anchors=(ROOT,)) == "ca-untrusted-chain"
