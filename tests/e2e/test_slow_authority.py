"""An outside CA that is slow, refuses, or loses its answers: what the device is told, and how much is ever signed.

The CA is a process that signs for real, and its ledger has every signature, told or not. The service waits 0.4 s for
it before a register call is answered `assigning`; a slow CA answers when the test lets it.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from accredit.wire.rules import RULES
from support.device_key import DeviceKey
from support.digicert_process import DigiCertProcess
from support.enrolling import issuing, symmetric_individual
from support.raw_device import Answer, DpsDevice, HubDevice, sas_token
from support.running_service import RunningService

ENDS_WITHIN_S = 60


@pytest.fixture
def slow(digicert: DigiCertProcess) -> Iterator[DigiCertProcess]:
    digicert.hold()
    yield digicert
    digicert.answer()


@pytest.fixture
def secret(outside: RunningService, name: str) -> str:
    """The device's symmetric key; its enrollment issues from the outside CA."""
    return symmetric_individual(outside, name, **issuing("myca1"))


def registers(service: RunningService, key: DeviceKey, secret: str) -> Answer:
    with DpsDevice(service, key.registration_id, key=secret) as device:
        return device.registers(clientCertificateCsr=key.csr())


def ends(service: RunningService, key: DeviceKey, secret: str, operation_id: str) -> Answer:
    """Poll as a device does, only faster, until the operation has ended."""
    deadline = time.monotonic() + ENDS_WITHIN_S
    with DpsDevice(service, key.registration_id, key=secret) as device:
        while True:
            answer = device.polls(operation_id)
            if answer.document["status"] != "assigning":
                return answer
            assert (answer.status, answer.retry_after_s) == (202, 3)
            assert time.monotonic() < deadline
            time.sleep(0.05)


def concluded(service: RunningService, key: DeviceKey, secret: str) -> Answer:
    """What comes of a register call: at once, or where the machine is slow by asking again."""
    answer = registers(service, key, secret)
    return answer if answer.status != 202 else ends(service, key, secret, is_assigning(answer))


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + ENDS_WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def statuses(service: RunningService, key: DeviceKey) -> list[str]:
    return [str(row["status"]) for row in service.certificates(key.registration_id)]


def is_assigning(answer: Answer) -> str:
    """The operation id of an answer that asks for patience."""
    assert (answer.status, answer.retry_after_s) == (202, 3), answer
    assert answer.document == {"operationId": answer.document["operationId"], "status": "assigning"}
    return str(answer.document["operationId"])


def is_assigned(answer: Answer, key: DeviceKey) -> str:
    """The issued chain, which is for this device's key."""
    assert (answer.status, answer.document["status"]) == (200, "assigned"), answer
    chain = str(answer.state["issuedClientCertificate"])
    leaf = x509.load_pem_x509_certificates(chain.encode())[0]
    assert leaf.public_key() == key.private.public_key()
    return chain


def code_at_the_hub(service: RunningService, key: DeviceKey, chain: str) -> int:
    with HubDevice(service, key.registration_id, certificate=(key.write(chain), key.file)) as device:
        return device.code


class TestSlow:
    def test_the_device_is_told_to_come_back_and_finds_its_certificate(
        self, outside: RunningService, slow: DigiCertProcess, key: DeviceKey, secret: str
    ) -> None:
        """Checklist 19: C# ends a channel that is silent for 60 s (ReadTimeoutSeconds in
        ProvisioningChannelHandlerAdapter.cs), Python and Node give up after 30 s (constant.py, constants.js)."""
        operation_id = is_assigning(registers(outside, key, secret))
        slow.answer()
        answer = ends(outside, key, secret, operation_id)
        chain = is_assigned(answer, key)
        assert answer.document["operationId"] == operation_id
        assert code_at_the_hub(outside, key, chain) == 0
        assert len(slow.signed(key.registration_id)) == 1

    def test_over_https_the_answer_says_where_to_ask(
        self, outside: RunningService, slow: DigiCertProcess, key: DeviceKey, secret: str
    ) -> None:
        resource = f"{outside.id_scope}/registrations/{key.registration_id}"
        body = {"registrationId": key.registration_id, "clientCertificateCsr": key.csr()}
        with outside.https(headers={"Authorization": sas_token(resource, secret)}) as http:
            answer = http.put(f"/{resource}/register?api-version=2021-11-01-preview", json=body)
            assert answer.status_code == 202
            assert answer.headers["retry-after"] == "3"
            place = answer.headers["location"]
            assert answer.json()["operationId"] in place
            assert http.get(place).status_code == 202
            slow.answer()
            until(lambda: http.get(place).status_code != 202)
            poll = http.get(place)
        assert poll.json()["registrationState"]["issuedClientCertificate"]

    def test_the_same_request_joins_the_open_operation(
        self, outside: RunningService, slow: DigiCertProcess, key: DeviceKey, secret: str
    ) -> None:
        operation_ids = {is_assigning(registers(outside, key, secret)) for _ in range(2)}
        assert len(operation_ids) == 1
        slow.answer()
        is_assigned(ends(outside, key, secret, operation_ids.pop()), key)
        assert len(slow.signed(key.registration_id)) == 1

    def test_another_request_supersedes_it_and_the_older_one_never_binds(
        self, outside: RunningService, slow: DigiCertProcess, key: DeviceKey, secret: str, tmp_path: Path
    ) -> None:
        older = is_assigning(registers(outside, key, secret))
        renewed = DeviceKey(key.registration_id, tmp_path / "renewed")
        newer = is_assigning(registers(outside, renewed, secret))
        assert newer != older
        slow.answer()
        superseded = ends(outside, key, secret, older)
        assert superseded.document["status"] == "failed"
        assert "newer request" in superseded.state["errorMessage"]
        chain = is_assigned(ends(outside, renewed, secret, newer), renewed)
        assert code_at_the_hub(outside, renewed, chain) == 0
        for signed in slow.signed(key.registration_id):
            told = signed["pem"]
            if told not in chain:
                assert code_at_the_hub(outside, key, told) == 5

    def test_what_was_signed_for_a_superseded_request_is_on_record(
        self, outside: RunningService, slow: DigiCertProcess, key: DeviceKey, secret: str, tmp_path: Path
    ) -> None:
        older = is_assigning(registers(outside, key, secret))
        until(lambda: slow.signed(key.registration_id))
        renewed = DeviceKey(key.registration_id, tmp_path / "renewed")
        newer = is_assigning(registers(outside, renewed, secret))
        slow.answer()
        is_assigned(ends(outside, renewed, secret, newer), renewed)
        assert ends(outside, key, secret, older).document["status"] == "failed"
        signed = {entry["sha256"] for entry in slow.signed(key.registration_id)}
        assert len(signed) == 2

        def on_record() -> dict[str, str]:
            return {row["sha256"]: row["status"] for row in outside.certificates(key.registration_id)}

        # The answer to the older order may come, and be put on record, after the newer one has ended.
        until(lambda: set(on_record()) == signed)
        assert sorted(on_record().values()) == ["pending", "unbound"]


@pytest.mark.slow
class TestARestartInBetween:
    """The service is stopped, or killed, while the CA works; the next start finishes without the device's help."""

    @pytest.fixture
    def alone(self, tmp_path: Path, digicert: DigiCertProcess) -> Iterator[RunningService]:
        environment = {"ACCREDIT_DIGICERT_URL": digicert.url, "ACCREDIT_PATIENCE_MS": "300"}
        with RunningService(tmp_path / "alone", environment=environment) as running:
            running.put("/certificateAuthorities/myca1", digicert.authority)
            yield running

    @pytest.mark.parametrize("ending", ["stop", "kill"])
    def test_the_device_gets_its_certificate_and_one_is_signed(
        self, alone: RunningService, slow: DigiCertProcess, key: DeviceKey, ending: str
    ) -> None:
        secret = symmetric_individual(alone, key.registration_id, **issuing("myca1"))
        operation_id = is_assigning(registers(alone, key, secret))
        until(lambda: slow.signed(key.registration_id))
        if ending == "stop":
            assert alone.process is not None
            alone.process.send_signal(signal.SIGTERM)
            # What is in hand is given some seconds.
            slow.answer()
            assert alone.process.wait(60) == 0
        else:
            alone.kill()
        alone.start()
        slow.answer()
        chain = is_assigned(ends(alone, key, secret, operation_id), key)
        assert len(slow.signed(key.registration_id)) == 1
        assert code_at_the_hub(alone, key, chain) == 0
        assert is_assigned(registers(alone, key, secret), key) == chain
        assert [row["status"] for row in alone.certificates(key.registration_id)] == ["active"]
        assert "Traceback" not in alone.log_text()

    def test_an_order_that_waits_for_an_approver_survives_it(
        self, alone: RunningService, digicert: DigiCertProcess, key: DeviceKey
    ) -> None:
        secret = symmetric_individual(alone, key.registration_id, **issuing("myca1"))
        digicert.misbehaves("pending", pending_lists=1000)
        operation_id = is_assigning(registers(alone, key, secret))
        alone.kill()
        digicert.release()
        digicert.misbehaves(pending_lists=1)
        alone.start()
        is_assigned(ends(alone, key, secret, operation_id), key)
        assert len(digicert.signed(key.registration_id)) == 1


class TestRefusing:
    @pytest.mark.parametrize(
        ("fault", "rule", "said"),
        [
            ("refuse-400", "ca-refused", "does not accept this key type"),
            ("refuse-401", "ca-credentials", "The API key expired at midnight"),
            ("turned-down", "ca-refused", "turned the request down"),
        ],
    )
    def test_the_registration_fails_with_a_number_and_a_sentence(
        self,
        outside: RunningService,
        digicert: DigiCertProcess,
        key: DeviceKey,
        secret: str,
        fault: str,
        rule: str,
        said: str,
    ) -> None:
        """The device is told which rule it was; the CA's own words are for the operator's log."""
        digicert.misbehaves(fault)
        answer = concluded(outside, key, secret)
        assert (answer.status, answer.document["status"]) == (200, "failed"), answer
        assert answer.state["status"] == "failed"
        assert answer.state["errorCode"] == 400037
        assert answer.state["errorMessage"] == RULES[rule].sentence
        line = outside.logs("registration", registrationId=key.registration_id, outcome="failed")
        assert line["rule"] == rule
        assert said in line["evidence"]
        assert digicert.api_key not in str(answer.document)
        assert outside.certificates(key.registration_id) == []
        # The next attempt is a fresh one.
        is_assigned(concluded(outside, key, secret), key)

    @pytest.mark.parametrize("fault", ["another-key", "another-name", "ca-true", "expired"])
    def test_what_was_not_ordered_is_kept_on_record_revoked_and_given_to_nobody(
        self, outside: RunningService, digicert: DigiCertProcess, key: DeviceKey, secret: str, fault: str
    ) -> None:
        digicert.misbehaves(fault)
        answer = concluded(outside, key, secret)
        assert (answer.status, answer.document["status"]) == (200, "failed"), answer
        assert "issuedClientCertificate" not in str(answer.document)
        wanted = ["expired" if fault == "expired" else "revoked"]
        # The revocation goes out after the answer.
        until(lambda: statuses(outside, key) == wanted)

    def test_the_earlier_certificate_stays_good(
        self, outside: RunningService, digicert: DigiCertProcess, key: DeviceKey, secret: str, tmp_path: Path
    ) -> None:
        chain = is_assigned(concluded(outside, key, secret), key)
        digicert.misbehaves("refuse-403")
        renewed = DeviceKey(key.registration_id, tmp_path / "renewed")
        assert concluded(outside, renewed, secret).document["status"] == "failed"
        assert code_at_the_hub(outside, key, chain) == 0
        assert is_assigned(registers(outside, key, secret), key) == chain


class TestLostAnswers:
    @pytest.mark.slow
    @pytest.mark.parametrize("fault", ["drop-after", "drop-mid-answer", "error-500", "garbage"])
    def test_a_certificate_whose_answer_was_lost_is_found_by_looking_it_up(
        self, outside: RunningService, digicert: DigiCertProcess, key: DeviceKey, secret: str, fault: str
    ) -> None:
        digicert.misbehaves(fault)
        is_assigned(concluded(outside, key, secret), key)
        (signed,) = digicert.signed(key.registration_id)
        (row,) = outside.certificates(key.registration_id)
        assert row["sha256"] == signed["sha256"]
        assert int(row["serial"], 16) == int(signed["serial"], 16)

    @pytest.mark.slow
    def test_an_order_that_never_arrived_is_placed_again(
        self, outside: RunningService, digicert: DigiCertProcess, key: DeviceKey, secret: str
    ) -> None:
        digicert.misbehaves("drop-before")
        is_assigned(concluded(outside, key, secret), key)
        assert len(digicert.signed(key.registration_id)) == 1
        kinds = [leaf["kind"] for leaf in _leaves(outside)]
        assert kinds.count("unknown") == 1

    @pytest.mark.slow
    def test_a_ca_that_stays_away_ends_in_a_failure(
        self, tmp_path: Path, digicert: DigiCertProcess, key: DeviceKey
    ) -> None:
        environment = {"ACCREDIT_DIGICERT_URL": digicert.url, "ACCREDIT_CA_RETRY_S": "2"}
        with RunningService(tmp_path / "impatient", environment=environment) as service:
            service.put("/certificateAuthorities/myca1", digicert.authority)
            secret = symmetric_individual(service, key.registration_id, **issuing("myca1"))
            digicert.misbehaves("throttle-seconds")
            answer = concluded(service, key, secret)
            assert answer.document["status"] == "failed"
            assert "did not answer in time" in answer.state["errorMessage"]
            assert digicert.signed(key.registration_id) == []


class TestTheEnrollmentMeanwhile:
    @pytest.mark.slow
    def test_a_device_that_was_switched_off_gets_nothing(
        self, outside: RunningService, slow: DigiCertProcess, key: DeviceKey, secret: str
    ) -> None:
        operation_id = is_assigning(registers(outside, key, secret))
        until(lambda: slow.signed(key.registration_id))
        symmetric_individual(outside, key.registration_id, provisioningStatus="disabled", **issuing("myca1"))
        slow.answer()
        answer = ends(outside, key, secret, operation_id)
        assert answer.document["status"] in {"failed", "disabled"}
        assert "issuedClientCertificate" not in str(answer.document)
        (signed,) = slow.signed(key.registration_id)
        assert code_at_the_hub(outside, key, signed["pem"]) == 5
        assert [row["status"] for row in outside.certificates(key.registration_id)] == ["unbound"]


def _leaves(service: RunningService) -> list[dict[str, Any]]:
    return list(service.client().rows("GET", "/issuanceLog/leaves"))
