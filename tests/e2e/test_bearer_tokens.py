"""Bearer tokens of a real issuer over TLS: the service side takes them, the device side does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.oidc_issuer import OIDCIssuer
from support.running_service import RunningService

VERSION = {"api-version": "2021-10-01"}


@pytest.fixture(scope="module")
def issuer() -> Iterator[OIDCIssuer]:
    with OIDCIssuer() as running:
        yield running


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory, issuer: OIDCIssuer) -> Iterator[RunningService]:
    """Started while the issuer answers nothing, which must not matter."""
    configuration = "/tenant/.well-known/openid-configuration"
    issuer.answers[configuration] = (503, b"", {})
    folder = tmp_path_factory.mktemp("trusting")
    with RunningService(folder, environment=issuer.settings(folder)) as running:
        assert issuer.asked == []
        del issuer.answers[configuration]
        yield running
    assert "Traceback" not in running.log_text()


def _call(service: RunningService, method: str, path: str, token: str, body: Any = None) -> Any:
    with service.https() as client:
        return client.request(
            method, path, params=VERSION, json=body, headers={"Authorization": f"Bearer {token}"}
        )


def test_roles_open_what_is_theirs(trusting: RunningService, issuer: OIDCIssuer) -> None:
    body = {"registrationId": "by-token", "attestation": {"type": "symmetricKey"}}
    reader, contributor, owner = (
        issuer.token(role) for role in ("Device Provisioning Service Data Reader", "contributor", "owner")
    )
    assert _call(trusting, "PUT", "/enrollments/by-token", reader, body).status_code == 401
    assert _call(trusting, "PUT", "/enrollments/by-token", contributor, body).status_code == 200
    assert _call(trusting, "GET", "/enrollments/by-token", reader).status_code == 200
    assert _call(trusting, "GET", "/policies", contributor).status_code == 401
    assert _call(trusting, "GET", "/policies", owner).status_code == 200
    assert _call(trusting, "GET", "/messages/events", contributor).status_code == 200
    saved = trusting.logs("enrollment-saved", enrollment="individual/by-token")
    assert saved["by"] == f"somebody of {issuer.url}"
    refused = trusting.logs("service-call-refused", rule="right-missing", call="enrollment.write")
    assert "somebody" in refused["evidence"]
    for token in (reader, contributor, owner):
        assert token not in trusting.log_text()


def test_the_device_side_takes_none(trusting: RunningService, issuer: OIDCIssuer) -> None:
    path = f"/{trusting.id_scope}/registrations/by-token/register"
    answer = _call(trusting, "PUT", path, issuer.token("owner"), {"registrationId": "by-token"})
    assert answer.status_code == 401
    assert answer.json()["errorCode"] // 1000 == 401


def test_an_issuer_that_can_t_be_reached_is_told_as_such(tmp_path: Path) -> None:
    with OIDCIssuer() as issuer:
        environment = issuer.settings(tmp_path)
        token = issuer.token("owner")
    with RunningService(tmp_path, environment=environment) as service:
        answer = _call(service, "GET", "/policies", token)
        assert answer.status_code == 503
        assert "identity provider" in answer.json()["message"]
        assert int(answer.headers["retry-after"]) > 0
        assert service.logs("issuer-keys-not-read")["issuer"] == issuer.url
        assert service.client().call("GET", "/policies").status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [("ACCREDIT_OIDC_ISSUER", "http://plain.example"), ("ACCREDIT_OIDC_KEYS_URL", "https://a b")],
)
def test_settings_that_can_t_be(tmp_path: Path, name: str, value: str) -> None:
    service = RunningService(tmp_path, environment={name: value})
    with pytest.raises(AssertionError, match="https://"):
        service.start()
