"""The verdicts on files, row by row: what is good, and what is refused by which rule."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.enrollment import Enrollment, LeafCertificates, SigningCertificates, SymmetricKeys
from accredit.domain.ids import GroupId, RegistrationId
from accredit.domain.secret import Secret
from accredit.policy.chains import thumbprint
from accredit.policy.symmetric_keys import derive
from accredit.provisioning import doctor
from accredit.wire import sas
from support import pki, signing_requests

NOW = pki.NOW
DEVICE = RegistrationId.parse("dev-1")
KEY = Secret(b"k" * 32)
KEYS = SymmetricKeys(KEY, KEY)
SCOPE = "0ne00AB12CD"
ROOT = pki.root("Root")
LINE = ROOT.intermediate("Line 3")
LEAF = LINE.issue("dev-1")


def enrolled(owner, attestation) -> Enrollment:
    return Enrollment(owner, attestation, "", "", 0, 0)


GROUP = enrolled(GroupId.parse("anchor"), SigningCertificates(ROOT.der))


def csr(name: str | None = "dev-1", kind: str = "P-256") -> str:
    return signing_requests.pem(signing_requests.csr(name, signing_requests.key(kind, 0)))


def token(key: bytes = KEY.reveal(), name: str = "dev-1", scope: str = SCOPE, life_s: int = 600) -> str:
    return sas.make(f"{scope}/registrations/{name}", key, NOW + life_s)


def rule(verdict: doctor.Verdict) -> str | None:
    return None if verdict.refusal is None else verdict.refusal.rule


def found(verdict: doctor.Verdict) -> dict[str, str]:
    return {finding.subject: finding.found for finding in verdict.findings}


@pytest.mark.parametrize(
    ("text", "named", "expected"),
    [
        (csr(), DEVICE, None),
        (csr(), None, None),
        (csr().replace("\n", "\\n"), DEVICE, None),
        (csr(None), DEVICE, None),
        (csr("dev-2"), DEVICE, "csr-names-another-device"),
        (csr("dev-2"), None, None),
        (csr(kind="RSA-1024"), DEVICE, "csr-key-weak"),
        ("rubbish", DEVICE, "csr-not-pem-or-der"),
        ("", None, "csr-not-pem-or-der"),
        (csr() + csr(), DEVICE, "csr-pem-blocks"),
        ("x" * 20_000, None, "csr-too-large"),
        (csr(), RegistrationId.parse("d" * 65), "id-too-long-for-certificate"),
    ],
)
def test_csr(text, named, expected):
    assert rule(doctor.csr(text, named)) == expected


def test_what_is_told_of_a_csr():
    told = found(doctor.csr(csr("dev-2"), None))
    assert told["key"].startswith("secp256r1, SHA-256 ")
    assert told["subject"] == "CN=dev-2"
    assert "--registration-id" in told["name"]
    assert found(doctor.csr(csr("dev-2"), DEVICE))["possession"] == "the request is signed by its own key"


@pytest.mark.parametrize(
    ("chain", "enrollment", "named", "expected"),
    [
        ((LEAF.der, LINE.der), GROUP, DEVICE, None),
        ((LEAF.der, LINE.der), GROUP, None, None),
        ((LEAF.der, LINE.der, ROOT.der), GROUP, None, None),
        ((LEAF.der,), GROUP, None, "chain-stops"),
        ((LEAF.der, LINE.der), GROUP, RegistrationId.parse("dev-2"), "cn-not-registration-id"),
        ((pki.root("x").issue("dev-1").der,), GROUP, None, "chain-stops"),
        ((ROOT.issue("dev-1", not_after=NOW - 1_000).der,), GROUP, None, "chain-expired"),
        ((b"rubbish",), GROUP, None, "chain-malformed"),
        ((), GROUP, None, "nothing-shown"),
        ((LEAF.der,) * 11, GROUP, None, "chain-too-long"),
        ((LEAF.der,), enrolled(DEVICE, LeafCertificates(LEAF.der)), DEVICE, None),
        ((LEAF.der,), enrolled(DEVICE, LeafCertificates(ROOT.der, LEAF.der)), DEVICE, None),
        ((LEAF.der,), enrolled(DEVICE, LeafCertificates(ROOT.der)), DEVICE, "thumbprint"),
        ((LEAF.der,), [thumbprint(ROOT.der), thumbprint(LEAF.der)], DEVICE, None),
        ((LEAF.der,), [thumbprint(ROOT.der)], DEVICE, "thumbprint"),
    ],
)
def test_chain(chain, enrollment, named, expected):
    assert rule(doctor.chain(chain, enrollment, named, NOW)) == expected


def test_what_is_told_of_a_chain():
    told = found(doctor.chain((LEAF.der, LINE.der), GROUP, None, NOW))
    assert told["certificate 1"].startswith("CN=dev-1, by CN=Line 3, SHA-256 ")
    assert told["group anchor"] == "proven over 3 certificates, anchor included"
    assert "unreadable" in found(doctor.chain((b"rubbish",), GROUP, None, NOW))["certificate 1"]


INDIVIDUAL = enrolled(DEVICE, KEYS)
OF_GROUP = enrolled(GroupId.parse("given"), KEYS)
DERIVED = derive(KEY, "dev-1").reveal()


@pytest.mark.parametrize(
    ("text", "scope", "named", "enrollment", "expected"),
    [
        (token(), SCOPE, DEVICE, INDIVIDUAL, None),
        (token(), None, None, None, None),
        (f"  {token()}\n", None, None, INDIVIDUAL, None),
        (token(DERIVED), SCOPE, DEVICE, OF_GROUP, None),
        (token(), SCOPE, DEVICE, OF_GROUP, "sas-signature"),
        (token(DERIVED), SCOPE, DEVICE, INDIVIDUAL, "sas-signature"),
        (token(b64encode(KEY.reveal())), SCOPE, DEVICE, INDIVIDUAL, "sas-signature"),
        (token(), "0ne00OTHER1", DEVICE, INDIVIDUAL, "sas-scope"),
        (token(), SCOPE, RegistrationId.parse("dev-2"), INDIVIDUAL, "sas-scope"),
        (token(life_s=-400), None, None, None, "sas-expired"),
        ("Bearer abc", None, None, None, "sas-malformed"),
        (token().replace("&se=", "&se=1000"), None, None, None, "sas-malformed"),
        (token(name="no spaces"), None, None, None, "id-grammar"),
    ],
)
def test_token(text, scope, named, enrollment, expected):
    assert rule(doctor.token(text, scope, named, enrollment, NOW)) == expected


@pytest.mark.parametrize(
    ("text", "enrollment", "said"),
    [
        (token(), OF_GROUP, "master key of group given itself"),
        (token(DERIVED), INDIVIDUAL, "derived from the primary key of individual enrollment dev-1"),
        (token(b64encode(KEY.reveal())), INDIVIDUAL, "base64 text of the primary key"),
        (token(derive(KEY, "DEV-1").reveal()), OF_GROUP, "has for 'DEV-1'"),
    ],
)
def test_which_key_signed_it(text, enrollment, said):
    refusal = doctor.token(text, SCOPE, DEVICE, enrollment, NOW).refusal
    assert said in refusal.evidence
    assert refusal.hint


def test_what_is_told_of_a_token():
    told = found(doctor.token(token(life_s=400 * 86_400), None, None, None, NOW))
    assert told["resource"] == f"{SCOPE}/registrations/dev-1"
    assert told["expiry"].endswith(f"in {400 * 86_400} s")
    assert "365 days" in told["lifetime"]
    assert "--key-file" in told["signature"]
    assert found(doctor.token(token(life_s=-9), None, None, None, NOW))["expiry"].endswith("9 s ago")


def test_milliseconds_are_named():
    text = token().replace(f"se={NOW + 600}", f"se={NOW + 600}000")
    assert "milliseconds" in doctor.token(text, None, None, None, NOW).refusal.message


@given(st.text(max_size=200), st.binary(max_size=200))
def test_nothing_makes_it_fail(text, data):
    doctor.csr(text, DEVICE)
    doctor.token(text, None, None, INDIVIDUAL, NOW)
    doctor.token("SharedAccessSignature " + text, SCOPE, DEVICE, OF_GROUP, NOW)
    doctor.chain((data, LEAF.der), GROUP, None, NOW)
