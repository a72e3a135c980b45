"""Refusals and what `accredit explain` tells of each: the story from the real ceremony to the printed lines."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from accredit.cli.explain import story
from accredit.domain.errors import AccreditError
from accredit.domain.evidence import NothingShown, PresentedChain
from accredit.domain.secret import Secret
from accredit.policy import symmetric_keys
from accredit.values import replace
from accredit.wire import sas
from accredit.wire.service_api.traces import trace_document
from support import pki, signing_requests
from support.command import Ran
from support.provisioning_world import (
    ID_SCOPE,
    KEYS,
    Device,
    World,
    keys,
    leaf_certificates,
    opened,
    signing_certificates,
)
from support.running_service import RunningService

Run = Callable[..., Ran]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        yield made


async def refused(device: Device, csr: str | None = None, **more) -> None:
    try:
        await device.register(csr, **more)
    except AccreditError:
        return


def signed(world: World, key: bytes, *, name: str = "dev-1", scope: str = ID_SCOPE, life_s: int = 3_600):
    token = sas.make(f"{scope}/registrations/{name}", key, world.now + life_s, "registration")
    return sas.parse(token)


async def stranger(world):
    await world.individual()
    await refused(world.device(), evidence=signed(world, b"x" * 32))


async def nothing_shown(world):
    await refused(world.device(), evidence=NothingShown())


async def master_key(world):
    await world.group()
    await refused(world.device(), evidence=signed(world, KEYS.primary.reveal()))


async def undecoded_key(world):
    await world.individual()
    await refused(world.device(), evidence=signed(world, b64encode(KEYS.primary.reveal())))


async def another_case(world):
    await world.group()
    key = symmetric_keys.derive(KEYS.secondary, "DEV-1").reveal()
    await refused(world.device(), evidence=signed(world, key))


async def closed_pattern(world):
    await world.group(settings={"idPattern": "line-.*"})
    await refused(world.device(group=True))


async def behind_an_individual(world):
    await world.group()
    await world.individual(attestation=keys("o"))
    await refused(world.device(group=True))


async def late_clock(world):
    await world.individual()
    await refused(world.device(), evidence=signed(world, KEYS.primary.reveal(), life_s=-400))


async def another_scope(world):
    await world.individual()
    await refused(world.device(), evidence=signed(world, KEYS.primary.reveal(), scope="0ne00OTHER1"))


async def certificate_for_keys(world):
    await world.individual()
    await refused(world.device(), evidence=PresentedChain((pki.root("dev-1", ca=False).der,)))


async def another_certificate(world):
    await world.individual(attestation=leaf_certificates(pki.root("dev-1", ca=False)))
    await refused(world.device(), evidence=PresentedChain((pki.root("dev-1", ca=False).der,)))


async def another_name(world):
    leaf = pki.root("Root").issue("dev-2")
    await refused(world.device(), evidence=PresentedChain((leaf.der,)))


async def intermediate_missing(world):
    top = pki.root("Root")
    leaf = top.intermediate("Line 3").issue("dev-1")
    await world.group(attestation=signing_certificates(top))
    await refused(world.device(), evidence=PresentedChain((leaf.der,)))


async def root_not_enrolled(world):
    top = pki.root("Other Root")
    await refused(world.device(), evidence=PresentedChain((top.issue("dev-1").der, top.der)))


async def expired_certificate(world):
    top = pki.root("Root")
    await world.group(attestation=signing_certificates(top))
    leaf = top.issue("dev-1", not_after=world.now - 400)
    await refused(world.device(), evidence=PresentedChain((leaf.der,)))


async def switched_off(world):
    await world.individual(enabled=False)
    await refused(world.device())


async def of_another_group(world):
    await world.group("one")
    await world.device(group=True).register()
    await world.group("two", attestation=keys("t"))
    device = world.device(group=True)
    device.master = b"t" * 32
    await refused(device)


async def csr_of_another(world):
    await world.individual()
    await refused(world.device(), world.device().csr(name="dev-2"))


async def csr_without_issuance(world):
    await world.individual(authority=None)
    await refused(world.device(), world.device().csr())


async def csr_unreadable(world):
    await world.individual()
    await refused(world.device(), "rubbish")


async def weak_key(world):
    await world.individual()
    text = signing_requests.pem(signing_requests.csr("dev-1", signing_requests.key("RSA-1024", 0)))
    await refused(world.device(), text)


async def full_group(world):
    await world.group(settings={"quota": {"maxRegistrations": 1}})
    await world.device("first", group=True).register()
    await refused(world.device(group=True))


async def not_on_the_list(world):
    await world.group(settings={"allowedRegistrationIdsOnly": True})
    await refused(world.device(group=True))


async def paused(world):
    await world.individual()
    await world.restart(pause_after_failures=1)
    await refused(world.device(), "rubbish")
    await refused(world.device(), "rubbish")


TABLE: tuple[tuple[Callable[[World], Awaitable[None]], str, str], ...] = (
    (stranger, "sas-signature", "none of 1 enrollment with symmetric keys has the key"),
    (nothing_shown, "nothing-shown", "neither a token nor a client certificate"),
    (master_key, "sas-signature", "signed with the primary master key of group line itself"),
    (undecoded_key, "sas-signature", "the base64 text of the primary key of individual enrollment dev-1"),
    (another_case, "sas-signature", "the key that group line has for 'DEV-1'"),
    (closed_pattern, "sas-signature", "proves group line, whose idPattern does not match dev-1"),
    (behind_an_individual, "sas-signature", "an individual enrollment of dev-1 stands before it"),
    (late_clock, "sas-expired", "the token expired 400 s ago"),
    (another_scope, "sas-scope", "its id scope is another"),
    (certificate_for_keys, "attestation-mechanism", "its individual enrollment attests by symmetric keys"),
    (another_certificate, "thumbprint", "enrolled is"),
    (another_name, "cn-not-registration-id", "the leaf is CN=dev-2; the registration id is dev-1"),
    (intermediate_missing, "chain-stops", "send the intermediate CN=Line 3"),
    (root_not_enrolled, "chain-stops", "CN=Other Root, which signs itself"),
    (expired_certificate, "chain-expired", "it ended 400 s ago"),
    (switched_off, "enrollment-disabled", "set provisioningStatus to enabled"),
    (of_another_group, "registration-of-another-enrollment", "accredit device move dev-1 --group two"),
    (csr_of_another, "csr-names-another-device", "individual enrollment dev-1: the device proved it"),
    (csr_without_issuance, "csr-not-due", "clientCertificateIssuancePolicy.certificateAuthorityName"),
    (csr_unreadable, "csr-not-pem-or-der", "the assignment: device dev-1 at hub.example"),
    (weak_key, "csr-key-weak", "its modulus has 1024 bits"),
    (full_group, "group-full", "group line takes 1 registrations"),
    (not_on_the_list, "device-not-allowed", "accredit enroll allow line dev-1"),
    (paused, "device-paused", "accredit device resume dev-1"),
)


@pytest.mark.parametrize(("happens", "rule", "said"), TABLE, ids=lambda value: getattr(value, "__name__", ""))
async def test_the_story_of(world, happens, rule, said):
    await happens(world)
    trace = await world.refusals.traces.find("tracking-1")
    assert trace is not None
    lines = story(trace_document(trace))
    text = "\n".join(lines)
    assert f"rule      {rule}" in lines
    assert said in text
    assert lines[0].startswith("register of dev-1 at 20")
    assert (
        "hint" in text
        or rule in {"nothing-shown", "cn-not-registration-id", "attestation-mechanism"}
        or said in text
    )
    for key in (KEYS.primary, KEYS.secondary):
        assert key.reveal().decode() not in text


async def test_what_a_device_sent_does_not_speak_to_the_terminal(world):
    await stranger(world)
    trace = await world.refusals.traces.find("tracking-1")
    lines = story(trace_document(replace(trace, registration_id="dev\x1b[2J", evidence="a\nb")))
    assert lines[0].startswith("register of dev\\u001b[2J")
    assert "\x1b" not in "".join(lines)


class TestCommand:
    def refuse(self, service: RunningService, name: str) -> str:
        """The tracking id of a register call with a wrong key."""
        key = Secret(b"x" * 32).reveal()
        token = sas.make(f"{service.id_scope}/registrations/{name}", key, int(time.time()) + 60)
        with service.https() as client:
            answer = client.put(
            f"/{service.id_scope}/registrations/{name}/register?api-version=2021-10-01",
            json={}, headers={"authorization": token},
        )  # fmt: skip
        assert answer.status_code == 401
        assert answer.json()["message"] == "Unauthorized"
        return answer.json()["trackingId"]

    def test_one_refusal_and_all_of_a_device(self, service: RunningService, run: Run, name: str) -> None:
        run("enroll", "add", name)
        first, second = self.refuse(service, name), self.refuse(service, name)
        told = run("explain", first).out
        assert f"register of {name}" in told
        assert "rule      sas-signature" in told
        shown = run("explain", first, "--json").rows
        assert [row["trackingId"] for row in shown] == [first]
        every = run("explain", "--registration-id", name, "--json").rows
        assert [row["trackingId"] for row in every] == [first, second]
        assert json.dumps(every).count("sas-signature") == 2

    def test_what_is_not_kept(self, run: Run) -> None:
        assert "No decision trace of this tracking id is kept here" in run("explain", "none").sentence
        assert run("explain", "--registration-id", "nobody").out == "none\n"

    @pytest.mark.parametrize("arguments", [(), ("t-1", "--registration-id", "x")])
    def test_one_of_the_two(self, run: Run, arguments: tuple[str, ...]) -> None:
        assert run("explain", *arguments).code == 2
