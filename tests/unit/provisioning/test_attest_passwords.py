"""Proofs of a call that names its enrollment: a password made from the device's key, or a chain."""

from __future__ import annotations

import functools
import hashlib

import pytest

from accredit.domain.device import BindingState
from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.domain.errors import Malformed, Unauthenticated
from accredit.domain.evidence import HeldCertificate, NothingShown, Password, PresentedChain
from accredit.domain.registration import Assigning, Ended, Status
from accredit.domain.secret import Secret
from accredit.policy import passwords
from accredit.policy.symmetric_keys import derive
from accredit.provisioning.orders import OUTCOME_TOLD_S
from accredit.values import replace
from support import pki, signing_requests
from support.provisioning_world import OUTSIDE, keys, leaf_certificates, signing_certificates
from support.scripted_ca import delivers, rejects

ROOT = pki.root("Root")
OTHER_ROOT = pki.root("Other Root")


@functools.cache
def csr(name, which):
    """The same one, word for word, whenever it is asked for."""
    return signing_requests.pem(signing_requests.csr(name, signing_requests.key("P-256", which)))


async def enroll(world, name="dev-1", *, label, evidence=None, key=b"p" * 32, which=None):
    """One call of a device, as a wire makes it that names the enrollment and has no polls."""
    device = world.device(name)
    shown = evidence or Password(Secret(passwords.made_with(Secret(key), label or name).encode()))
    request = device.request(("pkcs10", csr(name, which or 0)), evidence=shown)
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


class TestRepeats:
    """Over this wire the same call is sent again until it has its outcome."""

    @pytest.fixture
    async def slow(self, world):
        world.patience_s = 0
        world.open()
        await world.individual(authority=OUTSIDE)
        return world

    async def test_a_certificate(self, slow):
        slow.ca.will(delivers)
        first = await enroll(slow, label="dev-1")
        await slow.orders.settled(first.operation_id, 60)
        again = await enroll(slow, label="dev-1")
        assert again.certified is not None
        assert len(slow.ca.ledger) == 1

    async def test_without_the_label(self, slow):
        """The registration's enrollment is meant."""
        slow.ca.will(delivers)
        first = await enroll(slow, label="dev-1")
        await slow.orders.settled(first.operation_id, 60)
        assert (await enroll(slow, label=None)).certified is not None

    async def failed(self, world):
        world.ca.will(rejects)
        first = await enroll(world, label="dev-1")
        await world.orders.settled(first.operation_id, 60)
        again = await enroll(world, label="dev-1")
        assert isinstance(again, Ended)
        assert again.operation_id == first.operation_id
        return again

    async def orders_again(self, world, answer):
        """A new operation has begun; it ends before what was signed is accounted for."""
        assert isinstance(answer, Assigning)
        await world.orders.settled(answer.operation_id, 60)

    async def test_a_failure_is_told_and_nothing_ordered_again(self, slow):
        await self.failed(slow)
        assert isinstance(await enroll(slow, label="dev-1"), Ended)
        assert len(slow.ca.orders) == 1

    async def test_another_csr_begins_anew(self, slow):
        await self.failed(slow)
        slow.ca.will(delivers)
        await self.orders_again(slow, await enroll(slow, label="dev-1", which=1))

    async def test_so_does_the_same_one_later(self, slow):
        await self.failed(slow)
        slow.clock.advance(slow.means.ca_retry_s + OUTCOME_TOLD_S)
        slow.ca.will(delivers)
        await self.orders_again(slow, await enroll(slow, label="dev-1"))

    async def test_and_for_an_enrollment_that_was_mended(self, slow):
        await self.failed(slow)
        await slow.change(await slow.disk.enrollment(EnrollmentRef(EnrollmentKind.INDIVIDUAL, "dev-1")))
        slow.ca.will(delivers)
        await self.orders_again(slow, await enroll(slow, label="dev-1"))


class TestWithoutALabel:
    async def test_a_groups_device_that_is_registered(self, world):
        await world.group("Line")
        key = derive(Secret(b"p" * 32), "dev-1").reveal()
        shown = Password(Secret(passwords.made_with(Secret(key), "Line").encode()))
        assert await rule_of(enroll(world, label=None, evidence=shown)) == "password"
        await enroll(world, label="Line", evidence=shown)
        assert (await enroll(world, label=None, evidence=shown)).certified is not None


class TestRenewals:
    """By the certificate that the device holds, under the label of its enrollment."""

    async def held(self, world):
        await world.individual()
        answer = await enroll(world, label="dev-1")
        return HeldCertificate(answer.certified.record.issued.leaf)

    async def test_showing_it_uses_it(self, world):
        """However many answers are lost, what the device holds is not pushed out."""
        held = await self.held(world)
        for which in range(1, 5):
            assert (await enroll(world, label="dev-1", evidence=held, which=which)).certified.fresh
        states = await world.states()
        assert states[hashlib.sha256(held.certificate).digest()] is BindingState.ACTIVE

    async def test_under_another_label(self, world):
        held = await self.held(world)
        assert await rule_of(enroll(world, label="line", evidence=held, which=1)) == "enrollment-named"

    async def test_another_subject(self, world):
        held = await self.held(world)
        device = world.device()
        request = device.request(("pkcs10", device.csr(1, name="DEV-1")), evidence=held)
        with pytest.raises(Malformed) as refused:
            await world.provisioning.register(replace(request, named="dev-1", repeats=True, keeps_names=True))
        assert refused.value.rule == "renewal-names"
