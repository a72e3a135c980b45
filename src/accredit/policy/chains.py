"""Which enrollment a presented client certificate proves (RFC 5280, section 6, within Azure DPS's rules for X.509).

An individual enrollment names its device's certificate itself, or a CA's; a group names a root or intermediate that must
stand above the device's. TLS has proven that the peer has the leaf's key; everything else about the chain is hostile until
it is checked here. Not evaluated: revocation of bootstrap certificates, and name constraints (a chain that carries
them is refused). The peer is told `Unauthorized` and no more; what was wrong stands in the error's evidence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import MD5, SHA1
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from accredit.domain.ca_certificate import CaCertificate
from accredit.domain.der import check_serial
from accredit.domain.enrollment import Enrollment, LeafCertificates
from accredit.domain.errors import Malformed, Unauthenticated
from accredit.domain.evidence import PresentedChain, ProvenChain
from accredit.domain.ids import RegistrationId
from accredit.policy.anchors import Anchor
from accredit.values import dataclass

MAX_CERTIFICATES = 10
SKEW_S = 300
"""How far a device's and the service's idea of now may be apart."""

MIN_RSA_BITS = 2048
_SHOWN_CHARS = 200

# What a sent certificate may cost: a stranger chooses its key, and with it how long a verification takes.
_MAX_NAMESAKES = 2
_MAX_RSA_BITS = 8192
_MAX_RSA_EXPONENT = 1 << 32

# What `cryptography` raises on a certificate that does not say what its form promises.
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)

_UNDERSTOOD = frozenset(
    {
        x509.BasicConstraints.oid,
        x509.KeyUsage.oid,
        x509.ExtendedKeyUsage.oid,
        x509.SubjectAlternativeName.oid,
        x509.CertificatePolicies.oid,  # any policy will do here, RFC 5280 6.1.1 (c)
    }
)


@dataclass(frozen=True, slots=True)
class _Certificate:
    """What the rules ask of a certificate, read once."""

    der: bytes
    parsed: x509.Certificate
    subject: x509.Name
    issuer: x509.Name
    not_before: float
    not_after: float
    basic: x509.BasicConstraints | None
    usage: x509.KeyUsage | None
    purposes: x509.ExtendedKeyUsage | None
    unknown: str | None

    @property
    def self_issued(self) -> bool:
        return self.subject == self.issuer


@dataclass(frozen=True, slots=True)
class Chain:
    """A presented chain that could be read, whose leaf is named after the registration; made by `read` alone."""

    leaf: _Certificate
    others: tuple[_Certificate, ...]

    @property
    def issuer_sha256s(self) -> tuple[bytes, ...]:
        """SHA-256 of every issuer name in the chain: what an enrolled certificate above it can be found by.

        An enrolled certificate that the device sent is the issuer of another one it sent, so it is found as well.
        """
        names = dict.fromkeys(_name_sha256(one.issuer) for one in (self.leaf, *self.others))
        return tuple(names)


def subject_sha256(certificate: bytes) -> bytes:
    """SHA-256 of the subject name's DER, to find an enrolled signing certificate by. `certificate` is DER."""
    return _name_sha256(x509.load_der_x509_certificate(certificate).subject)


def issuer_sha256(certificate: bytes) -> bytes:
    """SHA-256 of the issuer name's DER, to find the certificate above by. `certificate` is DER."""
    return _name_sha256(x509.load_der_x509_certificate(certificate).issuer)


def _name_sha256(name: x509.Name) -> bytes:
    return hashlib.sha256(name.public_bytes()).digest()


def read(presented: PresentedChain, registration_id: RegistrationId, now: float) -> Chain:
    """Parse the chain and check what is asked of every leaf: its name, its life, its purpose."""
    if not presented.certificates:
        raise _refusal("nothing-shown", "no client certificate came with the connection")
    if len(presented.certificates) > MAX_CERTIFICATES:
        raise _refusal("chain-too-long", f"{len(presented.certificates)} certificates were sent")
    parsed = tuple(map(_read_one, presented.certificates))
    leaf = parsed[0]
    names = [str(one.value) for one in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    # Ids compare without regard to case, within ASCII: the Kelvin sign is not a k.
    if [name.lower() for name in names if name.isascii()] != [registration_id.key] or len(names) != 1:
        raise _refusal(
            "cn-not-registration-id",
            f"the leaf is {_shown(leaf.subject)}; the registration id is {registration_id}",
            "the leaf needs one CN, equal to the registration id",
        )
    _check_life(leaf, now)
    _check_purpose(leaf)
    return Chain(leaf, parsed[1:])


def claimed_id(presented: PresentedChain) -> RegistrationId:
    """The registration id that the leaf is named after, on a wire that says no other. Nothing is proven by it."""
    names = [
        str(one.value)
        for one in _read_one(presented.certificates[0]).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    ]
    try:
        return RegistrationId.parse(names[0] if len(names) == 1 else "")
    except Malformed as error:
        seen = f"the leaf has {len(names)} common names: {names[:2]!r}"[:_SHOWN_CHARS]
        raise _refusal(
            "cn-not-registration-id", seen, "the leaf needs one CN, the registration id"
        ) from error


def proves_individual(chain: Chain, enrolled: LeafCertificates) -> ProvenChain:
    """The presented leaf is the enrolled certificate, or its enrolled successor; who signed it does not matter."""
    if chain.leaf.der not in (enrolled.primary, enrolled.secondary):
        check_thumbprint(chain, [thumbprint(der) for der in (enrolled.primary, enrolled.secondary) if der])
    return ProvenChain((chain.leaf.der,))


def check_thumbprint(chain: Chain, enrolled: Sequence[str]) -> None:
    """The same where only the SHA-256 thumbprints of what is enrolled are at hand."""
    shown = thumbprint(chain.leaf.der)
    if shown not in enrolled:
        raise _refusal(
            "thumbprint",
            f"the client certificate is {shown}; enrolled is {' and '.join(enrolled)}",
            "enroll the certificate that the device has now",
        )


def proves_below(
    chain: Chain, anchors: Sequence[Anchor], now: float, vouching: Sequence[CaCertificate] = ()
) -> tuple[Enrollment, ProvenChain]:
    """The enrollment of the first anchor above the leaf, and the verified path to it.

    `anchors` are those with a name out of `chain.issuer_sha256s`, or of one individual enrollment. Going up, an anchor is
    preferred to a sent certificate. Does not ask whether the enrollment is enabled: the first one decides, and is not
    passed by. Above an anchor that is not verified the path goes on to one of `vouching`, uploaded CA certificates that are.
    Where nothing is enrolled above the leaf, no signature is worth verifying: only names are followed, for the evidence.
    """
    known = [(anchor, _read_one(anchor.certificate)) for anchor in anchors]
    path = [chain.leaf]
    rest = list(chain.others)
    while True:
        top = path[-1]
        _check_digest(top)
        for anchor, certificate in known:
            if (
                certificate.subject == top.issuer
                and certificate.der != chain.leaf.der
                and _signed(top, certificate)
            ):
                _check_issuer(certificate, path, now)
                path.append(certificate)
                rests_on = [anchor.uploaded] if anchor.uploaded else []
                if not anchor.verified:
                    rests_on.append(_vouched(anchor, path, rest, vouching, now))
                names = tuple((each.name, each.etag) for each in rests_on)
                return anchor.enrollment, ProvenChain(tuple(one.der for one in path), names)
        issuer = _next(top, rest, proven=bool(known))
        _check_issuer(issuer, path, now)
        rest.remove(issuer)
        path.append(issuer)


def _vouched(
    anchor: Anchor,
    path: list[_Certificate],
    rest: list[_Certificate],
    vouching: Sequence[CaCertificate],
    now: float,
) -> CaCertificate:
    """The verified certificate above an anchor that is not; `path` grows up to it."""
    known = [(record, _read_one(record.certificate)) for record in vouching if record.verified]
    while True:
        top = path[-1]
        _check_digest(top)
        for record, certificate in known:
            if certificate.subject == top.issuer and _signed(top, certificate):
                _check_issuer(certificate, path, now)
                path.append(certificate)
                return record
        named = [one for one in rest if one.subject == top.issuer and one.der != top.der]
        issuer = next((one for one in named[:_MAX_NAMESAKES] if _affordable(one) and _signed(top, one)), None)
        if issuer is None:
            raise _refusal(
                "ca-not-verified",
                f"{anchor.enrollment.kind} {anchor.enrollment.id} refers to {_shown(path[-1].subject)}, and nothing"
                " that is verified stands above it in what was sent",
                "verify it (`accredit ca-certificate verify`), or let the device send the chain up to a verified one",
            )
        _check_issuer(issuer, path, now)
        rest.remove(issuer)
        path.append(issuer)


def _next(top: _Certificate, rest: Sequence[_Certificate], *, proven: bool) -> _Certificate:
    """The sent certificate that signed `top`; by its name alone, unless it has to be `proven`."""
    named = [one for one in rest if one.subject == top.issuer]
    for one in named[:_MAX_NAMESAKES]:
        if not proven or (_affordable(one) and _signed(top, one)):
            return one
    if named:
        raise _refusal(
            "chain-signature",
            f"{_shown(top.subject)} was not signed by the {_shown(top.issuer)} that was sent",
        )
    if top.self_issued:
        raise _refusal(
            "chain-stops",
            f"the chain ends at {_shown(top.subject)}, which signs itself; what signs the leaf is not enrolled",
            "enroll this root, or an intermediate below it, as a group's signing certificate",
        )
    raise _refusal(
        "chain-stops",
        f"the chain stops at {_shown(top.subject)}; send the intermediate {_shown(top.issuer)}",
        f"the device must send {_shown(top.issuer)}, or a group must enroll it",
    )


def _signed(subject: _Certificate, issuer: _Certificate) -> bool:
    try:
        subject.parsed.verify_directly_issued_by(issuer.parsed)
    except (InvalidSignature, *_UNREADABLE):
        return False
    return True


def _affordable(issuer: _Certificate) -> bool:
    """Whether a signature by this key is verified in a few milliseconds at most."""
    try:
        key = issuer.parsed.public_key()
    except _UNREADABLE:
        return False
    if not isinstance(key, RSAPublicKey):
        return True
    return key.key_size <= _MAX_RSA_BITS and key.public_numbers().e <= _MAX_RSA_EXPONENT


def _check_issuer(issuer: _Certificate, below: Sequence[_Certificate], now: float) -> None:
    """RFC 5280, 6.1.3 and 6.1.4, for a certificate that signed the last of `below`."""
    _check_life(issuer, now)
    if issuer.basic is None or not issuer.basic.ca or (issuer.usage and not issuer.usage.key_cert_sign):
        raise _refusal("chain-not-a-ca", f"{_shown(issuer.subject)} may not sign certificates")
    between = sum(not one.self_issued for one in below[1:])
    if issuer.basic.path_length is not None and between > issuer.basic.path_length:
        raise _refusal(
            "chain-path-length",
            f"{_shown(issuer.subject)} allows {issuer.basic.path_length} CAs below itself, there are {between}",
        )
    _check_purpose(issuer)
    _check_key(issuer)


def _check_life(certificate: _Certificate, now: float) -> None:
    if certificate.not_before - SKEW_S <= now <= certificate.not_after + SKEW_S:
        return
    subject = _shown(certificate.subject)
    if now > certificate.not_after:
        raise _refusal(
            "chain-expired",
            f"{subject} is expired: it ended {int(now - certificate.not_after)} s ago",
            "give the device a new certificate",
        )
    raise _refusal(
        "chain-expired",
        f"{subject} is not valid yet: it begins in {int(certificate.not_before - now)} s",
        "compare the clock of whoever made the certificate with this service's",
    )


def _check_purpose(certificate: _Certificate) -> None:
    """The extensions that narrow what a certificate is for; an unknown critical one has to be refused."""
    if certificate.unknown is not None:
        raise _refusal(
            "chain-extension", f"{_shown(certificate.subject)} has the extension {certificate.unknown}"
        )
    allowed = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
    if certificate.purposes is not None and not any(one in certificate.purposes for one in allowed):
        raise _refusal("chain-purpose", f"{_shown(certificate.subject)} is not for client authentication")


def _check_digest(certificate: _Certificate) -> None:
    """Before its signature is looked at: an outdated digest could be another certificate's."""
    try:
        digest = certificate.parsed.signature_hash_algorithm
    except _UNREADABLE as error:
        raise _refusal(
            "chain-malformed", f"{_shown(certificate.subject)}: {str(error)[:_SHOWN_CHARS]}"
        ) from error
    if isinstance(digest, SHA1 | MD5):
        raise _refusal("chain-weak", f"{_shown(certificate.subject)} is signed with SHA-1 or MD5")


def _check_key(issuer: _Certificate) -> None:
    key = issuer.parsed.public_key()
    if isinstance(key, RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        raise _refusal("chain-weak", f"{_shown(issuer.subject)} has an RSA key of {key.key_size} bits")


def _read_one(der: bytes) -> _Certificate:
    try:
        check_serial(der)
        parsed = x509.load_der_x509_certificate(der)
        extensions = parsed.extensions
        return _Certificate(
            der=der,
            parsed=parsed,
            subject=parsed.subject,
            issuer=parsed.issuer,
            not_before=parsed.not_valid_before_utc.timestamp(),
            not_after=parsed.not_valid_after_utc.timestamp(),
            basic=_value(extensions, x509.BasicConstraints),
            usage=_value(extensions, x509.KeyUsage),
            purposes=_value(extensions, x509.ExtendedKeyUsage),
            unknown=_not_understood(extensions),
        )
    except _UNREADABLE as error:
        raise _refusal("chain-malformed", f"{thumbprint(der)}: {str(error)[:_SHOWN_CHARS]}") from error


_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


def _value(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _not_understood(extensions: x509.Extensions) -> str | None:
    for one in extensions:
        # Name constraints bind whether critical or not; nothing here applies them.
        if one.oid == x509.NameConstraints.oid or (one.critical and one.oid not in _UNDERSTOOD):
            dotted: str = one.oid.dotted_string
            return dotted
    return None


def thumbprint(der: bytes) -> str:
    """SHA-256 in upper-case hex, as Azure writes it."""
    return hashlib.sha256(der).hexdigest().upper()


def _shown(name: x509.Name) -> str:
    """A hostile name, fit for a log line."""
    return name.rfc4514_string()[:_SHOWN_CHARS] or "a certificate without a name"


def _refusal(rule: str, evidence: str, hint: str = "") -> Unauthenticated:
    return Unauthenticated("Unauthorized", rule=rule, evidence=evidence, hint=hint)
