"""Which metrics there are, and where in a running service each is read; and the port that shows them, where it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from accredit import __version__
from accredit.app.ports import Sockets
from accredit.fronts import metrics
from accredit.fronts.https import https_front
from accredit.fronts.listener import Ceiling, Listener
from accredit.fronts.metrics import Kind, Metric, Numbers, Readings
from accredit.fronts.plain import PlainListener
from accredit.hub.sessions import Sessions
from accredit.interfaces import Clock, Entropy, TelemetryLog
from accredit.stores.reads import StoreReads
from accredit.tallies import Tallies
from accredit.values import dataclass

MAX_CONNECTIONS = 16
MAX_UNPLACED = 2_000

_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

METRICS = {
    row.name: row
    for row in (
        Metric("accredit_build_info", _G, ("version",), "1, with the version of the service."),
        Metric("accredit_registrations", _C, ("wire", "outcome"),
               "Register calls by the wire that they came over and what they came to."),
        Metric("accredit_registration_duration_seconds", _H, ("wire",),
               "From the reading of a register call to its answer, waiting for whoever is asked outside included."),
        Metric("accredit_registration_step_duration_seconds", _H, ("step",),
               "The steps of the ceremony; `complete` waits for the disk, `place` hands over to an operation."),
        Metric("accredit_refusals", _C, ("rule",), "Calls of devices that were refused, by the rule that they broke; limits are rules as well."),
        Metric("accredit_operations", _C, ("outcome",), "Operations that ended: registrations that had to ask an authority, a hub or a webhook."),
        Metric("accredit_ca_orders", _C, ("authority", "outcome"),
               "Answers of certificate authorities to orders: delivered, pending, rejected, deferred or unknown (a lost answer)."),
        Metric("accredit_connections", _G, ("listener",), "Connections that are open now."),
        Metric("accredit_connections_accepted", _C, ("listener",), "Connections that were taken."),
        Metric("accredit_connections_refused", _C, ("reason",), "Connections that were turned away: `ceiling` is `max_connections`, `source` the limits of one address."),
        Metric("accredit_tls_handshakes", _C, ("listener",), "TLS handshakes that were completed; what is accepted beyond has failed, or said nothing."),
        Metric("accredit_hub_sessions", _G, (), "Devices that are connected to the embedded hubs now."),
        Metric("accredit_hub_messages", _C, (), "Messages of devices that were ever kept: the newest one's sequence number."),
        Metric("accredit_store_commit_units", _H, (), "Units of work that shared one commit."),
        Metric("accredit_store_commit_duration_seconds", _H, (), "From a commit's first statement until it is durable."),
        Metric("accredit_log_leaves", _G, (), "Leaves that the newest head of the issuance log covers."),
        Metric("accredit_log_unplaced_leaves", _G, (), f"Leaves that have no place in the tree yet, up to {MAX_UNPLACED}."),
        Metric("accredit_log_head_timestamp_seconds", _G, (), "When the newest head was signed, in Unix seconds."),
    )
}  # fmt: skip
"""The table of metrics, which `docs/metrics.md` is made from."""


@dataclass(frozen=True, slots=True)
class Watched:
    """The parts of a running service that are read."""

    tallies: Tallies
    store: StoreReads
    telemetry: TelemetryLog
    sessions: Sessions
    listeners: Sequence[Listener | PlainListener]

    async def readings(self) -> Readings:
        return [(METRICS[name], numbers) for name, numbers in (await self._numbers()).items()]

    async def _numbers(self) -> dict[str, Numbers]:
        tallies = self.tallies
        return {
            "accredit_build_info": [((__version__,), 1)],
            "accredit_registrations": tallies.registrations.by.items(),
            "accredit_registration_duration_seconds": [((wire,), one) for wire, one in tallies.whole.items()],
            "accredit_registration_step_duration_seconds": [
                ((step,), one) for step, one in tallies.steps.items()
            ],
            "accredit_refusals": tallies.refusals.by.items(),
            "accredit_operations": tallies.operations.by.items(),
            "accredit_ca_orders": tallies.orders.by.items(),
            **self._connections(),
            "accredit_hub_sessions": [((), len(self.sessions))],
            "accredit_hub_messages": [((), await self.telemetry.arrival(-1))],
            "accredit_store_commit_units": [((), self.store.commits.units)],
            "accredit_store_commit_duration_seconds": [((), self.store.commits.seconds)],
            **await self._log(),
        }

    def _connections(self) -> dict[str, Numbers]:
        tls = [each for each in self.listeners if isinstance(each, Listener)]
        ceilings = {id(each.ceiling): each.ceiling for each in self.listeners}.values()
        sources = [each.sources for each in ceilings if each.sources is not None]
        return {
            "accredit_connections": [((each.name,), each.connections) for each in self.listeners],
            "accredit_connections_accepted": [((each.name,), each.accepted) for each in self.listeners],
            "accredit_connections_refused": [
                (("ceiling",), sum(each.refused for each in ceilings)),
                (("source",), sum(each.refused for each in sources)),
            ],
            "accredit_tls_handshakes": [((each.name,), each.established) for each in tls],
        }

    async def _log(self) -> dict[str, Numbers]:
        head = await self.store.tree_head()
        unplaced = await self.store.unplaced_leaves(MAX_UNPLACED)
        return {
            "accredit_log_leaves": [((), 0 if head is None else head.size)],
            "accredit_log_unplaced_leaves": [((), len(unplaced))],
            "accredit_log_head_timestamp_seconds": [((), 0 if head is None else head.signed_at)],
        }


def listener(watched: Watched, sockets: Sockets, clock: Clock, entropy: Entropy) -> PlainListener:
    """What serves the port."""
    front = https_front(metrics.routes(watched.readings), clock, entropy, websockets={})
    return PlainListener("metrics", sockets.metrics, front.connection, Ceiling(MAX_CONNECTIONS))
