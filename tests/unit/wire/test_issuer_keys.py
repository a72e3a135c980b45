"""Key sets of an issuer: read in bounds, and nothing but ValueError leaves."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accredit.wire.issuer_keys import discovered_keys_url, verifying_keys
from support.oidc_issuer import SigningKey


def test_keys_that_can_verify_what_is_taken() -> None:
    ours = [SigningKey.make("ec"), SigningKey.make("rsa", "RS256")]
    bare = {name: value for name, value in ours[0].jwk.items() if name not in ("use", "alg")} | {
        "kid": "bare"
    }
    others: list[Any] = [
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
        {**ours[0].jwk, "kid": "encrypts", "use": "enc"},
        {**ours[0].jwk, "kid": "other", "alg": "ES384"},
        {**ours[1].jwk, "kid": "hs", "alg": "HS256"},
        {**ours[1].jwk, "kid": "broken", "n": "!"},
        {**ours[0].jwk, "kid": "off", "x": ours[0].jwk["y"]},
        {"kty": ["EC"], "kid": "list"},
        {**ours[0].jwk, "kid": None},
        {**ours[0].jwk, "kid": ""},
        {**SigningKey.make("weak", "RS256", bits=1024).jwk},
        "not an object",
    ]
    keys = verifying_keys(json.dumps({"keys": [*others, *(key.jwk for key in ours), bare]}).encode())
    assert {name: key.algorithm for name, key in keys.items()} == {
        "ec": "ES256",
        "rsa": "RS256",
        "bare": "ES256",
    }


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"keys":{}}', b'{"keys":null}', b"\xff", b"[" * 100_000]
)
def test_what_is_no_key_set(body: bytes) -> None:
    with pytest.raises(ValueError):
        verifying_keys(body)


@given(
    st.recursive(
        st.none() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["keys", "kty", "kid", "n", "e", "crv", "x", "y", "use", "alg"]),
                inner | st.sampled_from(["RSA", "EC", "AQAB", "P-256", "sig"]),
                max_size=8,
            )
        ),
        max_leaves=12,
    )
)
@settings(deadline=None)
def test_only_value_errors_leave_a_key_set(value: Any) -> None:
    for document in (value, {"keys": value}, {"keys": [value]}):
        with suppress(ValueError):
            verifying_keys(json.dumps(document).encode())


def test_the_configuration_must_be_the_issuers_own() -> None:
    document = {"issuer": "https://a", "jwks_uri": "https://a/keys"}
    assert discovered_keys_url(json.dumps(document).encode(), "https://a") == "https://a/keys"
    for broken in (
        {**document, "issuer": "https://b"},
        {"issuer": "https://a"},
        {**document, "jwks_uri": 5},
        [],
    ):
        with pytest.raises(ValueError):
            discovered_keys_url(json.dumps(broken).encode(), "https://a")
