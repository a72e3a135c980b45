"""Every authority that there is, ready to take orders: what the contract suite runs over.

To add one: an async context manager that yields an `AuthorityAtHand`, and its line in `AUTHORITIES`. Its certificates
must be valid at the hand clock's instant.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accredit.authorities.builtin import BuiltInAuthority, Hardware
from accredit.authorities.digicert.one import DigiCertOne
from accredit.authorities.upstream import Surroundings
from accredit.ca.ceremony import Ceremony, Place
from accredit.ca.serials import ReservedSerials
from accredit.ca.tokens import Tokens
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import Order
from accredit.domain.ids import AuthorityName
from accredit.domain.secret import Secret
from accredit.egress import Egress, EgressRules
from accredit.interfaces import Authority, OrderAnswer, Pending, PollsOrder
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from support import digicert_one as digicert
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock
from support.real_authorities import MAKERS, RealCA, RealCAs
from support.signing_requests import order
from support.soft_hsm import soft_hsm
from support.vendor_authorities import VENDORS

PATIENCE_S = 60.0
AHEAD_S = 5


class AheadOfThem(HandClock):
    """Real CAs sign by the machine's clock: this one goes on with it, a little ahead, and a test may move it on."""

    def __init__(self) -> None:
        super().__init__(AHEAD_S)

    def now(self) -> float:
        return time.time() + self.instant


At = Callable[[RealCAs], AbstractAsyncContextManager["AuthorityAtHand"]]


@dataclass(frozen=True, slots=True)
class AuthorityAtHand:
    """`refuse()` brings the authority into a state in which it says no to the registration id that it returns.

    `real` is the CA behind the connector, where that is a real one.
    """

    authority: Authority
    clock: HandClock
    refuse: Callable[[], str]
    real: RealCA | None = None


@asynccontextmanager
async def builtin(_: RealCAs) -> AsyncIterator[AuthorityAtHand]:
    clock, entropy = HandClock(), CountedEntropy()

    def expire() -> str:
        clock.advance(6 * 366 * 86_400)
        return "device-1"

    record = BuiltInAuthority.found(AuthorityName.parse("builtin"), entropy, clock)
    yield AuthorityAtHand(
        authority=BuiltInAuthority(record, entropy, clock),
        clock=clock,
        refuse=expire,
    )


@asynccontextmanager
async def in_a_token(_: RealCAs) -> AsyncIterator[AuthorityAtHand]:
    """Ours, with its key in a token of SoftHSM's."""
    clock, entropy, hsm = HandClock(), CountedEntropy(), soft_hsm()
    tokens = Tokens(clock, hsm.module, hsm.pin_file)
    name = AuthorityName.parse("plant")
    place = Place(hsm.make_token())
    settings, secrets = Ceremony(entropy, None, tokens).found(name, int(clock.now()), place=place)
    record = AuthorityRecord(name, "BuiltIn", settings, secrets, "v1", "e1", 0, 0)

    def expire() -> str:
        clock.advance(6 * 366 * 86_400)
        return "device-1"

    with tempfile.TemporaryDirectory() as folder:
        store = await SqliteStore.open(Path(folder) / "a.db", Sealer([Secret(b"k" * 32)]))
        hardware = Hardware(tokens, ReservedSerials(store, clock, entropy, "here"))
        try:
            yield AuthorityAtHand(
                authority=BuiltInAuthority(record, entropy, clock, hardware=hardware),
                clock=clock,
                refuse=expire,
            )
        finally:
            await store.close()


@asynccontextmanager
async def digicert_one(_: RealCAs) -> AsyncIterator[AuthorityAtHand]:
    clock = HandClock()
    async with digicert.DigiCertOneServer(now=clock.now) as server:
        egress = Egress(EgressRules((), server.url))

        def refuse() -> str:
            server.faults.append("refuse-403")
            return "device-1"

        record = AuthorityRecord(
            name=AuthorityName.parse("digicert"),
            type="DigiCertCertificateAuthority",
            settings={"profileName": digicert.PROFILE},
            secrets={"apiKey": Secret(digicert.API_KEY.encode())},
            version="v1",
            etag="e1",
            created_at=int(clock.now()),
            updated_at=int(clock.now()),
        )
        try:
            yield AuthorityAtHand(
                authority=DigiCertOne(record, Surroundings(egress, clock, server.url)),
                clock=clock,
                refuse=refuse,
            )
        finally:
            await egress.close()


def real(name: str) -> At:
    """The connector before the real CA of this name."""

    @asynccontextmanager
    async def at_hand(cas: RealCAs) -> AsyncIterator[AuthorityAtHand]:
        ca, clock = cas.get(name), AheadOfThem()
        async with ca.connected(clock) as authority:
            yield AuthorityAtHand(authority, clock, lambda: ca.refused, ca)

    return at_hand


def an_order(hand: AuthorityAtHand, registration_id: str, **facts: Any) -> Order:
    """An order as the authority wants it."""
    dns_name = registration_id.lower() if hand.real is not None and hand.real.wants_dns_name else None
    return order(registration_id, since=int(hand.clock.now()), dns_name=dns_name, **facts)


async def settled(authority: Authority, ordered: Order, waits: list[int] | None = None) -> OrderAnswer:
    """What comes of an order: while it is pending the authority is asked again, sooner than it says (`waits`)."""
    answer = await authority.order(ordered)
    async with asyncio.timeout(PATIENCE_S):
        while isinstance(answer, Pending):
            assert isinstance(authority, PollsOrder)
            if waits is not None:
                waits.append(answer.retry_after_s)
            answer = await authority.poll(ordered, answer.handle)
            await asyncio.sleep(0.02 if isinstance(answer, Pending) else 0)
    return answer


AUTHORITIES: dict[str, At] = {
    "BuiltIn": builtin,
    "BuiltIn in a token": in_a_token,
    "DigiCertOne": digicert_one,
    **{name: real(name) for name in MAKERS},
    **VENDORS,
}
