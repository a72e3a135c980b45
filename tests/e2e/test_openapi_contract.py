"""The OpenAPI document against a live service: schemathesis makes calls of it, good ones and bad ones, and checks the answers.

Bounded by the number of examples, and seeded. The caller is the owner by a bearer token, which opens both realms.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.oidc_issuer import OIDCIssuer
from support.running_service import RunningService, clean_environment

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)
EXAMPLES = 3
SEED = 20_260


@pytest.mark.slow
def test_every_answer_is_one_that_the_document_describes(tmp_path: Path) -> None:
    with OIDCIssuer() as issuer, RunningService(tmp_path, environment=issuer.settings(tmp_path)) as service:
        token = issuer.token("owner")
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("st")), "run", f"{service.url}/openapi.json",
                "--tls-verify", str(service.trust_root), "--header", f"Authorization: Bearer {token}",
                "--checks", ",".join(CHECKS), "--phases", "coverage,fuzzing",
                "--max-examples", str(EXAMPLES), "--seed", str(SEED), "--no-color",
            ],
            cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False, timeout=350,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-6000:]
        assert "401/403" not in done.stdout
        assert "Traceback" not in service.log_text()
        assert [line for line in service.log_lines() if line["level"] == "error"] == []
