"""`accredit ca`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.command import Ran
from support.digicert_process import DigiCertProcess
from support.running_service import RunningService

Run = Callable[..., Ran]

DIGICERT = ["--type", "DigiCertCertificateAuthority", "--profile-name", "IOT_1"]


@pytest.fixture
def account(service: RunningService, digicert: DigiCertProcess) -> list[str]:
    """What an operator types who has an account at DigiCert ONE."""
    return ["--type", "DigiCertCertificateAuthority", "--set", f"baseUrl={digicert.url}",
            "--profile-name", digicert.profile]  # fmt: skip


def test_an_authority_of_our_own(run: Run, name: str) -> None:
    made = run("ca", "add", name, "--type", "BuiltIn").document
    assert (made["name"], made["certificateAuthorityType"]) == (name, "BuiltIn")
    shown = run("ca", "show", name).document
    assert made.items() <= shown.items()
    assert shown["health"]["status"] == "healthy"
    assert made in run("ca", "list", "--json").rows
    assert name in run("ca", "list").out
    assert run("ca", "remove", name) == Ran(0, "", "")
    assert "no such" in run("ca", "show", name).sentence.lower()


def test_an_outside_one_never_shows_its_key(
    run: Run, name: str, tmp_path: Path, account: list[str], digicert: DigiCertProcess
) -> None:
    key = tmp_path / "api.key"
    key.write_text(f"{digicert.api_key}\n")
    made = run("ca", "add", name, *account, "--api-key-file", str(key), "--max-validity-days", "90")
    assert made.document["profileName"] == digicert.profile
    assert made.document["maxValidityDays"] == 90
    shown = run("ca", "show", name)
    assert shown.document["health"]["status"] == "healthy"
    assert digicert.api_key not in made.out + shown.out + run("ca", "list", "--json").out


def test_the_key_may_come_from_standard_input(
    run: Run, name: str, account: list[str], digicert: DigiCertProcess
) -> None:
    assert run("ca", "add", name, *account, "--api-key-file", "-", given=f"{digicert.api_key}\n").code == 0
    again = [*account, "--replace", "--file", "apiKey=-"]
    assert run("ca", "add", name, *again, given=digicert.api_key).code == 0


def test_one_that_refuses_the_key_is_not_added(run: Run, name: str, account: list[str]) -> None:
    refused = run("ca", "add", name, *account, "--file", "apiKey=-", given="expired")
    assert "Nothing was stored" in refused.sentence
    assert "401" in refused.sentence
    assert "expired" not in refused.sentence.replace("expired at", "")
    assert run("ca", "show", name).code == 1


def test_a_member_is_named_with_its_value(run: Run, name: str) -> None:
    assert "MEMBER=VALUE" in run("ca", "add", name, "--type", "BuiltIn", "--set", "url").sentence


def test_a_second_one_of_the_name_must_say_that_it_replaces(run: Run, name: str) -> None:
    first = run("ca", "add", name, "--type", "BuiltIn").document
    assert "--replace" in run("ca", "add", name, "--type", "BuiltIn").sentence
    again = run("ca", "add", name, "--type", "BuiltIn", "--replace").document
    assert again["etag"] != first["etag"]


def test_what_is_missing_is_named(run: Run, name: str) -> None:
    assert "apiKey" in run("ca", "add", name, *DIGICERT).sentence
    assert "BuiltIn, DigiCertCertificateAuthority" in run("ca", "add", name, "--type", "Own").sentence


def test_a_file_that_is_not_there(run: Run, name: str, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    assert absent in run("ca", "add", name, *DIGICERT, "--api-key-file", absent).sentence
    assert absent in run("ca", "add", name, *DIGICERT, "--trust-anchors", absent).sentence


def test_one_that_enrollments_name_can_not_be_removed(run: Run, name: str) -> None:
    run("ca", "add", name, "--type", "BuiltIn")
    run("enroll", "add", name, "--ca", name)
    assert "1 enrollment" in run("ca", "remove", name).sentence
    assert run("ca", "show", name).code == 0
