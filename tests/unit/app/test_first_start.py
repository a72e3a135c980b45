"""What the first start makes, and no later one changes."""

from __future__ import annotations

import re

import pytest

from accredit.app.first_names import HUB_OWNER, OWNER
from accredit.app.first_start import BUILT_IN, found, server_identity
from accredit.ca.server_identity import SERVER_LIFE_S
from accredit.domain.access import Realm, Right
from accredit.domain.secret import Secret
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock

RIGHTS = {
    Right.SERVICE_CONFIG,
    Right.ENROLLMENT_READ,
    Right.ENROLLMENT_WRITE,
    Right.REGISTRATION_STATUS_READ,
    Right.REGISTRATION_STATUS_WRITE,
}


@pytest.fixture
async def store(tmp_path):
    made = await SqliteStore.open(tmp_path / "state.db", Sealer([Secret(b"m" * 32)]))
    yield made
    await made.close()


@pytest.fixture
def clock():
    return HandClock()


async def everything(store):
    """All that a first start makes, keys included."""
    policies = [
        (policy.realm, policy.name, policy.rights, policy.primary.reveal(), policy.secondary.reveal())
        for realm in Realm
        for policy in await store.policies(realm)
    ]
    authority = await store.authority(BUILT_IN)
    secrets = {name: secret.reveal() for name, secret in authority.secrets.items()}
    states = [(await store.state(name)).reveal() for name in ("id-scope", "tls-root")]
    return policies, authority, secrets, states


async def test_an_id_scope(store, clock):
    assert re.fullmatch(r"0ne[0-9A-Z]{8}", await found(store, clock, CountedEntropy()))


async def test_two_services_have_different_ones(tmp_path, clock):
    scopes = set()
    for seed in (b"1", b"2"):
        store = await SqliteStore.open(tmp_path / f"{seed.hex()}.db", Sealer([Secret(b"m" * 32)]))
        scopes.add(await found(store, clock, CountedEntropy(seed)))
        await store.close()
    assert len(scopes) == 2


async def test_a_later_start_changes_nothing(store, clock):
    scope = await found(store, clock, CountedEntropy())
    before = await everything(store)
    clock.advance(1_000 * 86_400)
    assert await found(store, clock, CountedEntropy(b"other")) == scope
    assert await everything(store) == before


async def test_the_policies_of_provisioning(store, clock):
    await found(store, clock, CountedEntropy())
    policies = {policy.name: set(policy.rights) for policy in await store.policies(Realm.PROVISIONING)}
    assert policies == {OWNER: RIGHTS, **{right.value: {right} for right in RIGHTS}}


async def test_the_policies_of_the_hub_are_azures(store, clock):
    await found(store, clock, CountedEntropy())
    policies = {policy.name: set(policy.rights) for policy in await store.policies(Realm.HUB)}
    everything = {Right.REGISTRY_READ, Right.REGISTRY_WRITE, Right.SERVICE_CONNECT, Right.DEVICE_CONNECT}
    assert policies == {
        HUB_OWNER: everything,
        "service": {Right.SERVICE_CONNECT},
        "device": {Right.DEVICE_CONNECT},
        "registryRead": {Right.REGISTRY_READ},
        "registryReadWrite": {Right.REGISTRY_READ, Right.REGISTRY_WRITE},
    }


async def test_every_policy_has_two_keys_of_its_own(store, clock):
    await found(store, clock, CountedEntropy())
    policies = [policy for realm in Realm for policy in await store.policies(realm)]
    keys = [key.reveal() for policy in policies for key in (policy.primary, policy.secondary)]
    assert len(set(keys)) == len(keys) == 2 * len(policies)
    assert {len(key) for key in keys} == {32}


class TestServerCertificate:
    async def test_is_made_once_and_kept(self, store, clock):
        await found(store, clock, CountedEntropy())
        first, root, reason = await server_identity(store, ["localhost", "127.0.0.1"], clock)
        assert reason is not None
        first.certificate.verify_directly_issued_by(root.certificate)
        again, _, reason = await server_identity(store, ["localhost", "127.0.0.1"], clock)
        assert (again.certificate, reason) == (first.certificate, None)

    async def test_another_host_name_makes_a_new_one_under_the_same_root(self, store, clock):
        await found(store, clock, CountedEntropy())
        first, root, _ = await server_identity(store, ["localhost"], clock)
        second, same, reason = await server_identity(store, ["localhost", "Factory.example"], clock)
        assert "Factory.example" in reason
        assert second.certificate != first.certificate
        assert same.certificate == root.certificate
        kept, _, reason = await server_identity(store, ["factory.example"], clock)
        assert (kept.certificate, reason) == (second.certificate, None)

    async def test_is_renewed_when_a_third_of_its_life_is_left(self, store, clock):
        await found(store, clock, CountedEntropy())
        first, root, _ = await server_identity(store, ["localhost"], clock)
        clock.advance(SERVER_LIFE_S * 2 // 3)
        second, same, reason = await server_identity(store, ["localhost"], clock)
        assert reason is not None
        assert second.certificate != first.certificate
        assert same.certificate == root.certificate
