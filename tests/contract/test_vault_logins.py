"""Vault: what goes in the headers, and when an AppRole logs in anew; before a real OpenBao."""

from accredit.interfaces import Delivered, Rejected
from support import ca_servers
from support.authorities import an_order, real
from support.real_authorities import RealCA, RealCAs
from support.signing_requests import new_key


def logins(ca: RealCA) -> int:
    return len([call for call in ca.proxy.calls if call.path.endswith("/auth/approle/login")])


async def test_an_app_role_logs_in_once_until_its_lease_runs_out(real_cas: RealCAs) -> None:
    async with real("VaultAppRole")(real_cas) as hand:
        assert hand.real is not None
        for seconds, expected in ((0, 1), (10, 1), (14 * 60, 2)):
            hand.clock.advance(seconds)
            answer = await hand.authority.order(an_order(hand, "device-1", private=new_key()))
            assert isinstance(answer, Delivered), answer
            assert logins(hand.real) == expected


async def test_a_token_that_was_taken_away_is_replaced_within_the_order(real_cas: RealCAs) -> None:
    async with real("VaultAppRole")(real_cas) as hand:
        ca = hand.real
        assert ca is not None
        await hand.authority.order(an_order(hand, "device-1", private=new_key()))
        token = ca.proxy.calls[-1].headers["x-vault-token"]
        port, _ = real_cas.bao()
        ca_servers.bao(port, "POST", "auth/token/revoke", {"token": token})
        answer = await hand.authority.order(an_order(hand, "device-1", private=new_key()))
        assert isinstance(answer, Delivered), answer
        assert logins(ca) == 2


async def test_the_namespace_goes_with_every_call(real_cas: RealCAs) -> None:
    async with real("Vault")(real_cas) as hand:
        ca = hand.real
        assert ca is not None
        async with ca.connected(hand.clock, ca.record(settings={"namespace": "fleet"})) as authority:
            # There is no such namespace, which is how it shows that the server was told.
            answer = await authority.order(an_order(hand, "device-1", private=new_key()))
        assert isinstance(answer, Rejected), answer
        assert {call.headers["x-vault-namespace"] for call in ca.proxy.calls} == {"fleet"}


async def test_a_probe_tells_when_the_token_ends_where_that_may_be_asked(real_cas: RealCAs) -> None:
    async with real("Vault")(real_cas) as hand:
        ca = hand.real
        assert ca is not None
        assert (await hand.authority.probe()).credentials_end is None, "its policies do not let it look"
        port, _ = real_cas.bao()
        wanted = {"policies": ["fleet", "default"], "ttl": "1h", "explicit_max_ttl": "1h"}
        token = ca_servers.bao(port, "POST", "auth/token/create", wanted)["auth"]["client_token"]
        async with ca.connected(hand.clock, ca.record(secrets={"token": token})) as authority:
            ends = (await authority.probe()).credentials_end
        assert ends is not None
        assert 3_000 < ends - hand.clock.now() <= 3_600
