"""The configured authorities, made from their records when they are first needed and made anew when those change."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from accredit.authorities.builtin import BuiltInAuthority
from accredit.config import Config
from accredit.domain.authority import AuthorityRecord
from accredit.domain.ids import AuthorityName
from accredit.domain.secret import Secret
from accredit.egress import Egress, EgressRules
from accredit.interfaces import Authority, Clock, Entropy, Store

# A connector's code is loaded when a fleet uses it. The linter can't see these imports: a test loads each.
CONNECTORS: Mapping[str, str] = {
    "BuiltIn": "accredit.authorities.builtin:BuiltInAuthority",
    "DigiCertCertificateAuthority": "accredit.authorities.digicert.one:DigiCertOne",
}


def connector(kind: str) -> Any:
    """The class behind a `certificateAuthorityType`."""
    module, name = CONNECTORS[kind].split(":")
    return getattr(import_module(module), name)


class ConfiguredAuthorities:
    """`interfaces.Authorities` over the store. Each outside authority has a connection pool of its own."""

    def __init__(
        self, store: Store, config: Config, rules: EgressRules, clock: Clock, entropy: Entropy
    ) -> None:
        self._store = store
        self._config = config
        self._rules = rules
        self._clock = clock
        self._entropy = entropy
        self._made: dict[AuthorityName, Authority] = {}
        self._pools: dict[AuthorityName, Egress] = {}

    async def get(self, name: AuthorityName) -> Authority | None:
        record = await self._store.authority(name)
        if record is None:
            self._made.pop(name, None)
            return None
        made = self._made.get(name)
        if made is None or made.version != record.version:
            made = self._made[name] = self._make(record)
        return made

    def _make(self, record: AuthorityRecord) -> Authority:
        kind = connector(record.type)
        if record.type == "BuiltIn":
            ours: Authority = kind(record, self._entropy, self._clock)
            return ours
        # A replaced authority keeps its pool: an order may be under way on it.
        pool = self._pool(record.name)
        outside: Authority = kind(record, pool, self._config.digicert_url, self._clock)
        return outside

    def _pool(self, name: AuthorityName) -> Egress:
        if name not in self._pools:
            self._pools[name] = Egress(self._rules)
        return self._pools[name]

    async def close(self) -> None:
        """Close every connection pool."""
        for pool in self._pools.values():
            await pool.close()


def found_built_in(
    entropy: Entropy, clock: Clock, name: AuthorityName, _now: int
) -> tuple[dict[str, Any], dict[str, Secret]]:
    """Settings and secrets of a new CA of our own, for `administration`."""
    made = BuiltInAuthority.found(name, entropy, clock)
    return made.settings, made.secrets
