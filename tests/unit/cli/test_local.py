"""`info` and `sas-token`, which read the data folder; and how the other commands find their service."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest

from accredit.app.data_folder import CannotStart, DataFolder, Running
from accredit.app.local import LocalState
from accredit.domain.access import Policy, Realm, Right
from accredit.domain.secret import Secret
from accredit.values import replace
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


class TestOwner:
    """With which policy the local commands sign, once the first start's were removed."""

    def test_the_one_that_may_most_and_can_make_others(self, tmp_path: Path) -> None:
        read, config, both = (
            Policy(Realm.PROVISIONING, name, frozenset(rights), Secret(b"1"), Secret(b"2"))
            for name, rights in (
                ("a", [Right.ENROLLMENT_READ, Right.ENROLLMENT_WRITE, Right.REGISTRATION_STATUS_READ]),
                ("b", [Right.SERVICE_CONFIG]),
                ("c", [Right.SERVICE_CONFIG, Right.ENROLLMENT_READ]),
            )
        )
        assert _state(tmp_path, read, config).owner(Realm.PROVISIONING) is config
        assert _state(tmp_path, read, config, both).owner(Realm.PROVISIONING) is both

    def test_none_at_all_says_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(CannotStart, match="accredit policy add"):
            _state(tmp_path).owner(Realm.HUB)

    @pytest.mark.parametrize(
        ("host", "port", "endpoint"),
        [
            ("localhost", 443, "localhost"),
            ("localhost", 8443, "localhost:8443"),
            ("2001:db8::1", 443, "[2001:db8::1]"),
            ("2001:db8::1", 8443, "[2001:db8::1]:8443"),
        ],
    )
    def test_where_it_answers(self, tmp_path: Path, host: str, port: int, endpoint: str) -> None:
        here = replace(_state(tmp_path), running=Running(host, port, 8883, 1))
        assert here.service_endpoint == endpoint

    def test_a_hub_without_policies(self, tmp_path: Path) -> None:
        with RunningService(tmp_path) as service:
            for row in service.rows("policy", "list", "--hub"):
                service.cli("policy", "remove", row["name"], "--hub")
            told = service.info()
            assert told["iotHubConnectionString"] == ""
            assert told["provisioningServiceConnectionString"]
            assert "accredit policy add" in service.cli("hub", "telemetry", check=False).stderr


def _state(folder: Path, *policies: Policy) -> LocalState:
    held = {(policy.realm, policy.name): policy for policy in policies}
    return LocalState("0ne00000000", DataFolder(folder), Running("localhost", 443, 8883, 1), held)
