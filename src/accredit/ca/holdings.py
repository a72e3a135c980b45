"""What a built-in authority's record holds: the issuing CA of now, those of before, and the root, as far as they are here.

Settings: `certificates` (PEM, the issuing CA's first, its root's last; none until the first one is activated),
`algorithm`, `root` (`online` or `offline`), `request` (PEM, while an issuing CA waits for its certificate),
`earlierIssuers` (each `certificates`, `retiredDateTimeUtc`, and `revokedDateTimeUtc` with `reason` where its root revoked
it), and where the newest key is in a token, `tokenLabel` and `keyLabel`. Secrets: `issuingKey`, `rootKey`, `pendingKey`, and
`earlierKey.<key id>` for each of before, which signs CRLs and OCSP answers until its own end. No leaf outlives its issuer,
so nothing is left unanswered then.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.ca import hierarchy, keys
from accredit.ca.hierarchy import Issuer
from accredit.ca.keys import KnowsTokenKeys
from accredit.ca.points import key_id
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import RevocationReason, Revoked
from accredit.values import dataclass

ONLINE, OFFLINE = "online", "offline"


@dataclass(frozen=True, slots=True)
class Held:
    """An issuing CA and what stands above it, up to its root; `revoked` when its root revoked it."""

    issuer: Issuer
    above: tuple[x509.Certificate, ...]
    revoked: Revoked | None = None

    @property
    def key_id(self) -> str:
        return key_id(self.issuer.certificate)

    @property
    def root(self) -> x509.Certificate:
        return self.above[-1]

    @property
    def chain(self) -> tuple[bytes, ...]:
        """DER, the issuing CA's first."""
        return (self.issuer.der, *(each.public_bytes(Encoding.DER) for each in self.above))


@dataclass(frozen=True, slots=True)
class Holdings:
    """`current` is None until it is activated; `roots` are those whose keys are here."""

    current: Held | None
    earlier: tuple[Held, ...]
    roots: tuple[Issuer, ...]

    @property
    def all(self) -> tuple[Held, ...]:
        return self.earlier if self.current is None else (self.current, *self.earlier)


def read(record: AuthorityRecord, tokens: KnowsTokenKeys | None = None) -> Holdings:
    """Raises ValueError when keys and certificates don't belong together. No token is asked anything."""
    settings, secrets = record.settings, record.secrets
    texts = settings["certificates"]
    current = _held(texts, keys.load(secrets["issuingKey"], tokens)) if texts else None
    earlier = tuple(
        _held(entry["certificates"], keys.load(secrets[earlier_key(entry)], tokens), _revoked(entry))
        for entry in settings.get("earlierIssuers", ())
    )
    return Holdings(current, earlier, _roots(record, (*((current,) if current else ()), *earlier), tokens))


def loaded(texts: Sequence[str]) -> tuple[x509.Certificate, ...]:
    return tuple(x509.load_pem_x509_certificate(text.encode()) for text in texts)


def earlier_key(entry: dict[str, Any]) -> str:
    """The name of the secret that holds the key of an entry of `earlierIssuers`."""
    return f"earlierKey.{key_id(loaded(entry['certificates'][:1])[0])}"


def _held(texts: Sequence[str], key: Any, revoked: Revoked | None = None) -> Held:
    issuing, *above = loaded(texts)
    for lower, upper in zip((issuing, *above), above, strict=False):
        try:
            lower.verify_directly_issued_by(upper)
        except InvalidSignature:
            raise ValueError("the root did not sign the issuing CA") from None
    return Held(hierarchy.join(issuing, key), tuple(above), revoked)


def _revoked(entry: dict[str, Any]) -> Revoked | None:
    if "revokedDateTimeUtc" not in entry:
        return None
    at = int(datetime.fromisoformat(entry["revokedDateTimeUtc"]).timestamp())
    serial = loaded(entry["certificates"][:1])[0].serial_number
    return Revoked(serial, at, RevocationReason(entry["reason"]))


def _roots(
    record: AuthorityRecord, held: Sequence[Held], tokens: KnowsTokenKeys | None
) -> tuple[Issuer, ...]:
    """Each root that stands above one of them and whose key is here."""
    known: dict[str, Issuer] = {}
    for each in held:
        name = key_id(each.root)
        if name in known:
            continue
        for secret in ("rootKey", f"earlierRootKey.{name}"):
            if secret in record.secrets:
                key = keys.load(record.secrets[secret], tokens)
                if key.public_key() == each.root.public_key():
                    known[name] = Issuer(each.root, key)
    return tuple(known.values())
