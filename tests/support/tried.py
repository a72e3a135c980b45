"""Which authorities the tests ordered from, and whether that was the real server or a fake: told at the end of a run.

`TRIED` is what docs/authorities.md says in its table (`tests/docs/test_authorities.py` compares). A CA that could not be had
on this machine is told as skipped.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pytest

_SUITES = ("tests/contract/test_", "tests/unit/authorities/")


class Tried(NamedTuple):
    """`kind` is the certificateAuthorityType, `marks` what the ids of its tests hold."""

    kind: str
    on: str
    marks: tuple[str, ...]


TRIED = (
    Tried("BuiltIn", "itself", ("[BuiltIn",)),
    Tried("Acme", "the real servers: pebble, and OpenBao's ACME", ("[AcmePebble", "[AcmeOpenBao")),
    Tried("AwsPrivateCa", "moto's server, which judges signatures and IAM policies", ("[AwsPrivateCa",)),
    Tried("Cfssl", "the real server, Debian's `golang-cfssl`", ("[Cfssl",)),
    Tried("Cmp", "OpenSSL's own server (`openssl cmp -port`)", ("authorities/test_cmp.py",)),
    Tried("DigiCertCertificateAuthority", "a fake", ("[DigiCert", "digicert/test_")),
    Tried("Ejbca", "a fake, with client certificates", ("[Ejbca",)),
    Tried("Est", "our own EST server", ("authorities/test_est.py",)),
    Tried("StepCa", "the real server, built from Debian's library", ("[StepCa",)),
    Tried("Vault", "the real server, OpenBao", ("[Vault",)),
)


class Witness:
    """A pytest plugin: counts, and prints one line for each authority that was tried."""

    def __init__(self) -> None:
        self._seen: dict[str, Counter[str]] = {each.kind: Counter() for each in TRIED}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        counted = report.when == "call" or (report.when == "setup" and report.outcome != "passed")
        if not counted or not report.nodeid.startswith(_SUITES):
            return
        for each in TRIED:
            if any(mark in report.nodeid for mark in each.marks):
                self._seen[each.kind][report.outcome] += 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        lines = [
            f"{each.kind:<30} {_counts(self._seen[each.kind]):<34} {each.on}"
            for each in TRIED
            if self._seen[each.kind]
        ]
        if lines:
            terminalreporter.section("certificate authorities that were ordered from")
            for line in lines:
                terminalreporter.write_line(line)


def _counts(outcomes: Counter[str]) -> str:
    return ", ".join(f"{outcomes[name]} {name}" for name in ("passed", "failed", "skipped") if outcomes[name])
