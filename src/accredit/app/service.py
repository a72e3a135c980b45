"""From a Config to a running service, and back.

Start: folder and lock, ports, keys, store, what the first start makes, open operations, listeners. Stopping undoes it in
the opposite order: no new connections, what is in hand is finished, the rest of an order is left to its intent, then
telemetry and store close and the folder is free.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from accredit.administration.access import Access
from accredit.administration.administration import administration
from accredit.administration.linked_hubs import HubSurroundings
from accredit.app import log_witness, revoking, stores, tracing
from accredit.app import twins as device_twins
from accredit.app.authorities import ConfiguredAuthorities, found_built_in
from accredit.app.background import DRAIN_S, begun
from accredit.app.data_folder import CannotStart, DataFolder, Running
from accredit.app.first_start import found
from accredit.app.fronts import amqp_engine, device_fronts, listeners
from accredit.app.housekeeping import housekeeping
from accredit.app.hubs import HubsElsewhere, LeadsHere
from accredit.app.metrics_port import metrics_listener
from accredit.app.ports import Sockets, bound, own_address
from accredit.app.public_port import public_listener, tell_address
from accredit.app.readiness import Readiness
from accredit.app.sharing import sharing
from accredit.app.tls_identity import TLSIdentity
from accredit.app.tokens import token_hardware
from accredit.app.world import FreshEntropy, SystemClock, SystemEntropy
from accredit.ca.ceremony import Ceremony
from accredit.config import BadSetting, Config
from accredit.domain.access import Realm
from accredit.egress import Egress, EgressRules
from accredit.fronts import (
    device_api,
    est,
    health,
    hub_api,
    hub_device_api,
    hub_registry,
    log_proof,
    openapi,
    service_api,
)
from accredit.fronts.hub_credentials import CredentialService
from accredit.fronts.listener import Listener
from accredit.fronts.mqtt_hub import HubConversations
from accredit.fronts.plain import PlainListener
from accredit.hub.identities import Identities
from accredit.hub.registry import Registry
from accredit.hub.telemetry import SegmentedTelemetry
from accredit.hub.telemetry_database import take_over
from accredit.interfaces import Clock, Entropy, Store, StoreUnavailable
from accredit.linked_hubs.configured import ConfiguredHubs
from accredit.observe import log
from accredit.provisioning.ca_chains import CaChains
from accredit.provisioning.limits import Limits, Terms
from accredit.provisioning.means import Means
from accredit.provisioning.questions import Provisioning
from accredit.provisioning.refusals import Refusals
from accredit.provisioning.renew import Renewals
from accredit.provisioning.tpm import Challenges
from accredit.provisioning.traces import Traces
from accredit.seal import Sealer, SealError
from accredit.values import dataclass, replace
from accredit.webhooks.calls import Webhooks
from accredit.wire.webhooks import MAX_ANSWER_BYTES

if TYPE_CHECKING:
    from accredit.administration.bearers import Bearers


@dataclass(slots=True)
class Service:
    """A running service. The ports are those that were really bound."""

    config: Config
    id_scope: str
    running: Running
    parts: AsyncExitStack

    async def drain(self) -> None:
        """Stop gracefully; what can't be finished within the grace is resumed by the next start."""
        await self.parts.aclose()


async def start(
    config: Config,
    *,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    sockets: Sockets | None = None,
) -> Service:
    """Start a service; raises CannotStart, CannotListen or DatabaseUnusable, with one sentence for the operator.

    Who hands `sockets` down owns the data folder, and tells where the service answers.
    """
    clock = clock or SystemClock()
    entropy = entropy or SystemEntropy()
    rules = _egress_rules(config)
    folder = DataFolder(config.data_dir)
    folder.make()
    async with AsyncExitStack() as parts:
        engine = amqp_engine()
        alone = sockets is None
        if sockets is None:
            folder.lock()
            parts.callback(folder.unlock)
            folder.refuse_half_restored()
            if config.postgresql_url is None:
                folder.refuse_migrated()
            sockets = bound(config, amqp=engine is not None)
        for each in sockets:
            parts.callback(each.close)
        try:
            service = await _serving(config, folder, sockets, engine, rules, clock, entropy, parts)
            if alone:
                folder.write_running(service.running)
        except StoreUnavailable as error:
            if config.postgresql_url is None:
                raise _folder_unusable(folder, error) from error
            raise CannotStart(f"The service can't start now: {error}.") from error
        except OSError as error:
            raise _folder_unusable(folder, error) from error
        except SealError as error:
            raise CannotStart(str(error)) from None
        else:
            return service
    raise AssertionError("an exit stack lets exceptions through")


def _folder_unusable(folder: DataFolder, error: Exception) -> CannotStart:
    return CannotStart(
        f"The data folder {folder.path} can't be used now ({error}); "
        "make room on its disk, or end what has locked its files, then start again."
    )


async def _serving(
    config: Config,
    folder: DataFolder,
    sockets: Sockets,
    engine: Any | None,
    rules: EgressRules,
    clock: Clock,
    entropy: Entropy,
    parts: AsyncExitStack,
) -> Service:
    """Wire the rooms together. What is opened is pushed on `parts`, and closed in the opposite order."""
    _warn_of_settings(config)
    sealer = await _sealer(config)
    store = await stores.opened(config, sealer)
    parts.push_async_callback(store.close)
    id_scope = await found(store, clock, entropy, config.public_address)
    elsewhere = _hubs_elsewhere(rules, clock, entropy, parts)
    shared = await sharing(config, store, id_scope, clock, entropy, parts)
    sessions = shared.sessions
    hubs = ConfiguredHubs(store, config.host, elsewhere.make, sessions.released)
    identity = TLSIdentity(config, folder, store, clock, hubs)
    await identity.renew()
    shared.when_settings_change(identity.renew, parts)
    telemetry = shared.telemetry or _segments(config, folder, clock)
    parts.push_async_callback(telemetry.close)
    traced = await tracing.begun(os.environ, parts)
    hardware = await token_hardware(config, store, clock, entropy, parts, alone=store.alone)
    authorities = ConfiguredAuthorities(store, config, rules, clock, entropy, hardware, shared.bus)
    parts.push_async_callback(authorities.close)
    means = Means(
        store=store,
        authorities=authorities,
        hubs=hubs,
        webhooks=_webhooks(rules, clock, parts),
        clock=clock,
        entropy=entropy,
        challenges=Challenges(id_scope, sealer.derive, entropy),
        id_scope=id_scope,
        owner=shared.owner,
        leases=shared.leases,
        bus=shared.bus,
        patience_s=config.patience_ms / 1000,
        ca_retry_s=config.ca_retry_s,
        key_reuse=config.key_reuse,
        pause_after_failures=config.pause_after_failures,
        renewal_grace_s=config.renewal_grace_s,
        stopwatch=clock.monotonic if config.metrics_port or traced else None,
        traced=traced,
        orphan_watch_s=config.orphan_watch_days * 86_400,
    )
    refusals = Refusals(means, Limits(clock, _terms(config)), Traces(store))
    witness = log_witness.opened(config, rules)
    if witness is not None:
        parts.push_async_callback(witness.close)
    background = await begun(means, sealer, parts, witness)
    standing = background.witnessing.standing if background.witnessing else lambda: None
    provisioning = Provisioning(means, background.orders, refusals, background.proofs)
    twins, changes = device_twins.served(config, store, clock, entropy, shared.bus)
    devices = HubConversations(
        Identities(store, clock, hubs, allow_bootstrap_with_certificate=config.allow_bootstrap_at_hub),
        sessions,
        telemetry,
        clock,
        counts=refusals.limits,
        credentials=CredentialService(Renewals(means, background.orders, refusals), clock, entropy),
        twins=twins,
    )
    parts.push_async_callback(devices.close)
    ceremony = Ceremony(FreshEntropy(), config.public_address, hardware.tokens)
    administrators = administration(
        store,
        clock,
        entropy,
        hubs,
        {"BuiltIn": partial(found_built_in, ceremony)},
        authorities.probe,
        refusals.traces,
        HubSurroundings(elsewhere.probe, LeadsHere(config, identity.covers).objection, identity.renew),
        revoking.effects(sessions, background),
        {"BuiltIn": ceremony},
        standing,
        means.leases,
    )
    await revoking.resumed(administrators.mass_revoker, parts)
    bearers = _bearers(config, rules, clock, parts)
    hub_access = _access(config, store, clock, Realm.HUB, bearers)
    readiness = Readiness(store, standing, hardware.tokens)
    registry = Registry(store, sessions, clock, entropy, changes)
    routes = [
        *health.routes(readiness.reason, readiness.warnings),
        *service_api.routes(
            administrators,
            _access(config, store, clock, Realm.PROVISIONING, bearers),
            clock,
            entropy,
            refusals.limits,
        ),
        *hub_api.routes(telemetry, hubs, hub_access, clock, entropy, refusals.limits),
        *hub_registry.routes(registry, hubs, hub_access, clock, entropy, refusals.limits),
        *openapi.routes((*service_api.endpoints(administrators, clock), *hub_api.endpoints(telemetry, hubs))),
        *device_api.routes(provisioning.over("https"), clock, entropy),
        *est.routes(provisioning.over("est"), CaChains(means, refusals), entropy),
        *hub_device_api.routes(devices, entropy),
        *log_proof.routes(background.proofs.of, provisioning, clock, entropy),
    ]
    fronts = device_fronts(provisioning, devices, clock, entropy, engine)
    listening: list[Listener | PlainListener] = [
        *listeners(config, sockets, identity, routes, fronts, clock, entropy),
        *public_listener(
            config, sockets, store, clock, entropy, authorities.challenges.answer, hardware.tokens
        ),
    ]
    listening += metrics_listener(sockets, means, store, telemetry, sessions, listening)
    for listener in listening:
        await listener.start()
    parts.push_async_callback(_drained, listening)
    parts.callback(readiness.stop)
    kept_up = asyncio.create_task(housekeeping(config, store, identity, clock, authorities))
    parts.callback(kept_up.cancel)
    running = _announced(config, listening, id_scope, background.resumed, sealer.key_ids)
    return Service(config, id_scope, running, parts.pop_all())


def _segments(config: Config, folder: DataFolder, clock: Clock) -> SegmentedTelemetry:
    take_over(folder.telemetry_database, folder.telemetry)
    return SegmentedTelemetry(
        folder.telemetry, clock, max_age_s=config.telemetry_max_age_s, max_bytes=config.telemetry_max_bytes
    )


def _announced(
    config: Config,
    listening: Sequence[Listener | PlainListener],
    id_scope: str,
    resumed: int,
    master_keys: tuple[str, ...],
) -> Running:
    """Tell the log where the service answers."""
    ports = {listener.name: listener.port for listener in listening}
    amqp, public = ports.get("amqp", 0), ports.get("public", 0)
    address = own_address(config.bind)
    running = Running(
        config.hub_name, ports["https"], ports["mqtt"], os.getpid(), amqp, public, address, master_keys
    )
    tell_address(config)
    log.info(
        "started",
        idScope=id_scope,
        host=config.hub_name,
        https=running.https,
        mqtt=running.mqtt,
        amqp=running.amqp or None,
        dataDir=str(config.data_dir),
        resumedOperations=resumed,
    )
    return running


def _webhooks(rules: EgressRules, clock: Clock, parts: AsyncExitStack) -> Webhooks:
    """They go to public addresses alone, but for what is listed."""
    closed_in = replace(rules, public_only=True)
    webhooks = Webhooks(partial(Egress, closed_in, max_answer_bytes=MAX_ANSWER_BYTES), clock)
    parts.push_async_callback(webhooks.close)
    return webhooks


def _warn_of_settings(config: Config) -> None:
    """What was set and does nothing."""
    for name in config.unknown_variables:
        log.warning("unknown-setting", variable=name)
    for name in ("console_port",):
        if name in config.explicit and config.values[name]:
            log.warning(
                "port-not-served", setting=name, reason="this version does not speak what the port is for"
            )


def _hubs_elsewhere(
    rules: EgressRules, clock: Clock, entropy: Entropy, parts: AsyncExitStack
) -> HubsElsewhere:
    made = HubsElsewhere(rules, clock, entropy)
    parts.push_async_callback(made.close)
    return made


def _egress_rules(config: Config) -> EgressRules:
    try:
        return EgressRules(config.egress_allow, config.digicert_url)
    except BadSetting as error:
        raise CannotStart(str(error)) from None


async def _sealer(config: Config) -> Sealer:
    """The master keys: the operator's files, or one in the data folder that the first start makes. Raises SealError."""
    paths = config.master_key_paths
    if "master_key_file" in config.explicit:
        return Sealer.load(*paths)
    log.info(
        "master-key-in-data-folder",
        note="a copy of the folder carries the key that opens its secrets; --master-key-file keeps it elsewhere",
    )
    if paths[0].exists():
        return Sealer.load(*paths)
    if await stores.has_secrets(config):
        raise SealError(
            f"The master key {paths[0]} is not there, and {stores.name(config)} can't be read without it: "
            "put it there from where a copy is kept, or name that with --master-key-file."
        )
    return Sealer.create(paths[0])


def _terms(config: Config) -> Terms:
    return Terms(
        failed_proofs_per_minute=config.failed_proofs_per_minute,
        device_registrations_per_minute=config.device_registrations_per_minute,
        azure=config.azure_limits,
    )


def _access(config: Config, store: Store, clock: Clock, realm: Realm, bearers: Bearers | None) -> Access:
    limit: int = config.max_sas_lifetime_s
    if limit:
        return Access(
            store, clock, config.host, realm, max_lifetime_s=limit, refuse_longer=True, bearers=bearers
        )
    return Access(store, clock, config.host, realm, bearers=bearers)


def _bearers(config: Config, rules: EgressRules, clock: Clock, parts: AsyncExitStack) -> Bearers | None:
    if not config.oidc_issuer:
        return None
    from accredit.app import identity_provider  # noqa: PLC0415 - with what reads and checks its tokens

    bearers, pool = identity_provider.bearers(config, rules, clock)
    parts.push_async_callback(pool.close)
    return bearers


async def _drained(listeners: Sequence[Listener | PlainListener]) -> None:
    await asyncio.gather(*(listener.drain(DRAIN_S) for listener in listeners))
