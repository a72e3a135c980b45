"""A whole group, or an authority, is revoked with its devices: bounded, resumable, and counted once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from accredit.administration.device_revocation import DeviceRevocation
from accredit.administration.mass_revocations import MassRevocations
from accredit.administration.mass_revoker import MassRevoker
from accredit.administration.revocation import Connected, Effects
from accredit.ca.ceremony import Ceremony
from accredit.ca.holdings import read
from accredit.domain.authority import AuthorityRecord
from accredit.domain.changes import (
    Change,
    DeleteRegistration,
    OpenOperation,
    RecordCertificate,
    SaveAuthority,
    SaveEnrollment,
    SaveRegistration,
    SettleRevocation,
)
from accredit.domain.credential import CertificateRecord, CertificateStatus, RevocationReason
from accredit.domain.errors import Conflict, NotFound
from accredit.domain.ids import AuthorityName, DeviceId, GroupId, RegistrationId
from accredit.domain.linked_hub import FIRST_HUB
from accredit.domain.mass_revocation import AtAuthority, MassRevocation, Tally
from accredit.domain.registration import Status
from accredit.domain.secret import Secret
from accredit.interfaces import StoreUnavailable
from accredit.linked_hubs.configured import ConfiguredHubs
from accredit.processes import Leases
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from accredit.values import replace
from accredit.wire.service_api.mass_revocations import AuthorityRevocation, GroupRevocation
from accredit.wire.service_api.queries import Paging
from support import stored_values as some
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock
from support.stored_values import BUILTIN, FLEET, NOW

OUTSIDE = AuthorityName.parse("outside")
GROUP = GroupId.parse("fleet")
WHY = RevocationReason.KEY_COMPROMISE
SOLD = GroupRevocation(WHY)


@dataclass
class World:
    """`live` are the devices that are connected; `cut` those that were."""

    store: SqliteStore
    live: list[Connected] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    wakes: int = 0
    entropy: CountedEntropy = field(default_factory=CountedEntropy)
    clock: HandClock = field(default_factory=lambda: HandClock(NOW))

    def __post_init__(self) -> None:
        self.ceremony = Ceremony(self.entropy)
        self.revoker = self.another()
        self.revocations = MassRevocations(
            self.store, self.clock, self.entropy, {"BuiltIn": self.ceremony}, self.revoker.begin
        )

    def another(self, store: Any = None, leases: Leases | None = None) -> MassRevoker:
        """As the next start of the service has one; over its store where none is given."""
        hubs = ConfiguredHubs(self.store, ("localhost",))
        devices = DeviceRevocation(self.store, self.clock, self.entropy, hubs)
        effects = Effects(self._cut, self._wake, lambda: list(self.live))
        return MassRevoker(store or self.store, self.clock, devices, effects, leases)

    def _cut(self, hub: str, device_id: DeviceId, _reason: str) -> bool:
        found = [each for each in self.live if (each.hub, each.device_id) == (hub, device_id)]
        self.cut += [each.device_id.text for each in found]
        self.live = [each for each in self.live if each not in found]
        return bool(found)

    def _wake(self) -> None:
        self.wakes += 1

    async def device(self, name: str, *certificates: CertificateRecord, live: bool = False) -> None:
        """A device of the group with these certificates, bound as they come."""
        first, *others = certificates or (some.certificate(name),)
        unit: list[Change] = [*some.provisioned(name, first)[2:]]
        for record in others:
            unit += [RecordCertificate(record, shared_key=False), some.binding(record, NOW + 1)]
        await self.store.commit(unit)
        if live:
            self.connect(name)

    def connect(self, name: str) -> None:
        self.live.append(Connected(FIRST_HUB, DeviceId(name), RegistrationId.parse(name)))

    async def ends(self, begun: MassRevocation) -> MassRevocation:
        while (found := (await self.revocations.read(begun.id))[0]).ended_at is None:
            await asyncio.sleep(0)
        return found

    async def is_off(self, name: str) -> bool:
        registration = await self.store.registration(RegistrationId.parse(name))
        identity = await self.store.hub_device(FIRST_HUB, DeviceId(name))
        assert registration is not None
        assert identity is not None
        states = {registration.status is Status.DISABLED, not identity.enabled}
        assert len(states) == 1
        return states.pop()

    async def statuses(self, name: str) -> list[CertificateStatus]:
        page = await self.store.certificates(RegistrationId.parse(name), None, 100)
        return [record.status for record in page.rows]

    async def built_in(self) -> AuthorityRecord:
        settings, secrets = self.ceremony.found(BUILTIN, NOW)
        record = some.authority(settings=settings, secrets=secrets)
        await self.store.commit([SaveAuthority(record, None)])
        return record

    def of(self, record: AuthorityRecord, name: str, **facts: object) -> CertificateRecord:
        """A certificate of the issuing CA of now."""
        current = read(record).current
        assert current is not None
        return some.certificate(name, above=current.chain, authority=record.name, **facts)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = await SqliteStore.open(tmp_path / "state.db", Sealer([Secret(b"m" * 32)]))
    made = World(store)
    await store.commit([SaveEnrollment(some.group(), None)])
    yield made
    await made.revoker.stop()
    await store.close()


class TestGroup:
    async def test_all_of_it_is_off_and_counted(self, world: World) -> None:
        for number in range(3):
            await world.device(f"lamp-{number}", live=number < 2)
        await world.device("other", live=True)
        foreign = await world.store.registration(RegistrationId.parse("other"))
        assert foreign is not None
        await world.store.commit(
            [DeleteRegistration(foreign.registration_id, foreign.etag)]
            + [SaveRegistration(some.registration("other", enrollment=some.individual("other")), None)]
        )
        await world.store.commit([OpenOperation(some.operation("op", "lamp-2"))])
        begun = await world.revocations.of_group(GROUP, SOLD, "owner")
        assert (begun.target.text, begun.total) == ("Fleet", 3)
        group = await world.store.enrollment(FLEET)
        assert group is not None
        assert not group.enabled
        ended = await world.ends(begun)
        assert ended.done == Tally(devices=3, identities=3, operations=1, connections=2, certificates=3)
        assert (ended.seen, sorted(world.cut)) == (3, ["lamp-0", "lamp-1"])
        for number in range(3):
            assert await world.is_off(f"lamp-{number}")
            assert await world.statuses(f"lamp-{number}") == [CertificateStatus.REVOKED]
        assert not await world.is_off("other")
        assert await world.store.open_operation(RegistrationId.parse("lamp-2")) is None

    async def test_of_a_hub_that_was_renamed(self, world: World) -> None:
        await world.device("lamp", live=True)
        present = await world.store.registration(RegistrationId.parse("lamp"))
        assert present is not None
        renamed = replace(present, hub="its.old.name.example", etag="r2")
        await world.store.commit([SaveRegistration(renamed, present.etag)])
        ended = await world.ends(await world.revocations.of_group(GROUP, SOLD, "owner"))
        assert (await world.is_off("lamp"), ended.done.identities, world.cut) == (True, 1, ["lamp"])

    async def test_what_its_cas_have_still_to_do(self, world: World) -> None:
        await world.store.commit([SaveAuthority(some.authority(), None)])
        await world.store.commit([SaveAuthority(some.authority("outside", type="Cfssl"), None)])
        here, gone = some.certificate("lamp"), some.certificate("lamp", authority=OUTSIDE)
        await world.device("lamp", here, gone)
        ended = await world.ends(await world.revocations.of_group(GROUP, SOLD, "owner"))
        _, tallies = await world.revocations.read(ended.id)
        assert [(each.authority, each.revoked, each.pending) for each in tallies] == [
            (BUILTIN, 1, 0),
            (OUTSIDE, 0, 1),
        ]
        assert world.wakes
        await world.store.commit([SettleRevocation(gone.issued.sha256, NOW, unable=True)])
        assert (await world.revocations.read(ended.id))[1][1].unable == 1
        listed = await world.revocations.certificates(ended.id, Paging(10))
        assert [(record.authority, state) for record, state in listed.rows] == [
            (BUILTIN, AtAuthority.REVOKED),
            (OUTSIDE, AtAuthority.UNABLE),
        ]

    async def test_twice_is_as_once(self, world: World) -> None:
        await world.device("lamp")
        first, joined = await asyncio.gather(
            world.revocations.of_group(GROUP, SOLD, "owner"), world.revocations.of_group(GROUP, SOLD, "owner")
        )
        assert first.id == joined.id
        await world.ends(first)
        again = await world.ends(await world.revocations.of_group(GROUP, SOLD, "owner"))
        assert again.id != first.id
        assert again.done == Tally()
        assert [each.id for each in (await world.revocations.page(Paging(9))).rows] == [first.id, again.id]

    async def test_a_crash_loses_nothing_and_counts_nothing_twice(self, world: World) -> None:
        await asyncio.gather(*(world.device(f"lamp-{number:03}") for number in range(250)))
        begun = await world.revocations.of_group(GROUP, SOLD, "owner")
        while not (await world.revocations.read(begun.id))[0].seen:
            await asyncio.sleep(0)
        await world.revoker.stop()
        half = (await world.revocations.read(begun.id))[0]
        assert 0 < half.seen < 250
        assert half.done.devices == half.seen
        next_start = world.another()
        assert await next_start.start() == 1
        ended = await world.ends(begun)
        assert (ended.seen, ended.done.devices, ended.done.certificates) == (250, 250, 250)
        while await next_start.start():
            await asyncio.sleep(0)

    async def test_devices_that_change_meanwhile(self, world: World) -> None:
        for number in range(5):
            await world.device(f"lamp-{number}")
        racing = Racing(world.store, world.entropy, [f"lamp-{number}" for number in range(3)])
        revoker = world.another(racing)
        begins = MassRevocations(world.store, world.clock, world.entropy, {}, revoker.begin)
        ended = await world.ends(await begins.of_group(GROUP, SOLD, "owner"))
        assert (racing.names, ended.done.devices) == ([], 5)
        await revoker.stop()

    async def test_one_that_is_not_there(self, world: World) -> None:
        with pytest.raises(NotFound):
            await world.revocations.of_group(GroupId.parse("absent"), SOLD, "owner")
        with pytest.raises(NotFound):
            await world.revocations.read("absent")
        await world.revoker.stop()


class TestAuthority:
    async def revoked(self, world: World, name: AuthorityName = BUILTIN, **facts: object) -> MassRevocation:
        sent = AuthorityRevocation(RevocationReason.CA_COMPROMISE, **facts)
        return await world.ends(await world.revocations.of_authority(name, sent, "owner"))

    async def test_one_of_our_own_with_all_its_issuing_cas(self, world: World) -> None:
        first = await world.built_in()
        await world.device("old", world.of(first, "old"), live=True)
        rotated = world.ceremony.rotate(first, NOW)
        await world.store.commit([SaveAuthority(rotated, first.etag)])
        await world.device("new", world.of(rotated, "new"))
        await world.device("elsewhere", some.certificate("elsewhere", authority=OUTSIDE), live=True)
        ended = await self.revoked(world)
        assert (ended.done.devices, ended.done.certificates, ended.done.connections) == (2, 2, 1)
        assert [await world.is_off(name) for name in ("old", "new", "elsewhere")] == [True, True, False]
        assert [(each.key_id, each.listed) for each in ended.issuers] == [
            (each.key_id, True) for each in read(rotated).all
        ]
        stored = await world.store.authority(BUILTIN)
        assert stored is not None
        held = read(stored)
        assert held.current is None
        assert all(
            each.revoked and each.revoked.reason is RevocationReason.CA_COMPROMISE for each in held.all
        )

    async def test_one_issuing_ca_alone(self, world: World) -> None:
        first = await world.built_in()
        rotated = world.ceremony.rotate(first, NOW)
        await world.store.commit([SaveAuthority(rotated, first.etag)])
        await world.device("old", world.of(first, "old"))
        await world.device("new", world.of(rotated, "new"))
        # Renewed by the next issuing CA: what the revoked one signed ends, the device goes on.
        await world.device("renewed", world.of(first, "renewed"), world.of(rotated, "renewed"), live=True)
        ended = await self.revoked(world, key_id=read(first).all[0].key_id)
        assert [await world.is_off(name) for name in ("old", "new", "renewed")] == [True, False, False]
        assert await world.statuses("renewed") == [CertificateStatus.REVOKED, CertificateStatus.PENDING]
        assert (ended.done.devices, ended.done.certificates, world.cut) == (1, 2, ["renewed"])
        stored = await world.store.authority(BUILTIN)
        assert stored is not None
        current = read(stored).current
        assert current is not None
        assert current.revoked is None

    async def test_devices_that_are_kept(self, world: World) -> None:
        record = await world.built_in()
        await world.device("lamp", world.of(record, "lamp"), live=True)
        ended = await self.revoked(world, keeps_devices=True)
        assert not await world.is_off("lamp")
        assert await world.statuses("lamp") == [CertificateStatus.REVOKED]
        assert (ended.done.devices, ended.done.certificates, world.cut) == (0, 1, ["lamp"])

    async def test_a_registration_that_was_forgotten(self, world: World) -> None:
        record = await world.built_in()
        await world.device("lamp", world.of(record, "lamp"), live=True)
        await world.store.commit([DeleteRegistration(RegistrationId.parse("lamp"), "r1")])
        ended = await self.revoked(world)
        identity = await world.store.hub_device(FIRST_HUB, DeviceId("lamp"))
        assert identity is not None
        assert not identity.enabled
        assert (ended.done.identities, world.cut) == (1, ["lamp"])

    async def test_an_offline_root_lists_its_issuing_cas_itself(self, world: World) -> None:
        record = await world.built_in()
        offline = {name: secret for name, secret in record.secrets.items() if name != "rootKey"}
        await world.store.commit(
            [SaveAuthority(some.authority(etag="a2", settings=record.settings, secrets=offline), record.etag)]
        )
        ended = await self.revoked(world)
        assert [each.listed for each in ended.issuers] == [False]

    async def test_an_outside_one_takes_no_orders_any_more(self, world: World) -> None:
        await world.store.commit([SaveAuthority(some.authority("outside", type="Cfssl"), None)])
        await world.device("lamp", some.certificate("lamp", authority=OUTSIDE))
        ended = await self.revoked(world, OUTSIDE)
        stored = await world.store.authority(OUTSIDE)
        assert stored is not None
        assert stored.is_revoked
        assert stored.version != "v1"
        assert ended.done.devices == 1
        with pytest.raises(Conflict) as refused:
            await self.revoked(world, OUTSIDE, key_id="aa")
        assert refused.value.rule == "authority-keys-elsewhere"

    async def test_one_that_is_not_there(self, world: World) -> None:
        with pytest.raises(NotFound):
            await self.revoked(world, AuthorityName.parse("absent"))
        await world.built_in()
        with pytest.raises(NotFound) as refused:
            await self.revoked(world, key_id="00ff")
        assert refused.value.rule == "ca-issuer-unknown"


class Over:
    """A store before the real one."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Callable[..., object]:
        found: Callable[..., object] = getattr(self._store, name)
        return found


class Racing(Over):
    """Somebody changes a device right before a commit; each of `names` once."""

    def __init__(self, store: SqliteStore, entropy: CountedEntropy, names: list[str]) -> None:
        super().__init__(store)
        self.names = names
        self._entropy = entropy

    async def commit(self, unit: list[Change]) -> None:
        if self.names:
            present = await self._store.registration(RegistrationId.parse(self.names.pop()))
            assert present is not None
            etag = self._entropy.token(8).hex()
            await self._store.commit([SaveRegistration(replace(present, etag=etag), present.etag)])
        await self._store.commit(unit)


class Unreadable(Over):
    """Can't be read at first."""

    def __init__(self, store: SqliteStore, failures: list[Exception]) -> None:
        super().__init__(store)
        self._failures = failures

    async def mass_revocation(self, revocation_id: str) -> MassRevocation | None:
        if self._failures:
            raise self._failures.pop()
        return await self._store.mass_revocation(revocation_id)


@pytest.mark.parametrize("failure", [StoreUnavailable("locked"), RuntimeError("a defect")])
async def test_it_goes_on_after_a_failure(world: World, failure: Exception) -> None:
    await world.device("lamp")
    failures = [failure]
    revoker = world.another(Unreadable(world.store, failures))
    begins = MassRevocations(world.store, world.clock, world.entropy, {}, revoker.begin)
    ended = await world.ends(await begins.of_group(GROUP, SOLD, "owner"))
    assert (failures, ended.done.devices) == ([], 1)
    await revoker.stop()


class Another:
    """The leases of a process that may have to leave the work to another one."""

    shared = True

    def __init__(self, *, owner: bool) -> None:
        self.owner = owner

    async def mine(self, _duty: str) -> bool:
        return self.owner


async def test_every_process_cuts_its_own_and_one_goes_through_the_devices(world: World) -> None:
    await world.device("lamp", live=True)
    idle = Another(owner=False)
    other = world.another(leases=idle)
    begins = MassRevocations(world.store, world.clock, world.entropy, {}, lambda _: None)
    begun = await begins.of_group(GROUP, SOLD, "owner")
    assert await other.start() == 1
    while not world.cut:
        await asyncio.sleep(0)
    assert not await world.is_off("lamp")
    # The other process dies.
    idle.owner = True
    assert (await world.ends(begun)).done == Tally(devices=1, identities=1, connections=1, certificates=1)
    await other.stop()
