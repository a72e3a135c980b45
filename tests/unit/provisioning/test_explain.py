"""What a trace tells of the way to a refusal. Each refusal with the whole story of it: tests/unit/cli/test_explain.py."""

from __future__ import annotations

import pytest

from accredit.domain.errors import AccreditError, NotFound
from accredit.domain.evidence import PresentedChain
from accredit.domain.trace import MAX_STEPS, MAX_TEXT_CHARS
from support import pki
from support.provisioning_world import KEYS, keys


async def trace_of(world, device, csr: str | None = None, **more):
    with pytest.raises(AccreditError):
        await device.register(csr, **more)
    return await world.refusals.traces.find("tracking-1")


def told(trace) -> list[str]:
    return [f"{step.subject}: {step.outcome}" for step in trace.steps]


async def test_nothing_is_enrolled(world):
    trace = await trace_of(world, world.device())
    assert told(trace) == [
        "the device: showed a SAS token for '0ne00AB12CD/registrations/dev-1'",
        "the registration: there is none yet",
        "enrollments: none was found that this proof could be for",
    ]


async def test_a_proof_that_is_none_is_compared_with_nothing(world):
    await world.individual()
    device = world.device()
    world.clock.advance(-7_200)
    token = device.token()
    world.clock.advance(7_200)
    assert told(await trace_of(world, device, evidence=token))[2:] == [
        "enrollments: not compared: what was shown is no proof for anybody"
    ]


async def test_what_was_tried_and_what_was_not_open(world):
    await world.group("a", attestation=keys("a"))
    await world.group("b", attestation=keys("b"), settings={"idPattern": "x.*"})
    assert told(await trace_of(world, world.device(group=True)))[2:] == [
        "group a: attests by symmetric key; the device did not prove it",
        "group b: not tried: its idPattern 'x.*' does not match the id",
    ]


async def test_whose_registration_it_is(world):
    await world.group("one")
    await world.device(group=True).register()
    await world.group("two", attestation=keys("t"))
    device = world.device(group=True)
    device.master = b"t" * 32
    trace = await trace_of(world, device)
    assert trace.rule == "registration-of-another-enrollment"
    assert trace.enrollment == "group/two"
    assert told(trace)[1:3] == [
        "the registration: belongs to group one, assigned",
        "group two: the device proved it by symmetric key",
    ]


async def test_what_came_after_the_proof(world):
    await world.individual()
    await trace_of(world, world.device(), "rubbish")
    trace = await trace_of(world, world.device(), "rubbish")
    assert told(trace)[2:] == [
        "individual enrollment dev-1: the device proved it by symmetric key",
        "earlier calls: 1 in a row failed, the last by csr-not-pem-or-der",
        "the assignment: device dev-1 at hub.example",
        "what came next: failed by csr-not-pem-or-der",
    ]


async def test_many_groups_are_counted_and_not_all_named(world):
    for number in range(12):
        await world.group(f"g-{number:02}", attestation=keys("o"))
    lines = told(await trace_of(world, world.device(group=True)))
    assert lines[-1] == "4 more: the device did not prove them"
    assert len(lines) <= MAX_STEPS


async def test_the_texts_are_bounded(world):
    long = pki.root("x" * 64, ca=False)
    trace = await trace_of(world, world.device(), evidence=PresentedChain((long.der,) * 3))
    assert told(trace)[0] == "the device: showed a client certificate, 3 in its chain"
    assert all(len(text) <= MAX_TEXT_CHARS for text in (trace.evidence, trace.hint, trace.reason))


async def test_no_key_stands_in_it(world):
    await world.group()
    device = world.device()
    trace = await trace_of(world, device)
    assert "master key of group line itself" in trace.evidence
    shown = repr(trace)
    for key in (KEYS.primary, KEYS.secondary):
        assert key.reveal().decode() not in shown
    assert device.token().signature.hex() not in shown


async def test_a_lookup_and_a_poll_tell_what_was_asked(world):
    await world.individual()
    thief = world.device()
    thief.master = b"x" * 32
    with pytest.raises(AccreditError):
        await world.provisioning.lookup(thief.request())
    assert (await world.refusals.traces.find("tracking-1")).asked == "state lookup"
    with pytest.raises(NotFound):
        await world.device().poll("4.0.none")
    assert (await world.refusals.traces.find("tracking-1")).asked == "operation status"
