"""The SASL dialog of one AMQP connection: a mechanism is offered, chosen and carried out, and the peer has a name.

A mechanism reads what the peer says and may ask it more; what it returns is a claim that is judged later, at the register
call or the link, except where the protocol wants it judged here (a hub's device with a token, TPM). To a peer that may not
enter every reason looks the same: outcome `auth`; the log has the rule and what was seen.

Bytes are `wire/amqp_sasl.py`'s; deadlines are the connection's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Protocol

from accredit.domain.errors import AccreditError, Throttled, UpstreamUnavailable
from accredit.fronts.amqp_links import Peer
from accredit.fronts.eager import start
from accredit.interfaces import StoreUnavailable
from accredit.observe import log
from accredit.wire import amqp_sasl as sasl
from accredit.wire.amqp_types import AmqpError

Ask = Callable[[bytes], Awaitable[bytes]]
"""Send a challenge, get the response."""

MAX_HELD_BYTES = 64 * 1024
"""What a peer may send while its login is being judged: the beginning of AMQP itself."""

_SHOWN_CHARS = 40


class Unwelcome(Exception):
    """A refusal that was logged where it was made."""

    def __init__(self, refusal: AccreditError | None = None) -> None:
        super().__init__()
        self.outcome = sasl.SYS_TEMP if isinstance(refusal, Throttled | UpstreamUnavailable) else sasl.AUTH


class Mechanism(Protocol):
    async def __call__(self, init: sasl.Init, ask: Ask, peer: Peer) -> Peer:
        """The peer with what it said of itself; raises AmqpError, AccreditError, StoreUnavailable or Unwelcome."""
        ...


class Login:
    """One connection's dialog. `done` is called once: with the peer, or with None when it may not enter."""

    def __init__(
        self,
        mechanisms: Mapping[str, Mechanism],
        peer: Peer,
        write: Callable[[bytes], None],
        done: Callable[[Peer | None], None],
    ) -> None:
        self._mechanisms = mechanisms
        self._peer = peer
        self._write = write
        self._done = done
        self._decoder = sasl.Decoder()
        self._asked: asyncio.Future[bytes] | None = None
        self._begun = False
        self._over = False
        self._task: asyncio.Task[None] | None = None

    def offer(self) -> None:
        """The protocol header and the mechanisms, which nobody waits for the peer to ask for."""
        self._write(sasl.SASL_HEADER + sasl.encode(sasl.Mechanisms(tuple(self._mechanisms))))

    def receive(self, data: bytes) -> None:
        if self._over:
            return
        frames = self._decoder.feed(data)
        if self._decoder.held_bytes > MAX_HELD_BYTES:
            self._refuse(sasl.AUTH, "amqp-sasl", "too much for a login")
            return
        try:
            self._pump(frames)
        except AmqpError as error:
            self._refuse(sasl.AUTH, "amqp-sasl", error.reason)

    def _pump(self, frames: Iterator[sasl.Frame]) -> None:
        while self._listening:
            frame = next(frames, None)
            if frame is None:
                return
            self._step(frame)

    @property
    def _listening(self) -> bool:
        """While a mechanism thinks, nothing is read: what comes then may be AMQP already."""
        if self._over or not self._begun:
            return not self._over
        return self._asked is not None and not self._asked.done()

    def rest(self) -> bytes:
        """What came behind the last frame of the dialog."""
        return self._decoder.rest()

    def abandon(self) -> None:
        """The connection is gone, or the dialog is over: a mechanism that waits for a response gets none."""
        self._over = True
        if self._asked is not None and self._task is not None:
            self._task.cancel()

    def _step(self, frame: sasl.Frame) -> None:
        match frame:
            case sasl.Init() if not self._begun:
                self._begun = True
                self._task = start(self._carry_out(frame))
            case sasl.Response(data) if self._asked is not None:
                self._asked.set_result(data)
            case _:
                raise AmqpError(f"{type(frame).__name__} out of turn")

    async def _carry_out(self, init: sasl.Init) -> None:
        try:
            peer = await self._mechanism(init.mechanism)(init, self._ask, self._peer)
        except AmqpError as error:
            self._refuse(sasl.AUTH, "amqp-sasl", error.reason)
        except Unwelcome as error:
            self._leave(error.outcome)
        except (Throttled, UpstreamUnavailable) as error:
            self._refuse(sasl.SYS_TEMP, error.rule, error.evidence or error.message)
        except StoreUnavailable as error:
            self._refuse(sasl.SYS_TEMP, "store-unavailable", str(error))
        except AccreditError as error:
            self._refuse(sasl.AUTH, error.rule, error.evidence or error.message)
        except Exception:  # noqa: BLE001 - a defect must still end the dialog
            log.exception("amqp-login-failed", source=self._peer.source)
            self._refuse(sasl.SYS, "internal", "")
        else:
            if not self._over:
                self._over = True
                self._write(sasl.encode(sasl.Outcome(sasl.OK)))
                self._done(peer)

    def _mechanism(self, name: str) -> Mechanism:
        mechanism = self._mechanisms.get(name)
        if mechanism is None:
            raise AmqpError(f"the mechanism {name[:_SHOWN_CHARS]!r} is not offered")
        return mechanism

    async def _ask(self, challenge: bytes) -> bytes:
        self._asked = asyncio.get_running_loop().create_future()
        self._write(sasl.encode(sasl.Challenge(challenge)))
        try:
            self._pump(self._decoder.feed(b""))
            return await self._asked
        finally:
            self._asked = None

    def _refuse(self, code: int, rule: str, evidence: str) -> None:
        if not self._over:
            source = self._peer.source
            log.info("amqp-login-refused", source=source, rule=rule, evidence=evidence, outcome=code)
            self._leave(code)

    def _leave(self, code: int) -> None:
        if not self._over:
            self.abandon()
            self._write(sasl.encode(sasl.Outcome(code)))
            self._done(None)
