"""A service on PostgreSQL as a device and an operator meet it, while the server goes and comes, and the service too."""

from __future__ import annotations

import time

import pytest

from support import sdk_device
from support.enrolling import issuing, symmetric_individual
from support.running_service import RunningService
from support.signing_requests import base64_der, csr

pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2:DeprecationWarning")


@pytest.fixture
def service(tmp_path, postgres):
    running = RunningService(tmp_path)
    running.data.mkdir()
    (running.data / "accredit.toml").write_text(f'database_url = "{postgres.emptied()}"\n')
    with running:
        yield running


def becomes(service, status):
    """Wait until `/readyz` answers this."""
    deadline = time.monotonic() + 30
    with service.https() as client:
        while True:
            answer = client.get("/readyz")
            if answer.status_code == status:
                return answer.json()
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.05)


async def test_a_device_gets_its_certificate_and_keeps_it(service, postgres):
    key = symmetric_individual(service, "pump-1", **issuing())
    first = await sdk_device.register(service, "pump-1", key=key, csr=base64_der(csr("pump-1")))
    assert first.status == "assigned"
    ((count,),) = postgres.execute("SELECT COUNT(*) FROM certificates WHERE binding = 'pending'")
    assert count == 1
    assert not (service.data / "accredit.db").exists()

    service.kill()
    service.start()
    assert [row["registrationId"] for row in service.certificates("pump-1")] == ["pump-1"]

    postgres.kill()
    try:
        reason = becomes(service, 503)["reason"]
        assert "can't be reached" in reason
    finally:
        postgres.start()
    becomes(service, 200)
    second = await sdk_device.register(service, "pump-1", key=key, csr=base64_der(csr("pump-1")))
    assert second.status == "assigned"
    assert service.stop() == 0
    assert postgres.PASSWORD not in service.log_text()
    assert service.log_lines("database-connection-lost")
