"""The keys of TPM attestation, none of which is stored: what each is derived from, and how long a challenge stands.

A challenge key is derived for one id scope, registration, EK, SRK and epoch; so nothing has to be remembered between
the challenge and the proof, any process can judge it, and any number of challenges stand side by side. What a device
gets for its hub is derived from its EK and the operation that assigned it: fresh for each assignment, the same for
each answer about it. The derivation itself, from the master key, is `seal.py`'s.
"""

from __future__ import annotations

from accredit.domain.evidence import DeviceKeys
from accredit.domain.ids import RegistrationId
from accredit.domain.secret import Secret
from accredit.domain.tpm import TpmKey
from accredit.policy.symmetric_keys import derive

EPOCH_S = 300
"""A challenge stands in its epoch and in the one after: 5 to 10 minutes."""

POLLED_S = 86_400
"""How long the challenge that a registration was proven with is good for polls: operations are kept as long."""

CHALLENGE = "tpm-challenge"
HUB = "tpm-hub"
"""Purposes of derived keys."""


def epoch(now: float) -> int:
    return int(now) // EPOCH_S


def standing(now: float) -> tuple[int, ...]:
    """The epochs whose challenges may be answered now."""
    return epoch(now), epoch(now) - 1


def polled(now: float, proven: int) -> tuple[int, ...]:
    """The epochs whose challenges a poll may be signed with: those, and the one that the registration was proven in."""
    recent = 0 <= epoch(now) - proven <= POLLED_S // EPOCH_S
    return (*standing(now), proven) if recent else standing(now)


def challenge_context(
    id_scope: str, registration_id: RegistrationId, endorsement: TpmKey, storage_root: TpmKey, of_epoch: int
) -> bytes:
    """What a challenge key is derived from. Of the EK its modulus counts: polls are judged by the enrolled one."""
    parts = (
        id_scope.encode(),
        registration_id.key.encode(),
        endorsement.modulus,
        storage_root.area,
        of_epoch.to_bytes(8, "big"),
    )
    return _joined(parts)


def hub_context(id_scope: str, registration_id: RegistrationId, endorsement: TpmKey) -> bytes:
    return _joined((id_scope.encode(), registration_id.key.encode(), endorsement.modulus))


def hub_keys(secret: Secret, operation_id: str) -> DeviceKeys:
    """The device's keys at its hub. It is told the primary one; nobody ever learns the other."""
    return DeviceKeys(derive(secret, f"{operation_id}/primary"), derive(secret, f"{operation_id}/secondary"))


def _joined(parts: tuple[bytes, ...]) -> bytes:
    """One byte string for each tuple, and no other's."""
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)
