"""A service on PostgreSQL as a device and an operator meet it, while the server goes and comes, and the service too."""

from __future__ import annotations

import time

import pytest

from support import sdk_device
from support.enrolling import issuing, symmetric_individual
from support.running_service import RunningService, accredit
from support.signing_requests import base64_der, csr, new_key

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
    deadline = time.monotonic() + 120
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


async def test_a_service_moves_while_its_devices_go_on(tmp_path, postgres):
    url = postgres.new_database()
    with RunningService(tmp_path) as service:
        key = symmetric_individual(service, "pump-1", **issuing())
        later = symmetric_individual(service, "pump-2", **issuing())
        assert (
            await sdk_device.register(service, "pump-1", key=key, csr=base64_der(csr("pump-1")))
        ).status == "assigned"
        copied = accredit(
            "migrate", "--data-dir", str(service.data), environment={"ACCREDIT_DATABASE_URL": url}
        )
        assert copied.returncode == 1
        assert "stop it, then run this command again" in copied.stderr
        assert (
            await sdk_device.register(service, "pump-2", key=later, csr=base64_der(csr("pump-2", new_key())))
        ).status == "assigned"
        head = service.cli("log", "head").stdout
        (tmp_path / "head.json").write_text(head)
        before = service.certificates()
    moved = accredit("migrate", "--data-dir", str(service.data), "--to", url)
    assert moved.returncode == 0, moved.stderr
    assert "certificates: 2 rows" in moved.stdout
    assert postgres.PASSWORD not in moved.stdout + moved.stderr

    refused = accredit("serve", "--data-dir", str(service.data))
    assert refused.returncode == 1
    assert "was moved to PostgreSQL" in refused.stderr
    (service.data / "accredit.toml").write_text(f'database_url = "{url}"\n')
    with service:
        assert service.certificates() == before
        assert service.cli("log", "verify", "--against", str(tmp_path / "head.json")).returncode == 0
        again = await sdk_device.register(
            service, "pump-2", key=later, csr=base64_der(csr("pump-2", new_key()))
        )
        assert again.status == "assigned"
    unnamed = accredit("migrate", "--data-dir", str(tmp_path / "nowhere"))
    assert unnamed.returncode == 1
    assert "--to postgresql://" in unnamed.stderr
