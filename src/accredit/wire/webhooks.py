"""What the webhooks of an enrollment are sent, and what they may answer; both roles.

`customAllocationDefinition` has Azure's form (docs *concepts-custom-allocation*), with `useDefault` as our addition.
`preRegistrationWebhook` is ours: it is sent the same but for `linkedHubs`, and answers `{"allow": true}` or
`{"allow": false, "reason": "..."}`. Where a secret is set, two headers sign the body: HMAC-SHA256 over the timestamp, a
full stop, and the body's bytes.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from accredit.domain import allocation as stated
from accredit.domain.enrollment import EnrollmentKind, TpmKeys
from accredit.domain.errors import Malformed, UpstreamRejected
from accredit.domain.registration import Admitted, Operation
from accredit.domain.secret import Secret
from accredit.values import dataclass
from accredit.wire.service_api.allocation import read_twin
from accredit.wire.service_api.certificates import certificate_info, pem
from accredit.wire.service_api.enrollments import enrollment_document
from accredit.wire.tpm_documents import document_of

TIMESTAMP = "X-Accredit-Timestamp"
SIGNATURE = "X-Accredit-Signature"
OPERATION = "X-Accredit-Operation"

MAX_ANSWER_BYTES = 64 * 1024
MAX_PAYLOAD_BYTES = 16 * 1024
"""Of what the allocation webhook has for the device: it travels in every answer to it."""

MAX_REASON_CHARS = 300

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Allocation:
    """`hub` None: as it would be without a webhook. `payload` is raw JSON for the device."""

    hub: str | None
    initial_twin: dict[str, Any] | None
    payload: bytes | None


@dataclass(frozen=True, slots=True)
class Verdict:
    allowed: bool
    reason: str


class _Allocation(msgspec.Struct, rename="camel"):
    iot_hub_host_name: str | None = None
    iot_hub_hostname: str | None = None
    initial_twin: dict[str, Any] | None = None
    payload: msgspec.Raw = msgspec.Raw(b"null")
    use_default: bool = False


class _Verdict(msgspec.Struct, rename="camel"):
    allow: bool
    reason: str | None = None


def allocation_request(admitted: Admitted, operation: Operation, hubs: Sequence[str]) -> bytes:
    """`hubs` are those that may be answered."""
    members = _about(admitted, operation, stated.CUSTOM_ALLOCATION)
    return msgspec.json.encode({**members, "linkedHubs": hubs})


def admission_request(admitted: Admitted, operation: Operation) -> bytes:
    return msgspec.json.encode(_about(admitted, operation, stated.PRE_REGISTRATION))


def _about(admitted: Admitted, operation: Operation, asked: str) -> dict[str, Any]:
    enrollment = admitted.attested.enrollment
    group = enrollment.kind is EnrollmentKind.GROUP
    document = enrollment_document(enrollment)
    for member in stated.WEBHOOKS:
        # An address may carry a key of its own: each webhook is told of none but itself.
        if member != asked:
            document.pop(member, None)
    context: dict[str, Any] = {"registrationId": operation.registration_id.text}
    if admitted.at_hub is not None:
        # Azure: its table of members writes currentIoTHubHostName, its examples and its service this.
        context["currentIotHubHostName"] = admitted.at_hub.hub
        context["currentDeviceId"] = admitted.at_hub.device_id.text
    context |= _proof(admitted, operation)
    if operation.payload is not None:
        context["payload"] = msgspec.Raw(operation.payload)
    return {"enrollmentGroup" if group else "individualEnrollment": document, "deviceRuntimeContext": context}


def _proof(admitted: Admitted, operation: Operation) -> dict[str, Any]:
    """How the device proved itself; never a key."""
    der = operation.bootstrap_certificate
    if der is not None:
        shown = {"certificate": pem(der), "info": certificate_info(der)}
        return {"x509": {"clientCertificates": {"primary": shown}}}
    attestation = admitted.attested.enrollment.attestation
    if isinstance(attestation, TpmKeys):
        return {"tpm": document_of(attestation.endorsement, attestation.storage_root)}
    return {"symmetricKey": {}}


def read_allocation(body: bytes) -> Allocation:
    """Raises UpstreamRejected."""
    answer = _read(body, _Allocation)
    hub = answer.iot_hub_host_name or answer.iot_hub_hostname
    if (hub is None) is not answer.use_default:
        raise _unusable("it has to name iotHubHostName, or to say useDefault, and not both")
    payload = bytes(answer.payload)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise _unusable(f"its payload has more than {MAX_PAYLOAD_BYTES} bytes")
    try:
        twin = read_twin(answer.initial_twin, "initialTwin")
    except Malformed as refused:
        raise _unusable(refused.message) from None
    return Allocation(hub, twin, None if payload == b"null" else payload)


def read_verdict(body: bytes) -> Verdict:
    """Raises UpstreamRejected."""
    answer = _read(body, _Verdict)
    return Verdict(answer.allow, " ".join((answer.reason or "").split())[:MAX_REASON_CHARS])


def _read(body: bytes, kind: type[T]) -> T:
    try:
        # Raw members are not decoded, so nothing else would notice that they are not UTF-8.
        return msgspec.json.decode(body if body.isascii() else body.decode(), type=kind)
    except (ValueError, RecursionError) as error:
        raise _unusable(str(error)[:MAX_REASON_CHARS]) from None


def _unusable(why: str) -> UpstreamRejected:
    return UpstreamRejected(
        "The webhook's answer can't be used.",
        rule="webhook-answer",
        hint="the how-to `Choose a hub` says what it may answer",
        evidence=why,
    )


def signature(secret: Secret, timestamp: str, body: bytes) -> str:
    """The value of the signature header."""
    covered = timestamp.encode() + b"." + body
    return "sha256=" + hmac.new(secret.reveal(), covered, hashlib.sha256).hexdigest()


# The webhook's side.


def is_signed(secret: Secret, timestamp: str, body: bytes, shown: str) -> bool:
    """Whether a request carries the secret's signature; how old its timestamp may be is the webhook's to say."""
    return hmac.compare_digest(signature(secret, timestamp, body), shown)
