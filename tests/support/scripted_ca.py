"""An outside CA that does what its script says, one step for each order, and remembers everything that it signed.

A step is a coroutine function of the CA and the order; the steps below are the usual ones. Polls and look-ups are
answered from what is signed, unless `polls` and `finds` script them too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from cryptography.hazmat.primitives.serialization import Encoding

from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import IssuedChain, Order
from accredit.interfaces import Authority, Deferred, Delivered, OrderAnswer, Pending, Rejected, Unknown
from accredit.policy.delivered import check_delivered, stray
from support.hand_clock import HandClock
from support.small_issuer import Issuer, new_key

LIFE_S = 30 * 86_400

Step = Callable[["ScriptedCA", Order], Awaitable[OrderAnswer]]


class ScriptedCA:
    """The CA itself: it outlives connectors and restarts of the service."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.issuer = Issuer("Outside", clock.now())
        self.script: list[Step] = []
        self.polls: list[Step] = []
        self.finds: list[Exception | None] = []
        self.ledger: list[tuple[Order, IssuedChain]] = []
        self.orders: list[Order] = []
        self.surprises: list[str] = []
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()

    def will(self, *steps: Step) -> None:
        self.script.extend(steps)

    def sign(self, order: Order, *, begins: int | None = None) -> IssuedChain:
        """What was ordered."""
        now = int(self.clock.now())
        chain = self.raw(order, order.registration_id.text, now if begins is None else begins)
        issued = check_delivered(order, chain, (), None, now)
        self.ledger.append((order, issued))
        return issued

    def sign_wrong(self, order: Order, *, name: str | None = None, own_key: bool = True) -> IssuedChain:
        """Something else: another name, or another key."""
        key = None if own_key else new_key().public_key()
        issued = stray(order, self.raw(order, name or "somebody-else", int(self.clock.now()), key))
        assert issued is not None
        self.ledger.append((order, issued))
        return issued

    def raw(self, order: Order, name: str, begins: int, key=None) -> tuple[bytes, ...]:
        instants = [datetime.fromtimestamp(at, UTC) for at in (begins, begins + LIFE_S)]
        leaf = self.issuer.leaf(name, key or order.request.csr.public_key(), *instants)
        return tuple(one.public_bytes(Encoding.DER) for one in (leaf, self.issuer.intermediate))

    async def answer(self, order: Order) -> OrderAnswer:
        self.orders.append(order)
        self.asked.set()
        if not self.script:
            self.surprises.append(
                f"order {len(self.orders)} of {order.registration_id} was not in the script"
            )
            return Rejected("not in the script", "ca-refused")
        return await self.script.pop(0)(self, order)

    def made(self, order: Order) -> list[IssuedChain]:
        """Every certificate of this key and name, the newest first."""
        spki = order.request.spki_sha256
        return [
            issued
            for signed, issued in reversed(self.ledger)
            if issued.spki_sha256 == spki and signed.registration_id == order.registration_id
        ]


async def delivers(ca: ScriptedCA, order: Order) -> OrderAnswer:
    return Delivered(ca.sign(order))


async def loses_the_answer(ca: ScriptedCA, order: Order) -> OrderAnswer:
    ca.sign(order)
    return Unknown("the answer was lost")


async def loses_the_order(ca: ScriptedCA, order: Order) -> OrderAnswer:
    return Unknown("nobody knows")


async def raises(ca: ScriptedCA, order: Order) -> OrderAnswer:
    raise RuntimeError("a bug of the connector")


async def signs_and_raises(ca: ScriptedCA, order: Order) -> OrderAnswer:
    ca.sign(order)
    raise RuntimeError("a bug of the connector")


async def rejects(ca: ScriptedCA, order: Order) -> OrderAnswer:
    return Rejected("The CA said no.", "ca-refused")


async def signs_another_name(ca: ScriptedCA, order: Order) -> OrderAnswer:
    return Rejected("wrong name", "ca-wrong-name", ca.sign_wrong(order))


def deferred(wait_s: int = 5) -> Step:
    async def step(ca: ScriptedCA, order: Order) -> OrderAnswer:
        return Deferred("too busy", wait_s)

    return step


def pending(handle: str = "request-7", wait_s: int = 10) -> Step:
    async def step(ca: ScriptedCA, order: Order) -> OrderAnswer:
        return Pending(handle, wait_s)

    return step


def at_the_gate(step: Step) -> Step:
    """Wait for the gate to open first."""

    async def waiting(ca: ScriptedCA, order: Order) -> OrderAnswer:
        await ca.gate.wait()
        return await step(ca, order)

    return waiting


def then_at_the_gate(step: Step) -> Step:
    """Do it, but tell of it only when the gate opens."""

    async def waiting(ca: ScriptedCA, order: Order) -> OrderAnswer:
        answer = await step(ca, order)
        await ca.gate.wait()
        return answer

    return waiting


class Orders:
    """A connector that can do nothing but order."""

    in_process = False

    def __init__(self, record: AuthorityRecord, ca: ScriptedCA) -> None:
        self.name = record.name
        self.version = record.version
        self.ca = ca

    async def order(self, order: Order) -> OrderAnswer:
        return await self.ca.answer(order)


class Finds(Orders):
    async def find(self, order: Order) -> Sequence[IssuedChain]:
        failure = self.ca.finds.pop(0) if self.ca.finds else None
        if failure is not None:
            raise failure
        return self.ca.made(order)


class Polls(Orders):
    async def poll(self, order: Order, handle: str) -> OrderAnswer:
        if self.ca.polls:
            return await self.ca.polls.pop(0)(self.ca, order)
        made = self.ca.made(order)
        return Delivered(made[0]) if made else Pending(handle, 10)


class PollsAndFinds(Polls, Finds):
    pass


CONNECTORS: dict[str, type[Orders]] = {
    "orders": Orders,
    "finds": Finds,
    "polls": Polls,
    "polls-and-finds": PollsAndFinds,
}


def connected(kind: str, record: AuthorityRecord, ca: ScriptedCA) -> Authority:
    return CONNECTORS[kind](record, ca)
