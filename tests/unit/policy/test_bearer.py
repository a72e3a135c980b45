"""What a bearer token must show: signature, issuer, audience, time, role."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from accredit.domain.access import Right, VerifyingKey
from accredit.domain.errors import Unauthenticated
from accredit.policy.bearer import ROLE_RIGHTS, SKEW_S, Role, Trusted, judged
from accredit.wire.bearer import parse
from support.oidc_issuer import AUDIENCE, OIDCIssuer, SigningKey

NOW = 1_800_000_000
KEY = SigningKey.make("first")
RSA = SigningKey.make("second", "RS256")
ISSUER = OIDCIssuer(keys=[KEY], now=lambda: NOW)
TRUSTED = Trusted(
    ISSUER.url,
    frozenset({AUDIENCE, "api://other"}),
    "roles",
    {"reader": Role.READER, "data contributor": Role.CONTRIBUTOR, "owner": Role.OWNER},
)


def _verifying(key: SigningKey) -> VerifyingKey:
    return VerifyingKey(key.id, key.algorithm, key.private.public_key())


def _judged(token: str, trusted: Trusted = TRUSTED, key: SigningKey = KEY, now: float = NOW) -> Any:
    return judged(parse(f"Bearer {token}"), _verifying(key), trusted, now)


def _rule(token: str, **arguments: Any) -> str:
    with pytest.raises(Unauthenticated) as refusal:
        _judged(token, **arguments)
    assert refusal.value.message == "Unauthorized"
    return refusal.value.rule


def test_the_roles_of_the_contract() -> None:
    reads = {Right.ENROLLMENT_READ, Right.REGISTRATION_STATUS_READ}
    provisioning = reads | {Right.ENROLLMENT_WRITE, Right.REGISTRATION_STATUS_WRITE, Right.SERVICE_CONFIG}
    assert ROLE_RIGHTS[Role.READER] & provisioning == reads
    assert ROLE_RIGHTS[Role.CONTRIBUTOR] & provisioning == provisioning - {Right.SERVICE_CONFIG}
    assert ROLE_RIGHTS[Role.OWNER] & provisioning == provisioning
    assert not any(Right.DEVICE_CONNECT in rights for rights in ROLE_RIGHTS.values())


@pytest.mark.parametrize("key", [KEY, RSA], ids=["ES256", "RS256"])
def test_a_good_token(key: SigningKey) -> None:
    subject, rights = _judged(ISSUER.token("Reader", key=key), key=key)
    assert subject == "somebody"
    assert rights == ROLE_RIGHTS[Role.READER]


def test_roles_add_up_and_unknown_ones_add_nothing() -> None:
    both = _judged(ISSUER.token("reader", "Data Contributor", "dancer"))[1]
    assert both == ROLE_RIGHTS[Role.READER] | ROLE_RIGHTS[Role.CONTRIBUTOR]


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("groups", {"groups": ["reader"]}),
        ("role", {"role": "Reader"}),
        ("realm_access.roles", {"realm_access": {"roles": ["reader"]}}),
        ("https://a.example/roles", {"https://a.example/roles": ["reader"]}),
        ("scope", {"scope": "openid reader"}),
        ("scp", {"scp": "reader"}),
    ],
)
def test_where_roles_may_stand(claim: str, claims: dict[str, Any]) -> None:
    trusted = Trusted(TRUSTED.issuer, TRUSTED.audiences, claim, TRUSTED.roles)
    assert _judged(ISSUER.token(**claims), trusted)[1] == ROLE_RIGHTS[Role.READER]


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("roles", {"roles": []}),
        ("roles", {"roles": None}),
        ("roles", {"roles": "temporary reader"}),
        ("roles", {"roles": {"reader": True}}),
        ("roles", {"roles": [5, None, ["reader"]]}),
        ("roles.reader", {}),
        ("a.b.c.d.e.f.g.h.i.j", {"a": {}}),
    ],
)
def test_no_role_that_is_known(claim: str, claims: dict[str, Any]) -> None:
    trusted = Trusted(TRUSTED.issuer, TRUSTED.audiences, claim, TRUSTED.roles)
    assert _rule(ISSUER.token(**claims), trusted=trusted) == "bearer-role"


@pytest.mark.parametrize(
    ("claims", "rule"),
    [
        ({"iss": "https://elsewhere"}, "bearer-issuer"),
        ({"iss": ISSUER.url + "/"}, "bearer-issuer"),
        ({"iss": None}, "bearer-issuer"),
        ({"aud": "https://elsewhere"}, "bearer-audience"),
        ({"aud": ["https://elsewhere"]}, "bearer-audience"),
        ({"aud": None}, "bearer-audience"),
        ({"exp": NOW - SKEW_S}, "bearer-expired"),
        ({"exp": None}, "bearer-malformed"),
        ({"nbf": NOW + SKEW_S + 1}, "bearer-not-yet"),
    ],
)
def test_claims_that_do_not_fit(claims: dict[str, Any], rule: str) -> None:
    assert _rule(ISSUER.token("owner", **claims)) == rule


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["x", "api://other"]},
        {"exp": NOW - SKEW_S + 1},
        {"exp": NOW + 0.5},
        {"nbf": NOW + SKEW_S},
        {"nbf": None},
        {"sub": None},
        {"sub": "a\nb"},
    ],
)
def test_claims_that_fit(claims: dict[str, Any]) -> None:
    subject, rights = _judged(ISSUER.token("owner", **claims))
    assert rights == ROLE_RIGHTS[Role.OWNER]
    assert subject in ("somebody", "nobody")


def test_signatures() -> None:
    good = ISSUER.token("owner")
    head, body, signature = good.split(".")
    other = ISSUER.token("owner", sub="another").split(".")
    assert _rule(f"{head}.{other[1]}.{signature}") == "bearer-signature"
    assert _rule(f"{head}.{body}.{other[2]}") == "bearer-signature"
    assert _rule(f"{head}.{body}.AAAA") == "bearer-signature"
    assert _rule(ISSUER.token("owner", key=SigningKey.make("first"))) == "bearer-signature"


def test_a_token_can_not_choose_what_its_key_is_for() -> None:
    assert _rule(ISSUER.token("owner", key=RSA), key=KEY) == "bearer-algorithm"


def test_claims_that_are_no_object() -> None:
    token = jwt.PyJWS().encode(b"[1]", KEY.private, "ES256", headers={"kid": "first"})
    assert _rule(token) == "bearer-malformed"
    boolean = jwt.PyJWS().encode(
        b'{"iss":"%s","aud":"%s","exp":true}' % (ISSUER.url.encode(), AUDIENCE.encode()),
        KEY.private, "ES256", headers={"kid": "first"},
    )  # fmt: skip
    assert _rule(boolean) == "bearer-malformed"
