"""What is done every hour: what nobody needs any more is deleted, the TLS certificate renewed when it is due, tokens looked after."""

from __future__ import annotations

import asyncio

from accredit.app.authorities import ConfiguredAuthorities
from accredit.app.tls_identity import TLSIdentity
from accredit.config import Config
from accredit.hub.cuts import KEPT_S
from accredit.interfaces import Clock
from accredit.observe import log
from accredit.stores.reads import StoreReads

OPERATIONS_KEPT_S = 86_400
EVERY_S = 3_600


async def housekeeping(
    config: Config,
    store: StoreReads,
    identity: TLSIdentity,
    clock: Clock,
    authorities: ConfiguredAuthorities,
) -> None:
    """Never returns. Of several processes each does it: to delete twice is as once."""
    try:
        await authorities.look_after_tokens()
    except Exception:  # noqa: BLE001 - logged with its trace; the rest has to be done all the same
        log.exception("housekeeping-failed")
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            now = int(clock.now())
            await store.forget_session_cuts(now - 2 * KEPT_S)
            await store.forget_operations(now - OPERATIONS_KEPT_S)
            await store.forget_refusals(now - config.trace_max_age_s, config.trace_max_count)
            await identity.renew()
            await authorities.look_after_tokens()
        except Exception:  # noqa: BLE001 - logged with its trace, and tried again in an hour
            log.exception("housekeeping-failed")
