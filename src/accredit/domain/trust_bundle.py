"""Trust bundles: the certificates that a device is told to trust, under one name."""

from __future__ import annotations

from accredit.domain.ids import TrustBundleName
from accredit.values import dataclass


@dataclass(frozen=True, slots=True)
class TrustBundle:
    """`certificates` are DER, in the order in which the operator gave them. Instants are Unix seconds."""

    name: TrustBundleName
    certificates: tuple[bytes, ...]
    etag: str
    created_at: int
    updated_at: int
