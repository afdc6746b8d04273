"""WEKA's operator comes into a cluster of the lab by helm, or has been there before."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshctl.lab import images
from meshctl.lab.controllers import weka
from meshctl.lab.images.programs import helm
from meshctl.lab.weka.kinds import chart
from tests.unit.lab_weka.kubernetes_in_memory import Kubernetes

SOURCE = "oci://quay.io/weka.io/helm/weka-operator"
INSTALL = ["upgrade", "--install", "weka-operator", SOURCE, "-n", "weka-operator-system"]


class Kubectl:
    """`applied`: what was applied, by kind and name, each time. `refuses`: a kind that the account may not make."""

    def __init__(self, refuses: str = "") -> None:
        self.applied: list[dict[str, Any]] = []
        self.calls: list[tuple[str, ...]] = []
        self.refuses = refuses

    def __call__(self, *words: str, text: str = "") -> str:
        self.calls.append(words)
        if words[0] == "apply":
            item = json.loads(text)
            if item["kind"] == self.refuses:
                raise helm.HelmError(f"{item['kind']} is forbidden")
            self.applied.append(item)
        if words[:2] == ("get", "secrets"):
            secrets = {each["metadata"]["name"]: each for each in self.applied if each["kind"] == "Secret"}
            return json.dumps({"items": [self.stored(each) for each in secrets.values()]})
        return ""

    def stored(self, secret: dict[str, Any]) -> dict[str, Any]:
        text = secret["stringData"]["release"].encode()
        return {**secret, "data": {"release": base64.b64encode(text).decode()}}

    def kinds(self) -> list[str]:
        return [each["kind"] for each in self.applied]


@pytest.fixture
def kubectl(monkeypatch: pytest.MonkeyPatch) -> Kubectl:
    made = Kubectl()
    monkeypatch.setattr(helm, "_kubectl", made)
    return made


def test_definitions_are_shown_of_a_chart_that_exists(capsys: pytest.CaptureFixture[str]) -> None:
    assert helm.main(["show", "crds", SOURCE, "--version", "v1.11.0"]) == 0
    kinds = [each["spec"]["names"]["kind"] for each in yaml.safe_load_all(capsys.readouterr().out)]
    assert "WekaCluster" in kinds
    assert len(kinds) == 5


@pytest.mark.parametrize(
    ("source", "version"),
    [
        (SOURCE, "v1.99.0"),
        (SOURCE, "1.11.0"),
        ("oci://quay.io/weka.io/helm/other", "v1.11.0"),
        ("weka-operator", "v1.11.0"),
    ],
)
def test_a_chart_that_does_not_exist_is_refused(
    source: str, version: str, kubectl: Kubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    assert helm.main(["show", "crds", source, "--version", version]) == 1
    assert helm.main(["upgrade", "--install", "weka-operator", source, "--version", version]) == 1
    assert capsys.readouterr().err.count("not found") == 2
    assert kubectl.applied == []


def test_a_release_is_installed_and_upgraded(
    kubectl: Kubectl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = tmp_path / "values.json"
    values.write_text(json.dumps({"csi": {"installationEnabled": True}, "imagePullSecret": "quay"}))
    assert helm.main([*INSTALL, "--version", "v1.10.0", "--values", str(values), "--wait", "--timeout", "8m"]) == 0
    (deployment,) = [each for each in kubectl.applied if each["kind"] == "Deployment"]
    assert chart.has_csi(deployment)
    assert deployment["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "quay"}]
    waits = ("rollout", "status", f"deployment/{chart.MANAGER}", "--timeout=8m", "--namespace", "weka-operator-system")
    assert waits in kubectl.calls
    assert helm.main([*INSTALL, "--version", "v1.11.0", "--set", "csi.installationEnabled=false"]) == 0
    capsys.readouterr()
    assert helm.main(["status", "weka-operator", "-n", "weka-operator-system", "--output", "json"]) == 0
    release = json.loads(capsys.readouterr().out)
    assert (release["version"], release["info"]["status"]) == (2, "deployed")
    assert release["chart"]["metadata"]["appVersion"] == "v1.11.0"


def test_an_install_that_was_stopped_is_pending(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a right that is missing stops it: the release is locked, and what came before is there."""
    kubectl = Kubectl(refuses="ClusterRoleBinding")
    monkeypatch.setattr(helm, "_kubectl", kubectl)
    assert helm.main([*INSTALL, "--version", "v1.11.0"]) == 1
    assert "ClusterRoleBinding is forbidden" in capsys.readouterr().err
    assert kubectl.kinds() == ["Secret", "ServiceAccount", "ClusterRole"]
    assert helm.main(["status", "weka-operator", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["info"]["status"] == "pending-install"
    assert helm.main(["uninstall", "weka-operator", "--wait"]) == 0
    assert ("delete", "Deployment", chart.MANAGER, "--ignore-not-found", "--namespace", "default") in kubectl.calls


def test_without_a_release_there_is_no_status(kubectl: Kubectl, capsys: pytest.CaptureFixture[str]) -> None:
    assert helm.main(["status", "weka-operator", "-o", "json"]) == 1
    assert helm.main(["upgrade", "weka-operator", SOURCE]) == 1
    assert "release: not found" in capsys.readouterr().err
    assert kubectl.applied == []


def test_somebody_has_installed_it_before(tmp_path: Path) -> None:
    kubernetes = Kubernetes(tmp_path)
    for _ in range(2):  # the second changes nothing
        asyncio.run(weka._install(kubernetes.client))
    definitions = kubernetes.of("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    assert len(definitions) == 5
    (deployment,) = kubernetes.of(weka.DEPLOYMENTS)
    assert deployment["metadata"]["name"] == chart.MANAGER
    assert chart.has_csi(deployment)


def test_the_image_with_helm_has_its_programs() -> None:
    image = images.runnable("docker.io/alpine/k8s:1.33.3")
    assert image is not None, "jq is not installed"
    assert (image.commands, image.tools) == (("helm",), ("kubectl",))
    command = ["/bin/sh", "/install/install.sh"]
    assert images.argv(image, command, [], "python") == command
    assert "helm" in images.scripts(image, "python")


def test_a_version_that_does_not_exist_is_not_pulled() -> None:
    """The custom resource wants a version, so that the tag can't be those words alone."""
    image = "quay.io/weka.io/weka-in-container:4.4.99-does-not-exist"
    assert not images.pullable(image)
    assert images.runnable(image) is not None
    assert images.runnable("quay.io/weka.io/weka-in-container:4.4.21.2") is None
