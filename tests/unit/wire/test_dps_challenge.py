"""Azure: prov_device_ll_client.c (C) takes a challenge only with both members and without a status."""

from __future__ import annotations

import json

from accredit.wire import dps
from accredit.wire.dps_challenge import challenge_body
from accredit.wire.instants import iso

NOW = 1_800_000_000.5
BODY = challenge_body(401002, b"blob", "track", NOW)


def test_the_members():
    assert json.loads(BODY) == {
        "errorCode": 401002,
        "trackingId": "track",
        "message": "Unauthorized",
        "timestampUtc": iso(NOW),
        "authenticationKey": "YmxvYg==",
        "keyName": "registration",
    }


def test_a_client_reads_it():
    parsed = dps.parse_answer(BODY)
    assert (parsed.authentication_key, parsed.status) == ("YmxvYg==", None)
