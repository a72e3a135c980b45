"""What an authority must do, and what it may do beside ordering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from accredit.domain.credential import IssuedChain, Order, RevocationReason
from accredit.domain.ids import (
    AuthorityName,
)
from accredit.values import dataclass


@dataclass(frozen=True, slots=True)
class Delivered:
    """The certificate, checked against the order."""

    issued: IssuedChain


@dataclass(frozen=True, slots=True)
class Pending:
    """Ordered, not finished: poll `handle` after `retry_after_s` seconds."""

    handle: str
    retry_after_s: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """The CA said no (or answered with what was not ordered): asking again would not help. `stray` was signed but not accepted."""

    reason: str
    rule: str
    stray: IssuedChain | None = None


@dataclass(frozen=True, slots=True)
class Deferred:
    """The CA did not take the order (down, throttled): nothing can have been signed. Try again after `retry_after_s`."""

    reason: str
    retry_after_s: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """The answer was lost: a certificate may have been signed."""

    reason: str


OrderAnswer = Delivered | Pending | Rejected | Deferred | Unknown


class Authority(Protocol):
    """What signs. `in_process`: an answer that is not committed was never shown to anybody, so no intent is needed.

    Connectors raise nothing but what a bug raises: what the CA did is in the answer.
    """

    name: AuthorityName
    version: str
    in_process: bool

    async def order(self, order: Order) -> OrderAnswer: ...


@runtime_checkable
class PollsOrder(Protocol):
    """Can ask what became of an order that was answered Pending."""

    async def poll(self, order: Order, handle: str) -> OrderAnswer: ...


@runtime_checkable
class FindsOrder(Protocol):
    """Can look up what an order whose answer was lost has made."""

    async def find(self, order: Order) -> Sequence[IssuedChain]:
        """Certificates of this key and name, the newest first. Raises UpstreamUnavailable or UpstreamRejected."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """How a CA stands, as a probe found it.

    `chain` is DER, the issuing CA's first, where the CA tells it. `can` names what its connector can do beside ordering.
    `credentials_end` is when the CA takes our credentials no more (Unix seconds), where it says so.
    """

    chain: tuple[bytes, ...] = ()
    can: tuple[str, ...] = ()
    credentials_end: int | None = None


@runtime_checkable
class Probes(Protocol):
    """Can be asked whether it would take orders, without ordering anything."""

    async def probe(self) -> Standing:
        """Raises UpstreamUnavailable where it can't be reached, UpstreamRejected where it refuses us or our settings."""
        ...


@runtime_checkable
class TellsChain(Protocol):
    """Knows the certificates above those that it issues without asking anybody."""

    def chain(self) -> tuple[bytes, ...]:
        """DER, the issuing CA's first."""
        ...


@runtime_checkable
class Revokes(Protocol):
    """Can revoke what it issued."""

    async def revoke(self, certificate: IssuedChain, reason: RevocationReason) -> None:
        """Return when the CA has it revoked, now or earlier. Raises UpstreamUnavailable or UpstreamRejected."""
        ...


class Authorities(Protocol):
    """The configured authorities by name."""

    async def get(self, name: AuthorityName) -> Authority | None: ...
