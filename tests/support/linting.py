"""What pkilint (RFC 5280 and its updates) finds in a certificate or a CRL; every severity, NOTICE and INFO too."""

from __future__ import annotations

import functools
import re

from cryptography import x509
from pkilint import loader, pkix, validation
from pkilint.bin import lint_pkix_signer_signee_cert_chain as pair
from pkilint.pkix import certificate, crl, extension, name

URN = re.compile(r"urn:[a-z0-9][a-z0-9-]{0,30}[a-z0-9]:(?:[A-Za-z0-9._~:@!$&'()*+,;=-]|%[0-9A-F]{2})+")
"""RFC 8141, section 2, without the components that no device id needs."""


def findings(der: bytes) -> list[str]:
    """The findings in one certificate, as `severity code message`."""
    document = loader.RFC5280CertificateDocumentLoader().load_der_document(der, "certificate", None, None)
    return _texts(_single().validate(document.root))


def pair_findings(issuer_der: bytes, subject_der: bytes) -> list[str]:
    """The findings in a certificate and the one that signed it, taken together."""
    documents: dict[str, object] = {}
    load = loader.RFC5280CertificateDocumentLoader().load_der_document
    for key, der in (("issuer", issuer_der), ("subject", subject_der)):
        documents[key] = load(der, key, key, documents)
    decoding, issuing, signing = _pair()
    results = []
    for key, container in (
        ("issuer", decoding),
        ("subject", decoding),
        ("issuer", issuing),
        ("subject", signing),
    ):
        results += container.validate(documents[key].root)
    return _texts(results)


def crl_findings(der: bytes) -> list[str]:
    """The findings in one list, as `lint_crl -t CRL -p PKIX` has them."""
    document = loader.RFC5280CertificateListDocumentLoader().load_der_document(der, "crl", None, None)
    return _texts(_crl().validate(document.root))


def complaints(der: bytes) -> list[str]:
    """Findings without two that are none.

    The linter states how a key identifier was made, and it takes only web addresses for URIs: it refuses every URN,
    `urn:uuid:` too, though RFC 5280 asks for no more than a scheme and what follows it (RFC 3986, RFC 8141).
    """
    leaf = x509.load_der_x509_certificate(der)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert URN.fullmatch(uri)
    harmless = {
        "INFO pkix.subject_key_identifier_method_1_identified",
        f'ERROR pkix.invalid_uri_syntax Invalid URI syntax: "{uri}"',
    }
    return [finding for finding in findings(der) if finding not in harmless]


@functools.cache
def _single() -> validation.ValidatorContainer:
    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


@functools.cache
def _crl() -> validation.ValidatorContainer:
    return crl.create_pkix_crl_validator_container(
        [
            pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
            pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
        ],
        [
            crl.create_issuer_validator_container([]),
            crl.create_validity_validator_container([]),
            crl.create_extensions_validator_container([]),
        ],
    )


@functools.cache
def _pair() -> tuple[validation.ValidatorContainer, ...]:
    return (
        pair.create_decoder_validation_container(),
        pair.create_issuer_validation_container(),
        pair.create_subject_validation_container(),
    )


def _texts(results) -> list[str]:
    return [
        f"{found.finding.severity.name} {found.finding.code} {found.message or ''}".strip()
        for result in results
        for found in result.finding_descriptions
    ]
