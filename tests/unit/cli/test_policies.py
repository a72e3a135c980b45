"""`accredit policy`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accredit.cli.connection import Connection, ServiceClient
from accredit.cli.problem import Problem
from support.command import Ran
from support.running_service import RunningService

Run = Callable[..., Ran]


def _client(service: RunningService, name: str, key: str) -> ServiceClient:
    text = f"HostName={service.host}:{service.https_port};SharedAccessKeyName={name};SharedAccessKey={key}"
    return ServiceClient(Connection.parse(text, service.trust_root))


def test_a_policy_is_added_used_rotated_and_removed(service: RunningService, run: Run, name: str) -> None:
    added = run("policy", "add", name, "--right", "EnrollmentRead", "--right", "EnrollmentWrite").document
    assert _client(service, name, added["primaryKey"]).call("POST", "/enrollments/query").status_code == 200
    assert run("policy", "add", name, "--right", "EnrollmentRead").code == 1
    replaced = run("policy", "add", name, "--right", "EnrollmentRead", "--replace").document
    assert replaced["primaryKey"] == added["primaryKey"]
    rotated = run("policy", "rotate", name, "--key", "primary").document
    assert rotated["secondaryKey"] == added["secondaryKey"]
    with pytest.raises(Problem, match="Unauthorized"):
        _client(service, name, added["primaryKey"]).call("POST", "/enrollments/query")
    rows = {row["name"]: row for row in run("policy", "list", "--json").rows}
    assert rows[name]["rights"] == ["EnrollmentRead"]
    assert added["secondaryKey"] not in str(rows)
    assert run("policy", "remove", name).code == 0
    assert name not in run("policy", "list").out


def test_the_hubs_policies_are_their_own(run: Run, name: str) -> None:
    run("policy", "add", name, "--hub", "--right", "ServiceConnect")
    assert name in run("policy", "list", "--hub").out
    assert name not in run("policy", "list").out
    assert run("policy", "add", name, "--hub", "--right", "EnrollmentRead").code == 1


def test_usage(run: Run) -> None:
    assert run("policy", "add", "x").code == 2
    assert run("policy", "rotate", "x", "--key", "both").code == 2
