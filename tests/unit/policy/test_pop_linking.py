"""RFC 7030, 3.5: a CSR that says over which connection it comes has to come over it."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import AttributeOID

from accredit.domain.errors import Malformed
from accredit.policy.issuance import intake
from accredit.policy.pop_linking import check_linked
from support import pki, signing_requests


def request(shown=None):
    builder = x509.CertificateSigningRequestBuilder().subject_name(pki.name("dev-1"))
    if shown is not None:
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, shown)
    return intake(signing_requests.pem(builder.sign(signing_requests.key(), hashes.SHA256())), "pkcs10")


@pytest.mark.parametrize("bindings", [(), (b"one",)])
def test_none_is_demanded(bindings):
    check_linked(request(), bindings)


@pytest.mark.parametrize("shown", [b"one", b"two"])
def test_each_binding_of_the_connection(shown):
    check_linked(request(shown), (b"one", b"two"))


@pytest.mark.parametrize(("shown", "bindings"), [(b"other", (b"one",)), (b"one", ()), (b"", (b"one",))])
def test_a_wrong_one(shown, bindings):
    with pytest.raises(Malformed) as refused:
        check_linked(request(shown), bindings)
    assert refused.value.rule == "csr-pop-linking"
