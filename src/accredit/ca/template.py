"""A device's certificate, assembled as DER around what is the same for every device of one issuer (RFC 5280, 4.1).

A builder made of objects spends more time on encoding than the signature takes. Here all that does not depend on the
device is encoded once: version, algorithm, issuer, constraints, usages, the issuer's key id. Per device there are the
serial, the validity, the common name, the key as it stood in the CSR, its key id, and the device id as a URI. The
tests hold every byte against `cryptography`'s own builder. Names and keys have been judged before (`policy/`).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1, sha256

from cryptography import x509

from accredit.ca import der
from accredit.ca.hierarchy import Issuer, serial_number
from accredit.ca.leaf_names import LeafNames
from accredit.ca.points import SHARDS, Points, shard_of
from accredit.domain.credential import DEFAULT_PROFILE, IssuedChain, Order, Profile
from accredit.domain.der import key_bits
from accredit.interfaces import Entropy

_VERSION_3 = bytes.fromhex("a003020102")
_SUBJECT_KEY_ID = bytes.fromhex("301d0603551d0e04160414")
"""The extension up to its 20 octets: its length never varies."""

_EXTENSIONS = 0xA3
_PKIX = "1.3.6.1.5.5.7."


class LeafTemplate:
    """What an issuer signs for devices under one profile. `above` are the certificates over it, DER, for the delivered chain.

    `points` are where third parties ask about what it signs; without them the leaves say nothing of that.
    """

    def __init__(
        self,
        issuer: Issuer,
        above: Sequence[bytes],
        points: Points | None = None,
        profile: Profile = DEFAULT_PROFILE,
    ) -> None:
        self._key = issuer.key
        self._not_after = issuer.not_after
        self._above = (issuer.der, *above)
        self._algorithm = issuer.algorithm.identifier
        self._sign = issuer.algorithm.sign
        self._head = self._algorithm + issuer.certificate.subject.public_bytes()
        fixed = _fixed_extensions(issuer.certificate, points if profile.access else None, profile)
        listed = points if profile.distribution else None
        # One for each shard of the CRL: the serial number chooses.
        self._extensions = [fixed + _distribution(listed, shard) for shard in range(SHARDS)]
        self._names = LeafNames(profile)

    def issue(self, order: Order, now: int, entropy: Entropy) -> IssuedChain:
        """Sign the ordered leaf; it never outlives its issuer. `now` is in Unix seconds.

        Raises Malformed, rule `certificate-profile-names`.
        """
        return self.issue_as(serial_number(entropy), order, now)

    def issue_as(self, serial: int, order: Order, now: int) -> IssuedChain:
        """The same with a serial number that was drawn before."""
        not_before = now - order.profile.backdate_s
        not_after = min(now + order.profile.validity_s, self._not_after)
        tbs = self.to_be_signed(order, serial, not_before, not_after)
        signature = self._sign(self._key, tbs)
        leaf = der.element(
            der.SEQUENCE, tbs, self._algorithm, der.element(der.BIT_STRING, b"\x00", signature)
        )
        return IssuedChain(
            chain=(leaf, *self._above),
            serial=serial,
            not_before=not_before,
            not_after=not_after,
            sha256=sha256(leaf).digest(),
            spki_sha256=order.request.spki_sha256,
        )

    def to_be_signed(self, order: Order, serial: int, not_before: int, not_after: int) -> bytes:
        """The TBSCertificate; `serial` has 16 octets (`hierarchy.serial_number`)."""
        spki = order.request.spki_der
        subject, alternative_names = self._names.encoded(order)
        extensions = der.element(
            der.SEQUENCE,
            self._extensions[shard_of(serial)],
            _SUBJECT_KEY_ID,
            sha1(key_bits(spki), usedforsecurity=False).digest(),
            alternative_names,
        )
        return der.element(
            der.SEQUENCE,
            _VERSION_3,
            der.element(der.INTEGER, serial.to_bytes(16, "big")),
            self._head,
            der.element(der.SEQUENCE, der.time(not_before), der.time(not_after)),
            subject,
            spki,
            der.element(_EXTENSIONS, extensions),
        )


def _distribution(points: Points | None, shard: int) -> bytes:
    return b"" if points is None else _extension(points.distribution(shard), critical=False)


def _fixed_extensions(issuer: x509.Certificate, points: Points | None, profile: Profile) -> bytes:
    """The extensions that every leaf of this issuer has in common, one after the other."""
    key_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        _extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        + _extension(usage, critical=True)
        + _extension(x509.ExtendedKeyUsage(map(_oid, profile.extended_key_usages)), critical=False)
        + _extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False)
        + (_extension(_policies(profile), critical=False) if profile.policies else b"")
        + (b"" if points is None else _extension(points.access(), critical=False))
    )


def _policies(profile: Profile) -> x509.CertificatePolicies:
    return x509.CertificatePolicies([x509.PolicyInformation(_oid(each), None) for each in profile.policies])


def _oid(dotted: str) -> x509.ObjectIdentifier:
    return x509.ObjectIdentifier(dotted)


def _extension(value: x509.ExtensionType, *, critical: bool) -> bytes:
    oid = _object_identifier(value.oid)
    flag = der.BOOLEAN_TRUE if critical else b""
    return der.element(der.SEQUENCE, oid, flag, der.element(der.OCTET_STRING, value.public_bytes()))


def _object_identifier(oid: x509.ObjectIdentifier) -> bytes:
    """An id of the arcs 2.5.29 (id-ce) and 1.3.6.1.5.5.7 (id-pkix), where all of these extensions live; ValueError for another."""
    dotted = oid.dotted_string
    if dotted.startswith(_PKIX):
        arc, number = map(int, dotted.removeprefix(_PKIX).split("."))
        return bytes((0x06, 0x08, 0x2B, 6, 1, 5, 5, 7, arc, number))
    return bytes((0x06, 0x03, 0x55, 0x1D, int(dotted.removeprefix("2.5.29."))))
