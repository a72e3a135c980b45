"""What an outside CA may answer, and which rule refuses the rest.

Each test draws its chain as `root -> issuing -> leaf`; the leaf is of the ordered key and name unless said otherwise.
"""

import itertools

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from accredit.ca.der import element
from accredit.domain.der import content
from accredit.domain.errors import UpstreamRejected
from accredit.policy.delivered import (
    MAX_CERTIFICATE_BYTES,
    MAX_CERTIFICATES,
    check_delivered,
    stray,
)
from accredit.policy.issuer_path import CLOCK_LEEWAY_S
from support.outside_ca import CA, DAY_S, NOW, OutsideCA, der, name
from support.signing_requests import key, order

ORDER = order()
OURS = key().public_key()
ROOT = OutsideCA.root()
ISSUING = ROOT.under()
LEAF = ISSUING.leaf(OURS)
STRANGER = OutsideCA.root("Stranger")


def check(*certificates, anchors=(), max_validity_s=None, now=NOW, ordered=ORDER, reference=None):
    anchors_der = [der(anchor.certificate) for anchor in anchors]
    return check_delivered(
        ordered, [der(each) for each in certificates], anchors_der, max_validity_s, now, reference
    )


def rule(*certificates, **facts) -> str:
    with pytest.raises(UpstreamRejected) as caught:
        check(*certificates, **facts)
    return caught.value.rule


def usage(**asked: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{each: asked.get(each, False) for each in names})


class TestGoodAnswers:
    def test_what_is_known_of_the_certificate(self):
        issued = check(LEAF, ISSUING.certificate, ROOT.certificate, reference="order 7")
        assert issued.chain == (der(LEAF), der(ISSUING.certificate), der(ROOT.certificate))
        assert issued.serial == LEAF.serial_number
        assert (issued.not_before, issued.not_after) == (NOW, NOW + 30 * DAY_S)
        assert issued.sha256 == LEAF.fingerprint(SHA256())
        assert issued.spki_sha256 == ORDER.request.spki_sha256
        assert issued.ca_reference == "order 7"

    @pytest.mark.parametrize("anchors", [(), (ROOT,), (STRANGER, ROOT)])
    def test_every_order_is_repaired(self, anchors):
        certificates = (LEAF, ISSUING.certificate, ROOT.certificate)
        for shuffled in itertools.permutations(certificates):
            assert check(*shuffled, anchors=anchors).chain == tuple(map(der, certificates))

    def test_repeated_certificates_are_dropped(self):
        chain = check(LEAF, LEAF, ISSUING.certificate, ISSUING.certificate, LEAF).chain
        assert chain == (der(LEAF), der(ISSUING.certificate))

    def test_a_leaf_alone_where_nothing_is_anchored(self):
        assert check(LEAF).chain == (der(LEAF),)

    def test_a_chain_without_its_root(self):
        assert check(LEAF, ISSUING.certificate).chain == (der(LEAF), der(ISSUING.certificate))

    @pytest.mark.parametrize("common_name", ["device-1", "DEVICE-1"])
    def test_the_common_name_without_regard_to_case(self, common_name):
        check(ISSUING.leaf(OURS, common_name))

    def test_other_parts_of_the_subject_are_the_ca_s(self):
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Contoso"),
                x509.NameAttribute(NameOID.COMMON_NAME, "device-1"),
            ]
        )
        check(ISSUING.leaf(OURS, subject=subject))

    @pytest.mark.parametrize(
        "usages",
        [
            [ExtendedKeyUsageOID.CLIENT_AUTH],
            [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
            [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE],
        ],
    )
    def test_usages_with_client_authentication(self, usages):
        check(ISSUING.leaf(OURS, extensions=[(x509.ExtendedKeyUsage(usages), False)]))

    @pytest.mark.parametrize("kind", ["P-384", "RSA-2048"])
    def test_a_device_with_another_kind_of_key(self, kind):
        leaf = ISSUING.leaf(key(kind).public_key())
        assert check(leaf, ISSUING.certificate, ordered=order(private=key(kind))).chain[0] == der(leaf)


class TestLeaf:
    def test_another_key(self):
        leaf = ISSUING.leaf(key(which=1).public_key())
        assert rule(leaf, ISSUING.certificate) == "ca-wrong-key"

    def test_no_leaf_at_all(self):
        assert rule(ISSUING.certificate, ROOT.certificate) == "ca-wrong-key"

    def test_two_certificates_of_our_key(self):
        assert rule(LEAF, ISSUING.leaf(OURS), ISSUING.certificate) == "ca-broken-chain"

    @pytest.mark.parametrize("common_name", ["device-2", "device-1 ", "", "\u212a", None])
    def test_another_name(self, common_name):
        subject = x509.Name([]) if not common_name else name(common_name)
        assert rule(ISSUING.leaf(OURS, subject=subject), ISSUING.certificate) == "ca-wrong-name"

    def test_two_names(self):
        names = [x509.NameAttribute(NameOID.COMMON_NAME, each) for each in ("device-1", "device-1")]
        assert rule(ISSUING.leaf(OURS, subject=x509.Name(names))) == "ca-wrong-name"

    @pytest.mark.parametrize(
        "extension", [(CA, True), (usage(key_cert_sign=True, digital_signature=True), True)]
    )
    def test_a_ca(self, extension):
        leaf = ISSUING.leaf(OURS, extensions=[extension])
        assert rule(leaf, ISSUING.certificate) == "ca-issued-a-ca"

    def test_usages_without_client_authentication(self):
        only_server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        leaf = ISSUING.leaf(OURS, extensions=[(only_server, False)])
        assert rule(leaf, ISSUING.certificate) == "ca-wrong-usage"

    @pytest.mark.parametrize("first_octet", [0x80, 0xFF])
    def test_a_negative_serial(self, first_octet):
        certificate = der(ISSUING.leaf(OURS, serial=0x7F00_0000_0000_1234))
        forged = certificate.replace(b"\x02\x08\x7f\x00", bytes([0x02, 0x08, first_octet, 0x00]), 1)
        with pytest.raises(UpstreamRejected) as caught:
            check_delivered(ORDER, [forged], [], None, NOW)
        assert caught.value.rule == "ca-wrong-serial"

    def test_a_serial_of_zero(self):
        certificate = der(ISSUING.leaf(OURS, serial=5))
        forged = certificate.replace(b"\x02\x01\x05", b"\x02\x01\x00", 1)
        with pytest.raises(UpstreamRejected) as caught:
            check_delivered(ORDER, [forged], [], None, NOW)
        assert caught.value.rule == "ca-wrong-serial"

    def test_a_serial_of_twenty_octets_but_not_of_more(self):
        assert check(ISSUING.leaf(OURS, serial=(1 << 159) - 1)).serial == (1 << 159) - 1
        certificate = der(ISSUING.leaf(OURS, serial=0x7F << 152))
        serial = b"\x02\x14\x7f" + bytes(19)
        with pytest.raises(UpstreamRejected) as caught:
            check_delivered(ORDER, [grown(certificate, serial, b"\x02\x15\x7f" + bytes(20))], [], None, NOW)
        assert caught.value.rule == "ca-wrong-serial"


class TestLife:
    @pytest.mark.parametrize(
        ("begins", "life_s", "max_validity_s"),
        [
            (NOW + CLOCK_LEEWAY_S, DAY_S, None),
            (NOW - DAY_S, DAY_S + 1, None),
            (NOW, 30 * DAY_S, 30 * DAY_S),
            (NOW - 3600, 30 * DAY_S + 3600, 30 * DAY_S),
            (NOW + CLOCK_LEEWAY_S, 30 * DAY_S, 30 * DAY_S),
            (NOW, 30_000 * DAY_S, None),
        ],
    )
    def test_within_bounds(self, begins, life_s, max_validity_s):
        check(ISSUING.leaf(OURS, begins=begins, life_s=life_s), max_validity_s=max_validity_s)

    @pytest.mark.parametrize(
        ("begins", "life_s", "max_validity_s"),
        [
            (NOW + CLOCK_LEEWAY_S + 1, DAY_S, None),
            (NOW - DAY_S, DAY_S, None),
            (NOW - 90 * DAY_S, DAY_S, None),
            (NOW, 30 * DAY_S + CLOCK_LEEWAY_S + 1, 30 * DAY_S),
            (NOW, 30_000 * DAY_S, 365 * DAY_S),
        ],
    )
    def test_out_of_bounds(self, begins, life_s, max_validity_s):
        leaf = ISSUING.leaf(OURS, begins=begins, life_s=life_s)
        assert rule(leaf, ISSUING.certificate, max_validity_s=max_validity_s) == "ca-wrong-life"


class TestChain:
    def test_a_link_that_does_not_verify(self):
        assert rule(LEAF, ROOT.under().certificate) == "ca-broken-chain"

    def test_a_chain_to_another_anchor(self):
        assert rule(LEAF, ISSUING.certificate, ROOT.certificate, anchors=(STRANGER,)) == "ca-untrusted-chain"

    def test_a_forged_signature(self):
        forged = der(LEAF)[:-1] + bytes([der(LEAF)[-1] ^ 1])
        with pytest.raises(UpstreamRejected) as caught:
            check_delivered(ORDER, [forged, der(ISSUING.certificate)], [], None, NOW)
        assert caught.value.rule == "ca-broken-chain"


class TestForm:
    @pytest.mark.parametrize(
        "chain", [[], [b""], [b"garbage"], [der(LEAF), b"\x30\x00"], [der(LEAF) + b"\x00"]]
    )
    def test_no_certificate(self, chain):
        with pytest.raises(UpstreamRejected) as caught:
            check_delivered(ORDER, chain, [], None, NOW)
        assert caught.value.rule == "ca-unreadable"

    def test_too_many(self):
        with pytest.raises(UpstreamRejected) as caught:
            check_delivered(ORDER, [der(LEAF)] * (MAX_CERTIFICATES + 1), [], None, NOW)
        assert caught.value.rule == "ca-unreadable"

    def test_too_large(self):
        fat = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(MAX_CERTIFICATE_BYTES))
        assert rule(ISSUING.leaf(OURS, extensions=[(fat, False)])) == "ca-unreadable"

    def test_an_extension_twice_or_unreadable(self):
        good = der(
            ISSUING.leaf(OURS, extensions=[(x509.SubjectAlternativeName([x509.DNSName("ab")]), False)])
        )
        forged = good.replace(b"\x82\x02ab", b"\x82\x09ab")
        with pytest.raises(UpstreamRejected) as caught:
            check_delivered(ORDER, [forged], [], None, NOW)
        assert caught.value.rule == "ca-unreadable"

    def test_a_bit_string_where_a_text_belongs(self):
        forged = der(LEAF).replace(b"\x0c\x08device-1", b"\x03\x08\x00evice-1")
        assert forged != der(LEAF)
        with pytest.raises(UpstreamRejected) as caught:
            check_delivered(ORDER, [forged], [], None, NOW)
        assert caught.value.rule == "ca-unreadable"

    @given(st.lists(st.binary(max_size=200), max_size=4))
    def test_garbage(self, chain):
        with pytest.raises(UpstreamRejected):
            check_delivered(ORDER, chain, [], None, NOW)

    @given(st.integers(0, len(der(LEAF)) - 1), st.integers(1, 255))
    def test_a_single_changed_octet_never_passes(self, at, change):
        whole = der(LEAF)
        forged = whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :]
        with pytest.raises(UpstreamRejected):
            check_delivered(ORDER, [forged, der(ISSUING.certificate)], [], None, NOW)


class TestStray:
    """What was signed and not accepted has to be known all the same."""

    def test_the_certificate_of_our_key(self):
        wrong = ISSUING.leaf(OURS, "device-2")
        found = stray(ORDER, [der(ROOT.certificate), der(ISSUING.certificate), der(wrong)], "order 7")
        assert found is not None
        assert found.leaf == der(wrong)
        assert found.chain == (der(wrong),)
        assert found.ca_reference == "order 7"

    def test_a_certificate_of_another_key_before_a_ca_s(self):
        wrong = ISSUING.leaf(key(which=1).public_key())
        found = stray(ORDER, [der(ISSUING.certificate), b"garbage", der(wrong)])
        assert found is not None
        assert found.leaf == der(wrong)

    def test_nothing_to_be_found(self):
        assert stray(ORDER, [b"garbage"]) is None
        assert stray(ORDER, []) is None


def grown(certificate: bytes, old: bytes, new: bytes) -> bytes:
    """The certificate with more octets in what is signed; its signature is void then."""
    tbs = x509.load_der_x509_certificate(certificate).tbs_certificate_bytes
    start, _ = content(tbs, 0, 0x30)
    tail = certificate[certificate.index(tbs) + len(tbs) :]
    assert tbs.count(old) == 1
    return element(0x30, element(0x30, tbs[start:].replace(old, new)), tail)
