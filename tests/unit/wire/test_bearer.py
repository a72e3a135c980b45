"""Bearer tokens and key sets: read in bounds, and nothing but the closed errors leaves."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accredit.domain.errors import Unauthenticated
from accredit.wire.bearer import MAX_TOKEN_CHARS, discovered_keys_url, is_bearer, parse, verifying_keys
from support.oidc_issuer import SigningKey


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _token(header: Any) -> str:
    return f"{_part(header)}.{_part({})}.c2ln"


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER   "])
def test_the_scheme(scheme: str) -> None:
    text = _token({"alg": "RS256", "kid": "k", "typ": "JWT"})
    assert is_bearer(scheme + text)
    token = parse(scheme + text)
    assert (token.algorithm, token.key_id, token.text.reveal()) == ("RS256", "k", text.encode())
    assert text not in repr(token)
    for other in ("SharedAccessSignature sr=a", "Basic YTpi", "Bearer", ""):
        assert not is_bearer(other)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "bearer-malformed"),
        ("a.b", "bearer-malformed"),
        ("a.b.c.d", "bearer-malformed"),
        ("..", "bearer-malformed"),
        (f"{_part([])}.a.b", "bearer-malformed"),
        ("!.a.b", "bearer-malformed"),
        (_token({"kid": "k"}), "bearer-malformed"),
        (_token({"alg": "RS256"}), "bearer-malformed"),
        (_token({"alg": "RS256", "kid": ""}), "bearer-malformed"),
        (_token({"alg": "RS256", "kid": 5}), "bearer-malformed"),
        (_token({"alg": "RS256", "kid": "k" * 600}), "bearer-malformed"),
        (_token({"alg": "RS256", "kid": "k", "crit": ["exp"]}), "bearer-malformed"),
        (_token({"alg": "RS256", "kid": "k"}) + "x" * MAX_TOKEN_CHARS, "bearer-malformed"),
        *((_token({"alg": alg, "kid": "k"}), "bearer-algorithm") for alg in ("none", "None", "HS256", "ES384", "EdDSA", "rs256", "")),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, rule: str) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        parse(f"Bearer {text}")
    assert refusal.value.rule == rule
    assert refusal.value.message == "Unauthorized"


@given(st.text(max_size=60) | st.lists(st.text("eyJ0.-_=", max_size=8), max_size=4).map(".".join))
@settings(deadline=None)
def test_only_unauthenticated_leaves(text: str) -> None:
    with suppress(Unauthenticated):
        parse(f"Bearer {text}")


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
