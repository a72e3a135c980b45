"""The service's TLS identity: judged by the standard library's verifier and by RFC 5280's fields."""

from __future__ import annotations

import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from accredit.ca.server_identity import (
    SERVER_LIFE_S,
    ServerIdentity,
    TLSRoot,
    due,
    general_name,
    make_root,
    make_server,
    uncovered,
)
from accredit.domain.secret import Secret

NOW = 1_800_000_000
DAY = 86_400


@pytest.fixture(scope="module")
def root() -> TLSRoot:
    return make_root("accredit TLS root 0ne00000001", NOW)


@pytest.fixture(scope="module")
def identity(root: TLSRoot) -> ServerIdentity:
    return make_server(root, ["localhost", "dps.example.org", "127.0.0.1", "::1"], NOW)


def life(certificate: x509.Certificate) -> int:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return int((end - start).total_seconds()) + 1


class TestRoot:
    def test_is_a_ca_for_twenty_years_that_signs_no_further_ca(self, root: TLSRoot) -> None:
        certificate = root.certificate
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
        assert constraints.critical
        assert constraints.value.ca
        assert constraints.value.path_length == 0
        assert usage.critical
        assert usage.value.key_cert_sign
        assert not usage.value.digital_signature
        assert life(certificate) == 20 * 365 * DAY
        certificate.verify_directly_issued_by(certificate)

    def test_survives_the_store(self, root: TLSRoot) -> None:
        again = TLSRoot.read(root.secret())
        assert again.certificate == root.certificate
        assert again.key.private_numbers() == root.key.private_numbers()

    def test_its_key_is_not_shown(self, root: TLSRoot) -> None:
        assert "PRIVATE" not in repr(root.secret())

    def test_a_name_too_long_for_a_common_name_is_left_out(self) -> None:
        certificate = make_root("x" * 65, NOW).certificate
        assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "accredit"


class TestServerCertificate:
    def test_is_a_p256_server_certificate_below_the_root(
        self, root: TLSRoot, identity: ServerIdentity
    ) -> None:
        certificate = identity.certificate
        certificate.verify_directly_issued_by(root.certificate)
        extensions = certificate.extensions
        assert isinstance(identity.key.public_key(), ec.EllipticCurvePublicKey)
        assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
            ExtendedKeyUsageOID.SERVER_AUTH
        ]
        assert extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
        assert life(certificate) == SERVER_LIFE_S

    def test_carries_names_and_addresses_each_as_what_it_is(self, identity: ServerIdentity) -> None:
        names = identity.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["localhost", "dps.example.org"]
        assert names.get_values_for_type(x509.IPAddress) == [
            ipaddress.ip_address("127.0.0.1"),
            ipaddress.ip_address("::1"),
        ]

    def test_key_identifiers_chain(self, root: TLSRoot, identity: ServerIdentity) -> None:
        above = root.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        below = identity.certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        assert below.key_identifier == above.digest

    def test_does_not_outlive_its_root(self, root: TLSRoot) -> None:
        late = NOW + 20 * 365 * DAY - 30 * DAY
        certificate = make_server(root, ["localhost"], late).certificate
        assert certificate.not_valid_after_utc <= root.certificate.not_valid_after_utc

    def test_needs_a_name(self, root: TLSRoot) -> None:
        with pytest.raises(ValueError, match="at least one host name"):
            make_server(root, [], NOW)

    def test_survives_the_store(self, identity: ServerIdentity) -> None:
        again = ServerIdentity.read(identity.secret())
        assert again.chain == identity.chain
        assert again.key.private_numbers() == identity.key.private_numbers()


class TestRenewal:
    def test_is_due_when_a_third_of_the_life_is_left(self, identity: ServerIdentity) -> None:
        start = NOW - DAY
        assert due(identity.certificate, start + SERVER_LIFE_S * 2 // 3 - 60) is None
        assert due(identity.certificate, start + SERVER_LIFE_S * 2 // 3 + 60) is not None
        assert due(identity.certificate, start + SERVER_LIFE_S + DAY) is not None

    def test_a_clock_set_back_before_the_certificate_calls_for_a_new_one(
        self, identity: ServerIdentity
    ) -> None:
        assert due(identity.certificate, NOW - 2 * DAY) == "the server certificate is not valid yet"

    def test_is_due_when_a_wanted_name_is_missing(self, identity: ServerIdentity) -> None:
        assert identity.renewal_reason(["localhost", "DPS.example.org", "::1"], NOW) is None
        assert identity.renewal_reason(["localhost", "other.example.org"], NOW) == (
            "the server certificate does not cover other.example.org"
        )
        assert identity.renewal_reason(["127.0.0.2"], NOW) == (
            "the server certificate does not cover 127.0.0.2"
        )

    def test_a_wildcard_covers_one_label(self, root: TLSRoot) -> None:
        certificate = make_server(root, ["*.example.org"], NOW).certificate
        assert uncovered(certificate, ["dps.example.org"]) is None
        assert uncovered(certificate, ["a.dps.example.org"]) is not None
        assert uncovered(certificate, ["example.org"]) is not None

    def test_a_certificate_without_names_covers_nothing(self, root: TLSRoot) -> None:
        assert uncovered(root.certificate, ["localhost"]) is not None


class TestNames:
    @pytest.mark.parametrize(
        "wrong",
        ["", ".", "a..b", "-a.example", "a-.example", "a b", "a" * 64, "ä.example", "a/b", "x." * 127],
    )
    def test_what_is_neither_address_nor_host_name_is_refused(self, wrong: str) -> None:
        with pytest.raises(ValueError, match="neither an IP address nor a host name"):
            general_name(wrong)

    @given(st.text(max_size=300))
    def test_any_text_is_taken_or_refused(self, text: str) -> None:
        try:
            found = general_name(text)
        except ValueError:
            return
        assert isinstance(found, x509.IPAddress) or found.value == text.lower()


class TestFilesOfTheOperator:
    def pems(self, identity: ServerIdentity) -> tuple[bytes, bytes]:
        combined = identity.secret().reveal()
        start = combined.index(b"-----BEGIN CERTIFICATE")
        return combined[start:], combined[:start]

    def test_chain_and_key_are_read(self, root: TLSRoot, identity: ServerIdentity) -> None:
        chain, key = self.pems(identity)
        found = ServerIdentity.from_pem(chain + root.pem(), key)
        assert found.chain == (identity.certificate, root.certificate)

    def test_one_file_for_both_will_do_in_either_order(self, identity: ServerIdentity) -> None:
        chain, key = self.pems(identity)
        for both in (chain + key, key + chain):
            assert ServerIdentity.from_pem(both, both).chain == identity.chain

    def test_a_key_of_another_certificate_is_refused(self, root: TLSRoot, identity: ServerIdentity) -> None:
        chain, _ = self.pems(identity)
        _, other_key = self.pems(make_server(root, ["localhost"], NOW))
        with pytest.raises(ValueError, match="does not belong"):
            ServerIdentity.from_pem(chain, other_key)

    def test_a_key_with_a_password_is_refused(self, identity: ServerIdentity) -> None:
        chain, _ = self.pems(identity)
        locked = identity.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
        with pytest.raises(ValueError, match="unencrypted"):
            ServerIdentity.from_pem(chain, locked)

    def test_an_edwards_key_is_refused(self, identity: ServerIdentity) -> None:
        chain, _ = self.pems(identity)
        key = ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with pytest.raises(ValueError, match="neither RSA nor EC"):
            ServerIdentity.from_pem(chain, key)

    @given(st.binary(max_size=200))
    def test_noise_is_refused(self, noise: bytes) -> None:
        with pytest.raises(ValueError):
            ServerIdentity.from_pem(noise, noise)
        with pytest.raises(ValueError):
            TLSRoot.read(Secret(noise))

    def test_a_huge_file_is_not_read(self, identity: ServerIdentity) -> None:
        chain, key = self.pems(identity)
        with pytest.raises(ValueError, match="64 KiB"):
            ServerIdentity.from_pem(chain * 200, key)
