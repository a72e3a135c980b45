"""What an enrollment's settings say of allocation is read as it stands there."""

from __future__ import annotations

from accredit.domain.allocation import CUSTOM_ALLOCATION, PRE_REGISTRATION, Clause, regions, rule, webhook
from support import stored_values as some


def test_nothing_is_said() -> None:
    silent = some.group()
    assert (list(rule(silent)), list(regions(silent))) == ([], [])
    assert webhook(silent, CUSTOM_ALLOCATION) is None


def test_clauses_in_their_order() -> None:
    twin = {"tags": {"line": 3}}
    clauses = [{"hub": "a", "when": "true", "initialTwin": twin}, {"hub": "b"}]
    assert rule(some.group(settings={"allocationRule": clauses})) == [Clause("a", "true", twin), Clause("b")]


def test_regions_in_their_order() -> None:
    assert regions(some.group(settings={"allocationRegions": ["west", "east"]})) == ["west", "east"]


def test_each_webhook_has_its_own_secret() -> None:
    defined = {
        member: {"webhookUrl": f"https://{member}.example", "apiVersion": "2021-10-01"}
        for member in (CUSTOM_ALLOCATION, PRE_REGISTRATION)
    }
    asked = some.group(settings=defined, secrets={PRE_REGISTRATION: some.secret("hook")})
    custom, admission = webhook(asked, CUSTOM_ALLOCATION), webhook(asked, PRE_REGISTRATION)
    assert custom is not None
    assert admission is not None
    assert custom.url == "https://customAllocationDefinition.example"
    assert (custom.secret, admission.secret) == (None, some.secret("hook"))


def test_the_address_of_a_webhook_is_not_shown() -> None:
    """It may carry a key of its own."""
    definition = {"webhookUrl": "https://x.example/?code=hush", "apiVersion": "2021-10-01"}
    assert "hush" not in repr(
        webhook(some.group(settings={CUSTOM_ALLOCATION: definition}), CUSTOM_ALLOCATION)
    )
