"""The ports of a service, bound before anything is served: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from socket import socket

from accredit.config import Config
from accredit.fronts.listener import LOOPBACK, PortForbidden, bind
from accredit.observe import log

HTTPS_FALLBACK_PORT = 8443


Bind = Callable[[Sequence[str], int, str], list[socket]]
"""As `listener.bind`: hosts, port and the option that moves it."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """Listening sockets by wire; none for a wire that is not served."""

    https: list[socket] = field(default_factory=list)
    mqtt: list[socket] = field(default_factory=list)
    amqp: list[socket] = field(default_factory=list)
    public: list[socket] = field(default_factory=list)
    metrics: list[socket] = field(default_factory=list)

    def __iter__(self) -> Iterator[socket]:
        return iter((*self.https, *self.mqtt, *self.amqp, *self.public, *self.metrics))


def bound(config: Config, listening: Bind = bind, *, amqp: bool = False) -> Sockets:
    """Listening sockets for HTTPS, MQTT and, where they are served, AMQP and what is public; raises CannotListen."""
    hosts = config.bind or LOOPBACK
    sockets = Sockets()
    try:
        sockets.https.extend(_https(config, hosts, listening))
        sockets.mqtt.extend(listening(hosts, config.mqtt_port, "--mqtt-port"))
        if amqp:
            sockets.amqp.extend(listening(hosts, config.amqp_port, "--amqp-port"))
        if config.public_port:
            sockets.public.extend(listening(hosts, config.public_port, "--public-port"))
        if config.metrics_port:
            watched = config.metrics_bind or LOOPBACK
            sockets.metrics.extend(listening(watched, config.metrics_port, "--metrics-port"))
    except BaseException:
        for each in sockets:
            each.close()
        raise
    return sockets


def own_address(bound_to: Sequence[str]) -> str:
    """An address at which this machine itself reaches what is bound so."""
    first = (bound_to or LOOPBACK)[0]
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(first, first)  # noqa: S104 - read, not bound


def _https(config: Config, hosts: Sequence[str], listening: Bind) -> list[socket]:
    """An implicit 443 that needs a missing privilege becomes 8443; an explicit one never does."""
    try:
        return listening(hosts, config.https_port, "--https-port")
    except PortForbidden:
        if "https_port" in config.explicit:
            raise
    log.warning(
        "https-port-fallback",
        reason=f"port {config.https_port} needs a privilege that this process does not have; serving on {HTTPS_FALLBACK_PORT}",
        remedy="set --https-port, or allow 443 with `sysctl net.ipv4.ip_unprivileged_port_start=443`",
    )
    return listening(hosts, HTTPS_FALLBACK_PORT, "--https-port")
