"""What a source, a device and a group may do; and that nobody else's failures keep a right proof out."""

from __future__ import annotations

import pytest

from accredit.domain.errors import Throttled, Unauthenticated
from accredit.domain.evidence import PresentedChain
from accredit.domain.ids import RegistrationId
from accredit.domain.registration import Assigned
from accredit.provisioning.limits import ALL_SOURCES, MAX_SOURCES, PATIENCE_S, Limits, Terms
from support import pki
from support.hand_clock import HandClock
from support.provisioning_world import keys, signing_certificates

REFUSAL = Unauthenticated("Unauthorized", rule="sas-signature")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def limits(clock: HandClock, failures: int = 60, **terms) -> Limits:
    return Limits(clock, Terms(failed_proofs_per_minute=failures, **terms))


def exhaust(made: Limits, source: str = "192.0.2.7", failures: int = 60) -> None:
    for _ in range(failures):
        assert made.failed(REFUSAL, source) is REFUSAL


class TestSource:
    def test_a_failure_within_the_budget_is_told_as_it_is(self, clock):
        exhaust(limits(clock))

    def test_beyond_it_the_peer_is_told_exactly_when_to_come_back(self, clock):
        made = limits(clock)
        exhaust(made)
        clock.advance(0.25)
        told = made.failed(REFUSAL, "192.0.2.7")
        assert isinstance(told, Throttled)
        assert (told.rule, told.retry_after_s) == ("source-throttled", 1)
        assert told.evidence.startswith("sas-signature")
        # What it failed while it was over its budget counts too.
        clock.advance(1)
        assert isinstance(made.failed(REFUSAL, "192.0.2.7"), Throttled)
        clock.advance(3)
        assert made.failed(REFUSAL, "192.0.2.7") is REFUSAL

    def test_other_sources_are_not_touched(self, clock):
        made = limits(clock)
        exhaust(made)
        assert made.failed(REFUSAL, "192.0.2.8") is REFUSAL
        assert made.turn("192.0.2.8") == 0

    def test_an_ipv6_network_is_one_source(self, clock):
        made = limits(clock)
        for number in range(60):
            assert made.failed(REFUSAL, f"2001:db8::{number:x}") is REFUSAL
        assert isinstance(made.failed(REFUSAL, "2001:db8::ffff"), Throttled)
        assert made.failed(REFUSAL, "2001:db8:0:1::1") is REFUSAL

    def test_trials_are_what_is_charged(self, clock):
        made = limits(clock, 60)
        assert made.failed(REFUSAL, "192.0.2.7", trials=60) is REFUSAL
        assert isinstance(made.failed(REFUSAL, "192.0.2.7"), Throttled)

    def test_a_search_waits_its_turn_and_not_for_ever(self, clock):
        made = limits(clock)
        exhaust(made)
        assert [made.turn("192.0.2.7") for _ in range(PATIENCE_S)] == [1.0, 2.0, 3.0]
        with pytest.raises(Throttled) as refused:
            made.turn("192.0.2.7")
        assert refused.value.retry_after_s == 1
        clock.advance(refused.value.retry_after_s)
        assert made.turn("192.0.2.7") == PATIENCE_S

    def test_without_a_limit_there_is_none(self, clock):
        made = limits(clock, 0)
        for _ in range(1_000):
            assert made.failed(REFUSAL, "192.0.2.7", 100) is REFUSAL
            assert made.turn("192.0.2.7") == 0

    def test_when_all_fail_together_only_who_has_failed_is_slowed(self, clock):
        made = limits(clock)
        for number in range(ALL_SOURCES * 2):
            for _ in range(30):
                made.failed(REFUSAL, f"198.51.100.{number}")
        assert made.turn("198.51.100.1") > 0
        assert made.turn("192.0.2.7") == 0

    def test_a_hundred_thousand_sources_take_bounded_room(self, clock):
        made = limits(clock)
        for number in range(100_000):
            made.failed(REFUSAL, f"10.{number >> 16}.{(number >> 8) & 255}.{number & 255}")
        assert len(made._failures) <= MAX_SOURCES


class TestDevice:
    async def test_registrations_of_one_device(self, world):
        await world.individual()
        await world.individual("dev-2")
        await world.restart(terms=Terms(device_registrations_per_minute=2))
        for _ in range(2):
            assert isinstance(await world.device().register(), Assigned)
        with pytest.raises(Throttled) as refused:
            await world.device().register()
        assert (refused.value.rule, refused.value.retry_after_s) == ("device-throttled", 30)
        assert isinstance(await world.device("dev-2").register(), Assigned)
        world.clock.advance(29.9)
        with pytest.raises(Throttled):
            await world.device().register()
        world.clock.advance(0.1)
        assert isinstance(await world.device().register(), Assigned)

    async def test_by_default_nothing_good_is_limited(self, world):
        await world.individual()
        device = world.device()
        for _ in range(50):
            answer = await device.register()
            await device.poll(answer)

    async def test_azure_polls_five_in_ten_seconds(self, world):
        await world.individual()
        await world.restart(terms=Terms(azure=True))
        device = world.device()
        answer = await device.register()
        for _ in range(5):
            await device.poll(answer)
        with pytest.raises(Throttled) as refused:
            await device.poll(answer)
        assert refused.value.retry_after_s == 2
        with pytest.raises(Throttled):
            await world.provisioning.lookup(device.request())
        world.clock.advance(2)
        await device.poll(answer)

    async def test_a_stranger_does_not_use_up_a_device_s_polls(self, world):
        await world.individual()
        await world.restart(terms=Terms(azure=True))
        device, thief = world.device(), world.device()
        thief.master = b"x" * 32
        answer = await device.register()
        for _ in range(20):
            with pytest.raises(Unauthenticated):
                await thief.poll(answer)
        await device.poll(answer)

    def test_azure_counts_calls_of_the_service_api(self, clock):
        made = limits(clock, azure=True)
        for _ in range(1_000):
            made.service_call()
        with pytest.raises(Throttled) as refused:
            made.service_call()
        assert (refused.value.rule, refused.value.retry_after_s) == ("service-throttled", 1)
        clock.advance(0.06)
        made.service_call()
        limits(clock).service_call()


class TestGroup:
    async def test_registrations_of_a_group_in_a_minute(self, world):
        await world.group(settings={"quota": {"registrationsPerMinute": 3}})
        await world.group("other", attestation=keys("o"))
        for number in range(3):
            await world.device(f"a-{number}", group=True).register()
        with pytest.raises(Throttled) as refused:
            await world.device("a-3", group=True).register()
        assert (refused.value.rule, refused.value.retry_after_s) == ("group-throttled", 20)
        other = world.device("b", group=True)
        other.master = b"o" * 32
        await other.register()
        world.clock.advance(20)
        await world.device("a-3", group=True).register()

    async def test_a_refused_call_is_not_counted(self, world):
        await world.group(settings={"quota": {"registrationsPerMinute": 1}})
        await world.restart(terms=Terms(device_registrations_per_minute=2))
        await world.device("a", group=True).register()
        for _ in range(5):
            with pytest.raises(Throttled):
                await world.device("b", group=True).register()
        world.clock.advance(60)
        await world.device("b", group=True).register()


class TestNobodyIsLockedOut:
    """One address, a factory behind it, and somebody there who fails all the time."""

    async def _neighbour_fails(self, world, times: int = 200) -> None:
        thief = world.device("thief", group=True)
        thief.master = b"x" * 32
        for _ in range(times):
            with pytest.raises((Unauthenticated, Throttled)):
                await thief.register()

    async def test_who_has_an_enrollment_of_its_own_does_not_even_wait(self, world):
        await world.group()
        await world.individual("mine", attestation=keys("m"))
        await world.restart(terms=Terms(failed_proofs_per_minute=10))
        await self._neighbour_fails(world)
        world.slept.clear()
        device = world.device("mine")
        device.master = b"m" * 32
        assert isinstance(await device.register(), Assigned)
        assert world.slept == []

    async def test_nor_does_who_has_registered_before(self, world):
        await world.group()
        await world.restart(terms=Terms(failed_proofs_per_minute=10))
        device = world.device("old", group=True)
        await device.register()
        await self._neighbour_fails(world)
        world.slept.clear()
        assert isinstance(await device.register(), Assigned)
        assert world.slept == []

    async def test_nor_a_known_device_with_a_certificate(self, world):
        root = pki.root("Root")
        leaf = root.issue("x509-dev")
        await world.group(attestation=signing_certificates(root))
        await world.restart(terms=Terms(failed_proofs_per_minute=10))
        shown = PresentedChain((leaf.der,))
        device = world.device("x509-dev")
        await device.register(evidence=shown)
        await self._neighbour_fails(world)
        world.slept.clear()
        assert isinstance(await device.register(evidence=shown), Assigned)
        assert world.slept == []

    async def test_a_new_device_waits_and_then_gets_through(self, world):
        await world.group()
        await world.restart(terms=Terms(failed_proofs_per_minute=60))
        await self._neighbour_fails(world, 60)
        world.slept.clear()
        assert isinstance(await world.device("new", group=True).register(), Assigned)
        assert world.slept == [1.0]

    async def test_however_long_the_neighbour_goes_on(self, world):
        """Told to come back, it comes back then, as the SDKs do."""
        await world.group()
        await world.restart(terms=Terms(failed_proofs_per_minute=60))
        await self._neighbour_fails(world)
        device = world.device("new", group=True)
        for _ in range(100):
            try:
                answer = await device.register()
            except Throttled as throttled:
                world.clock.advance(throttled.retry_after_s)
            else:
                break
        assert isinstance(answer, Assigned)

    async def test_good_calls_cost_their_source_nothing(self, world):
        await world.group()
        await world.restart(terms=Terms(failed_proofs_per_minute=2))
        for number in range(50):
            await world.device(f"a-{number}", group=True).register()
        assert world.slept == []

    async def test_a_failure_after_the_proof_is_not_the_source_s(self, world):
        await world.group(authority=None)
        await world.restart(terms=Terms(failed_proofs_per_minute=1), pause_after_failures=0)
        device = world.device("a", group=True)
        for _ in range(5):
            with pytest.raises(Exception, match="clientCertificateIssuancePolicy"):
                await device.certify()
        assert world.refusals.limits.turn("192.0.2.7") == 0


def test_polling_is_by_the_id_in_any_case(clock):
    made = limits(clock, azure=True)
    for name in ("Dev", "dev", "DEV", "dEv", "deV"):
        made.polling(RegistrationId.parse(name))
    with pytest.raises(Throttled):
        made.polling(RegistrationId.parse("dev"))
