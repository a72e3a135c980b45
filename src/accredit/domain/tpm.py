"""The nouns of TPM attestation: a TPM's storage keys, the key that is sent into it, and the parcel that carries it.

TPM 2.0 Library, part 2. How the structures are marshalled is `wire/tpm.py`'s, how a parcel is sealed
`policy/tpm_activation.py`'s.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

RSA_BYTES = 256
"""RSA-2048, the one size of the keys that take part."""

_SHA256 = b"\x00\x0b"
"""TPM_ALG_SHA256, the name algorithm of every object here."""


def object_name(area: bytes) -> bytes:
    """The Name of an object, by its TPMT_PUBLIC (part 1, *Names*)."""
    return _SHA256 + hashlib.sha256(area).digest()


@dataclass(frozen=True, slots=True)
class TpmKey:
    """An RSA-2048 storage key of a TPM: its endorsement key (EK) or its storage root key (SRK).

    `area` is the TPMT_PUBLIC as the device marshalled it, whose form was checked when it was read.
    """

    area: bytes

    @property
    def modulus(self) -> bytes:
        """Big-endian; two keys with one modulus are one key, whatever else their templates say."""
        return self.area[-RSA_BYTES:]

    @property
    def name(self) -> bytes:
        return object_name(self.area)

    @property
    def marshalled(self) -> bytes:
        """TPM2B_PUBLIC."""
        return len(self.area).to_bytes(2, "big") + self.area


@dataclass(frozen=True, slots=True)
class IdentityKey:
    """An HMAC key as a TPM imports it: TPMT_PUBLIC, and TPMT_SENSITIVE, which holds the key itself."""

    area: bytes
    sensitive: bytes = field(repr=False)

    @property
    def name(self) -> bytes:
        return object_name(self.area)


@dataclass(frozen=True, slots=True)
class Activation:
    """A parcel that one TPM alone can open. All of it is ciphertext, digests or public.

    `credential` and `credential_secret` are what TPM2_ActivateCredential takes, `duplicate`, `duplicate_seed` and
    `area` what TPM2_Import takes, `note` is free-form text under the inner key.
    """

    credential: bytes
    credential_secret: bytes
    duplicate: bytes
    duplicate_seed: bytes
    area: bytes
    note: bytes


@dataclass(frozen=True, slots=True)
class TpmProof:
    """What is remembered of a proof: the SRK that was presented, and the epoch of the challenge."""

    storage_root: TpmKey
    epoch: int
