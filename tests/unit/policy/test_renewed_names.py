"""RFC 7030, 4.2.2: a renewal keeps subject and alternative names."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from accredit.domain.errors import Malformed
from accredit.policy.issuance import intake
from accredit.policy.renewed_names import check_unchanged
from support import pki, signing_requests

URN = x509.UniformResourceIdentifier("urn:accredit:device:dev-1")
DNS = x509.DNSName("dev-1")
ROOT = pki.root("Root")


def request(common_name="dev-1", names=(), subject=None):
    extensions = [(x509.SubjectAlternativeName(names), False)] if names else []
    return intake(
        signing_requests.pem(signing_requests.csr(common_name, None, extensions, subject)), "pkcs10"
    )


def held(*names):
    extensions = [(x509.SubjectAlternativeName(names), False)] if names else []
    return ROOT.issue("dev-1", extensions=extensions).der


@pytest.mark.parametrize("names", [(), (URN,), (DNS, URN)])
def test_the_same_names_in_any_order_or_no_alternative_ones(names):
    check_unchanged(request(names=names[::-1]), held(*names))
    check_unchanged(request(), held(*names))


@pytest.mark.parametrize(
    ("wanted", "present"), [((DNS,), ()), ((DNS,), (URN,)), ((DNS, URN), (URN,)), ((URN,), (DNS, URN))]
)
def test_other_alternative_names(wanted, present):
    with pytest.raises(Malformed) as refused:
        check_unchanged(request(names=wanted), held(*present))
    assert refused.value.rule == "renewal-names"


@pytest.mark.parametrize(
    "subject",
    [
        x509.Name([]),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "DEV-1")]),
        x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme"),
                x509.NameAttribute(NameOID.COMMON_NAME, "dev-1"),
            ]
        ),
    ],
)
def test_another_subject(subject):
    with pytest.raises(Malformed) as refused:
        check_unchanged(request(subject=subject), held())
    assert refused.value.rule == "renewal-names"
