"""An embedded hub with devices on it: the real store and telemetry log, and what a device needs to connect."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from accredit.domain.access import Policy, Realm, Right
from accredit.domain.changes import BindCertificate, Change, RecordCertificate, SaveHubDevice, SavePolicy
from accredit.domain.credential import CertificateRecord, IssuedChain
from accredit.domain.device import BindingState, HubDevice
from accredit.domain.evidence import DeviceKeys
from accredit.domain.ids import AuthorityName, DeviceId, RegistrationId
from accredit.domain.linked_hub import FIRST_HUB, HubAddress
from accredit.domain.secret import Secret
from accredit.hub.identities import Identities
from accredit.interfaces import Store
from accredit.linked_hubs.configured import ConfiguredHubs
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from accredit.wire import sas
from support import pki
from support.hand_clock import HandClock

HOST = "hub.example"
HOSTS = (HOST, "localhost")
HUB = HubAddress(FIRST_HUB, HOST, frozenset(HOSTS))
KEYS = DeviceKeys(Secret(b"primary key of lamp 1"), Secret(b"secondary key of lamp 1"))
LAMP = DeviceId("lamp-1")


@dataclass
class HubWorld:
    """`clock` stands at `pki.NOW`, around which certificates of `pki` are good."""

    store: Store
    clock: HandClock
    issuer: pki.Entity
    serials: int = 0

    @property
    def now(self) -> int:
        return int(self.clock.now())

    def identities(self, *, allow_both: bool = False, store: Store | None = None) -> Identities:
        store = store or self.store
        hubs = ConfiguredHubs(self.store, HOSTS)
        return Identities(store, self.clock, hubs, allow_bootstrap_with_certificate=allow_both)

    async def enroll(
        self,
        device_id: DeviceId = LAMP,
        *,
        keys: DeviceKeys | None = KEYS,
        bootstrap: pki.Entity | None = None,
        enabled: bool = True,
        hub: str = FIRST_HUB,
        registration_id: str | None = "",
    ) -> None:
        """A device without an issued certificate, of the registration of its own name; with None, of none."""
        owner = None if registration_id is None else RegistrationId.parse(registration_id or device_id.text)
        device = HubDevice(
            device_id=device_id,
            registration_id=owner,
            generation_id=f"generation of {device_id}",
            etag="etag",
            created_at=self.now,
            updated_at=self.now,
            enabled=enabled,
            keys=keys,
            thumbprint=hashlib.sha256(bootstrap.der).digest() if bootstrap else None,
            hub=hub,
        )
        await self.store.commit([SaveHubDevice(device)])

    async def issue(
        self,
        device_id: DeviceId = LAMP,
        *,
        not_before: int = pki.NOW - 300,
        not_after: int = pki.NOW + pki.DAY,
        bind: bool = True,
        authority: str = "builtin",
    ) -> pki.Entity:
        """A certificate on record for the device and, unless told otherwise, bound to it and not used yet."""
        self.serials += 1
        entity = self.issuer.issue(device_id.text, not_before=not_before, not_after=not_after)
        sha256 = hashlib.sha256(entity.der).digest()
        spki_sha256 = hashlib.sha256(b"%d" % self.serials).digest()
        record = CertificateRecord(
            issued=IssuedChain(entity.chain, self.serials, not_before, not_after, sha256, spki_sha256),
            authority=AuthorityName.parse(authority),
            authority_version="1",
            profile="device",
            registration_id=RegistrationId.parse(device_id.text),
            device_id=device_id,
            enrollment_generation="g",
            csr_sha256=bytes(32),
            operation_id="op",
            issued_at=self.now,
        )
        unit: list[Change] = [RecordCertificate(record, shared_key=False)]
        if bind:
            unit.append(BindCertificate(device_id, sha256, not_before, not_after, self.now))
        await self.store.commit(unit)
        return entity

    async def policy(self, name: str, *rights: Right, realm: Realm = Realm.HUB) -> Secret:
        """A shared access policy; returns its primary key."""
        key = Secret(f"key of {realm} {name}".encode())
        await self.store.commit([SavePolicy(Policy(realm, name, frozenset(rights), key, Secret(b"second")))])
        return key

    async def states(self, device_id: DeviceId = LAMP) -> dict[bytes, BindingState]:
        """What is bound, by the SHA-256 of the certificate."""
        return {
            binding.sha256: binding.state
            for binding in await self.store.bindings(RegistrationId.parse(device_id.text), device_id)
        }

    def token(
        self,
        resource: str = f"{HOST}/devices/{LAMP}",
        *,
        key: Secret = KEYS.primary,
        expires_at: int | None = None,
        policy: str | None = None,
    ) -> str:
        end = self.now + 3600 if expires_at is None else expires_at
        return sas.make(resource, key.reveal(), end, policy)


async def hub_world(folder: Path) -> HubWorld:
    clock = HandClock(pki.NOW)
    store = await SqliteStore.open(folder / "accredit.db", Sealer([Secret(bytes(range(32)))]))
    return HubWorld(store, clock, pki.root("Issuer"))
