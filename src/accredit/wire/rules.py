"""Every rule that can refuse something, by its stable name, with a sentence for the operator.

The name stands in log lines and nowhere on the wire. `docs/errors.md` is made from this table, and a test keeps it
complete. What a rule becomes on the wire is decided by `wire/refusals.py`; only a rule that Azure has a number of
its own for says so here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from accredit.domain.errors import (
    AccreditError,
    Conflict,
    Disabled,
    Malformed,
    NotFound,
    PreconditionFailed,
    Refused,
    Throttled,
    Unauthenticated,
    UpstreamRejected,
    UpstreamUnavailable,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """`kind` is what a broken rule is raised as, `also` what else it may be; `code` is Azure's own number for it."""

    kind: type[AccreditError]
    sentence: str
    code: int | None = None
    also: tuple[type[AccreditError], ...] = ()


# fmt: off
_TABLE = {
    # The call itself.
    "api-version": Rule(Malformed, "The api-version is missing or not one that this service speaks."),
    "body-not-json": Rule(Malformed, "The body is not the JSON document that this call takes."),
    "body-too-large": Rule(Malformed, "The body is larger than the message limit of the service."),
    "busy": Rule(UpstreamUnavailable, "Other requests kept changing the same thing; nothing was done."),
    "connection-requests": Rule(Throttled, "One connection has too many unanswered requests."),
    "id-grammar": Rule(Malformed, "An id is not 1 to 128 letters, digits or - . _ : in the right places."),
    "id-mismatch": Rule(Malformed, "The id in the body is not the one that the call names."),
    "payload-csr": Rule(Malformed, "The clientCertificateCsr inside the custom payload is not a string."),
    "store-unavailable": Rule(UpstreamUnavailable, "The service's own storage cannot be written or read now."),
    "tpm-unsupported": Rule(Malformed, "TPM attestation is not supported by this version."),
    # Proof by token.
    "id-scope": Rule(Unauthenticated, "The id scope in the call is not this service's."),
    "nothing-shown": Rule(Unauthenticated, "The call carries neither a token nor a client certificate."),
    "right-missing": Rule(Unauthenticated, "The policy of the token does not carry the right that the call needs."),
    "sas-expired": Rule(Unauthenticated, "The token's `se` is in the past."),
    "sas-lifetime": Rule(Unauthenticated, "The token lives longer than the operator allows."),
    "sas-malformed": Rule(Unauthenticated, "The SharedAccessSignature cannot be read."),
    "sas-policy-missing": Rule(Unauthenticated, "The token of a service call names no policy (`skn`)."),
    "sas-policy-unknown": Rule(Unauthenticated, "There is no policy of the token's name."),
    "sas-realm": Rule(Unauthenticated, "The token's policy is one of the hub, or of provisioning, and the call is the other's."),
    "sas-scope": Rule(Unauthenticated, "The token was signed for something else than what is called."),
    "sas-signature": Rule(Unauthenticated, "No key that could have made the signature did make it."),
    # Proof by client certificate.
    "chain-expired": Rule(Unauthenticated, "A certificate of the chain is expired or not valid yet."),
    "chain-extension": Rule(Unauthenticated, "A certificate carries an extension that is not evaluated here."),
    "chain-malformed": Rule(Unauthenticated, "A client certificate cannot be read."),
    "chain-not-a-ca": Rule(Unauthenticated, "A certificate above the leaf may not sign certificates."),
    "chain-path-length": Rule(Unauthenticated, "The chain is longer than one of its CAs allows."),
    "chain-purpose": Rule(Unauthenticated, "A certificate's extended key usage leaves out clientAuth."),
    "chain-signature": Rule(Unauthenticated, "A certificate was not signed by the one above it."),
    "chain-stops": Rule(Unauthenticated, "The chain does not reach an enrolled signing certificate."),
    "chain-too-long": Rule(Unauthenticated, "The client sent more than 10 certificates."),
    "chain-weak": Rule(Unauthenticated, "A certificate is signed with SHA-1 or MD5, or by an RSA key under 2048 bits."),
    "cn-not-registration-id": Rule(Unauthenticated, "The leaf's common name is not the registration id."),
    "thumbprint": Rule(Unauthenticated, "The client certificate is not the one enrolled for the device."),
    # May this device register?
    "attestation-mechanism": Rule(Unauthenticated, "The device's individual enrollment attests by another mechanism."),
    "enrollment-disabled": Rule(Disabled, "The enrollment is switched off."),
    "registration-of-another-enrollment": Rule(Unauthenticated, "The registration belongs to another enrollment until it is moved or deleted."),
    # Certificate signing requests.
    "csr-asks-for-ca": Rule(Malformed, "The CSR asks for the certificate of a CA."),
    "csr-attributes": Rule(Malformed, "The attributes of the CSR cannot be read."),
    "csr-critical-extension": Rule(Malformed, "The CSR asks for a critical extension that is not known."),
    "csr-key-type": Rule(Malformed, "The key of the CSR is none of P-256, P-384 and RSA with 2048 to 4096 bits."),
    "csr-key-weak": Rule(Malformed, "The key of the CSR is one that can be guessed."),
    "csr-names-another-device": Rule(Malformed, "The CSR's common name is not the registration id."),
    "csr-not-due": Rule(Malformed, "A CSR was sent where none is taken: a look-up, or an enrollment that issues no certificates."),
    "csr-not-pem-or-der": Rule(Malformed, "The CSR is neither PEM nor base64 of DER."),
    "csr-pem-blocks": Rule(Malformed, "The CSR's PEM text does not hold exactly one request."),
    "csr-signature": Rule(Malformed, "The CSR does not prove that its sender has the key."),
    "csr-signature-algorithm": Rule(Malformed, "The CSR is signed with another algorithm than SHA-256, SHA-384 or SHA-512."),
    "csr-subject": Rule(Malformed, "The subject of the CSR cannot be read, or has several common names."),
    "csr-too-large": Rule(Malformed, "The CSR is too large."),
    "csr-twice": Rule(Malformed, "More than one CSR was sent in one call."),
    "csr-version": Rule(Malformed, "The CSR is of an unknown version."),
    "id-too-long-for-certificate": Rule(Malformed, "A registration id of more than 64 characters cannot be a common name."),
    "key-of-another-device": Rule(Malformed, "The key of the CSR belongs to another device."),
    "key-revoked": Rule(Refused, "The key of the CSR was revoked."),
    # Assignment.
    "authority-changed": Rule(Refused, "The certificate authority was changed while the certificate was made."),
    "certificate-not-unique": Rule(Refused, "The serial number or the key of the certificate is another's already."),
    "changed-meanwhile": Rule(Refused, "The enrollment was changed while the certificate was made."),
    "device-id-taken": Rule(Refused, "The device id belongs to another registration."),
    "hub-refused": Rule(UpstreamRejected, "The linked hub does not accept this service.", 400209),
    "no-hub": Rule(Refused, "No hub is linked that the enrollment allows.", 400208),
    "operation-superseded": Rule(Conflict, "A newer request of the device took the operation's place."),
    "operation-unknown": Rule(NotFound, "There is no such operation of this registration.", 404202),
    # What a certificate authority answers.
    "ca-answer-empty": Rule(UpstreamRejected, "The CA's answer holds no certificate."),
    "ca-answer-too-large": Rule(UpstreamRejected, "The CA's answer is too large."),
    "ca-answer-too-many": Rule(UpstreamRejected, "The CA's answer holds too many certificates."),
    "ca-answer-unreadable": Rule(UpstreamRejected, "The CA's answer cannot be read."),
    "ca-broken-chain": Rule(UpstreamRejected, "The certificates that the CA answered with do not form a chain."),
    "ca-credentials": Rule(UpstreamRejected, "The CA does not accept the credentials that it is configured with."),
    "ca-egress-refused": Rule(UpstreamRejected, "The CA's address is one that this service does not connect to."),
    "ca-expired": Rule(UpstreamRejected, "The issuing CA has expired."),
    "ca-issued-a-ca": Rule(UpstreamRejected, "The CA answered with the certificate of a CA."),
    "ca-refused": Rule(UpstreamRejected, "The CA turned the request down."),
    "ca-settings": Rule(Malformed, "The stored settings of the CA cannot be used."),
    "ca-timeout": Rule(UpstreamRejected, "The CA did not answer in time."),
    "ca-unavailable": Rule(UpstreamUnavailable, "The CA cannot be reached now."),
    "ca-unreadable": Rule(UpstreamRejected, "The CA answered with something that is no certificate."),
    "ca-untrusted-chain": Rule(UpstreamRejected, "The chain does not end at one of the CA's trust anchors."),
    "ca-wrong-key": Rule(UpstreamRejected, "The CA certified another key than the ordered one."),
    "ca-wrong-life": Rule(UpstreamRejected, "The certificate's lifetime is not one that was ordered."),
    "ca-wrong-name": Rule(UpstreamRejected, "The certificate names another device."),
    "ca-wrong-serial": Rule(UpstreamRejected, "The serial number is not a positive number of at most 20 octets."),
    "ca-wrong-usage": Rule(UpstreamRejected, "The certificate is not good for a device's TLS connection."),
    # The service API.
    "allocation-policy": Rule(Malformed, "allocationPolicy is not one of its values."),
    "allocation-unsupported": Rule(Malformed, "allocationPolicy asks for what this version cannot do."),
    "attestation-missing": Rule(Malformed, "The document has no attestation, or not what its type asks for."),
    "attestation-two": Rule(Malformed, "The document has more than one attestation."),
    "attestation-type": Rule(Malformed, "attestation.type is not one of its values, or not one for this kind of enrollment."),
    "authority-in-use": Rule(Conflict, "The certificate authority is named by enrollments."),
    "authority-member": Rule(Malformed, "A setting of the certificate authority is missing or not of its form."),
    "authority-probe": Rule(Malformed, "The certificate authority can't be reached or would not take orders, so nothing was stored."),
    "authority-type": Rule(Malformed, "certificateAuthorityType is not one of its values."),
    "authority-type-fixed": Rule(Conflict, "A replace cannot change the type of a certificate authority."),
    "authority-unknown": Rule(NotFound, "There is no certificate authority of this name.", also=(Malformed, UpstreamUnavailable)),
    "bulk-unsupported": Rule(Malformed, "Bulk operations are not supported by this version."),
    "ca-references-unsupported": Rule(Malformed, "caReferences are not supported by this version."),
    "certificate-count": Rule(Malformed, "Exactly one certificate is wanted."),
    "certificate-missing": Rule(Malformed, "A certificate was sent without its text, and none is stored that it could mean."),
    "certificate-private-key": Rule(Malformed, "A private key was sent in the place of a certificate."),
    "certificate-size": Rule(Malformed, "A certificate is too large."),
    "certificate-thumbprint": Rule(Malformed, "A thumbprint is not the hex of a SHA-256."),
    "certificate-unknown": Rule(NotFound, "There is no such certificate."),
    "certificate-unreadable": Rule(Malformed, "A certificate is neither PEM nor base64 of DER."),
    "continuation": Rule(Malformed, "The continuation token is not one of this listing."),
    "credential-policy": Rule(Malformed, "credentialPolicyName and clientCertificateIssuancePolicy name different authorities."),
    "document-invalid": Rule(Malformed, "A member of the document is missing or not of its form."),
    "document-too-deep": Rule(Malformed, "A member of the document nests too deep."),
    "enrollment-unknown": Rule(NotFound, "There is no such enrollment.", 404201),
    "etag": Rule(PreconditionFailed, "The etag in If-Match is not the present one."),
    "exists-already": Rule(Conflict, "It exists already, and no If-Match allows to replace it."),
    "group-capacity": Rule(Conflict, "There are as many symmetric-key groups without idPattern as there can be."),
    "hub-count": Rule(Malformed, "iotHubs names too many hubs."),
    "hub-unknown": Rule(Malformed, "iotHubs names a hub that is not linked."),
    "id-pattern": Rule(Malformed, "idPattern is too long, or not a regular expression of the forms that are allowed."),
    "id-reserved": Rule(Malformed, "The id is an address of the API."),
    "initial-twin": Rule(Malformed, "initialTwin is not of its form."),
    "key-size": Rule(Malformed, "A symmetric key is not the base64 of 16 to 64 bytes."),
    "move-target": Rule(Malformed, "A move names no enrollment that the registration can go to."),
    "page-size": Rule(Malformed, "x-ms-max-item-count is not a whole number above 0."),
    "policy-capacity": Rule(Conflict, "There are as many policies as there can be."),
    "policy-last": Rule(Conflict, "The last policy with ServiceConfig must keep it, or nobody could change policies."),
    "policy-name": Rule(Malformed, "A policy's name is not 1 to 64 letters, digits or - . _ that begin with a letter or digit."),
    "policy-rights": Rule(Malformed, "A policy names no right, or one that its realm does not have."),
    "policy-unknown": Rule(NotFound, "There is no such policy."),
    "provisioning-status": Rule(Malformed, "provisioningStatus is neither enabled nor disabled."),
    "query-field": Rule(Malformed, "The query names a member that can't be asked for."),
    "query-malformed": Rule(Malformed, "The query cannot be read."),
    "query-parameter": Rule(Malformed, "A query parameter is out of its range."),
    "query-source": Rule(Malformed, "The query asks for another listing than its address."),
    "query-unsupported": Rule(Malformed, "The query uses what is not supported."),
    "query-value": Rule(Malformed, "The query compares a member with what it can't be."),
    "registration-unknown": Rule(NotFound, "There is no such registration.", 404201),
    "serial": Rule(Malformed, "The serial number is not hex."),
    "serial-shared": Rule(Conflict, "Certificates of several authorities have this serial number; name the SHA-256."),
    "signing-not-a-ca": Rule(Malformed, "A group's signing certificate is not the certificate of a CA."),
    "trust-bundle-empty": Rule(Malformed, "A trust bundle holds no certificate."),
    "trust-bundle-in-use": Rule(Conflict, "The trust bundle is named by enrollments."),
    "trust-bundle-unknown": Rule(NotFound, "There is no trust bundle of this name.", also=(Malformed,)),
    "unknown": Rule(NotFound, "There is no such thing."),
    # The hub.
    "hub-bootstrap-certificate-expired": Rule(Unauthenticated, "The enrolled certificate is outside its lifetime."),
    "hub-bootstrap-certificate-superseded": Rule(Unauthenticated, "The enrolled certificate is closed while an issued one is good."),
    "hub-certificate-not-bound": Rule(Unauthenticated, "The certificate is neither issued here nor enrolled."),
    "hub-certificate-of-another-device": Rule(Unauthenticated, "The certificate is another device's."),
    "hub-certificate-retired": Rule(Unauthenticated, "A newer certificate was used; this one is retired."),
    "hub-certificate-superseded": Rule(Unauthenticated, "Newer certificates have pushed this unused one out."),
    "hub-client-id": Rule(Unauthenticated, "The MQTT client id and the user name name different devices."),
    "hub-device-disabled": Rule(Unauthenticated, "The device is switched off at the hub."),
    "hub-device-unknown": Rule(Unauthenticated, "There is no such device at the hub."),
    "hub-full": Rule(Throttled, "The hub has no room for another connection."),
    "hub-host-name": Rule(Unauthenticated, "The user name is for another hub."),
    "hub-module": Rule(Refused, "Modules are not supported by this version."),
    "hub-no-credential": Rule(Unauthenticated, "The connection shows neither a client certificate nor a token."),
    "hub-no-key": Rule(Unauthenticated, "A token was shown, but the device has no symmetric key."),
    "hub-sas-superseded": Rule(Unauthenticated, "The symmetric key is closed while an issued certificate is good."),
    "hub-user-name": Rule(Unauthenticated, "The MQTT user name cannot be read."),
    "hub-will": Rule(Unauthenticated, "The will is not a message of the device's own."),
    "message-too-large": Rule(Malformed, "A device-to-cloud message is larger than 256 KiB."),
}
# fmt: on

RULES: Mapping[str, Rule] = MappingProxyType(_TABLE)
