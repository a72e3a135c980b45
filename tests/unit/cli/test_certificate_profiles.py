"""`accredit profile`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.command import Ran

Run = Callable[..., Ran]


@pytest.fixture
def week(tmp_path: Path) -> str:
    file = tmp_path / "week.json"
    file.write_text(json.dumps({"validityDays": 7}))
    return str(file)


def test_added_listed_shown_removed(run: Run, name: str, week: str) -> None:
    made = run("profile", "add", name, week).document
    assert made["validityDays"] == 7
    assert run("profile", "show", name).document == made
    assert made in run("profile", "list", "--json").rows
    assert any(line.split()[0] == name for line in run("profile", "list").out.splitlines())
    assert run("profile", "remove", name) == Ran(0, "", "")
    assert "no such certificate profile" in run("profile", "show", name).sentence.lower()


def test_a_second_one_of_the_name_must_say_that_it_replaces(run: Run, name: str, week: str) -> None:
    first = run("profile", "add", name, week).document
    assert "--replace" in run("profile", "add", name, week).sentence
    again = run("profile", "add", name, week, "--replace").document
    assert (again["etag"] != first["etag"], again["version"]) == (True, first["version"])


def test_enrollments_name_it(run: Run, name: str, week: str) -> None:
    named = ("--ca", "builtin", "--profile", name)
    assert "certificate profile" in run("enroll", "add", name, *named).sentence
    refused = run("enroll", "add", name, "--profile", name)
    assert (refused.code, "--ca" in refused.err) == (2, True)
    run("profile", "add", name, week)
    for verb in ("add", "group"):
        issuance = run("enroll", verb, name, *named).document["clientCertificateIssuancePolicy"]
        assert issuance == {"certificateAuthorityName": "builtin", "certificateProfileName": name}
    assert "2 enrollments" in run("profile", "remove", name).sentence


@pytest.mark.parametrize("text", ["no JSON", "[]"])
def test_a_file_that_holds_none(run: Run, name: str, tmp_path: Path, text: str) -> None:
    file = tmp_path / "profile.json"
    file.write_text(text)
    assert str(file) in run("profile", "add", name, str(file)).sentence
