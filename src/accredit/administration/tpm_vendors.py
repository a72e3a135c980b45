"""TPM vendors: where their certificates were added, an EK certificate must lead to one of them."""

from __future__ import annotations

from accredit.domain.ca_certificate import Purpose
from accredit.interfaces import Store
from accredit.policy.ek_certificates import check_vendor
from accredit.wire.service_api.attestations import AttestationSent
from accredit.wire.service_api.tpm import TpmSent

_PAGE = 100


async def check_vendor_of(store: Store, sent: AttestationSent, now: int) -> None:
    """Raises Malformed. A key without a certificate is the operator's own word; so is one where no vendor was added."""
    if not isinstance(sent, TpmSent) or not sent.certificates:
        return
    anchors = await _vendors(store)
    if anchors:
        check_vendor(sent.certificates, anchors, now)


async def _vendors(store: Store) -> list[bytes]:
    found: list[bytes] = []
    cursor: str | None = None
    while True:
        page = await store.ca_certificates(cursor, _PAGE)
        found += [one.certificate for one in page.rows if one.purpose is Purpose.TPM_VENDOR_ROOT]
        if page.cursor is None:
            return found
        cursor = page.cursor
