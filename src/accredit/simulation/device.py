"""One simulated device: it comes, perhaps does something wrong first, gets its certificate, and lives on its hub.

It goes on until the run ends: telemetry, renewals over the hub, and a new connection whenever the old one is lost, later
and later as SDKs do. What the service should not have said is a complaint.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from random import Random

import msgspec
from cryptography import x509
from cryptography.x509.oid import NameOID

from accredit.domain.ids import DeviceId
from accredit.simulation.keys import KeyPair, derived
from accredit.simulation.mqtt_peer import Astray, Lost, MqttPeer, Service, Told, Unanswered
from accredit.simulation.plan import Fault, Part
from accredit.simulation.scenario import Scenario
from accredit.simulation.tally import Tally
from accredit.values import dataclass, field
from accredit.wire import credentials, dps, mqtt, topics

PING_S = 40.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 5.0
GRACE_S = 60.0
"""How long after the end of the run a device still tries to get what it came for, unless the setting says otherwise."""

NOT_AUTHORIZED, THROTTLED, BAD_REQUEST = 401, 429, 400
_HELLO = b"\x16\x03\x01\x02\x00"
"""How a TLS ClientHello begins; nothing follows it."""


class Postponed(Exception):
    """The service asks to come back later, in `after_s` seconds where it says when."""

    def __init__(self, why: str, after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


@dataclass(slots=True)
class Setting:
    """What all devices of a run share. `group_key` is raw; times are the event loop's."""

    service: Service
    prefix: str
    group_key: bytes
    scenario: Scenario
    tally: Tally
    folder: Path
    began_at: float
    grace_s: float = GRACE_S
    storm: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ends_at(self) -> float:
        return self.began_at + self.scenario.duration_s


class Device:
    """Its `serials` are of every certificate that it was given, the newest last."""

    def __init__(self, setting: Setting, part: Part) -> None:
        self.registration_id = f"{setting.prefix}-{part.number}"
        self.serials: list[int] = []
        self._setting = setting
        self._part = part
        self._tally = setting.tally
        self._random = Random(part.seed)  # noqa: S311 - repeatable on purpose, and no secret
        self._symmetric = derived(setting.group_key, self.registration_id)
        self._key = self._new_key()
        self._device_id = ""
        self._broken_at: float | None = None
        self._requests = 0
        scenario = setting.scenario
        self._next_telemetry = self._within(scenario.telemetry_every_s)
        self._next_renewal = self._within(scenario.renew_every_s)

    async def lives(self) -> None:
        """From its arrival to the end of the run."""
        await self._until(self._setting.began_at + self._part.arrives_at_s)
        if self._part.fault is not None:
            await self._retried(partial(self._errs, self._part.fault))
        began = self._now()
        await self._retried(self._provision)
        if self._device_id:
            self._tally.took("provisioned", self._now() - began)
        while self._device_id and self._now() < self._setting.ends_at:
            await self._retried(self._stay)

    # Patience.

    async def _retried(self, action: Callable[[], Awaitable[None]]) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            after_s = None
            try:
                await action()
            except Postponed as told:
                self._tally.happened["told to come back later"] += 1
                after_s = told.after_s
            except Lost:
                self._tally.happened["lost its connection"] += 1
            except Unanswered as silence:
                self._tally.complain(f"{self.registration_id}: {silence}")
            except (Astray, mqtt.ProtocolViolation) as wrong:
                self._tally.complain(f"{self.registration_id}: {wrong}")
            else:
                return
            if self._now() > self._setting.ends_at + self._setting.grace_s:
                self._tally.complain(f"{self.registration_id}: gave up")
                return
            await asyncio.sleep(max(wait_s * self._random.uniform(0.5, 1), after_s or 0))
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _within(self, every_s: float) -> float:
        """The next instant of something that happens so often on average; `inf` for what never does."""
        if not every_s:
            return float("inf")
        return self._now() + self._random.uniform(0.5, 1.5) * every_s

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _until(self, instant: float) -> None:
        await asyncio.sleep(max(0, instant - self._now()))

    # At the provisioning service.

    async def _provision(self) -> None:
        body = dps.register_body(self.registration_id, dps.CLIENT_CERTIFICATE_CSR, self._key.csr)
        async with await MqttPeer(self._setting.service).open() as peer:
            await peer.joins_dps(self.registration_id, self._symmetric)
            told = await peer.asks(topics.Register("1"), body)
            while told.status == 202 and told.document.operation_id is not None:
                await asyncio.sleep(told.retry_after_s or 1)
                told = await peer.asks(topics.StatusQuery("2", told.document.operation_id), b" ")
        self._take(told)

    def _take(self, told: Told) -> None:
        state = told.document.registration_state
        if told.status == THROTTLED or told.status >= 500:
            raise Postponed(f"{told.status} {told.document.message}", told.retry_after_s)
        if told.status != 200 or told.document.status != "assigned" or state is None:
            raise Astray(f"answered {told.status}: {told.document}")
        pem = state.get("issuedClientCertificate")
        if pem is None:
            raise Astray("assigned without a certificate")
        self._adopt(x509.load_pem_x509_certificates(pem.encode()), self._key)
        self._device_id = state["deviceId"]

    def _adopt(self, chain: list[x509.Certificate], key: KeyPair) -> None:
        """Take a certificate as the device's own, having looked at it."""
        leaf = chain[0]
        names = [name.value for name in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        if leaf.public_key() != key.private.public_key() or names != [self.registration_id]:
            raise Astray(f"the certificate {leaf.serial_number:X} is for another key or name")
        key.keep(chain)
        self._key = key
        if leaf.serial_number not in self.serials:
            self.serials.append(leaf.serial_number)

    def _new_key(self) -> KeyPair:
        number = f"{self._part.number}-{len(self.serials) % 2}"
        return KeyPair(self.registration_id, self._setting.folder, number)

    async def _errs(self, fault: Fault) -> None:
        self._tally.happened[f"did wrong: {fault}"] += 1
        match fault:
            case Fault.HALF_OPEN:
                await self._says_half_a_word()
            case Fault.VANISHES:
                async with await MqttPeer(self._setting.service).open() as peer:
                    await peer.joins_dps(self.registration_id, self._symmetric)
                    body = dps.register_body(self.registration_id, dps.CLIENT_CERTIFICATE_CSR, self._key.csr)
                    peer.ask(topics.Register("9"), body)
                    await asyncio.sleep(0)
            case Fault.WRONG_KEY:
                wrong = b64encode(self._random.randbytes(32)).decode()
                await self._refused(NOT_AUTHORIZED, wrong, self._key.csr)
            case Fault.LATE_CLOCK:
                await self._refused(NOT_AUTHORIZED, self._symmetric, self._key.csr, life_s=-3_600)
            case Fault.BROKEN_CSR:
                await self._refused(BAD_REQUEST, self._symmetric, self._key.broken_csr())

    async def _says_half_a_word(self) -> None:
        service = self._setting.service
        try:
            _, writer = await asyncio.open_connection(service.host, service.port)
        except OSError as error:
            raise Lost(str(error)) from error
        writer.write(_HELLO)
        await asyncio.sleep(self._random.uniform(0.1, 2))
        writer.transport.abort()

    async def _refused(self, status: int, key: str, csr: str, life_s: int = 3_600) -> None:
        async with await MqttPeer(self._setting.service).open() as peer:
            await peer.joins_dps(self.registration_id, key, life_s)
            body = dps.register_body(self.registration_id, dps.CLIENT_CERTIFICATE_CSR, csr)
            told = await peer.asks(topics.Register("8"), body)
        if told.status not in {status, THROTTLED}:
            raise Astray(f"{self._part.fault} was answered {told.status} instead of {status}")
        self._tally.happened["refused, as it should be"] += 1

    # At the hub.

    async def _stay(self) -> None:
        """One connection, from its opening to the end of the run, a storm, or the next certificate."""
        began = self._now()
        async with await MqttPeer(self._setting.service).open(self._key.files) as peer:
            code = await peer.joins_hub(self._device_id)
            if code:
                raise Postponed(f"CONNACK {code}") if code == 3 else Astray(f"CONNACK {code} of the hub")
            self._tally.took("connected to the hub", self._now() - began)
            if self._broken_at is not None:
                self._tally.took("back after a storm", self._now() - self._broken_at)
                self._broken_at = None
            while self._now() < self._setting.ends_at:
                if await self._storm_before(
                    min(self._next_telemetry, self._next_renewal, self._setting.ends_at)
                ):
                    self._broken_at = self._now()
                    return
                if self._now() >= self._next_renewal:
                    self._next_renewal = self._within(self._setting.scenario.renew_every_s)
                    await self._renew(peer)
                    return
                await self._speak(peer)

    async def _storm_before(self, instant: float) -> bool:
        wait_s = min(instant - self._now(), PING_S)
        try:
            async with asyncio.timeout(max(0, wait_s)):
                await self._setting.storm.wait()
        except TimeoutError:
            return False
        return True

    async def _speak(self, peer: MqttPeer) -> None:
        """Telemetry where it is due, otherwise what keeps the connection."""
        began = self._now()
        if began < self._next_telemetry:
            peer.say(mqtt.PingReq())
            await peer.hear(mqtt.PingResp)
            return
        self._next_telemetry = self._within(self._setting.scenario.telemetry_every_s)
        body = msgspec.json.encode({"temperature": round(self._random.gauss(21, 3), 1)})
        await peer.acknowledged(peer.sends(self._device_id, body))
        self._tally.took("telemetry acknowledged", self._now() - began)

    async def _renew(self, peer: MqttPeer) -> None:
        began = self._now()
        key = self._new_key()
        self._requests += 1
        asked = credentials.IssueCertificate(key.csr, replace=None)
        body = credentials.request_body(DeviceId.parse(self._device_id), asked)
        await peer.subscribes(topics.CREDENTIAL_RESPONSES)
        packet_id = peer.next_packet_id()
        name = f"{self._part.number}-{self._requests:04}"
        peer.say(mqtt.Publish(topics.format_credential_request(name), body, 1, packet_id))
        await peer.acknowledged(packet_id)
        while True:
            answer = await peer.answered()
            status = topics.parse_credential_response(answer.topic).status
            if status == 200:
                break
            if status == THROTTLED or status >= 500:
                raise Postponed(f"renewal: {status}")
            if status != 202:
                raise Astray(f"a renewal was answered {status}: {answer.payload[:200]!r}")
        renewed = msgspec.json.decode(answer.payload)
        self._adopt(
            [x509.load_der_x509_certificate(b64decode(each)) for each in renewed["certificates"]], key
        )
        self._tally.took("renewed", self._now() - began)
