"""What makes a service one of several processes on one database: leases, the bus, the database's clock.

A service whose database is its own has leases that are all its own and a bus that nobody else is on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

from accredit.buses.in_process import InProcessBus
from accredit.config import Config
from accredit.domain.subjects import Subject
from accredit.hub.cuts import Cuts
from accredit.hub.sessions import Sessions
from accredit.interfaces import Clock, Entropy, StoreUnavailable, TelemetryLog
from accredit.observe import log
from accredit.processes import Bus, Leases, SharedStore
from accredit.provisioning.database_clock import DatabaseClock
from accredit.provisioning.leases import Alone, Shared
from accredit.stores.reads import StoreReads
from accredit.values import dataclass

NATS_PATIENCE_S = 3.0
"""How long a start waits for NATS: what is behind it works without, or later."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """`owner` names this process. `telemetry` is None where it is kept in the data folder."""

    owner: str
    leases: Leases
    bus: Bus
    sessions: Sessions
    telemetry: TelemetryLog | None
    store: SharedStore | None

    def when_settings_change(self, act: Callable[[], Awaitable[None]], parts: AsyncExitStack) -> None:
        """Have this done whenever another process may have changed settings, until `parts` ends."""
        if self.store is None:
            return
        due = asyncio.Event()

        async def acts() -> None:
            while True:
                await due.wait()
                due.clear()
                try:
                    await act()
                except StoreUnavailable:
                    continue  # while the store is away it says every second that anything may have changed
                except Exception:  # noqa: BLE001 - logged with its trace; the next change has it done again
                    log.exception("settings-not-followed")

        acting = asyncio.create_task(acts(), name="settings of other processes")
        parts.callback(acting.cancel)
        self.store.tell(due.set)


async def sharing(
    config: Config, store: StoreReads, id_scope: str, clock: Clock, entropy: Entropy, parts: AsyncExitStack
) -> Sharing:
    """What is opened is pushed on `parts`. Raises StoreUnavailable."""
    owner = entropy.token(8).hex()
    bus, telemetry = await _bus(config, id_scope, owner, parts)
    sessions = Sessions(bus=bus)
    if not isinstance(store, SharedStore):
        return Sharing(owner, Alone(clock), bus, sessions, telemetry, None)
    time = DatabaseClock(store.database_time, clock)
    await time.look()
    following = asyncio.create_task(time.follow(), name="the database's clock")
    parts.callback(following.cancel)
    store.tell_others(partial(bus.tell, Subject.SETTINGS))
    bus.hear(Subject.SETTINGS, lambda _: store.look())
    leases = Shared(store, owner, time, config.lease_s)
    parts.push_async_callback(leases.close)
    cuts = Cuts(store, sessions, bus, clock)
    await cuts.start()
    parts.push_async_callback(cuts.stop)
    return Sharing(owner, leases, bus, sessions, telemetry, store)


async def _bus(
    config: Config, id_scope: str, owner: str, parts: AsyncExitStack
) -> tuple[Bus, TelemetryLog | None]:
    if not config.nats_url:
        return InProcessBus().join(), None
    # Only who has NATS pays for its client at start.
    from accredit.buses.nats import NatsBus, NatsLink  # noqa: PLC0415
    from accredit.buses.telemetry import StreamTelemetry  # noqa: PLC0415

    link = NatsLink(config.nats_url)
    await link.start(NATS_PATIENCE_S)
    parts.push_async_callback(link.close)
    bus = NatsBus(link, id_scope, owner)
    bus.start()
    parts.push_async_callback(bus.stop)
    telemetry = StreamTelemetry(
        link,
        id_scope,
        max_age_s=config.telemetry_max_age_s,
        max_bytes=config.telemetry_max_bytes,
        replicas=config.nats_replicas,
    )
    await telemetry.begin()
    return bus, telemetry
