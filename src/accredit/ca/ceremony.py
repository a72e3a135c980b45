"""The life of a built-in authority's keys: founded, rotated, signed elsewhere, activated, revoked by its root.

Each act takes a record's settings and secrets and returns new ones; whoever calls stores them, with the etag that
was read. An issuing CA that is replaced is kept: it answers for its leaves until its own end. What is to be made in a
token waits for it, so none of this is called in the event loop.
"""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.ca import hierarchy, keys
from accredit.ca.brought import check_brought
from accredit.ca.holdings import OFFLINE, ONLINE, earlier_key, loaded, read
from accredit.ca.points import key_id
from accredit.ca.token_keys import ALGORITHMS as IN_TOKENS
from accredit.ca.token_keys import TokenKey
from accredit.ca.tokens import Tokens
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import RevocationReason
from accredit.domain.errors import Conflict, Malformed, NotFound
from accredit.domain.ids import AuthorityName
from accredit.domain.mass_revocation import RevokedIssuer
from accredit.domain.secret import Secret
from accredit.interfaces import Entropy
from accredit.observe import log
from accredit.values import dataclass, replace
from accredit.wire.instants import iso

_EARLIER_ROOT = "earlierRootKey."


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key is: in the service's store (`token` is empty) or a token; there, `key` names one that exists already."""

    token: str = ""
    key: str = ""


IN_STORE = Place()


@dataclass(frozen=True, slots=True)
class Ceremony:
    """`base` is the public address that goes into certificates, None for none; `tokens` are where keys may be."""

    entropy: Entropy
    base: str | None = None
    tokens: Tokens | None = None

    def found(
        self,
        name: AuthorityName,
        now: int,
        algorithm: str | None = None,
        root: str = ONLINE,
        place: Place = IN_STORE,
    ) -> tuple[dict[str, Any], dict[str, Secret]]:
        """Settings and secrets of a new CA: whole, or with an offline root a key and the CSR for it.

        Raises Malformed, or UpstreamUnavailable where a token is not there.
        """
        algorithm = self._algorithm(algorithm, place) or keys.DEFAULT
        maker = self._maker(place)
        settings: dict[str, Any] = {"certificates": [], "algorithm": algorithm, "root": root}
        if root == OFFLINE:
            key, request = hierarchy.signing_request(name.text, self.entropy, algorithm, maker)
            return _placed(settings, key) | {"request": request}, {"pendingKey": keys.encode(key)}
        makers = self._maker(Place(place.token)), maker
        made = hierarchy.make(name.text, now, self.entropy, algorithm, self.base, makers)
        secrets = {"issuingKey": keys.encode(made.issuing.key), "rootKey": keys.encode(made.root.key)}
        settings["certificates"] = [made.issuing.pem, made.root.pem]
        return _placed(settings, made.issuing.key), secrets

    def rotate(
        self,
        record: AuthorityRecord,
        now: int,
        algorithm: str | None = None,
        *,
        new_root: bool = False,
        token: str | None = None,
        key: str = "",
    ) -> AuthorityRecord:
        """A new issuing CA: at once where the root is here, else a key and the CSR for it.

        `token` and `key` are a `Place`; without a token the new key goes where the last one was made. Raises Malformed, or
        UpstreamUnavailable where a token is not there.
        """
        place = Place(record.settings.get("tokenLabel", "") if token is None else token, key)
        algorithm = self._algorithm(algorithm, place) or record.settings.get("algorithm", keys.DEFAULT)
        _check_algorithm(algorithm, place)
        maker = _fresh(self._maker(place), record)
        settings, secrets = dict(record.settings) | {"algorithm": algorithm}, dict(record.secrets)
        if record.settings.get("root", ONLINE) == OFFLINE:
            pending, settings["request"] = hierarchy.signing_request(
                record.name.text, self.entropy, algorithm, maker
            )
            secrets["pendingKey"] = keys.encode(pending)
            return replace(record, settings=_placed(settings, pending), secrets=secrets)
        root_certificate = _root_of(settings)
        if new_root:
            makers = self._maker(Place(place.token)), maker
            made = hierarchy.make(record.name.text, now, self.entropy, algorithm, self.base, makers)
            secrets[_EARLIER_ROOT + key_id(root_certificate)] = secrets["rootKey"]
            root, issuing = made.root, made.issuing
        else:
            root = hierarchy.join(root_certificate, keys.load(secrets["rootKey"], self.tokens))
            issuing = hierarchy.make_issuing(
                root, record.name.text, now, self.entropy, algorithm, self.base, maker
            )
        if settings["certificates"]:
            _retire(settings, secrets, now)
        settings["certificates"] = [issuing.pem, root.pem]
        secrets |= {"issuingKey": keys.encode(issuing.key), "rootKey": keys.encode(root.key)}
        return replace(record, settings=_placed(settings, issuing.key), secrets=secrets)

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
        check_brought(chain, keys.load(secrets["pendingKey"], self.tokens).public_key(), now)
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

    def _algorithm(self, asked_for: str | None, place: Place) -> str | None:
        """The algorithm that was asked for, or that of the key that is there already; None where nothing says it."""
        if asked_for is not None:
            _check_algorithm(asked_for, place)
        if not place.key:
            return asked_for
        found = self._token_maker(place)(asked_for or "", "")
        try:
            algorithm = keys.algorithm_of(found).name
        except ValueError as error:
            raise Malformed(f"{place.key} can't be a CA's: {error}.", rule="token-key-unfit") from None
        if asked_for not in (None, algorithm):
            raise Malformed(
                f"The key {place.key} in the token {place.token} is {algorithm}, not {asked_for}.",
                rule="token-key-unfit",
            )
        return algorithm

    def _maker(self, place: Place) -> hierarchy.Maker:
        return self._token_maker(place) if place.token else hierarchy.in_software

    def _token_maker(self, place: Place) -> hierarchy.Maker:
        """Keys that are made in the token bear the common name of their CA as their label."""
        tokens = self.tokens
        if tokens is None:
            raise Malformed("The service knows no tokens.", rule="token-module-missing")

        def maker(algorithm: str, common_name: str) -> TokenKey:
            if place.key:
                return tokens.find(place.token, place.key)
            made = tokens.make(place.token, common_name, algorithm, self.entropy)
            # If what comes next fails, the key is left there, and nobody else says so.
            log.info("token-key-made", token=place.token, key=common_name, algorithm=algorithm)
            return made

        return maker


def _fresh(maker: hierarchy.Maker, record: AuthorityRecord) -> hierarchy.Maker:
    """The same, but for a key that an issuing CA of this authority has: its key id must name one CA."""
    entries = [
        record.settings["certificates"],
        *(each["certificates"] for each in record.settings.get("earlierIssuers", ())),
    ]
    used = [loaded(entry[:1])[0].public_key() for entry in entries if entry]

    def checked(algorithm: str, common_name: str) -> Any:
        key = maker(algorithm, common_name)
        if key.public_key() in used:
            raise Malformed(
                "The key is an issuing CA's of this authority already.",
                rule="token-key-unfit",
                hint="make another key in the token",
            )
        return key

    return checked


def _placed(settings: dict[str, Any], key: Any) -> dict[str, Any]:
    """The settings, saying in which token the newest key is, or not in any."""
    elsewhere = {name: value for name, value in settings.items() if name not in ("tokenLabel", "keyLabel")}
    if isinstance(key, TokenKey):
        return elsewhere | {"tokenLabel": key.where.token, "keyLabel": key.where.label}
    return elsewhere


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


def _check_algorithm(name: str, place: Place) -> None:
    if place.token and name in keys.ALGORITHMS and name not in IN_TOKENS:
        raise Malformed(
            f"algorithm is not one of {', '.join(IN_TOKENS)}, which a key in a token may be.",
            rule="authority-member",
        )
    if name not in keys.ALGORITHMS:
        raise Malformed(
            f"algorithm is not one of {', '.join(keys.ALGORITHMS)}.",
            rule="authority-member",
            hint="ML-DSA is there where the installed cryptography has it",
        )
