"""Which wires are served, and the listener of each: HTTPS, MQTT, and AMQP where the extra for it is installed.

HTTPS shares its port with MQTT and AMQP over WebSocket. AMQP's engine is imported here and nowhere else, and only when
it can be: a service without it pays nothing for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from starlette.routing import Route

from accredit.app.open_files import room_for
from accredit.app.ports import Sockets
from accredit.app.tls_identity import TLSIdentity
from accredit.config import Config
from accredit.fronts.amqp import AmqpConnection, AmqpDoors
from accredit.fronts.amqp_dps import AmqpDps
from accredit.fronts.amqp_hub import AmqpHub
from accredit.fronts.amqp_mechanisms import mechanisms
from accredit.fronts.handshakes import Handshakes
from accredit.fronts.https import https_front
from accredit.fronts.listener import Ceiling, Listener
from accredit.fronts.mqtt import MqttConnection
from accredit.fronts.mqtt_dps import DpsConversations
from accredit.fronts.mqtt_hub import HubConversations
from accredit.fronts.proxied import Proxies
from accredit.fronts.sources import Sources
from accredit.interfaces import Clock, Entropy
from accredit.observe import log
from accredit.provisioning.questions import Provisioning
from accredit.values import dataclass

Front = Callable[[], asyncio.BaseProtocol]


@dataclass(frozen=True, slots=True)
class DeviceFronts:
    """Makers of the fronts that devices speak to; `amqp` is None where AMQP is not served."""

    mqtt: Front
    amqp: Front | None

    @property
    def websockets(self) -> dict[str, Front]:
        """By WebSocket subprotocol, in lower case."""
        return {"mqtt": self.mqtt} | ({} if self.amqp is None else {"amqpwsb10": self.amqp})


def amqp_engine() -> Any | None:
    """The module of the engine, or None, with one line that says so, where the extra is not installed."""
    try:
        return import_module("accredit.fronts.amqp_engine")
    except ImportError as error:
        log.warning(
            "amqp-not-served",
            reason=f"the extra accredit[amqp] is not installed ({error}): the AMQP port and AMQP over WebSocket stay closed",
            remedy="`pip install 'accredit[amqp]'`, or `make install EXTRAS=amqp`",
        )
        return None


def device_fronts(
    provisioning: Provisioning,
    devices: HubConversations,
    clock: Clock,
    entropy: Entropy,
    engine: Any | None,
) -> DeviceFronts:
    """`engine` is what `amqp_engine` gave."""
    mqtt = partial(MqttConnection, DpsConversations(provisioning.over("mqtt"), clock, entropy), devices)
    if engine is None:
        return DeviceFronts(mqtt, None)
    dps, hub = AmqpDps(provisioning.over("amqp"), clock, entropy), AmqpHub(devices)
    make = partial(engine.Engine, engine.EngineLimits())
    return DeviceFronts(mqtt, partial(AmqpConnection, AmqpDoors(dps, hub, mechanisms(dps, hub), make)))


def listeners(
    config: Config,
    sockets: Sockets,
    identity: TLSIdentity,
    routes: Sequence[Route],
    fronts: DeviceFronts,
    clock: Clock,
    entropy: Entropy,
) -> tuple[Listener, ...]:
    """One for each port that was bound, not started."""
    https = https_front(routes, clock, entropy, websockets=fronts.websockets)
    sources = Sources(clock, config.source_connections, config.source_connections_per_second)
    ceiling = Ceiling(room_for(config.max_connections), sources)
    proxies = Proxies(config.proxy_protocol_from)
    listener = partial(
        Listener, context=identity.context, ceiling=ceiling, proxies=proxies, handshakes=Handshakes()
    )
    made = [
        listener("https", sockets.https, front=https.connection),
        listener("mqtt", sockets.mqtt, front=fronts.mqtt),
    ]
    if fronts.amqp is not None:
        made.append(listener("amqp", sockets.amqp, front=fronts.amqp))
    return tuple(made)
