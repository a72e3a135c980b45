"""AWS Private CA as moto plays it over HTTP: it signs for real, and judges signatures (SigV4) and IAM policies for real.

One server for each test process, ended with it; each `private_ca()` is of a user of its own. moto
takes no notice of validity and idempotency tokens, knows two templates, and has each certificate at once
(`tests/unit/authorities/test_aws_private_ca_orders.py` says what is tried all the same).
"""

from __future__ import annotations

import atexit
import functools
import json
import re
import subprocess
import sys
import urllib.request
import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from support.programs import missing

REGION = "eu-central-1"
RIGHTS = (
    "acm-pca:DescribeCertificateAuthority",
    "acm-pca:GetCertificateAuthorityCertificate",
    "acm-pca:IssueCertificate",
    "acm-pca:GetCertificate",
    "acm-pca:RevokeCertificate",
)
"""The least that a connector needs, as docs/authorities.md has it."""

_ROOT = "arn:aws:acm-pca:::template/RootCACertificate/V1"

_running: list[subprocess.Popen[str]] = []


@atexit.register
def _end() -> None:
    for process in _running:
        process.kill()
        process.wait()


@functools.cache
def server() -> str:
    """The address of this process's server; skips the test where moto is not installed."""
    try:
        import moto.server  # noqa: F401
    except ImportError:
        missing("moto is not installed")
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    _running.append(process)
    assert process.stderr is not None
    for line in process.stderr:
        found = re.search(r"Running on (http://127\.0\.0\.1:\d+)", line)
        if found:
            # What it says from now on goes nowhere, but has to be read.
            _running.append(subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL))
            process.stderr.close()
            return found[1]
    return pytest.fail("moto's server did not start")


def _authenticate(after: str) -> None:
    """After how many calls moto wants to know who is calling: `0` or `inf`."""
    plain = {"Content-Type": "text/plain"}
    address = f"{server()}/moto-api/reset-auth"
    request = urllib.request.Request(address, after.encode(), plain, method="POST")
    urllib.request.urlopen(request, timeout=60).close()


def _client(service: str) -> Any:
    import boto3

    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=server(),
        aws_access_key_id="setup",
        aws_secret_access_key="setup",
    )


@dataclass(frozen=True)
class PrivateCa:
    url: str
    arn: str
    root_pem: str
    access_key_id: str
    secret_access_key: str
    user: str

    def deny(self, action: str) -> None:
        """Take a right away."""
        _grant(self.user, "Deny", (action,), "less")

    def revoked(self) -> dict[str, Any]:
        """Serial number as sent -> what moto wrote down."""
        request = urllib.request.Request(f"{self.url}/moto-api/data.json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            data = json.load(answer)
        return next(
            ca["revoked_certificates"]
            for ca in data["acmpca"]["CertificateAuthority"]
            if ca["arn"] == self.arn
        )


def _grant(user: str, effect: str, actions: tuple[str, ...], name: str) -> None:
    _authenticate("inf")
    statement = {"Effect": effect, "Action": list(actions), "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    _client("iam").put_user_policy(UserName=user, PolicyName=name, PolicyDocument=policy)
    _authenticate("0")


def private_ca() -> PrivateCa:
    """The active root CA, and a fresh user who may use it and nothing else."""
    _authenticate("inf")
    arn, root = _root_ca()
    iam = _client("iam")
    user = f"user-{uuid.uuid4()}"
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    _grant(user, "Allow", RIGHTS, "least")
    return PrivateCa(server(), arn, root, key["AccessKeyId"], key["SecretAccessKey"], user)


@functools.cache
def _root_ca() -> tuple[str, str]:
    pca = _client("acm-pca")
    arn = pca.create_certificate_authority(
        CertificateAuthorityConfiguration={
            "KeyAlgorithm": "RSA_2048",
            "SigningAlgorithm": "SHA256WITHRSA",
            "Subject": {"CommonName": "Root at moto"},
        },
        CertificateAuthorityType="ROOT",
    )["CertificateAuthorityArn"]
    csr = pca.get_certificate_authority_csr(CertificateAuthorityArn=arn)["Csr"]
    own = pca.issue_certificate(
        CertificateAuthorityArn=arn,
        Csr=csr.encode(),
        SigningAlgorithm="SHA256WITHRSA",
        TemplateArn=_ROOT,
        Validity={"Type": "DAYS", "Value": 365},
    )["CertificateArn"]
    root = pca.get_certificate(CertificateAuthorityArn=arn, CertificateArn=own)["Certificate"]
    pca.import_certificate_authority_certificate(CertificateAuthorityArn=arn, Certificate=root.encode())
    return arn, root
