"""From a Config to a running service, and back: the order in which things start, and in which they stop.

Start: folder and lock, keys, store, what the first start makes, ports, open operations, listeners. Stop: no new
connections, what is in hand is finished, the rest of an order is left to its intent, then the store closes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from socket import socket
from typing import Any

from OpenSSL import SSL

from accredit.administration.access import Access
from accredit.administration.administration import administration
from accredit.app.authorities import ConfiguredAuthorities, connector
from accredit.app.data_folder import CannotStart, DataFolder, Running
from accredit.app.first_start import found, server_identity
from accredit.app.world import SystemClock, SystemEntropy
from accredit.authorities.builtin import BuiltInAuthority
from accredit.ca.server_identity import ServerIdentity
from accredit.config import Config
from accredit.domain.access import Realm
from accredit.domain.authority import AuthorityRecord
from accredit.domain.ids import AuthorityName
from accredit.domain.secret import Secret
from accredit.egress import Egress, EgressRules
from accredit.fronts import device_api, health, hub_api, service_api
from accredit.fronts.https import https_front
from accredit.fronts.listener import LOOPBACK, Ceiling, Listener, PortForbidden, bind
from accredit.fronts.mqtt import MqttConnection
from accredit.fronts.mqtt_dps import DpsConversations
from accredit.fronts.mqtt_hub import HubConversations
from accredit.fronts.tls import server_context
from accredit.hub.identities import Identities
from accredit.hub.sessions import Sessions
from accredit.hub.telemetry import SqliteTelemetry
from accredit.interfaces import Authority, Clock, Entropy, StoreUnavailable
from accredit.linked_hubs.embedded import EmbeddedHub
from accredit.observe import log
from accredit.provisioning.means import Means
from accredit.provisioning.orders import Orders
from accredit.provisioning.register import Provisioning
from accredit.seal import Sealer, SealError
from accredit.stores.sqlite import SqliteStore

HTTPS_FALLBACK_PORT = 8443
OPERATIONS_KEPT_S = 86_400
HOUSEKEEPING_S = 3_600
DRAIN_S = 10.0


@dataclass(slots=True)
class Service:
    """A running service. `ports` are those that were really bound."""

    config: Config
    id_scope: str
    folder: DataFolder
    https_port: int
    mqtt_port: int
    store: SqliteStore
    telemetry: SqliteTelemetry
    orders: Orders
    listeners: Sequence[Listener]
    egress: Sequence[Egress]
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    draining: bool = False

    async def drain(self) -> None:
        """Stop gracefully; what can't be finished within the grace is resumed by the next start."""
        self.draining = True
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*(listener.drain(DRAIN_S) for listener in self.listeners))
        await self.orders.stop(DRAIN_S)
        for egress in self.egress:
            await egress.close()
        await self.telemetry.close()
        await self.store.close()
        self.folder.unlock()


async def start(
    config: Config,
    *,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
) -> Service:
    """Start a service; raises CannotStart, or `listener.CannotListen`, with one sentence for the operator."""
    clock = clock or SystemClock()
    entropy = entropy or SystemEntropy()
    folder = DataFolder(config.data_dir)
    folder.make()
    folder.lock()
    try:
        return await _started(config, folder, clock, entropy)
    except BaseException:
        folder.unlock()
        raise


async def _started(config: Config, folder: DataFolder, clock: Clock, entropy: Entropy) -> Service:
    for name in config.unknown_variables:
        log.warning("unknown-setting", variable=name)
    https, mqtt = _bound(config)
    sealer = _sealer(config)
    store = await SqliteStore.open(config.database_path, sealer)
    id_scope = await found(store, clock, entropy)
    identity = _Identity(config, folder, store, clock)
    await identity.renew()
    telemetry = SqliteTelemetry(
        folder.telemetry, clock, max_age_s=config.telemetry_max_age_s, max_bytes=config.telemetry_max_bytes
    )
    rules = _egress_rules(config)
    egress: list[Egress] = []
    authorities = ConfiguredAuthorities(store, partial(_authority, config, rules, egress, clock, entropy))
    hub = EmbeddedHub(config.hub_name)
    means = Means(
        store=store,
        authorities=authorities,
        hubs={hub.name: hub},
        clock=clock,
        entropy=entropy,
        id_scope=id_scope,
        owner=entropy.token(8).hex(),
        patience_s=config.patience_ms / 1000,
        ca_retry_s=config.ca_retry_s,
        key_reuse=config.key_reuse,
    )
    orders = Orders(means)
    provisioning = Provisioning(means, orders)
    access = partial(_access, config, store, clock)
    dps = DpsConversations(provisioning, clock, entropy)
    devices = HubConversations(
        Identities(store, clock, config.host, allow_bootstrap_with_certificate=config.allow_bootstrap_at_hub),
        Sessions(),
        telemetry,
        clock,
        config.host,
    )
    administrators = administration(
        store,
        clock,
        entropy,
        (hub.name,),
        {"BuiltIn": partial(_built_in, entropy, clock)},
    )

    def mqtt_front() -> MqttConnection:
        return MqttConnection(dps, devices)

    async def ready() -> str | None:
        return await _unreadiness(service, store)

    routes = [
        *health.routes(ready),
        *service_api.routes(administrators, access(Realm.PROVISIONING), clock, entropy),
        *hub_api.routes(telemetry, access(Realm.HUB), clock, entropy),
        *device_api.routes(provisioning, clock, entropy),
    ]
    front = https_front(routes, clock, entropy, websockets={"mqtt": mqtt_front})
    ceiling = Ceiling(config.max_connections)
    listeners = (
        Listener("https", https, identity.context, front.connection, ceiling=ceiling),
        Listener("mqtt", mqtt, identity.context, mqtt_front, ceiling=ceiling),
    )
    service = Service(
        config=config,
        id_scope=id_scope,
        folder=folder,
        https_port=listeners[0].port,
        mqtt_port=listeners[1].port,
        store=store,
        telemetry=telemetry,
        orders=orders,
        listeners=listeners,
        egress=egress,
    )
    resumed = await orders.resume()
    for listener in listeners:
        await listener.start()
    folder.write_running(Running(config.hub_name, service.https_port, service.mqtt_port, os.getpid()))
    service.tasks.append(asyncio.create_task(_housekeeping(store, identity, clock)))
    log.info(
        "started",
        idScope=id_scope,
        host=config.hub_name,
        https=service.https_port,
        mqtt=service.mqtt_port,
        dataDir=str(folder.path),
        resumedOperations=resumed,
    )
    return service


def _bound(config: Config) -> tuple[list[socket], list[socket]]:
    """Both ports, or neither. An implicit 443 that needs a missing privilege becomes 8443; an explicit one never does."""
    hosts = config.bind or LOOPBACK
    try:
        https = bind(hosts, config.https_port, "--https-port")
    except PortForbidden:
        if "https_port" in config.explicit:
            raise
        log.warning(
            "https-port-fallback",
            reason=f"port 443 needs a privilege that this process does not have; serving on {HTTPS_FALLBACK_PORT}",
            remedy="set --https-port, or allow 443 with `sysctl net.ipv4.ip_unprivileged_port_start=443`",
        )
        https = bind(hosts, HTTPS_FALLBACK_PORT, "--https-port")
    try:
        return https, bind(hosts, config.mqtt_port, "--mqtt-port")
    except BaseException:
        for each in https:
            each.close()
        raise


def _sealer(config: Config) -> Sealer:
    path = config.master_key_path
    try:
        if "master_key_file" in config.explicit or path.exists():
            sealer = Sealer.load(path)
        else:
            sealer = Sealer.create(path)
    except SealError as error:
        raise CannotStart(str(error)) from None
    if "master_key_file" not in config.explicit:
        log.info(
            "master-key-in-data-folder",
            note="a copy of the folder carries the key that opens its secrets; --master-key-file keeps it elsewhere",
        )
    return sealer


def _egress_rules(config: Config) -> EgressRules:
    """The operator's list; the host of the DigiCert setting counts as listed."""
    return EgressRules(config.egress_allow, config.digicert_url)


def _authority(
    config: Config,
    rules: EgressRules,
    pools: list[Egress],
    clock: Clock,
    entropy: Entropy,
    record: AuthorityRecord,
) -> Authority:
    """The connector for a record; an outside one gets a connection pool of its own."""
    made = connector(record.type)
    if record.type == "BuiltIn":
        authority: Authority = made(record, entropy, clock)
        return authority
    pools.append(Egress(rules))
    outside: Authority = made(record, pools[-1], config.digicert_url, clock)
    return outside


def _built_in(
    entropy: Entropy, clock: Clock, name: AuthorityName, _now: int
) -> tuple[dict[str, Any], dict[str, Secret]]:
    """Settings and secrets of a new CA of our own."""
    made = BuiltInAuthority.found(name, entropy, clock)
    return made.settings, made.secrets


def _access(config: Config, store: SqliteStore, clock: Clock, realm: Realm) -> Access:
    limit: int = config.max_sas_lifetime_s
    if limit:
        return Access(store, clock, config.host, realm, max_lifetime_s=limit, refuse_longer=True)
    return Access(store, clock, config.host, realm)


async def _unreadiness(service: Service, store: SqliteStore) -> str | None:
    if service.draining:
        return "stopping"
    try:
        await store.state("id-scope")
    except StoreUnavailable as error:
        return f"the store can't be read: {error}"
    return None


async def _housekeeping(store: SqliteStore, identity: _Identity, clock: Clock) -> None:
    while True:
        await asyncio.sleep(HOUSEKEEPING_S)
        try:
            await store.forget_operations(int(clock.now()) - OPERATIONS_KEPT_S)
            await identity.renew()
        except Exception:  # noqa: BLE001 - logged with its trace, and tried again in an hour
            log.exception("housekeeping-failed")


class _Identity:
    """The TLS context that listeners show, from the service's own root or from the operator's files."""

    def __init__(self, config: Config, folder: DataFolder, store: SqliteStore, clock: Clock) -> None:
        self._config = config
        self._folder = folder
        self._store = store
        self._clock = clock
        self._context: SSL.Context | None = None

    def context(self) -> SSL.Context:
        assert self._context is not None
        return self._context

    async def renew(self) -> None:
        """Load or make the certificate; a running listener shows the new one from the next handshake on."""
        if "tls_certificate_file" in self._config.explicit:
            identity = self._from_files()
        else:
            names = list(dict.fromkeys((*self._config.host, *(self._config.bind or LOOPBACK))))
            identity, root, reason = await server_identity(self._store, _nameable(names), self._clock)
            if reason is not None:
                log.info("server-certificate-made", reason=reason)
            elif self._context is not None:
                return
            self._folder.write_trust_root(root.pem())
        self._context = server_context(identity.chain, identity.key)

    def _from_files(self) -> ServerIdentity:
        chain, key = self._config.tls_certificate_file, self._config.tls_key_file
        try:
            identity = ServerIdentity.from_pem(chain.read_bytes(), key.read_bytes())
        except (OSError, ValueError) as error:
            raise CannotStart(
                f"The TLS certificate {chain} with the key {key or '(no --tls-key-file)'} can't be used: {error}."
            ) from None
        self._folder.write_trust_root(chain.read_bytes())
        return identity


def _nameable(names: Sequence[str]) -> list[str]:
    """Addresses that mean *every* address have no place in a certificate."""
    return [name for name in names if name not in {"0.0.0.0", "::"}]  # noqa: S104 - compared, not bound
