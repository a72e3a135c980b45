"""Whose device is it? Evidence against enrollments, and registrations against their owners."""

from __future__ import annotations

import pytest

from accredit.domain.enrollment import EnrollmentKind
from accredit.domain.errors import Unauthenticated
from accredit.domain.evidence import NothingShown, PresentedChain
from accredit.domain.ids import DeviceId
from accredit.domain.registration import Status
from support import pki
from support.provisioning_world import (
    BUILTIN,
    OUTSIDE,
    ca_references,
    keys,
    leaf_certificates,
    signing_certificates,
)
from support.troubled_store import MeddledStore


class TestProof:
    async def test_nothing_shown(self, world):
        await world.individual()
        with pytest.raises(Unauthenticated) as refused:
            await world.device().register(evidence=NothingShown())
        assert refused.value.rule == "nothing-shown"

    async def test_a_stranger_leaves_no_trace(self, world):
        device = world.device("nobody")
        with pytest.raises(Unauthenticated):
            await device.certify()
        assert (await world.disk.registrations(None, None, 9)).rows == []
        assert await world.certificates() == []

    async def test_both_keys_of_a_group_prove(self, world):
        await world.group()
        await world.device("a", group=True).register()
        second = world.device("b", group=True)
        second.master = b"s" * 32
        answer = await second.register()
        assert answer.attested.enrollment.id.text == "line"

    async def test_an_individual_enrollment_hides_every_group(self, world):
        await world.group()
        await world.individual("dev-1", attestation=leaf_certificates(pki.root("dev-1", ca=False)))
        with pytest.raises(Unauthenticated) as refused:
            await world.device(group=True).register()
        assert refused.value.rule == "attestation-mechanism"
        assert (await world.device("dev-2", group=True).register()).registration.status is Status.ASSIGNED

    async def test_a_disabled_individual_enrollment_hides_groups_too(self, world):
        await world.group()
        await world.individual(attestation=keys("o"), enabled=False)
        with pytest.raises(Unauthenticated):
            await world.device(group=True).register()

    async def test_a_certificate_where_a_key_is_enrolled(self, world):
        await world.individual()
        shown = pki.root("dev-1", ca=False)
        with pytest.raises(Unauthenticated) as refused:
            await world.device().register(evidence=PresentedChain((shown.der,)))
        assert refused.value.rule == "attestation-mechanism"


class TestIdPattern:
    @pytest.mark.parametrize("name", ["line-7", "LINE-7"])
    async def test_an_id_that_matches_belongs_to_the_group(self, world, name):
        await world.group(settings={"idPattern": "line-[0-9]+"})
        assert (await world.device(name, group=True).register()).registration.status is Status.ASSIGNED

    @pytest.mark.parametrize("pattern", ["Line-[0-9]+", "line-7|line-8", "line-\\d|cell-\\d"])
    async def test_patterns_are_written_in_any_case(self, world, pattern):
        await world.group(settings={"idPattern": pattern})
        assert (await world.device("line-7", group=True).register()).registration.status is Status.ASSIGNED

    @pytest.mark.parametrize("name", ["line-", "xline-7", "line-7-b", "cell-7"])
    async def test_an_id_that_does_not_match_as_a_whole_is_a_strangers(self, world, name):
        await world.group(settings={"idPattern": "line-[0-9]+"})
        with pytest.raises(Unauthenticated):
            await world.device(name, group=True).register()

    async def test_another_group_with_the_same_key_is_still_tried(self, world):
        await world.group("a", settings={"idPattern": "line-[0-9]+"})
        await world.group("b")
        answer = await world.device("cell-7", group=True).register()
        assert answer.attested.enrollment.id.text == "b"

    async def test_for_groups_of_certificates_too(self, world):
        root = pki.root("Plant")
        await world.group("x", attestation=signing_certificates(root), settings={"idPattern": "line-[0-9]+"})
        inside, outside = root.issue("line-7"), root.issue("cell-7")
        answer = await world.device("line-7").register(evidence=PresentedChain(inside.chain))
        assert answer.attested.enrollment.id.text == "x"
        with pytest.raises(Unauthenticated) as refused:
            await world.device("cell-7").register(evidence=PresentedChain(outside.chain))
        assert refused.value.rule == "chain-stops"


class TestCaReferences:
    async def test_a_group_that_refers_to_a_verified_certificate(self, world):
        root = pki.root("Plant")
        line = root.intermediate("Line")
        await world.ca_certificate("plant", root.der)
        await world.group("x", attestation=ca_references("plant"))
        shown = PresentedChain((line.issue("dev-1").der, line.der))
        answer = await world.device().register(evidence=shown)
        assert answer.attested.enrollment.id.text == "x"
        assert (await world.device().certify(evidence=shown)).certified is not None

    async def test_one_that_is_not_verified_proves_nothing(self, world):
        root = pki.root("Plant")
        await world.ca_certificate("plant", root.der, verified=False)
        await world.group("x", attestation=ca_references("plant"))
        shown = PresentedChain((root.issue("dev-1").der,))
        with pytest.raises(Unauthenticated) as refused:
            await world.device().register(evidence=shown)
        assert refused.value.rule == "ca-not-verified"
        await world.ca_certificate("plant", root.der)
        await world.device().register(evidence=shown)

    async def test_a_verified_root_above_one_that_is_not(self, world):
        root = pki.root("Plant")
        line = root.intermediate("Line")
        await world.ca_certificate("plant", root.der)
        await world.ca_certificate("line", line.der, verified=False)
        await world.group("x", attestation=ca_references("line"))
        await world.device().register(evidence=PresentedChain((line.issue("dev-1").der,)))

    async def test_an_individual_enrollment_refers_too_and_hides_groups(self, world):
        root, other = pki.root("Plant"), pki.root("Other")
        await world.ca_certificate("plant", root.der)
        await world.group("x", attestation=signing_certificates(other))
        single = await world.individual(attestation=ca_references("plant"))
        answer = await world.device().register(evidence=PresentedChain(root.issue("dev-1").chain))
        assert answer.attested.enrollment == single
        with pytest.raises(Unauthenticated) as refused:
            await world.device().register(evidence=PresentedChain(other.issue("dev-1").chain))
        assert refused.value.rule == "chain-stops"

    async def test_rollover(self, world):
        old, new = pki.root("Old"), pki.root("New")
        await world.ca_certificate("old", old.der)
        await world.ca_certificate("new", new.der)
        await world.group("x", attestation=ca_references("old", "new"))
        for number, root in enumerate((old, new)):
            leaf = root.issue(f"dev-{number}")
            await world.device(f"dev-{number}").register(evidence=PresentedChain((leaf.der,)))

    @pytest.mark.parametrize("authority", [BUILTIN, OUTSIDE])
    async def test_it_is_replaced_while_the_device_registers(self, world, authority):
        """What a decision rested on is asserted in the commit; then it is taken again, on what is there now."""
        root = pki.root("Plant")
        await world.authority()
        await world.ca_certificate("plant", root.der)
        await world.group("x", attestation=ca_references("plant"), authority=authority)

        async def replaced():
            await world.ca_certificate("plant", pki.root("Plant").der)

        world.open(MeddledStore(world.disk, replaced))
        with pytest.raises(Unauthenticated) as refused:
            await world.device().certify(evidence=PresentedChain((root.issue("dev-1").der,)))
        assert refused.value.rule == "chain-stops"
        assert (await world.disk.registrations(None, None, 9)).rows == []


class TestOwnership:
    async def test_another_group_is_refused_until_the_registration_is_moved(self, world):
        await world.group("a")
        other = await world.group("b", attestation=keys("q"))
        await world.device(group=True).register()
        thief = world.device(group=True)
        thief.master = b"q" * 32
        for call in (thief.register(), thief.certify(), thief.poll("4.x")):
            with pytest.raises(Unauthenticated) as refused:
                await call
            assert refused.value.rule == "registration-of-another-enrollment"
        assert (await world.registration()).enrollment.key == "a"
        await world.move("dev-1", EnrollmentKind.GROUP, "b")
        assert (await thief.register()).registration.enrollment == other.ref
        with pytest.raises(Unauthenticated):
            await world.device(group=True).register()

    async def test_a_deleted_registration_is_anybodys(self, world):
        await world.group("a")
        await world.group("b", attestation=keys("q"))
        await world.device(group=True).register()
        await world.delete_registration("dev-1")
        thief = world.device(group=True)
        thief.master = b"q" * 32
        assert (await thief.register()).registration.enrollment.key == "b"

    async def test_an_individual_enrollment_takes_over(self, world):
        await world.group("a")
        await world.device(group=True).register()
        taken = await world.individual(attestation=keys("o"))
        owner = world.device()
        owner.master = b"o" * 32
        assert (await owner.register()).registration.enrollment == taken.ref
        with pytest.raises(Unauthenticated):
            await world.device(group=True).register()

    async def test_the_owner_stays_though_its_group_is_gone(self, world):
        group = await world.group("a")
        await world.device(group=True).register()
        await world.unenroll(group)
        await world.group("b", attestation=keys("q"))
        thief = world.device(group=True)
        thief.master = b"q" * 32
        with pytest.raises(Unauthenticated):
            await thief.register()
        await world.group("a")
        assert (await world.device(group=True).register()).registration.enrollment.key == "a"

    async def test_of_two_groups_with_one_key_the_owner_is_tried_first(self, world):
        await world.group("b")
        await world.device(group=True).register()
        await world.group("a")
        assert (await world.device(group=True).register()).registration.enrollment.key == "b"

    async def test_the_spelling_that_came_first_stays(self, world):
        await world.group()
        await world.device("Dev-1", group=True).register()
        later = world.device("dEV-1", group=True)
        answer = await later.register(later.csr(name="dev-1"))
        assert answer.registration.registration_id.text == "Dev-1"
        assert answer.registration.device_id == DeviceId("Dev-1")
        assert answer.certified.record.device_id == DeviceId("Dev-1")

    async def test_the_enrollments_spelling_counts(self, world):
        await world.individual("Dev-1")
        answer = await world.device("dev-1").certify()
        assert answer.registration.registration_id.text == "Dev-1"
        assert answer.registration.device_id == DeviceId("Dev-1")
