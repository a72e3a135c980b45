"""Topics and user names, as each SDK writes and reads them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.wire import topics
from accredit.wire.mqtt import ProtocolViolation
from accredit.wire.topics import (
    DpsUserName,
    HubUserName,
    Register,
    Response,
    StatusQuery,
    TelemetryTopic,
)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
some_text = text.filter(bool)
rids = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="$+#&"), max_size=40)
segments = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), min_size=1, max_size=20)
ids = segments.filter(lambda name: not name.startswith("?"))

# The regular expression of azure-iot-sdk-csharp, ProvisioningChannelHandlerAdapter.cs.
C_SHARP = re.compile(r"^\$dps/registrations/res/(.*?)/\?\$rid=(.*?)$")


class TestDpsRequests:
    def test_register(self) -> None:
        topic = "$dps/registrations/PUT/iotdps-register/?$rid=3f1c"
        assert topics.parse_dps_request(topic) == Register("3f1c")

    def test_a_status_query_of_python(self) -> None:
        topic = "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=9c2e-1&operationId=4.aa%2Ebb%3A1"
        assert topics.parse_dps_request(topic) == StatusQuery("9c2e-1", "4.aa.bb:1")

    def test_parameters_in_any_order_with_unknown_ones(self) -> None:
        topic = "$dps/registrations/GET/iotdps-get-operationstatus/?x=1&operationId=4.a.b&%24rid=7&y"
        assert topics.parse_dps_request(topic) == StatusQuery("7", "4.a.b")

    @pytest.mark.parametrize(
        "topic",
        [
            "",
            "devices/dev/messages/events/",
            "$dps/registrations/PUT/iotdps-register",
            "$dps/registrations/PUT/iotdps-register/?",
            "$dps/registrations/PUT/iotdps-register/?rid=1",
            "$dps/registrations/put/iotdps-register/?$rid=1",
            "$dps/registrations/GET/iotdps-register/?$rid=1",
            "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=1",
            "$dps/registrations/GET/iotdps-get-operationstatus/?operationId=1",
            "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=1&operationId=%FF",
            "$dps/registrations/PUT/iotdps-register/?$rid=" + "r" * 257,
            "$dps/registrations/res/200/?$rid=1",
        ],
    )
    def test_any_other_topic_is_a_breach(self, topic: str) -> None:
        with pytest.raises(ProtocolViolation):
            topics.parse_dps_request(topic)

    @given(rids, text)
    def test_parse_undoes_format(self, rid: str, operation_id: str) -> None:
        for request in (Register(rid), StatusQuery(rid, operation_id)):
            assert topics.parse_dps_request(topics.format_dps_request(request)) == request

    @given(text)
    def test_any_text_is_read_or_refused(self, rest: str) -> None:
        for topic in (rest, "$dps/registrations/PUT/iotdps-register/?" + rest):
            try:
                topics.parse_dps_request(topic)
            except ProtocolViolation:
                continue


class TestDpsResponses:
    def test_the_form_that_the_sdks_read(self) -> None:
        assert topics.format_dps_response(Response(200, "1")) == "$dps/registrations/res/200/?$rid=1"
        assert (
            topics.format_dps_response(Response(202, "1", 3))
            == "$dps/registrations/res/202/?$rid=1&retry-after=3"
        )

    @given(st.integers(100, 599), rids, st.none() | st.integers(0, 10**9 - 1))
    def test_parse_undoes_format(self, status: int, rid: str, retry_after_s: int | None) -> None:
        response = Response(status, rid, retry_after_s)
        assert topics.parse_dps_response(topics.format_dps_response(response)) == response

    @given(text.filter(lambda rid: "&" not in rid))
    def test_no_request_id_breaks_the_answer(self, rid: str) -> None:
        """Python cuts the topic at `$`, C# takes all behind `$rid=`, and MQTT forbids wildcards and U+0000."""
        request = topics.parse_dps_request(f"$dps/registrations/PUT/iotdps-register/?$rid={rid}")
        topic = topics.format_dps_response(Response(401, request.rid))
        assert topic.count("$") == 2
        assert not set("+#\0") & set(topic)
        found = C_SHARP.match(topic)
        assert found is not None
        assert found.groups() == ("401", request.rid)

    @pytest.mark.parametrize("rid", ["3f1c", "42", "a%20b", "a b", "é"])
    def test_an_ordinary_request_id_comes_back_as_it_was_written(self, rid: str) -> None:
        request = topics.parse_dps_request(f"$dps/registrations/PUT/iotdps-register/?$rid={rid}")
        assert topics.format_dps_response(Response(200, request.rid)).endswith(f"?$rid={rid}")

    @pytest.mark.parametrize(
        "topic", ["", "$dps/registrations/res/20/?$rid=1", "$dps/registrations/res/200/$rid=1"]
    )
    def test_any_other_topic_is_a_breach(self, topic: str) -> None:
        with pytest.raises(ProtocolViolation):
            topics.parse_dps_response(topic)


class TestAgainstThePythonSDK:
    """azure-iot-device's own topic functions, from the other side."""

    def test_it_reads_our_responses(self) -> None:
        sdk = pytest.importorskip("azure.iot.device.provisioning.pipeline.mqtt_topic_provisioning")
        topic = topics.format_dps_response(Response(202, "b4a0d1f2-0a4f", 3))
        assert sdk.is_dps_response_topic(topic)
        assert sdk.extract_status_code_from_dps_response_topic(topic) == "202"
        assert sdk.extract_properties_from_dps_response_topic(topic) == {
            "rid": "b4a0d1f2-0a4f",
            "retry-after": "3",
        }

    @given(some_text, some_text)
    def test_we_read_its_requests_and_it_our_answers(self, rid: str, operation_id: str) -> None:
        sdk = pytest.importorskip("azure.iot.device.provisioning.pipeline.mqtt_topic_provisioning")
        query = topics.parse_dps_request(sdk.get_query_topic_for_publish(rid, operation_id))
        assert isinstance(query, StatusQuery)
        assert query.operation_id == operation_id
        register = topics.parse_dps_request(sdk.get_register_topic_for_publish(rid))
        assert register == Register(query.rid)
        answer = topics.format_dps_response(Response(200, query.rid))
        assert sdk.extract_properties_from_dps_response_topic(answer) == {"rid": rid}


class TestTelemetry:
    @pytest.mark.parametrize("topic", ["devices/d%1/messages/events", "devices/d%1/messages/events/"])
    def test_without_a_bag(self, topic: str) -> None:
        assert topics.parse_telemetry(topic) == TelemetryTopic("d%1")

    def test_a_bag_of_python_with_a_raw_slash(self) -> None:
        topic = "devices/dev/messages/events/%24.mid=m1&%24.ct=application/json&%24.ce=utf-8&a=b/c%20d"
        assert topics.parse_telemetry(topic) == TelemetryTopic(
            "dev",
            None,
            {"a": "b/c d"},
            {"message-id": "m1", "content-type": "application/json", "content-encoding": "utf-8"},
        )

    def test_a_value_longer_than_what_devices_repeat(self) -> None:
        found = topics.parse_telemetry(f"devices/dev/messages/events/a={'%C3%A9' * 40}")
        assert found.properties == {"a": "é" * 40}

    def test_system_keys_that_are_not_encoded(self) -> None:
        found = topics.parse_telemetry("devices/dev/messages/events/$.cid=c&$.uid=u&$.exp=e&$.ctime=t&$.to=x")
        assert found.system == {
            "correlation-id": "c",
            "user-id": "u",
            "absolute-expiry-time": "e",
            "creation-time-utc": "t",
            "to": "x",
        }
        assert found.properties == {}

    def test_no_value_an_empty_value_and_a_plus(self) -> None:
        found = topics.parse_telemetry("devices/dev/messages/events/none&empty=&plus=a+b&eq=a=b&&")
        assert found.properties == {"none": None, "empty": "", "plus": "a+b", "eq": "a=b"}

    def test_an_unknown_system_key_is_a_property(self) -> None:
        found = topics.parse_telemetry("devices/dev/messages/events/%24.cdid=other")
        assert found == TelemetryTopic("dev", None, {"$.cdid": "other"})

    def test_a_module_of_node(self) -> None:
        found = topics.parse_telemetry("devices/dev/modules/mod/messages/events/%24.on=out&a=b/")
        assert found == TelemetryTopic("dev", "mod", {"a": "b"}, {"iothub-outputname": "out"})

    @pytest.mark.parametrize(
        "topic",
        [
            "devices//messages/events/",
            "devices/dev/messages/eventsx",
            "devices/dev/messages",
            "devices/dev/modules//messages/events/",
            "/devices/dev/messages/events/",
            "devices/dev/messages/events/a=%FF",
            "devices/dev/messages/events/%FF=a",
            "$iothub/twin/GET/?$rid=1",
        ],
    )
    def test_any_other_topic_is_a_breach(self, topic: str) -> None:
        with pytest.raises(ProtocolViolation):
            topics.parse_telemetry(topic)

    @given(
        segments,
        st.none() | segments,
        st.dictionaries(
            some_text.filter(lambda key: key not in topics.SYSTEM_KEYS), st.none() | text, max_size=5
        ),
        st.dictionaries(st.sampled_from(sorted(topics.SYSTEM_KEYS.values())), text, max_size=5),
    )
    def test_parse_undoes_format(
        self,
        device_id: str,
        module_id: str | None,
        properties: dict[str, str | None],
        system: dict[str, str],
    ) -> None:
        telemetry = TelemetryTopic(device_id, module_id, properties, system)
        topic = topics.format_telemetry(telemetry)
        assert topics.parse_telemetry(topic) == telemetry
        assert "$" not in topic.split("/messages/events/")[-1]

    @given(text)
    def test_any_text_is_read_or_refused(self, rest: str) -> None:
        for topic in (rest, "devices/dev/messages/events/" + rest):
            try:
                topics.parse_telemetry(topic)
            except ProtocolViolation:
                continue


class TestDpsUserNames:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            (
                "0neAB/registrations/dev/api-version=2019-03-31&ClientVersion=azure-iot-device-provisioning-py%2F2.14.0%28x%29",
                DpsUserName("0neAB", "dev", "2019-03-31", "azure-iot-device-provisioning-py%2F2.14.0%28x%29"),
            ),
            (
                "0neAB/registrations/dev/?ClientVersion=1.15.0&API-Version=2021-06-01",
                DpsUserName("0neAB", "dev", "2021-06-01", "1.15.0"),
            ),
            ("0neAB/registrations/dev/", DpsUserName("0neAB", "dev")),
            ("0neAB/registrations/dev", DpsUserName("0neAB", "dev")),
        ],
    )
    def test_the_forms_of_the_sdks(self, text: str, name: DpsUserName) -> None:
        assert topics.names_dps(text)
        assert topics.parse_dps_user_name(text) == name

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "0neAB",
            "0neAB/registrations",
            "0neAB/registrations/",
            "0neAB/registrations//x",
            "hub.example/dev/?api-version=1",
        ],
    )
    def test_what_leads_elsewhere(self, text: str) -> None:
        assert not topics.names_dps(text)
        assert topics.parse_dps_user_name(text) is None

    def test_an_empty_scope_is_none(self) -> None:
        assert topics.parse_dps_user_name("/registrations/dev/") is None

    @given(segments, segments, st.none() | text, st.none() | text.filter(lambda agent: "&" not in agent))
    def test_parse_undoes_format(self, scope: str, rid: str, version: str | None, client: str | None) -> None:
        name = DpsUserName(scope, rid, version, client)
        assert topics.parse_dps_user_name(topics.format_dps_user_name(name)) == name


class TestHubUserNames:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            (
                "hub.example/dev/?api-version=2019-10-01&DeviceClientType=azure-iot-device-iothub-py%2F2.14.0",
                HubUserName(
                    "hub.example",
                    "dev",
                    None,
                    {"api-version": "2019-10-01", "deviceclienttype": "azure-iot-device-iothub-py/2.14.0"},
                ),
            ),
            (
                "hub.example/dev/mod/?api-version=2021-04-12&model-id=dtmi:com:example;1",
                HubUserName(
                    "hub.example",
                    "dev",
                    "mod",
                    {"api-version": "2021-04-12", "model-id": "dtmi:com:example;1"},
                ),
            ),
            ("hub.example/dev/", HubUserName("hub.example", "dev")),
            ("hub.example/dev", HubUserName("hub.example", "dev")),
            ("hub.example/d?v/?", HubUserName("hub.example", "d?v")),
        ],
    )
    def test_the_forms_of_the_sdks(self, text: str, name: HubUserName) -> None:
        assert not topics.names_dps(text)
        assert topics.parse_hub_user_name(text) == name
        assert name.api_version == name.parameters.get("api-version")

    @pytest.mark.parametrize(
        "text", ["", "hub.example", "hub.example/", "/dev", "a/b/c/d", "a//c", "hub.example/?api-version=1"]
    )
    def test_what_is_none(self, text: str) -> None:
        assert topics.parse_hub_user_name(text) is None

    @given(
        ids,
        ids,
        st.none() | ids,
        st.dictionaries(text.filter(lambda name: name == name.lower()), text, max_size=4),
    )
    def test_parse_undoes_format(
        self, host: str, device_id: str, module_id: str | None, parameters: dict[str, str]
    ) -> None:
        name = HubUserName(host, device_id, module_id, parameters)
        assert topics.parse_hub_user_name(topics.format_hub_user_name(name)) == name


class TestCredentials:
    """Renewal over a hub."""

    @given(rid=st.text("abcXYZ0123456789-", min_size=1, max_size=36), status=st.integers(100, 999))
    def test_requests_and_responses_read_back(self, rid: str, status: int) -> None:
        assert topics.parse_credential_request(topics.format_credential_request(rid)) == rid
        response = topics.Response(status, rid)
        assert topics.parse_credential_response(topics.format_credential_response(response)) == response

    def test_nothing_follows_the_rid(self) -> None:
        topic = topics.format_credential_response(topics.Response(202, "1234"))
        assert topic == "$iothub/credentials/res/202/?$rid=1234"

    @pytest.mark.parametrize(
        "topic",
        [
            "$iothub/credentials/POST/issueCertificate/",
            "$iothub/credentials/POST/issueCertificate/?",
            "$iothub/credentials/POST/issueCertificate/?rid=1",
            "$iothub/credentials/POST/issueCertificate?$rid=1",
            "$iothub/credentials/GET/issueCertificate/?$rid=1",
            "$iothub/credentials/POST/revoke/?$rid=1",
            "$iothub/credentials/POST/issueCertificate/?$rid=" + "a" * 257,
        ],
    )
    def test_what_asks_for_nothing(self, topic: str) -> None:
        with pytest.raises(ProtocolViolation):
            topics.parse_credential_request(topic)

    def test_what_answers_nothing(self) -> None:
        with pytest.raises(ProtocolViolation):
            topics.parse_credential_response("$iothub/twin/res/200/?$rid=1")


class TestTwins:
    """Twins over a hub."""

    @given(
        rid=st.text("abcXYZ0123456789-", min_size=1, max_size=36),
        status=st.integers(100, 999),
        version=st.none() | st.integers(0, 1 << 50),
    )
    def test_requests_and_responses_read_back(self, rid: str, status: int, version: int | None) -> None:
        for request in (topics.GetTwin(rid), topics.ReportProperties(rid, version)):
            assert topics.parse_twin_request(topics.format_twin_request(request)) == request
        response = topics.TwinResponse(status, rid, version)
        assert topics.parse_twin_response(topics.format_twin_response(response)) == response

    def test_as_azures_clients_write_and_read_them(self) -> None:
        assert topics.parse_twin_request("$iothub/twin/GET/?$rid=a-1") == topics.GetTwin("a-1")
        reported = "$iothub/twin/PATCH/properties/reported/?$version=4&$rid=7"
        assert topics.parse_twin_request(reported) == topics.ReportProperties("7", 4)
        response = topics.TwinResponse(204, "7", 5)
        assert topics.format_twin_response(response) == "$iothub/twin/res/204/?$rid=7&$version=5"
        assert topics.format_desired_change(3) == "$iothub/twin/PATCH/properties/desired/?$version=3"
        assert topics.parse_desired_change("$iothub/twin/PATCH/properties/desired/?$version=3") == 3

    @pytest.mark.parametrize(
        "topic",
        [
            "$iothub/twin/GET/",
            "$iothub/twin/GET/?",
            "$iothub/twin/GET/?rid=1",
            "$iothub/twin/PUT/?$rid=1",
            "$iothub/twin/PATCH/properties/desired/?$rid=1",
            "$iothub/twin/PATCH/properties/reported/?$version=1",
            "$iothub/twin/PATCH/properties/reported/?$rid=1&$version=-1",
            "$iothub/twin/PATCH/properties/reported/?$rid=1&$version=" + "9" * 19,
        ],
    )
    def test_what_asks_for_nothing(self, topic: str) -> None:
        with pytest.raises(ProtocolViolation):
            topics.parse_twin_request(topic)

    def test_what_answers_nothing(self) -> None:
        for topic in ("$iothub/twin/res/20/?$rid=1", "$iothub/twin/res/200/?$version=1"):
            with pytest.raises(ProtocolViolation):
                topics.parse_twin_response(topic)
        for topic in ("$iothub/twin/PATCH/properties/desired/", topics.format_desired_change(1) + "x"):
            with pytest.raises(ProtocolViolation):
                topics.parse_desired_change(topic)
