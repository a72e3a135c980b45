"""Rights, and the shared access policies that carry them."""

from __future__ import annotations

from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from accredit.domain.secret import Secret
from accredit.values import dataclass


class Right(StrEnum):
    """Provisioning rights (DPS), then hub rights (IoT Hub), by Azure's names."""

    SERVICE_CONFIG = "ServiceConfig"
    ENROLLMENT_READ = "EnrollmentRead"
    ENROLLMENT_WRITE = "EnrollmentWrite"
    REGISTRATION_STATUS_READ = "RegistrationStatusRead"
    REGISTRATION_STATUS_WRITE = "RegistrationStatusWrite"
    SERVICE_CONNECT = "ServiceConnect"
    DEVICE_CONNECT = "DeviceConnect"
    REGISTRY_READ = "RegistryRead"
    REGISTRY_WRITE = "RegistryWrite"


class Realm(StrEnum):
    """Which half of the service a policy belongs to: policy names are unique within it."""

    PROVISIONING = "provisioning"
    HUB = "hub"


@dataclass(frozen=True, slots=True)
class Policy:
    """A shared access policy: a name, rights, and two keys (decoded bytes). Instants are Unix seconds."""

    realm: Realm
    name: str
    rights: frozenset[Right]
    primary: Secret
    secondary: Secret
    etag: str = ""
    created_at: int = 0
    updated_at: int = 0


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A JWT as it was sent, the algorithm and the key that it says it was signed with. Nothing of it is judged yet."""

    text: Secret
    algorithm: str
    key_id: str


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A key of an issuer, and the one algorithm that it verifies."""

    id: str
    algorithm: str
    key: RSAPublicKey | EllipticCurvePublicKey
