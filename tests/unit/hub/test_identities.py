"""Which connections are the device: the table of the contract, "Overlap", row by row."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accredit.domain.access import Realm, Right
from accredit.domain.changes import (
    Change,
    ReplaceHubDevice,
    SaveLinkedHub,
    SaveRegistration,
    UseCertificate,
)
from accredit.domain.credential import RevocationReason
from accredit.domain.device import BindingState, HubDevice
from accredit.domain.errors import Unauthenticated
from accredit.domain.evidence import DeviceKeys, SasToken
from accredit.domain.ids import AuthorityName, DeviceId, GroupId, RegistrationId
from accredit.domain.mass_revocation import (
    AdvanceMassRevocation,
    BeginMassRevocation,
    MassRevocation,
    Progress,
    Tally,
)
from accredit.domain.secret import Secret
from accredit.hub.identities import Admission, AuthMethod
from accredit.interfaces import Stale, StoreUnavailable
from accredit.wire import sas
from support import pki
from support import stored_values as some
from support.hub_world import HOST, HUB, KEYS, LAMP, HubWorld, hub_world
from support.linked import embedded

OWNER = RegistrationId.parse("lamp-1")
OTHER_KEYS = DeviceKeys(Secret(b"primary key elsewhere"), Secret(b"secondary key elsewhere"))
PENDING, ACTIVE, RETIRED = BindingState.PENDING, BindingState.ACTIVE, BindingState.RETIRED


def sha256(entity: pki.Entity) -> bytes:
    return hashlib.sha256(entity.der).digest()


async def by_certificate(world: HubWorld, shown: pki.Entity, device_id: DeviceId = LAMP) -> Admission:
    return await world.identities().authenticate(device_id, shown.chain, None)


async def by_token(world: HubWorld, token: str, device_id: DeviceId = LAMP) -> Admission:
    return await world.identities().authenticate(device_id, (), sas.parse(token))


async def refused(admission: Any) -> str:
    """The rule of the refusal; the text for the peer is always the same."""
    with pytest.raises(Unauthenticated) as error:
        await admission
    assert error.value.message == "Unauthorized"
    return error.value.rule


class TestWho:
    async def test_an_unknown_device_is_refused(self, world: HubWorld) -> None:
        assert await refused(by_token(world, world.token())) == "hub-device-unknown"

    async def test_device_ids_differ_by_case(self, world: HubWorld) -> None:
        await world.enroll()
        token = world.token(f"{HOST}/devices/Lamp-1")
        assert await refused(by_token(world, token, DeviceId("Lamp-1"))) == "hub-device-unknown"

    async def test_a_disabled_device_is_refused_whatever_it_shows(self, world: HubWorld) -> None:
        await world.enroll(enabled=False)
        certificate = await world.issue()
        assert await refused(by_certificate(world, certificate)) == "hub-device-disabled"
        assert await refused(by_token(world, world.token())) == "hub-device-disabled"
        assert await world.states() == {sha256(certificate): PENDING}

    async def test_nothing_shown_is_refused(self, world: HubWorld) -> None:
        await world.enroll()
        nothing = world.identities().authenticate(LAMP, (), None)
        assert await refused(nothing) == "hub-no-credential"


class TestIssuedCertificate:
    async def test_the_first_use_makes_it_active(self, world: HubWorld) -> None:
        await world.enroll()
        certificate = await world.issue()
        admission = await by_certificate(world, certificate)
        assert admission == Admission(
            LAMP, "generation of lamp-1", AuthMethod.ISSUED_CERTIFICATE, pki.NOW + pki.DAY + 1, HUB, OWNER
        )
        assert await world.states() == {sha256(certificate): ACTIVE}
        assert await by_certificate(world, certificate) == admission

    async def test_the_first_use_of_a_newer_one_retires_the_older(self, world: HubWorld) -> None:
        await world.enroll()
        old = await world.issue()
        await by_certificate(world, old)
        new = await world.issue()
        await by_certificate(world, old)
        await by_certificate(world, new)
        assert (await world.states())[sha256(old)] is RETIRED
        assert await refused(by_certificate(world, old)) == "hub-certificate-retired"
        await by_certificate(world, new)

    async def test_the_last_used_and_two_pending_ones_are_good_together(self, world: HubWorld) -> None:
        await world.enroll()
        used = await world.issue()
        await by_certificate(world, used)
        first, second = await world.issue(), await world.issue()
        # Each was bound after the one before it: used in that order, each retires what is older.
        for place, certificate in enumerate((used, first, second)):
            await by_certificate(world, certificate)
            states = await world.states()
            expected = [RETIRED] * place + [ACTIVE] + [PENDING] * (2 - place)
            assert [states[sha256(each)] for each in (used, first, second)] == expected

    async def test_using_the_newest_retires_an_older_pending_one(self, world: HubWorld) -> None:
        await world.enroll()
        first, second = await world.issue(), await world.issue()
        await by_certificate(world, second)
        assert await refused(by_certificate(world, first)) == "hub-certificate-retired"

    async def test_a_third_pending_one_pushes_the_oldest_pending_out(self, world: HubWorld) -> None:
        await world.enroll()
        used = await world.issue()
        await by_certificate(world, used)
        pushed, *pending = [await world.issue() for _ in range(3)]
        assert await refused(by_certificate(world, pushed)) == "hub-certificate-superseded"
        await by_certificate(world, used)
        for certificate in pending:
            await by_certificate(world, certificate)

    async def test_it_is_good_in_its_last_second_and_not_after(self, world: HubWorld) -> None:
        await world.enroll()
        certificate = await world.issue(not_after=world.now + 10)
        world.clock.advance(10)
        admission = await by_certificate(world, certificate)
        assert admission.ends_at == world.now + 1
        world.clock.advance(1)
        assert await refused(by_certificate(world, certificate)) == "hub-certificate-expired"

    async def test_it_is_not_good_before_its_time(self, world: HubWorld) -> None:
        await world.enroll()
        certificate = await world.issue(not_before=world.now + 10)
        assert await refused(by_certificate(world, certificate)) == "hub-certificate-not-yet-valid"
        world.clock.advance(10)
        await by_certificate(world, certificate)

    async def test_another_devices_certificate_opens_nothing(self, world: HubWorld) -> None:
        await world.enroll()
        await world.enroll(DeviceId("lamp-2"))
        certificate = await world.issue(DeviceId("lamp-2"))
        assert await refused(by_certificate(world, certificate)) == "hub-certificate-of-another-device"
        assert await world.states(DeviceId("lamp-2")) == {sha256(certificate): PENDING}

    async def test_a_self_signed_certificate_with_the_devices_name_opens_nothing(
        self, world: HubWorld
    ) -> None:
        await world.enroll()
        await world.issue()
        forged = pki.root(LAMP.text, ca=False)
        assert await refused(by_certificate(world, forged)) == "hub-certificate-not-bound"

    async def test_the_right_issuer_and_name_are_not_enough(self, world: HubWorld) -> None:
        await world.enroll()
        await world.issue()
        unrecorded = world.issuer.issue(LAMP.text)
        assert await refused(by_certificate(world, unrecorded)) == "hub-certificate-not-bound"

    async def test_one_of_a_version_that_there_is_not_opens_nothing(self, world: HubWorld) -> None:
        """TLS takes it; who reads it later must not stumble."""
        await world.enroll()
        odd = pki.root(LAMP.text, ca=False).der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", 1)
        admission = world.identities().authenticate(LAMP, (odd,), None)
        assert await refused(admission) == "hub-certificate-not-bound"

    async def test_a_certificate_that_was_never_bound_opens_nothing(self, world: HubWorld) -> None:
        await world.enroll()
        unbound = await world.issue(bind=False)
        assert await refused(by_certificate(world, unbound)) == "hub-certificate-not-bound"

    async def test_only_the_leaf_counts(self, world: HubWorld) -> None:
        await world.enroll()
        certificate = await world.issue()
        forged = pki.root(LAMP.text, ca=False)
        smuggled = world.identities().authenticate(LAMP, (forged.der, certificate.der), None)
        assert await refused(smuggled) == "hub-certificate-not-bound"


class TestDeviceKey:
    @pytest.mark.parametrize("key", [KEYS.primary, KEYS.secondary])
    async def test_either_key_opens_until_the_token_ends(self, world: HubWorld, key: Secret) -> None:
        await world.enroll()
        admission = await by_token(world, world.token(key=key, expires_at=world.now + 60))
        assert admission == Admission(
            LAMP, "generation of lamp-1", AuthMethod.DEVICE_KEY, world.now + 60, HUB, OWNER
        )

    @pytest.mark.parametrize(
        "resource",
        ["hub.example/devices/lamp-1", "HUB.Example/devices/lamp-1", "localhost/devices/lamp-1"],
    )
    async def test_any_of_our_host_names_will_do(self, world: HubWorld, resource: str) -> None:
        await world.enroll()
        await by_token(world, world.token(resource))

    @pytest.mark.parametrize(
        "resource",
        [
            "hub.example",
            "hub.example/devices",
            "hub.example/devices/lamp",
            "hub.example/devices/lamp-12",
            "hub.example/devices/LAMP-1",
            "hub.example/devices/lamp-1/messages",
            "hub.example/lamp-1",
            "hub.example/registrations/lamp-1",
            "other.example/devices/lamp-1",
            "hub.example.evil/devices/lamp-1",
            "/devices/lamp-1",
        ],
    )
    async def test_another_scope_is_refused(self, world: HubWorld, resource: str) -> None:
        await world.enroll()
        assert await refused(by_token(world, world.token(resource))) == "sas-scope"

    async def test_a_device_named_devices_is_no_way_around_the_scope(self, world: HubWorld) -> None:
        await world.enroll(DeviceId("devices"))
        token = world.token(f"{HOST}/devices")
        assert await refused(by_token(world, token, DeviceId("devices"))) == "sas-scope"

    async def test_a_wrong_key_is_refused(self, world: HubWorld) -> None:
        await world.enroll()
        assert await refused(by_token(world, world.token(key=Secret(b"wrong")))) == "sas-signature"

    async def test_another_devices_key_is_refused(self, world: HubWorld) -> None:
        await world.enroll()
        other = DeviceKeys(Secret(b"primary of lamp 2"), Secret(b"secondary of lamp 2"))
        await world.enroll(DeviceId("lamp-2"), keys=other)
        assert await refused(by_token(world, world.token(key=other.primary))) == "sas-signature"

    async def test_a_device_without_a_key_has_none(self, world: HubWorld) -> None:
        await world.enroll(keys=None, bootstrap=pki.root(LAMP.text, ca=False))
        assert await refused(by_token(world, world.token())) == "hub-no-key"

    async def test_an_expired_token_is_refused_without_grace(self, world: HubWorld) -> None:
        await world.enroll()
        token = world.token(expires_at=world.now + 1)
        await by_token(world, token)
        world.clock.advance(1)
        assert await refused(by_token(world, token)) == "sas-expired"


class TestHubPolicy:
    @pytest.mark.parametrize("resource", [HOST, f"{HOST}/devices", f"{HOST}/devices/lamp-1"])
    async def test_device_connect_opens_for_the_device_in_its_scope(
        self, world: HubWorld, resource: str
    ) -> None:
        await world.enroll(keys=None)
        key = await world.policy("device", Right.DEVICE_CONNECT)
        token = world.token(resource, key=key, policy="device")
        admission = await by_token(world, token)
        assert admission.method is AuthMethod.HUB_POLICY
        assert admission.ends_at == world.now + 3600

    @pytest.mark.parametrize(
        "resource", [f"{HOST}/devices/lamp", f"{HOST}/devices/Lamp-1", f"{HOST}/messages", "other.example"]
    )
    async def test_another_scope_is_refused(self, world: HubWorld, resource: str) -> None:
        await world.enroll()
        key = await world.policy("device", Right.DEVICE_CONNECT)
        token = world.token(resource, key=key, policy="device")
        assert await refused(by_token(world, token)) == "sas-scope"

    async def test_a_policy_without_device_connect_is_refused(self, world: HubWorld) -> None:
        await world.enroll()
        key = await world.policy("service", Right.SERVICE_CONNECT)
        token = world.token(key=key, policy="service")
        assert await refused(by_token(world, token)) == "right-missing"

    async def test_a_provisioning_policy_is_none_of_the_hubs(self, world: HubWorld) -> None:
        await world.enroll()
        key = await world.policy("owner", Right.DEVICE_CONNECT, realm=Realm.PROVISIONING)
        token = world.token(key=key, policy="owner")
        assert await refused(by_token(world, token)) == "sas-policy-unknown"

    async def test_a_devices_own_key_does_not_sign_for_a_policy(self, world: HubWorld) -> None:
        await world.enroll()
        await world.policy("device", Right.DEVICE_CONNECT)
        assert await refused(by_token(world, world.token(policy="device"))) == "sas-signature"

    async def test_an_expired_token_is_refused(self, world: HubWorld) -> None:
        await world.enroll()
        key = await world.policy("device", Right.DEVICE_CONNECT)
        token = world.token(key=key, policy="device", expires_at=world.now - 1)
        assert await refused(by_token(world, token)) == "sas-expired"


class TestBootstrapCertificate:
    async def test_it_opens_while_nothing_was_issued(self, world: HubWorld) -> None:
        bootstrap = pki.root(LAMP.text, ca=False)
        await world.enroll(keys=None, bootstrap=bootstrap)
        admission = await by_certificate(world, bootstrap)
        assert admission.method is AuthMethod.BOOTSTRAP_CERTIFICATE
        assert admission.ends_at == pki.NOW + 3650 * pki.DAY + 1

    async def test_it_is_superseded_by_an_issued_one_that_was_not_even_used(self, world: HubWorld) -> None:
        bootstrap = pki.root(LAMP.text, ca=False)
        await world.enroll(keys=None, bootstrap=bootstrap)
        certificate = await world.issue()
        assert await refused(by_certificate(world, bootstrap)) == "hub-bootstrap-certificate-superseded"
        await by_certificate(world, certificate)

    async def test_it_opens_again_when_the_issued_one_has_ended(self, world: HubWorld) -> None:
        bootstrap = pki.root(LAMP.text, ca=False)
        await world.enroll(keys=None, bootstrap=bootstrap)
        await world.issue(not_after=world.now + 10)
        world.clock.advance(11)
        await by_certificate(world, bootstrap)

    async def test_its_own_dates_count(self, world: HubWorld) -> None:
        bootstrap = pki.root(LAMP.text, ca=False, not_after=pki.NOW + 10)
        await world.enroll(keys=None, bootstrap=bootstrap)
        world.clock.advance(10)
        await by_certificate(world, bootstrap)
        world.clock.advance(1)
        assert await refused(by_certificate(world, bootstrap)) == "hub-bootstrap-certificate-expired"

    async def test_another_certificate_of_the_same_issuer_opens_nothing(self, world: HubWorld) -> None:
        await world.enroll(keys=None, bootstrap=world.issuer.issue(LAMP.text))
        other = world.issuer.issue(LAMP.text)
        assert await refused(by_certificate(world, other)) == "hub-certificate-not-bound"

    async def test_the_operator_may_allow_both(self, world: HubWorld) -> None:
        bootstrap = pki.root(LAMP.text, ca=False)
        await world.enroll(bootstrap=bootstrap)
        await world.issue()
        both = world.identities(allow_both=True)
        admission = await both.authenticate(LAMP, bootstrap.chain, None)
        assert admission.method is AuthMethod.BOOTSTRAP_CERTIFICATE
        admission = await both.authenticate(LAMP, (), sas.parse(world.token()))
        assert admission.method is AuthMethod.DEVICE_KEY


class TestKeyBesideACertificate:
    async def test_the_key_is_refused_while_an_issued_certificate_is_good(self, world: HubWorld) -> None:
        await world.enroll()
        await world.issue(not_after=world.now + 10)
        assert await refused(by_token(world, world.token())) == "hub-sas-superseded"
        world.clock.advance(11)
        await by_token(world, world.token())

    async def test_a_hub_policy_is_not_the_devices_key(self, world: HubWorld) -> None:
        await world.enroll()
        await world.issue()
        key = await world.policy("device", Right.DEVICE_CONNECT)
        await by_token(world, world.token(HOST, key=key, policy="device"))

    async def test_of_both_a_good_certificate_counts(self, world: HubWorld) -> None:
        await world.enroll()
        certificate = await world.issue()
        wrong = sas.parse(world.token(key=Secret(b"wrong")))
        admission = await world.identities().authenticate(LAMP, certificate.chain, wrong)
        assert admission.method is AuthMethod.ISSUED_CERTIFICATE

    async def test_of_both_the_key_counts_when_no_certificate_is_good(self, world: HubWorld) -> None:
        await world.enroll()
        shown = pki.root("whatever", ca=False)
        token = sas.parse(world.token())
        admission = await world.identities().authenticate(LAMP, shown.chain, token)
        assert admission.method is AuthMethod.DEVICE_KEY

    async def test_a_strange_certificate_does_not_help_the_key(self, world: HubWorld) -> None:
        await world.enroll()
        await world.issue()
        shown = pki.root("whatever", ca=False)
        token = sas.parse(world.token())
        both = world.identities().authenticate(LAMP, shown.chain, token)
        assert await refused(both) == "hub-sas-superseded"


class Racing:
    """The store, where something else commits just before each of our commits."""

    def __init__(self, world: HubWorld, *before: Sequence[Change] | Stale) -> None:
        self._store = world.store
        self._before = list(before)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, unit: Sequence[Change]) -> None:
        if self._before:
            earlier = self._before.pop(0)
            if isinstance(earlier, Stale):
                raise earlier
            await self._store.commit(earlier)
        await self._store.commit(unit)


class TestRaces:
    async def test_a_certificate_that_is_retired_meanwhile_is_judged_again(self, world: HubWorld) -> None:
        await world.enroll()
        old, new = await world.issue(), await world.issue()
        racing = Racing(world, [UseCertificate(LAMP, sha256(new), world.now)])
        admission = world.identities(store=racing).authenticate(LAMP, old.chain, None)
        assert await refused(admission) == "hub-certificate-retired"

    async def test_the_same_certificate_used_twice_at_once_is_admitted_twice(self, world: HubWorld) -> None:
        await world.enroll()
        certificate = await world.issue()
        racing = Racing(world, [UseCertificate(LAMP, sha256(certificate), world.now)])
        await world.identities(store=racing).authenticate(LAMP, certificate.chain, None)

    async def test_an_endless_race_is_trouble_of_ours(self, world: HubWorld) -> None:
        await world.enroll()
        certificate = await world.issue()
        stale = Stale(UseCertificate(LAMP, sha256(certificate), world.now))
        racing = Racing(world, *[stale] * 10)
        with pytest.raises(StoreUnavailable):
            await world.identities(store=racing).authenticate(LAMP, certificate.chain, None)


tokens = st.builds(
    SasToken,
    resource=st.sampled_from([f"{HOST}/devices/lamp-1", HOST, ""]) | st.text(max_size=40),
    signed_text=st.binary(max_size=60),
    signature=st.binary(min_size=1, max_size=32),
    expires_at=st.integers(0, 999_999_999_999),
    policy=st.none() | st.sampled_from(["device", ""]) | st.text(max_size=10),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(chain=st.lists(st.binary(max_size=80), max_size=2), token=st.none() | tokens)
def test_nothing_made_up_is_ever_admitted(crowd: Any, chain: list[bytes], token: SasToken | None) -> None:
    crowd(chain, token)


@pytest.fixture
def crowd(tmp_path: Any) -> Any:
    """Runs the judgement on a loop of its own, since hypothesis' functions are synchronous."""
    with asyncio.Runner() as runner:
        world = runner.run(hub_world(tmp_path))
        runner.run(world.enroll(bootstrap=pki.root(LAMP.text, ca=False)))
        runner.run(world.policy("device", Right.DEVICE_CONNECT))

        def attempt(chain: list[bytes], token: SasToken | None) -> None:
            with pytest.raises(Unauthenticated):
                runner.run(world.identities().authenticate(LAMP, chain, token))

        yield attempt
        runner.run(world.store.close())


SECOND = "second.example"


class TestSeveralHubs:
    """The same device id at two hubs, for two registrations: neither opens the other's hub with anything."""

    @pytest.fixture
    async def both(self, world: HubWorld) -> HubWorld:
        await world.store.commit([SaveLinkedHub(embedded(SECOND), None)])
        await world.enroll()
        await world.enroll(keys=OTHER_KEYS, hub=SECOND, registration_id="another")
        return world

    async def test_a_key_opens_its_own_hub_alone(self, both: HubWorld) -> None:
        here = both.token()
        there = both.token(f"{SECOND}/devices/{LAMP}", key=OTHER_KEYS.primary)
        assert (await at(both, None, here)).hub == HUB
        admission = await at(both, SECOND.upper(), there)
        assert (admission.hub.key, admission.hub.host_names) == (SECOND, {SECOND})
        for host, token in ((None, there), (SECOND, here)):
            assert await refused(at(both, host, token)) == "sas-signature"

    async def test_the_same_key_needs_the_hub_s_own_scope(self, both: HubWorld) -> None:
        """Keys of a group's device are the same wherever it is, so the scope must tell the hubs apart."""
        await both.enroll(keys=KEYS, hub=SECOND, registration_id="another")
        assert await refused(at(both, SECOND, both.token())) == "sas-scope"
        assert await refused(at(both, None, both.token(f"{SECOND}/devices/{LAMP}"))) == "sas-scope"

    async def test_a_certificate_opens_the_hub_of_its_registration_alone(self, both: HubWorld) -> None:
        certificate = await both.issue()
        assert await refused(at(both, SECOND, certificate=certificate)) == "hub-certificate-of-another-device"
        assert (await both.states())[sha256(certificate)] is PENDING, "a refusal uses nothing"
        assert (await at(both, None, certificate=certificate)).hub == HUB
        assert await refused(at(both, SECOND, certificate=certificate)) == "hub-certificate-of-another-device"

    async def test_one_s_certificate_does_not_close_the_other_s_key(self, both: HubWorld) -> None:
        await both.issue()
        there = both.token(f"{SECOND}/devices/{LAMP}", key=OTHER_KEYS.primary)
        assert (await at(both, SECOND, there)).method is AuthMethod.DEVICE_KEY
        assert await refused(at(both, None, both.token())) == "hub-sas-superseded"

    async def test_a_hub_that_is_not_linked(self, both: HubWorld) -> None:
        assert await refused(at(both, "third.example", both.token())) == "hub-host-name"


class TestMadeByHand:
    async def test_its_key_opens_the_hub(self, world: HubWorld) -> None:
        await world.enroll(registration_id=None)
        assert (await by_token(world, world.token())).method is AuthMethod.DEVICE_KEY

    async def test_no_registration_s_certificate_does(self, world: HubWorld) -> None:
        certificate = await world.issue()
        await world.enroll(registration_id=None, keys=None)
        assert await refused(by_certificate(world, certificate)) == "hub-certificate-of-another-device"

    @pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
    @pytest.mark.parametrize("member", ["thumbprint", "secondary_thumbprint"])
    async def test_either_thumbprint_opens_the_hub(
        self, world: HubWorld, algorithm: str, member: str
    ) -> None:
        own, other = pki.root("own"), pki.root("other")
        digest = hashlib.new(algorithm, own.der).digest()
        device = HubDevice(LAMP, None, "g", "e", world.now, world.now, **{member: digest})
        await world.store.commit([ReplaceHubDevice(device, None)])
        assert (await by_certificate(world, own)).method is AuthMethod.BOOTSTRAP_CERTIFICATE
        assert await refused(by_certificate(world, other)) == "hub-certificate-not-bound"


async def at(
    world: HubWorld, host: str | None, token: str | None = None, *, certificate: pki.Entity | None = None
) -> Admission:
    shown = None if token is None else sas.parse(token)
    chain = () if certificate is None else certificate.chain
    return await world.identities().authenticate(LAMP, chain, shown, host)


class TestMassRevocation:
    """Whoever is covered by one that is under way opens nothing, however far it is."""

    async def begin(self, world: HubWorld, target: GroupId | AuthorityName) -> None:
        made = MassRevocation(target.key, target, RevocationReason.UNSPECIFIED, "owner", world.now, 1)
        await world.store.commit([BeginMassRevocation(made)])

    async def test_of_its_group(self, world: HubWorld) -> None:
        await world.enroll()
        await world.store.commit([SaveRegistration(some.registration("lamp-1"), None)])
        await self.begin(world, GroupId.parse("another"))
        await by_token(world, world.token())
        await self.begin(world, GroupId.parse("fleet"))
        assert await refused(by_token(world, world.token())) == "hub-device-being-revoked"
        ends = Progress(None, 0, Tally())
        await world.store.commit([AdvanceMassRevocation("fleet", None, ends, world.now)])
        await by_token(world, world.token())

    async def test_of_the_authority_of_its_certificate(self, world: HubWorld) -> None:
        await world.enroll()
        shown = await world.issue()
        await by_certificate(world, shown)
        await self.begin(world, AuthorityName.parse("builtin"))
        assert await refused(by_certificate(world, shown)) == "hub-device-being-revoked"
        assert await refused(by_token(world, world.token())) == "hub-device-being-revoked"

    async def test_a_certificate_of_another_authority_still_opens(self, world: HubWorld) -> None:
        await world.enroll()
        await world.issue()
        other = await world.issue(authority="other")
        await self.begin(world, AuthorityName.parse("builtin"))
        await by_certificate(world, other)

    async def test_an_identity_made_by_hand_is_nobodys(self, world: HubWorld) -> None:
        await world.enroll(registration_id=None)
        await self.begin(world, GroupId.parse("fleet"))
        await by_token(world, world.token())
