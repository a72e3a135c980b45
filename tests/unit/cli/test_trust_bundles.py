"""`accredit trust-bundle`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support import pki
from support.command import Ran

Run = Callable[..., Ran]


@pytest.fixture
def roots(tmp_path: Path) -> str:
    """One file of two certificates, with remarks around them, as `openssl s_client` prints them."""
    file = tmp_path / "roots.pem"
    file.write_text("subject=CN = A\n" + pki.root("A").pem + "\nsubject=CN = B\n" + pki.root("B").pem)
    return str(file)


def test_added_listed_shown_removed(run: Run, name: str, roots: str, tmp_path: Path) -> None:
    more = tmp_path / "more.pem"
    more.write_text(pki.root("C").pem)
    made = run("trust-bundle", "add", name, roots, str(more)).document
    assert [one["metadata"]["subjectName"] for one in made["certificates"]] == ["CN=A", "CN=B", "CN=C"]
    assert run("trust-bundle", "show", name).document == made
    assert made in run("trust-bundle", "list", "--json").rows
    assert any(line.split()[:2] == [name, "3"] for line in run("trust-bundle", "list").out.splitlines())
    assert run("trust-bundle", "remove", name) == Ran(0, "", "")
    assert "no such trust bundle" in run("trust-bundle", "show", name).sentence.lower()


def test_a_second_one_of_the_name_must_say_that_it_replaces(run: Run, name: str, roots: str) -> None:
    first = run("trust-bundle", "add", name, roots).document
    assert "--replace" in run("trust-bundle", "add", name, roots).sentence
    assert run("trust-bundle", "add", name, roots, "--replace").document["etag"] != first["etag"]


def test_enrollments_name_it(run: Run, name: str, roots: str) -> None:
    assert "trust bundle" in run("enroll", "add", name, "--trust-bundle", name).sentence
    run("trust-bundle", "add", name, roots)
    for verb in ("add", "group"):
        assert run("enroll", verb, name, "--trust-bundle", name).document["trustBundleId"] == name
    assert "2 enrollments" in run("trust-bundle", "remove", name).sentence


def test_a_file_that_holds_none(run: Run, name: str, tmp_path: Path) -> None:
    absent, empty = tmp_path / "absent", tmp_path / "empty"
    empty.write_text("nothing\n")
    for file in (absent, empty):
        assert str(file) in run("trust-bundle", "add", name, str(file)).sentence
