"""SharedAccessSignature tokens as each SDK writes them."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.errors import Unauthenticated
from accredit.wire import sas

KEY = b"k" * 32
DIGEST = b"\xfb\xff" * 16
SIGNATURE = base64.b64encode(DIGEST).decode()
ENCODED = SIGNATURE.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
DPS = "0ne00AB12CD/registrations/dev-1"


def refused(text: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        sas.parse(text)
    assert caught.value.rule == "sas-malformed"
    return caught.value.message


@pytest.mark.parametrize(
    ("fields", "sr", "policy"),
    [
        # azure-iot-device 2.14: no skn at all.
        (
            "sr=0ne00AB12CD%2Fregistrations%2Fdev-1&sig={sig}&se=1900000000",
            "0ne00AB12CD%2Fregistrations%2Fdev-1",
            None,
        ),
        # azure-iot-provisioning-device (Node): sr as it is, skn before se.
        ("sr=0ne00AB12CD/registrations/dev-1&sig={sig}&skn=registration&se=1900000000", DPS, "registration"),
        # The Java SDK: sr as it is, an empty skn.
        ("sr=0ne00AB12CD/registrations/dev-1&sig={sig}&se=1900000000&skn=", DPS, None),
        # The C SDK: lower-case hex digits.
        (
            "sr=0ne00AB12CD%2fregistrations%2fdev-1&sig={sig}&se=1900000000&skn=registration",
            "0ne00AB12CD%2fregistrations%2fdev-1",
            "registration",
        ),
        # In another order, with a field nobody knows.
        ("se=1900000000&new=1&sig={sig}&sr=0ne00AB12CD/registrations/dev-1", DPS, None),
    ],
)
def test_the_fields_of_each_sdk(fields: str, sr: str, policy: str | None) -> None:
    token = sas.parse("SharedAccessSignature " + fields.format(sig=ENCODED))
    assert token.resource == DPS
    assert token.signed_text == f"{sr}\n1900000000".encode()
    assert token.signature == DIGEST
    assert token.expires_at == 1_900_000_000
    assert token.policy == policy


def test_a_signature_with_raw_base64_characters() -> None:
    """The Python hub client quotes with `/` left as it is."""
    assert "/" in SIGNATURE
    assert "+" in SIGNATURE
    raw = sas.parse(f"SharedAccessSignature sr=host&sig={SIGNATURE}&se=1")
    assert raw.signature == DIGEST


def test_a_plus_in_a_resource_is_a_plus() -> None:
    assert sas.parse(f"SharedAccessSignature sr=a+b&sig={ENCODED}&se=1").resource == "a+b"


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100),
    st.binary(min_size=1, max_size=64),
    st.integers(0, 10**12 - 1),
    st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
)
def test_what_is_made_is_read(resource: str, key: bytes, expires_at: int, policy: str | None) -> None:
    token = sas.parse(sas.make(resource, key, expires_at, policy))
    assert (token.resource, token.expires_at, token.policy) == (resource, expires_at, policy)
    assert token.signature == hmac.digest(key, token.signed_text, hashlib.sha256)


def test_a_token_made_elsewhere() -> None:
    """The same token by azure-iot-device 2.14's formula, written out."""
    sr = "host.example%2Fdevices%2Fdev%201"
    digest = hmac.new(KEY, f"{sr}\n1900000000".encode(), "sha256").digest()
    sig = base64.b64encode(digest).decode().replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    expected = f"SharedAccessSignature sr={sr}&sig={sig}&se=1900000000"
    assert sas.make("host.example/devices/dev 1", KEY, 1_900_000_000, None) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "does not begin"),
        ("Bearer abc", "does not begin"),
        (f"SharedAccessSignature sig={ENCODED}&se=1", "no sr"),
        (f"SharedAccessSignature sr=&sig={ENCODED}&se=1", "no sr"),
        (f"SharedAccessSignature sr=a&sr=b&sig={ENCODED}&se=1", "sr twice"),
        (f"SharedAccessSignature sr=a&sig={ENCODED}", "se in whole seconds"),
        (f"SharedAccessSignature sr=a&sig={ENCODED}&se=", "se in whole seconds"),
        (f"SharedAccessSignature sr=a&sig={ENCODED}&se=1.5", "se in whole seconds"),
        (f"SharedAccessSignature sr=a&sig={ENCODED}&se=-1", "se in whole seconds"),
        (f"SharedAccessSignature sr=a&sig={ENCODED}&se=1e9", "se in whole seconds"),
        (f"SharedAccessSignature sr=a&sig={ENCODED}&se=٣", "se in whole seconds"),
        (f"SharedAccessSignature sr=a&sig={ENCODED}&se=1900000000000", "se in whole seconds"),
        ("SharedAccessSignature sr=a&se=1", "no sig"),
        ("SharedAccessSignature sr=a&sig=&se=1", "no sig"),
        ("SharedAccessSignature sr=a&sig=abc&se=1", "not base64"),
        ("SharedAccessSignature sr=a&sig=%E2%82%AC&se=1", "not base64"),
        (f"SharedAccessSignature sr=%FF&sig={ENCODED}&se=1", "not UTF-8"),
        (f"SharedAccessSignature sr={'a' * 4096}&sig={ENCODED}&se=1", "too long"),
    ],
)
def test_what_is_no_token(text: str, says: str) -> None:
    assert says in refused(text)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    for candidate in (
        text,
        "SharedAccessSignature " + text,
        f"SharedAccessSignature sr={text}&sig={ENCODED}&se=1",
    ):
        try:
            sas.parse(candidate)
        except Unauthenticated:
            continue
