"""AWS's own published examples, and botocore as the second opinion."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accredit.domain.secret import Secret
from accredit.wire.sigv4 import Signer

KEY = Secret(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()
SIGNER = Signer("AKIDEXAMPLE", KEY, "us-east-1", "service")
HOST = "https://example.amazonaws.com"


@pytest.mark.parametrize(
    ("method", "url", "headers", "body", "signature"),
    [
        ("GET", "/", {}, b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "/", {}, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "POST",
            "/",
            {"Content-Type": "application/x-www-form-urlencoded"},
            b"Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        (
            "GET",
            "/?Param2=value2&Param1=value1",
            {},
            b"",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
    ],
    ids=["get-vanilla", "post-vanilla", "post-x-www-form-urlencoded", "get-vanilla-query-order-key-case"],
)
def test_the_examples_of_awss_test_suite(method, url, headers, body, signature):
    fields = SIGNER.signed(method, HOST + url, headers, body, NOW)
    assert fields["X-Amz-Date"] == "20150830T123600Z"
    names = "content-type;host;x-amz-date" if headers else "host;x-amz-date"
    assert fields["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )


def test_the_example_of_iams_manual():
    """The one that the guide walks through, with a query and a content type."""
    signer = Signer("AKIDEXAMPLE", KEY, "us-east-1", "iam")
    fields = signer.signed(
        "GET",
        "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
        {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
        b"",
        NOW,
    )
    assert fields["Authorization"].endswith(
        "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )


@settings(deadline=None)  # what botocore does first takes its time
@given(
    body=st.binary(max_size=64),
    values=st.dictionaries(
        st.sampled_from(["X-Amz-Target", "Content-Type", "X-Amz-Meta"]),
        st.text("abcXYZ0189 ./-;=", min_size=1).map(str.strip).filter(bool),
    ),
    query=st.dictionaries(st.text("abcAB/ é~", min_size=1), st.text("xyz&=+ %é", min_size=1), max_size=3),
)
def test_as_botocore_signs(body, values, query):
    from urllib.parse import quote, urlencode

    auth = pytest.importorskip("botocore.auth")
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    url = f"http://localhost:4566/{'?' if query else ''}{urlencode(query, quote_via=quote, safe='')}"
    ours = SIGNER.signed("POST", url, values, body, NOW)
    request = AWSRequest("POST", url, headers=values, data=body)
    request.context["timestamp"] = ours["X-Amz-Date"]
    theirs = auth.SigV4Auth(Credentials("AKIDEXAMPLE", KEY.reveal().decode()), SIGNER.service, SIGNER.region)
    request.headers["X-Amz-Date"] = ours["X-Amz-Date"]
    text = theirs.string_to_sign(request, theirs.canonical_request(request))
    assert ours["Authorization"].endswith(theirs.signature(text, request))


def test_the_secret_is_not_in_what_is_sent():
    fields = SIGNER.signed("POST", HOST + "/", {}, b"", NOW)
    assert KEY.reveal().decode() not in str(fields) + repr(SIGNER)
