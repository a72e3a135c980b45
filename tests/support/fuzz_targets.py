"""Every parser that reads what a stranger, an operator or a certificate authority sends, as a function of bytes.

A target returns or raises one of the refusals that its parser promises; anything else is a defect. Where there is a
way back from value to bytes, the target goes it and compares. The suite runs each over its seeds and over mutations of
them; `make campaign` has them explored by a coverage-guided fuzzer (`tests/campaigns/test_fuzz.py`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.authorities import aws_private_ca, cfssl, ejbca, intake, jose, step_ca, vault
from accredit.authorities.digicert import certcentral, mpki
from accredit.authorities.digicert import documents as digicert
from accredit.domain.access import Realm
from accredit.domain.ca_certificate import VerificationCode
from accredit.domain.device import Telemetry
from accredit.domain.enrollment import CaReferences, EnrollmentKind
from accredit.domain.errors import AccreditError
from accredit.domain.evidence import PresentedChain
from accredit.domain.id_pattern import id_pattern
from accredit.domain.ids import (
    AuthorityName,
    CertificateProfileName,
    DeviceId,
    GroupId,
    RegistrationId,
    TrustBundleName,
)
from accredit.domain.rule_language import expression
from accredit.domain.secret import Secret
from accredit.hub import segment, segment_index
from accredit.policy import anchors, chains, csr_intake, tpm_activation
from accredit.policy.destinations import BadDestination, destination
from accredit.policy.possession import check_possession
from accredit.wire import (
    amqp_addresses,
    amqp_message,
    amqp_sasl,
    amqp_tpm,
    bearer,
    cmp,
    credentials,
    device_twins,
    dps,
    est,
    issuer_keys,
    mqtt,
    proxy_protocol,
    sas,
    topics,
    tpm,
    webhooks,
)
from accredit.wire.amqp_types import AmqpError
from accredit.wire.api_versions import check_api_version
from accredit.wire.der import BadDer
from accredit.wire.hub_service import devices as hub_devices
from accredit.wire.hub_service import twins as hub_twins
from accredit.wire.service_api import (
    authorities,
    authority_keys,
    bulk,
    ca_certificates,
    certificate_profiles,
    certificates,
    documents,
    enrollments,
    etags,
    issuance_log,
    linked_hubs,
    policies,
    queries,
    registrations,
    trust_bundles,
)
from accredit.wire.service_api.documents import write
from accredit.wire.service_api.selectable import enrollment_fields
from support import cmp_answers, pki, signing_requests
from support import stored_values as some
from support.tpm_device import TpmDevice

Run = Callable[[bytes], object]


@dataclass(frozen=True)
class Target:
    """`expected` are the exceptions by which the parser refuses."""

    run: Run
    seeds: Callable[[], tuple[bytes, ...]]
    expected: tuple[type[Exception], ...] = (AccreditError,)

    def __call__(self, data: bytes) -> None:
        try:
            self.run(data)
        except self.expected:
            return


def _text(parse: Callable[[str], object]) -> Run:
    return lambda data: parse(data.decode("utf-8", "replace"))


def _said(*texts: str) -> Callable[[], tuple[bytes, ...]]:
    return lambda: tuple(text.encode() for text in texts)


def _proxy_header(data: bytes) -> None:
    """What is read leaves no byte out; addresses that were read are written as they stood there."""
    header = proxy_protocol.read(data)
    if header is None or header.source is None or header.destination is None:
        return
    assert header.size <= len(data)
    again = proxy_protocol.read(proxy_protocol.proxied(header.source, header.destination))
    assert again is not None
    assert (again.source, again.destination) == (header.source, header.destination)


def _proxy_header_seeds() -> tuple[bytes, ...]:
    tlv = b"\x03\x00\x04\xde\xad\xbe\xef"
    return (
        proxy_protocol.local(),
        proxy_protocol.proxied(("192.0.2.7", 40_000), ("198.51.100.1", 8883), tlv),
        proxy_protocol.proxied(("2001:db8::7", 40_000), ("2001:db8::1", 443)),
    )


def _segment(data: bytes) -> None:
    """Each record that the walk finds whole is a message, and what is written of it is what stands there."""
    first = segment.first_sequence(data)
    for place, (at, end, *_) in enumerate(segment.whole_records(data, first)):
        found = segment.message(data[at:end], first + place)
        assert segment.message(segment.record(1, segment.payload(found)), 1) == found


def _segment_seeds() -> tuple[bytes, ...]:
    said = Telemetry(DeviceId("dev"), b"21", {"a": "b"}, {"message-id": "1"}, "{}", 1.5, "hub.local")
    payload = segment.payload(said)
    return (segment.header(7) + segment.record(7, payload) + segment.record(8, payload),)


def _index(data: bytes) -> None:
    """Whatever an index says, looking into it finds places that it has."""
    index = segment_index.StoredIndex(data)
    count = index.summary.count
    assert all(0 <= place < count for place in index.places(DeviceId("dev"), 0, count))


def _index_seeds() -> tuple[bytes, ...]:
    index = segment_index.GrowingIndex(7)
    for end in (40, 80):
        index.add(end, "dev", 1.5, "hub.local")
    return (index.encode(),)


def _condition(text: str) -> None:
    """A condition that can be read holds or does not, whatever the facts are."""
    facts = {"registrationId": text, "payload": {"a": {"b": 1.5}}, "tags": {"c": text}}
    assert expression(text).holds(facts) in (True, False)


def _mqtt(data: bytes) -> None:
    """Bytes to packets, the same however they are cut; and every packet encodes to bytes that decode to it."""
    whole = mqtt.Decoder(max_packet_bytes=4096).feed(data)
    cut = mqtt.Decoder(max_packet_bytes=4096)
    middle = len(data) // 2
    assert cut.feed(data[:middle]) + cut.feed(data[middle:]) == whole
    for packet in whole:
        assert mqtt.Decoder(max_packet_bytes=8192).feed(packet.encode()) == [packet]


def _mqtt_seeds() -> tuple[bytes, ...]:
    packets = (
        mqtt.Connect(
            client_id="dev", user_name="0ne/registrations/dev/api-version=2019-03-31", password=b"x"
        ),
        mqtt.Publish("$dps/registrations/PUT/iotdps-register/?$rid=1", b"{}", 1, 7),
        mqtt.Subscribe(1, (("$dps/registrations/res/#", 1),)),
        mqtt.PubAck(7),
        mqtt.Disconnect(),
    )
    return tuple(packet.encode() for packet in packets)


def _topic(text: str) -> None:
    request = topics.parse_dps_request(text)
    assert topics.parse_dps_request(topics.format_dps_request(request)) == request


def _credential_topic(text: str) -> None:
    rid = topics.parse_credential_request(text)
    assert topics.parse_credential_request(topics.format_credential_request(rid)) == rid


def _twin_topic(text: str) -> None:
    request = topics.parse_twin_request(text)
    assert topics.parse_twin_request(topics.format_twin_request(request)) == request


def _reported(data: bytes) -> None:
    reported = device_twins.read_reported(data)
    assert device_twins.read_reported(write(reported)) == reported


def _renewal(data: bytes) -> None:
    asked = credentials.parse_request(data, DeviceId("dev"))
    assert (
        credentials.parse_request(credentials.request_body(DeviceId("dev"), asked), DeviceId("dev")) == asked
    )


_TPM = TpmDevice()


def _tpm_key(data: bytes) -> None:
    assert tpm.read_key(data, "x").marshalled == data


def _tpm_blob(data: bytes) -> None:
    assert tpm.blob(tpm.read_blob(data)) == data


@cache
def _tpm_parcel() -> bytes:
    identity = tpm.identity_key(Secret(bytes(32)), bytes(32))
    random = bytes(tpm_activation.RANDOM_BYTES)
    return tpm.blob(tpm_activation.activate(_TPM.endorsement, _TPM.storage_root, identity, b"note", random))


def _telemetry(text: str) -> None:
    telemetry = topics.parse_telemetry(text)
    assert topics.parse_telemetry(topics.format_telemetry(telemetry)) == telemetry


def _amqp_address(text: str) -> None:
    address = amqp_addresses.parse(text)
    if address is not None:
        assert amqp_addresses.parse(amqp_addresses.format_address(address)) == address
    user = amqp_addresses.parse_user(text)
    if user is not None:
        assert amqp_addresses.parse_user(amqp_addresses.format_user(user)) == user


def _amqp_sasl(data: bytes) -> None:
    """Frames, the same however they are cut; and what they carry."""
    whole = list(amqp_sasl.Decoder().feed(data))
    cut = amqp_sasl.Decoder()
    middle = len(data) // 2
    assert [*cut.feed(data[:middle]), *cut.feed(data[middle:])] == whole
    for frame in whole:
        if isinstance(frame, amqp_sasl.Init) and frame.initial_response is not None:
            amqp_sasl.parse_plain(frame.initial_response)


def _amqp_sasl_seeds() -> tuple[bytes, ...]:
    plain = amqp_sasl.plain("0ne/registrations/dev", _SAS)
    return (
        amqp_sasl.encode(amqp_sasl.Init("PLAIN", plain, "localhost")),
        amqp_sasl.encode(amqp_sasl.Mechanisms(("PLAIN", "TPM"))),
        amqp_sasl.encode(amqp_sasl.Response(amqp_tpm.word(b"key"))),
    )


def _amqp_message(data: bytes) -> None:
    for message in amqp_message.unpacked(amqp_message.parse(data)):
        amqp_message.id_text(message.properties.message_id)


def _amqp_message_seeds() -> tuple[bytes, ...]:
    one = amqp_message.encode(
        b"{}",
        properties=amqp_message.Properties(to="/devices/dev/messages/events", correlation_id=b"\x53\x07"),
        application={"iotdps-operation-type": b"\xa1\x0fiotdps-register"},
    )
    return one, amqp_message.encode(one), amqp_message.encode(value=b"\xa1\x01x")


def _user_name(text: str) -> None:
    name = topics.parse_dps_user_name(text)
    if name is not None:
        assert topics.parse_dps_user_name(topics.format_dps_user_name(name)) == name
    topics.parse_hub_user_name(text)


def _name(kind: type[RegistrationId | GroupId | AuthorityName | DeviceId]) -> Callable[[str], object]:
    def parse(text: str) -> None:
        name = kind.parse(text)
        assert kind.parse(str(name)) == name

    return parse


def _register(data: bytes) -> None:
    document = dps.register_document(data)
    document.check(RegistrationId.parse("dev"))
    if document.payload is not None:
        dps.bridged_csr(document.payload)


def _csr(text: str) -> None:
    csr_intake.intake(text, "csr")


def _csr_der(data: bytes) -> None:
    csr_intake.intake(base64.b64encode(data).decode(), "csr")


def _csr_seeds() -> tuple[bytes, ...]:
    return (signing_requests.pem(signing_requests.csr("dev")).encode(),)


def _csr_der_seeds() -> tuple[bytes, ...]:
    return (signing_requests.csr("dev").public_bytes(Encoding.DER),)


@cache
def _chain() -> tuple[bytes, ...]:
    return pki.root("Root").issue("Line", ca=True).issue("dev").chain


def _leaf(data: bytes) -> None:
    chains.read(PresentedChain((data, *_chain()[1:])), RegistrationId.parse("dev"), pki.NOW)


@cache
def _long_chain() -> tuple[bytes, ...]:
    return pki.root("Top").intermediate("Between").intermediate("Line").issue("dev").chain


def _between(data: bytes) -> None:
    """What was sent between an anchor that is not verified and the verified certificate above it."""
    leaf, line, _, top = _long_chain()
    chain = chains.read(PresentedChain((leaf, data)), RegistrationId.parse("dev"), pki.NOW)
    uploaded = some.ca_certificate("line", root=line, verified=False)
    group = some.group("line", attestation=CaReferences(uploaded.name))
    found = anchors.anchors((group,), {uploaded.name: uploaded})
    chains.proves_below(chain, found, pki.NOW, (some.ca_certificate("top", root=top),))


def _possession(data: bytes) -> None:
    code = VerificationCode("dev", pki.NOW + 1)
    line = some.ca_certificate(root=_chain()[1], verified=False, code=code)
    check_possession(line, data, pki.NOW)


def _enrollment(data: bytes) -> None:
    enrollments.read_enrollment(data, RegistrationId.parse("dev"))


def _group(data: bytes) -> None:
    enrollments.read_enrollment(data, GroupId.parse("line"))


def _answer(text: str) -> None:
    intake.certificates(text)


def _cmp(data: bytes) -> None:
    """An answer: whether it is protected by the secret, and each of its contents."""
    message = cmp.parse(data)
    message.proven(cmp_answers.PASSWORD)
    for read in (message.response, message.poll_after, message.status):
        with suppress(BadDer):
            read()


def _cmp_seeds() -> tuple[bytes, ...]:
    envelope = cmp.Envelope(b"t" * 16, b"n" * 16, b"s" * 16, 1_800_000_000, implicit=True)
    asked = cmp.parse(cmp.message(cmp.ca_certs(), envelope, cmp_answers.PASSWORD))
    good = cmp_answers.status(0)
    bodies = (
        cmp_answers.cp(good, _chain()[0], capubs=_chain()[1:]),
        cmp_answers.error(cmp_answers.status(2, "no", (9,))),
        cmp_answers.rp(good),
        cmp_answers.poll_rep(9),
    )
    return tuple(cmp_answers.answering(body)(asked) for body in bodies)


def _ejbca_enrolled() -> bytes:
    leaf, *above = (base64.b64encode(der).decode() for der in _chain())
    return json.dumps({"certificate": leaf, "certificate_chain": above}).encode()


_ENROLLMENT = (
    '{"registrationId":"dev","attestation":{"type":"symmetricKey"},"provisioningStatus":"enabled",'
    '"initialTwin":{"tags":{"a":1},"properties":{"desired":{"b":2}}},"iotHubs":["localhost"]}'
)
_GROUP = (
    '{"enrollmentGroupId":"line","attestation":{"type":"symmetricKey","symmetricKey":{"primaryKey":'
    '"MDEyMzQ1Njc4OWFiY2RlZg=="}},"idPattern":"dev-[0-9]+","reprovisionPolicy":{"updateHubAssignment":true}}'
)
_SAS = "SharedAccessSignature sr=0ne%2Fregistrations%2Fdev&sig=c2ln&se=1800000000&skn=registration"

TARGETS: dict[str, Target] = {
    "telemetry-segment": Target(_segment, _segment_seeds, (segment.Damaged,)),
    "telemetry-index": Target(_index, _index_seeds, (segment.Damaged,)),
    "credential-topic": Target(
        _text(_credential_topic),
        _said(
            topics.format_credential_request("db8c0f73-ac73"),
            "$iothub/credentials/POST/issueCertificate/?a=b&$rid=1",
        ),
        (mqtt.ProtocolViolation,),
    ),
    "twin-topic": Target(
        _text(_twin_topic),
        _said("$iothub/twin/GET/?$rid=7", "$iothub/twin/PATCH/properties/reported/?$rid=7&$version=2"),
        (mqtt.ProtocolViolation,),
    ),
    "reported": Target(_reported, _said('{"a":{"b":[1,null,"x"]},"c":true}')),
    "credential-request": Target(
        _renewal,
        _said('{"id": "dev", "csr": "MIIB", "replace": "*"}', '{"id":"dev","csr":"MII=","replace":null}'),
    ),
    "mqtt": Target(_mqtt, _mqtt_seeds, (mqtt.ProtocolViolation,)),
    "amqp-sasl": Target(_amqp_sasl, _amqp_sasl_seeds, (AmqpError,)),
    "amqp-tpm-opening": Target(
        amqp_tpm.parse_opening,
        lambda: (amqp_tpm.opening(amqp_tpm.Opening("0ne", "dev", b"\x01\x3a\x00\x01")),),
        (AmqpError,),
    ),
    "amqp-message": Target(_amqp_message, _amqp_message_seeds, (AmqpError,)),
    "amqp-address": Target(
        _text(_amqp_address),
        _said("0ne/registrations/dev", "amqps://h/devices/a%3Ab/messages/events", "$cbs", "dev@sas.hub"),
    ),
    "topic": Target(
        _text(_topic),
        _said(
            "$dps/registrations/PUT/iotdps-register/?$rid=1",
            "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=2&operationId=4.ab",
        ),
        (AccreditError, mqtt.ProtocolViolation),
    ),
    "telemetry-topic": Target(
        _text(_telemetry),
        _said("devices/dev/messages/events/a=1&%24.ct=application%2Fjson"),
        (AccreditError, mqtt.ProtocolViolation),
    ),
    "user-name": Target(
        _text(_user_name),
        _said(
            "0ne/registrations/dev/api-version=2019-03-31&ClientVersion=a%2F1",
            "hub.local/dev/?api-version=2021-04-12&DeviceClientType=x",
        ),
    ),
    "sas": Target(_text(sas.parse), _said(_SAS)),
    "registration-id": Target(_text(_name(RegistrationId)), _said("dev-1.a:b_c")),
    "group-id": Target(_text(_name(GroupId)), _said("line-1")),
    "authority-name": Target(_text(_name(AuthorityName)), _said("ca-1")),
    "device-id": Target(_text(_name(DeviceId)), _said("dev:1.a-")),
    "id-pattern": Target(_text(id_pattern), _said("dev-[0-9]+", "[ab]c*|d?")),
    "allocation-rule": Target(
        _text(_condition),
        _said("registrationId startsWith 'eu-' and not (payload.a['b'] >= 1 or tags.c matches 'x*')"),
    ),
    "allocation-answer": Target(
        webhooks.read_allocation,
        _said(
            '{"iotHubHostName":"a","initialTwin":{"tags":{"b":1}},"payload":{"c":[1]}}', '{"useDefault":true}'
        ),
    ),
    "proxy-header": Target(_proxy_header, _proxy_header_seeds, (proxy_protocol.BadHeader,)),
    "admission-answer": Target(webhooks.read_verdict, _said('{"allow":false,"reason":"no"}')),
    "register-body": Target(
        _register, _said('{"registrationId":"dev","payload":{"clientCertificateCsr":"x"},"csr":null}')
    ),
    "register-body-tpm": Target(
        _register, lambda: (dps.register_body("dev", tpm=(_TPM.endorsement, _TPM.storage_root)),)
    ),
    "tpm-public": Target(_tpm_key, lambda: (_TPM.endorsement.marshalled, _TPM.storage_root.marshalled)),
    "tpm-blob": Target(_tpm_blob, lambda: (_tpm_parcel(),)),
    "api-version": Target(_text(check_api_version), _said("2019-03-31")),
    "csr-text": Target(_text(_csr), _csr_seeds),
    "csr-der": Target(_csr_der, _csr_der_seeds),
    "client-certificate": Target(_leaf, lambda: (_chain()[0],)),
    "client-intermediate": Target(_between, lambda: (_long_chain()[2],)),
    "possession": Target(_possession, lambda: (_chain()[0],)),
    "enrollment": Target(_enrollment, _said(_ENROLLMENT)),
    "enrollment-group": Target(_group, _said(_GROUP)),
    "linked-hub": Target(
        lambda data: linked_hubs.read_linked_hub(data, "hub.example"),
        _said(
            '{"connectionString":"HostName=hub.example;SharedAccessKeyName=a;SharedAccessKey=YWI=","location":"x"}'
        ),
    ),
    "hub-identity": Target(
        lambda data: hub_devices.read_device(data, DeviceId("dev")),
        _said(
            '{"deviceId":"dev","status":"disabled","authentication":{"type":"sas","symmetricKey":'
            '{"primaryKey":"MDEyMzQ1Njc4OWFiY2RlZg=="}},"capabilities":{"iotEdge":true}}',
            '{"authentication":{"x509Thumbprint":{"primaryThumbprint":"' + "ab" * 32 + '"}}}',
        ),
    ),
    "hub-twin": Target(
        hub_twins.read_twin, _said('{"tags":{"a":null},"properties":{"desired":{"b":[1],"$version":2}}}')
    ),
    "authority": Target(
        authorities.read_authority,
        _said('{"certificateAuthorityType":"DigiCertCertificateAuthority","apiKey":"k","profileName":"p"}'),
    ),
    "certificate-text": Target(
        _text(lambda text: certificates.certificate_der(text, "certificate")),
        lambda: (pki.root("Root").pem.encode(),),
    ),
    "trust-bundle": Target(
        lambda data: trust_bundles.read_trust_bundle(data, TrustBundleName.parse("roots")),
        lambda: (json.dumps({"certificates": [{"certificate": pki.root("Root").pem}]}).encode(),),
    ),
    "certificate-profile": Target(
        lambda data: certificate_profiles.read_certificate_profile(data, CertificateProfileName.parse("p")),
        _said('{"validityDays":7,"subject":{"O":"x"},"subjectAlternativeNames":[{"dns":"{deviceId}.x"}]}'),
    ),
    "authority-rotation": Target(authority_keys.read_rotation, _said('{"algorithm":"P-384","newRoot":true}')),
    "authority-brought": Target(
        authority_keys.read_brought,
        lambda: (json.dumps({"certificate": pki.root("A").pem + pki.root("B").pem}).encode(),),
    ),
    "authority-issuer-revocation": Target(
        authority_keys.read_revocation, _said('{"keyId":"00ff","reason":"keyCompromise"}')
    ),
    "ca-certificate": Target(
        ca_certificates.read_ca_certificate,
        lambda: (json.dumps({"certificate": pki.root("Root").pem, "isVerified": True}).encode(),),
    ),
    "verification": Target(
        ca_certificates.read_verification,
        lambda: (json.dumps({"certificate": pki.root("Root").pem}).encode(),),
    ),
    "if-match": Target(_text(etags.if_match), _said('"abc"', "*", 'W/"abc"')),
    "serial": Target(_text(issuance_log.read_serial), _said("0A1B")),
    "query": Target(
        lambda data: queries.read_query(data, "enrollments", enrollment_fields(EnrollmentKind.INDIVIDUAL)),
        _said(
            '{"query":"SELECT * FROM enrollments"}',
            "{\"query\":\"SELECT * FROM enrollments WHERE provisioningStatus = 'disabled' AND (deviceId IN ['a', 'b'] "
            "OR NOT STARTSWITH(registrationId, 'x'))\"}",
        ),
    ),
    "bulk": Target(
        lambda data: bulk.read_bulk(data, EnrollmentKind.INDIVIDUAL),
        _said('{"mode":"updateIfMatchETag","enrollments":[{"registrationId":"dev","etag":"\\"1\\""}]}'),
    ),
    "policy": Target(
        lambda data: policies.read_policy(data, "tool", Realm.HUB),
        _said('{"name":"tool","rights":["ServiceConnect"],"primaryKey":"MDEyMzQ1Njc4OWFiY2RlZg=="}'),
    ),
    "bearer": Target(
        _text(lambda text: bearer.parse(f"Bearer {text}")),
        _said("eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.e30.c2ln"),
    ),
    "issuer-keys": Target(
        issuer_keys.verifying_keys,
        _said(
            '{"keys":[{"kty":"EC","kid":"k","crv":"P-256","x":"AA","y":"AA"},{"kty":"RSA","kid":"r","n":"AA","e":"AQAB"}]}'
        ),
        (ValueError,),
    ),
    "paging": Target(_text(lambda text: queries.paging(text, text)), _said("100", "7")),
    "move": Target(
        lambda data: registrations.read_move(data, RegistrationId.parse("dev")),
        _said('{"enrollmentGroupId":"line"}'),
    ),
    "free-form": Target(
        lambda data: documents.free_form(documents.read(data, dict), "initialTwin"), _said('{"a":{"b":[1]}}')
    ),
    "ca-answer": Target(_text(_answer), lambda: (pki.root("Root").pem.encode(),)),
    "ca-answer-der": Target(intake.certificates, lambda: (_chain()[0],)),
    "aws-answer": Target(
        aws_private_ca.read,
        _said(
            '{"CertificateAuthority":{"Status":"ACTIVE","CertificateAuthorityConfiguration":{"SigningAlgorithm":"S"}}}',
            '{"Certificate":"x","CertificateChain":null,"CertificateArn":"arn:a","__type":"a#B","message":"m","Message":"n"}',
        ),
    ),
    "ejbca-enrolled": Target(
        lambda data: ejbca.read(data, ejbca.Enrolled).ders(),
        lambda: (_ejbca_enrolled(),),
        (AccreditError, ejbca.Garbled),
    ),
    "ejbca-found": Target(
        lambda data: ejbca.read(data, ejbca.Found),
        _said('{"certificates":[{"certificate":"MAA="}],"more_results":false}'),
        (ejbca.Garbled,),
    ),
    "ejbca-problem": Target(ejbca.problem, _said('{"error_code":400,"error_message":"no"}')),
    "mpki-search": Target(
        lambda data: digicert.read(data, mpki.Search),
        _said('{"items":[{"certificate":"x","serial_number":"1","status":"issued"}],"total":1}'),
        (digicert.Garbled,),
    ),
    "certcentral-ordered": Target(
        lambda data: digicert.read(data, certcentral.Ordered),
        _said('{"id":1,"certificate_id":2,"certificate_chain":[{"subject_common_name":"x","pem":"y"}]}'),
        (digicert.Garbled,),
    ),
    "certcentral-orders": Target(
        lambda data: digicert.read(data, certcentral.Orders),
        _said('{"orders":[{"id":1,"status":"issued","certificate":{"id":2,"common_name":"x"}}]}'),
        (digicert.Garbled,),
    ),
    "cmp": Target(_cmp, _cmp_seeds, (BadDer,)),
    "digicert-enrolled": Target(
        digicert.enrolled,
        _said('{"certificate":"x","serial_number":"1","delivery_format":"pem","status":"issued"}'),
        (AccreditError, digicert.Garbled),
    ),
    "digicert-listing": Target(
        digicert.listing, _said('{"records":[],"total":0}'), (AccreditError, digicert.Garbled)
    ),
    "digicert-problem": Target(digicert.problem, _said('{"errors":[{"code":"a","message":"b"}]}')),
    "cfssl-answer": Target(
        cfssl.read,
        _said('{"success":true,"result":{"certificate":"x"},"errors":[{"code":1,"message":"m"}]}'),
    ),
    "vault-answer": Target(
        vault.read,
        _said(
            '{"data":{"certificate":"x","ca_chain":["y"],"key_info":{"01":{"common_name":"d","not_before":"2026-01-01T00:00:00Z"}}}}'
        ),
    ),
    "step-ca-answer": Target(
        step_ca.read,
        _said('{"crt":"x","certChain":["y"],"provisioners":[{"type":"JWK","name":"n","key":{"kid":"k"}}]}'),
    ),
    "private-jwk": Target(
        jose.SigningKey.read,
        _said('{"kty":"EC","crv":"P-256","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}'),
        (jose.BadKey,),
    ),
    "est-request": Target(
        lambda data: est.csr_text(est.PKCS10, data), lambda: (est.request_body(_csr_der_seeds()[0]),)
    ),
    "est-answer": Target(est.certificates, lambda: (est.certificates_body(_chain()),)),
    "est-basic": Target(_text(est.basic_credentials), _said("Basic ZGV2LTE6cGFzc3dvcmQ=")),
    "parsed-answer": Target(
        dps.parse_answer,
        _said('{"operationId":"4.a","status":"assigning"}'),
        (AccreditError, msgspec.MsgspecError, ValueError),
    ),
    "destination": Target(
        _text(destination), _said("https://one.example.net:443/x"), (AccreditError, BadDestination)
    ),
}
