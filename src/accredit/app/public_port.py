"""The plain, public port: what it needs from the rest of the service, and what is said about its address at start."""

from __future__ import annotations

from collections.abc import Callable

from accredit.app.ports import Sockets
from accredit.ca.statuses import Statuses
from accredit.ca.tokens import Tokens
from accredit.config import Config
from accredit.fronts import public
from accredit.fronts.https import https_front
from accredit.fronts.listener import Ceiling
from accredit.fronts.plain import PlainListener
from accredit.fronts.proxied import Proxies
from accredit.fronts.sources import Sources
from accredit.interfaces import Clock, Entropy, Store
from accredit.observe import log

MAX_CONNECTIONS = 1_000
SOURCE_CONNECTIONS = MAX_CONNECTIONS // 4


def public_listener(
    config: Config,
    sockets: Sockets,
    store: Store,
    clock: Clock,
    entropy: Entropy,
    challenge: Callable[[str], str | None],
    tokens: Tokens,
) -> tuple[PlainListener, ...]:
    """What serves the port; nothing where it is off."""
    if not sockets.public or config.public_address is None:
        return ()
    statuses = Statuses(store, clock, config.public_address, tokens)
    front = https_front(public.routes(statuses, challenge), clock, entropy, websockets={})
    # A ceiling of its own, so that who reads CRLs takes no place of a device; and nobody takes all of it.
    sources = Sources(clock, SOURCE_CONNECTIONS, config.source_connections_per_second)
    ceiling = Ceiling(min(MAX_CONNECTIONS, config.max_connections), sources)
    proxies = Proxies(config.proxy_protocol_from)
    return (PlainListener("public", sockets.public, front.connection, ceiling, proxies),)


def tell_address(config: Config) -> None:
    """Who serves a network without having said under which address is told what goes into every certificate."""
    if config.public_url or config.hub_name == "localhost" or config.public_address is None:
        return
    log.warning(
        "public-url-assumed",
        publicUrl=config.public_address,
        note="it goes into every certificate that the built-in CA signs, as the place of CRLs and OCSP; "
        "set --public-url before devices get theirs if it is to be another",
    )
