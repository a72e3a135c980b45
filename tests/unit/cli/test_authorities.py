"""`accredit ca`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support.command import Ran

Run = Callable[..., Ran]

DIGICERT = ["--type", "DigiCertCertificateAuthority", "--profile-name", "IOT_1"]


def test_an_authority_of_our_own(run: Run, name: str) -> None:
    made = run("ca", "add", name, "--type", "BuiltIn").document
    assert (made["name"], made["certificateAuthorityType"]) == (name, "BuiltIn")
    assert run("ca", "show", name).document == made
    assert made in run("ca", "list", "--json").rows
    assert name in run("ca", "list").out
    assert run("ca", "remove", name) == Ran(0, "", "")
    assert "no such" in run("ca", "show", name).sentence.lower()


def test_an_outside_one_never_shows_its_key(run: Run, name: str, tmp_path: Path) -> None:
    key = tmp_path / "api.key"
    key.write_text("secret-1234\n")
    made = run("ca", "add", name, *DIGICERT, "--api-key-file", str(key), "--max-validity-days", "90")
    assert made.document["profileName"] == "IOT_1"
    assert made.document["maxValidityDays"] == 90
    assert "secret-1234" not in made.out + run("ca", "show", name).out + run("ca", "list", "--json").out


def test_the_key_may_come_from_standard_input(run: Run, name: str) -> None:
    assert run("ca", "add", name, *DIGICERT, "--api-key-file", "-", given="secret\n").code == 0


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
