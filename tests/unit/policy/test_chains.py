"""Each case draws its chain, leaf first, as x509-limbo does; `[X]` is what the group enrolls."""

import hashlib
import math

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accredit.domain.enrollment import Enrollment, LeafCertificates, SigningCertificates
from accredit.domain.errors import Unauthenticated
from accredit.domain.evidence import PresentedChain
from accredit.domain.ids import GroupId, RegistrationId
from accredit.policy import chains
from accredit.policy.anchors import anchors
from support import pki
from support.pki import DAY, NOW

DEVICE = RegistrationId.parse("dev-1")


def group(primary, secondary=None, name="line", **more):
    return Enrollment(
        id=GroupId.parse(name),
        attestation=SigningCertificates(primary.der, None if secondary is None else secondary.der),
        generation="g",
        etag="e",
        created_at=NOW,
        updated_at=NOW,
        **more,
    )


def prove(presented, *groups, now=NOW, registration_id=DEVICE):
    """As a caller does it: only the groups that the chain's issuer names lead to are looked at."""
    chain = chains.read(PresentedChain(tuple(presented)), registration_id, now)
    wanted = set(chain.issuer_sha256s)
    found = [
        one
        for one in groups
        if any(
            der is not None and chains.subject_sha256(der) in wanted
            for der in (one.attestation.primary, one.attestation.secondary)
        )
    ]
    return chains.proves_below(chain, anchors(found, {}), now)


def rule_of(presented, *groups, **how):
    with pytest.raises(Unauthenticated) as refusal:
        prove(presented, *groups, **how)
    assert refusal.value.message == "Unauthorized"
    return refusal.value.rule


def with_exponent(key, exponent):
    """The same modulus with another public exponent, which has to be coprime to what the primes leave."""
    p, q = key.private_numbers().p, key.private_numbers().q
    while math.gcd(exponent, (p - 1) * (q - 1)) != 1:
        exponent += 2
    d = pow(exponent, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(exponent, p * q)
    return rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public
    ).private_key()


@pytest.fixture(scope="module")
def top():
    return pki.root("Root")


@pytest.fixture(scope="module")
def middle(top):
    return top.intermediate("Line 3")


@pytest.fixture(scope="module")
def device(middle):
    return middle.issue("dev-1")


class TestGroup:
    """concepts-x509-attestation: the first certificate above the leaf that a group enrolls decides."""

    def test_root_enrolled_whole_chain_sent(self, top, middle, device):
        """dev-1 -> Line 3 -> [Root]"""
        enrolled = group(top)
        found, proven = prove(device.chain, enrolled)
        assert found is enrolled
        assert proven.chain == (device.der, middle.der, top.der)

    def test_root_enrolled_and_not_sent(self, top, middle, device):
        """dev-1 -> Line 3 (-> [Root])"""
        found, proven = prove([device.der, middle.der], group(top))
        assert found.id.text == "line"
        assert proven.chain == (device.der, middle.der, top.der)

    def test_intermediate_enrolled_and_not_sent(self, middle, device):
        """dev-1 (-> [Line 3])"""
        _, proven = prove([device.der], group(middle))
        assert proven.chain == (device.der, middle.der)

    def test_intermediate_enrolled_and_sent_with_its_root(self, middle, device):
        """dev-1 -> [Line 3] -> Root"""
        _, proven = prove(device.chain, group(middle))
        assert proven.chain == (device.der, middle.der)

    def test_secondary_certificate(self, top, device):
        found, _ = prove(device.chain, group(pki.root("Old"), top))
        assert found.id.text == "line"

    def test_the_nearest_enrolled_certificate_decides(self, top, middle, device):
        """dev-1 -> [Line 3] -> [Root], two groups"""
        found, _ = prove(device.chain, group(top, name="all"), group(middle, name="line-3"))
        assert found.id.text == "line-3"

    def test_a_disabled_group_is_not_passed_by(self, top, middle, device):
        found, _ = prove(device.chain, group(top, name="all"), group(middle, name="off", enabled=False))
        assert found.id.text == "off"

    def test_order_of_what_was_sent_does_not_matter_above_the_leaf(self, top):
        a = top.intermediate("A")
        b = a.intermediate("B")
        leaf = b.issue("dev-1")
        _, proven = prove([leaf.der, top.der, a.der, b.der], group(top))
        assert proven.chain == (leaf.der, b.der, a.der, top.der)

    def test_a_stranger_among_the_sent_does_not_matter(self, top, middle, device):
        _, proven = prove([device.der, pki.root("Other").der, middle.der], group(top))
        assert len(proven.chain) == 3

    def test_a_renewed_ca_of_the_same_key(self, top, middle, device):
        """The group enrolls Line 3's successor: same name, same key."""
        successor = top.issue("Line 3", ca=True, key=middle.key)
        _, proven = prove(device.chain, group(successor))
        assert proven.chain == (device.der, successor.der)

    @pytest.mark.parametrize(
        "key", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())]
    )
    def test_other_keys(self, key):
        root = pki.root(
            "R",
            key=key,
            hash_algorithm=None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA384(),
        )
        leaf = root.issue(
            "dev-1", hash_algorithm=None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA384()
        )
        assert prove(leaf.chain, group(root))

    def test_two_cas_of_one_name(self, device, top):
        """The enrolled ones share a name; the key tells them apart."""
        namesake = pki.root("Root")
        found, _ = prove(device.chain, group(namesake, name="a"), group(top, name="b"))
        assert found.id.text == "b"


class TestGroupRefused:
    def test_stops_below_an_unsent_intermediate(self, top, device):
        """dev-1 (-> Line 3) -> [Root]"""
        with pytest.raises(Unauthenticated) as refusal:
            prove([device.der, top.der], group(top))
        assert refusal.value.rule == "chain-stops"
        assert "CN=dev-1" in refusal.value.evidence
        assert "send the intermediate CN=Line 3" in refusal.value.evidence

    def test_ends_at_a_root_nobody_enrolled(self, device):
        assert rule_of(device.chain) == "chain-stops"
        assert rule_of(device.chain, group(pki.root("Other"))) == "chain-stops"

    def test_self_signed_leaf(self, top):
        assert rule_of([pki.root("dev-1", ca=False).der], group(top)) == "chain-stops"

    def test_the_enrolled_certificate_itself_is_no_device(self):
        ca = pki.root("dev-1")
        assert rule_of([ca.der], group(ca)) == "chain-stops"
        assert rule_of([ca.der, ca.der], group(ca)) == "chain-stops"

    def test_a_loop_ends(self):
        """a -> b -> a, each signed by the other, none enrolled"""
        a = pki.root("A")
        b = a.intermediate("B")
        a2 = b.issue("A", ca=True, key=a.key)
        leaf = a.issue("dev-1")
        assert rule_of([leaf.der, a2.der, b.der], group(pki.root("R"))) == "chain-stops"

    def test_forged_anchor_name(self, top):
        """dev-1 -> another CA that calls itself Root"""
        forged = pki.root("Root")
        assert rule_of(forged.issue("dev-1").chain, group(top)) == "chain-stops"
        assert rule_of([forged.issue("dev-1").der, top.der], group(top)) == "chain-signature"

    def test_forged_intermediate(self, top, middle):
        impostor = pki.root("X").issue("Line 3", ca=True, issuer_name=top.certificate.subject)
        assert rule_of(impostor.issue("dev-1").chain[:2], group(top)) == "chain-stops"
        assert rule_of([impostor.issue("dev-1").der, middle.der], group(top)) == "chain-signature"

    def test_expired(self, top, middle):
        old = top.issue("Old", ca=True, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
        early = top.issue("Early", ca=True, not_before=NOW + DAY)
        assert rule_of(middle.issue("dev-1", not_after=NOW - DAY + 1).chain, group(top)) == "chain-expired"
        assert rule_of(middle.issue("dev-1", not_before=NOW + DAY).chain, group(top)) == "chain-expired"
        assert rule_of(old.issue("dev-1").chain, group(top)) == "chain-expired"
        assert rule_of(early.issue("dev-1").chain, group(top)) == "chain-expired"
        assert rule_of(old.issue("dev-1").chain, group(old)) == "chain-expired"

    def test_five_minutes_of_skew(self, middle):
        late = middle.issue("dev-1", not_after=NOW)
        early = middle.issue("dev-1", not_before=NOW)
        assert prove(late.chain, group(middle), now=NOW + 300)
        assert prove(early.chain, group(middle), now=NOW - 300)
        assert rule_of(late.chain, group(middle), now=NOW + 301) == "chain-expired"
        assert rule_of(early.chain, group(middle), now=NOW - 301) == "chain-expired"

    def test_no_ca_bit(self, top):
        """dev-1 -> a device's certificate used as CA -> [Root]"""
        assert rule_of(top.issue("Line 3").issue("dev-1").chain, group(top)) == "chain-not-a-ca"
        bare = top.issue("Line 3", basic=False, key_cert_sign=True, purposes=None)
        assert rule_of(bare.issue("dev-1").chain, group(top)) == "chain-not-a-ca"
        assert rule_of(bare.issue("dev-1").chain, group(bare)) == "chain-not-a-ca"

    def test_ca_without_key_cert_sign(self, top):
        ca = top.issue("Line 3", ca=True, key_cert_sign=False)
        assert rule_of(ca.issue("dev-1").chain, group(top)) == "chain-not-a-ca"

    def test_path_length(self):
        top = pki.root("Top", path_length=1)
        a = top.intermediate("A")
        assert prove(a.issue("dev-1").chain, group(top))
        b = a.intermediate("B")
        assert rule_of(b.issue("dev-1").chain, group(top)) == "chain-path-length"
        strict = pki.root("Top").intermediate("Strict", path_length=0)
        assert prove(strict.issue("dev-1").chain, group(strict))
        assert rule_of(strict.intermediate("C").issue("dev-1").chain, group(strict)) == "chain-path-length"

    def test_self_issued_certificates_do_not_count(self):
        """RFC 5280, 6.1.4 (l): a CA's certificate for its own new key."""
        top = pki.root("Top", path_length=0)
        rollover = top.intermediate("Top")
        leaf = rollover.issue("dev-1")
        _, proven = prove([leaf.der, rollover.der], group(top))
        assert len(proven.chain) == 3

    def test_purpose(self, top, middle):
        server = [ExtendedKeyUsageOID.SERVER_AUTH]
        assert rule_of(middle.issue("dev-1", purposes=server).chain, group(top)) == "chain-purpose"
        narrowed = top.issue("Servers", ca=True, purposes=server)
        assert rule_of(narrowed.issue("dev-1").chain, group(top)) == "chain-purpose"
        anything = [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]
        assert prove(middle.issue("dev-1", purposes=anything).chain, group(top))
        assert prove(middle.issue("dev-1", purposes=None).chain, group(top))

    def test_extensions_not_evaluated(self, top, middle):
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
        assert (
            rule_of(middle.issue("dev-1", extensions=[(unknown, True)]).chain, group(top))
            == "chain-extension"
        )
        assert prove(middle.issue("dev-1", extensions=[(unknown, False)]).chain, group(top))
        limits = x509.NameConstraints(
            permitted_subtrees=[x509.DNSName("example.com")], excluded_subtrees=None
        )
        limited = top.issue("Limited", ca=True, extensions=[(limits, True)])
        assert rule_of(limited.issue("dev-1").chain, group(top)) == "chain-extension"

    def test_weak_rsa_key(self):
        small = pki.root("Small", key=rsa.generate_private_key(65537, 1024))
        assert rule_of(small.issue("dev-1").chain, group(small)) == "chain-weak"

    def test_sha1(self):
        """A good chain but for the digest under its signature, which is put together by hand."""
        ca = pki.root("Old habits", key=rsa.generate_private_key(65537, 2048))
        leaf = ca.issue("dev-1")
        assert rule_of([pki.with_sha1(leaf)], group(ca)) == "chain-weak"

    def test_a_digest_that_nobody_knows(self, top):
        """ecdsa-with-SHA256 but for the last arc of its number, which is given to nothing."""
        known, unknown = bytes.fromhex("2a8648ce3d040302"), bytes.fromhex("2a8648ce3d04037f")
        leaf = top.issue("dev-1").der
        assert leaf.count(known) == 2
        assert rule_of([leaf.replace(known, unknown)], group(top)) == "chain-malformed"

    @pytest.mark.parametrize("serial", [b"\x00\x00", b"\x80\x00", b"\xff\xff"])
    def test_a_serial_number_that_is_not_positive(self, middle, device, serial):
        """RFC 5280, 4.1.2.2; whoever of the chain has it."""
        for one, place in ((device, 0), (middle, 1)):
            number = b"\x02\x02" + one.certificate.serial_number.to_bytes(2, "big")
            sent = list(device.chain)
            sent[place] = one.der.replace(number, b"\x02\x02" + serial, 1)
            assert rule_of(sent, group(middle)) == "chain-malformed"

    def test_length(self, top, device):
        assert rule_of([device.der] * 11, group(top)) == "chain-too-long"
        assert rule_of([], group(top)) == "nothing-shown"


class TestLeafName:
    """The registration id is the leaf's one common name (iot-dps-mqtt-support)."""

    def test_case_does_not_matter(self, middle):
        assert prove(middle.issue("DEV-1").chain, group(middle))

    @pytest.mark.parametrize("common_name", ["dev-2", "dev-1 ", "dev-1.example.com", None])
    def test_another_name(self, middle, common_name):
        assert rule_of(middle.issue(common_name).chain, group(middle)) == "cn-not-registration-id"

    def test_a_letter_that_only_folds_to_the_same_one(self, middle):
        """The Kelvin sign in lower case is a k."""
        name = RegistrationId.parse("key-1")
        assert prove(middle.issue("KEY-1").chain, group(middle), registration_id=name)
        spoofed = middle.issue("\u212aey-1").chain
        assert rule_of(spoofed, group(middle), registration_id=name) == "cn-not-registration-id"

    def test_two_names(self, middle):
        both = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one) for one in ("dev-1", "dev-2")])
        assert rule_of(middle.issue(None, subject=both).chain, group(middle)) == "cn-not-registration-id"

    def test_other_parts_of_the_name_are_free(self, middle):
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "O"),
                x509.NameAttribute(NameOID.COMMON_NAME, "dev-1"),
            ]
        )
        assert prove(middle.issue(None, subject=subject).chain, group(middle))


class TestIndividual:
    """The enrolled certificate itself; who signed it does not matter."""

    @staticmethod
    def read(entity, now=NOW):
        return chains.read(PresentedChain(entity.chain), DEVICE, now)

    def test_self_signed(self):
        own = pki.root("dev-1", ca=False)
        assert chains.proves_individual(self.read(own), LeafCertificates(own.der)).chain == (own.der,)

    def test_secondary(self, device):
        enrolled = LeafCertificates(pki.root("dev-1").der, device.der)
        assert chains.proves_individual(self.read(device), enrolled).chain == (device.der,)

    def test_another_certificate_of_the_same_name_and_key(self, middle, device):
        again = middle.issue("dev-1", key=device.key)
        with pytest.raises(Unauthenticated) as refusal:
            chains.proves_individual(self.read(again), LeafCertificates(device.der))
        assert refusal.value.rule == "thumbprint"
        assert hashlib.sha256(again.der).hexdigest().upper() in refusal.value.evidence
        assert hashlib.sha256(device.der).hexdigest().upper() in refusal.value.evidence

    def test_by_thumbprint_alone(self, middle, device):
        """What is enrolled may be at hand as its SHA-256 only."""
        chain = self.read(device)
        chains.check_thumbprint(chain, ["0" * 64, chains.thumbprint(device.der)])
        with pytest.raises(Unauthenticated) as refused:
            chains.check_thumbprint(chain, ["0" * 64])
        assert refused.value.rule == "thumbprint"

    def test_its_issuer_is_not_it(self, middle, device):
        with pytest.raises(Unauthenticated):
            chains.proves_individual(self.read(device), LeafCertificates(middle.der))

    def test_expired(self, device):
        with pytest.raises(Unauthenticated) as refusal:
            self.read(device, now=NOW + 400 * DAY)
        assert refusal.value.rule == "chain-expired"


class TestHostile:
    def test_not_a_certificate(self, device):
        for junk in (b"", b"\x30\x03\x02\x01\x01", b"x" * 100, device.der[:-1], device.der + b"\x00"):
            with pytest.raises(Unauthenticated) as refusal:
                chains.read(PresentedChain((junk,)), DEVICE, NOW)
            assert refusal.value.rule == "chain-malformed"

    @pytest.mark.filterwarnings("ignore")  # cryptography warns of what it still reads
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(data=st.data())
    def test_any_flipped_octet_is_refused(self, top, middle, device, data):
        certificates = list(device.chain[:2])
        which = data.draw(st.integers(0, 1))
        at = data.draw(st.integers(0, len(certificates[which]) - 1))
        mask = data.draw(st.integers(1, 255))
        spoiled = bytearray(certificates[which])
        spoiled[at] ^= mask
        certificates[which] = bytes(spoiled)
        with pytest.raises(Unauthenticated):
            prove(certificates, group(top))

    def test_a_key_that_is_slow_to_verify_with_is_not_tried(self, top):
        """An RSA key's exponent decides what a verification costs, and whoever sends the certificate has chosen it."""
        usual = rsa.generate_private_key(65537, 2048)
        assert prove(top.issue("Line 4", ca=True, key=usual).issue("dev-1").chain, group(top))
        slow = top.issue("Line 4", ca=True, key=with_exponent(usual, (1 << 34) + 1))
        assert rule_of(slow.issue("dev-1").chain, group(top)) == "chain-signature"

    def test_few_certificates_of_one_name_are_tried(self, top, middle, device):
        namesakes = [top.intermediate("Line 3").der for _ in range(2)]
        assert prove([device.der, namesakes[0], middle.der], group(top))
        assert rule_of([device.der, *namesakes, middle.der], group(top)) == "chain-signature"

    def test_without_a_candidate_no_signature_is_worth_verifying(self, middle):
        impostor = pki.root("X").issue("Line 3", ca=True, issuer_name=pki.name("Root"))
        with pytest.raises(Unauthenticated) as refusal:
            prove([impostor.issue("dev-1").der, middle.der])
        assert refusal.value.rule == "chain-stops"
        assert "send the intermediate CN=Root" in refusal.value.evidence

    def test_evidence_is_bounded(self, middle):
        long = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "n" * 60) for _ in range(50)])
        with pytest.raises(Unauthenticated) as refusal:
            prove(middle.issue(None, subject=long).chain, group(middle))
        assert len(refusal.value.evidence) < 400


def test_candidates_name_every_issuer_once(top, middle, device):
    chain = chains.read(PresentedChain(device.chain), DEVICE, NOW)
    assert chain.issuer_sha256s == (chains.subject_sha256(middle.der), chains.subject_sha256(top.der))


class TestClaimedId:
    """On a wire that names no registration, the leaf's common name does; nothing is proven by that."""

    def test_the_common_name(self, top):
        leaf = top.issue("Dev-1")
        assert chains.claimed_id(PresentedChain((leaf.der, top.der))) == DEVICE

    @pytest.mark.parametrize("name", [None, "not an id!"])
    def test_none(self, top, name):
        with pytest.raises(Unauthenticated) as refused:
            chains.claimed_id(PresentedChain((top.issue(name).der,)))
        assert refused.value.rule == "cn-not-registration-id"
