"""Ask: what an authority says to an order, or of one that it was sent before.

A connector raises nothing but what a bug raises; whatever it does raise counts as a lost answer, because the CA may
have signed by then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TypeVar

from accredit.domain.credential import IssuedChain
from accredit.domain.errors import UpstreamRejected, UpstreamUnavailable
from accredit.interfaces import (
    Authority,
    Delivered,
    FindsOrder,
    OrderAnswer,
    Pending,
    PollsOrder,
    Store,
    Unknown,
)
from accredit.observe import log
from accredit.provisioning.intent import BACKDATING_S, Intent

T = TypeVar("T")


async def answer_to(intent: Intent, call: Awaitable[T]) -> T | Unknown:
    """What a connector's call returns; Unknown when it raises."""
    try:
        return await call
    except (UpstreamUnavailable, UpstreamRejected) as error:
        return Unknown(error.message)
    except Exception:  # noqa: BLE001 - logged with its trace; a bug of one connector must not keep an operation for ever
        log.exception("connector-failed", operationId=intent.operation.id)
        return Unknown("The connector of the certificate authority failed.")


async def what_became(store: Store, intent: Intent, authority: Authority) -> OrderAnswer | None:
    """Poll the order, or look up what a lost answer has made; None when nothing can be found."""
    handle = intent.operation.handle
    if handle is not None and isinstance(authority, PollsOrder):
        polled = await answer_to(intent, authority.poll(await intent.order(), handle))
        if isinstance(polled, Delivered) and await _known(store, authority, polled.issued):
            # An earlier certificate of the same key: this order's is not there yet.
            return Pending(handle, 0)
        return polled
    if isinstance(authority, FindsOrder):
        found = await answer_to(intent, authority.find(await intent.order()))
        return found if isinstance(found, Unknown) else await _adopted(store, intent, authority, found)
    return None


async def _adopted(
    store: Store, intent: Intent, authority: Authority, found: Sequence[IssuedChain]
) -> Delivered | None:
    """The newest that is ours; every other one goes on record, and is revoked: the device gets one certificate."""
    ours = await unaccounted(store, intent, authority, found)
    for other in ours[1:]:
        await intent.keep(other, stray=True)
    return Delivered(ours[0]) if ours else None


async def unaccounted(
    store: Store, intent: Intent, authority: Authority, found: Sequence[IssuedChain]
) -> Sequence[IssuedChain]:
    """What the order can have made and the log does not have, of certificates of its key and name."""
    oldest = intent.operation.created_at - BACKDATING_S
    return [each for each in found if each.not_before >= oldest and not await _known(store, authority, each)]


async def _known(store: Store, authority: Authority, issued: IssuedChain) -> bool:
    return await store.serial_known(authority.name, issued.serial)
