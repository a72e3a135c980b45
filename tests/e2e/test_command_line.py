"""The commands as processes of their own: what a shell sees. Each command's own behaviour is tested in `tests/unit/cli`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from support.enrolling import symmetric_individual
from support.raw_device import DpsDevice, HubDevice
from support.running_service import RunningService, accredit, clean_environment


def test_exit_codes_and_streams(service: RunningService) -> None:
    listed = accredit("ca", "list", "--json", "--data-dir", str(service.data))
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "builtin" in [json.loads(line)["name"] for line in listed.stdout.splitlines()]
    refused = accredit("enroll", "show", "absent", "--data-dir", str(service.data))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.count("\n") == 1
    wrong = accredit("enroll", "show")
    assert (wrong.returncode, wrong.stdout) == (2, "")


def test_a_reader_that_has_read_enough(service: RunningService) -> None:
    """`accredit ... | head -1` ends without a word."""
    command = f"{sys.executable} -m accredit ca list --json --data-dir {service.data} | true"
    ran = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        timeout=180,
        env=clean_environment(),
        check=False,
    )
    assert ran.stderr == ""


@pytest.mark.slow
def test_telemetry_is_followed_as_it_arrives(service: RunningService, name: str) -> None:
    secret = symmetric_individual(service, name)
    with DpsDevice(service, name, key=secret) as device:
        device.registers()
    following = subprocess.Popen(
        [
            sys.executable, "-m", "accredit", "hub", "telemetry", "--follow", "--json",
            "--device", name, "--data-dir", str(service.data),
        ],
        stdout=subprocess.PIPE, text=True, env=clean_environment(),
    )  # fmt: skip
    assert following.stdout is not None
    try:
        with HubDevice(service, name, key=secret) as device:
            for body in (b"1", b"2"):
                device.sends(body)
                assert json.loads(following.stdout.readline())["body"] == body.decode()
    finally:
        following.terminate()
        following.wait(60)
        following.stdout.close()
