"""A password for one device and one CSR, that an operator handed out. Of the password itself only its hash is kept."""

from __future__ import annotations

from accredit.domain.ids import RegistrationId
from accredit.values import dataclass


@dataclass(frozen=True, slots=True)
class OneTimePassword:
    """Of an individual enrollment, `generation`'s; bound by its first use to the request with this SHA-256."""

    registration_id: RegistrationId
    generation: str
    sha256: bytes
    expires_at: int
    request_sha256: bytes | None = None
    first_used_at: int | None = None
