"""What may be sent as a CSR, and which rule refuses what."""

import base64
import textwrap

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from accredit.ca.der import element
from accredit.domain.errors import Malformed
from accredit.policy.csr_intake import MAX_DER_BYTES, MAX_TEXT_CHARS, intake
from accredit.policy.public_keys import KeyRules
from support.signing_requests import base64_der, csr, key, pem, with_other_key

GOOD = csr()
DER = GOOD.public_bytes(Encoding.DER)
PEM = pem(GOOD)


def refusal(text: str, field: str = "clientCertificateCsr", **rules) -> Malformed:
    with pytest.raises(Malformed) as caught:
        intake(text, field, **rules)
    assert field in caught.value.message
    return caught.value


def as_text(der: bytes) -> str:
    return base64.b64encode(der).decode()


class TestForms:
    @pytest.mark.parametrize(
        "text",
        [
            PEM,
            PEM.strip(),
            PEM.replace("\n", "\r\n"),
            PEM.replace("\n", "\\n"),
            PEM.replace("\n", "\\r\\n"),
            PEM.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"),
            PEM.replace("\n", ""),
            "Certificate Request:\n    Data:\n        Version: 1 (0x0)\n" + PEM,
            "\ufeff" + PEM + "\n",
            base64_der(GOOD),
            "\n".join(textwrap.wrap(base64_der(GOOD), 64)),
            "\\n".join(textwrap.wrap(base64_der(GOOD), 76)) + "\\n",
            "  " + base64_der(GOOD) + "\r\n",
        ],
        ids=[
            "PEM", "PEM without last line end", "CRLF", "escaped LF", "escaped CRLF", "NEW", "one line",
            "openssl -text", "BOM", "base64", "base64 in lines", "base64 with escaped LF", "base64 in blanks",
        ],
    )  # fmt: skip
    def test_every_accepted_form_is_the_same_request(self, text):
        request = intake(text, "csr")
        assert request.der == DER
        assert request.csr == GOOD
        assert request.field == "csr"

    @pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA-2048"])
    def test_the_key_and_its_identity(self, kind):
        request = intake(pem(csr("device-1", key(kind))), "csr")
        spki = key(kind).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        digest = hashes.Hash(hashes.SHA256())
        digest.update(spki)
        assert request.spki_der == spki
        assert request.spki_sha256 == digest.finalize()

    def test_two_requests_of_one_key_differ_only_as_requests(self):
        first, second = intake(pem(csr("a")), "csr"), intake(pem(csr("b")), "csr")
        assert first.spki_sha256 == second.spki_sha256
        assert first.csr_sha256 != second.csr_sha256

    def test_rsa_with_pss_padding(self):
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
        made = builder.sign(key("RSA-2048"), hashes.SHA256(), rsa_padding=pss)
        assert intake(pem(made), "csr").csr == made


class TestRefusals:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            " \n",
            "garbage",
            "MIIB",
            "\x00\xff",
            "ключ",
            as_text(b"\x30\x00"),
            as_text(DER[:-1]),
            as_text(DER + b"\x00"),
            as_text(DER + DER),
            base64_der(GOOD)[:-4],
            base64_der(GOOD) + "!",
            PEM.replace("END CERTIFICATE REQUEST", "END NEW CERTIFICATE REQUEST"),
            PEM.replace("CERTIFICATE REQUEST", "CERTIFICATE"),
            PEM.partition("-----END")[0],
            PEM.replace("MI", "M-I", 1),
            "-----BEGIN CERTIFICATE REQUEST----------END CERTIFICATE REQUEST-----",
        ],
    )
    def test_what_is_no_request(self, text):
        assert refusal(text).rule == "csr-not-pem-or-der"

    @pytest.mark.parametrize("other", [PEM, pem(csr("b"))])
    def test_two_requests_in_one_text(self, other):
        assert refusal(PEM + other).rule == "csr-pem-blocks"

    def test_a_private_key_sent_along(self):
        private = key().private_bytes(
            Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        assert refusal(PEM + private.decode()).rule == "csr-pem-blocks"

    def test_a_certificate_where_a_request_is_due(self):
        text = PEM.replace("CERTIFICATE REQUEST", "CERTIFICATE")
        assert refusal(text).rule == "csr-not-pem-or-der"

    @pytest.mark.parametrize(
        "text",
        ["A" * (MAX_TEXT_CHARS + 1), as_text(bytes(MAX_DER_BYTES + 1)), PEM + " " * MAX_TEXT_CHARS],
        ids=["characters", "bytes", "blanks"],
    )
    def test_too_large(self, text):
        assert refusal(text).rule == "csr-too-large"

    def test_the_largest_text_is_still_looked_at(self):
        assert intake(PEM + " " * (MAX_TEXT_CHARS - len(PEM)), "csr").der == DER

    def test_a_large_request_within_the_bounds(self):
        padding_bytes = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), bytes(7000))
        made = csr(extensions=[(padding_bytes, False)])
        assert intake(pem(made), "csr").csr == made

    def test_an_unknown_version(self):
        forged = DER.replace(b"\x02\x01\x00", b"\x02\x01\x01", 1)
        assert refusal(as_text(forged)).rule == "csr-version"

    @pytest.mark.parametrize(
        "oid", ["06072a8648ce3d0401", "06082a8648ce3d040301"], ids=["ecdsa-with-SHA1", "ecdsa-with-SHA224"]
    )
    def test_a_weak_digest(self, oid):
        algorithm = element(0x30, bytes.fromhex(oid))
        forged = element(0x30, GOOD.tbs_certrequest_bytes, algorithm, element(0x03, b"\x00", GOOD.signature))
        assert refusal(as_text(forged)).rule == "csr-signature-algorithm"

    @pytest.mark.parametrize("digest", [hashes.SHA224(), hashes.SHA3_256()], ids=["SHA-224", "SHA3-256"])
    @pytest.mark.parametrize("kind", ["P-256", "RSA-2048"])
    def test_an_unusual_digest(self, kind, digest):
        made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key(kind), digest)
        assert refusal(pem(made)).rule == "csr-signature-algorithm"

    def test_pss_with_a_weak_digest(self):
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA224()), salt_length=padding.PSS.DIGEST_LENGTH)
        made = builder.sign(key("RSA-2048"), hashes.SHA224(), rsa_padding=pss)
        assert refusal(pem(made)).rule == "csr-signature-algorithm"

    @pytest.mark.parametrize("parameters", [b"\x30\x00", b"\x05\x00", b""], ids=["SHA-1", "NULL", "none"])
    def test_pss_with_parameters_that_are_not_accepted(self, parameters):
        """Empty parameters stand for SHA-1 (RFC 4055, 3.1)."""
        made = csr(private=key("RSA-2048"))
        info = made.tbs_certrequest_bytes
        algorithm = element(0x30, bytes.fromhex("06092a864886f70d01010a"), parameters)
        forged = element(0x30, info, algorithm, element(0x03, b"\x00", made.signature))
        assert refusal(as_text(forged)).rule in {"csr-signature-algorithm", "csr-not-pem-or-der"}

    @pytest.mark.parametrize("kind", ["P-224", "P-521", "secp256k1", "Ed25519"])
    def test_a_key_of_another_kind(self, kind):
        assert refusal(pem(csr(private=key(kind)))).rule == "csr-key-type"

    def test_ed25519_where_it_is_allowed(self):
        made = csr(private=key("Ed25519"))
        assert intake(pem(made), "csr", KeyRules(ed25519=True)).csr == made

    def test_a_short_rsa_key(self):
        assert refusal(pem(csr(private=key("RSA-1024")))).rule == "csr-key-weak"

    def test_somebody_else_s_key(self):
        spki = key(which=1).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert refusal(as_text(with_other_key(DER, spki))).rule == "csr-signature"

    def test_a_key_of_another_kind_than_the_signature(self):
        spki = key("RSA-2048").public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert refusal(as_text(with_other_key(DER, spki))).rule == "csr-signature"

    def test_a_point_that_is_not_on_its_curve(self):
        spki = intake(PEM, "csr").spki_der
        off = spki[:-1] + bytes([spki[-1] ^ 1])
        assert refusal(as_text(with_other_key(DER, off))).rule == "csr-signature"

    def test_an_unreadable_key(self):
        spki = intake(PEM, "csr").spki_der
        assert (
            refusal(as_text(with_other_key(DER, spki.replace(b"\x00\x04", b"\x00\x09", 1)))).rule
            == "csr-key-type"
        )

    def test_a_changed_name(self):
        assert refusal(as_text(DER.replace(b"device-1", b"device-2"))).rule == "csr-signature"


class TestHostileInput:
    @given(st.text(max_size=300))
    def test_text(self, text):
        with pytest.raises(Malformed):
            intake(text, "csr")

    @given(st.binary(max_size=300))
    def test_bytes_in_base64(self, data):
        with pytest.raises(Malformed):
            intake(as_text(data), "csr")

    @given(st.integers(0, len(DER) - 1), st.integers(1, 255))
    def test_a_single_changed_octet_never_passes(self, at, change):
        """Every octet is under the signature or part of it."""
        forged = DER[:at] + bytes([DER[at] ^ change]) + DER[at + 1 :]
        with pytest.raises(Malformed):
            intake(as_text(forged), "csr")

    def test_a_signature_with_unused_bits(self):
        """Where its last bits are zero, the parser takes them for unused; the request would have a second spelling."""
        while True:
            der = csr("device-1", ec.generate_private_key(ec.SECP256R1())).public_bytes(Encoding.DER)
            if not der[-1] & 1:
                break
        at = der.rindex(x509.load_der_x509_csr(der).signature) - 1
        with pytest.raises(Malformed, match="neither a PEM"):
            intake(as_text(der[:at] + b"\x01" + der[at + 1 :]), "csr")

    @given(st.integers(0, len(PEM)), st.sampled_from(["\\n", "\n", "-", "=", "A", " ", "\\"]))
    def test_something_put_into_the_text_changes_nothing_or_is_refused(self, at, more):
        try:
            request = intake(PEM[:at] + more + PEM[at:], "csr")
        except Malformed:
            return
        assert request.der == DER
