"""The life of a built-in authority's keys: founded, rotated, signed elsewhere, activated, revoked by its root.

Each act takes a record's settings and secrets and returns new ones; whoever calls stores them, with the etag that
was read. An issuing CA that is replaced is kept: it answers for its leaves until its own end.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.ca import hierarchy, keys
from accredit.ca.brought import check_brought
from accredit.ca.holdings import OFFLINE, ONLINE, earlier_key, loaded, read
from accredit.ca.points import key_id
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import RevocationReason
from accredit.domain.errors import Conflict, Malformed, NotFound
from accredit.domain.ids import AuthorityName
from accredit.domain.mass_revocation import RevokedIssuer
from accredit.domain.secret import Secret
from accredit.interfaces import Entropy
from accredit.wire.instants import iso

_EARLIER_ROOT = "earlierRootKey."


@dataclass(frozen=True, slots=True)
class Ceremony:
    """`base` is the public address that goes into certificates, None for none."""

    entropy: Entropy
    base: str | None = None

    def found(
        self, name: AuthorityName, now: int, algorithm: str = keys.DEFAULT, root: str = ONLINE
    ) -> tuple[dict[str, Any], dict[str, Secret]]:
        """Settings and secrets of a new CA: whole, or with an offline root a key and the CSR for it. Raises Malformed."""
        _check_algorithm(algorithm)
        settings: dict[str, Any] = {"certificates": [], "algorithm": algorithm, "root": root}
        if root == OFFLINE:
            key, request = hierarchy.signing_request(name.text, self.entropy, algorithm)
            return settings | {"request": request}, {"pendingKey": keys.encode(key)}
        made = hierarchy.make(name.text, now, self.entropy, algorithm, self.base)
        secrets = {"issuingKey": keys.encode(made.issuing.key), "rootKey": keys.encode(made.root.key)}
        return settings | {"certificates": [made.issuing.pem, made.root.pem]}, secrets

    def rotate(
        self, record: AuthorityRecord, now: int, algorithm: str | None = None, *, new_root: bool = False
    ) -> AuthorityRecord:
        """A new issuing CA: at once where the root is here, else a key and the CSR for it. Raises Malformed."""
        algorithm = algorithm or record.settings.get("algorithm", keys.DEFAULT)
        _check_algorithm(algorithm)
        settings, secrets = dict(record.settings) | {"algorithm": algorithm}, dict(record.secrets)
        if record.settings.get("root", ONLINE) == OFFLINE:
            key, settings["request"] = hierarchy.signing_request(record.name.text, self.entropy, algorithm)
            secrets["pendingKey"] = keys.encode(key)
            return replace(record, settings=settings, secrets=secrets)
        root_certificate = _root_of(settings)
        if new_root:
            made = hierarchy.make(record.name.text, now, self.entropy, algorithm, self.base)
            secrets[_EARLIER_ROOT + key_id(root_certificate)] = secrets["rootKey"]
            root, issuing = made.root, made.issuing
        else:
            root = hierarchy.join(root_certificate, keys.load(secrets["rootKey"]))
            issuing = hierarchy.make_issuing(root, record.name.text, now, self.entropy, algorithm, self.base)
        if settings["certificates"]:
            _retire(settings, secrets, now)
        settings["certificates"] = [issuing.pem, root.pem]
        secrets |= {"issuingKey": keys.encode(issuing.key), "rootKey": keys.encode(root.key)}
        return replace(record, settings=settings, secrets=secrets)

    def activate(
        self, record: AuthorityRecord, chain: tuple[x509.Certificate, ...], now: int
    ) -> AuthorityRecord:
        """Take the certificate that the CSR became, with all that stands above it. Raises Malformed or Conflict."""
        settings, secrets = dict(record.settings), dict(record.secrets)
        if "pendingKey" not in secrets:
            raise Conflict(
                "No issuing CA of this authority waits for its certificate.",
                rule="ca-nothing-pending",
                hint="`accredit ca rotate NAME` makes a key and its CSR",
            )
        check_brought(chain, keys.load(secrets["pendingKey"]).public_key(), now)
        if settings["certificates"]:
            _retire(settings, secrets, now)
        settings["certificates"] = [each.public_bytes(Encoding.PEM).decode("ascii") for each in chain]
        del settings["request"]
        secrets["issuingKey"] = secrets.pop("pendingKey")
        return replace(record, settings=settings, secrets=secrets)

    def issuers(self, record: AuthorityRecord) -> tuple[RevokedIssuer, ...]:
        """Its issuing CAs, of now and before, as they stand once their roots have revoked them."""
        held = read(record)
        roots = {key_id(each.certificate) for each in held.roots}
        return tuple(
            RevokedIssuer(
                each.key_id, hashlib.sha256(each.issuer.der).digest(), listed=key_id(each.root) in roots
            )
            for each in held.all
        )

    def revoke(
        self, record: AuthorityRecord, issuer: str, reason: RevocationReason, now: int
    ) -> AuthorityRecord:
        """Put an issuing CA, by its key id, on its root's CRL; where it is the one of now, nothing is signed until a rotation.

        Raises NotFound.
        """
        settings, secrets = dict(record.settings), dict(record.secrets)
        if settings["certificates"] and key_id(loaded(settings["certificates"][:1])[0]) == issuer:
            _retire(settings, secrets, now)
            settings["certificates"] = []
            del secrets["issuingKey"]
        entries = [dict(entry) for entry in settings.get("earlierIssuers", ())]
        for entry in entries:
            if key_id(loaded(entry["certificates"][:1])[0]) == issuer:
                entry.setdefault("revokedDateTimeUtc", iso(now))
                entry.setdefault("reason", reason.value)
                break
        else:
            raise NotFound("The authority has no issuing CA of this key id.", rule="ca-issuer-unknown")
        return replace(record, settings=settings | {"earlierIssuers": entries}, secrets=secrets)


def _retire(settings: dict[str, Any], secrets: dict[str, Secret], now: int) -> None:
    """Move the issuing CA of now to those of before, and drop of these what has ended."""
    entries = list(settings.get("earlierIssuers", ()))
    gone = {"certificates": settings["certificates"], "retiredDateTimeUtc": iso(now)}
    secrets[earlier_key(gone)] = secrets["issuingKey"]
    kept = []
    for entry in (gone, *entries):
        if loaded(entry["certificates"][:1])[0].not_valid_after_utc.timestamp() > now:
            kept.append(entry)
        else:
            secrets.pop(earlier_key(entry), None)
    settings["earlierIssuers"] = kept
    roots = {_EARLIER_ROOT + key_id(loaded(entry["certificates"])[-1]) for entry in kept}
    for name in [each for each in secrets if each.startswith(_EARLIER_ROOT) and each not in roots]:
        del secrets[name]


def _root_of(settings: dict[str, Any]) -> x509.Certificate:
    """The root of the issuing CA of now, or where that was revoked, of the last one."""
    texts = settings["certificates"] or settings["earlierIssuers"][0]["certificates"]
    return loaded(texts)[-1]


def _check_algorithm(name: str) -> None:
    if name not in keys.ALGORITHMS:
        raise Malformed(
            f"algorithm is not one of {', '.join(keys.ALGORITHMS)}.",
            rule="authority-member",
            hint="ML-DSA is there where the installed cryptography has it",
        )
