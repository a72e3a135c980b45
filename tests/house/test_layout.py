"""The house rules that a machine can keep: sizes, names, docstrings, the mirror of the tests, what is absent."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from importlib import import_module
from json import loads
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "accredit"
UNIT = ROOT / "tests" / "unit"
SOURCES = sorted(PACKAGE.rglob("*.py"))

LONG = {
    "config.py": "one table: every setting, a line or two for each, and how its value is read",
    "domain/changes.py": "one list: what a unit of work may change, a few lines for each",
    "fronts/service_api/routes.py": "one table: every address of the service API, a few lines for each",
    "fronts/tls.py": "one transport: handshake, records and closing share the state of one OpenSSL connection",
}
"""Files above 400 lines, each with the reason why it is one idea nevertheless."""

ASK_ABOVE, NEVER_ABOVE = 400, 600

FORBIDDEN_NAMES = {"utils", "helpers", "common", "base", "manager"}

ELSEWHERE = {
    "__main__.py": "tests/e2e runs every command by `python -m accredit`",
    **{
        f"interfaces/{name}.py": "Protocols; tests/contract and mypy hold implementations against them"
        for name in ("authorities", "hubs", "store", "telemetry", "webhooks", "world")
    },
    "app/authorities.py": "tests/house/test_layout.py loads each connector",
    "cli/simulate.py": "tests/e2e/test_simulate.py",
    "simulation/device.py": "tests/e2e/test_simulate.py",
    "simulation/fleet.py": "tests/e2e/test_simulate.py",
    "simulation/keys.py": "tests/e2e/test_simulate.py",
    "simulation/mqtt_peer.py": "tests/e2e/test_simulate.py, and every load of devices in tests/campaigns",
    "simulation/scenario.py": "tests/e2e/test_simulate.py",
    "app/housekeeping.py": "the composition root's hourly work; what it calls has tests of its own",
    "app/sharing.py": "tests/e2e/test_nodes.py",
    "app/worker.py": "tests/e2e/test_workers.py",
    "app/workers.py": "tests/e2e/test_workers.py",
    "app/background.py": "the composition root's workers: every test of tests/e2e",
    "app/twins.py": "tests/e2e/test_twins.py",
    "hub/device_twins.py": "tests/unit/fronts/test_mqtt_twin.py",
    "app/revoking.py": "tests/e2e/test_mass_revocation.py",
    "app/metrics_port.py": "tests/unit/app/test_metrics.py",
    "app/public_port.py": "tests/e2e/test_revocation.py",
    "app/first_start.py": "tests/e2e/test_serve.py",
    "administration/bearers.py": "tests/e2e/test_bearer_tokens.py, and every role x address in tests/unit/fronts",
    "app/identity_provider.py": "tests/e2e/test_bearer_tokens.py",
    "egress/answers.py": "tests/unit/egress/test_calls.py",
    "egress/pools.py": "tests/unit/egress/test_calls.py",
    "egress/tls.py": "tests/unit/egress/test_calls.py",
    "app/first_names.py": "tests/unit/app/test_first_start.py",
    "app/local.py": "tests/unit/cli/test_local.py",
    "app/run.py": "tests/e2e/test_serve.py and tests/unit/cli/test_serve.py",
    "app/service.py": "the composition root: every test of tests/e2e",
    "app/tls_identity.py": "tests/e2e/test_serve.py",
    "app/world.py": "the real clock and entropy: tests/e2e",
    "administration/revocation.py": "tests/e2e/test_revocation.py",
    "administration/device_revocation.py": "tests/unit/administration/test_mass_revocations.py and tests/e2e/test_revocation.py",
    "administration/mass_revoker.py": "tests/unit/administration/test_mass_revocations.py",
    "fronts/service_api/mass_revocations.py": "tests/e2e/test_mass_revocation.py",
    "provisioning/revoked_authority.py": "tests/e2e/test_mass_revocation.py",
    "stores/mass_revocations.py": "tests/contract/test_store.py",
    "cli/revocations.py": "tests/e2e/test_mass_revocation.py",
    "ca/crl.py": "tests/unit/ca/test_statuses.py",
    "ca/ocsp.py": "tests/unit/ca/test_statuses.py",
    "ca/token_module.py": "tests/unit/ca/test_tokens.py",
    "app/readiness.py": "tests/e2e/test_serve.py and tests/e2e/test_tokens.py",
    "stores/reserved_serials.py": "tests/contract/test_store.py",
    "ca/points.py": "tests/unit/ca/test_statuses.py",
    "hub/disk.py": "tests/unit/hub/test_segments.py",
    "hub/segment_reader.py": "tests/unit/hub/test_segments.py: it reads what is written there",
    "fronts/plain.py": "tests/unit/fronts/test_public.py",
    "fronts/service_api/revocation.py": "tests/e2e/test_revocation.py",
    "stores/certificate_reads.py": "tests/contract/test_store.py",
    "stores/enrollment_reads.py": "tests/contract/test_store.py",
    "stores/hub_reads.py": "tests/contract/test_store.py",
    "stores/reading.py": "tests/contract/test_store.py",
    "stores/reads.py": "tests/contract/test_store.py",
    "stores/postgresql/writer_mark.py": "tests/unit/stores/postgresql/test_writer.py",
    "stores/postgresql/link.py": "tests/unit/stores/postgresql/test_writer.py and tests/unit/stores/postgresql/test_store.py",
    "stores/postgresql/copying.py": "tests/unit/app/test_migration.py",
    "cli/migration.py": "tests/e2e/test_postgresql.py",
    "app/stores.py": "tests/unit/app/test_postgresql.py",
    "stores/registration_reads.py": "tests/contract/test_store.py",
    "stores/revocations.py": "tests/contract/test_store.py",
    "app/offline_import.py": "tests/e2e/test_import.py",
    "cli/enrollment_import.py": "tests/e2e/test_import.py",
    "cli/backups.py": "tests/e2e/test_backup.py",
    "cli/keys.py": "tests/e2e/test_key_rotation.py",
    "cli/certificates.py": "tests/e2e/test_command_line.py",
    "cli/demo.py": "tests/docs/test_quick_start.py runs it",
    "cli/hub.py": "tests/e2e/test_command_line.py",
    "administration/administration.py": "it joins those that have tests of their own",
    "administration/tpm_vendors.py": "tests/unit/administration/test_enrollments.py",
    "administration/names.py": "tests/unit/administration/test_enrollments.py",
    "cli/endorsements.py": "tests/unit/cli/test_enrollments.py",
    "cli/problem.py": "an exception without behaviour",
    "domain/lease.py": "values without behaviour; tests/contract holds the store against them",
    "domain/session_cut.py": "values without behaviour; tests/contract holds the store against them",
    "stores/session_cuts.py": "tests/contract/test_store.py",
    "domain/subjects.py": "names; tests/unit/buses",
    "witness.py": "a Protocol; mypy holds implementations against it",
    "processes.py": "Protocols; mypy holds implementations against them",
    "provisioning/elsewhere.py": "tests/unit/provisioning/test_leases.py",
    "stores/leases.py": "tests/contract/test_store.py",
    "domain/access.py": "values without behaviour; tests/unit/policy/test_access.py",
    "domain/changes.py": "values without behaviour; tests/contract holds the store against them",
    "domain/evidence.py": "values without behaviour; tests/unit/policy/test_chains.py",
    "domain/reserved_serials.py": "values without behaviour; tests/contract holds the store against them",
    "domain/setback.py": "values without behaviour; tests/unit/stores/test_refusals.py",
    "stores/trust.py": "tests/contract/test_store.py",
    "stores/trust_statements.py": "tests/unit/stores/test_statements.py",
    "stores/refusal_statements.py": "tests/unit/stores/test_statements.py",
    "cli/kept_heads.py": "tests/unit/cli/test_issuance_log.py",
    "domain/custody.py": "values without behaviour; tests/unit/wire/service_api/test_custody.py",
    "wire/dps_log_proof.py": "tests/unit/wire/test_dps.py",
    "domain/inclusion.py": "values without behaviour; tests/unit/administration/test_issuance_log.py",
    "wire/dps_renewal.py": "tests/unit/wire/test_dps.py",
    "domain/renewal.py": "values without behaviour; tests/unit/wire/test_credentials.py",
    "domain/release.py": "values without behaviour; tests/contract holds the store against them",
    "provisioning/by_password.py": "tests/unit/provisioning/test_attest_passwords.py",
    "domain/one_time_password.py": "values without behaviour; tests/unit/policy/test_one_time.py",
    "administration/one_time_passwords.py": "tests/e2e/test_est.py",
    "fronts/service_api/one_time_passwords.py": "tests/e2e/test_est.py",
    "stores/one_time_passwords.py": "tests/contract/test_store.py",
    "domain/ca_certificate.py": "values without behaviour; tests/unit/administration/test_ca_certificates.py",
    "domain/certificate_profile.py": "values without behaviour; tests/unit/administration/test_certificate_profiles.py",
    "domain/trust_bundle.py": "values without behaviour; tests/unit/administration/test_trust_bundles.py",
    "app/fronts.py": "tests/unit/app/test_service.py",
    "fronts/amqp_cbs.py": "tests/unit/fronts/test_amqp_hub.py",
    "fronts/amqp_device.py": "tests/unit/fronts/test_amqp_hub.py",
    "fronts/amqp_dps.py": "tests/wire_scripts/test_dps_amqp.py",
    "fronts/amqp_engine.py": "tests/unit/fronts/test_amqp.py",
    "fronts/amqp_engine_link.py": "tests/unit/fronts/test_amqp.py",
    "fronts/amqp_links.py": "values without behaviour; tests/unit/fronts/test_amqp.py",
    "fronts/amqp_login.py": "tests/unit/fronts/test_amqp.py",
    "fronts/amqp_mechanisms.py": "tests/unit/fronts/test_amqp.py and tests/wire_scripts/test_dps_amqp.py",
    "fronts/amqp_telemetry.py": "tests/unit/fronts/test_amqp_hub.py",
    "fronts/health.py": "tests/unit/fronts/test_https.py and tests/docs (troubleshoot)",
    "fronts/service_api/answers.py": "tests/unit/fronts/test_service_api.py",
    "fronts/service_api/authorities.py": "tests/unit/fronts/test_service_api.py",
    "fronts/service_api/enrollments.py": "tests/unit/fronts/test_service_api.py",
    "fronts/service_api/gate.py": "tests/unit/fronts/test_service_api.py",
    "fronts/service_api/issuance_log.py": "tests/unit/administration/test_issuance_log.py",
    "fronts/service_api/listings.py": "tests/unit/fronts/test_service_api.py",
    "fronts/service_api/linked_hubs.py": "tests/unit/fronts/test_service_api.py",
    "fronts/service_api/registrations.py": "tests/unit/fronts/test_service_api.py",
    "fronts/service_api/policies.py": "tests/unit/administration/test_policies.py",
    "fronts/service_api/routes.py": "tests/unit/fronts/test_service_api.py",
    "fronts/service_api/ca_certificates.py": "tests/unit/fronts/test_service_api.py",
    "ca/holdings.py": "tests/unit/ca/test_ceremony.py",
    "fronts/service_api/authority_keys.py": "tests/unit/administration/test_authority_keys.py",
    "fronts/service_api/certificate_profiles.py": "tests/unit/administration/test_certificate_profiles.py",
    "fronts/service_api/trust_bundles.py": "tests/unit/fronts/test_service_api.py",
    "hub/registry.py": "tests/unit/fronts/test_hub_registry.py",
    "fronts/service_api/refusals.py": "tests/unit/administration/test_traces.py and tests/unit/administration/test_allowed.py",
    "cli/allowed.py": "tests/unit/cli/test_enrollments.py",
    "provisioning/consult.py": "tests/unit/provisioning/test_webhooks.py",
    "provisioning/intended.py": "tests/unit/provisioning/test_orders.py",
    "provisioning/ordering.py": "tests/unit/provisioning/test_pursue.py",
    "provisioning/place.py": "tests/unit/provisioning/test_remote_hubs.py",
    "provisioning/watch.py": "tests/unit/provisioning/test_crashes.py",
    "provisioning/answer.py": "tests/unit/provisioning/test_register.py",
    "provisioning/ask.py": "tests/unit/provisioning/test_pursue.py",
    "provisioning/bind.py": "tests/unit/provisioning/test_register.py",
    "provisioning/collect.py": "tests/unit/provisioning/test_pursue.py",
    "provisioning/complete.py": "tests/unit/provisioning/test_register.py",
    "provisioning/intent.py": "tests/unit/provisioning/test_orders.py",
    "provisioning/means.py": "values without behaviour; tests/unit/provisioning/test_register.py",
    "provisioning/names.py": "tests/unit/provisioning/test_register.py",
    "stores/hub_statements.py": "tests/unit/stores/test_statements.py",
    "stores/hub_units.py": "tests/unit/stores/test_units.py and tests/contract/test_store.py",
    "stores/steps.py": "tests/unit/stores/test_units.py",
    "provisioning/questions.py": "tests/unit/provisioning/test_register.py",
    "provisioning/record.py": "tests/unit/provisioning/test_register.py",
    "administration/attestations.py": "tests/unit/administration/test_enrollments.py",
    "administration/authority_types.py": "tests/unit/administration/test_authorities.py",
    "authorities/upstream.py": "tests/unit/authorities/digicert/test_one.py, and each connector over it",
    "authorities/cfssl.py": "tests/contract/test_authority.py and tests/contract/test_outside_authority.py",
    "authorities/acme/orders.py": "tests/contract/test_authority.py and tests/contract/test_outside_authority.py",
    "authorities/acme/session.py": "tests/contract/test_outside_authority.py",
    "authorities/step_ca.py": "tests/contract/test_authority.py and tests/contract/test_outside_authority.py",
    "authorities/vault.py": "tests/contract/test_authority.py and tests/contract/test_outside_authority.py",
    "authorities/digicert/documents.py": "tests/unit/authorities/digicert/test_one.py",
    "stores/log_tree.py": "tests/contract/test_store.py",
}
"""Source files without a test file of their own, and where they are covered."""


STORIES = {
    "tests/unit/provisioning/test_webhooks.py": "what each answer of a webhook leads to",
    "tests/unit/provisioning/test_remote_hubs.py": "a device at hubs elsewhere: told, moved, released",
    "tests/unit/provisioning/test_crashes.py": "one story through all of a room's files, broken off at each commit",
}
"""Tests of a room that mirror no single file."""


def _named(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _mirror(path: Path) -> Path:
    inside = path.relative_to(PACKAGE)
    return UNIT / inside.parent / f"test_{inside.name}"


def _calls(source: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Call))


def test_no_source_file_is_long_without_a_reason() -> None:
    sizes = {_named(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: size for name, size in sizes.items() if size > ASK_ABOVE and name not in LONG} == {}
    assert {name: size for name, size in sizes.items() if size > NEVER_ABOVE} == {}
    assert LONG.keys() <= sizes.keys()


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [_named(path) for path in SOURCES if {path.stem, path.parent.name} & FORBIDDEN_NAMES] == []


def test_every_module_says_what_it_is() -> None:
    assert [_named(path) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_an_init_file_holds_a_docstring_and_at_most_re_exports() -> None:
    def is_plain(node: ast.stmt) -> bool:
        match node:
            case ast.Expr(value=ast.Constant()) | ast.ImportFrom():
                return True
            case ast.Assign(targets=[ast.Name(id="__all__" | "__version__")]):
                return True
        return False

    odd = {
        _named(path)
        for path in SOURCES
        if path.name == "__init__.py" and not all(map(is_plain, ast.parse(path.read_text()).body))
    }
    assert odd == set()


def test_every_source_file_has_its_test_file_or_says_where_it_is_covered() -> None:
    missing = [
        _named(path)
        for path in SOURCES
        if path.name != "__init__.py" and not _mirror(path).exists() and _named(path) not in ELSEWHERE
    ]
    assert missing == []


def test_the_exceptions_from_the_mirror_name_files_that_exist() -> None:
    assert [name for name in ELSEWHERE if not (PACKAGE / name).exists()] == []
    named = {part for where in ELSEWHERE.values() for part in re.findall(r"tests/[\w/.]+\.py", where)}
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_test_file_of_a_room_mirrors_a_source_file() -> None:
    covered = {part for where in ELSEWHERE.values() for part in re.findall(r"tests/unit/[\w/.]+\.py", where)}
    strays = [
        path.relative_to(ROOT).as_posix()
        for path in UNIT.rglob("test_*.py")
        if not (PACKAGE / path.relative_to(UNIT).parent / path.name.removeprefix("test_")).exists()
        and path.relative_to(ROOT).as_posix() not in covered | STORIES.keys()
        and not _about_one_file(path)
    ]
    assert strays == []


def _about_one_file(path: Path) -> bool:
    """`test_enrollments_replace.py` is a part of the tests of `enrollments.py`."""
    folder = PACKAGE / path.relative_to(UNIT).parent
    name = path.stem.removeprefix("test_")
    return any(name.startswith(f"{source.stem}_") for source in folder.glob("*.py"))


def test_nothing_of_ours_is_patched_in_tests() -> None:
    """A test that needs it points at a missing seam. The environment and the working folder may be changed."""
    patched: list[str] = []
    for path in (ROOT / "tests").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if any(module.split(".")[:2] == ["unittest", "mock"] or module == "mock" for module in modules):
                patched.append(f"{path.name}:{node.lineno}")
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "monkeypatch"
                and node.attr in {"setattr", "setitem", "delattr", "delitem"}
            ):
                patched.append(f"{path.name}:{node.lineno}")
    assert patched == []


def _tracked() -> list[Path]:
    """The project's own files: what git tracks, and what it would."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("an unfinished note", r"\b(?:TO[D]O|FIX[M]E|XX[X])\b"),
        ("a path of one machine", r"(?<![\w.])/(?:home/(?!you\b)\w+|Users/\w+|work/\w+|root/\w+)"),
        (
            "a registry's address",
            r"https?://(?:[\w.-]*pypi|files\.pythonhosted|[\w.-]*artifact|registry\.)[\w.-]*",
        ),
    ],
)
def test_no_file_of_the_project_holds(what: str, pattern: str) -> None:
    found = []
    for path in _tracked():
        if path.suffix in {".png", ".ico", ".der"} or path == Path(__file__):
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {hit[0]}" for hit in re.finditer(pattern, text)]
    assert found == [], what


def test_no_lock_file_names_an_address() -> None:
    locks = [path for path in _tracked() if path.suffix == ".lock"]
    assert locks
    assert [
        path.name for path in locks if "://" in path.read_text() or "--index-url" in path.read_text()
    ] == []


def test_the_node_clients_are_locked_by_digest_and_without_an_address() -> None:
    folder = ROOT / "tests" / "node"
    packages = loads((folder / "package-lock.json").read_text())["packages"]
    wanted = loads((folder / "package.json").read_text())["dependencies"]
    assert packages.pop("")["dependencies"] == wanted
    assert {name for name, version in wanted.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)} == set()
    assert {f"node_modules/{name}" for name in wanted} <= packages.keys()
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if not package.get("integrity")] == []


def test_the_public_entry_points_can_be_imported() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "accredit" in project["scripts"]
    for target in project["scripts"].values():
        module, name = target.split(":")
        assert callable(getattr(import_module(module), name))


def test_every_connector_that_is_loaded_by_name_exists() -> None:
    from accredit.administration.authority_types import TYPES
    from accredit.app.authorities import CONNECTORS, connector

    assert CONNECTORS.keys() == TYPES.keys()
    assert all(isinstance(connector(kind), type) for kind in CONNECTORS)


def test_an_extra_that_does_not_exist_is_named_and_refused() -> None:
    made = subprocess.run(
        ["make", "-C", str(ROOT), "-o", ".venv/base.stamp", "install", "EXTRAS=amqp,nothing"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode != 0
    assert "there is no extra named nothing; there are: amqp" in made.stderr


def test_every_extra_has_a_lock_file() -> None:
    from tomllib import loads

    extras = loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert [name for name in extras if not (ROOT / "requirements" / f"{name}.lock").exists()] == []
