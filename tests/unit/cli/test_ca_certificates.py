"""`accredit ca-certificate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support import pki
from support.command import Ran
from support.device_key import DeviceKey, authority

Run = Callable[..., Ran]


@pytest.fixture
def plant() -> pki.Entity:
    return authority("Plant")


@pytest.fixture
def file(plant: pki.Entity, tmp_path: Path) -> str:
    path = tmp_path / "plant.pem"
    path.write_text(plant.pem)
    return str(path)


def test_uploaded_verified_listed_shown_removed(
    run: Run, name: str, plant: pki.Entity, file: str, tmp_path: Path
) -> None:
    made = run("ca-certificate", "add", name, file).document
    assert (made["name"], made["isVerified"]) == (name, False)
    code = run("ca-certificate", "verify", name).out.strip()
    shown = tmp_path / "shown.pem"
    shown.write_text(DeviceKey(code, tmp_path).issued_by(plant).pem)
    proven = run("ca-certificate", "verify", name, "--certificate", str(shown)).document
    assert proven["isVerified"] is True
    assert run("ca-certificate", "show", name).document == proven
    assert proven in run("ca-certificate", "list", "--json").rows
    line = next(
        line for line in run("ca-certificate", "list").out.splitlines() if line.startswith(name + " ")
    )
    assert "CN=Plant" in line
    assert "true" in line
    assert run("ca-certificate", "remove", name) == Ran(0, "", "")
    assert "no such" in run("ca-certificate", "show", name).sentence.lower()


def test_a_certificate_that_proves_nothing(run: Run, name: str, file: str) -> None:
    run("ca-certificate", "add", name, file)
    run("ca-certificate", "verify", name)
    refused = run("ca-certificate", "verify", name, "--certificate", file)
    assert "verification code as its common name" in refused.sentence


def test_trusted_without_a_proof(run: Run, name: str, file: str) -> None:
    assert run("ca-certificate", "add", name, file, "--verified").document["isVerified"] is True
    assert "--replace" in run("ca-certificate", "add", name, file).sentence
    assert run("ca-certificate", "add", name, file, "--replace").document["isVerified"] is True


def test_a_vendors_root(run: Run, name: str, file: str) -> None:
    made = run("ca-certificate", "add", name, file, "--purpose", "tpmVendorRoot").document
    assert made["purpose"] == "tpmVendorRoot"
    # While there is one, EK certificates must lead to it: other tests have theirs from elsewhere.
    assert run("ca-certificate", "remove", name).code == 0


def test_enrollments_refer_to_it(run: Run, name: str, file: str) -> None:
    assert "CA certificate" in run("enroll", "group", name, "--ca-certificate", name).sentence
    for each in (name, f"{name}-2"):
        run("ca-certificate", "add", each, file)
    group = run("enroll", "group", name, "--ca-certificate", name, "--ca-certificate", f"{name}-2").document
    assert group["attestation"]["x509"] == {"caReferences": {"primary": name, "secondary": f"{name}-2"}}
    single = run("enroll", "add", name, "--ca-certificate", name).document
    assert single["attestation"]["x509"] == {"caReferences": {"primary": name}}
    assert "2 enrollments" in run("ca-certificate", "remove", name).sentence
    both = run("enroll", "group", name, "--ca-certificate", name, "--certificate", file, "--replace")
    assert "--certificate, or --ca-certificate" in both.sentence


def test_a_file_that_is_not_there(run: Run, name: str, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    assert absent in run("ca-certificate", "add", name, absent).sentence
    assert absent in run("ca-certificate", "verify", name, "--certificate", absent).sentence
