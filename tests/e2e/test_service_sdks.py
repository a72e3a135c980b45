"""Azure's service SDKs, unmodified: create, read, update with an etag conflict, query in pages, bulk, delete.

Python `azure-iothub-provisioningserviceclient` and `azure-iot-deviceprovisioning`, Node `azure-iot-provisioning-service`.
"""

from __future__ import annotations

import warnings
from base64 import b64encode
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from accredit.domain.access import Realm
from accredit.wire.tpm import text_of
from support.device_key import derived_key
from support.enrolling import symmetric_group
from support.node_client import NodeClient, NodeError
from support.oidc_issuer import OIDCIssuer
from support.raw_device import DpsDevice
from support.running_service import RunningService, needs_port_443
from support.tpm_device import TpmDevice

_numbers = count(1)


@pytest.fixture
def trusted(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> str:
    """The connection string; `requests`, which both Python clients use, trusts the service's root."""
    needs_port_443(service)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(service.trust_root))
    return _connection_string(service)


def _connection_string(service: RunningService) -> str:
    policy = service.state.owner(Realm.PROVISIONING)
    key = b64encode(policy.primary.reveal()).decode()
    return f"HostName={service.host};SharedAccessKeyName={policy.name};SharedAccessKey={key}"


@pytest.fixture
def prefix() -> str:
    return f"sdk-{next(_numbers)}"


@pytest.fixture
def fleet(service: RunningService, prefix: str) -> str:
    """A group with three registered devices."""
    group = f"{prefix}-fleet"
    master = symmetric_group(service, group)
    for number in range(3):
        device = f"{prefix}-device-{number}"
        with DpsDevice(service, device, key=derived_key(master, device)) as connection:
            assert connection.registers().state["status"] == "assigned"
    return group


@pytest.fixture(scope="module")
def node(service: RunningService) -> Iterator[NodeClient]:
    with NodeClient("service", service) as client:
        yield client


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestPythonServiceClient:
    """1.2.0, api-version 2018-09-01-preview (msrest)."""

    def _client(self, connection_string: str) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from provisioningserviceclient import ProvisioningServiceClient
        return ProvisioningServiceClient.create_from_connection_string(connection_string)

    def test_an_individual_enrollments_life(self, trusted: str, prefix: str) -> None:
        client = self._client(trusted)
        from provisioningserviceclient import ProvisioningServiceError
        from provisioningserviceclient.models import (
            AttestationMechanism,
            DeviceCapabilities,
            IndividualEnrollment,
            InitialTwin,
        )

        model = IndividualEnrollment.create(
            registration_id=prefix,
            attestation=AttestationMechanism(type="symmetricKey"),
            device_id=f"{prefix}-at-hub",
            device_capabilities=DeviceCapabilities.create(iot_edge=True),
            initial_twin=InitialTwin.create(tags={"site": "Berlin"}, desired_properties={"interval": 5}),
        )
        made = client.create_or_update(model)
        assert (made.registration_id, made.device_id) == (prefix, f"{prefix}-at-hub")
        assert made.attestation.symmetric_key.primary_key
        assert made.provisioning_status == "enabled"
        assert made.capabilities.iot_edge is True
        assert made.initial_twin.tags == {"site": "Berlin"}
        assert made.reprovision_policy.update_hub_assignment is True

        with pytest.raises(ProvisioningServiceError, match="409"):
            client.create_or_update(model)
        read = client.get_individual_enrollment(prefix)
        assert read.attestation.symmetric_key is None
        read.provisioning_status = "disabled"
        replaced = client.create_or_update(read)
        assert replaced.provisioning_status == "disabled"
        assert replaced.attestation.symmetric_key.primary_key == made.attestation.symmetric_key.primary_key
        read.provisioning_status = "enabled"
        with pytest.raises(ProvisioningServiceError, match="412"):
            client.create_or_update(read)
        mechanism = client.get_individual_enrollment_attestation_mechanism(prefix)
        assert mechanism.symmetric_key.primary_key == made.attestation.symmetric_key.primary_key
        with pytest.raises(ProvisioningServiceError, match="412"):
            client.delete(read)
        client.delete(replaced)
        with pytest.raises(ProvisioningServiceError, match="404"):
            client.get_individual_enrollment(prefix)

    def test_a_tpm(self, trusted: str, prefix: str) -> None:
        client = self._client(trusted)
        from provisioningserviceclient.models import AttestationMechanism, IndividualEnrollment

        keys = (text_of(TpmDevice().endorsement), text_of(TpmDevice().storage_root))
        model = IndividualEnrollment.create(
            registration_id=prefix, attestation=AttestationMechanism.create_with_tpm(*keys)
        )
        client.create_or_update(model)
        read = client.get_individual_enrollment(prefix)
        assert (read.attestation.tpm.endorsement_key, read.attestation.tpm.storage_root_key) == keys
        read.provisioning_status = "disabled"
        assert client.create_or_update(read).attestation.tpm.endorsement_key == keys[0]
        mechanism = client.get_individual_enrollment_attestation_mechanism(prefix)
        assert (mechanism.type, mechanism.tpm.endorsement_key) == ("tpm", keys[0])

    def test_a_groups_life(self, trusted: str, prefix: str) -> None:
        client = self._client(trusted)
        from provisioningserviceclient import ProvisioningServiceError
        from provisioningserviceclient.models import AttestationMechanism, EnrollmentGroup

        model = EnrollmentGroup.create(
            enrollment_group_id=prefix, attestation=AttestationMechanism(type="symmetricKey")
        )
        made = client.create_or_update(model)
        read = client.get_enrollment_group(prefix)
        read.provisioning_status = "disabled"
        assert client.create_or_update(read).etag != made.etag
        with pytest.raises(ProvisioningServiceError, match="412"):
            client.create_or_update(read)
        assert client.get_enrollment_group_attestation_mechanism(prefix).symmetric_key.primary_key
        client.delete_enrollment_group_by_param(prefix)
        with pytest.raises(ProvisioningServiceError, match="404"):
            client.get_enrollment_group(prefix)

    def test_queries_in_pages_and_bulk(self, trusted: str, prefix: str) -> None:
        client = self._client(trusted)
        from provisioningserviceclient import BULKOP_CREATE, BULKOP_DELETE, BULKOP_UPDATE
        from provisioningserviceclient.models import (
            AttestationMechanism,
            BulkEnrollmentOperation,
            IndividualEnrollment,
            QuerySpecification,
        )

        models = [
            IndividualEnrollment.create(
                registration_id=f"{prefix}-{number}", attestation=AttestationMechanism(type="symmetricKey")
            )
            for number in range(7)
        ]

        def bulk(mode: str) -> Any:
            return client.run_bulk_operation(BulkEnrollmentOperation(enrollments=models, mode=mode))

        assert bulk(BULKOP_CREATE).is_successful
        again = bulk(BULKOP_CREATE)
        assert not again.is_successful
        assert [error.registration_id for error in again.errors] == [
            model.registration_id for model in models
        ]
        assert {error.error_code for error in again.errors} == {409001}
        for model in models[:3]:
            model.provisioning_status = "disabled"
        assert bulk(BULKOP_UPDATE).is_successful
        where = f"STARTSWITH(registrationId, '{prefix}-') AND provisioningStatus = 'enabled'"
        query = client.create_individual_enrollment_query(
            QuerySpecification(query=f"SELECT * FROM enrollments WHERE {where}"), page_size=3
        )
        pages = list(query)
        assert [len(page) for page in pages] == [3, 1]
        assert [row.registration_id for page in pages for row in page] == [
            f"{prefix}-{n}" for n in range(3, 7)
        ]
        assert bulk(BULKOP_DELETE).is_successful

    def test_registrations(self, trusted: str, prefix: str, fleet: str) -> None:
        client = self._client(trusted)
        from provisioningserviceclient import ProvisioningServiceError

        # Its Query object can't be used for them (it hands the protocol part more arguments than that takes).
        protocol = client._runtime_client
        first = protocol.query_device_registration_states(
            fleet, custom_headers={"x-ms-max-item-count": "2"}, raw=True
        )
        token = first.response.headers["x-ms-continuation"]
        rest = protocol.query_device_registration_states(
            fleet, custom_headers={"x-ms-max-item-count": "2", "x-ms-continuation": token}, raw=True
        )
        assert [len(page.output) for page in (first, rest)] == [2, 1]
        assert {row.status for page in (first, rest) for row in page.output} == {"assigned"}
        assert "x-ms-continuation" not in rest.response.headers
        one = client.get_registration_state(f"{prefix}-device-0")
        assert (one.registration_id, one.substatus) == (f"{prefix}-device-0", "initialAssignment")
        client.delete_registration_state_by_param(one.registration_id, one.etag)
        with pytest.raises(ProvisioningServiceError, match="404"):
            client.get_registration_state(one.registration_id)


class TestPythonDeviceProvisioning:
    """1.0.0b1, api-version 2021-10-01 (azure-core)."""

    def _client(self, connection_string: str) -> Any:
        from azure.iot.deviceprovisioning import DeviceProvisioningClient

        return DeviceProvisioningClient.from_connection_string(connection_string)

    @pytest.mark.parametrize("kind", ["enrollment", "enrollment_group"])
    def test_a_life(self, trusted: str, prefix: str, kind: str) -> None:
        from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

        noun = "registrationId" if kind == "enrollment" else "enrollmentGroupId"
        with self._client(trusted) as client:
            calls = getattr(client, kind)
            document = {noun: prefix, "attestation": {"type": "symmetricKey"}}
            made = (
                calls.create_or_update(id=prefix, enrollment=document)
                if kind == "enrollment"
                else (calls.create_or_update(id=prefix, enrollment_group=document))
            )
            assert made["attestation"]["symmetricKey"]["primaryKey"]
            with pytest.raises((ResourceExistsError, HttpResponseError)) as conflict:
                self._put(calls, kind, prefix, document)
            assert conflict.value.status_code == 409
            read = calls.get(id=prefix)
            assert read["attestation"] == {"type": "symmetricKey"}
            held = {"headers": {"If-Match": read["etag"]}}
            replaced = self._put(calls, kind, prefix, {**read, "provisioningStatus": "disabled"}, **held)
            assert replaced["provisioningStatus"] == "disabled"
            with pytest.raises(HttpResponseError) as stale:
                self._put(calls, kind, prefix, read, **held)
            assert stale.value.status_code == 412
            assert calls.get_attestation_mechanism(id=prefix) == made["attestation"]
            calls.delete(id=prefix)
            with pytest.raises(ResourceNotFoundError):
                calls.get(id=prefix)

    def _put(self, calls: Any, kind: str, name: str, document: Any, **held: Any) -> Any:
        return calls.create_or_update(name, document, **held)

    @pytest.mark.parametrize("kind", ["enrollment", "enrollment_group"])
    def test_bulk_and_queries_in_pages(self, trusted: str, prefix: str, kind: str) -> None:
        individual = kind == "enrollment"
        noun = "registrationId" if individual else "enrollmentGroupId"
        member, source = (
            ("enrollments", "enrollments") if individual else ("enrollmentGroups", "enrollmentGroups")
        )
        documents = [
            {noun: f"{prefix}-{number}", "attestation": {"type": "symmetricKey"}} for number in range(5)
        ]
        with self._client(trusted) as client:
            calls = getattr(client, kind)
            for mode, successful in (("create", True), ("create", False), ("update", True)):
                result = calls.run_bulk_operation({"mode": mode, member: documents})
                assert result["isSuccessful"] is successful
            query = {"query": f"SELECT * FROM {source} WHERE STARTSWITH({noun}, '{prefix}-')"}
            found = calls.query(query_specification=query, top=2)
            pages = [list(page) for page in found.by_page()]
            assert [len(page) for page in pages] == [2, 2, 1]
            assert [row[noun] for page in pages for row in page] == [each[noun] for each in documents]
            assert calls.run_bulk_operation({"mode": "delete", member: documents})["isSuccessful"]
            assert list(calls.query(query_specification=query)) == []

    def test_registrations(self, trusted: str, prefix: str, fleet: str) -> None:
        from azure.core.exceptions import ResourceNotFoundError

        with self._client(trusted) as client:
            calls = client.device_registration_state
            pages = [list(page) for page in calls.query(id=fleet, top=2).by_page()]
            assert [len(page) for page in pages] == [2, 1]
            one = calls.get(id=f"{prefix}-device-1")
            assert one["status"] == "assigned"
            calls.delete(id=one["registrationId"])
            with pytest.raises(ResourceNotFoundError):
                calls.get(id=one["registrationId"])

    def test_with_a_credential_of_an_identity_provider(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
    ) -> None:
        from azure.core.credentials import AccessToken
        from azure.iot.deviceprovisioning import DeviceProvisioningClient

        class Credential:
            """Stands for azure-identity, and asks our issuer."""

            def get_token(self, *scopes: str, **_: Any) -> AccessToken:
                assert scopes == ("https://azure-devices-provisioning.net/.default",)
                return AccessToken(issuer.token("Device Provisioning Service Data Contributor"), 2**31)

        with (
            OIDCIssuer() as issuer,
            RunningService(tmp_path, environment=issuer.settings(tmp_path)) as running,
        ):
            needs_port_443(running)
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(running.trust_root))
            with DeviceProvisioningClient(running.host, Credential()) as client:
                document = {"registrationId": prefix, "attestation": {"type": "symmetricKey"}}
                client.enrollment.create_or_update(prefix, document)
                assert client.enrollment.get(id=prefix)["registrationId"] == prefix


class TestNode:
    """azure-iot-provisioning-service, api-version 2021-10-01."""

    def _call(self, node: NodeClient, method: str, *arguments: Any) -> Any:
        return node.call(
            "call",
            connectionString=_connection_string(node.service),
            method=method,
            arguments=list(arguments),
        )

    @pytest.mark.parametrize(
        ("kind", "noun"),
        [("IndividualEnrollment", "registrationId"), ("EnrollmentGroup", "enrollmentGroupId")],
    )
    def test_a_life(self, node: NodeClient, prefix: str, kind: str, noun: str) -> None:
        document = {noun: prefix, "attestation": {"type": "symmetricKey"}}
        made = self._call(node, f"createOrUpdate{kind}", document)
        assert made["attestation"]["symmetricKey"]["primaryKey"]
        with pytest.raises(NodeError) as conflict:
            self._call(node, f"createOrUpdate{kind}", document)
        assert conflict.value.name == "DeviceAlreadyExistsError"
        read = self._call(node, f"get{kind}", prefix)
        assert read["attestation"] == {"type": "symmetricKey"}
        replaced = self._call(node, f"createOrUpdate{kind}", {**read, "provisioningStatus": "disabled"})
        assert replaced["provisioningStatus"] == "disabled"
        with pytest.raises(NodeError) as stale:
            self._call(node, f"createOrUpdate{kind}", read)
        assert stale.value.name == "InvalidEtagError"
        method = f"get{kind}AttestationMechanism"
        assert self._call(node, method, prefix) == made["attestation"]
        self._delete(node, kind, prefix)
        with pytest.raises(NodeError):
            self._call(node, f"get{kind}", prefix)

    def _bulk(self, node: NodeClient, operation: Any) -> Any:
        return node.call(
            "callBack", connectionString=_connection_string(node.service),
            method="runBulkEnrollmentOperation", arguments=[operation],
        )  # fmt: skip

    def _delete(self, node: NodeClient, kind: str, name: str) -> None:
        node.call(
            "call",
            connectionString=_connection_string(node.service),
            method=f"delete{kind}",
            arguments=[name],
        )

    def test_bulk_and_queries_in_pages(self, node: NodeClient, prefix: str) -> None:
        documents = [
            {"registrationId": f"{prefix}-{number}", "attestation": {"type": "symmetricKey"}}
            for number in range(5)
        ]
        for mode, successful in (("create", True), ("create", False), ("update", True)):
            result = self._bulk(node, {"mode": mode, "enrollments": documents})
            assert result["isSuccessful"] is successful
        query = {"query": f"SELECT * FROM enrollments WHERE STARTSWITH(registrationId, '{prefix}-')"}
        pages = node.call(
            "query", connectionString=_connection_string(node.service),
            method="createIndividualEnrollmentQuery", arguments=[query, 2],
        )  # fmt: skip
        assert [len(page) for page in pages] == [2, 2, 1]
        held = [{**row, "provisioningStatus": "disabled"} for page in pages for row in page]
        by_etag = {"mode": "updateIfMatchEtag", "enrollments": held}
        assert self._bulk(node, by_etag)["isSuccessful"]
        stale = self._bulk(node, by_etag)
        assert {error["errorCode"] for error in stale["errors"]} == {412001}
        deleted = self._bulk(node, {"mode": "delete", "enrollments": documents})
        assert deleted["isSuccessful"]

    def test_registrations(self, node: NodeClient, prefix: str, fleet: str) -> None:
        pages = node.call(
            "query", connectionString=_connection_string(node.service),
            method="createEnrollmentGroupDeviceRegistrationStateQuery",
            arguments=[{"query": "SELECT * FROM registrations"}, fleet, 2],
        )  # fmt: skip
        assert [len(page) for page in pages] == [2, 1]
        one = self._call(node, "getDeviceRegistrationState", f"{prefix}-device-2")
        assert one["status"] == "assigned"
        self._delete(node, "DeviceRegistrationState", f"{prefix}-device-2")
        with pytest.raises(NodeError):
            self._call(node, "getDeviceRegistrationState", f"{prefix}-device-2")
