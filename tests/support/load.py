"""A load of devices that live as devices do: register, poll, register again, change keys, send telemetry, try again.

Each device acts by a seed of its own, keeps a `Book`, and never stops at a lost connection. What the service should
never have said is a complaint. `accountant.py` compares the books with the service's own afterwards.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from cryptography import x509
from cryptography.x509.oid import NameOID

from accredit.wire import dps, mqtt, topics
from support.device_book import Book
from support.mqtt_peer import Lost, MqttPeer, Service, Told, Unanswered

THINK_S = 0.25
"""What a device waits between two things that it does, on average."""

POLL_S = 0.4
"""A device is told to poll after 3 s; these hurry, so that a campaign is over sooner."""

POWER_LOSS = 0.06
"""How likely it is that a device asks and is gone before it hears anything."""

GIVE_UP_S = 240.0

TIMED_OUT = "did not answer in time"
"""How an operation ends whose authority was silent for too long. The device registers again."""

Action = Callable[[], Awaitable[None]]


class Postponed(Exception):
    """The service asks to come back later."""


class Fleet:
    """All devices, and how far they have come."""

    def __init__(self, service: Service, books: Sequence[Book], seed: int, think_s: float = THINK_S) -> None:
        self.service = service
        self.books = books
        self.think_s = think_s
        self.steps = self.timed_out = 0
        self.complaints: list[str] = []
        self.calm = asyncio.Event()
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self.devices = [Device(self, book, f"{seed}/{book.registration_id}") for book in books]

    @asynccontextmanager
    async def at_work(self):
        """The devices live while the body runs; leaving it waits until each has what it wants."""
        async with asyncio.TaskGroup() as group:
            for device in self.devices:
                group.create_task(device.live(), name=device.book.registration_id)
            yield self
            self.calm.set()

    def stepped(self) -> None:
        self.steps += 1
        due = [future for threshold, future in self._waiters if threshold <= self.steps]
        self._waiters = [entry for entry in self._waiters if entry[0] > self.steps]
        for future in due:
            if not future.done():
                future.set_result(None)

    async def makes(self, steps: int, within_s: float = 180.0) -> None:
        """Return once so many more packets went to and fro."""
        future = asyncio.get_running_loop().create_future()
        self._waiters.append((self.steps + steps, future))
        async with asyncio.timeout(within_s):
            await future


class Device:
    """One device. `impatient` ones take a new key while the order for the one before is still under way."""

    def __init__(self, fleet: Fleet, book: Book, seed: str) -> None:
        self.fleet = fleet
        self.book = book
        self.random = random.Random(seed)
        self._operation: tuple[int, str] | None = None

    async def live(self) -> None:
        while not self.fleet.calm.is_set():
            await self._retried(self._choice())
            await asyncio.sleep(self.random.expovariate(1 / self.fleet.think_s))
        await self._retried(self.register)
        await self._retried(self.report)

    def _choice(self) -> Action:
        if not self.book.settled:
            return self.register
        earlier = sorted({answer.key for answer in self.book.answers} - {self.book.current})
        match self.random.random():
            case roll if roll < 0.25:
                return self.register
            case roll if roll < 0.45:
                self.book.take_new_key()
                return self.register
            case roll if roll < 0.50 and earlier:
                self.book.go_back_to(self.random.choice(earlier))
                return self.register
            case roll if roll < 0.55:
                return self.register_without_csr
        return self.report

    async def _retried(self, action: Action) -> None:
        """As SDKs do: whatever is lost is tried again, later and later; not for ever."""
        deadline = time.monotonic() + GIVE_UP_S
        wait_s = 0.1
        while True:
            try:
                return await action()
            except (Lost, Postponed, Unanswered) as reason:
                if isinstance(reason, Unanswered):
                    self._complain(str(reason))
                if time.monotonic() > deadline:
                    raise AssertionError(f"{self.book.registration_id} gave up: {reason}") from reason
            await asyncio.sleep(wait_s * self.random.uniform(0.5, 1))
            wait_s = min(2 * wait_s, 1.0)

    def _complain(self, text: str) -> None:
        self.fleet.complaints.append(f"{self.book.registration_id}: {text}")

    # At the provisioning service.

    async def register(self) -> None:
        """Until the current key, or the one that takes its place, has its certificate."""
        book = self.book
        body = dps.register_body(book.registration_id, dps.CLIENT_CERTIFICATE_CSR, book.csr(book.current))
        book.asks()
        async with self._at_dps() as peer:
            told = await self._asked(peer, body)
            while told.status == 202:
                operation_id = told.document.operation_id
                assert operation_id is not None
                self._operation = (book.current, operation_id)
                if self._loses_patience():
                    book.take_new_key(abandon=True)
                    raise Postponed("another key is wanted now")
                await asyncio.sleep(min(told.retry_after_s or POLL_S, POLL_S))
                told = await peer.asks(topics.StatusQuery("2", operation_id), b" ")
        self._operation = None
        self._take(told)

    async def _asked(self, peer: MqttPeer, body: bytes) -> Told:
        """After a lost connection some poll on, others register once more."""
        if self.random.random() < POWER_LOSS:
            peer.ask(topics.Register("5"), body)
            if self._loses_patience():
                self.book.take_new_key(abandon=True)
            raise Lost("the device lost power")
        under_way = self._operation is not None and self._operation[0] == self.book.current
        if under_way and self.random.random() < 0.5:
            return await peer.asks(topics.StatusQuery("3", self._operation[1]), b" ")
        return await peer.asks(topics.Register("1"), body)

    def _loses_patience(self) -> bool:
        """Never of the key that it took out of impatience: else none would come to its end."""
        book = self.book
        waited = book.current not in {answer.key for answer in book.answers}
        fresh = book.current - 1 not in book.abandoned
        return (
            book.identity.impatient
            and waited
            and fresh
            and not self.fleet.calm.is_set()
            and self.random.random() < 0.5
        )

    def _take(self, told: Told) -> None:
        state = self._assigned(told)
        if state is None:
            return
        chain = state.get("issuedClientCertificate")
        if chain is None:
            self._complain(f"assigned without a certificate: {state}")
            raise Postponed("no certificate")
        leaf = x509.load_pem_x509_certificates(chain.encode())[0]
        mine = x509.load_pem_x509_csr(self.book.csr(self.book.current).encode())
        if leaf.public_key() != mine.public_key():
            self._complain(f"the certificate {leaf.serial_number:X} is for another key")
        names = [name.value for name in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        if names != [self.book.registration_id]:
            self._complain(f"the certificate {leaf.serial_number:X} is for {names}")
        self.book.was_answered(chain, state["deviceId"], state["assignedHub"])

    def _assigned(self, told: Told) -> dict | None:
        document = told.document
        if told.status == 429 or told.status >= 500:
            raise Postponed(f"{told.status} {document.message}")
        if document.status == "failed" and TIMED_OUT in str(document.registration_state):
            self.fleet.timed_out += 1
            raise Postponed("the authority was silent for too long")
        if told.status != 200 or document.status != "assigned" or document.registration_state is None:
            self._complain(f"answered {told.status}: {document}")
            raise Postponed("not assigned")
        return document.registration_state

    async def register_without_csr(self) -> None:
        async with self._at_dps() as peer:
            told = await peer.asks(topics.Register("4"), dps.register_body(self.book.registration_id))
        state = self._assigned(told)
        if state is not None and "issuedClientCertificate" in state:
            self._complain("a certificate came that was not asked for")

    @asynccontextmanager
    async def _at_dps(self):
        async with await MqttPeer(self.fleet.service, self.fleet.stepped).open() as peer:
            await peer.joins_dps(self.book.registration_id, self.book.identity.key)
            yield peer

    # At the hub.

    async def report(self) -> None:
        """Send what is not acknowledged yet, and a few messages more, with the certificate of the last answer."""
        book, answer = self.book, self.book.answers[-1]
        peer = MqttPeer(self.fleet.service, self.fleet.stepped)
        async with await peer.open(book.credential(answer)):
            code = await peer.joins_hub(answer.device_id)
            if code != 0:
                if code != 3:
                    self._complain(
                        f"CONNACK {code} for the certificate of the last answer, {answer.serial:X}"
                    )
                raise Postponed(f"CONNACK {code}")
            book.was_used(answer.sha256)
            first = max(book.sent, default=0) + 1
            await self._deliver(
                peer, [*book.unacknowledged, *range(first, first + self.random.randint(1, 4))]
            )

    async def _deliver(self, peer: MqttPeer, numbers: list[int]) -> None:
        waiting = {}
        for number in numbers:
            self.book.sends(number)
            waiting[peer.sends(self.book.answers[-1].device_id, str(number).encode())] = number
        while waiting:
            acknowledged = await peer.hear(mqtt.PubAck)
            self.book.was_acknowledged(waiting.pop(acknowledged.packet_id))
