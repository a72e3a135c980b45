"""The names of leaves under profiles, held against `cryptography`'s own encoding, and against the linter."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from accredit.ca.hierarchy import Hierarchy
from accredit.ca.points import Points, key_id
from accredit.ca.template import LeafTemplate
from accredit.domain.credential import CLIENT_AUTH, DEFAULT_PROFILE, Profile
from accredit.domain.errors import Malformed
from accredit.domain.ids import GroupId
from accredit.values import replace
from support.counted_entropy import CountedEntropy
from support.linting import findings, pair_findings
from support.signing_requests import key, order

NOW = 1_800_000_000
PLAIN = replace(DEFAULT_PROFILE, name="plain", alternative_names=())
NAMED = replace(
    DEFAULT_PROFILE,
    name="named",
    subject=(
        ("serialNumber", "{deviceId}"),
        ("O", "Plänt {enrollmentGroupId}"),
        ("C", "DE"),
        ("OU", "lamps"),
    ),
    alternative_names=(
        ("dns", "{registrationId}.lamps.example"),
        ("uri", "https://lamps.example/{deviceId}"),
    ),
    policies=("1.3.6.1.4.1.99999.1", "1.3.6.1.4.1.99999.2"),
    extended_key_usages=(CLIENT_AUTH, "1.3.6.1.5.5.7.3.1"),
)
QUIET = replace(NAMED, name="quiet", access=False, distribution=False, policies=())
HARMLESS = "INFO pkix.subject_key_identifier_method_1_identified"


def leaf(made: Hierarchy, profile: Profile, kind: str = "P-256", device_id: str = "d-1") -> x509.Certificate:
    points = Points("http://ca.example:8080", key_id(made.issuing.certificate))
    template = LeafTemplate(made.issuing, (made.root.der,), points, profile)
    ordered = order("Lamp-1", device_id, key(kind), profile, group=GroupId.parse("line-7"))
    issued = template.issue(ordered, NOW, CountedEntropy())
    assert [each for each in findings(issued.leaf) if each != HARMLESS] == []
    assert pair_findings(made.issuing.der, issued.leaf) == []
    return x509.load_der_x509_certificate(issued.leaf)


@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA-2048"])
@pytest.mark.parametrize("profile", [PLAIN, NAMED, QUIET], ids=lambda each: each.name)
def test_the_linter_finds_nothing(made: Hierarchy, profile: Profile, kind: str) -> None:
    leaf(made, profile, kind)


def test_the_subject_is_what_cryptography_writes(made: Hierarchy) -> None:
    expected = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Plänt line-7"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "lamps"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, "d-1"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Lamp-1"),
        ]
    )
    assert leaf(made, NAMED).subject.public_bytes() == expected.public_bytes()


def test_the_extensions(made: Hierarchy) -> None:
    found = leaf(made, NAMED).extensions
    names = found.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [
        x509.DNSName("Lamp-1.lamps.example"),
        x509.UniformResourceIdentifier("https://lamps.example/d-1"),
    ]
    usages = found.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    policies = found.get_extension_for_class(x509.CertificatePolicies).value
    assert [each.policy_identifier.dotted_string for each in policies] == list(NAMED.policies)
    assert found.get_extension_for_class(x509.CRLDistributionPoints)
    assert found.get_extension_for_class(x509.AuthorityInformationAccess)


def test_what_is_left_out(made: Hierarchy) -> None:
    quiet = {type(each.value) for each in leaf(made, QUIET).extensions}
    assert not quiet & {x509.CRLDistributionPoints, x509.AuthorityInformationAccess, x509.CertificatePolicies}
    assert x509.SubjectAlternativeName not in {type(each.value) for each in leaf(made, PLAIN).extensions}


def test_a_device_that_does_not_fit_gets_nothing(made: Hierarchy) -> None:
    with pytest.raises(Malformed, match="does not fit"):
        leaf(made, NAMED, device_id="a_b")
