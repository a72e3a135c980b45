"""What an enrollment document may say of rule, regions and webhooks."""

from __future__ import annotations

import pytest

from accredit.domain.errors import Malformed
from accredit.domain.secret import Secret
from accredit.wire.service_api.allocation import (
    ClauseDocument,
    WebhookDocument,
    read_allocation,
    read_policy,
    read_twin,
)

URL = "https://allocate.example/api?code=k"
CUSTOM, HOOK = "customAllocationDefinition", "preRegistrationWebhook"


def sent(policy="hashed", rule=None, regions=None, **webhooks):
    return read_allocation(policy, rule, regions, webhooks)


class TestPolicy:
    @pytest.mark.parametrize(
        ("name", "hub_named", "policy"),
        [
            (None, False, "hashed"),
            (None, True, "static"),
            ("GEOLATENCY", False, "geoLatency"),
            ("Custom", True, "custom"),
        ],
    )
    def test_in_any_case(self, name, hub_named, policy):
        assert read_policy(name, hub_named=hub_named) == policy

    def test_any_other_is_refused(self):
        with pytest.raises(Malformed) as refused:
            read_policy("random", hub_named=False)
        assert refused.value.rule == "allocation-policy"


class TestWebhooks:
    def test_both_with_their_secrets_apart(self):
        found = sent(
            "custom",
            **{CUSTOM: WebhookDocument(URL, "2021-10-01", "s" * 16), HOOK: WebhookDocument(URL, None, "")},
        )
        assert found.settings == {
            CUSTOM: {"webhookUrl": URL, "apiVersion": "2021-10-01"},
            HOOK: {"webhookUrl": URL, "apiVersion": "2018-09-01-preview"},
        }
        assert found.secrets == {CUSTOM: Secret(b"s" * 16)}

    @pytest.mark.parametrize("document", [None, WebhookDocument(), WebhookDocument(api_version="2019-03-31")])
    def test_custom_needs_its_webhook(self, document):
        with pytest.raises(Malformed) as refused:
            sent("custom", **{CUSTOM: document})
        assert refused.value.rule == "webhook-definition"
        assert sent("hashed", **{CUSTOM: document}).settings == {}

    @pytest.mark.parametrize(
        ("document", "said"),
        [
            (WebhookDocument("http://x", "2019-03-31"), "https"),
            (WebhookDocument("", "2019-03-31"), "https"),
            (WebhookDocument("https://" + "x" * 3_000, "2019-03-31"), "https"),
            (WebhookDocument(URL, "2018-04-01"), "apiVersion"),
            (WebhookDocument(URL, "tomorrow"), "apiVersion"),
            (WebhookDocument(URL, None, "short"), "secret"),
            (WebhookDocument(URL, None, "ü" * 20), "secret"),
            (WebhookDocument(URL, None, "x" * 20 + "\n"), "secret"),
            (WebhookDocument(URL, None, "x" * 300), "secret"),
        ],
    )
    def test_what_can_t_be_called_is_refused(self, document, said):
        with pytest.raises(Malformed) as refused:
            sent(**{HOOK: document})
        assert refused.value.rule == "webhook-definition"
        assert said in refused.value.message
        assert document.secret is None or document.secret not in refused.value.message


class TestRule:
    def test_as_it_is_kept(self):
        twin = {"tags": {"a": 1}}
        found = sent(rule=[ClauseDocument("b", "payload.a == 1", twin), ClauseDocument("a")])
        kept = [{"when": "payload.a == 1", "hub": "b", "initialTwin": twin}, {"hub": "a"}]
        assert found.settings == {"allocationRule": kept}

    @pytest.mark.parametrize(
        ("rule", "said"),
        [
            ([ClauseDocument("a"), ClauseDocument("b", "nonsense")], "allocationRule[1].when: "),
            ([ClauseDocument("a")] * 51, "more than 50"),
        ],
    )
    def test_what_can_t_be_run_is_refused(self, rule, said):
        with pytest.raises(Malformed) as refused:
            sent(rule=rule)
        assert refused.value.rule == "allocation-rule"
        assert said in refused.value.message

    def test_its_twin_is_one(self):
        with pytest.raises(Malformed) as refused:
            sent(rule=[ClauseDocument("a", None, {"tags": 1})])
        assert refused.value.rule == "initial-twin"


@pytest.mark.parametrize("regions", [[""], ["x" * 65], ["a"] * 21])
def test_regions_are_few_and_short(regions) -> None:
    assert sent(regions=["westeurope"]).settings == {"allocationRegions": ["westeurope"]}
    with pytest.raises(Malformed) as refused:
        sent(regions=regions)
    assert refused.value.rule == "allocation-regions"


def test_a_twin_names_its_member_in_a_refusal() -> None:
    with pytest.raises(Malformed) as refused:
        read_twin({"properties": {"desired": []}}, "x.initialTwin")
    assert "x.initialTwin" in refused.value.message
    assert read_twin(None, "x") is None
