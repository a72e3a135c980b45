"""Refusals in IoT Hub's words, for each kind there is; and what is read of a hub's own."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.errors import KINDS, Malformed, NotFound
from accredit.wire.hub_service import errors


def test_every_kind_has_its_words() -> None:
    assert set(errors.BY_KIND) == set(KINDS)
    assert all(400 <= error.http < 600 for error in errors.BY_KIND.values())


@pytest.mark.parametrize(
    ("rule", "code"), [("api-version", 400001), ("body-not-json", 400006), ("document-invalid", 400004)]
)
def test_a_rule_may_have_a_number_of_its_own(rule: str, code: int) -> None:
    assert errors.of(Malformed("no", rule=rule)).code == code


def test_the_body_is_the_form_that_azure_s_sdks_read() -> None:
    error = errors.of(NotFound("no", rule="hub-identity-unknown"))
    body = errors.body(error, "Device x not registered.", "t-1", 1_800_000_000.5)
    assert json.loads(body) == {
        "Message": "ErrorCode:DeviceNotFound;Device x not registered.",
        "ExceptionMessage": "Tracking ID:t-1-TimeStamp:2027-01-15T08:00:00.5000000Z",
    }
    assert errors.name_in(body) == "DeviceNotFound"


def test_other_forms_have_no_name() -> None:
    assert errors.name_in(b'{"errorCode": 404103, "message": "x"}') == ""
    assert errors.said_in(b"  a\n b " + b"c " * 4000) == ("a b " + "c " * 200)[:300]


def test_a_key_that_a_hub_repeats_is_left_out() -> None:
    key = b64encode(bytes(range(16))).decode()
    said = errors.said_in(f'{{"Message":"ErrorCode:ArgumentInvalid;primaryKey {key}"}}'.encode())
    assert said == '{"Message":"ErrorCode:ArgumentInvalid;primaryKey [...]"}'
    token = "SharedAccessSignature sr=h&sig=mSlnG0JPqC%2FxOY0YJyNRk2sL3o%3D&se=1"
    assert "mSln" not in errors.said_in(token.encode())


@given(st.binary(max_size=6000))
def test_whatever_a_hub_answers_is_read(answer: bytes) -> None:
    errors.name_in(answer)
    said = errors.said_in(answer)
    assert len(said) <= 300
    assert "\n" not in said
