"""What a device developer sees: the stock Python SDK's whole `register()`, from connect to answer."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fleet import Device, group_key_text
from benchmarks.service import Measured

ROUNDS = 60


@dataclass(frozen=True, slots=True)
class SdkFigures:
    p50_ms: float
    p99_ms: float


def enroll_group(service: Measured, name: str, group_key: bytes) -> str:
    """A group of this key whose devices get certificates; the group's whole name."""
    name = f"{name}-{secrets.token_hex(4)}"
    keys = {"primaryKey": group_key_text(group_key), "secondaryKey": group_key_text(secrets.token_bytes(32))}
    service.api().call(
        "PUT",
        f"/enrollmentGroups/{name}",
        {
            "enrollmentGroupId": name,
            "attestation": {"type": "symmetricKey", "symmetricKey": keys},
            "clientCertificateIssuancePolicy": {"certificateAuthorityName": "builtin"},
        },
    )
    return name


def register_times(service: Measured) -> SdkFigures:
    """In a process of its own, one device after the other. The SDK insists on port 8883, so the service must have it."""
    group_key = secrets.token_bytes(32)
    name = enroll_group(service, "sdk", group_key)
    devices = [Device.make(f"{name}-{number}", group_key) for number in range(ROUNDS)]
    facts = {
        "host": service.host,
        "idScope": service.id_scope,
        "trust": service.trust_root,
        "devices": [[device.registration_id, group_key_text(device.key), device.csr] for device in devices],
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sdk"], input=json.dumps(facts), capture_output=True, text=True, check=True
    )  # fmt: skip
    times = sorted(json.loads(done.stdout.splitlines()[-1]))
    return SdkFigures(times[len(times) // 2] * 1000, times[int(len(times) * 0.99)] * 1000)


def _main() -> None:
    from azure.iot.device import ProvisioningDeviceClient  # noqa: PLC0415 - heavy, and only this process needs it

    facts = json.load(sys.stdin)
    trust = Path(facts["trust"]).read_text()
    times = []
    for registration_id, key, csr in facts["devices"]:
        client = ProvisioningDeviceClient.create_from_symmetric_key(
            provisioning_host=facts["host"],
            registration_id=registration_id,
            id_scope=facts["idScope"],
            symmetric_key=key,
            server_verification_cert=trust,
        )
        client.provisioning_payload = {"clientCertificateCsr": csr}
        began = time.perf_counter()
        result = client.register()
        times.append(time.perf_counter() - began)
        if result.status != "assigned":
            raise SystemExit(f"not assigned: {result}")
    print(json.dumps(times))


if __name__ == "__main__":
    _main()
