"""What each answer of a webhook leads to: a hub, a refusal, another question, or a failure that the device can poll."""

from __future__ import annotations

import asyncio
import json

import pytest

from accredit.domain.device import DeviceData
from accredit.domain.enrollment import ReprovisionPolicy
from accredit.domain.ids import DeviceId, RegistrationId
from accredit.domain.linked_hub import FIRST_HUB
from accredit.domain.registration import Assigned, Assigning, Ended, Status, Substatus
from accredit.interfaces import Said, Silent, Unusable
from accredit.policy.retry import WEBHOOK_TRIES
from accredit.wire.rules import RULES
from support.provisioning_world import BUILTIN, HUB, OUTSIDE, World, opened, sha256_of
from support.scripted_ca import delivers
from support.scripted_webhooks import says
from support.waiting import until

HOOK = {"webhookUrl": "https://hook.example/", "apiVersion": "2021-10-01"}
CUSTOM = {"allocation_policy": "custom", "settings": {"customAllocationDefinition": HOOK}}
GATED = {"settings": {"preRegistrationWebhook": HOOK}}
BOTH = {
    "allocation_policy": "custom",
    "settings": {"customAllocationDefinition": HOOK, "preRegistrationWebhook": HOOK},
}
HUBS = ("a.example", "b.example")


@pytest.fixture
async def two(tmp_path):
    """A world with two hubs of its own."""
    async with opened(tmp_path, hubs=HUBS) as world:
        yield world
        await world.audit()


async def twin(world: World, hub: str = FIRST_HUB, device: str = "dev-1") -> DeviceData:
    found = await world.disk.hub_device(hub, DeviceId(device))
    assert found is not None
    return found.data


class TestAllocation:
    async def test_hub_twin_and_payload_are_the_webhook_s(self, two):
        await two.individual(**CUSTOM, initial_twin={"tags": {"from": "enrollment"}})
        given = {"tags": {"from": "webhook"}, "properties": {"desired": {"x": 1}}}
        two.webhooks.will(says(iotHubHostName="B.example", initialTwin=given, payload={"hello": [1]}))
        answer = await two.device().register(payload=b'{"site":"berlin"}')
        assert isinstance(answer, Assigned)
        assert answer.registration.hub == "b.example"
        assert answer.registration.substatus is Substatus.INITIAL_ASSIGNMENT
        assert json.loads(answer.registration.payload) == {"hello": [1]}
        assert await twin(two, "b.example") == DeviceData({"from": "webhook"}, {"x": 1})
        (asked,) = two.webhooks.asked
        assert asked.webhook.url == HOOK["webhookUrl"]
        assert asked.body["linkedHubs"] == ["a.example", "b.example"]
        assert asked.body["deviceRuntimeContext"]["payload"] == {"site": "berlin"}

    async def test_use_default_is_as_without_it(self, two):
        await two.individual(**CUSTOM, hubs=("b.example",), initial_twin={"tags": {"from": "enrollment"}})
        two.webhooks.will(says(useDefault=True))
        answer = await two.device().register()
        assert answer.registration.hub == "b.example"
        assert await twin(two, "b.example") == DeviceData({"from": "enrollment"})
        assert two.webhooks.asked[0].body["linkedHubs"] == ["b.example"]

    @pytest.mark.parametrize("authority", [BUILTIN, OUTSIDE])
    async def test_then_the_certificate_is_made(self, two, authority):
        await two.individual(**CUSTOM, authority=authority)
        two.ca.will(delivers)
        two.webhooks.will(says(iotHubHostName="b.example"))
        answer = await two.device().certify()
        assert answer.registration.hub == "b.example"
        assert sha256_of(answer) in await two.states()
        two.webhooks.will(says(iotHubHostName="a.example"))
        again = await two.device().certify()
        assert sha256_of(again) == sha256_of(answer)
        assert again.registration.hub == "a.example"
        assert again.registration.substatus is Substatus.DEVICE_DATA_MIGRATED
        assert two.webhooks.asked[1].body["deviceRuntimeContext"]["currentIotHubHostName"] == "b.example"

    async def test_what_a_csr_gets_wrong_is_said_before_anybody_is_asked(self, two):
        await two.individual(**CUSTOM, authority=BUILTIN)
        with pytest.raises(Exception, match="common name"):
            await two.device().register(two.device().csr(name="another"))
        assert two.webhooks.asked == []

    async def test_never_means_that_nobody_is_asked_again(self, two):
        await two.individual(**CUSTOM, reprovision=ReprovisionPolicy(update_hub_assignment=False))
        two.webhooks.will(says(iotHubHostName="b.example", payload={"a": 1}))
        await two.device().register()
        again = await two.device().register()
        assert (again.registration.hub, again.registration.payload) == ("b.example", b'{"a": 1}')
        assert len(two.webhooks.asked) == 1

    async def test_its_twin_goes_before_the_one_that_would_move(self, two):
        await two.individual(**CUSTOM, iot_edge=True, initial_twin={"tags": {"n": 1}})
        two.webhooks.will(says(iotHubHostName="a.example"))
        await two.device().register()
        two.webhooks.will(says(iotHubHostName="b.example", initialTwin={"tags": {"n": 2}}))
        answer = await two.device().register()
        assert answer.registration.substatus is Substatus.DEVICE_DATA_MIGRATED
        assert await twin(two, "b.example") == DeviceData({"n": 2}, {}, iot_edge=True)
        assert await two.disk.hub_device(FIRST_HUB, DeviceId("dev-1")) is None

    async def test_a_rule_goes_before_it(self, two):
        rule = {
            "allocationRule": [
                {"when": "payload.site == 'x'", "hub": "b.example", "initialTwin": {"tags": {"r": 1}}}
            ]
        }
        await two.individual(allocation_policy="custom", settings={**CUSTOM["settings"], **rule})
        answer = await two.device().register(payload=b'{"site":"X"}')
        assert answer.registration.hub == "b.example"
        assert await twin(two, "b.example") == DeviceData({"r": 1})
        assert two.webhooks.asked == []


class TestFailure:
    CASES = {
        "says nonsense": (Said(b"{}"), "webhook-answer"),
        "names an unknown hub": (says(iotHubHostName="c.example"), "webhook-hub"),
        "refuses": (Unusable("it answered 404", "webhook-refused"), "webhook-refused"),
        "may not be called": (
            Unusable("no public address", "webhook-egress-refused"),
            "webhook-egress-refused",
        ),
    }

    @pytest.mark.parametrize("case", CASES)
    async def test_what_can_t_be_used_fails_at_once_with_its_reason(self, world, log_lines, case):
        said, rule = self.CASES[case]
        await world.individual(**CUSTOM)
        world.webhooks.will(said)
        answer = await world.device().register()
        assert isinstance(answer, Ended)
        assert (answer.status, answer.error_code) == (Status.FAILED, 400037)
        assert len(world.webhooks.asked) == 1
        assert world.slept == []
        assert [line["rule"] for line in log_lines if line.get("outcome") == "failed"] == [rule]
        assert rule in RULES

    async def test_it_leaves_a_trace_and_pauses_no_device(self, world):
        await world.individual(**CUSTOM)
        for number in range(25):
            world.webhooks.will(Unusable("it answered 404", "webhook-refused"))
            assert isinstance(await world.device().register(), Ended), number
        assert await world.disk.setbacks(RegistrationId.parse("dev-1")) is None
        trace = await world.disk.trace("tracking-1")
        assert trace is not None
        assert (trace.rule, trace.evidence) == ("webhook-refused", "it answered 404")
        assert trace.steps[0].subject == "the webhook"
        world.webhooks.will(says(iotHubHostName=HUB))
        assert isinstance(await world.device().register(), Assigned)

    async def test_silence_is_asked_a_few_times_more(self, world, log_lines):
        await world.individual(**CUSTOM)
        world.webhooks.will(Silent("503", 9), Silent("hung", None), says(iotHubHostName=HUB))
        assert isinstance(await world.device().register(), Assigned)
        assert world.slept[0] == 9
        assert len(world.slept) == 2
        world.webhooks.asked.clear()
        assert isinstance(await world.device().register(), Ended)
        assert len(world.webhooks.asked) == WEBHOOK_TRIES
        assert [line["rule"] for line in log_lines if line.get("outcome") == "failed"] == ["webhook-silent"]
        assert (await world.registration()).status is Status.ASSIGNED

    async def test_one_that_is_silent_for_long_is_given_up_in_time(self, world):
        await world.individual(**CUSTOM)
        world.webhooks.will(*[Silent("wait", 300)] * 3)
        assert isinstance(await world.device().register(), Ended)
        assert len(world.webhooks.asked) <= 2

    async def test_the_device_does_not_wait_for_it(self, tmp_path):
        async with opened(tmp_path, patience_s=0) as world:
            await world.individual(**CUSTOM)
            gate = asyncio.Event()

            async def slow():
                await gate.wait()
                return says(iotHubHostName=HUB)

            world.webhooks.will(slow)
            answer = await world.device().register()
            assert isinstance(answer, Assigning)
            await until(lambda: world.webhooks.asked)
            assert isinstance(await world.device().poll(answer), Assigning)
            again = await world.device().register()
            assert again.operation_id == answer.operation_id
            gate.set()
            assert isinstance(await world.device().outcome(answer), Assigned)
            assert len(world.webhooks.asked) == 1

    async def test_another_payload_is_another_question(self, tmp_path):
        async with opened(tmp_path, patience_s=0) as world:
            await world.individual(**CUSTOM)

            async def hangs():
                await asyncio.Event().wait()

            world.webhooks.will(hangs, says(iotHubHostName=HUB))
            first = await world.device().register(payload=b"1")
            await until(lambda: world.webhooks.asked)
            second = await world.device().register(payload=b"2")
            assert second.operation_id != first.operation_id
            assert isinstance(await world.device().outcome(second), Assigned)
            assert (await world.device().poll(first)).error_code == 409001

    async def test_an_enrollment_that_was_changed_meanwhile(self, world):
        by = await world.individual(**CUSTOM)

        async def meanwhile():
            await world.change(by, initial_twin={"tags": {}})
            return says(iotHubHostName=HUB)

        world.webhooks.will(meanwhile)
        answer = await world.device().register()
        assert isinstance(answer, Ended)
        assert "changed meanwhile" in answer.error_message

    async def test_no_hub_is_left_by_default(self, world):
        await world.individual(**CUSTOM, hubs=("elsewhere.example",))
        world.webhooks.will(says(useDefault=True))
        assert (await world.device().register()).error_code == 400208


class TestAdmission:
    async def test_what_is_allowed_goes_on(self, world):
        await world.group(**GATED, authority=BUILTIN)
        world.webhooks.will(says(allow=True))
        answer = await world.device(group=True).certify()
        assert isinstance(answer, Assigned)
        (asked,) = world.webhooks.asked
        assert "linkedHubs" not in asked.body
        assert asked.body["deviceRuntimeContext"]["registrationId"] == "dev-1"

    async def test_what_is_denied_gets_nothing(self, world, log_lines):
        await world.group(**GATED, authority=OUTSIDE)
        world.webhooks.will(says(allow=False, reason="not on our list"))
        answer = await world.device(group=True).certify()
        assert isinstance(answer, Ended)
        assert (answer.status, answer.error_code) == (Status.FAILED, 400004)
        assert "list" not in answer.error_message
        assert world.ca.orders == []
        assert await world.certificates() == []
        assert await world.disk.hub_device(FIRST_HUB, DeviceId("dev-1")) is None
        (failed,) = [line for line in log_lines if line.get("outcome") == "failed"]
        assert (failed["rule"], failed["evidence"]) == ("registration-denied", "not on our list")

    async def test_silence_allows_nothing(self, world):
        await world.group(**GATED)
        assert isinstance(await world.device(group=True).register(), Ended)
        assert len(world.webhooks.asked) == WEBHOOK_TRIES

    async def test_then_the_other_webhook_is_asked(self, two):
        await two.group(**BOTH)
        two.webhooks.will(says(allow=True), says(iotHubHostName="b.example"))
        answer = await two.device(group=True).register()
        assert answer.registration.hub == "b.example"
        assert ["linkedHubs" in each.body for each in two.webhooks.asked] == [False, True]
        assert {each.operation_id for each in two.webhooks.asked} == {answer.registration.operation_id}
