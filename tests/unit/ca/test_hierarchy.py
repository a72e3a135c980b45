"""The root and the issuing CA."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from accredit.ca import hierarchy, keys
from accredit.ca.hierarchy import BACKDATE_S, ISSUING_VALIDITY_S, ROOT_VALIDITY_S, Issuer
from accredit.ca.points import key_id
from support.counted_entropy import CountedEntropy
from support.linting import findings, pair_findings

NOW = 1_800_000_000
HARMLESS = ["INFO pkix.subject_key_identifier_method_1_identified"]


def extension(issuer: Issuer, kind):
    return issuer.certificate.extensions.get_extension_for_class(kind)


@pytest.mark.parametrize(("which", "path_length"), [("root", 1), ("issuing", 0)])
def test_both_are_cas_and_nothing_else(made, which, path_length):
    issuer = getattr(made, which)
    constraints, usage = extension(issuer, x509.BasicConstraints), extension(issuer, x509.KeyUsage)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=path_length)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert usage.value.crl_sign
    assert usage.value.digital_signature == (which == "issuing")
    assert isinstance(issuer.key.curve, ec.SECP256R1)
    assert issuer.certificate.public_key() == issuer.key.public_key()


def test_the_root_signed_the_issuing_ca(made):
    made.issuing.certificate.verify_directly_issued_by(made.root.certificate)
    made.root.certificate.verify_directly_issued_by(made.root.certificate)
    assert extension(made.issuing, x509.AuthorityKeyIdentifier).value.key_identifier == (
        extension(made.root, x509.SubjectKeyIdentifier).value.digest
    )


def test_their_lives(made):
    assert made.root.not_before == made.issuing.not_before == NOW - BACKDATE_S
    assert made.root.not_after == NOW + ROOT_VALIDITY_S
    assert made.issuing.not_after == NOW + ISSUING_VALIDITY_S


def test_the_linter_finds_nothing(made):
    assert findings(made.root.der) == HARMLESS
    assert findings(made.issuing.der) == HARMLESS
    assert pair_findings(made.root.der, made.issuing.der) == []


def test_two_cas_of_one_name_are_told_apart():
    entropy = CountedEntropy()
    one, other = (hierarchy.make("builtin", NOW, entropy) for _ in range(2))
    assert one.root.certificate.subject != other.root.certificate.subject
    assert one.issuing.certificate.subject != other.issuing.certificate.subject
    assert one.root.certificate.fingerprint(hashes.SHA256()) != other.root.certificate.fingerprint(
        hashes.SHA256()
    )


def test_the_longest_name_fits_into_a_common_name():
    made = hierarchy.make("n" * 128, NOW, CountedEntropy())
    for issuer in (made.root, made.issuing):
        (common_name,) = issuer.certificate.subject
        assert len(common_name.value) <= 64


def test_pem_and_der_are_the_same_certificate(made):
    assert x509.load_pem_x509_certificate(made.root.pem.encode()) == made.root.certificate
    assert x509.load_der_x509_certificate(made.root.der) == made.root.certificate


def test_a_certificate_is_joined_with_its_own_key_only(made):
    assert hierarchy.join(made.issuing.certificate, made.issuing.key) == made.issuing
    with pytest.raises(ValueError, match="not the certificate's"):
        hierarchy.join(made.issuing.certificate, made.root.key)


@pytest.mark.parametrize("algorithm", [each for each in keys.ALGORITHMS if each != "RSA-4096"])
def test_of_each_algorithm(algorithm):
    made = hierarchy.make("builtin", NOW, CountedEntropy(), algorithm, "http://ca.example:8080")
    for issuer in (made.root, made.issuing):
        assert issuer.algorithm.name == algorithm
    made.issuing.certificate.verify_directly_issued_by(made.root.certificate)
    point = extension(made.issuing, x509.CRLDistributionPoints).value[0].full_name[0].value
    assert point == f"http://ca.example:8080/crl/{key_id(made.root.certificate)}/ca.crl"
    if not algorithm.startswith("ML-DSA"):  # the linter does not know it yet
        assert findings(made.issuing.der) == HARMLESS
        assert pair_findings(made.root.der, made.issuing.der) == []


def test_a_request_for_somebody_else_to_sign():
    key, pem = hierarchy.signing_request("plant", CountedEntropy(), "P-384")
    request = x509.load_pem_x509_csr(pem.encode())
    assert request.is_signature_valid
    assert request.public_key() == key.public_key()
    assert request.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
