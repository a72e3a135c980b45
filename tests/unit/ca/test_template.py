"""The leaf from the template: the same bytes as the library's builder writes, and no complaint from anybody."""

import subprocess
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accredit.ca.hierarchy import Hierarchy, serial_number
from accredit.ca.template import LeafTemplate
from accredit.domain.credential import Order, Profile
from accredit.domain.ids import DeviceId
from support.counted_entropy import CountedEntropy
from support.linting import complaints, pair_findings
from support.signing_requests import key, order

NOW = 1_800_000_000
DAY_S = 86_400
KINDS = ["P-256", "P-384", "RSA-2048", "RSA-3072"]

ids = st.from_regex(r"[A-Za-z0-9\-._:]{0,63}[A-Za-z0-9\-]", fullmatch=True).filter(
    lambda text: len(text) <= 64
)
device_ids = st.from_regex(r"[A-Za-z0-9\-._:]{0,127}[A-Za-z0-9\-]", fullmatch=True)
instants = st.integers(1_000_000_000, 6_000_000_000)
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def template(made: Hierarchy) -> LeafTemplate:
    return LeafTemplate(made.issuing, (made.root.der,))


def built(made: Hierarchy, ordered: Order, serial: int, not_before: int, not_after: int) -> bytes:
    """The to-be-signed certificate as `cryptography` builds it from the same facts."""
    subject_key = ordered.request.csr.public_key()
    issuer_key_id = made.issuing.certificate.extensions.get_extension_for_class(
        x509.SubjectKeyIdentifier
    ).value
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    uri = x509.UniformResourceIdentifier(f"urn:accredit:device:{ordered.device_id.text}")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ordered.registration_id.text)])
    return (
        x509.CertificateBuilder()
        .serial_number(serial)
        .issuer_name(made.issuing.certificate.subject)
        .not_valid_before(datetime.fromtimestamp(not_before, UTC))
        .not_valid_after(datetime.fromtimestamp(not_after, UTC))
        .subject_name(subject)
        .public_key(subject_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key_id), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(subject_key), critical=False)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        .sign(made.issuing.key, hashes.SHA256())
        .tbs_certificate_bytes
    )


class TestBytes:
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_builder_writes_the_same(self, made, template, kind):
        ordered = order("device-1", "Hub-Name", key(kind))
        serial = serial_number(CountedEntropy())
        mine = template.to_be_signed(ordered, serial, NOW, NOW + DAY_S)
        assert mine == built(made, ordered, serial, NOW, NOW + DAY_S)

    @FUZZ
    @given(ids, device_ids, st.binary(min_size=1, max_size=8), instants, instants)
    def test_whatever_the_names_and_times(self, made, template, registration, device, seed, one, other):
        ordered = order(registration, device)
        serial = serial_number(CountedEntropy(seed))
        begins, ends = sorted((one, other))
        mine = template.to_be_signed(ordered, serial, begins, ends)
        assert mine == built(made, ordered, serial, begins, ends)


@pytest.mark.parametrize("kind", KINDS)
class TestCertificate:
    def test_it_says_what_was_ordered(self, template, kind):
        ordered = order("Device-1", "Hub-Name", key(kind))
        issued = template.issue(ordered, NOW, CountedEntropy())
        leaf = x509.load_der_x509_certificate(issued.leaf)
        assert leaf.version is x509.Version.v3
        assert leaf.subject.rfc4514_string() == "CN=Device-1"
        assert leaf.public_key() == key(kind).public_key()
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert names.value.get_values_for_type(x509.UniformResourceIdentifier) == [
            "urn:accredit:device:Hub-Name"
        ]
        assert not names.critical
        constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
        assert constraints.critical
        assert not constraints.value.ca
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
        assert usage.critical
        assert usage.value.digital_signature
        assert not usage.value.key_cert_sign
        assert list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
            ExtendedKeyUsageOID.CLIENT_AUTH
        ]

    def test_the_receipt_agrees_with_the_certificate(self, made, template, kind):
        ordered = order(private=key(kind))
        issued = template.issue(ordered, NOW, CountedEntropy())
        leaf = x509.load_der_x509_certificate(issued.leaf)
        assert issued.chain[1:] == (made.issuing.der, made.root.der)
        assert issued.serial == leaf.serial_number
        assert issued.not_before == leaf.not_valid_before_utc.timestamp() == NOW - ordered.profile.backdate_s
        assert issued.not_after == leaf.not_valid_after_utc.timestamp() == NOW + ordered.profile.validity_s
        assert issued.sha256 == leaf.fingerprint(hashes.SHA256())
        assert issued.spki_sha256 == ordered.request.spki_sha256

    def test_the_linter_finds_nothing(self, made, template, kind):
        issued = template.issue(order(private=key(kind)), NOW, CountedEntropy())
        assert complaints(issued.leaf) == []
        assert pair_findings(made.issuing.der, issued.leaf) == []

    def test_openssl_verifies_it(self, template, kind, tmp_path):
        issued = template.issue(order(private=key(kind)), NOW, CountedEntropy())
        answer = openssl_verify(issued.chain, tmp_path)
        assert answer.returncode == 0, answer.stderr


def openssl_verify(chain, folder, at: int = NOW):
    leaf, issuing, root = (x509.load_der_x509_certificate(each).public_bytes(Encoding.PEM) for each in chain)
    for file, pem in (("leaf", leaf), ("issuing", issuing), ("root", root)):
        (folder / file).write_bytes(pem)
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-attime", str(at)]
    files = ["-CAfile", folder / "root", "-untrusted", folder / "issuing", folder / "leaf"]
    return subprocess.run([*command, *files], capture_output=True, text=True, check=False)


class TestTheJudges:
    """They would say so if something were wrong."""

    def test_the_linter_sees_a_wrong_issuer(self, made, template):
        issued = template.issue(order(), NOW, CountedEntropy())
        found = pair_findings(made.root.der, issued.leaf)
        assert any("signature_verification_failed" in finding for finding in found)

    def test_openssl_sees_the_end_of_its_life(self, template, tmp_path):
        issued = template.issue(order(), NOW, CountedEntropy())
        assert openssl_verify(issued.chain, tmp_path, issued.not_after + 1).returncode != 0


class TestLife:
    @FUZZ
    @given(st.integers(60, 20 * 365 * DAY_S), st.integers(0, 3600), st.integers(0, 5 * 365 * DAY_S))
    def test_the_profile_s_life_but_never_beyond_the_issuer_s(
        self, made, template, validity_s, backdate_s, later
    ):
        profile = Profile(validity_s=validity_s, backdate_s=backdate_s)
        now = NOW + later
        issued = template.issue(order(profile=profile), now, CountedEntropy())
        assert issued.not_before == now - backdate_s
        assert issued.not_after == min(now + validity_s, made.issuing.not_after)


class TestSerial:
    @given(st.binary(min_size=1, max_size=16))
    def test_positive_and_always_sixteen_octets(self, seed):
        serial = serial_number(CountedEntropy(seed))
        encoded = serial.to_bytes(16, "big")
        assert encoded[0] & 0xC0 == 0x40

    def test_its_bits_come_from_the_source(self):
        entropy = CountedEntropy()
        serials = {serial_number(entropy) for _ in range(1000)}
        assert len(serials) == 1000
        varied = 0
        for serial in serials:
            varied |= serial ^ next(iter(serials))
        assert varied == (1 << 126) - 1


def test_no_two_certificates_share_a_serial(template):
    entropy = CountedEntropy()
    ordered = order()
    assert len({template.issue(ordered, NOW, entropy).serial for _ in range(100)}) == 100


def test_a_device_id_outside_the_grammar_is_escaped(template):
    ordered = order()
    strange = Order("operation", ordered.registration_id, DeviceId("a b/é"), ordered.request, Profile(), NOW)
    leaf = x509.load_der_x509_certificate(template.issue(strange, NOW, CountedEntropy()).leaf)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:accredit:device:a%20b%2F%C3%A9"]
