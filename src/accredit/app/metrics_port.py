"""The port that shows the metrics, where one was asked for. Who does not watch does not load what writes them."""

from __future__ import annotations

from collections.abc import Sequence

from accredit.app.ports import Sockets
from accredit.fronts.listener import Listener
from accredit.fronts.plain import PlainListener
from accredit.hub.sessions import Sessions
from accredit.interfaces import TelemetryLog
from accredit.provisioning.means import Means
from accredit.stores.reads import StoreReads


def metrics_listener(
    sockets: Sockets,
    means: Means,
    store: StoreReads,
    telemetry: TelemetryLog,
    sessions: Sessions,
    listening: Sequence[Listener | PlainListener],
) -> tuple[PlainListener, ...]:
    """What serves the port; nothing where it is off. `listening` are the other ports, which are watched."""
    if not sockets.metrics:
        return ()
    from accredit.app import metrics  # noqa: PLC0415 - see above

    watched = metrics.Watched(means.tallies, store, telemetry, sessions, tuple(listening))
    return (metrics.listener(watched, sockets, means.clock, means.entropy),)
