"""`accredit enroll`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from accredit.wire.tpm import text_of
from support import pki
from support.command import Ran
from support.device_key import DeviceKey, authority, derived_key
from support.ek_certificates import certified_key, der, pem
from support.tpm_device import TpmDevice

Run = Callable[..., Ran]


class TestOneDevice:
    def test_from_its_enrollment_to_its_removal(self, run: Run, name: str) -> None:
        made = run("enroll", "add", name, "--ca", "builtin", "--device-id", f"{name}-at-the-hub").document
        assert made["registrationId"] == name
        assert made["deviceId"] == f"{name}-at-the-hub"
        assert made["clientCertificateIssuancePolicy"] == {"certificateAuthorityName": "builtin"}
        keys = made["attestation"]["symmetricKey"]

        shown = run("enroll", "show", name).document
        assert "symmetricKey" not in shown["attestation"]
        assert shown["etag"] == made["etag"]
        assert run("enroll", "show", name, "--keys").document["attestation"]["symmetricKey"] == keys
        (row,) = [row for row in run("enroll", "list", "--json").rows if row["registrationId"] == name]
        assert keys["primaryKey"] not in json.dumps(row)
        assert name in run("enroll", "list").out

        assert run("enroll", "remove", name) == Ran(0, "", "")
        assert "no such" in run("enroll", "show", name).sentence.lower()

    def test_a_replace_keeps_the_keys(self, run: Run, name: str) -> None:
        keys = run("enroll", "add", name).document["attestation"]
        assert "--replace" in run("enroll", "add", name, "--disabled").sentence
        again = run("enroll", "add", name, "--disabled", "--replace").document
        assert again["provisioningStatus"] == "disabled"
        assert run("enroll", "show", name, "--keys").document["attestation"] == keys

    def test_by_its_certificate(self, run: Run, name: str, tmp_path: Path) -> None:
        key = DeviceKey(name, tmp_path)
        path = key.write(key.self_signed().pem)
        made = run("enroll", "add", name, "--certificate", str(path)).document
        assert made["attestation"]["type"] == "x509"
        shown = made["attestation"]["x509"]["clientCertificates"]["primary"]
        assert shown["info"]["subjectName"] == f"CN={name}"

    @pytest.mark.parametrize("form", ["a file of its tools", "base64 in a file", "base64"])
    def test_by_the_endorsement_key_of_its_tpm(self, run: Run, tmp_path: Path, form: str) -> None:
        key = TpmDevice(7).endorsement
        path = tmp_path / "ek.pub"
        path.write_bytes(key.marshalled if form == "a file of its tools" else f"{text_of(key)}\n".encode())
        value = text_of(key) if form == "base64" else str(path)
        made = run("enroll", "add", "--endorsement-key", value, "--replace").document
        assert made["registrationId"] == TpmDevice(7).registration_id
        assert made["attestation"] == {"type": "tpm", "tpm": {"endorsementKey": text_of(key)}}

    def test_a_tpm_under_another_name(self, run: Run, name: str) -> None:
        value = text_of(TpmDevice(7).endorsement)
        made = run("enroll", "add", name, "--endorsement-key", value, "--ca", "builtin").document
        assert made["registrationId"] == name
        assert [row for row in run("enroll", "list").out.splitlines() if name in row and "tpm" in row]

    @pytest.mark.parametrize("form", ["PEM", "DER"])
    def test_by_the_certificate_of_its_endorsement_key(self, run: Run, tmp_path: Path, form: str) -> None:
        tpm = TpmDevice(7)
        certificate = certified_key(pki.root("Vendor"), tpm.endorsement)
        path = tmp_path / "ek"
        path.write_bytes(pem(certificate).encode() if form == "PEM" else der(certificate))
        made = run("enroll", "add", "--ek-certificate", str(path), "--replace").document
        assert made["registrationId"] == tpm.registration_id
        assert made["attestation"]["tpm"] == {"endorsementKey": text_of(tpm.endorsement)}

    def test_what_is_no_endorsement_key(self, run: Run, name: str, tmp_path: Path) -> None:
        key = DeviceKey(name, tmp_path)
        path = str(key.write(key.self_signed().pem))
        good = text_of(TpmDevice(7).endorsement)
        for arguments, said in (
            (("--endorsement-key", "ek.bup"), "no file ek.bup"),
            (("--endorsement-key", "A" * 420), "--endorsement-key"),
            (("--endorsement-key", path), "--endorsement-key"),
            (("--ek-certificate", path), path),
            (("--ek-certificate", str(tmp_path / "missing")), "missing"),
        ):
            assert said in run("enroll", "add", *arguments).sentence
        for arguments, said in (
            (("--endorsement-key", good, "--ek-certificate", path), "not both"),
            (("--endorsement-key", good, "--certificate", path), "not by both"),
            ((), "Name the device"),
        ):
            ran = run("enroll", "add", *arguments)
            assert (ran.code, said in ran.err) == (2, True)

    def test_an_authority_that_is_not_there(self, run: Run, name: str) -> None:
        assert "'absent'" in run("enroll", "add", name, "--ca", "absent").sentence

    @pytest.mark.parametrize("odd", ["a b", "a?b", "a/b", "../enrollmentGroups/x", "ends."])
    def test_an_id_that_is_none(self, run: Run, odd: str) -> None:
        for verb in ("add", "show", "remove"):
            assert run("enroll", verb, odd).code == 1

    def test_a_typed_id_can_not_lead_to_another_enrollment(self, run: Run, name: str) -> None:
        run("enroll", "add", name)
        assert run("enroll", "remove", f"{name}?x=y").code == 1
        assert run("enroll", "show", name).code == 0


class TestGroups:
    def test_from_its_making_to_its_removal(self, run: Run, name: str) -> None:
        made = run("enroll", "group", name, "--ca", "builtin").document
        assert made["enrollmentGroupId"] == name
        keys = made["attestation"]["symmetricKey"]
        assert (
            run("enroll", "show", name, "--group", "--keys").document["attestation"]["symmetricKey"] == keys
        )
        assert name in [row["enrollmentGroupId"] for row in run("enroll", "list", "--group", "--json").rows]
        assert name not in [row["registrationId"] for row in run("enroll", "list", "--json").rows]
        derived = run("enroll", "derive-key", "Lamp-7", "--group", name)
        assert derived.out == derived_key(keys["primaryKey"], "Lamp-7") + "\n"
        assert run("enroll", "remove", name, "--group").code == 0
        assert run("enroll", "show", name, "--group").code == 1

    def test_below_a_root(self, run: Run, name: str, tmp_path: Path) -> None:
        path = tmp_path / "root.pem"
        path.write_text(authority("Vendor").pem)
        made = run("enroll", "group", name, "--certificate", str(path)).document
        assert "signingCertificates" in made["attestation"]["x509"]
        assert "symmetric keys" in run("enroll", "derive-key", "x", "--group", name).sentence

    def test_a_certificate_that_can_not_be_read(self, run: Run, name: str, tmp_path: Path) -> None:
        path = tmp_path / "none.pem"
        assert str(path) in run("enroll", "group", name, "--certificate", str(path)).sentence
        path.write_bytes(b"\xff\xfe")
        assert str(path) in run("enroll", "group", name, "--certificate", str(path)).sentence


class TestAllowed:
    def test_listed_from_arguments_a_file_and_standard_input(
        self, run: Run, name: str, tmp_path: Path
    ) -> None:
        made = run("enroll", "group", name, "--allowed-only", "--max-registrations", "7").document
        assert (made["quota"], made["allowedRegistrationIdsOnly"]) == ({"maxRegistrations": 7}, True)
        names = tmp_path / "names"
        names.write_text("".join(f"sn-{number:04}\n\n" for number in range(1_200)))
        assert run("enroll", "allow", name, "one", "Two", "--file", str(names)) == Ran(0, "", "")
        assert run("enroll", "allow", name, "--file", "-", given="three\n").code == 0
        assert run("enroll", "allow", name, "sn-0007", "--remove").code == 0
        rows = [row["registrationId"] for row in run("enroll", "allowed", name, "--json").rows]
        assert len(rows) == 1_202
        assert {"one", "Two", "three"} < set(rows)
        assert "sn-0007" not in rows
        assert "sn-0008" in run("enroll", "allowed", name).out

    def test_what_can_t_be(self, run: Run, name: str, tmp_path: Path) -> None:
        run("enroll", "group", name)
        assert run("enroll", "allow", name).code == 2
        assert "can't be read" in run("enroll", "allow", name, "--file", str(tmp_path / "none")).sentence
        assert run("enroll", "allow", name, "no spaces").code == 1
        assert run("enroll", "allow", "absent", "a").code == 1
        assert run("enroll", "allowed", "absent").code == 1
