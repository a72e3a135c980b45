"""`info` and `sas-token`, which read the data folder; and how the other commands find their service."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest

from support.command import Ran, command
from support.running_service import RunningService

Run = Callable[..., Ran]


class TestInfo:
    def test_json_has_what_the_contract_names(self, service: RunningService, run: Run) -> None:
        (told,) = run("info", "--json").rows
        assert re.fullmatch("0ne[0-9A-Z]{8}", told["idScope"])
        assert told["deviceEndpoint"] == told["hub"] == service.host
        port = "" if service.https_port == 443 else f":{service.https_port}"
        assert told["serviceEndpoint"] == service.host + port
        assert told["ports"] == {
            "https": service.https_port, "mqtt": service.mqtt_port, "amqp": service.amqp_port, "public": 8080, "console": 0,
        }  # fmt: skip
        assert Path(told["trustRoot"]).read_text().startswith("-----BEGIN CERTIFICATE-----")
        assert Path(told["dataDir"]) == service.data.resolve()
        for name, policy in (
            ("provisioningServiceConnectionString", "provisioningserviceowner"),
            ("iotHubConnectionString", "iothubowner"),
        ):
            start = f"HostName={service.host};SharedAccessKeyName={policy};SharedAccessKey="
            assert told[name].startswith(start)

    def test_for_people_it_is_a_line_a_fact(self, service: RunningService, run: Run) -> None:
        lines = run("info").out.splitlines()
        assert len(lines) == 9
        assert any(line.split() == ["hub", service.host] for line in lines)

    def test_where_no_service_ever_ran(self, tmp_path: Path) -> None:
        told = command("info", "--data-dir", str(tmp_path)).sentence
        assert f"accredit serve --data-dir {tmp_path}" in told

    def test_where_the_master_key_is_gone(self, service: RunningService, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(service.data, copy)
        (copy / "master.key").unlink()
        assert "master.key" in command("info", "--data-dir", str(copy)).sentence

    def test_where_the_database_is_not_one(self, service: RunningService, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(service.data, copy)
        for left in copy.glob("accredit.db-*"):
            left.unlink()
        (copy / "accredit.db").write_bytes(b"not a database" * 1000)
        assert "accredit.db" in command("info", "--data-dir", str(copy)).sentence

    def test_a_setting_that_can_not_be(self, service: RunningService) -> None:
        told = command("info", "--data-dir", str(service.data), ACCREDIT_HTTPS_PORT="many").sentence
        assert "ACCREDIT_HTTPS_PORT" in told


class TestSasToken:
    def test_one_line_and_nothing_else(self, service: RunningService, run: Run) -> None:
        before = int(time.time())
        ran = run("sas-token", "--policy", "provisioningserviceowner")
        (line,) = ran.out.splitlines()
        scheme, _, rest = line.partition(" ")
        assert scheme == "SharedAccessSignature"
        fields = dict(part.split("=", 1) for part in rest.split("&"))
        assert unquote(fields["sr"]) == service.host
        assert fields["skn"] == "provisioningserviceowner"
        assert before + 3600 <= int(fields["se"]) <= time.time() + 3600

    def test_its_life_is_as_long_as_asked(self, run: Run) -> None:
        line = run("sas-token", "--policy", "service", "--ttl", "60").out
        (expires_at,) = re.findall(r"se=(\d+)", line)
        assert 0 < int(expires_at) - time.time() <= 60

    @pytest.mark.parametrize(
        ("policy", "status"), [("provisioningserviceowner", 200), ("EnrollmentRead", 401)]
    )
    def test_it_opens_what_its_policy_may(
        self, service: RunningService, run: Run, policy: str, status: int
    ) -> None:
        token = run("sas-token", "--policy", policy).out.strip()
        with service.https(headers={"Authorization": token}) as http:
            body = {"registrationId": f"for-{policy}", "attestation": {"type": "symmetricKey"}}
            answer = http.put(f"/enrollments/for-{policy}?api-version=2021-10-01", json=body)
        assert answer.status_code == status

    def test_an_unknown_policy_is_told_with_those_that_are_known(self, run: Run) -> None:
        told = run("sas-token", "--policy", "root").sentence
        assert "'root'" in told
        assert "provisioningserviceowner" in told
