"""SAS tokens as each SDK writes them, against the real service: what is signed is `sr` as it was written.

How each writes one is taken from its source (named at each row).
"""

from __future__ import annotations

import hmac
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from support.enrolling import symmetric_individual
from support.raw_device import Answer, DpsDevice
from support.running_service import RunningService

Sign = Callable[[str, int], str]
"""(text of `sr`, expiry) -> the signature in base64."""


def python(sign: Sign, resource: str, expiry: int) -> str:
    sr = quote(resource, safe="")
    return f"sr={sr}&sig={quote(sign(sr, expiry), safe='')}&se={expiry}"


def node(sign: Sign, resource: str, expiry: int) -> str:
    return f"sr={resource}&sig={quote(sign(resource, expiry), safe='')}&skn=registration&se={expiry}"


def csharp(sign: Sign, resource: str, expiry: int) -> str:
    sr = quote_plus(resource)
    return f"sr={sr}&sig={quote_plus(sign(sr, expiry))}&se={expiry}&skn=registration"


def java(sign: Sign, resource: str, expiry: int) -> str:
    return f"sr={resource}&sig={quote_plus(sign(resource, expiry))}&se={expiry}&skn="


def c(sign: Sign, resource: str, expiry: int) -> str:
    sr = quote(resource, safe="").replace("%2F", "%2f")
    sig = quote(sign(sr, expiry), safe="").replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d")
    return f"sr={sr}&sig={sig}&se={expiry}&skn=registration"


def azure_cli(sign: Sign, resource: str, expiry: int) -> str:
    sr = resource.replace("/", "%2F")
    return f"sr={sr}&sig={quote_plus(sign(sr, expiry))}&se={expiry}&skn=registration"


WRITERS = {
    "azure-iot-device: common/auth/sastoken.py, abstract_provisioning_device_client.py": python,
    "azure-iot-common: shared_access_signature.js; azure-iot-security-symmetric-key": node,
    "azure-iot-sdk-csharp: ProvisioningSasBuilder.cs": csharp,
    "azure-iot-sdk-java: RegisterTask.java SASTOKEN_FORMAT": java,
    "azure-iot-sdk-c: prov_device_ll_client.c": c,
    "azure-iot-cli-extension: services/auth.py": azure_cli,
}


@pytest.mark.parametrize("spelled", [str, str.upper], ids=["as enrolled", "in another case"])
@pytest.mark.parametrize("write", WRITERS.values(), ids=[write.__name__ for write in WRITERS.values()])
def test_each_sdks_token_is_good(
    service: RunningService, name: str, write: Callable[[Sign, str, int], str], spelled: Callable[[str], str]
) -> None:
    """Checklist 4: abstract_provisioning_device_client.py sends no skn, RegisterTask.java an empty one; shared_access_signature.js encodes no sr."""
    key = b64decode(symmetric_individual(service, name))

    def sign(sr: str, expiry: int) -> str:
        return b64encode(hmac.digest(key, f"{sr}\n{expiry}".encode(), "sha256")).decode()

    resource = f"{service.id_scope}/registrations/{spelled(name)}"
    assert _registers(service, name, write(sign, resource, int(time.time()) + 3600)).status == 200


@pytest.mark.parametrize("write", WRITERS.values(), ids=[write.__name__ for write in WRITERS.values()])
@pytest.mark.parametrize("wrong", ["another id", "another scope", "over", "another key"])
def test_none_is_good_for_something_else(
    service: RunningService, name: str, write: Callable[[Sign, str, int], str], wrong: str
) -> None:
    """The other half of checklist 4 (RegisterTask.java and its like): leniency in spelling is none in what is proven."""
    key = b64decode(symmetric_individual(service, name))

    def sign(sr: str, expiry: int) -> str:
        secret = key if wrong != "another key" else key[::-1]
        return b64encode(hmac.digest(secret, f"{sr}\n{expiry}".encode(), "sha256")).decode()

    scope = service.id_scope if wrong != "another scope" else "0ne00000000"
    resource = f"{scope}/registrations/{name if wrong != 'another id' else name + '0'}"
    expiry = int(time.time()) + (3600 if wrong != "over" else -3600)
    assert _registers(service, name, write(sign, resource, expiry)).status == 401


def _registers(service: RunningService, name: str, fields: str) -> Answer:
    with DpsDevice(service, name, token=f"SharedAccessSignature {fields}") as device:
        return device.registers()
