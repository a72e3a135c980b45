"""What the steps of the ceremony work with: handed in once, by the composition root."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from accredit.interfaces import Authorities, Clock, Entropy, Hubs, Store, Webhooks
from accredit.processes import Bus, Leases
from accredit.provisioning.tpm import Challenges
from accredit.tallies import Tallies, TimedCall
from accredit.values import dataclass, field


@dataclass(frozen=True, slots=True)
class Means:
    """`patience_s` is how long a register call waits for its operation before it answers `assigning`, `ca_retry_s` how
    long an operation may stay open; `key_reuse` is refuse, warn or allow.
    `pause_after_failures` in a row pause a proven device, 0 never does. `renewal_grace_s` is for how long
    after its end an issued certificate still proves a renewal. `owner` names this process in `leases`.
    `orphan_watch_s` is for how long a CA is asked again for what an order has made whose answer was lost, 0 never.
    `challenges` knows what is sent into TPMs. `tallies` counts, and where somebody
    watches, steps are timed by `stopwatch`, in seconds, and `traced` hears of each call.
    """

    store: Store
    authorities: Authorities
    hubs: Hubs
    webhooks: Webhooks
    clock: Clock
    entropy: Entropy
    challenges: Challenges
    id_scope: str
    owner: str
    leases: Leases
    bus: Bus
    patience_s: float = 1.5
    ca_retry_s: int = 300
    key_reuse: str = "refuse"
    pause_after_failures: int = 20
    renewal_grace_s: int = 0
    orphan_watch_s: int = 30 * 86_400
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    tallies: Tallies = field(default_factory=Tallies)
    stopwatch: Callable[[], float] | None = None
    traced: Callable[[TimedCall], None] | None = None

    @property
    def shared_key(self) -> bool:
        return self.key_reuse != "refuse"

    def now(self) -> int:
        return int(self.clock.now())

    def jitter(self) -> float:
        """A random number from 0 to 1."""
        return self.entropy.token(1)[0] / 255


async def pause(means: Means, stopping: asyncio.Event, seconds: float) -> None:
    """Sleep, but not beyond a stop."""
    waits = {asyncio.ensure_future(means.sleep(seconds)), asyncio.ensure_future(stopping.wait())}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
