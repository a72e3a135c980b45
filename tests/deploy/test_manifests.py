"""The compose file and the Kubernetes manifests: right by their schemas, and right about accredit."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from accredit import __version__
from accredit.config import SETTINGS, load
from support.programs import missing, need

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted(
    path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml"
)

VARIABLES = {setting.variable for setting in SETTINGS}


def _documents() -> list[dict[str, Any]]:
    return [one for path in MANIFESTS for one in yaml.safe_load_all(path.read_text())]


def _named(kind: str, name: str) -> dict[str, Any]:
    (found,) = (one for one in _documents() if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def _pods() -> list[tuple[str, dict[str, Any]]]:
    return [
        (one["metadata"]["name"], one["spec"]["template"]["spec"])
        for one in _documents()
        if one["kind"] in ("Deployment", "StatefulSet")
    ]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return document


def test_the_compose_file_is_one(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "check-jsonschema"
    checked = subprocess.run(
        [program, "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_every_manifest_is_one(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(document, "1.37", strict=True)


def test_what_is_no_manifest_is_found() -> None:
    spoilt = _named("Deployment", "accredit")
    spoilt["spec"]["template"]["spec"]["containers"][0]["port"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(spoilt, "1.37", strict=True)


def test_the_kustomization_has_all_of_them() -> None:
    document = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())
    assert sorted(document["resources"]) == [path.name for path in MANIFESTS]
    (image,) = document["images"]
    assert (image["name"], str(image["newTag"])) == ("accredit", __version__)


def test_every_pod_runs_without_rights_and_is_bounded() -> None:
    for name, pod in _pods():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["automountServiceAccountToken"] is False, name
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            context = container["securityContext"]
            assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"], name


def test_the_pods_are_three_and_are_not_all_gone_at_once() -> None:
    for kind, name in (("Deployment", "accredit"), ("StatefulSet", "nats")):
        found = _named(kind, name)
        assert found["spec"]["replicas"] == 3
        budget = _named("PodDisruptionBudget", name)["spec"]
        assert budget["maxUnavailable"] == 1
        labels = found["spec"]["template"]["metadata"]["labels"]
        assert budget["selector"]["matchLabels"] == found["spec"]["selector"]["matchLabels"] == labels


def test_the_probes_ask_what_the_service_answers() -> None:
    (container,) = dict(_pods())["accredit"]["containers"]
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }
    assert {(probe["port"], probe["scheme"]) for probe in probes.values()} == {("https", "HTTPS")}


def test_ports_are_called_and_numbered_alike() -> None:
    (container,) = dict(_pods())["accredit"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    exposed = re.search(r"^EXPOSE (.+)$", (ROOT / "Containerfile").read_text(), re.MULTILINE)
    assert exposed is not None
    assert {str(port) for name, port in ports.items() if name != "metrics"} == set(exposed[1].split())
    assert {port["targetPort"] for port in _named("Service", "accredit")["spec"]["ports"]} <= ports.keys()
    settings = _named("ConfigMap", "accredit")["data"]
    assert settings["ACCREDIT_METRICS_PORT"] == str(ports["metrics"])
    policy = _named("NetworkPolicy", "accredit")["spec"]["ingress"]
    assert {port["port"] for rule in policy for port in rule["ports"]} == ports.keys()


def test_no_secret_stands_in_a_manifest() -> None:
    assert [one for one in _documents() if one["kind"] == "Secret"] == []
    (container,) = dict(_pods())["accredit"]["containers"]
    by_name = {each["name"]: each for each in container["env"]}
    assert "secretKeyRef" in by_name["ACCREDIT_DATABASE_URL"]["valueFrom"]


def _settings(compose: dict[str, Any]) -> list[dict[str, str]]:
    """What each deployment sets, with what an operator fills in."""
    (container,) = dict(_pods())["accredit"]["containers"]
    pod = dict(_named("ConfigMap", "accredit")["data"]) | {
        each["name"]: each.get("value", "postgresql://accredit:secret@db/accredit")
        for each in container["env"]
    }
    node = compose["services"]["accredit-1"]["environment"]
    filled = {
        name: re.sub(r"\$\{\w+(:[?-](\$\{\w+\}|[^}])*)?\}", "x.example", value)
        for name, value in node.items()
    }
    return [pod, filled | {"ACCREDIT_PUBLIC_URL": "http://x.example:8080"}]


def test_every_setting_is_one_and_is_accepted(compose: dict[str, Any], tmp_path: Path) -> None:
    for settings in _settings(compose):
        assert settings.keys() - VARIABLES == set()
        config = load({"data_dir": tmp_path}, settings)
        assert config.unknown_variables == ()
        assert config.hub_name != "localhost"


def test_the_nodes_of_the_compose_file_are_alike_but_for_their_data(compose: dict[str, Any]) -> None:
    nodes = [compose["services"][f"accredit-{number}"] for number in (1, 2, 3)]
    assert {node["image"] for node in nodes} == {f"accredit:{__version__}"}
    data = [volume for node in nodes for volume in node["volumes"] if volume.endswith(":/data")]
    assert len(set(data)) == 3
    assert all({**node, "volumes": None} == {**nodes[0], "volumes": None} for node in nodes)
    balancer = compose["services"]["load-balancer"]["networks"]["edge"]["ipv4_address"]
    assert nodes[0]["environment"]["ACCREDIT_PROXY_PROTOCOL_FROM"] == balancer


def test_nats_writes_through_to_the_disk_everywhere(tmp_path: Path) -> None:
    program = shutil.which("nats-server", path=str(Path(sys.executable).parent))
    if program is None:
        missing("nats-server has no wheel for this machine")
    texts = [(DEPLOY / "nats.conf").read_text(), _named("ConfigMap", "nats")["data"]["nats.conf"]]
    for number, text in enumerate(texts):
        assert re.search(r"jetstream \{[^}]*\n\s*sync_interval: always\n", text)
        (tmp_path / f"{number}.conf").write_text(text)
        checked = subprocess.run(
            [program, "-t", "-c", str(tmp_path / f"{number}.conf")],
            capture_output=True, text=True, check=False, env={"POD_NAME": "nats-0"},
        )  # fmt: skip
        assert checked.returncode == 0, checked.stderr


def test_the_load_balancer_takes_its_file() -> None:
    need("haproxy")
    checked = subprocess.run(
        ["haproxy", "-c", "-f", str(DEPLOY / "haproxy.cfg")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_no_image_is_the_newest_of_some_day(compose: dict[str, Any]) -> None:
    """Each has a version; which digest that is, is the operator's to pin."""
    images = [service["image"] for service in compose["services"].values()]
    images += [
        each["image"] for _, pod in _pods() for each in pod["containers"] if each["image"] != "accredit"
    ]
    assert [image for image in images if not re.fullmatch(r"[\w./-]+:\d[\w.-]*", image)] == []
