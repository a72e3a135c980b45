"""Rights, and the shared access policies that carry them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from accredit.domain.secret import Secret


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
