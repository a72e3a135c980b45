"""What a device shows to prove who it is, and the receipt that the proof was judged good."""

from __future__ import annotations

import dataclasses

from accredit.domain.enrollment import Enrollment
from accredit.domain.ids import CaCertificateName, RegistrationId
from accredit.domain.secret import Secret
from accredit.domain.tpm import TpmKey, TpmProof
from accredit.values import dataclass


@dataclass(frozen=True, slots=True)
class PresentedChain:
    """The TLS client's certificates, DER, leaf first, unjudged; TLS has proven possession of the leaf's key."""

    certificates: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SasToken:
    """A split `SharedAccessSignature` (`wire/sas.py`), unjudged.

    `signed_text` is what the HMAC covers: `sr` exactly as it appeared, a line feed, `se` as it appeared.
    """

    resource: str
    signed_text: bytes
    signature: bytes
    expires_at: int
    policy: str | None


@dataclass(frozen=True, slots=True)
class TpmEndorsement:
    """A TPM's endorsement key and storage root key, unjudged, and the token that it made with the key of a challenge.

    Without a token the device has not been challenged yet.
    """

    endorsement: TpmKey
    storage_root: TpmKey
    token: SasToken | None


@dataclass(frozen=True, slots=True)
class NothingShown:
    """Neither a token nor a client certificate."""


@dataclass(frozen=True, slots=True)
class HeldCertificate:
    """The device's certificate that was issued here, DER, unjudged; TLS has proven possession of its key.

    It proves a renewal and nothing else: what the device was assigned stays as it is.
    """

    certificate: bytes


@dataclass(frozen=True, slots=True)
class Password:
    """The password of a call that names its enrollment (`Request.named`), unjudged: made from the device's key, or one-time."""

    password: Secret


Evidence = PresentedChain | SasToken | TpmEndorsement | HeldCertificate | Password | NothingShown


@dataclasses.dataclass(frozen=True, slots=True)
class DeviceKeys:
    """The symmetric keys of one device, decoded: an individual enrollment's own, or a group's derived for it.

    `spelling` is the form of the registration id that they were derived from; two pairs of equal keys are equal.
    """

    primary: Secret
    secondary: Secret
    spelling: str | None = dataclasses.field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class ProvenChain:
    """The client certificate that proved an X.509 enrollment: `chain` is DER from the leaf to the trusted anchor.

    `rests_on` are the uploaded CA certificates that counted, each with the etag it had then.
    """

    chain: tuple[bytes, ...]
    rests_on: tuple[tuple[CaCertificateName, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ProvenTpm:
    """The TPM that proved a TPM enrollment: it holds the enrolled EK, and the SRK of `proof`.

    From `hub_secret` the device's keys at its hub are made, for each assignment anew (`policy/tpm_challenge.py`).
    """

    endorsement: TpmKey
    proof: TpmProof
    hub_secret: Secret


@dataclass(frozen=True, slots=True)
class ProvenHeld:
    """The certificate, DER, that was issued here to the device, is bound to it, and is good for a renewal."""

    certificate: bytes


@dataclass(frozen=True, slots=True)
class ProvenOnce:
    """A one-time password of the individual enrollment: its hash, the request that it is bound to, and when it was shown.

    None of them where an operation goes on that was placed with it: the password has done its work.
    """

    sha256: bytes = b""
    request_sha256: bytes = b""
    used_at: int = 0


Proof = DeviceKeys | ProvenChain | ProvenTpm | ProvenHeld | ProvenOnce


@dataclass(frozen=True, slots=True)
class Attested:
    """The receipt: this device proved that it is `registration_id` of `enrollment`. Made in `provisioning/attest.py`."""

    registration_id: RegistrationId
    enrollment: Enrollment
    proof: Proof
