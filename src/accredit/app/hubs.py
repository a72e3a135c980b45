"""What the service has beyond its store for linked hubs: connections to those elsewhere, and whether a name leads here."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence

from accredit.ca.server_identity import general_name
from accredit.config import Config
from accredit.domain.errors import Malformed
from accredit.domain.linked_hub import LinkedHub
from accredit.egress import Egress, EgressRules, resolved, tls_context
from accredit.fronts.listener import LOOPBACK
from accredit.interfaces import Clock, Entropy
from accredit.linked_hubs.azure import AzureHub

Covers = Callable[[str], bool]
"""Whether the TLS certificate of the service is good for a name, or will be once that is linked."""


class HubsElsewhere:
    """Makes what speaks to hubs elsewhere; each has a connection pool of its own."""

    def __init__(self, rules: EgressRules, clock: Clock, entropy: Entropy) -> None:
        self._rules = rules
        self._clock = clock
        self._entropy = entropy
        self._pools: list[Egress] = []

    def make(self, hub: LinkedHub) -> AzureHub:
        # A call may be under way on the pool of a hub that is replaced, so that stays open until the end.
        pool = self._pool(hub)
        self._pools.append(pool)
        return AzureHub(hub, pool, self._clock, self._entropy)

    async def probe(self, hub: LinkedHub) -> None:
        """Ask a hub that need not be linked yet. Raises UpstreamRejected, UpstreamUnavailable or Malformed."""
        pool = self._pool(hub)
        try:
            await AzureHub(hub, pool, self._clock, self._entropy).probe()
        finally:
            await pool.close()

    def _pool(self, hub: LinkedHub) -> Egress:
        try:
            return Egress(self._rules, tls=tls_context(hub.trust_anchors or ""))
        except (ValueError, ssl.SSLError) as error:
            raise Malformed(f"trustAnchors can't be used: {error}.", rule="document-invalid") from None

    async def close(self) -> None:
        for pool in self._pools:
            await pool.close()


class LeadsHere:
    """Why a host name can't be an embedded hub's: it must be one of the service's own, or resolve to where it listens."""

    def __init__(self, config: Config, covers: Covers) -> None:
        self._config = config
        self._covers = covers

    async def objection(self, name: str) -> str | None:
        try:
            general_name(name)
        except ValueError:
            return "no certificate can name it"
        own = {host.lower() for host in self._config.host}
        if name.lower() not in own:
            try:
                found = await resolved(name, self._config.https_port)
            except OSError:
                return "it does not resolve to an address"
            if not await asyncio.to_thread(_any_is_ours, found, tuple(self._config.bind or LOOPBACK)):
                return f"it resolves to {', '.join(found[:4])}, where this service does not listen"
        return None if self._covers(name) else "the TLS certificate file does not name it"


def _any_is_ours(addresses: Sequence[str], bound: Sequence[str]) -> bool:
    listening = {ipaddress.ip_address(text) for text in bound}
    for text in addresses:
        address = ipaddress.ip_address(text.partition("%")[0])
        everywhere = ipaddress.ip_address("0.0.0.0" if address.version == 4 else "::")  # noqa: S104 - compared, not bound
        if address in listening or (everywhere in listening and _is_local(text, address.version)):
            return True
    return False


def _is_local(address: str, version: int) -> bool:
    """Whether the address is one of this machine's: then a socket may be bound to it."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
