"""What an enrollment trusts devices below: certificates of its own, or uploaded ones that it refers to by name.

An uploaded CA certificate proves nothing by itself until possession of its key was proven; then a verified one has to
stand above it in the chain (Azure: the chain must lead up to a verified certificate). A group's own signing
certificates need none: who may enroll is trusted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from accredit.domain.ca_certificate import CaCertificate, Purpose
from accredit.domain.enrollment import CaReferences, Enrollment, SigningCertificates
from accredit.domain.ids import CaCertificateName
from accredit.values import dataclass


@dataclass(frozen=True, slots=True)
class Anchor:
    """`certificate` is DER; `uploaded` is the record that it came from, None where the enrollment has it itself."""

    enrollment: Enrollment
    certificate: bytes
    uploaded: CaCertificate | None = None

    @property
    def verified(self) -> bool:
        return self.uploaded is None or self.uploaded.verified


def referred(enrollments: Sequence[Enrollment]) -> tuple[CaCertificateName, ...]:
    """The uploaded CA certificates that have to be looked up to know the anchors."""
    names = (
        name
        for enrollment in enrollments
        if isinstance(enrollment.attestation, CaReferences)
        for name in enrollment.attestation.names
    )
    return tuple(dict.fromkeys(names))


def anchors(
    enrollments: Sequence[Enrollment], uploaded: Mapping[CaCertificateName, CaCertificate]
) -> tuple[Anchor, ...]:
    """`uploaded` holds what `referred` asked for, as far as it is there. Enrollments of another mechanism have none."""
    return tuple(anchor for enrollment in enrollments for anchor in _of(enrollment, uploaded))


def _of(enrollment: Enrollment, uploaded: Mapping[CaCertificateName, CaCertificate]) -> Iterator[Anchor]:
    attestation = enrollment.attestation
    if isinstance(attestation, SigningCertificates):
        for der in (attestation.primary, attestation.secondary):
            if der is not None:
                yield Anchor(enrollment, der)
    elif isinstance(attestation, CaReferences):
        for name in attestation.names:
            record = uploaded.get(name)
            if record is not None and record.purpose is Purpose.X509:
                yield Anchor(enrollment, record.certificate, record)
