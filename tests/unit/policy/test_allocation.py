"""Which hub a device gets: rule, policies, candidates, and how evenly."""

from __future__ import annotations

from collections import Counter

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.enrollment import Enrollment, SymmetricKeys
from accredit.domain.errors import Refused, UpstreamRejected
from accredit.domain.evidence import Attested, DeviceKeys, ProvenChain
from accredit.domain.ids import GroupId, RegistrationId
from accredit.domain.linked_hub import HubKind, LinkedHub
from accredit.domain.secret import Secret
from accredit.policy import allocation
from accredit.policy.allocation import AskWebhook, Choice
from support import pki

NOW = 1_800_000_000
KEYS = SymmetricKeys(Secret(b"p" * 32), Secret(b"s" * 32))
DEVICE = RegistrationId.parse("Dev-1")


def hub(name: str, **facts) -> LinkedHub:
    return LinkedHub(name, HubKind.EMBEDDED, "e", NOW, NOW, **facts)


A, B, C = hub("a.example", location="West Europe"), hub("b.example", location="eastus"), hub("c.example")


def attested(device=DEVICE, proof=None, **members) -> Attested:
    enrollment = Enrollment(GroupId.parse("Line-3"), KEYS, "g", "e", NOW, NOW, **members)
    return Attested(device, enrollment, proof or DeviceKeys(KEYS.primary, KEYS.secondary))


def chosen(linked, payload=None, **members) -> str:
    choice = allocation.choose(attested(**members), linked, payload)
    assert isinstance(choice, Choice)
    return choice.hub


def ids(count: int) -> list[RegistrationId]:
    return [RegistrationId.parse(f"device-{number}") for number in range(count)]


class TestHashed:
    def test_every_hub_gets_its_share(self):
        linked = [hub("a.example"), hub("b.example", weight=2), hub("c.example", weight=5)]
        shares = Counter(allocation.hashed(each, linked).name for each in ids(8_000))
        assert shares["a.example"] == pytest.approx(1_000, rel=0.12)
        assert shares["b.example"] == pytest.approx(2_000, rel=0.12)
        assert shares["c.example"] == pytest.approx(5_000, rel=0.12)

    def test_one_more_hub_moves_none_but_those_that_it_takes(self):
        before = {each: allocation.hashed(each, [A, B]).name for each in ids(500)}
        after = {each: allocation.hashed(each, [A, B, C]).name for each in ids(500)}
        moved = {each for each in before if before[each] != after[each]}
        assert {after[each] for each in moved} == {C.name}
        assert 100 < len(moved) < 240

    @given(st.permutations([A, B, C]), st.sampled_from(ids(50)))
    def test_neither_order_nor_case_matters(self, linked, device):
        upper = [hub(each.name.upper()) for each in linked]
        shouted = RegistrationId.parse(device.text.upper())
        assert allocation.hashed(device, linked).name == allocation.hashed(device, [A, B, C]).name
        assert allocation.hashed(shouted, upper).name.lower() == allocation.hashed(device, linked).name

    def test_it_stays_the_same_for_ever(self):
        """Devices would move with an upgrade if it did not."""
        assert [allocation.hashed(each, [A, B, C]).name[0] for each in ids(12)] == list(STABLE)

    def test_without_weight_a_hub_gets_nothing_while_there_is_another(self):
        idle = hub("idle.example", weight=0)
        assert {allocation.hashed(each, [idle, A]).name for each in ids(50)} == {A.name}
        assert {allocation.hashed(each, [idle]).name for each in ids(5)} == {idle.name}


STABLE = "bcccccccaaac"


class TestCandidates:
    def test_all_that_take_part(self):
        reserved = hub("r.example", apply_allocation_policy=False)
        assert {chosen([reserved, A], device=each) for each in ids(30)} == {A.name}
        assert chosen([reserved, A], hubs=("R.example",)) == reserved.name

    def test_those_that_are_named_and_linked(self):
        named = {
            chosen([A, B, C], device=each, hubs=("b.example", "gone.example", "C.example"))
            for each in ids(60)
        }
        assert named == {B.name, C.name}

    @pytest.mark.parametrize("linked", [[], [hub("r.example", apply_allocation_policy=False)]])
    def test_none(self, linked):
        with pytest.raises(Refused) as refused:
            chosen(linked)
        assert refused.value.rule == "no-hub"

    def test_none_of_the_named_ones(self):
        with pytest.raises(Refused) as refused:
            chosen([A], hubs=("gone.example",))
        assert "gone.example" in refused.value.hint


class TestPolicies:
    def test_static_is_the_first_that_is_named_and_linked(self):
        for device in ids(10):
            found = chosen(
                [A, B, C], device=device, allocation_policy="static", hubs=("gone", "C.example", "a.example")
            )
            assert found == C.name

    @pytest.mark.parametrize(
        ("regions", "expected"),
        [
            (["westeurope"], {A.name}),
            (["North Europe", "EastUS", "westeurope"], {B.name}),
            (["mars"], {A.name, B.name, C.name}),
            ([], {A.name, B.name, C.name}),
        ],
    )
    def test_geo_latency_is_the_nearest_region_that_has_a_hub(self, regions, expected):
        settings = {"allocationRegions": regions} if regions else {}
        found = {
            chosen([A, B, C], device=each, allocation_policy="geoLatency", settings=settings)
            for each in ids(60)
        }
        assert found == expected

    def test_custom_is_the_webhook_s(self):
        assert allocation.choose(attested(allocation_policy="custom"), [A], None) == AskWebhook()

    def test_without_its_word_custom_is_hashed(self):
        enrollment = attested(allocation_policy="custom").enrollment
        assert (
            allocation.by_default(enrollment, DEVICE, [A, B, C]) == allocation.hashed(DEVICE, [A, B, C]).name
        )


class TestAnswered:
    def test_in_any_case(self):
        assert allocation.answered(attested().enrollment, "B.Example", [A, B]) == B.name

    @pytest.mark.parametrize(("named", "hubs"), [("c.example", ()), ("a.example", ("b.example",)), ("", ())])
    def test_only_what_it_was_told_of(self, named, hubs):
        with pytest.raises(UpstreamRejected) as refused:
            allocation.answered(attested(hubs=hubs).enrollment, named, [A, B])
        assert refused.value.rule == "webhook-hub"


def ruled(*clauses: dict) -> dict:
    return {"settings": {"allocationRule": list(clauses)}}


class TestRule:
    def test_the_first_clause_that_holds(self):
        rule = ruled(
            {"when": "payload.site == 'berlin'", "hub": "b.example", "initialTwin": {"tags": {"x": 1}}},
            {"when": "registrationId startsWith 'dev-'", "hub": "c.example"},
            {"hub": "a.example"},
        )
        found = allocation.choose(attested(**rule), [A, B, C], b'{"site":"Berlin"}')
        assert found == Choice(B.name, {"tags": {"x": 1}})
        assert chosen([A, B, C], b'{"site":"Rome"}', **rule) == C.name
        assert chosen([A, B, C], None, device=RegistrationId.parse("x"), **rule) == A.name

    def test_without_one_that_holds_the_policy_decides(self):
        rule = ruled({"when": "false", "hub": "b.example"})
        assert chosen([A, B], allocation_policy="static", hubs=("a.example",), **rule) == A.name
        assert allocation.choose(attested(allocation_policy="custom", **rule), [A, B], None) == AskWebhook()

    def test_a_hub_that_is_not_linked_any_more_is_no_silent_detour(self):
        with pytest.raises(Refused) as refused:
            chosen([A], **ruled({"hub": "gone.example"}, {"hub": "a.example"}))
        assert refused.value.rule == "no-hub"

    @pytest.mark.parametrize(
        ("payload", "holds"),
        [
            (b'{"a":{"b":"x"}}', True),
            (b'"{\\"a\\":{\\"b\\":\\"x\\"}}"', True),
            (b"not json", False),
            (b'"not json"', False),
            (b"[" * 3_000, False),
            (b"null", False),
            (None, False),
        ],
    )
    def test_the_payload_may_be_anything(self, payload, holds):
        rule = ruled({"when": "payload.a.b == 'x'", "hub": "b.example"}, {"hub": "a.example"})
        assert chosen([A, B], payload, **rule) == (B.name if holds else A.name)

    def test_the_names_of_the_certificate(self):
        issuer = pki.root("Line 3")
        leaf = issuer.issue("dev-1")
        rule = ruled(
            {"when": "x509.subject.CN == 'dev-1' and x509.issuer.CN == 'line 3'", "hub": "b.example"},
            {"hub": "a.example"},
        )
        assert chosen([A, B], proof=ProvenChain((leaf.der, issuer.der)), **rule) == B.name
        assert chosen([A, B], **rule) == A.name

    def test_a_name_s_bit_string_is_no_text(self):
        """X500UniqueIdentifier (X.520) is a BIT STRING: a rule does not see it, nor is it broken by it."""
        unique = x509.NameAttribute(x509.NameOID.X500_UNIQUE_IDENTIFIER, b"\x00\x01", _ASN1Type.BitString)
        subject = x509.Name([unique, *pki.name("dev-1")])
        leaf = pki.root("Line 3").issue(None, subject=subject)
        rule = ruled({"when": "x509.subject.CN == 'dev-1'", "hub": "b.example"}, {"hub": "a.example"})
        assert chosen([A, B], proof=ProvenChain((leaf.der,)), **rule) == B.name

    def test_enrollment_and_tags(self):
        rule = ruled(
            {"when": "enrollmentId == 'line-3' and tags.tier == 'gold'", "hub": "b.example"},
            {"hub": "a.example"},
        )
        assert chosen([A, B], initial_twin={"tags": {"tier": "gold"}}, **rule) == B.name
        assert chosen([A, B], **rule) == A.name

    @given(st.binary(max_size=60))
    def test_no_payload_breaks_it(self, payload):
        rule = ruled({"when": "payload.a == 1 or payload == 'x'", "hub": "b.example"}, {"hub": "a.example"})
        assert chosen([A, B], payload, **rule) in {A.name, B.name}
