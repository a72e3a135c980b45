"""The three roles of Azure's Node SDKs reach the service: what they can do is asked in the files named after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.enrolling import symmetric_individual
from support.node_client import NodeClient, NodeError
from support.running_service import RunningService


@pytest.fixture(scope="module")
def operator(service: RunningService) -> Iterator[NodeClient]:
    with NodeClient("service", service) as client:
        yield client


def test_an_operator_reads_an_enrollment(service: RunningService, operator: NodeClient, name: str) -> None:
    """Checklist 10: rest_api_client.js signs each call anew with `se` in seconds, whatever fromConnectionString made."""
    symmetric_individual(service, name)
    answer = operator.call(
        "call",
        connectionString=service.info()["provisioningServiceConnectionString"],
        method="getIndividualEnrollment",
        arguments=[name],
    )
    assert (answer["registrationId"], answer["attestation"]) == (name, {"type": "symmetricKey"})


def test_a_refusal_arrives_as_the_sdk_tells_it(service: RunningService, operator: NodeClient) -> None:
    with pytest.raises(NodeError, match="Not found") as caught:
        operator.call(
            "call",
            connectionString=service.info()["provisioningServiceConnectionString"],
            method="getIndividualEnrollment",
            arguments=["nobody"],
        )
    assert caught.value.members["statusCode"] == 404


def test_a_query_gives_its_pages(service: RunningService, operator: NodeClient, name: str) -> None:
    ids = {f"{name}-{number}" for number in range(3)}
    for registration_id in ids:
        symmetric_individual(service, registration_id)
    pages = operator.call(
        "query",
        connectionString=service.info()["provisioningServiceConnectionString"],
        method="createIndividualEnrollmentQuery",
        arguments=[{"query": "SELECT * FROM enrollments"}, 2],
    )
    assert {len(page) for page in pages[:-1]} == {2}
    assert ids <= {enrollment["registrationId"] for page in pages for enrollment in page}


def test_a_device_provisions_and_sends(service: RunningService, name: str) -> None:
    key = symmetric_individual(service, name)
    with NodeClient("device", service) as device:
        state = device.call(
            "register",
            transport="mqtt", host=service.host, idScope=service.id_scope, registrationId=name, key=key,
        )  # fmt: skip
        assert (state["status"], state["assignedHub"], state["deviceId"]) == ("assigned", service.host, name)
        assert device.call(
            "send",
            transport="mqtt", hub=state["assignedHub"], deviceId=name, key=key,
            messages=[{"body": "[7]", "contentType": "application/json", "contentEncoding": "utf-8"}],
        ) == 1  # fmt: skip
    assert [row["body"] for row in service.telemetry(name)] == [[7]]


def test_the_registry_of_the_hub_can_be_called(service: RunningService) -> None:
    with NodeClient("registry", service) as registry, pytest.raises(NodeError) as caught:
        registry.call(
            "call",
            connectionString=service.info()["iotHubConnectionString"],
            method="get",
            arguments=["nobody"],
        )
    assert caught.value.members["statusCode"] == 404
