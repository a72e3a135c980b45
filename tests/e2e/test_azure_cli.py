"""The requests of `az iot dps enrollment`, `enrollment-group` and `registration`, as the azure-iot extension makes them.

The extension is in no package index, so its commands are replayed by what its sources send (azext_iot/operations/dps.py,
generic.py; their clients are made by msrest): the query `SELECT *` without FROM, `If-Match: *` on updates and deletes, an
update that sends back all that it read, keys included.
"""

from __future__ import annotations

from itertools import count
from typing import Any

import httpx
import pytest

from accredit.domain.access import Realm
from accredit.wire import sas
from support.device_key import derived_key
from support.enrolling import symmetric_group
from support.outside_ca import OutsideCA
from support.raw_device import DpsDevice
from support.running_service import RunningService

_numbers = count(1)


class AzureCLI:
    """One method for each command, by its name."""

    def __init__(self, service: RunningService, group: bool = False) -> None:
        self._service = service
        self._base = "/enrollmentGroups" if group else "/enrollments"
        self._noun = "enrollmentGroupId" if group else "registrationId"

    def create(self, name: str, attestation: dict[str, Any], **members: Any) -> Any:
        document = {
            self._noun: name,
            "attestation": attestation,
            "capabilities": {"iotEdge": False},
            "initialTwin": {"tags": {}, "properties": {"desired": {}}},
            "reprovisionPolicy": {"updateHubAssignment": True, "migrateDeviceData": True},
            **members,
        }
        return self._json("PUT", f"{self._base}/{name}", document)

    def show(self, name: str, *, show_keys: bool = False) -> Any:
        document = self._json("GET", f"{self._base}/{name}")
        if show_keys:
            document["attestation"] = self._json("POST", f"{self._base}/{name}/attestationmechanism")
        return document

    def update(self, name: str, etag: str = "*", **members: Any) -> Any:
        document = self.show(name, show_keys=True)
        return self._json("PUT", f"{self._base}/{name}", {**document, **members}, **{"If-Match": etag})

    def delete(self, name: str, etag: str = "*") -> int:
        return self.send("DELETE", f"{self._base}/{name}", **{"If-Match": etag}).status_code

    def list(self, path: str = "", body: Any = None, top: int | None = None) -> list[Any]:
        headers = {"Cache-Control": "no-cache, must-revalidate"} | (
            {"x-ms-max-item-count": str(top)} if top else {}
        )
        rows: list[Any] = []
        while True:
            answer = self.send("POST", path or f"{self._base}/query", body, **headers)
            assert answer.status_code == 200, answer.text
            rows += answer.json()
            token = answer.headers.get("x-ms-continuation")
            if not token or (top and len(rows) >= top):
                return rows[:top] if top else rows
            headers["x-ms-continuation"] = token

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        policy = self._service.state.owner(Realm.PROVISIONING)
        token = sas.make(self._service.host, policy.primary.reveal(), 2_000_000_000, policy.name)
        kind = {"Content-Type": "application/json; charset=utf-8"} if body is not None else {}
        with self._service.https() as client:
            return client.request(
                method, path, params={"api-version": "2021-10-01"}, json=body,
                headers={"Accept": "application/json", **kind, **headers, "Authorization": token},
            )  # fmt: skip

    def _json(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = self.send(method, path, body, **headers)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def thing() -> str:
    return f"az-{next(_numbers)}"


@pytest.mark.parametrize("group", [False, True])
def test_an_enrollment_by_symmetric_keys(service: RunningService, thing: str, group: bool) -> None:
    cli = AzureCLI(service, group)
    twin = {"tags": {"site": "Berlin"}, "properties": {"desired": {"interval": 5}}}
    made = cli.create(thing, {"type": "symmetricKey", "symmetricKey": {}}, initialTwin=twin)
    keys = made["attestation"]["symmetricKey"]
    assert made["allocationPolicy"] == "hashed"
    assert made["provisioningStatus"] == "enabled"
    assert made["reprovisionPolicy"] == {"updateHubAssignment": True, "migrateDeviceData": True}
    assert made["initialTwin"] == twin
    assert "symmetricKey" not in cli.show(thing)["attestation"]
    assert cli.show(thing, show_keys=True)["attestation"]["symmetricKey"] == keys
    never = {"updateHubAssignment": False, "migrateDeviceData": False}
    changed = cli.update(
        thing, provisioningStatus="disabled", capabilities={"iotEdge": True}, reprovisionPolicy=never
    )
    assert (changed["provisioningStatus"], changed["capabilities"]) == ("disabled", {"iotEdge": True})
    assert changed["reprovisionPolicy"] == never
    assert changed["attestation"]["symmetricKey"] == keys
    fresh = {**keys, "primaryKey": keys["secondaryKey"]}
    swapped = cli.update(thing, attestation={"type": "symmetricKey", "symmetricKey": fresh})
    assert swapped["attestation"]["symmetricKey"] == fresh
    assert cli.update(thing, etag=swapped["etag"])["etag"] != swapped["etag"]
    assert cli.delete(thing, swapped["etag"]) == 412
    assert cli.delete(thing) == 204
    assert cli.delete(thing) == 404


def test_where_a_device_goes(service: RunningService, thing: str) -> None:
    cli = AzureCLI(service)
    made = cli.create(
        thing,
        {"type": "symmetricKey", "symmetricKey": {}},
        allocationPolicy="static",
        iotHubs=[service.host],
        deviceId=f"{thing}-at-hub",
        optionalDeviceInformation={"model": "x"},
    )
    assert (made["allocationPolicy"], made["iotHubs"]) == ("static", [service.host])
    assert made["deviceId"] == f"{thing}-at-hub"
    assert made["optionalDeviceInformation"] == {"model": "x"}
    assert cli.update(thing, allocationPolicy="hashed")["iotHubs"] == [service.host]


@pytest.mark.parametrize("group", [False, True])
def test_an_enrollment_by_certificates(service: RunningService, thing: str, group: bool) -> None:
    cli = AzureCLI(service, group)
    member = "signingCertificates" if group else "clientCertificates"
    pems = [_pem(OutsideCA.root(f"{thing} {n}")) for n in range(2)]
    pair = {"primary": {"certificate": pems[0]}, "secondary": {"certificate": pems[1]}}
    made = cli.create(thing, {"type": "x509", "x509": {member: pair}})
    shown = made["attestation"]["x509"][member]
    assert {len(shown[which]["info"]) for which in ("primary", "secondary")} == {8}
    assert "BEGIN" not in str(made)
    read = cli.show(thing)["attestation"]
    assert cli.update(thing, attestation=read)["attestation"] == read
    # --remove-secondary-certificate, then --remove-certificate of two.
    kept = {"type": "x509", "x509": {member: {"primary": shown["primary"], "secondary": None}}}
    assert "secondary" not in cli.update(thing, attestation=kept)["attestation"]["x509"][member]
    both = {"type": "x509", "x509": {member: pair}}
    cli.update(thing, attestation=both)
    second = {"type": "x509", "x509": {member: {"primary": None, "secondary": shown["secondary"]}}}
    left = cli.update(thing, attestation=second)["attestation"]["x509"][member]
    assert [each["info"] for each in left.values()] == [shown["secondary"]["info"]]


def _pem(ca: OutsideCA) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return ca.certificate.public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize("group", [False, True])
def test_lists_without_from(service: RunningService, thing: str, group: bool) -> None:
    cli = AzureCLI(service, group)
    for number in range(3):
        cli.create(f"{thing}-{number}", {"type": "symmetricKey", "symmetricKey": {}})
    noun = "enrollmentGroupId" if group else "registrationId"
    names = {row[noun] for row in cli.list(body={"query": "SELECT *"})}
    assert {f"{thing}-{number}" for number in range(3)} <= names
    assert len(cli.list(body={"query": "SELECT *"}, top=2)) == 2


def test_registrations(service: RunningService, thing: str) -> None:
    cli = AzureCLI(service)
    master = symmetric_group(service, thing)
    for number in range(3):
        device = f"{thing}-{number}"
        with DpsDevice(service, device, key=derived_key(master, device)) as connection:
            connection.registers()
    rows = cli.list(f"/registrations/{thing}/query")
    assert {row["registrationId"] for row in rows} == {f"{thing}-{number}" for number in range(3)}
    assert len(cli.list(f"/registrations/{thing}/query", top=2)) == 2
    etag = cli.send("GET", f"/registrations/{thing}-0").json()["etag"]
    assert cli.send("DELETE", f"/registrations/{thing}-0", **{"If-Match": etag}).status_code == 204
    assert cli.send("DELETE", f"/registrations/{thing}-1", **{"If-Match": "*"}).status_code == 204
    assert len(cli.list(f"/registrations/{thing}/query")) == 1
