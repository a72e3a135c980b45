"""Which certificate a device leaves with, and which CSRs are turned down."""

from __future__ import annotations

import asyncio

import pytest

from accredit.domain.device import BindingState
from accredit.domain.errors import Malformed, UpstreamUnavailable
from accredit.domain.ids import AuthorityName, DeviceId
from accredit.domain.registration import Assigned
from support.provisioning_world import (
    bridged,
    opened,
    sha256_of,
)


class TestSameCsr:
    async def test_gets_the_same_certificate(self, world):
        await world.individual()
        device = world.device()
        first, second = await device.certify(), await device.certify()
        assert sha256_of(first) == sha256_of(second)
        assert (first.certified.fresh, second.certified.fresh) == (True, False)
        assert len(await world.certificates()) == 1
        assert await world.states() == {sha256_of(first): BindingState.PENDING}

    async def test_of_another_form_too(self, world):
        """The key is what counts: another signature, another field, another spelling of the id."""
        await world.individual()
        first = await world.device().certify()
        second = await world.device("DEV-1").register(world.device("DEV-1").csr(), "clientCertificateCsr")
        assert sha256_of(first) == sha256_of(second)
        assert second.csr_field == "clientCertificateCsr"

    async def test_until_two_thirds_of_its_life(self, world):
        await world.individual()
        device = world.device()
        first = await device.certify()
        issued = first.certified.record.issued
        renew_at = issued.not_before + (issued.not_after - issued.not_before) * 2 // 3
        world.clock.advance(renew_at - world.now - 1)
        assert sha256_of(await device.certify()) == sha256_of(first)
        world.clock.advance(1)
        renewed = await device.certify()
        assert sha256_of(renewed) != sha256_of(first)
        assert renewed.certified.record.issued.spki_sha256 == issued.spki_sha256

    async def test_not_once_it_has_expired(self, world):
        await world.individual()
        device = world.device()
        first = await device.certify()
        world.clock.advance(60 * 86_400)
        assert sha256_of(await device.certify()) != sha256_of(first)

    async def test_not_while_its_validity_lies_ahead(self, world):
        """The clock was wrong when it was made."""
        await world.individual()
        device = world.device()
        first = await device.certify()
        world.clock.advance(-900)
        assert sha256_of(await device.certify()) != sha256_of(first)

    async def test_a_retired_certificate_is_bound_again(self, world):
        await world.individual()
        device = world.device()
        first = await device.certify(0)
        await world.use(first)
        await world.use(await device.certify(1))
        assert (await world.states())[sha256_of(first)] is BindingState.RETIRED
        again = await device.certify(0)
        assert sha256_of(again) == sha256_of(first)
        assert (await world.states())[sha256_of(first)] is BindingState.PENDING

    async def test_another_key_gets_another_certificate(self, world):
        await world.individual()
        device = world.device()
        first, second = await device.certify(0), await device.certify(1)
        assert sha256_of(first) != sha256_of(second)
        assert set((await world.states()).values()) == {BindingState.PENDING}

    async def test_not_from_another_authority(self, world):
        enrollment = await world.individual()
        first = await world.device().certify()
        await world.builtin("second")
        await world.change(enrollment, authority=AuthorityName.parse("second"))
        second = await world.device().certify()
        assert sha256_of(first) != sha256_of(second)
        assert second.certified.record.authority.text == "second"

    async def test_not_from_another_version_of_the_authority(self, world):
        await world.individual()
        first = await world.device().certify()
        await world.replace_builtin()
        assert sha256_of(await world.device().certify()) != sha256_of(first)

    async def test_not_from_an_earlier_enrollment_of_the_same_name(self, world):
        enrollment = await world.individual()
        first = await world.device().certify()
        await world.unenroll(enrollment)
        await world.individual()
        assert sha256_of(await world.device().certify()) != sha256_of(first)

    async def test_from_before_a_replace_of_the_enrollment(self, world):
        enrollment = await world.individual()
        first = await world.device().certify()
        await world.change(enrollment, initial_twin={"tags": {}})
        assert sha256_of(await world.device().certify()) == sha256_of(first)

    async def test_not_under_another_device_id(self, world):
        enrollment = await world.individual()
        first = await world.device().certify()
        await world.change(enrollment, device_id=DeviceId("pump"))
        second = await world.device().certify()
        assert sha256_of(second) != sha256_of(first)
        assert second.registration.device_id == DeviceId("pump")


class TestKeyReuse:
    async def test_refused_by_default(self, world):
        await world.individual("dev-1")
        await world.individual("dev-2")
        await world.device("dev-1").certify()
        with pytest.raises(Malformed) as refused:
            await world.device("dev-2").certify()
        assert refused.value.rule == "key-of-another-device"
        assert "dev-1" not in refused.value.message
        assert len(await world.certificates()) == 1
        assert await world.disk.registration(world.device("dev-2").request().registration_id) is None

    @pytest.mark.parametrize("key_reuse", ["warn", "allow"])
    async def test_let_through(self, tmp_path, key_reuse):
        async with opened(tmp_path, key_reuse=key_reuse) as world:
            await world.individual("dev-1")
            await world.individual("dev-2")
            first, second = await world.device("dev-1").certify(), await world.device("dev-2").certify()
            assert sha256_of(first) != sha256_of(second)
            assert len(await world.certificates("dev-2")) == 1
            await world.audit()

    async def test_of_devices_at_the_same_instant_one_wins(self, world):
        names = [f"dev-{number}" for number in range(8)]
        for name in names:
            await world.individual(name)
        outcomes = await asyncio.gather(
            *(world.device(name).certify() for name in names), return_exceptions=True
        )
        won = [outcome for outcome in outcomes if isinstance(outcome, Assigned)]
        assert len(won) == 1
        lost = [outcome for outcome in outcomes if not isinstance(outcome, Assigned)]
        assert {outcome.rule for outcome in lost} == {"key-of-another-device"}
        assert len(await world.certificates()) == 1


class TestCsrRules:
    async def test_two_csrs_are_refused_by_name(self, world):
        await world.individual()
        device = world.device()
        csr = device.csr()
        with pytest.raises(Malformed) as refused:
            await world.provisioning.register(device.request(("clientCertificateCsr", csr), ("csr", csr)))
        assert refused.value.rule == "csr-twice"
        assert "clientCertificateCsr" in refused.value.message

    async def test_one_in_the_payload_counts(self, world):
        await world.individual()
        device = world.device()
        with pytest.raises(Malformed) as refused:
            await device.register(device.csr(), payload=bridged(device.csr()))
        assert refused.value.rule == "csr-twice"
        assert "payload.clientCertificateCsr" in refused.value.message

    @pytest.mark.parametrize("field", ["csr", "clientCertificateCsr"])
    async def test_none_is_due_without_an_issuance_policy(self, world, field):
        await world.individual(authority=None)
        with pytest.raises(Malformed) as refused:
            await world.device().register(world.device().csr(), field)
        assert refused.value.rule == "csr-not-due"
        assert field in refused.value.message

    async def test_a_payload_without_an_issuance_policy_passes_unread(self, world):
        await world.individual(authority=None)
        for payload in (
            bridged("no CSR at all"),
            bridged(world.device().csr()),
            b'{"clientCertificateCsr":7}',
            b"[1]",
        ):
            answer = await world.device().register(payload=payload)
            assert answer.certified is None

    async def test_the_bridge(self, world):
        await world.individual()
        device = world.device()
        answer = await device.register(payload=bridged(device.csr()))
        assert answer.csr_field == "payload.clientCertificateCsr"
        assert sha256_of(answer) == sha256_of(await device.certify())

    @pytest.mark.parametrize(
        "payload", [b'{"clientCertificateCsr":null}', b'{"other":1}', b'"text"', b"7", b"[]", b"{}"]
    )
    async def test_a_payload_without_a_csr_asks_for_nothing(self, world, payload):
        await world.individual()
        assert (await world.device().register(payload=payload)).certified is None

    async def test_a_null_in_the_payload_beside_a_csr(self, world):
        await world.individual()
        device = world.device()
        answer = await device.register(device.csr(), payload=b'{"clientCertificateCsr":null}')
        assert answer.csr_field == "csr"

    async def test_garbage_is_refused_by_the_name_of_its_field(self, world):
        await world.individual()
        with pytest.raises(Malformed) as refused:
            await world.device().register(payload=bridged("garbage"))
        assert "payload.clientCertificateCsr" in refused.value.message

    async def test_of_another_device(self, world):
        await world.individual()
        with pytest.raises(Malformed) as refused:
            await world.device().register(world.device().csr(name="dev-2"))
        assert refused.value.rule == "csr-names-another-device"

    async def test_64_characters_can_have_a_certificate_and_65_cannot(self, world):
        for length in (64, 65):
            await world.individual("d" * length)
        assert isinstance(await world.device("d" * 64).certify(), Assigned)
        longer = world.device("d" * 65, key=1)
        with pytest.raises(Malformed) as refused:
            await longer.register(longer.csr(name="d" * 64))
        assert refused.value.rule == "id-too-long-for-certificate"
        assert isinstance(await longer.register(), Assigned)

    async def test_an_authority_that_is_not_there(self, world):
        await world.individual(authority="gone")
        with pytest.raises(UpstreamUnavailable) as refused:
            await world.device().certify()
        assert refused.value.rule == "authority-unknown"
        assert isinstance(await world.device().register(), Assigned)

    async def test_our_own_ca_before_its_time_is_not_the_devices_fault(self, world):
        await world.individual()
        world.clock.advance(-365 * 86_400)
        with pytest.raises(UpstreamUnavailable) as refused:
            await world.device().certify()
        assert refused.value.rule == "ca-unavailable"
        assert refused.value.retry_after_s > 0
