"""Devices attested by CA certificates that were uploaded: proof of possession, intermediates, rollover, whoever comes first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from support import pki
from support.device_key import DeviceKey, authority, below
from support.enrolling import issuing, x509_group, x509_individual
from support.raw_device import Answer, DpsDevice, HubDevice
from support.running_service import RunningService


def refer(service: RunningService, group: str, *names: str, **members: Any) -> None:
    references = dict(zip(("primary", "secondary"), names, strict=False))
    attestation = {"type": "x509", "x509": {"caReferences": references}}
    document = {"enrollmentGroupId": group, "attestation": attestation, **members}
    service.put(f"/enrollmentGroups/{group}", document)


def upload(service: RunningService, name: str, entity: pki.Entity, **members: Any) -> None:
    service.put(f"/caCertificates/{name}", {"certificate": entity.pem, **members})


def registers(service: RunningService, key: DeviceKey, chain: Sequence[pki.Entity]) -> Answer:
    """By these certificates in TLS, over MQTT, with a CSR for the same key."""
    file = key.write("".join(one.pem for one in chain), "bootstrap.pem")
    with DpsDevice(service, key.registration_id, certificate=(file, key.file)) as device:
        return device.registers(clientCertificateCsr=key.csr())


def test_from_the_upload_to_the_hub(service: RunningService, key: DeviceKey, tmp_path: Path) -> None:
    name = key.registration_id
    root = authority(f"Root of {name}")
    line = below(root, f"Line of {name}")
    upload(service, name, root)
    refer(service, name, name, **issuing())
    leaf = key.issued_by(line)
    refused = registers(service, key, [leaf, line])
    assert (refused.status, refused.error_code) == (401, 401002)
    logged = service.logs("registration", trackingId=refused.document["trackingId"])
    assert logged["rule"] == "ca-not-verified"
    assert "accredit ca-certificate verify" in logged["hint"]

    client = service.client()
    code = client.call("POST", f"/caCertificates/{name}/verificationCode").json()["verificationCode"]
    shown = DeviceKey(code, tmp_path).issued_by(root)
    client.call("POST", f"/caCertificates/{name}/verify", {"certificate": shown.pem})

    answer = registers(service, key, [leaf, line])
    assert answer.state["status"] == "assigned"
    assert answer.state["x509"]["enrollmentGroupId"] == name
    certificate = key.write(answer.state["issuedClientCertificate"])
    with HubDevice(service, name, certificate=(certificate, key.file)) as device:
        device.sends()


def test_a_group_on_the_second_intermediate_with_the_root_verified(
    service: RunningService, key: DeviceKey
) -> None:
    """Azure: the device must present leaf, intermediate 2 and intermediate 1."""
    name = key.registration_id
    root = authority(f"Root of {name}")
    int1 = below(root, f"Int 1 of {name}")
    int2 = below(int1, f"Int 2 of {name}")
    upload(service, f"{name}-root", root, isVerified=True)
    upload(service, f"{name}-int2", int2)
    refer(service, name, f"{name}-int2", **issuing())
    leaf = key.issued_by(int2)
    assert registers(service, key, [leaf, int2]).status == 401
    assert registers(service, key, [leaf, int2, int1]).state["status"] == "assigned"
    assert registers(service, key, [leaf, int2, int1, root]).state["status"] == "assigned"


def test_rollover(service: RunningService, key: DeviceKey, tmp_path: Path) -> None:
    name = key.registration_id
    old, new = authority(f"Old of {name}"), authority(f"New of {name}")
    upload(service, f"{name}-old", old, isVerified=True)
    upload(service, f"{name}-new", new, isVerified=True)
    refer(service, name, f"{name}-old", f"{name}-new", **issuing())
    other = DeviceKey(f"{name}-b", tmp_path)
    assert registers(service, key, [key.issued_by(old)]).status == 200
    assert registers(service, other, [other.issued_by(new)]).status == 200
    refer(service, name, f"{name}-new", **issuing())
    assert registers(service, key, [key.issued_by(old)]).status == 401
    assert registers(service, key, [key.issued_by(new)]).status == 200


def test_the_first_group_above_the_leaf_decides_though_it_is_off(
    service: RunningService, key: DeviceKey
) -> None:
    name = key.registration_id
    root = authority(f"Root of {name}")
    line = below(root, f"Line of {name}")
    upload(service, f"{name}-line", line, isVerified=True)
    x509_group(service, f"{name}-root", root.pem, **issuing())
    refer(service, f"{name}-line", f"{name}-line", provisioningStatus="disabled", **issuing())
    file = key.write(key.issued_by(line).pem + line.pem, "bootstrap.pem")
    with DpsDevice(service, name, certificate=(file, key.file)) as device:
        told = device.registers()
        assert told.status == 202
        assert device.polls(told.document["operationId"]).document["status"] == "disabled"


def test_an_individual_enrollment_comes_before_every_group(service: RunningService, key: DeviceKey) -> None:
    name = key.registration_id
    root = authority(f"Root of {name}")
    upload(service, name, root, isVerified=True)
    refer(service, name, name, **issuing())
    x509_individual(service, name, key.self_signed().pem, **issuing())
    assert registers(service, key, [key.issued_by(root)]).status == 401
    assert registers(service, key, [key.self_signed()]).status == 401
    service.put(
        f"/enrollments/{name}",
        {
            "registrationId": name,
            "attestation": {"type": "x509", "x509": {"caReferences": {"primary": name}}},
            **issuing(),
        },
    )
    answer = registers(service, key, [key.issued_by(root)])
    assert "enrollmentGroupId" not in answer.state["x509"]


@pytest.mark.parametrize("common_name", ["another", None])
def test_the_leafs_common_name_is_the_registration_id(
    service: RunningService, key: DeviceKey, common_name: str | None
) -> None:
    name = key.registration_id
    root = authority(f"Root of {name}")
    upload(service, name, root, isVerified=True)
    refer(service, name, name, **issuing())
    now = root.certificate.not_valid_before_utc.timestamp()
    leaf = root.issue(common_name, key=key.private, not_before=int(now), not_after=int(now) + 9 * pki.DAY)
    assert registers(service, key, [leaf]).status == 401
