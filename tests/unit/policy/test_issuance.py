"""What a CSR may ask for: this device, and nothing above it."""

from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from accredit.ca.der import element
from accredit.domain.der import content
from accredit.domain.errors import Malformed
from accredit.domain.ids import DeviceId, RegistrationId
from accredit.policy import csr_intake, delivered
from accredit.policy.issuance import check_delivered, check_name, device_urn, intake
from support.signing_requests import csr, key, pem, signed, signed_again

EXTENSION_REQUEST = x509.ObjectIdentifier("1.2.840.113549.1.9.14")
MICROSOFT_EXTENSION_REQUEST = x509.ObjectIdentifier("1.3.6.1.4.1.311.2.1.14")
UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
ids = st.from_regex(r"[A-Za-z0-9\-._:]{0,20}[A-Za-z0-9\-]", fullmatch=True)


def check(made: x509.CertificateSigningRequest, registration="device-1", device=None) -> None:
    request = intake(pem(made), "csr")
    check_name(request, RegistrationId.parse(registration), DeviceId.parse(device or registration))


def rule(made: x509.CertificateSigningRequest, registration="device-1", device=None) -> str:
    with pytest.raises(Malformed) as caught:
        check(made, registration, device)
    return caught.value.rule


def alternative(*names: x509.GeneralName):
    return csr(extensions=[(x509.SubjectAlternativeName(names), False)])


def subject(*values: str, oid=NameOID.COMMON_NAME):
    return csr(subject=x509.Name([x509.NameAttribute(oid, value) for value in values]))


def usage(**asked: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: asked.get(name, False) for name in names})


def test_the_three_questions_have_one_address():
    assert intake is csr_intake.intake
    assert check_delivered is delivered.check_delivered


class TestSubject:
    @pytest.mark.parametrize("common_name", ["device-1", "DEVICE-1", "Device-1", None])
    def test_the_registration_id_or_none(self, common_name):
        check(csr(common_name))

    @given(ids)
    def test_every_id_that_fits(self, text):
        check(csr(text), text, "another-device-id")

    @pytest.mark.parametrize(
        "common_name", ["device-2", "device-1 ", " device-1", "device-1\x00", "device", "*"]
    )
    def test_another_name(self, common_name):
        assert rule(csr(common_name)) == "csr-names-another-device"

    def test_a_letter_that_only_lowers_to_the_same(self):
        """The Kelvin sign's lower case is an ASCII k."""
        assert "\u212aite".lower() == "kite"
        assert rule(csr("\u212aite"), "kite") == "csr-names-another-device"

    def test_the_device_id_is_not_the_registration_id(self):
        assert rule(csr("hub-name"), "device-1", "hub-name") == "csr-names-another-device"

    @pytest.mark.parametrize("values", [("device-1", "device-1"), ("device-1", "device-2")])
    def test_two_common_names(self, values):
        assert rule(subject(*values)) == "csr-subject"

    def test_two_common_names_in_one_part(self):
        names = x509.RelativeDistinguishedName(
            [x509.NameAttribute(NameOID.COMMON_NAME, value) for value in ("device-1", "device-2")]
        )
        assert rule(csr(subject=x509.Name([names]))) == "csr-subject"

    def test_other_parts_of_the_subject_are_ignored(self):
        check(subject("Contoso", oid=NameOID.ORGANIZATION_NAME))

    def test_a_name_that_is_no_text(self):
        assert rule(
            altered(csr("device-1"), b"\x0c\x08device-1", b"\x0c\x08\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8")
        ) == ("csr-subject")

    @pytest.mark.parametrize("oid", [NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME])
    def test_a_bit_string_where_a_text_belongs(self, oid):
        made = altered(subject("device-1", oid=oid), b"\x0c\x08device-1", b"\x03\x08\x00evice-1")
        assert rule(made) == "csr-subject"

    def test_a_bit_string_inside_an_alternative_name(self):
        directory = x509.DirectoryName(
            x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "elsewhere")])
        )
        made = altered(alternative(directory), b"\x0c\x09elsewhere", b"\x03\x09\x00lsewhere")
        assert rule(made) == "csr-attributes"

    def test_an_id_that_does_not_fit_into_a_common_name(self):
        assert rule(csr(None), "x" * 65) == "id-too-long-for-certificate"
        check(csr("x" * 64), "x" * 64)


class TestAlternativeNames:
    @pytest.mark.parametrize(
        "name",
        [
            x509.DNSName("device-1"),
            x509.DNSName("DEVICE-1"),
            x509.DNSName("Hub-Name"),
            x509.UniformResourceIdentifier("urn:accredit:device:Hub-Name"),
            x509.UniformResourceIdentifier("device-1"),
            x509.OtherName(UPN, b"\x0c\x08device-1"),
            x509.OtherName(UPN, b"\x16\x08Hub-Name"),
        ],
    )
    def test_this_device(self, name):
        check(alternative(name), "device-1", "Hub-Name")

    @pytest.mark.parametrize(
        "name",
        [
            x509.DNSName("device-2"),
            x509.DNSName("hub-name"),
            x509.DNSName("device-1.example.com"),
            x509.DNSName("*"),
            x509.UniformResourceIdentifier("urn:accredit:device:device-1"),
            x509.UniformResourceIdentifier("urn:accredit:device:hub-name"),
            x509.UniformResourceIdentifier("https://device-1"),
            x509.RFC822Name("device-1"),
            x509.IPAddress(ip_address("127.0.0.1")),
            x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device-1")])),
            x509.RegisteredID(UPN),
            x509.OtherName(UPN, b"\x0c\x08device-2"),
            x509.OtherName(UPN, b"\x04\x08device-1"),
            x509.OtherName(UPN, b"\x0c\x04\xc3\xa9\xc3\xa9"),
        ],
    )
    def test_anything_else(self, name):
        assert rule(alternative(name), "device-1", "Hub-Name") == "csr-names-another-device"

    def test_one_foreign_name_among_good_ones(self):
        good, bad = x509.DNSName("device-1"), x509.DNSName("device-2")
        assert rule(alternative(good, bad)) == "csr-names-another-device"


class TestExtensions:
    @pytest.mark.parametrize(
        ("value", "critical"),
        [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (usage(digital_signature=True, key_agreement=True), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), True),
            (x509.SubjectKeyIdentifier(b"abc"), False),
            (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), False),
            (x509.TLSFeature([x509.TLSFeatureType.status_request]), False),
        ],
    )
    def test_harmless_wishes_are_ignored(self, value, critical):
        check(csr(extensions=[(value, critical)]))

    @pytest.mark.parametrize(
        ("value", "critical"),
        [
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (x509.BasicConstraints(ca=True, path_length=0), False),
            (usage(digital_signature=True, key_cert_sign=True), True),
            (usage(crl_sign=True), False),
        ],
    )
    def test_a_ca_s_powers(self, value, critical):
        assert rule(csr(extensions=[(value, critical)])) == "csr-asks-for-ca"

    @pytest.mark.parametrize(
        "value",
        [
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"),
            x509.NameConstraints([x509.DNSName("example.com")], None),
            x509.PolicyConstraints(0, None),
            x509.TLSFeature([x509.TLSFeatureType.status_request]),
        ],
    )
    def test_an_unknown_critical_one(self, value):
        assert rule(csr(extensions=[(value, True)])) == "csr-critical-extension"

    def test_an_unreadable_one(self):
        good = csr(extensions=[(x509.SubjectAlternativeName([x509.DNSName("device-1")]), False)])
        assert rule(altered(good, b"\x82\x08device-1", b"\x82\x18device-1")) == "csr-attributes"

    def test_two_lists_of_wishes(self):
        """An outside CA might believe the one that was not looked at."""
        name = [x509.NameAttribute(NameOID.COMMON_NAME, "device-1")]
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(name))
        for oid in (EXTENSION_REQUEST, MICROSOFT_EXTENSION_REQUEST):
            builder = builder.add_attribute(oid, b"placeholder")
        with pytest.raises(Malformed, match="more than one extensionRequest"):
            check(builder.sign(key(), hashes.SHA256()))

    def test_microsoft_s_attribute_is_a_list_of_wishes_too(self):
        wish = csr(extensions=[(x509.BasicConstraints(ca=True, path_length=None), True)])
        body = wish.tbs_certrequest_bytes
        _, attributes = body.split(bytes.fromhex("06092a864886f70d01090e"))
        plain = csr().tbs_certrequest_bytes
        start, _ = content(plain, 0, 0x30)
        oid = bytes.fromhex("060a2b06010401823702010e")
        info = element(0x30, plain[start:-2], element(0xA0, element(0x30, oid, attributes)))
        with pytest.raises(Malformed) as caught:
            check(signed(info))
        assert caught.value.rule == "csr-asks-for-ca"

    def test_other_attributes_are_ignored(self):
        challenge = x509.ObjectIdentifier("1.2.840.113549.1.9.7")
        name = [x509.NameAttribute(NameOID.COMMON_NAME, "device-1")]
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(name))
        check(builder.add_attribute(challenge, b"secret").sign(key(), hashes.SHA256()))


class TestURN:
    @given(ids)
    def test_an_id_of_the_grammar_needs_no_escape(self, text):
        assert device_urn(DeviceId.parse(text)) == "urn:accredit:device:" + text

    def test_what_a_uri_cannot_hold_is_escaped(self):
        assert device_urn(DeviceId("a b#c/é%")) == "urn:accredit:device:a%20b%23c%2F%C3%A9%25"


def altered(made: x509.CertificateSigningRequest, old: bytes, new: bytes) -> x509.CertificateSigningRequest:
    return signed_again(made.public_bytes(Encoding.DER), old, new)
