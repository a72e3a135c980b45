"""DPS device API documents: what a device says when it registers, and what it is answered, on any transport.

Written against api-versions 2018-04-01 to 2026-11-15-preview, which differ in what they add and not in what they
mean, so nothing but the version's name is checked. Topics, headers and statuses of errors are not here
(`wire/topics.py`, the fronts, `wire/refusals.py`), nor is any decision: a CSR is handed on as it was written.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import msgspec

from accredit.domain.enrollment import EnrollmentKind
from accredit.domain.errors import Malformed
from accredit.domain.evidence import Attested, ProvenChain, ProvenHeld, ProvenTpm
from accredit.domain.ids import RegistrationId
from accredit.domain.registration import Answer, Assigned, Assigning, Ended, Substatus
from accredit.domain.tpm import TpmKey
from accredit.values import dataclass
from accredit.wire.dps_log_proof import LogProofShown, log_proof_shown
from accredit.wire.dps_renewal import RenewalShown, renewal_shown
from accredit.wire.instants import iso
from accredit.wire.pem import IssuerPems, leaf_first
from accredit.wire.service_api.certificates import certificate_info
from accredit.wire.service_api.trust_bundles import trust_bundle_json
from accredit.wire.tpm_documents import TpmDocument, document_of, keys_of

MAX_BODY_BYTES = 96 * 1024
"""Azure: a message to DPS is at most 96 KB."""

CLIENT_CERTIFICATE_CSR = "clientCertificateCsr"
"""2021-11-01-preview; answered by `issuedClientCertificate`, a PEM chain."""

CSR = "csr"
"""2025-07-01-preview and later; answered by `issuedCertificateChain`, an array of base64 DER."""

BRIDGED_CSR = "payload.clientCertificateCsr"
"""The first, carried by the custom payload of an SDK that knows no CSR; the answer's payload carries the chain."""


@dataclass(frozen=True, slots=True)
class RegisterDocument:
    """A register or look-up body. `csr_fields` are the (name, text) of the CSR members that were not null.

    `payload` is raw JSON, None when absent or null. `tpm` is the (endorsement key, storage root key) of a device that
    wants to attest by TPM.
    """

    registration_id: str | None
    csr_fields: tuple[tuple[str, str], ...]
    payload: bytes | None
    tpm: tuple[TpmKey, TpmKey] | None

    def check(self, registration_id: RegistrationId) -> None:
        """Raise Malformed when the body names another id than the call does."""
        if self.registration_id is not None and self.registration_id.lower() != registration_id.key:
            raise Malformed(
                "registrationId in the body is not the one that the request names.",
                rule="id-mismatch",
            )

    def check_without_tpm(self, registration_id: RegistrationId) -> None:
        """The same, on a transport that can't challenge a TPM."""
        self.check(registration_id)
        if self.tpm is not None:
            raise Malformed(
                "TPM attestation is not spoken over MQTT, and begins with the login over AMQP.",
                rule="tpm-unsupported",
            )


class _Register(msgspec.Struct, rename="camel"):
    registration_id: str | None = None
    client_certificate_csr: str | None = None
    csr: str | None = None
    payload: msgspec.Raw = msgspec.Raw(b"null")
    tpm: TpmDocument | None = None


class _Bridged(msgspec.Struct, rename="camel"):
    client_certificate_csr: str | None = None


class _Asks(msgspec.Struct, rename="camel"):
    issuance_log_proof: msgspec.Raw = msgspec.Raw(b"false")


_REGISTER = msgspec.json.Decoder(_Register)
_ASKS = msgspec.json.Decoder(_Asks)
_BRIDGED = msgspec.json.Decoder(_Bridged)
_ENCODER = msgspec.json.Encoder()
_NOTHING = RegisterDocument(None, (), None, None)


def register_document(body: bytes) -> RegisterDocument:
    """Raises Malformed. An empty body says nothing, legally: that is what the C# SDK sends without a payload."""
    if len(body) > MAX_BODY_BYTES:
        raise Malformed(f"The body is larger than {MAX_BODY_BYTES} bytes.", rule="body-too-large")
    if not body or body.isspace():
        return _NOTHING
    try:
        # Raw members are not decoded, so nothing else would notice that they are not UTF-8.
        document = _REGISTER.decode(body if body.isascii() else body.decode())
    except (ValueError, RecursionError) as error:
        raise _not_json(error) from error
    fields: tuple[tuple[str, str], ...] = ()
    if document.client_certificate_csr is not None:
        fields = ((CLIENT_CERTIFICATE_CSR, document.client_certificate_csr),)
    if document.csr is not None:
        fields = (*fields, (CSR, document.csr))
    return RegisterDocument(
        document.registration_id,
        fields,
        _unless_null(document.payload),
        None if document.tpm is None else keys_of(document.tpm),
    )


def _unless_null(raw: msgspec.Raw) -> bytes | None:
    text = bytes(raw)
    return None if text == b"null" else text


def _not_json(error: Exception) -> Malformed:
    return Malformed(
        "The body is not a JSON object with the members of a DeviceRegistration.",
        rule="body-not-json",
        evidence=str(error)[:200],
    )


def bridged_csr(payload: bytes) -> str | None:
    """The payload's `clientCertificateCsr`; None when there is none. Raises Malformed when it is not a string.

    Azure: the Java SDK sends the payload as a JSON string that contains JSON, so one such wrapping is undone.
    """
    if payload[:1] == b'"':
        payload = _unwrapped(payload)
    if payload[:1] != b"{":
        return None
    try:
        return _BRIDGED.decode(payload).client_certificate_csr
    except (ValueError, RecursionError) as error:
        raise Malformed(
            "clientCertificateCsr in the payload is not a string.",
            rule="payload-csr",
            evidence=str(error)[:200],
        ) from error


def asks_for_log_proof(payload: bytes | None) -> bool:
    """Whether the payload's `issuanceLogProof` is true; anything else that stands there is the device's own affair."""
    if payload is not None and payload[:1] == b'"':
        payload = _unwrapped(payload)
    if payload is None or payload[:1] != b"{":
        return False
    try:
        return bytes(_ASKS.decode(payload).issuance_log_proof) == b"true"
    except (ValueError, RecursionError):
        return False


def _unwrapped(payload: bytes) -> bytes:
    try:
        inner = msgspec.json.decode(payload, type=str).strip().encode()
        msgspec.json.decode(inner)
    except (ValueError, RecursionError):
        return b""
    return inner


class _Error(msgspec.Struct, rename="camel"):
    error_code: int
    tracking_id: str
    message: str
    timestamp_utc: str


def error_body(code: int, message: str, tracking_id: str, now: float) -> bytes:
    """Azure's ProvisioningServiceErrorDetails: what every refusal carries, on every transport."""
    return _ENCODER.encode(_Error(code, tracking_id, message, iso(now)))


class _Tpm(msgspec.Struct, rename="camel"):
    authentication_key: str


class _SymmetricKey(msgspec.Struct, rename="camel", omit_defaults=True):
    enrollment_group_id: str | None = None


class _X509(msgspec.Struct, rename="camel", omit_defaults=True):
    enrollment_group_id: str | None = None
    certificate_info: dict[str, Any] | None = None


class _State(msgspec.Struct, rename="camel", omit_defaults=True):
    """DeviceRegistrationResult."""

    registration_id: str
    created_date_time_utc: str
    last_updated_date_time_utc: str
    status: str
    etag: str
    assigned_hub: str | None = None
    device_id: str | None = None
    substatus: str | None = None
    error_code: int | None = None
    error_message: str | None = None
    symmetric_key: _SymmetricKey | None = None
    x509: _X509 | None = None
    tpm: _Tpm | None = None
    payload: msgspec.Raw | None = None
    issued_client_certificate: str | None = None
    issued_certificate_chain: list[str] | None = None
    trust_bundle: msgspec.Raw | None = None
    certificate_renewal: RenewalShown | None = None
    issuance_log_proof: LogProofShown | None = None


class _OperationStatus(msgspec.Struct, rename="camel", omit_defaults=True):
    operation_id: str
    status: str
    registration_state: _State | None = None


def answer_body(
    answer: Answer, now: float, issuers: IssuerPems | None = None
) -> tuple[int, bytes, int | None]:
    """RegistrationOperationStatus with its HTTP status, and the seconds to wait before the poll, if one is due.

    Azure: an operation that failed or found its enrollment disabled is still a 200, with a registrationState, which
    the C# and Java SDKs read without looking. A front that answers often hands in its `issuers`.
    """
    del now  # every instant of an answer is the registration's own
    if isinstance(answer, Assigning):
        body = _ENCODER.encode(_OperationStatus(answer.operation_id, "assigning"))
        return 202, body, answer.retry_after_s
    if isinstance(answer, Ended):
        state, operation_id = _ended(answer), answer.operation_id
    else:
        state, operation_id = _assigned(answer), answer.registration.operation_id
        _add_certificates(state, answer, IssuerPems() if issuers is None else issuers)
    return 200, _ENCODER.encode(_OperationStatus(operation_id, state.status, state)), None


def registration_body(answer: Assigned | Ended) -> bytes:
    """DeviceRegistrationResult by itself, as a state look-up answers; issued certificates are never in it."""
    return _ENCODER.encode(_assigned(answer) if isinstance(answer, Assigned) else _ended(answer))


def _assigned(answer: Assigned) -> _State:
    registration = answer.registration
    state = _State(
        registration_id=registration.registration_id.text,
        created_date_time_utc=iso(registration.created_at),
        last_updated_date_time_utc=iso(registration.updated_at),
        status=registration.status.value,
        etag=registration.etag,
        assigned_hub=registration.hub,
        device_id=registration.device_id.text,
        # Azure: without a substatus the Python SDK's register() waits for ever.
        substatus=(registration.substatus or Substatus.INITIAL_ASSIGNMENT).value,
        payload=None if registration.payload is None else msgspec.Raw(registration.payload),
    )
    _add_attestation(state, answer.attested)
    if answer.trust_bundle is not None:
        state.trust_bundle = msgspec.Raw(trust_bundle_json(answer.trust_bundle))
    if answer.tpm_activation is not None:
        # Azure: the C, C# and Java SDKs take no assignment without it.
        state.tpm = _Tpm(b64encode(answer.tpm_activation).decode())
    return state


def _add_attestation(state: _State, attested: Attested) -> None:
    enrollment = attested.enrollment
    group = enrollment.id.text if enrollment.kind is EnrollmentKind.GROUP else None
    if isinstance(attested.proof, ProvenChain):
        state.x509 = _X509(group, certificate_info(attested.proof.chain[0]))
    elif isinstance(attested.proof, ProvenHeld):
        state.x509 = _X509(group, certificate_info(attested.proof.certificate))
    elif not isinstance(attested.proof, ProvenTpm):
        state.symmetric_key = _SymmetricKey(group)


def _ended(answer: Ended) -> _State:
    return _State(
        registration_id=answer.registration_id.text,
        created_date_time_utc=iso(answer.created_at),
        last_updated_date_time_utc=iso(answer.updated_at),
        status=answer.status.value,
        etag=answer.etag,
        device_id=None if answer.device_id is None else answer.device_id.text,
        error_code=answer.error_code,
        error_message=answer.error_message,
    )


def _add_certificates(state: _State, answer: Assigned, issuers: IssuerPems) -> None:
    """Each CSR field has its own form of answer; beside it stand when to renew it and the log's proof (extensions)."""
    if answer.certified is None:
        return
    chain = answer.certified.record.issued.chain
    renewal = None if answer.renewal is None else renewal_shown(answer.renewal)
    proof = None if answer.log_proof is None else log_proof_shown(answer.log_proof)
    if answer.csr_field != BRIDGED_CSR:
        state.certificate_renewal, state.issuance_log_proof = renewal, proof
    match answer.csr_field:
        case "csr":
            state.issued_certificate_chain = [b64encode(der).decode("ascii") for der in chain]
        case "payload.clientCertificateCsr":
            issued = leaf_first(chain, issuers)
            beside = {
                "issuedClientCertificate": issued,
                "certificateRenewal": renewal,
                "issuanceLogProof": proof,
                "trustBundle": state.trust_bundle,
            }
            state.payload = _with(answer.registration.payload, beside)
        case _:
            state.issued_client_certificate = leaf_first(chain, issuers)


def _with(payload: bytes | None, beside: Mapping[str, Any]) -> msgspec.Raw:
    """The payload with the certificate and what comes with it (None is left out). One that is no object moves into a
    member: the Java SDK takes objects only."""
    members: dict[str, Any] = {}
    if payload is not None:
        is_object = payload.lstrip()[:1] == b"{"
        members = msgspec.json.decode(payload, type=dict[str, msgspec.Raw]) if is_object else {}
        if not is_object:
            members["payload"] = msgspec.Raw(payload)
    members |= {name: value for name, value in beside.items() if value is not None}
    return msgspec.Raw(_ENCODER.encode(members))


# The device's side.


def register_body(
    registration_id: str | None,
    csr_field: str | None = None,
    csr: str | None = None,
    payload: bytes | None = None,
    tpm: tuple[TpmKey, TpmKey] | None = None,
) -> bytes:
    """What a device sends: `csr_field` is one of the three names above, `payload` raw JSON, `tpm` its EK and SRK."""
    members: dict[str, Any] = {} if registration_id is None else {"registrationId": registration_id}
    if tpm is not None:
        members["tpm"] = document_of(*tpm)
    if csr_field == BRIDGED_CSR:
        inner = {} if payload is None else msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
        members["payload"] = {**inner, CLIENT_CERTIFICATE_CSR: csr}
    else:
        if csr_field is not None:
            members[csr_field] = csr
        if payload is not None:
            members["payload"] = msgspec.Raw(payload)
    return _ENCODER.encode(members)


class ParsedAnswer(msgspec.Struct, frozen=True, rename="camel"):
    """RegistrationOperationStatus, or an error body, as a client reads it."""

    operation_id: str | None = None
    status: str | None = None
    registration_state: dict[str, Any] | None = None
    error_code: int | None = None
    authentication_key: str | None = None
    message: str | None = None
    tracking_id: str | None = None


_ANSWER = msgspec.json.Decoder(ParsedAnswer)


def parse_answer(body: bytes) -> ParsedAnswer:
    """Raises Malformed."""
    try:
        return _ANSWER.decode(body)
    except (ValueError, RecursionError) as error:
        raise _not_json(error) from error
