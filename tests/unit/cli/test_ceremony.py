"""`accredit ca init|csr|activate|rotate|revoke-issuer`, with the root on a machine of its own: the printed steps, by openssl."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from cryptography import x509

from accredit.ca.points import key_id
from support.command import Ran

Run = Callable[..., Ran]


def offline(steps: str, name: str, folder: Path) -> None:
    """Do what is printed for the offline machine; the passphrase comes from no keyboard here."""
    text = "".join(steps.partition("2. There")[2].partition("4. Carry")[0])
    commands = re.findall(r"^     ((?:.*\\\n)*.*)$", text, re.MULTILINE)
    assert len(commands) == 7
    for command in commands:
        line = command.replace("-aes256 ", "-aes256 -pass pass:secret ").replace(
            "-key root.key", "-key root.key -passin pass:secret"
        )
        line = line.replace("-CAkey root.key", "-CAkey root.key -passin pass:secret")
        subprocess.run(["bash", "-c", line], cwd=folder, check=True, capture_output=True)


def test_an_offline_root(run: Run, name: str, tmp_path: Path) -> None:
    steps = run("ca", "init", name, "--offline-root", "--algorithm", "P-384").out
    (tmp_path / f"{name}.csr").write_text(run("ca", "csr", name).out)
    offline(steps, name, tmp_path)
    shown = run("ca", "activate", name, "--certificate", str(tmp_path / f"{name}.pem")).document
    assert len(shown["certificates"]) == 2
    assert "waits" in run("ca", "csr", name).sentence
    assert "issuing.pem" in run("ca", "rotate", name).out
    assert "BEGIN CERTIFICATE REQUEST" in run("ca", "csr", name).out


def test_a_root_that_is_here(run: Run, name: str) -> None:
    first = run("ca", "init", name).document
    second = run("ca", "rotate", name).document
    assert second["certificates"][1] == first["certificates"][1]
    third = run("ca", "rotate", name, "--root", "--algorithm", "Ed25519").document
    assert (third["algorithm"], third["certificates"][1] != first["certificates"][1]) == ("Ed25519", True)
    key = key_id(x509.load_pem_x509_certificate(third["certificates"][0].encode()))
    assert run("ca", "revoke-issuer", name, key).document["certificates"] == []
    assert "key id" in run("ca", "revoke-issuer", name, "00").sentence
