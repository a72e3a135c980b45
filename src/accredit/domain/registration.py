"""Registrations, the operations that make them, and the receipts of the ceremony's middle steps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from accredit.domain.credential import Certified, Credential
from accredit.domain.enrollment import EnrollmentRef
from accredit.domain.evidence import Attested, Evidence
from accredit.domain.ids import AuthorityName, DeviceId, RegistrationId
from accredit.domain.trust_bundle import TrustBundle


class Status(StrEnum):
    """`registrationState.status` (DPS device API)."""

    UNASSIGNED = "unassigned"
    ASSIGNING = "assigning"
    ASSIGNED = "assigned"
    FAILED = "failed"
    DISABLED = "disabled"


class Substatus(StrEnum):
    INITIAL_ASSIGNMENT = "initialAssignment"
    DEVICE_DATA_MIGRATED = "deviceDataMigrated"
    DEVICE_DATA_RESET = "deviceDataReset"
    REPROVISIONED_TO_INITIAL_ASSIGNMENT = "reprovisionedToInitialAssignment"


@dataclass(frozen=True, slots=True)
class Request:
    """What one register call says, whatever the wire.

    `csr_fields` holds (field name, text as sent) of each CSR field that was not null; `payload` is the custom payload
    as raw JSON, None when absent or null. `source` is the peer's address, `tracking_id` names the call in answers
    and logs.
    """

    registration_id: RegistrationId
    evidence: Evidence
    csr_fields: tuple[tuple[str, str], ...]
    payload: bytes | None
    api_version: str
    source: str
    tracking_id: str


@dataclass(frozen=True, slots=True)
class Registration:
    """One registration id's state. It belongs to `enrollment`, which first proved it."""

    registration_id: RegistrationId
    enrollment: EnrollmentRef
    device_id: DeviceId
    hub: str | None
    status: Status
    substatus: Substatus | None
    operation_id: str
    etag: str
    created_at: int
    updated_at: int
    payload: bytes | None = None
    certificate_sha256: bytes | None = None
    csr_field: str | None = None
    error_code: int | None = None
    error_message: str | None = None


class OperationState(StrEnum):
    OPEN = "open"
    ASSIGNED = "assigned"
    FAILED = "failed"
    DISABLED = "disabled"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Operation:
    """The durable intent: all that is needed to finish a registration without the device.

    It is leased: `lease_owner` may work on it until `lease_expires_at`, and every write names the `fence` it holds.
    `csr_field` tells in which form the answer is due. `bootstrap_certificate` is the DER of the client certificate that proved an
    X.509 enrollment, `key_spelling` the form of the id that a group's key was derived from. `handle` is the CA's name for an order
    that it has not finished. `submitted`: something may have been signed that is not on record yet.
    """

    id: str
    registration_id: RegistrationId
    enrollment: EnrollmentRef
    enrollment_etag: str
    enrollment_generation: str
    authority: AuthorityName | None
    authority_version: str
    profile: str
    device_id: DeviceId
    hub: str
    substatus: Substatus
    csr_der: bytes
    csr_field: str
    spki_sha256: bytes
    payload: bytes | None
    bootstrap_certificate: bytes | None
    tracking_id: str
    created_at: int
    deadline_at: int
    state: OperationState = OperationState.OPEN
    attempt: int = 0
    submitted: bool = False
    handle: str | None = None
    lease_owner: str = ""
    lease_expires_at: int = 0
    fence: int = 0
    certificate_sha256: bytes | None = None
    error_code: int | None = None
    error_message: str | None = None
    key_spelling: str | None = None


@dataclass(frozen=True, slots=True)
class Allocated:
    """The receipt: this attested device may register, as this device, at this hub. Made in `provisioning/allocate.py`."""

    attested: Attested
    registration_id: RegistrationId
    previous: Registration | None
    device_id: DeviceId
    hub: str
    substatus: Substatus


@dataclass(frozen=True, slots=True)
class Issued:
    """The receipt: the device's credential is settled. Made in `provisioning/issue.py`."""

    allocated: Allocated
    operation_id: str
    credential: Credential


@dataclass(frozen=True, slots=True)
class Assigned:
    """Answer: done. `certified` when the request carried a CSR; `csr_field` is the field that it came in.

    `trust_bundle` is the one that the enrollment names.
    `tpm_activation` is the blob with the hub's key for a device that attested by TPM.
    """

    registration: Registration
    attested: Attested
    certified: Certified | None
    csr_field: str | None
    trust_bundle: TrustBundle | None = None
    tpm_activation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Assigning:
    """Answer: ask again after `retry_after_s` seconds, by this operation id."""

    operation_id: str
    registration_id: RegistrationId
    retry_after_s: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Answer: the operation is over without an assignment: status is `failed` or `disabled`."""

    operation_id: str
    registration_id: RegistrationId
    status: Status
    error_code: int | None
    error_message: str | None
    device_id: DeviceId | None
    created_at: int
    updated_at: int
    etag: str


Answer = Assigned | Assigning | Ended


@dataclass(frozen=True, slots=True)
class Challenged:
    """What a TPM must open before its device is anybody: the blob holds the key to sign the token with."""

    blob: bytes
