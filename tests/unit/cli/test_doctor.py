"""`accredit doctor`: files in, a verdict and an exit code out; keys never on the command line."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from accredit.wire import sas
from support import pki, signing_requests
from support.command import Ran, command

Run = Callable[..., Ran]
NOW = int(time.time())
ROOT = pki.root("Root", not_before=NOW - 60, not_after=NOW + 86_400)
KEY = b64encode(b"k" * 32).decode()


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str, str | bytes], str]:
    def written(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return written


def csr(name: str = "dev-1") -> str:
    return signing_requests.pem(signing_requests.csr(name, signing_requests.key("P-256", 0)))


def token(key: bytes = b"k" * 32) -> str:
    return sas.make("0ne00AB12CD/registrations/dev-1", key, int(time.time()) + 600)


def leaf(name: str = "dev-1") -> pki.Entity:
    return ROOT.issue(name, not_before=NOW - 60, not_after=NOW + 86_400)


class TestCsr:
    def test_good(self, file) -> None:
        ran = command("doctor", "csr", file("c", csr()), "--registration-id", "dev-1")
        assert ran.code == 0
        assert "verdict       good" in ran.out
        assert "fits the registration id dev-1" in ran.out

    def test_refused(self, file) -> None:
        ran = command("doctor", "csr", file("c", csr("dev-2")), "--registration-id", "dev-1")
        assert ran.code == 1
        assert "rule          csr-names-another-device" in ran.out
        assert "The service would refuse it (csr-names-another-device)" in ran.err

    def test_as_json(self, file) -> None:
        (row,) = command("doctor", "csr", file("c", csr()), "--json").rows
        assert row["verdict"] == "good"
        assert row["findings"]["subject"] == "CN=dev-1"
        ran = command("doctor", "csr", file("d", "rubbish"), "--json")
        assert ran.code == 1
        assert '"rule": "csr-not-pem-or-der"' in ran.out

    def test_what_can_t_be_read(self, tmp_path, file) -> None:
        assert "can't be read" in command("doctor", "csr", str(tmp_path / "none")).sentence
        assert "larger than" in command("doctor", "csr", file("big", b"x" * 2_000_000)).sentence
        assert command("doctor", "csr", file("c", csr()), "--registration-id", "a b").code == 2
        assert command("doctor", "csr").code == 2


class TestCertificate:
    def test_against_an_anchor_file(self, file) -> None:
        anchor = file("root.pem", ROOT.pem)
        good = command("doctor", "cert", file("leaf.pem", leaf().pem), "--anchor", anchor)
        assert good.code == 0
        assert "group anchor" in good.out
        other = pki.root("Other", not_before=NOW - 60, not_after=NOW + 86_400)
        refused = command("doctor", "cert", file("leaf.der", leaf().der), "--anchor", file("o", other.pem))
        assert refused.code == 1
        assert "rule          chain-stops" in refused.out

    def test_against_what_the_service_has(self, run: Run, name: str, file) -> None:
        run("enroll", "group", name, "--certificate", file("root.pem", ROOT.pem))
        whole = file("whole.pem", leaf().pem + ROOT.pem)
        assert run("doctor", "cert", whole, "--group", name).code == 0
        alone = file("leaf.pem", leaf().pem)
        assert run("doctor", "cert", alone, "--group", name, "--anchor", file("root.pem", ROOT.pem)).code == 0
        assert "give that one with --anchor" in run("doctor", "cert", alone, "--group", name).sentence
        own = leaf(f"{name}-device")
        run("enroll", "add", f"{name}-device", "--certificate", file("own.pem", own.pem))
        assert run("doctor", "cert", file("own", own.pem), "--enrollment", f"{name}-device").code == 0
        another = run(
            "doctor", "cert", file("a", leaf(f"{name}-device").pem), "--enrollment", f"{name}-device"
        )
        assert another.code == 1
        assert "rule          thumbprint" in another.out
        run("enroll", "group", f"{name}-keys")
        answer = run("doctor", "cert", file("leaf.pem", leaf().pem), "--group", f"{name}-keys")
        assert "does not attest by certificates" in answer.sentence
        assert run("doctor", "cert", file("leaf.pem", leaf().pem), "--group", "absent").code == 1

    def test_wrong_usage(self, file) -> None:
        path = file("leaf.pem", leaf().pem)
        assert command("doctor", "cert", path).code == 2
        assert command("doctor", "cert", path, "--anchor", path, "--enrollment", "g").code == 2
        assert "no certificate" in command("doctor", "cert", file("x", "rubbish"), "--anchor", path).sentence


class TestToken:
    def test_with_the_key_from_a_file(self, file) -> None:
        shown = file("t", f"Authorization: {token()}\n")
        ran = command(
            "doctor", "sas", shown, "--key-file", file("k", KEY + "\n"), "--registration-id", "dev-1"
        )
        assert ran.code == 0
        assert "by the key that was given" in ran.out
        assert KEY not in ran.out

    def test_a_group_s_key_instead_of_the_derived_one(self, file) -> None:
        ran = command("doctor", "sas", file("t", token()), "--key-file", file("k", KEY), "--group")
        assert ran.code == 1
        assert (
            "evidence      the token is signed with the primary master key of group given itself" in ran.out
        )
        assert "hint          derive the device's key" in ran.out

    def test_the_scope_of_another_service(self, file) -> None:
        ran = command("doctor", "sas", file("t", token()), "--id-scope", "0ne00OTHER1")
        assert ran.code == 1
        assert "its id scope is another" in ran.err

    def test_without_a_key_it_says_what_it_did_not_check(self, file) -> None:
        ran = command("doctor", "sas", file("t", token()))
        assert ran.code == 0
        assert "not checked" in ran.out

    def test_a_key_that_is_none(self, file) -> None:
        ran = command("doctor", "sas", file("t", token()), "--key-file", file("k", "not base64!"))
        assert "is not the base64 of a key" in ran.sentence
        assert "not base64!" not in ran.sentence
