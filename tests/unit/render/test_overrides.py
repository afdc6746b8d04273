"""What environments.yaml says of workloads in one environment: labels, annotations, variables, pod fields, mirrors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshctl import render
from meshctl.catalog import load_catalog
from meshctl.errors import DiagnosticsError
from meshctl.load import load
from meshctl.model.deployment import Resolution
from meshctl.model.nested import merged
from meshctl.render.overrides import image_here
from meshctl.resolve import resolve

MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: m
pools: {cpu: {nodes: 2, cpu: {cores: 4}}}
workloads:
  web: {kind: service, pool: cpu, image: "acme/web:1", env: {A: mesh, B: mesh}, secrets: {TOKEN: token}}
  job: {kind: batch, pool: cpu, image: "ghcr.io/acme/job:1", before: [{image: "redis:7"}]}
"""
ENVIRONMENTS = """\
apiVersion: meshctl/v1
kind: Environments
environments:
  dc:
    provider: onprem
    kubernetes: {context: dc}
    OVERRIDES
"""


def resolution(folder: Path, overrides: str) -> Resolution:
    (folder / "mesh.yaml").write_text(MESH)
    (folder / "environments.yaml").write_text(ENVIRONMENTS.replace("OVERRIDES", overrides))
    mesh, environments = load(folder / "mesh.yaml", folder / "environments.yaml")
    return resolve(mesh, environments, "dc", load_catalog())


def manifests(folder: Path, overrides: str) -> dict[str, dict[str, Any]]:
    made = resolution(folder, overrides).deployment
    assert made is not None
    return {item.name: item.manifest for item in render.platform_objects(made)}


def test_what_is_said_of_one_workload_wins_over_what_is_said_of_all(tmp_path: Path) -> None:
    overrides = """workloads:
      "*": {labels: {queue: all, app: x}, annotations: {note: all}, env: {A: all, C: all}}
      web: {labels: {queue: web}, env: {A: web}}
"""
    made = manifests(tmp_path, overrides)
    web, job = made["workload/web:deployment"], made["workload/job:job"]
    for labels in (web["metadata"]["labels"], web["spec"]["template"]["metadata"]["labels"]):
        assert (labels["queue"], labels["app"]) == ("web", "x")
        assert labels["app.kubernetes.io/name"] == "web"
    assert job["metadata"]["labels"]["queue"] == "all"
    assert web["spec"]["template"]["metadata"]["annotations"]["note"] == "all"
    variables = {e["name"]: e.get("value") for e in web["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert (variables["A"], variables["B"], variables["C"]) == ("web", "mesh", "all")
    assert web["spec"]["selector"] == {
        "matchLabels": {k: v for k, v in web["metadata"]["labels"].items() if "name" in k or "instance" in k}
    }


def test_fields_of_the_pod_are_merged_and_said_to_be_not_portable(tmp_path: Path) -> None:
    overrides = """workloads:
      web:
        pod:
          hostNetwork: true
          securityContext: {runAsUser: 0}
          containers: [{name: main, tty: true}, {name: proxy, image: "acme/proxy:1"}]
"""
    pod = manifests(tmp_path, overrides)["workload/web:deployment"]["spec"]["template"]["spec"]
    assert pod["hostNetwork"] is True
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["fsGroup"]) == (0, 1000)
    main, proxy = pod["containers"]
    assert (main["tty"], main["image"], proxy) == (True, "acme/web:1", {"name": "proxy", "image": "acme/proxy:1"})
    (note,) = [note for note in resolution(tmp_path, overrides).notes if note.startswith("workload/web")]
    assert note.startswith("workload/web: containers, hostNetwork, securityContext of its pods are set by env")


@pytest.mark.parametrize(
    "field",
    [
        "hostNetwork: true",
        "hostPID: true",
        "hostIPC: true",
        "securityContext: {runAsUser: 0}",
        "volumes: [{name: host, hostPath: {path: /opt}}]",
        'containers: [{name: proxy, image: "acme/proxy:1"}]',
        'initContainers: [{name: first, image: "acme/first:1"}]',
    ],
)
def test_the_namespace_admits_what_is_set_of_pods_and_says_why(tmp_path: Path, field: str) -> None:
    name = field.split(":")[0]
    overrides = f"workloads: {{web: {{pod: {{{field}}}}}}}"
    metadata = manifests(tmp_path, overrides)["platform:namespace"]["metadata"]
    assert metadata["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    assert metadata["annotations"]["meshctl.dev/pod-security-reason"] == (
        f"environments.yaml sets fields of these pods that the levels restrict: web ({name})"
    )
    assert (
        "the namespace m enforces the Pod Security level privileged instead of restricted: `pod` of"
        f" web ({name}) in environments.yaml needs that"
    ) in resolution(tmp_path, overrides).notes


@pytest.mark.parametrize("field", ["hostNetwork: false", "schedulerName: mine", "dnsPolicy: Default"])
def test_the_namespace_stays_restricted_with_other_fields_of_pods(tmp_path: Path, field: str) -> None:
    metadata = manifests(tmp_path, f"workloads: {{web: {{pod: {{{field}}}}}}}")["platform:namespace"]["metadata"]
    assert metadata["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert "annotations" not in metadata


def test_without_a_word_nothing_changes(tmp_path: Path) -> None:
    assert manifests(tmp_path, "images: {}") == manifests(tmp_path, "workloads: {}")


@pytest.mark.parametrize(
    ("image", "here"),
    [
        ("redis:7", "mirror/hub/library/redis:7"),
        ("acme/web:1", "mirror/hub/acme/web:1"),
        ("docker.io/acme/web:1", "mirror/hub/acme/web:1"),
        ("ghcr.io/acme/job:1", "mirror/acme/job:1"),
        ("ghcr.io/acmeother/job:1", "ghcr.io/acmeother/job:1"),
        ("quay.io/x:1", "quay.io/x:1"),
        ("localhost:5000/x:1", "localhost:5000/x:1"),
    ],
)
def test_images_come_from_the_mirror_of_their_registry(tmp_path: Path, image: str, here: str) -> None:
    made = resolution(tmp_path, "images: {docker.io: mirror/hub, ghcr.io: other, ghcr.io/acme: mirror/acme}").deployment
    assert made is not None
    expected = here if not image.startswith("ghcr.io/acmeother") else "other/acmeother/job:1"
    assert image_here(made, image) == expected


def test_steps_before_come_from_the_mirror_too(tmp_path: Path) -> None:
    job = manifests(tmp_path, "images: {docker.io: mirror/hub}")["workload/job:job"]
    (step,) = job["spec"]["template"]["spec"]["initContainers"]
    assert step["image"] == "mirror/hub/library/redis:7"


@pytest.mark.parametrize(
    ("overrides", "path", "message"),
    [
        (
            "workloads: {wb: {env: {A: b}}}",
            "environments.dc.workloads.wb",
            'no workload named "wb"; did you mean "web"?',
        ),
        (
            "workloads: {web: {env: {TOKEN: x}}}",
            "environments.dc.workloads.web.env.TOKEN",
            '"TOKEN" is a secret of the',
        ),
        ('workloads: {"*": {env: {TOKEN: x}}}', "environments.dc.workloads.*.env.TOKEN", '"TOKEN" is a secret of the'),
        (
            "workloads: {web: {env: {MESH_POOL: x}}}",
            "environments.dc.workloads.web.env.MESH_POOL",
            '"MESH_POOL": names',
        ),
        (
            "workloads: {web: {pod: {restartPolicy: Never}}}",
            "environments.dc.workloads.web.pod",
            '"restartPolicy" is set',
        ),
        (
            "workloads: {web: {pod: {containers: [{name: main, image: x}]}}}",
            "environments.dc.workloads.web.pod",
            '"image" of the container main is set by meshctl; write it in the workload',
        ),
        (
            "workloads: {web: {labels: {meshctl.dev/pool: x}}}",
            "environments.dc.workloads.web.labels",
            '"meshctl.dev/pool": k',
        ),
        ("workloads: {web: {nodes: 2}}", "environments.dc.workloads.web.nodes", 'unknown key "nodes"'),
    ],
)
def test_what_cant_be_overridden_is_said(tmp_path: Path, overrides: str, path: str, message: str) -> None:
    with pytest.raises(DiagnosticsError) as caught:
        resolution(tmp_path, overrides)
    found = [(problem.path, problem.message) for problem in caught.value.diagnostics]
    assert any(place.startswith(path) and text.startswith(message) for place, text in found), found


def test_lists_without_names_are_replaced() -> None:
    assert merged({"a": [1], "b": {"c": 1, "d": 2}}, {"a": [2], "b": {"c": 3}}) == {"a": [2], "b": {"c": 3, "d": 2}}
