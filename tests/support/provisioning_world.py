"""Provisioning on its own: the real store, the built-in CA, an outside one that is scripted, the embedded hub.

Time stands still but for what the service sleeps. `World.restart` is what a new process would see.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from accredit.authorities.builtin import BuiltInAuthority
from accredit.buses.in_process import InProcessBus
from accredit.domain.authority import AuthorityRecord
from accredit.domain.ca_certificate import CaCertificate, Purpose
from accredit.domain.certificate_profile import CertificateProfile
from accredit.domain.changes import (
    Change,
    DeleteEnrollment,
    DeleteRegistration,
    SaveAuthority,
    SaveCaCertificate,
    SaveCertificateProfile,
    SaveEnrollment,
    SaveLinkedHub,
    SaveRegistration,
    SaveTrustBundle,
    UseCertificate,
)
from accredit.domain.credential import CertificateRecord, Profile
from accredit.domain.device import BindingState
from accredit.domain.enrollment import (
    Attestation,
    CaReferences,
    Enrollment,
    EnrollmentKind,
    EnrollmentRef,
    LeafCertificates,
    SigningCertificates,
    SymmetricKeys,
)
from accredit.domain.evidence import Evidence, SasToken
from accredit.domain.ids import (
    AuthorityName,
    CaCertificateName,
    CertificateProfileName,
    DeviceId,
    GroupId,
    RegistrationId,
    TrustBundleName,
)
from accredit.domain.issuance_log import Leaf, LeafKind, certificate_leaf, unknown_leaf
from accredit.domain.registration import Answer, Assigned, Assigning, Registration, Request
from accredit.domain.secret import Secret
from accredit.domain.trust_bundle import TrustBundle
from accredit.interfaces import Authority, Store
from accredit.linked_hubs.configured import ConfiguredHubs
from accredit.policy import symmetric_keys
from accredit.provisioning.leases import LEASE_S, Alone, Shared
from accredit.provisioning.limits import Limits, Terms
from accredit.provisioning.means import Means
from accredit.provisioning.orders import Orders
from accredit.provisioning.questions import Provisioning
from accredit.provisioning.refusals import Refusals
from accredit.provisioning.releases import Releases
from accredit.provisioning.tpm import Challenges
from accredit.provisioning.traces import Traces
from accredit.seal import Sealer
from accredit.stores import schema
from accredit.stores.sqlite import SqliteStore
from accredit.values import replace
from accredit.wire import sas
from support import pki, scripted_ca, signing_requests
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock
from support.linked import azure, linked
from support.scripted_ca import ScriptedCA
from support.scripted_hub import ScriptedHub
from support.scripted_webhooks import ScriptedWebhooks

ID_SCOPE = "0ne00AB12CD"
HUB = "hub.example"
BUILTIN = "builtin"
OUTSIDE = "outside"
KEYS = SymmetricKeys(Secret(b"p" * 32), Secret(b"s" * 32))
SEALER = Sealer([Secret(b"m" * 32)])
PATIENT_S = 60.0
"""Longer than any operation of a test takes in real time."""


@dataclass
class World:
    """`shared`: other worlds work on the same disk, by the same clock. `patience_s` 0 answers `assigning` to everything that is not settled at once; `broken`: no connector can be made."""

    disk: SqliteStore
    clock: HandClock
    ca: ScriptedCA
    entropy: CountedEntropy = field(default_factory=CountedEntropy)
    connector: str = "polls-and-finds"
    patience_s: float = PATIENT_S
    key_reuse: str = "refuse"
    terms: Terms = Terms()
    pause_after_failures: int = 20
    renewal_grace_s: int = 0
    orphan_watch_s: int = 30 * 86_400
    hubs: Sequence[str] = (HUB,)
    broken: bool = False
    webhooks: ScriptedWebhooks = field(default_factory=ScriptedWebhooks)
    elsewhere: dict[str, ScriptedHub] = field(default_factory=dict)
    slept: list[float] = field(default_factory=list)
    sleep_ends: asyncio.Event = field(default_factory=asyncio.Event)
    bus: InProcessBus = field(default_factory=InProcessBus)
    shared: bool = False
    lease_s: int = LEASE_S
    _etags: int = 0

    def __post_init__(self) -> None:
        self.sleep_ends.set()
        self.open()

    def open(self, store: Store | None = None) -> None:
        """What a process makes when it starts, but for resuming."""
        self.store = store or self.disk
        self.owner = self.entropy.token(8).hex()
        hubs = ConfiguredHubs(self.store, self.hubs, lambda hub: self.elsewhere[hub.name])
        self.means = Means(
            store=self.store,
            authorities=self,
            hubs=hubs,
            webhooks=self.webhooks,
            clock=self.clock,
            entropy=self.entropy,
            challenges=Challenges(ID_SCOPE, SEALER.derive, self.entropy),
            id_scope=ID_SCOPE,
            owner=self.owner,
            leases=self._leases(),
            bus=self.bus.join(),
            patience_s=self.patience_s,
            key_reuse=self.key_reuse,
            pause_after_failures=self.pause_after_failures,
            renewal_grace_s=self.renewal_grace_s,
            orphan_watch_s=self.orphan_watch_s,
            sleep=self.sleep,
        )
        self.releases = Releases(self.means)
        self.orders = Orders(self.means, self.releases)
        self.refusals = Refusals(self.means, Limits(self.clock, self.terms), Traces(self.store))
        self.provisioning = Provisioning(self.means, self.orders, self.refusals)

    def _leases(self) -> Alone | Shared:
        if not self.shared:
            return Alone(self.clock)
        return Shared(self.store, self.owner, self.clock, self.lease_s, sleep=self.sleep)

    async def reopen(self, store: Store) -> None:
        """The same process over another store."""
        await self.releases.stop()
        self.open(store)
        if self.elsewhere:
            self.releases.start()

    async def restart(self, **changes: Any) -> int:
        """End this process at once, start another one; returns how many operations it resumes."""
        await self.stop()
        for name, value in changes.items():
            setattr(self, name, value)
        await linked(self.disk, self.hubs)
        self.open()
        if self.elsewhere:
            self.releases.start()
        return await self.orders.resume()

    async def stop(self) -> None:
        await self.releases.stop()
        await self.orders.stop(0)

    @property
    def now(self) -> int:
        return int(self.clock.now())

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.sleep_ends.wait()
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    async def get(self, name: AuthorityName) -> Authority | None:
        """As `interfaces.Authorities`."""
        if self.broken:
            raise ValueError("the record can't be read")
        record = await self.store.authority(name)
        if record is None:
            return None
        if record.type == "BuiltIn":
            return BuiltInAuthority(record, self.entropy, self.clock)
        return scripted_ca.connected(self.connector, record, self.ca)

    def etag(self) -> str:
        self._etags += 1
        return f"etag-{self._etags}"

    # The operator.

    async def authority(self, name: str = OUTSIDE) -> None:
        """PUT an outside authority: a second time, it is replaced."""
        parsed = AuthorityName.parse(name)
        present = await self.disk.authority(parsed)
        record = AuthorityRecord(parsed, "Scripted", {}, {}, self.etag(), self.etag(), self.now, self.now)
        await self.disk.commit([SaveAuthority(record, None if present is None else present.etag)])

    async def link(self, name: str) -> ScriptedHub:
        """Link a hub elsewhere."""
        if not self.elsewhere:
            self.releases.start()
        self.elsewhere[name] = ScriptedHub(name)
        await self.disk.commit([SaveLinkedHub(azure(name), None)])
        return self.elsewhere[name]

    async def builtin(self, name: str) -> None:
        """PUT another built-in CA."""
        made = BuiltInAuthority.found(AuthorityName.parse(name), self.entropy, self.clock)
        await self.disk.commit([SaveAuthority(made, None)])

    async def replace_builtin(self) -> None:
        """PUT the built-in CA again: the same keys, another version."""
        present = await self.disk.authority(AuthorityName.parse(BUILTIN))
        assert present is not None
        replaced = replace(present, version=self.etag(), etag=self.etag())
        await self.disk.commit([SaveAuthority(replaced, present.etag)])

    async def trust_bundle(self, name: str, *certificates: bytes) -> TrustBundle:
        """PUT a trust bundle: a second time, it is replaced."""
        parsed = TrustBundleName.parse(name)
        present = await self.disk.trust_bundle(parsed)
        made = TrustBundle(parsed, certificates, self.etag(), self.now, self.now)
        await self.disk.commit([SaveTrustBundle(made, None if present is None else present.etag)])
        return made

    async def profile(self, profile: Profile) -> None:
        """PUT a certificate profile by its own name: a second time, it is replaced."""
        name = CertificateProfileName.parse(profile.name)
        present = await self.disk.certificate_profile(name)
        made = CertificateProfile(name, profile, self.etag(), self.now, self.now)
        await self.disk.commit([SaveCertificateProfile(made, None if present is None else present.etag)])

    async def ca_certificate(self, name: str, certificate: bytes, *, verified: bool = True) -> CaCertificate:
        """PUT a CA certificate: a second time, it is replaced."""
        parsed = CaCertificateName.parse(name)
        present = await self.disk.ca_certificate(parsed)
        made = CaCertificate(parsed, certificate, Purpose.X509, verified, self.etag(), self.now, self.now)
        await self.disk.commit([SaveCaCertificate(made, None if present is None else present.etag)])
        return made

    async def individual(
        self,
        name: str = "dev-1",
        attestation: Attestation = KEYS,
        authority: str | None = BUILTIN,
        **more: Any,
    ) -> Enrollment:
        return await self._enroll(RegistrationId.parse(name), attestation, authority, more)

    async def group(
        self,
        name: str = "line",
        attestation: Attestation = KEYS,
        authority: str | None = BUILTIN,
        **more: Any,
    ) -> Enrollment:
        return await self._enroll(GroupId.parse(name), attestation, authority, more)

    async def _enroll(
        self,
        name: RegistrationId | GroupId,
        attestation: Attestation,
        authority: str | None,
        more: dict[str, Any],
    ) -> Enrollment:
        made = Enrollment(
            id=name,
            attestation=attestation,
            generation=f"generation-{self.etag()}",
            etag=self.etag(),
            created_at=self.now,
            updated_at=self.now,
            authority=None if authority is None else AuthorityName.parse(authority),
            **more,
        )
        await self.disk.commit([SaveEnrollment(made, None)])
        return made

    async def change(self, enrollment: Enrollment, **members: Any) -> Enrollment:
        """PUT the enrollment with other members."""
        present = await self.disk.enrollment(enrollment.ref)
        assert present is not None
        changed = replace(present, etag=self.etag(), **members)
        await self.disk.commit([SaveEnrollment(changed, present.etag)])
        return changed

    async def unenroll(self, enrollment: Enrollment) -> None:
        present = await self.disk.enrollment(enrollment.ref)
        assert present is not None
        await self.disk.commit([DeleteEnrollment(enrollment.ref, present.etag)])

    async def delete_registration(self, name: str) -> None:
        present = await self.registration(name)
        await self.disk.commit([DeleteRegistration(present.registration_id, present.etag)])

    async def move(self, name: str, kind: EnrollmentKind, target: str) -> None:
        present = await self.registration(name)
        moved = replace(present, enrollment=EnrollmentRef(kind, target.lower()), etag=self.etag())
        await self.disk.commit([SaveRegistration(moved, present.etag)])

    # What there is.

    async def registration(self, name: str = "dev-1") -> Registration:
        found = await self.disk.registration(RegistrationId.parse(name))
        assert found is not None
        return found

    async def certificates(self, name: str | None = None) -> Sequence[CertificateRecord]:
        wanted = None if name is None else RegistrationId.parse(name)
        return (await self.disk.certificates(wanted, None, 500)).rows

    async def leaves(self, kind: LeafKind) -> Sequence[Leaf]:
        return [leaf for leaf in (await self.disk.leaves(None, 500)).rows if leaf.kind is kind]

    async def states(self, device: str = "dev-1") -> dict[bytes, BindingState]:
        bindings = [
            binding
            for registration in (await self.disk.registrations(None, None, 500)).rows
            for binding in await self.disk.bindings(registration.registration_id, DeviceId(device))
        ]
        return {binding.sha256: binding.state for binding in bindings}

    async def use(self, answer: Assigned) -> None:
        """The device connects to the hub with the certificate that it was answered."""
        assert answer.certified is not None
        record = answer.certified.record
        unit: list[Change] = [UseCertificate(record.device_id, record.issued.sha256, self.now)]
        await self.disk.commit(unit)

    # The device.

    def device(self, name: str = "dev-1", *, group: bool = False, key: int = 0) -> Device:
        return Device(self, name, group=group, which=key)

    async def audit(self) -> None:
        """Nothing that was signed is missing from the log, and the log says nothing that was not signed."""
        found = [*self.ca.surprises, *await _unaccounted(self), *await _inconsistent(self)]
        assert not found, "\n".join(found)


@dataclass
class Device:
    """A device with a symmetric key, and with P-256 keys for CSRs, told apart by number."""

    world: World
    name: str
    group: bool = False
    which: int = 0
    master: bytes = KEYS.primary.reveal()
    spelling: str | None = None

    def token(self) -> SasToken:
        key = self.master
        if self.group:
            key = symmetric_keys.derive(Secret(key), self.spelling or self.name).reveal()
        resource = f"{ID_SCOPE}/registrations/{self.name}"
        return sas.parse(sas.make(resource, key, self.world.now + 3_600, "registration"))

    def csr(self, which: int | None = None, name: str | None = None) -> str:
        key = signing_requests.key("P-256", self.which if which is None else which)
        return signing_requests.pem(signing_requests.csr(name or self.name, key))

    def request(
        self,
        *fields: tuple[str, str],
        payload: bytes | None = None,
        evidence: Evidence | None = None,
    ) -> Request:
        return Request(
            registration_id=RegistrationId.parse(self.name),
            evidence=self.token() if evidence is None else evidence,
            csr_fields=fields,
            payload=payload,
            api_version="2021-11-01-preview",
            source="192.0.2.7",
            tracking_id="tracking-1",
        )

    async def register(self, csr: str | None = None, field: str = "csr", **more: Any) -> Answer:
        fields = () if csr is None else ((field, csr),)
        return await self.world.provisioning.register(self.request(*fields, **more))

    async def certify(self, which: int | None = None, **more: Any) -> Answer:
        """Register with a CSR for one of its keys."""
        return await self.register(self.csr(which), **more)

    async def poll(self, answer: Answer | str, **more: Any) -> Answer:
        operation_id = answer if isinstance(answer, str) else operation_of(answer)
        return await self.world.provisioning.status(self.request(**more), operation_id)

    async def outcome(self, answer: Answer) -> Answer:
        """Poll until the operation has ended."""
        while isinstance(answer, Assigning):
            await self.world.orders.settled(answer.operation_id, PATIENT_S)
            answer = await self.poll(answer)
        return answer


def keys(letter: str) -> SymmetricKeys:
    """Other keys than those that enrollments and devices have by default; a device's `master` is `letter * 32`."""
    return SymmetricKeys(Secret(letter.encode() * 32), Secret(letter.upper().encode() * 32))


def leaf_certificates(certificate: pki.Entity) -> LeafCertificates:
    return LeafCertificates(certificate.der)


def ca_references(*names: str) -> CaReferences:
    return CaReferences(*(CaCertificateName.parse(name) for name in names))


def signing_certificates(certificate: pki.Entity) -> SigningCertificates:
    return SigningCertificates(certificate.der)


def bridged(csr: str) -> bytes:
    """A custom payload with a CSR in it."""
    return json.dumps({"clientCertificateCsr": csr, "other": [1]}).encode()


def operation_of(answer: Answer) -> str:
    return answer.registration.operation_id if isinstance(answer, Assigned) else answer.operation_id


def sha256_of(answer: Answer) -> bytes:
    """Of the certificate that was answered."""
    assert isinstance(answer, Assigned)
    assert answer.certified is not None
    return answer.certified.record.issued.sha256


async def _unaccounted(world: World) -> list[str]:
    listed = {record.issued.sha256 for record in await world.certificates()}
    doubts = Counter(leaf.sha256 for leaf in await world.leaves(LeafKind.UNKNOWN))
    missing = Counter(
        order.request.csr_sha256 for order, issued in world.ca.ledger if issued.sha256 not in listed
    )
    ordered = {order.request.csr_sha256 for order in world.ca.orders}
    found = [
        f"{number} signatures for {csr.hex()} left no trace" for csr, number in (missing - doubts).items()
    ]
    return found + [f"doubt about {csr.hex()}, which was not ordered" for csr in doubts if csr not in ordered]


async def _inconsistent(world: World) -> list[str]:
    records = await world.certificates()
    leaves = Counter(leaf.leaf_hash for leaf in await world.leaves(LeafKind.CERTIFICATE))
    due = Counter(
        certificate_leaf(each.authority, each.issued.leaf, each.issued.sha256, each.issued_at).leaf_hash
        for each in records
    )
    found = [] if leaves == due else ["certificates and leaves differ"]
    found += [
        "an entry `unknown` has a wrong hash"
        for leaf in await world.leaves(LeafKind.UNKNOWN)
        if unknown_leaf(leaf.authority, leaf.sha256, leaf.logged_at) != leaf
    ]
    serials = Counter((each.authority.key, each.issued.serial) for each in records)
    found += [
        f"serial {serial:X} was used {times} times" for (_, serial), times in serials.items() if times > 1
    ]
    found += [
        "a record's SHA-256 is not that of its certificate"
        for each in records
        if hashlib.sha256(each.issued.leaf).digest() != each.issued.sha256
    ]
    return found


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        schema.migrate(path)
        return path.read_bytes()


@asynccontextmanager
async def opened(folder: Path, **more: Any) -> AsyncIterator[World]:
    """A world with both authorities and no enrollment."""
    path = folder / "state.db"
    path.write_bytes(_migrated())
    disk = await SqliteStore.open(path, SEALER)
    clock = HandClock()
    world = World(disk, clock, ScriptedCA(clock), **more)
    try:
        found = BuiltInAuthority.found(AuthorityName.parse(BUILTIN), world.entropy, clock)
        await disk.commit([SaveAuthority(found, None)])
        await world.authority()
        await linked(disk, world.hubs)
        yield world
    finally:
        await world.stop()
        await disk.close()
