"""Registrations, the operations that make them, and the receipts of the ceremony's middle steps."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from accredit.domain.credential import Certified, Credential, RenewalWindow
from accredit.domain.device import DeviceData
from accredit.domain.enrollment import EnrollmentRef
from accredit.domain.evidence import Attested, Evidence
from accredit.domain.ids import AuthorityName, DeviceId, RegistrationId
from accredit.domain.inclusion import Inclusion
from accredit.domain.trust_bundle import TrustBundle
from accredit.values import dataclass


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


class DataFate(StrEnum):
    """What becomes of a device's twin and capability when it is assigned: they stay as they are at its hub, they move
    from its old hub to its new one, or they start as its enrollment (or whoever chose the hub) says."""

    STAYS = "stays"
    MOVES = "moves"
    INITIAL = "initial"


@dataclass(frozen=True, slots=True)
class Request:
    """What one register call says, whatever the wire.

    `csr_fields` holds (field name, text as sent) of each CSR field that was not null; `payload` is the custom payload
    as raw JSON, None when absent or null. `source` is the peer's address, `tracking_id` names the call in answers
    and logs. `request_id` is what the device calls a renewal over its hub. `named` is the id of the enrollment that the call names, as it spells it; None where its wire names none.
    `repeats`: the device learns of the end by the same call again, and has no question for an operation.
    `bindings` are what a CSR may be linked to its TLS connection by (`policy/pop_linking.py`), None where a wire has no such thing.
    `keeps_names`: the certificate that is asked for is the same as the one that proves the call, but for its key and life.
    """

    registration_id: RegistrationId
    evidence: Evidence
    csr_fields: tuple[tuple[str, str], ...]
    payload: bytes | None
    api_version: str
    source: str
    tracking_id: str
    request_id: str | None = None
    named: str | None = None
    repeats: bool = False
    bindings: tuple[bytes, ...] | None = None
    keeps_names: bool = False


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


class Phase(StrEnum):
    """What is to be done next for an operation; each is durable before it begins, and none is gone back to.

    Admit: ask the pre-registration webhook. Allocate: ask the allocation webhook. Order: have the certificate made.
    Bind: make the device good at its hub, and complete.
    """

    ADMIT = "admit"
    ALLOCATE = "allocate"
    ORDER = "order"
    BIND = "bind"


@dataclass(frozen=True, slots=True)
class Operation:
    """The durable intent: all that is needed to finish a registration without the device.

    It is leased: `lease_owner` may work on it until `lease_expires_at`, and every write names the `fence` it holds.
    `csr_field` tells in which form the answer is due; None, with an empty CSR, where no certificate was asked for.
    `bootstrap_certificate` is the DER of the client certificate that proved an X.509 enrollment, `key_spelling` the form
    of the id that a group's key was derived from. `handle` is the CA's name for an order that it has not finished.
    `submitted`: something may have been signed that is not on record yet or, in the phase of binding, a hub may have
    been told of the device.

    `hub` is None until it is chosen. With it stand what was answered by whoever chose it (`initial_twin`, `answer`, the
    payload for the device) and the `fate` of the device's data; `data` is what was read from `old_hub`, the hub that the
    device had, where that moves. `certificate_sha256` is the certificate that is on record for this operation.

    A renewal was proven by `held_certificate` (DER); `request_id` is what the device calls it, where it asked over its hub.
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
    hub: str | None
    substatus: Substatus
    csr_der: bytes
    csr_field: str | None
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
    phase: Phase = Phase.ORDER
    old_hub: str | None = None
    fate: DataFate = DataFate.STAYS
    initial_twin: dict[str, Any] | None = None
    answer: bytes | None = None
    data: DeviceData | None = None
    held_certificate: bytes | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """The receipt: this attested device may register, as this device. Made in `provisioning/allocate.py`.

    `at_hub` is its registration as far as it counts: assigned, to a hub that is still linked.
    """

    attested: Attested
    registration_id: RegistrationId
    previous: Registration | None
    device_id: DeviceId
    at_hub: Registration | None


@dataclass(frozen=True, slots=True)
class Allocated(Admitted):
    """The receipt: the admitted device is assigned to this hub. Made in `provisioning/allocate.py`.

    `fate` says what becomes of its data, `initial_twin` goes before the enrollment's, and `payload` is for the device.
    """

    hub: str
    substatus: Substatus
    fate: DataFate
    initial_twin: dict[str, Any] | None = None
    payload: bytes | None = None

    @property
    def leaves(self) -> Registration | None:
        """The registration at the hub that the device moves away from, if it moves."""
        return self.at_hub if self.at_hub is not None and self.at_hub.hub != self.hub else None


@dataclass(frozen=True, slots=True)
class Issued:
    """The receipt: the device's credential is settled. Made in `provisioning/issue.py`."""

    allocated: Allocated
    operation_id: str
    credential: Credential


@dataclass(frozen=True, slots=True)
class Assigned:
    """Answer: done. `certified` when the request carried a CSR; `csr_field` is the field that it came in.

    `trust_bundle` is the one that the enrollment names, `renewal` when the certificate is best renewed.
    `tpm_activation` is the blob with the hub's key for a device that attested by TPM. `log_proof` is there where the
    device has asked for it, and the log has got so far.
    """

    registration: Registration
    attested: Attested
    certified: Certified | None
    csr_field: str | None
    trust_bundle: TrustBundle | None = None
    tpm_activation: bytes | None = None
    renewal: RenewalWindow | None = None
    log_proof: Inclusion | None = None


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
