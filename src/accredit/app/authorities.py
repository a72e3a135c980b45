"""The configured authorities, made from their records when they are first needed and made anew when those change."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

from accredit.authorities.builtin import Hardware
from accredit.authorities.challenges import HeldChallenges
from accredit.authorities.upstream import Surroundings
from accredit.ca.ceremony import Ceremony, Place
from accredit.ca.holdings import ONLINE, read
from accredit.ca.token_keys import TokenKey
from accredit.config import Config
from accredit.domain.authority import AuthorityRecord
from accredit.domain.errors import Malformed, UpstreamRejected, UpstreamUnavailable
from accredit.domain.ids import AuthorityName
from accredit.domain.secret import Secret
from accredit.egress import ClientIdentity, Egress, EgressRules, tls_context
from accredit.interfaces import Authority, Clock, Entropy, Probes, Standing, Store, StoreUnavailable
from accredit.observe import log
from accredit.processes import Bus
from accredit.provisioning.revoked_authority import RevokedAuthority
from accredit.values import replace

BUILT_IN = "BuiltIn"

# A connector's code is loaded when a fleet uses it. The linter can't see these imports: a test loads each.
CONNECTORS: Mapping[str, str] = {
    BUILT_IN: "accredit.authorities.builtin:BuiltInAuthority",
    "DigiCertCertificateAuthority": "accredit.authorities.digicert.one:DigiCertOne",
    "Cfssl": "accredit.authorities.cfssl:Cfssl",
    "Vault": "accredit.authorities.vault:Vault",
    "Cmp": "accredit.authorities.cmp:Cmp",
    "Ejbca": "accredit.authorities.ejbca:Ejbca",
    "AwsPrivateCa": "accredit.authorities.aws_private_ca:AwsPrivateCa",
    "Est": "accredit.authorities.est:Est",
    "StepCa": "accredit.authorities.step_ca:StepCa",
    "Acme": "accredit.authorities.acme.orders:Acme",
}

FLAVOURS: Mapping[tuple[str, str], str] = {
    ("DigiCertCertificateAuthority", "mpki"): "accredit.authorities.digicert.mpki:DigiCertMpki",
    ("DigiCertCertificateAuthority", "certcentral"): "accredit.authorities.digicert.certcentral:CertCentral",
}
"""Where one type stands for several APIs: what is behind its `flavour`, but for the first one's."""


def connector(kind: str, flavour: str = "") -> Any:
    """The class behind a `certificateAuthorityType` and its `flavour`."""
    module, name = FLAVOURS.get((kind, flavour), CONNECTORS[kind]).split(":")
    return getattr(import_module(module), name)


ABILITIES: Mapping[str, str] = {"find": "lookUp", "poll": "poll", "revoke": "revoke", "renew": "renew"}
"""Method of a connector -> what it is called in documents."""


def abilities(kind: type) -> tuple[str, ...]:
    """What a connector can do beside ordering."""
    return tuple(name for method, name in ABILITIES.items() if hasattr(kind, method))


class ConfiguredAuthorities:
    """`interfaces.Authorities` over the store. Each outside authority has a connection pool of its own."""

    def __init__(
        self,
        store: Store,
        config: Config,
        rules: EgressRules,
        clock: Clock,
        entropy: Entropy,
        hardware: Hardware,
        bus: Bus | None = None,
    ) -> None:
        """Without a `bus` there is no other process."""
        self._store = store
        self._config = config
        self._rules = rules
        self._clock = clock
        self._entropy = entropy
        self._hardware = hardware
        self._made: dict[AuthorityName, tuple[str, Authority]] = {}
        self._pools: dict[AuthorityName, list[Egress]] = {}
        self.challenges = HeldChallenges(bus)

    async def get(self, name: AuthorityName) -> Authority | None:
        record = await self._store.authority(name)
        if record is None:
            self._made.pop(name, None)
            return None
        made = self._made.get(name)
        if made is None or made[0] != record.etag:
            made = self._made[name] = (record.etag, self._make(record))
        return made[1]

    async def probe(self, record: AuthorityRecord) -> Standing:
        """Ask a CA whether it would take orders with this record, which need not be stored.

        Raises UpstreamUnavailable, UpstreamRejected or Malformed.
        """
        if record.is_revoked:
            raise UpstreamRejected("The authority was revoked.", rule="ca-revoked")
        kind = connector(record.type, record.settings.get("flavour", ""))
        if record.type == BUILT_IN:
            return await self._standing_of_ours(record, abilities(kind))
        pool = self._pool(record)
        try:
            candidate = kind(record, self._surroundings(pool))
            standing = await candidate.probe() if isinstance(candidate, Probes) else Standing()
            return replace(standing, can=abilities(kind))
        finally:
            await pool.close()

    def _make(self, record: AuthorityRecord) -> Authority:
        kind = connector(record.type, record.settings.get("flavour", ""))
        if record.type == BUILT_IN:
            ours: Authority = kind(
                record, self._entropy, self._clock, self._config.public_address, self._hardware
            )
            return ours
        # An order may be under way on the pool of the record that is replaced, so that stays open until the end.
        pool = self._pool(record)
        self._pools.setdefault(record.name, []).append(pool)
        if record.is_revoked:
            kind = type(f"Revoked{kind.__name__}", (RevokedAuthority, kind), {})
        outside: Authority = kind(record, self._surroundings(pool))
        return outside

    def _surroundings(self, pool: Egress) -> Surroundings:
        return Surroundings(pool, self._clock, self._config.digicert_url, challenges=self.challenges)

    def _pool(self, record: AuthorityRecord) -> Egress:
        certificate, key = record.settings.get("clientCertificate"), record.secrets.get("clientKey")
        identity = ClientIdentity(certificate, key) if certificate and key else None
        try:
            return Egress(self._rules, tls=tls_context(record.settings.get("trustAnchors", ""), identity))
        except (ValueError, ssl.SSLError) as error:
            raise Malformed(f"Authority {record.name}: {error}.", rule="ca-settings") from None

    async def _standing_of_ours(self, record: AuthorityRecord, can: tuple[str, ...]) -> Standing:
        held = read(record, self._hardware.tokens).current
        if held is None:
            raise UpstreamRejected("The authority has no issuing CA: activate one.", rule="ca-not-activated")
        if isinstance(held.issuer.key, TokenKey):
            await self._hardware.tokens.check(held.issuer.key)
        return Standing(held.chain, can)

    async def look_after_tokens(self) -> None:
        """Give up reserved numbers whose lease has ended, and log which of our own authorities can't reach their token."""
        cursor = None
        with suppress(StoreUnavailable):  # which tells of itself
            await self._hardware.serials.settle()
            while True:
                page = await self._store.authorities(cursor, 100)
                for record in page.rows:
                    if (
                        "tokenLabel" in record.settings
                        and (reason := await self._failing(record)) is not None
                    ):
                        log.warning("token-unavailable", authority=record.name.text, reason=reason)
                cursor = page.cursor
                if cursor is None:
                    return

    async def _failing(self, record: AuthorityRecord) -> str | None:
        try:
            await self.probe(record)
        except UpstreamUnavailable as failure:
            return failure.message
        except UpstreamRejected:  # no issuing CA yet, which is no token's fault
            return None
        return None

    async def close(self) -> None:
        """Close every connection pool."""
        for pools in self._pools.values():
            for pool in pools:
                await pool.close()


def found_built_in(
    ceremony: Ceremony, name: AuthorityName, now: int, settings: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Secret]]:
    """Settings and secrets of a new CA of our own, for `administration`. Raises Malformed or UpstreamUnavailable."""
    place = Place(settings.get("tokenLabel", ""), settings.get("keyLabel", ""))
    if place.key and not place.token:
        raise Malformed("keyLabel needs tokenLabel, the token that the key is in.", rule="authority-member")
    return ceremony.found(name, now, settings.get("algorithm"), settings.get("root", ONLINE), place)
