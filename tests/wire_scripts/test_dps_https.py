"""DPS over HTTPS as each SDK speaks it: the bytes that it writes, against the real connection and routes.

What an SDK sends is taken from its source (named in each class); what it insists on is what the script demands.
"""

from __future__ import annotations

import pytest

from accredit.domain.errors import Throttled, Unauthenticated, UpstreamUnavailable
from accredit.domain.evidence import NothingShown, PresentedChain, SasToken
from accredit.wire import sas
from support.http_transcript import HTTPScene
from support.scripted_provisioning import ID_SCOPE, OPERATION, assigned, assigning, failed

PATH = f"/{ID_SCOPE}/registrations/dev-1"
TOKEN = sas.make(f"{ID_SCOPE}/registrations/dev-1", b"k" * 32, 1_900_000_000, "registration")


def request(line: str, fields: list[str], body: str = "") -> bytes:
    """One request as it is written: its line, its header fields in their order, its body."""
    return "\r\n".join([f"{line} HTTP/1.1", *fields, "", body]).encode()


class TestC:
    """azure-iot-sdk-c: prov_transport_http_client.c over uhttp. `UserAgent` for User-Agent, one kept connection, no retry-after read."""

    FIELDS = (
        "UserAgent: prov_device_client/1.0",
        "Accept: application/json",
        "Connection: keep-alive",
        "Content-Type: application/json; charset=utf-8",
    )

    async def test_register_and_poll_on_one_connection(self) -> None:
        scene = HTTPScene(assigning(), assigned(), peer_chain=(b"leaf",))
        body = '{"registrationId":"dev-1"}'
        put = request(
            f"PUT {PATH}/register?api-version=2021-06-01",
            [*self.FIELDS, "Host: dps.example:443", f"content-length: {len(body)}"],
            body,
        )
        told = await scene.says(put)
        assert (told.status, told.document["status"]) == (202, "assigning")
        assert told.document["operationId"] == OPERATION
        assert told.headers.get("connection", "keep-alive") == "keep-alive"
        poll = request(
            f"GET {PATH}/operations/{OPERATION}?api-version=2021-06-01",
            [*self.FIELDS, "Host: dps.example:443", "content-length: 0"],
        )
        done = await scene.says(poll)
        state = done.document["registrationState"]
        assert (done.status, done.document["status"]) == (200, "assigned")
        assert (state["assignedHub"], state["deviceId"]) == ("hub.example", "dev-1")
        assert scene.provisioning.registers[0].evidence == PresentedChain((b"leaf",))
        scene.close()

    @pytest.mark.parametrize(
        ("refusal", "status"),
        [
            (Throttled("Slow down.", rule="throttled", retry_after_s=7), 429),
            (UpstreamUnavailable("Later.", rule="store-unavailable", retry_after_s=7), 503),
        ],
    )
    async def test_what_may_pass_is_above_428(self, refusal: Exception, status: int) -> None:
        """It sends the same again for any status from 429 on; below, it gives up (prov_device_ll_client.c)."""
        told = await HTTPScene(refusal).says(
            request(f"PUT {PATH}/register?api-version=2021-06-01", [*self.FIELDS, "Content-Length: 2"], "{}")
        )
        assert (told.status, told.headers["retry-after"]) == (status, "7")


class TestCSharp:
    """azure-iot-sdk-csharp: RuntimeRegistration.cs, ProvisioningTransportHandlerHttp.cs, SymmetricKeyCredentials.cs."""

    FIELDS = ("Host: dps.example", "User-Agent: .NET/1.19.4 (.NET 8; Linux; X64)")

    async def test_register_without_the_members_it_leaves_out(self) -> None:
        """Newtonsoft writes `registrationId` as null; the id is the address's. 200 and 202 are the only successes it knows."""
        scene = HTTPScene(assigning(), assigned())
        body = '{"registrationId":null,"payload":{"model":"x"}}'
        told = await scene.says(
            request(
                f"PUT {PATH}/register?api-version=2019-03-31",
                [
                    *self.FIELDS,
                    f"Authorization: {TOKEN}",
                    "Content-Type: application/json; charset=utf-8",
                    f"Content-Length: {len(body)}",
                ],
                body,
            )
        )
        assert (told.status, told.headers["retry-after"]) == (202, "3")
        assert told.headers["location"] == f"{PATH}/operations/{OPERATION}?api-version=2019-03-31"
        (asked,) = scene.provisioning.registers
        assert (asked.registration_id.text, asked.payload) == ("dev-1", b'{"model":"x"}')
        assert isinstance(asked.evidence, SasToken)
        done = await scene.says(
            request(
                f"GET {PATH}/operations/{OPERATION}?api-version=2019-03-31",
                [*self.FIELDS, f"Authorization: {TOKEN}"],
            )
        )
        assert (done.status, done.document["status"]) == (200, "assigned")
        scene.close()

    async def test_an_empty_body_is_a_registration(self) -> None:
        """RegisterDeviceAsync may send no content at all, with Content-Length 0 (checklist 5)."""
        scene = HTTPScene(assigned())
        told = await scene.says(
            request(
                f"PUT {PATH}/register?api-version=2019-03-31",
                [*self.FIELDS, f"Authorization: {TOKEN}", "Content-Length: 0"],
            )
        )
        assert told.document["status"] == "assigned"
        assert scene.provisioning.registers[0].payload is None

    async def test_an_error_is_json_with_a_number_it_can_divide(self) -> None:
        """ProvisioningErrorDetailsHttp is deserialised from every answer that is neither 200 nor 202."""
        told = await HTTPScene(Unauthenticated("Unauthorized", rule="sas-signature")).says(
            request(f"PUT {PATH}/register?api-version=2019-03-31", [*self.FIELDS, "Content-Length: 0"])
        )
        assert told.status == 401
        assert (told.document["errorCode"] // 1000, told.document["message"]) == (401, "Unauthorized")
        assert told.document["trackingId"] == told.headers["x-ms-request-id"]
        assert told.headers["x-ms-error-code"] == str(told.document["errorCode"])


class TestJava:
    """azure-iot-sdk-java: ContractAPIHttp.java, RegisterTask.java: `authorization` in lower case, a token with an empty skn."""

    async def test_register(self) -> None:
        scene = HTTPScene(assigned())
        token = f"SharedAccessSignature sr={ID_SCOPE}/registrations/dev-1&sig=c2ln&se=1900000000&skn="
        body = '{"registrationId":"dev-1","payload":"{\\"a\\":1}"}'
        told = await scene.says(
            request(
                f"PUT {PATH}/register?api-version=2019-03-31",
                [
                    "User-Agent: com.microsoft.azure.sdk.iot.dps.dps-device-client/2.1.3",
                    "Accept: application/json",
                    "Content-Type: application/json; charset=utf-8",
                    f"Content-Length: {len(body)}",
                    f"authorization: {token}",
                    "Host: dps.example",
                    "Connection: keep-alive",
                ],
                body,
            )
        )
        assert (told.status, told.document["status"]) == (200, "assigned")
        (asked,) = scene.provisioning.registers
        # The payload is text that holds JSON, and is handed on as it was sent.
        assert asked.payload == b'"{\\"a\\":1}"'
        assert isinstance(asked.evidence, SasToken)
        assert asked.evidence.signed_text == f"{ID_SCOPE}/registrations/dev-1\n1900000000".encode()

    async def test_its_parser_finds_what_it_needs_in_an_assigning_answer(self) -> None:
        """RegistrationOperationStatusParser: operationId and status, and a state, if any, with its id and status."""
        told = await HTTPScene(assigning()).says(
            request(f"PUT {PATH}/register?api-version=2019-03-31", ["Host: x", "Content-Length: 0"])
        )
        assert told.document["operationId"]
        assert told.document["status"]
        state = told.document.get("registrationState")
        assert state is None or (state["registrationId"], state["status"]) == ("dev-1", "assigning")


class TestNode:
    """azure-iot-provisioning-device-http 1.9: http.js, azure-iot-http-base rest_api_client.js. Runs for real in tests/e2e as well."""

    async def test_a_poll_with_a_body(self) -> None:
        """A GET that carries `{}` and a Content-Length, as executeApiCall sends for every method."""
        scene = HTTPScene(assigned())
        told = await scene.says(
            request(
                f"GET {PATH}/operations/{OPERATION}?api-version=2019-03-31",
                [
                    "Accept: application/json",
                    "Content-Type: application/json; charset=utf-8",
                    f"Authorization: {TOKEN}",
                    "User-Agent: azure-iot-provisioning-device/1.9.1 (node v20; Linux; x64)",
                    "Content-Length: 2",
                    "Host: dps.example",
                    "Connection: close",
                ],
                "{}",
            )
        )
        assert (told.status, told.document["status"]) == (200, "assigned")
        assert [operation for _, operation in scene.provisioning.queries] == [OPERATION]

    async def test_force_registration_is_passed_over(self) -> None:
        told = await HTTPScene(assigned()).says(
            request(
                f"PUT {PATH}/register?api-version=2019-03-31&forceRegistration=true",
                ["Host: x", "Content-Length: 26"],
                '{"registrationId":"dev-1"}',
            )
        )
        assert told.status == 200

    @pytest.mark.parametrize(
        "answer",
        [assigned(), assigning(), failed(), Unauthenticated("Unauthorized", rule="sas-signature")],
        ids=["assigned", "assigning", "failed", "refused"],
    )
    async def test_every_answer_is_application_json(self, answer: object) -> None:
        """rest_api_client.js parses a body only where the content type says JSON (checklist 7)."""
        told = await HTTPScene(answer).says(
            request(f"PUT {PATH}/register?api-version=2019-03-31", ["Host: x", "Content-Length: 0"])
        )
        assert told.headers["content-type"].startswith("application/json")
        assert isinstance(told.document, dict)


class TestCurl:
    """Azure's documentation calls by curl with `Content-Encoding: utf-8`; the CLI looks a state up (global_service.py)."""

    async def test_an_encoding_that_is_none_is_no_compression(self) -> None:
        scene = HTTPScene(assigned())
        told = await scene.says(
            request(
                f"PUT {PATH}/register?api-version=2019-03-31",
                [
                    "Host: x",
                    "Content-Encoding: utf-8",
                    "Content-Type: application/json",
                    "Content-Length: 26",
                ],
                '{"registrationId":"dev-1"}',
            )
        )
        assert told.status == 200
        assert scene.provisioning.registers[0].evidence == NothingShown()

    async def test_a_state_look_up_is_not_wrapped(self) -> None:
        told = await HTTPScene(assigned()).says(
            request(
                f"POST {PATH}?api-version=2019-03-31",
                ["Host: x", "Content-Type: application/json", "Content-Length: 26"],
                '{"registrationId":"dev-1"}',
            )
        )
        assert (told.status, told.document["status"], told.document["deviceId"]) == (200, "assigned", "dev-1")
