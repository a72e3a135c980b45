"""Certificate requests that must not be answered with a certificate: each is a 400 that names the field, and nothing is signed.

The same table goes over MQTT and HTTPS, and through both fields that can carry a request.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.domain.der import subject_public_key_info
from support import signing_requests
from support.device_key import DeviceKey
from support.enrolling import issuing, symmetric_individual
from support.raw_device import DpsDevice, sas_token
from support.running_service import RunningService

Makes = Callable[[DeviceKey], str]


def with_private(private: Any) -> Makes:
    return lambda key: signing_requests.pem(signing_requests.csr(key.registration_id, private))


def asking_for(value: x509.ExtensionType, *, critical: bool = False) -> Makes:
    return lambda key: key.csr(extensions=[(value, critical)])


def with_a_broken_signature(key: DeviceKey) -> str:
    request = signing_requests.csr(key.registration_id, key.private)
    der = bytearray(request.public_bytes(Encoding.DER))
    der[-1] ^= 1
    return base64.b64encode(der).decode()


def with_anothers_key(key: DeviceKey) -> str:
    """Somebody else's public key, signed with our own: no possession is proven."""
    request = signing_requests.csr(key.registration_id, key.private).public_bytes(Encoding.DER)
    other = signing_requests.csr("x", ec.generate_private_key(ec.SECP256R1()))
    spki = subject_public_key_info(other.public_bytes(Encoding.DER))
    return base64.b64encode(signing_requests.with_other_key(request, spki)).decode()


NO_BODY_CSR = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"
KEY_USAGE_OF_A_CA = x509.KeyUsage(
    digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
    key_agreement=False, key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False,
)  # fmt: skip

BAD: dict[str, tuple[Makes, str]] = {
    "empty": (lambda _: "", "csr-not-pem-or-der"),
    "garbage": (lambda _: "hello", "csr-not-pem-or-der"),
    "PEM of nothing": (lambda _: NO_BODY_CSR, "csr-not-pem-or-der"),
    "a certificate instead": (lambda key: key.self_signed().pem, "csr-not-pem-or-der"),
    "two blocks": (lambda key: key.csr() * 2, "csr-pem-blocks"),
    "more than 8 KiB": (lambda _: base64.b64encode(bytes(8 * 1024 + 1)).decode(), "csr-too-large"),
    "more than 16 Ki characters": (lambda key: key.csr() + " " * 16_384, "csr-too-large"),
    "a broken signature": (with_a_broken_signature, "csr-signature"),
    "another's public key": (with_anothers_key, "csr-signature"),
    "RSA with 1024 bits": (
        with_private(rsa.generate_private_key(65537, 1024)),  # noqa: S505 - the point of the row
        "csr-key",
    ),
    "an unknown curve": (with_private(ec.generate_private_key(ec.SECP256K1())), "csr-key"),
    "the name of another device": (lambda key: key.csr("another"), "csr-names-another-device"),
    "a SAN of another device": (
        asking_for(x509.SubjectAlternativeName([x509.DNSName("another")])),
        "csr-names-another-device",
    ),
    "CA:TRUE": (asking_for(x509.BasicConstraints(ca=True, path_length=0), critical=True), "csr-asks-for-ca"),
    "keyCertSign": (asking_for(KEY_USAGE_OF_A_CA, critical=True), "csr-asks-for-ca"),
}
each_bad_request = pytest.mark.parametrize(("makes", "rule"), BAD.values(), ids=BAD)


def by_mqtt(
    service: RunningService, key: DeviceKey, secret: str, **members: Any
) -> tuple[int, dict[str, Any]]:
    with DpsDevice(service, key.registration_id, key=secret) as device:
        answer = device.registers(**members)
    return answer.status, answer.document


def by_https(
    service: RunningService, key: DeviceKey, secret: str, **members: Any
) -> tuple[int, dict[str, Any]]:
    resource = f"{service.id_scope}/registrations/{key.registration_id}"
    with service.https(headers={"Authorization": sas_token(resource, secret)}) as http:
        answer = http.put(
            f"/{resource}/register?api-version=2021-11-01-preview",
            json={"registrationId": key.registration_id, **members},
        )
    return answer.status_code, answer.json()


over_each_front = pytest.mark.parametrize("sends", [by_mqtt, by_https], ids=["mqtt", "https"])


def _is_refused(
    service: RunningService, key: DeviceKey, told: tuple[int, dict[str, Any]], rule: str, said: str
) -> None:
    status, document = told
    assert (status, document["errorCode"] // 1000) == (400, 400), document
    assert said in document["message"]
    line = service.logs("registration", trackingId=document["trackingId"])
    assert line["rule"].startswith(rule), line
    assert service.certificates(key.registration_id) == []


@over_each_front
@each_bad_request
def test_a_bad_request_in_its_own_field(
    service: RunningService, key: DeviceKey, makes: Makes, rule: str, sends: Any
) -> None:
    secret = symmetric_individual(service, key.registration_id, **issuing())
    told = sends(service, key, secret, clientCertificateCsr=makes(key))
    _is_refused(service, key, told, rule, "clientCertificateCsr")


@each_bad_request
def test_a_bad_request_in_the_payload(
    service: RunningService, key: DeviceKey, makes: Makes, rule: str
) -> None:
    secret = symmetric_individual(service, key.registration_id, **issuing())
    told = by_mqtt(service, key, secret, payload={"clientCertificateCsr": makes(key)})
    _is_refused(service, key, told, rule, "payload.clientCertificateCsr")


@over_each_front
class TestWhereARequestIsNotDue:
    @pytest.mark.parametrize("field", ["clientCertificateCsr", "csr"])
    def test_without_an_issuance_policy_it_is_refused_by_its_field(
        self, service: RunningService, key: DeviceKey, sends: Any, field: str
    ) -> None:
        secret = symmetric_individual(service, key.registration_id)
        told = sends(service, key, secret, **{field: key.csr()})
        _is_refused(service, key, told, "csr-not-due", field)

    def test_without_an_issuance_policy_the_payload_is_nobodys_business(
        self, service: RunningService, key: DeviceKey, sends: Any
    ) -> None:
        secret = symmetric_individual(service, key.registration_id)
        status, _ = sends(service, key, secret, payload={"clientCertificateCsr": "not a request"})
        assert status == 200
        assert service.certificates(key.registration_id) == []

    @pytest.mark.parametrize("second", ["csr", "payload"])
    def test_two_requests_at_once(
        self, service: RunningService, key: DeviceKey, sends: Any, second: str
    ) -> None:
        secret = symmetric_individual(service, key.registration_id, **issuing())
        other = {"csr": key.csr()} if second == "csr" else {"payload": {"clientCertificateCsr": key.csr()}}
        told = sends(service, key, secret, clientCertificateCsr=key.csr(), **other)
        _is_refused(service, key, told, "csr-twice", "clientCertificateCsr")

    def test_a_request_that_is_no_text(self, service: RunningService, key: DeviceKey, sends: Any) -> None:
        secret = symmetric_individual(service, key.registration_id, **issuing())
        status, _ = sends(service, key, secret, clientCertificateCsr=7)
        assert status == 400
        assert service.certificates(key.registration_id) == []

    def test_a_name_that_no_certificate_can_carry(
        self, service: RunningService, name: str, tmp_path: Path, sends: Any
    ) -> None:
        key = DeviceKey(name + "x" * (65 - len(name)), tmp_path)
        secret = symmetric_individual(service, key.registration_id, **issuing())
        told = sends(
            service,
            key,
            secret,
            clientCertificateCsr=signing_requests.pem(signing_requests.csr(None, key.private)),
        )
        _is_refused(service, key, told, "id-too-long-for-certificate", "64 characters")


@over_each_front
def test_a_key_belongs_to_one_device(
    service: RunningService, key: DeviceKey, tmp_path: Path, sends: Any
) -> None:
    secret = symmetric_individual(service, key.registration_id, **issuing())
    assert sends(service, key, secret, clientCertificateCsr=key.csr())[0] == 200
    clone = DeviceKey(f"clone-of-{key.registration_id}", tmp_path, key.private)
    its_own = symmetric_individual(service, clone.registration_id, **issuing())
    told = sends(service, clone, its_own, clientCertificateCsr=clone.csr())
    _is_refused(service, clone, told, "key-of-another-device", "key")
    assert len(service.certificates(key.registration_id)) == 1


@over_each_front
@pytest.mark.parametrize("form", ["PEM", "escaped PEM", "base64 of DER", "without a name"])
def test_every_good_form_is_taken(service: RunningService, key: DeviceKey, form: str, sends: Any) -> None:
    """The rows above are refused for what is wrong with them, and not for everything."""
    request = signing_requests.csr(key.registration_id, key.private)
    text = {
        "PEM": key.csr(),
        "escaped PEM": key.csr().replace("\n", "\\n"),
        "base64 of DER": signing_requests.base64_der(request),
        "without a name": signing_requests.pem(signing_requests.csr(None, key.private)),
    }[form]
    secret = symmetric_individual(service, key.registration_id, **issuing())
    status, document = sends(service, key, secret, clientCertificateCsr=text)
    assert status == 200
    assert "issuedClientCertificate" in document["registrationState"]
    assert len(service.certificates(key.registration_id)) == 1
