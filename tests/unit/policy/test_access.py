"""The judgement of service tokens: signature, realm, instant, scope, right, each alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.access import Policy, Realm, Right
from accredit.domain.errors import Unauthenticated
from accredit.domain.evidence import SasToken
from accredit.domain.secret import Secret
from accredit.policy.access import NEEDED, Call, authorize, covers
from accredit.wire import sas

NOW = 1_800_000_000
PRIMARY, SECONDARY = b"p" * 32, b"s" * 32
HOSTS = ("localhost", "dps.example")
READER = Policy(
    Realm.PROVISIONING, "reader", frozenset({Right.ENROLLMENT_READ}), Secret(PRIMARY), Secret(SECONDARY)
)


def token(
    resource: str = "localhost",
    key: bytes = PRIMARY,
    expires_at: int = NOW + 60,
    policy: str | None = "reader",
) -> SasToken:
    return sas.parse(sas.make(resource, key, expires_at, policy))


def rule_of(shown: SasToken, policy: Policy | None = READER, **more: object) -> str:
    with pytest.raises(Unauthenticated) as refused:
        authorize(shown, policy, HOSTS, Right.ENROLLMENT_READ, NOW, **more)
    assert refused.value.message == "Unauthorized"
    return refused.value.rule


@pytest.mark.parametrize("key", [PRIMARY, SECONDARY])
def test_either_key_opens(key: bytes) -> None:
    authorize(token(key=key), READER, HOSTS, Right.ENROLLMENT_READ, NOW)


def test_another_key_does_not() -> None:
    assert rule_of(token(key=b"x" * 32)) == "sas-signature"


def test_a_changed_expiry_breaks_the_signature() -> None:
    text = sas.make("localhost", PRIMARY, NOW + 60, "reader").replace(f"se={NOW + 60}", f"se={NOW + 61}")
    assert rule_of(sas.parse(text)) == "sas-signature"


def test_a_changed_resource_breaks_the_signature() -> None:
    text = sas.make("localhost", PRIMARY, NOW + 60, "reader").replace("sr=localhost", "sr=dps.example")
    assert rule_of(sas.parse(text)) == "sas-signature"


def test_a_resource_is_verified_as_it_was_written_and_compared_decoded() -> None:
    upper = sas.make("LOCALHOST/Enrollments", PRIMARY, NOW + 60, "reader")
    authorize(sas.parse(upper), READER, HOSTS, Right.ENROLLMENT_READ, NOW, path="/enrollments/a")


def test_an_unknown_policy() -> None:
    assert rule_of(token(policy="nobody"), None) == "sas-policy-unknown"


def test_an_unknown_policy_is_not_opened_by_the_key_it_is_compared_with() -> None:
    assert rule_of(token(key=b"\x00" * 32, policy="nobody"), None) == "sas-policy-unknown"


@pytest.mark.parametrize("policy", [None, ""])
def test_a_token_that_names_no_policy(policy: str | None) -> None:
    assert rule_of(token(policy=policy)) == "sas-policy-missing"


def test_a_policy_of_the_other_realm_opens_nothing() -> None:
    hub = Policy(Realm.HUB, "reader", frozenset(Right), Secret(PRIMARY), Secret(SECONDARY))
    assert rule_of(token(), hub) == "sas-realm"
    assert rule_of(token(), READER, realm=Realm.HUB) == "sas-realm"


def test_expiry_is_inclusive() -> None:
    authorize(token(expires_at=NOW), READER, HOSTS, Right.ENROLLMENT_READ, NOW)
    assert rule_of(token(expires_at=NOW - 1)) == "sas-expired"


def test_a_long_life_is_refused_only_where_a_limit_is_set() -> None:
    eternal = token(expires_at=NOW + 10**9)
    authorize(eternal, READER, HOSTS, Right.ENROLLMENT_READ, NOW)
    assert rule_of(eternal, max_lifetime_s=3600) == "sas-lifetime"
    authorize(token(expires_at=NOW + 3600), READER, HOSTS, Right.ENROLLMENT_READ, NOW, max_lifetime_s=3600)


@pytest.mark.parametrize("resource", ["localhost/enrollmentGroups", "elsewhere"])
def test_another_scope(resource: str) -> None:
    assert rule_of(token(resource), path="/enrollments/dev1") == "sas-scope"


def test_a_missing_right() -> None:
    with pytest.raises(Unauthenticated) as refused:
        authorize(token(), READER, HOSTS, Right.ENROLLMENT_WRITE, NOW)
    assert refused.value.rule == "right-missing"


@pytest.mark.parametrize(
    "resource",
    [
        "localhost",
        "LocalHost",
        "localhost/",
        "localhost:8443",
        "https://localhost",
        "https://dps.example:443/",
        "localhost/enrollments",
        "localhost/ENROLLMENTS/dev1",
    ],
)
def test_scopes_that_cover_an_enrollment(resource: str) -> None:
    assert covers(resource, HOSTS, "/enrollments/dev1")


@pytest.mark.parametrize(
    "resource",
    [
        "",
        "/",
        "elsewhere",
        "local",
        "localhost.evil",
        "evil/localhost",
        "localhost@evil",
        "localhost/enrollmentGroups",
        "localhost/enrollments/dev",
        "localhost/enrollments/dev1/more",
        "localhost/enroll",
        "https://https://localhost",
        "localhost:port",
    ],
)
def test_scopes_that_do_not(resource: str) -> None:
    assert not covers(resource, HOSTS, "/enrollments/dev1")


def test_ipv6_hosts_with_and_without_brackets_and_port() -> None:
    for resource in ("[::1]", "[::1]:8443", "::1", "https://[::1]:443/enrollments"):
        assert covers(resource, ("::1",), "/enrollments/a"), resource
        assert covers(resource, ("[::1]",), "/enrollments/a"), resource


@given(st.text(max_size=60), st.text(max_size=60))
def test_scopes_never_raise(resource: str, path: str) -> None:
    assert covers(resource, HOSTS, path) in (True, False)


def test_every_call_needs_a_right() -> None:
    assert set(NEEDED) == set(Call)


def test_the_rights_table_is_the_contracts() -> None:
    by_right = {
        right: {call for call, needed in NEEDED.items() if needed is right} for right in set(NEEDED.values())
    }
    assert by_right == {
        Right.SERVICE_CONFIG: {
            Call.REVOKE_AUTHORITY,
            Call.WRITE_CERTIFICATE_PROFILE,
            Call.DELETE_CERTIFICATE_PROFILE,
            Call.CHANGE_AUTHORITY_KEYS,
            Call.WRITE_AUTHORITY,
            Call.DELETE_AUTHORITY,
            Call.WRITE_LINKED_HUB,
            Call.DELETE_LINKED_HUB,
            Call.WRITE_TRUST_BUNDLE,
            Call.DELETE_TRUST_BUNDLE,
            Call.WRITE_CA_CERTIFICATE,
            Call.DELETE_CA_CERTIFICATE,
            Call.VERIFY_CA_CERTIFICATE,
            Call.DEFINE_WEBHOOK,
            Call.LIST_POLICIES,
            Call.READ_POLICY,
            Call.WRITE_POLICY,
            Call.DELETE_POLICY,
            Call.ROTATE_POLICY,
        },
        Right.ENROLLMENT_READ: {
            Call.READ_CERTIFICATE_PROFILE,
            Call.LIST_CERTIFICATE_PROFILES,
            Call.READ_LINKED_HUB,
            Call.LIST_LINKED_HUBS,
            Call.READ_ENROLLMENT,
            Call.QUERY_ENROLLMENTS,
            Call.READ_AUTHORITY,
            Call.LIST_AUTHORITIES,
            Call.READ_TRUST_BUNDLE,
            Call.LIST_TRUST_BUNDLES,
            Call.READ_CA_CERTIFICATE,
            Call.LIST_CA_CERTIFICATES,
            Call.READ_ALLOWED,
        },
        Right.ENROLLMENT_WRITE: {
            Call.WRITE_ENROLLMENT,
            Call.DELETE_ENROLLMENT,
            Call.BULK_ENROLLMENTS,
            Call.REVEAL_ATTESTATION,
            Call.MAKE_ONE_TIME_PASSWORD,
            Call.CHANGE_ALLOWED,
        },
        Right.REGISTRATION_STATUS_READ: {
            Call.READ_REGISTRATION,
            Call.QUERY_REGISTRATIONS,
            Call.LIST_CERTIFICATES,
            Call.READ_CERTIFICATE,
            Call.READ_ISSUANCE_LOG,
            Call.READ_TRACE,
            Call.LIST_TRACES,
            Call.LIST_REVOCATIONS,
            Call.READ_REVOCATION,
        },
        Right.REGISTRATION_STATUS_WRITE: {
            Call.DELETE_REGISTRATION,
            Call.MOVE_REGISTRATION,
            Call.RESUME_REGISTRATION,
            Call.REVOKE_DEVICE,
            Call.READMIT_DEVICE,
            Call.REVOKE_GROUP,
        },
        Right.SERVICE_CONNECT: {Call.READ_TELEMETRY, Call.READ_TWIN, Call.WRITE_TWIN},
        Right.REGISTRY_READ: {Call.READ_DEVICE, Call.LIST_DEVICES, Call.READ_STATISTICS},
        Right.REGISTRY_WRITE: {Call.WRITE_DEVICE, Call.DELETE_DEVICE},
        Right.REGISTRY_READ: {Call.READ_DEVICE, Call.LIST_DEVICES, Call.READ_STATISTICS},
        Right.REGISTRY_WRITE: {Call.WRITE_DEVICE, Call.DELETE_DEVICE},
    }
