"""What provisioning commits so that a device is good at the embedded hub."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest

from accredit.domain.changes import (
    AssertHub,
    BindCertificate,
    Change,
    CutSession,
    DeleteHubDevice,
    SaveHubDevice,
)
from accredit.domain.credential import CertificateRecord, Certified, Credential, IssuedChain, Presented
from accredit.domain.device import DeviceData
from accredit.domain.enrollment import Enrollment, SymmetricKeys
from accredit.domain.evidence import Attested, DeviceKeys, ProvenChain
from accredit.domain.ids import AuthorityName, DeviceId, GroupId, RegistrationId
from accredit.domain.linked_hub import FIRST_HUB
from accredit.domain.registration import Allocated, DataFate, Issued, Substatus
from accredit.domain.secret import Secret
from accredit.hub.sessions import RELEASED
from accredit.linked_hubs.embedded import EmbeddedHub
from support.hub_world import HubWorld

NOW = 1_800_000_000
LAMP = RegistrationId.parse("Lamp-1")
KEYS = DeviceKeys(Secret(b"p" * 32), Secret(b"s" * 32))
ENROLLMENT = Enrollment(
    id=GroupId.parse("lamps"),
    attestation=SymmetricKeys(Secret(b"P" * 32), Secret(b"S" * 32)),
    generation="g",
    etag="e",
    created_at=NOW,
    updated_at=NOW,
)
DATA = DeviceData({"floor": 5}, {"on": True}, iot_edge=True)
LAMP_1 = DeviceId("lamp-1")
CHAIN = IssuedChain((b"leaf", b"issuer"), 7, NOW - 300, NOW + 1_000, b"t" * 32, b"k" * 32)
RECORD = CertificateRecord(
    issued=CHAIN,
    authority=AuthorityName.parse("builtin"),
    authority_version="1",
    profile="device",
    registration_id=LAMP,
    device_id=DeviceId("lamp-1"),
    enrollment_generation="g",
    csr_sha256=b"c" * 32,
    operation_id="op",
    issued_at=NOW,
)


class Nowhere:
    """No store: what is made of a receipt reads nothing."""


def issued(credential: Credential, proof: DeviceKeys | ProvenChain = KEYS) -> Issued:
    allocated = Allocated(
        attested=Attested(LAMP, ENROLLMENT, proof),
        registration_id=LAMP,
        previous=None,
        device_id=DeviceId("lamp-1"),
        hub="localhost",
        substatus=Substatus.INITIAL_ASSIGNMENT,
        at_hub=None,
        fate=DataFate.INITIAL,
    )
    return Issued(allocated, "op", credential)


def bound(
    credential: Credential,
    proof: DeviceKeys | ProvenChain = KEYS,
    data: DeviceData | None = DATA,
    key: str = FIRST_HUB,
) -> Sequence[Change]:
    return EmbeddedHub("localhost", Nowhere(), key).bind(issued(credential, proof), NOW, "token", data)  # type: ignore[arg-type]


def saved(credential: Credential, proof: DeviceKeys | ProvenChain = KEYS) -> SaveHubDevice:
    change = bound(credential, proof)[0]
    assert isinstance(change, SaveHubDevice)
    return change


def test_the_identity_carries_the_data_and_the_devices_keys() -> None:
    device = saved(Presented()).device
    assert device.device_id == DeviceId("lamp-1")
    assert device.registration_id == LAMP
    assert device.enabled
    assert device.keys == KEYS
    assert device.thumbprint is None
    assert device.data == DATA
    assert device.hub == FIRST_HUB
    assert (device.generation_id, device.etag) == ("token", "token")
    assert (device.created_at, device.updated_at) == (NOW, NOW)


def test_a_proven_chain_leaves_the_thumbprint_of_its_leaf() -> None:
    device = saved(Presented(), ProvenChain((b"own leaf", b"intermediate"))).device
    assert device.thumbprint == hashlib.sha256(b"own leaf").digest()
    assert device.keys is None


@pytest.mark.parametrize("fresh", [True, False])
def test_a_certificate_is_bound_after_its_identity(fresh: bool) -> None:
    changes = bound(Certified(RECORD, fresh))
    assert [type(change) for change in changes] == [SaveHubDevice, BindCertificate]
    assert changes[1] == BindCertificate(DeviceId("lamp-1"), b"t" * 32, NOW - 300, NOW + 1_000, NOW)


def test_without_a_certificate_no_binding_is_touched() -> None:
    assert [type(change) for change in bound(Presented())] == [SaveHubDevice]


@pytest.mark.parametrize(("data", "keeps"), [(DATA, False), (DeviceData(), False), (None, True)])
def test_without_data_the_identity_keeps_what_it_has(data: DeviceData | None, keeps: bool) -> None:
    (change,) = bound(Presented(), data=data)
    assert isinstance(change, SaveHubDevice)
    assert (change.keeps_data, change.device.data) == (keeps, data or DeviceData())


def test_another_hub_than_the_first_must_still_be_linked() -> None:
    identity, assertion, binding = bound(Certified(RECORD, fresh=True), key="b.example")
    assert isinstance(identity, SaveHubDevice)
    assert identity.device.hub == "b.example"
    assert assertion == AssertHub("b.example")
    assert isinstance(binding, BindCertificate)


def test_a_release_names_the_registration() -> None:
    hub = EmbeddedHub("b.example", Nowhere(), "b.example")  # type: ignore[arg-type]
    assert hub.release(DeviceId("lamp-1"), LAMP) == (
        DeleteHubDevice("b.example", DeviceId("lamp-1"), registration_id=LAMP),
        CutSession("b.example", DeviceId("lamp-1"), RELEASED),
    )


async def test_data_is_that_of_its_own_device(world: HubWorld) -> None:
    here, there = EmbeddedHub("a.example", world.store), EmbeddedHub("b.example", world.store, "b.example")
    assert await here.data(LAMP_1) is None
    await world.store.commit(there.bind(issued(Presented()), NOW, "token", DATA)[:1])
    assert await there.data(LAMP_1) == DATA
    assert await here.data(LAMP_1) is None
