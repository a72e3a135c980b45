"""What pkilint (RFC 5280 and its updates) finds in a certificate; every severity, NOTICE and INFO too."""

from __future__ import annotations

import functools

from pkilint import loader, validation
from pkilint.bin import lint_pkix_signer_signee_cert_chain as pair
from pkilint.pkix import certificate, extension, name


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
