"""What goes on beside the fronts: orders at outside CAs, releases, revocations to be told, the log's sequencer and witness."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

from accredit.administration.issuance_log import IssuanceLog
from accredit.domain.issuance_log import LeafKind
from accredit.provisioning.log_proofs import Growth, LogProofs
from accredit.provisioning.lost_orders import LostOrders
from accredit.provisioning.means import Means
from accredit.provisioning.orders import Orders
from accredit.provisioning.outside_revocations import OutsideRevocations
from accredit.provisioning.releases import Releases
from accredit.provisioning.sequencer import DUTY, TREE_HEADS, Sequencer
from accredit.provisioning.witnessing import Witnessing
from accredit.seal import Sealer
from accredit.values import dataclass
from accredit.witness import Witness

DRAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Background:
    """The workers, running. `resumed` is how many operations an earlier process had left open."""

    orders: Orders
    releases: Releases
    revocations: OutsideRevocations
    resumed: int
    witnessing: Witnessing | None
    proofs: LogProofs

    def told(self) -> None:
        """Something was revoked: those elsewhere who have to hear of it are told."""
        self.revocations.wake()
        self.releases.wake()


async def begun(
    means: Means, sealer: Sealer, parts: AsyncExitStack, witness: Witness | None = None
) -> Background:
    """Start them; each is stopped by `parts`, in the opposite order."""
    witnessing = None
    if witness is not None:
        witnessing = Witnessing(means.store, means.clock, witness, means.jitter)
        parts.push_async_callback(witnessing.stop)
        witnessing.start()
    told = [] if witnessing is None else [witnessing.told]
    leases = means.leases
    growth = Growth()
    seed = sealer.derive(TREE_HEADS, b"")
    sequencer = Sequencer(means.store, means.clock, seed, growth.told, *told, mine=partial(leases.mine, DUTY))
    of_certificate = partial(IssuanceLog(means.store).inclusion, kind=LeafKind.CERTIFICATE)
    proofs = LogProofs(means.store, of_certificate, sequencer.hurry, growth, means.patience_s)
    parts.push_async_callback(sequencer.stop)
    sequencer.start()
    releases = Releases(means)
    orders = Orders(means, releases)
    parts.push_async_callback(orders.stop, DRAIN_S)
    resumed = await orders.resume()
    parts.push_async_callback(releases.stop)
    releases.start()
    revocations = OutsideRevocations(means.store, means.authorities, means.clock, leases, means.bus)
    parts.push_async_callback(revocations.stop)
    revocations.start()
    lost_orders = LostOrders(means, revocations.wake)
    parts.push_async_callback(lost_orders.stop)
    lost_orders.start()
    return Background(orders, releases, revocations, resumed, witnessing, proofs)
