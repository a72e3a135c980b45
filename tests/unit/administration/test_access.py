"""The gate: which policy opened it, and what is said about tokens that live long."""

from __future__ import annotations

import pytest

from accredit.administration.access import Access
from accredit.domain.access import Realm
from accredit.domain.errors import Unauthenticated
from accredit.policy.access import MAX_LIFETIME_S, Call
from accredit.wire import sas
from support.logs import capture_logs
from support.service_side import HOST, OWNER, ServiceSide


async def refused(access: Access, header: str | None, call: Call = Call.READ_ENROLLMENT) -> str:
    with pytest.raises(Unauthenticated) as error:
        await access.admit(header, call, "/")
    return error.value.rule


async def test_it_returns_the_policys_name(side: ServiceSide) -> None:
    access = Access(side.store, side.clock, (HOST,))
    assert await access.admit(side.token("EnrollmentRead"), Call.READ_ENROLLMENT, "/") == "EnrollmentRead"


async def test_each_realm_has_its_own_policies(side: ServiceSide) -> None:
    provisioning = Access(side.store, side.clock, (HOST,))
    hub = Access(side.store, side.clock, (HOST,), Realm.HUB)
    assert await hub.admit(side.token("iothubowner", Realm.HUB), Call.READ_TELEMETRY, "/") == "iothubowner"
    assert await refused(provisioning, side.token("iothubowner", Realm.HUB)) == "sas-policy-unknown"
    assert await refused(hub, side.token(OWNER), Call.READ_TELEMETRY) == "sas-policy-unknown"


@pytest.mark.parametrize("header", [None, ""])
async def test_nothing_shown(side: ServiceSide, header: str | None) -> None:
    assert await refused(Access(side.store, side.clock, (HOST,)), header) == "nothing-shown"


async def test_bearer_tokens_are_not_taken_where_no_issuer_is_configured(side: ServiceSide) -> None:
    assert (
        await refused(Access(side.store, side.clock, (HOST,)), "Bearer eyJhbGciOiJub25lIn0.e30.")
        == "bearer-not-configured"
    )


async def test_a_token_that_lives_long_is_logged(side: ServiceSide) -> None:
    access = Access(side.store, side.clock, (HOST,))
    now = int(side.clock.now())
    key = f"provisioning/{OWNER}/1".encode()
    with capture_logs() as lines:
        await access.admit(sas.make(HOST, key, now + MAX_LIFETIME_S, OWNER), Call.READ_ENROLLMENT, "/")
        assert lines == []
        await access.admit(sas.make(HOST, key, now + MAX_LIFETIME_S + 1, OWNER), Call.READ_ENROLLMENT, "/")
    assert [(line["event"], line["by"], line["log_level"]) for line in lines] == [
        ("sas-lives-long", OWNER, "warning")
    ]
