"""A certificate that was issued here proves a renewal: for its own registration, where that still stands, and no more."""

from __future__ import annotations

import pytest

from accredit.domain.changes import RevokeCertificate
from accredit.domain.credential import RevocationReason
from accredit.domain.device import BindingState
from accredit.domain.enrollment import EnrollmentKind
from accredit.domain.errors import Malformed, Refused, Unauthenticated
from accredit.domain.evidence import HeldCertificate, PresentedChain, ProvenHeld
from accredit.domain.ids import DeviceId
from accredit.domain.linked_hub import FIRST_HUB
from accredit.domain.registration import Assigned
from support.provisioning_world import OUTSIDE, World, opened, sha256_of
from support.scripted_ca import delivers

DAY = 86_400


async def certified(world: World, which: int = 0, **more) -> tuple[Assigned, HeldCertificate]:
    answer = await world.device().certify(which, **more)
    assert isinstance(answer, Assigned)
    assert answer.certified is not None
    return answer, HeldCertificate(answer.certified.record.issued.leaf)


async def refused_by(world: World, kind: type[Exception], rule: str, **more) -> None:
    with pytest.raises(kind) as refusal:
        await world.device().certify(1, **more)
    assert refusal.value.rule == rule


class TestRenewal:
    async def test_the_new_certificate_stands_beside_the_old_one(self, world: World) -> None:
        await world.individual()
        first, held = await certified(world)
        await world.use(first)
        second, _ = await certified(world, 1, evidence=held)
        assert await world.states() == {
            sha256_of(first): BindingState.ACTIVE,
            sha256_of(second): BindingState.PENDING,
        }
        assert second.attested.proof == ProvenHeld(held.certificate)

    async def test_it_is_no_new_assignment(self, world: World) -> None:
        await world.individual()
        first, held = await certified(world)
        before = await world.disk.hub_device(FIRST_HUB, DeviceId("dev-1"))
        second, _ = await certified(world, 1, evidence=held)
        assert second.registration.operation_id == first.registration.operation_id
        assert second.registration.substatus == first.registration.substatus
        assert second.registration.hub == first.registration.hub
        assert await world.disk.hub_device(FIRST_HUB, DeviceId("dev-1")) == before

    async def test_by_a_certificate_that_was_never_used(self, world: World) -> None:
        await world.individual()
        _, held = await certified(world)
        await certified(world, 1, evidence=held)

    async def test_at_a_ca_outside_it_is_resumed_by_the_next_process(self, world: World) -> None:
        await world.individual(authority=OUTSIDE)
        world.ca.will(delivers, delivers)
        _, held = await certified(world)
        world.patience_s = 0
        await world.restart()
        assigning = await world.device().certify(1, evidence=held)
        await world.restart()
        ended = await world.device().outcome(assigning)
        assert sha256_of(ended) == world.ca.ledger[1][1].sha256

    async def test_without_a_csr_it_proves_nothing(self, world: World) -> None:
        await world.individual()
        _, held = await certified(world)
        with pytest.raises(Malformed) as refusal:
            await world.device().register(evidence=held)
        assert refusal.value.rule == "renewal-without-csr"

    async def test_after_the_device_was_handed_over_to_another_group(self, world: World) -> None:
        await world.group("line")
        await world.group("other")
        answer = await world.device(group=True).certify()
        held = HeldCertificate(answer.certified.record.issued.leaf)
        await world.move("dev-1", EnrollmentKind.GROUP, "other")
        renewed = await world.device().certify(1, evidence=held)
        assert renewed.registration.enrollment.key == "other"


class TestNoProof:
    async def test_one_of_another_device(self, world: World) -> None:
        await world.individual()
        await world.individual("dev-2")
        other = await world.device("dev-2").certify(2)
        await certified(world)
        held = HeldCertificate(other.certified.record.issued.leaf)
        await refused_by(world, Unauthenticated, "held-certificate-unknown", evidence=held)

    async def test_one_that_a_newer_one_has_replaced(self, world: World) -> None:
        await world.individual()
        first, held = await certified(world)
        await world.use(first)
        second, _ = await certified(world, 1)
        await world.use(second)
        await refused_by(world, Unauthenticated, "held-certificate-replaced", evidence=held)

    async def test_a_revoked_one(self, world: World) -> None:
        await world.individual()
        first, held = await certified(world)
        reason = RevocationReason.KEY_COMPROMISE
        await world.disk.commit([RevokeCertificate(sha256_of(first), world.now, reason, ca_knows=True)])
        await refused_by(world, Unauthenticated, "held-certificate-replaced", evidence=held)

    async def test_where_an_individual_enrollment_hides_the_group(self, world: World) -> None:
        await world.group("line")
        answer = await world.device(group=True).certify()
        await world.individual()
        held = HeldCertificate(answer.certified.record.issued.leaf)
        await refused_by(world, Unauthenticated, "held-certificate-of-another-enrollment", evidence=held)

    async def test_where_the_registration_is_gone(self, world: World) -> None:
        await world.individual()
        _, held = await certified(world)
        await world.delete_registration("dev-1")
        await refused_by(world, Unauthenticated, "held-certificate-of-another-enrollment", evidence=held)

    async def test_for_a_device_that_would_be_another_one(self, world: World) -> None:
        enrollment = await world.individual()
        _, held = await certified(world)
        await world.change(enrollment, device_id=DeviceId("another"))
        await refused_by(world, Refused, "renewal-not-assigned", evidence=held)


class TestGrace:
    """After its end, and at provisioning, where the operator allows it."""

    async def test_an_expired_certificate_proves_nothing_by_default(self, world: World) -> None:
        await world.individual()
        _, held = await certified(world)
        world.clock.advance(31 * DAY)
        await refused_by(world, Unauthenticated, "held-certificate-expired", evidence=held)

    async def test_within_the_grace_it_still_proves_a_renewal(self, tmp_path) -> None:
        async with opened(tmp_path, renewal_grace_s=7 * DAY) as world:
            await world.individual()
            _, held = await certified(world)
            world.clock.advance(32 * DAY)
            await certified(world, 1, evidence=PresentedChain((held.certificate,)))
            world.clock.advance(6 * DAY)
            await refused_by(world, Unauthenticated, "held-certificate-expired", evidence=held)
            await world.audit()

    async def test_a_shown_chain_is_looked_up_only_where_there_is_a_grace(self, world: World) -> None:
        await world.individual()
        _, held = await certified(world)
        chain = PresentedChain((held.certificate,))
        await refused_by(world, Unauthenticated, "attestation-mechanism", evidence=chain)

    async def test_a_strangers_chain_is_refused_as_before(self, tmp_path) -> None:
        from support import pki

        async with opened(tmp_path, renewal_grace_s=DAY) as world:
            await world.individual()
            stranger = pki.root("Nobody").issue("dev-1")
            chain = PresentedChain(stranger.chain)
            await refused_by(world, Unauthenticated, "attestation-mechanism", evidence=chain)
