"""Record: certificate and issuance-log leaf, before any hub hears of it."""

from __future__ import annotations

from accredit.domain.changes import AppendLeaf, Change, RecordCertificate
from accredit.domain.credential import CertificateRecord, Certified
from accredit.domain.issuance_log import certificate_leaf
from accredit.domain.receipts import Recorded
from accredit.domain.registration import Issued


def record(issued: Issued, *, shared_key: bool) -> Recorded:
    """`shared_key`: whether the policy lets another registration have the same public key."""
    credential = issued.credential
    if isinstance(credential, Certified) and credential.fresh:
        return Recorded(issued, entries(credential.record, shared_key=shared_key))
    return Recorded(issued, ())


def entries(record: CertificateRecord, *, shared_key: bool) -> tuple[Change, ...]:
    """The two rows of one signature; also for a certificate that will never be bound."""
    leaf = certificate_leaf(record.authority, record.issued.leaf, record.issued.sha256, record.issued_at)
    return RecordCertificate(record, shared_key), AppendLeaf(leaf)
