"""Documents of shared access policies: names, rights, and when keys are shown."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.access import Realm, Right
from accredit.domain.errors import Malformed
from accredit.domain.secret import Secret
from accredit.wire.service_api.documents import write
from accredit.wire.service_api.policies import (
    RIGHTS,
    PolicySent,
    policy_document,
    policy_name,
    read_policy,
    read_rotation,
)
from support import stored_values as some

KEY = base64.b64encode(b"k" * 32).decode()


def read(realm: Realm = Realm.PROVISIONING, **members: Any) -> PolicySent:
    return read_policy(write(members), "tool", realm)


@pytest.mark.parametrize("name", ["a", "iothubowner", "A.b_c-9", "x" * 64])
def test_names(name: str) -> None:
    assert policy_name(name) == name


@pytest.mark.parametrize("name", ["", ".a", "-a", "a b", "a/b", "ä", "x" * 65, "a\n"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(Malformed) as refused:
        policy_name(name)
    assert refused.value.rule == "policy-name"


@pytest.mark.parametrize("realm", Realm)
def test_every_right_of_its_realm_in_any_case(realm: Realm) -> None:
    sent = read(realm, rights=[right.value.upper() for right in RIGHTS[realm]])
    assert sent.rights == frozenset(RIGHTS[realm])


def test_keys_are_taken_where_they_are_sent() -> None:
    sent = read(rights=["EnrollmentRead"], name="tool", primaryKey=KEY)
    assert sent == PolicySent("tool", frozenset({Right.ENROLLMENT_READ}), Secret(b"k" * 32), None)


@pytest.mark.parametrize(
    ("members", "rule"),
    [
        ({"rights": []}, "policy-rights"),
        ({"rights": ["RegistryRead"]}, "policy-rights"),
        ({"rights": ["EnrollmentRead"], "name": "other"}, "id-mismatch"),
        ({"rights": ["EnrollmentRead"], "secondaryKey": "AAAA"}, "key-size"),
        ({"rights": ["EnrollmentRead"], "right": 1}, "document-invalid"),
        ({}, "document-invalid"),
    ],
    ids=str,
)
def test_what_is_none(members: dict[str, Any], rule: str) -> None:
    with pytest.raises(Malformed) as refused:
        read(**members)
    assert refused.value.rule == rule


@given(st.binary(max_size=60) | st.fixed_dictionaries({"rights": st.lists(st.text(max_size=9))}).map(write))
def test_only_malformed_leaves(body: bytes) -> None:
    with suppress(Malformed):
        read_policy(body, "tool", Realm.HUB)


@pytest.mark.parametrize("key", ["primary", "secondary"])
def test_which_key_is_rotated(key: str) -> None:
    assert read_rotation(write({"key": key})) == key


@pytest.mark.parametrize("body", [b"{}", b'{"key":"third"}', b'{"key":"primary","x":1}', b""])
def test_no_key_is_rotated(body: bytes) -> None:
    with pytest.raises(Malformed):
        read_rotation(body)


def test_keys_are_shown_only_where_they_are_asked_for() -> None:
    policy = some.policy(created_at=some.NOW, updated_at=some.NOW, etag="p1")
    plain = policy_document(policy)
    assert plain == {
        "name": "owner",
        "rights": ["ServiceConfig", "EnrollmentRead"],
        "etag": '"p1"',
        "createdDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
        "lastUpdatedDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
    }
    keys = {
        name: base64.b64encode(key.reveal()).decode()
        for name, key in (("primaryKey", policy.primary), ("secondaryKey", policy.secondary))
    }
    assert policy_document(policy, keys_shown=True) == plain | keys


def test_what_is_shown_can_be_sent_back() -> None:
    policy = some.policy(created_at=some.NOW, updated_at=some.NOW, etag="p1")
    sent = read_policy(write(policy_document(policy, keys_shown=True)), policy.name, policy.realm)
    assert sent == PolicySent(policy.name, policy.rights, policy.primary, policy.secondary)
