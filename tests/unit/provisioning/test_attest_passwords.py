"""Proofs of a call that names its enrollment: a password made from the device's key, or a chain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from accredit.domain.errors import Unauthenticated
from accredit.domain.evidence import NothingShown, Password, PresentedChain
from accredit.domain.registration import Ended, Status
from accredit.domain.secret import Secret
from accredit.policy import passwords
from accredit.policy.symmetric_keys import derive
from support import pki
from support.provisioning_world import OUTSIDE, keys, leaf_certificates, signing_certificates
from support.scripted_ca import delivers

ROOT = pki.root("Root")
OTHER_ROOT = pki.root("Other Root")


async def enroll(world, name="dev-1", *, label, evidence=None, key=b"p" * 32, which=None):
    """One call of a device, as a wire makes it that names the enrollment and has no polls."""
    device = world.device(name)
    shown = evidence or Password(Secret(passwords.made_with(Secret(key), label).encode()))
    request = device.request(("pkcs10", device.csr(which)), evidence=shown)
    return await world.provisioning.register(replace(request, named=label, repeats=True))


async def rule_of(call):
    with pytest.raises(Unauthenticated) as refused:
        await call
    assert refused.value.message == "Unauthorized"
    return refused.value.rule


class TestPasswords:
    async def test_of_a_device(self, world):
        await world.individual("Dev-1")
        answer = await enroll(world, "dev-1", label="dev-1")
        assert answer.registration.status is Status.ASSIGNED
        assert answer.registration.registration_id.text == "Dev-1"
        assert answer.certified is not None

    async def test_of_a_groups_device(self, world):
        await world.group("Line")
        key = derive(Secret(b"s" * 32), "dev-1").reveal()
        answer = await enroll(world, label="line", key=key)
        assert answer.attested.enrollment.id.text == "Line"
        # What proved it is good at the hub too, until the certificate is used.
        assert answer.attested.proof.spelling == "dev-1"

    @pytest.mark.parametrize("label", ["dev-2", "line", "other"])
    async def test_under_another_label(self, world, label):
        await world.individual("dev-1")
        await world.group("line")
        key = b"p" * 32
        shown = Password(Secret(passwords.made_with(Secret(key), "dev-1").encode()))
        assert await rule_of(enroll(world, label=label, evidence=shown)) == "enrollment-named"
        assert await rule_of(enroll(world, label=label)) in {"password", "enrollment-named"}

    async def test_of_a_group_that_is_not_there(self, world):
        assert await rule_of(enroll(world, label="line")) == "password"

    async def test_with_another_key(self, world):
        await world.individual(attestation=keys("o"))
        assert await rule_of(enroll(world, label="dev-1")) == "password"

    async def test_where_a_certificate_is_enrolled(self, world):
        await world.individual(attestation=leaf_certificates(pki.root("dev-1", ca=False)))
        assert await rule_of(enroll(world, label="dev-1")) == "password"

    async def test_of_an_id_that_the_group_does_not_have(self, world):
        await world.group("line", settings={"idPattern": "other-.*"})
        key = derive(Secret(b"p" * 32), "dev-1").reveal()
        assert await rule_of(enroll(world, label="line", key=key)) == "password"

    async def test_without_any_proof(self, world):
        await world.individual()
        assert await rule_of(enroll(world, label="dev-1", evidence=NothingShown())) == "nothing-shown"


class TestChains:
    async def test_below_the_named_group(self, world):
        """Two groups may stand above one chain: the call says which is meant."""
        middle = ROOT.intermediate("Middle")
        await world.group("upper", signing_certificates(ROOT))
        await world.group("lower", signing_certificates(middle))
        shown = PresentedChain((middle.issue("dev-1").der, middle.der))
        answer = await enroll(world, label="upper", evidence=shown)
        assert answer.attested.enrollment.id.text == "upper"

    async def test_below_another_group(self, world):
        await world.group("line", signing_certificates(ROOT))
        shown = PresentedChain((ROOT.issue("dev-1").der,))
        assert await rule_of(enroll(world, label="other", evidence=shown)) == "chain-stops"

    async def test_an_individual_enrollment_under_another_label(self, world):
        own = pki.root("dev-1", ca=False)
        await world.individual(attestation=leaf_certificates(own))
        shown = PresentedChain((own.der,))
        assert await rule_of(enroll(world, label="line", evidence=shown)) == "enrollment-named"
        assert (await enroll(world, label="DEV-1", evidence=shown)).certified is not None


async def test_a_disabled_enrollment_is_told_at_once(world):
    """There is no poll that could tell it later."""
    await world.individual(enabled=False)
    answer = await enroll(world, label="dev-1")
    assert isinstance(answer, Ended)
    assert answer.status is Status.DISABLED


async def test_an_outside_authority_is_told_by_the_same_call_again(world):
    world.patience_s = 0
    world.open()
    world.ca.will(delivers)
    await world.individual(authority=OUTSIDE)
    first = await enroll(world, label="dev-1")
    await world.orders.settled(first.operation_id, 60)
    again = await enroll(world, label="dev-1")
    assert again.certified is not None
    assert len(world.ca.ledger) == 1
