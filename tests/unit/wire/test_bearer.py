"""Bearer tokens: read in bounds, and nothing but the closed errors leaves."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accredit.domain.errors import Unauthenticated
from accredit.wire.bearer import MAX_TOKEN_CHARS, is_bearer, parse


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
