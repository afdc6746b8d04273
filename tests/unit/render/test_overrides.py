"""What environments.yaml says of workloads in one environment: labels, annotations, variables, fields of the pod."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshctl import render
from meshctl.catalog import load_catalog
from meshctl.errors import DiagnosticsError
from meshctl.load import load
from meshctl.model.deployment import Resolution
from meshctl.model.files.nested import merged
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


def resolution(folder: Path, overrides: str, mesh_text: str = MESH) -> Resolution:
    (folder / "mesh.yaml").write_text(mesh_text)
    (folder / "environments.yaml").write_text(ENVIRONMENTS.replace("OVERRIDES", overrides))
    mesh, environments = load(folder / "mesh.yaml", folder / "environments.yaml")
    return resolve(mesh, environments, "dc", load_catalog())


def manifests(folder: Path, overrides: str, mesh_text: str = MESH) -> dict[str, dict[str, Any]]:
    made = resolution(folder, overrides, mesh_text).deployment
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
          securityContext: {supplementalGroups: [44]}
          containers: [{name: main, tty: true}, {name: proxy, image: "acme/proxy:1"}]
"""
    pod = manifests(tmp_path, overrides)["workload/web:deployment"]["spec"]["template"]["spec"]
    assert pod["hostNetwork"] is True
    assert (pod["securityContext"]["supplementalGroups"], pod["securityContext"]["fsGroup"]) == ([44], 1000)
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
        "securityContext: {supplementalGroups: [44]}",
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


POD = "environments.dc.workloads.web.pod"


@pytest.mark.parametrize(
    ("pod", "message"),
    [
        ("containers: null", '"containers" has no value: leave it out, or give it one'),
        ("securityContext: {seccompProfile: null}", '"securityContext.seccompProfile" has no value'),
        ("containers: [{name: main, volumeMounts: null}]", '"containers[0].volumeMounts" has no value'),
        ("containers: {main: {tty: true}}", '"containers" must be a list of mappings, each with a `name`'),
        ("containers: [{tty: true}]", '"containers" must be a list of mappings, each with a `name`'),
        ("initContainers: [first]", '"initContainers" must be a list of mappings, each with a `name`'),
        ("volumes: [{name: 1, emptyDir: {}}]", '"volumes" must be a list of mappings, each with a `name`'),
        ("containers: [{name: main}, {name: main}]", '"containers" has "main" twice'),
        ("containers: [{name: main, volumeMounts: [{name: a}]}]", '"containers[0].volumeMounts" must be a list of'),
        ("containers: [{name: main, volumeMounts: {a: /a}}]", '"containers[0].volumeMounts" must be a list of'),
        ("spec: {hostNetwork: true}", '"spec" is no field of a pod\'s spec; write its fields under `pod` directly'),
        ("metadata: {labels: {a: b}}", '"metadata" is no field of a pod\'s spec; write `labels` and `annotations`'),
        ("serviceAccount: mine", '"serviceAccount" is set by meshctl; each workload has an account of its own'),
        ("initContainers: [{name: before-1}]", '"before-1": names of init containers that begin with "before-" are'),
        ("initContainers: [{name: stage-x}]", '"stage-x": names of init containers that begin with "stage-" are'),
        ("tolerations: {key: a}", '"tolerations" must be a list of mappings'),
        ("nodeSelector: [a]", '"nodeSelector" must be a mapping'),
        ("nodeSelector: {meshctl.dev/pool: x}", '"meshctl.dev/pool" in "nodeSelector" is set by meshctl: the pods run'),
        ("containers: [{name: main, resources: {}}]", '"resources" of the container main is set by meshctl; write it'),
        ("securityContext: {runAsUser: 0}", '"runAsUser" of the pods is set by meshctl; write `user: root`, `user: im'),
        ("securityContext: {fsGroup: 0}", '"fsGroup" of the pods is set by meshctl; write `user: root`, `user: image`'),
        ("securityContext: {runAsNonRoot: false}", '"runAsNonRoot" of the pods is set by meshctl; write `user: root`'),
        (
            "containers: [{name: main, securityContext: {runAsUser: 0}}]",
            '"runAsUser" of the container main is set by meshctl; write `user: root`, `user: image` or a number',
        ),
    ],
)
def test_fields_that_would_break_the_pods_are_refused(tmp_path: Path, pod: str, message: str) -> None:
    with pytest.raises(DiagnosticsError) as caught:
        resolution(tmp_path, f"workloads: {{web: {{pod: {{{pod}}}}}}}")
    problems = [(problem.path, problem.message) for problem in caught.value.diagnostics]
    assert [path for path, _ in problems] == [POD]
    assert problems[0][1].startswith(message)


def test_mounts_are_merged_by_their_path() -> None:
    files = [{"name": "0-files", "mountPath": "/a"}, {"name": "0-files", "mountPath": "/b"}]
    more_mounts = [{"name": "0-files", "mountPath": "/b", "readOnly": True}, {"name": "0-files", "mountPath": "/c"}]
    assert merged({"volumeMounts": files}, {"volumeMounts": more_mounts}) == {
        "volumeMounts": [files[0], {**files[1], "readOnly": True}, more_mounts[1]]
    }


def test_the_mounts_of_a_workloads_files_stay_when_one_is_added(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    mesh = MESH.replace("secrets: {TOKEN", "files: {/etc/a.txt: a.txt, /etc/b.txt: a.txt}, secrets: {TOKEN")
    pod = """workloads:
      web:
        pod:
          volumes: [{name: opt, hostPath: {path: /opt}}]
          containers: [{name: main, volumeMounts: [{name: opt, mountPath: /opt}]}]
"""
    made = manifests(tmp_path, pod, mesh)["workload/web:deployment"]["spec"]["template"]["spec"]
    assert [each["mountPath"] for each in made["containers"][0]["volumeMounts"]] == ["/etc/a.txt", "/etc/b.txt", "/opt"]
    assert [volume["name"] for volume in made["volumes"]] == ["0-files", "opt"]


def test_lists_with_a_name_twice_are_appended_to() -> None:
    twice = [{"name": "a", "v": 1}, {"name": "a", "v": 2}]
    assert merged({"x": twice}, {"x": [{"name": "a", "v": 2}, {"name": "b"}]}) == {"x": [*twice, {"name": "b"}]}
    assert merged({"x": [{"name": "b"}]}, {"x": twice}) == {"x": [{"name": "b"}, *twice]}


def test_tolerations_and_node_labels_are_added_to_those_of_meshctl(tmp_path: Path) -> None:
    overrides = """tolerations: [{key: team}]
    workloads:
      "*": {pod: {tolerations: [{key: all, operator: Exists}]}}
      web:
        pod:
          tolerations: [{key: web, operator: Exists}, {key: team, operator: Exists}]
          nodeSelector: {disk: ssd}
"""
    pod = manifests(tmp_path, overrides)["workload/web:deployment"]["spec"]["template"]["spec"]
    assert [each["key"] for each in pod["tolerations"]] == ["team", "all", "web"]
    assert pod["nodeSelector"] == {"meshctl.dev/mesh": "m", "meshctl.dev/pool": "cpu", "disk": "ssd"}


GPU_MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: m
pools: {gpu: {nodes: 2, accelerator: {model: H100, count: 8}, fabric: fast}}
fabrics: {fast: {kind: rdma}}
workloads: {web: {kind: training, pool: gpu, image: "acme/web:1", resources: {accelerators: 8}}}
"""
NETWORKS = "k8s.v1.cni.cncf.io/networks"


@pytest.mark.parametrize(
    ("written", "networks"),
    [
        ("monitoring/tap", "roce-a, ns/roce-b@net2, monitoring/tap"),
        ("roce-a, tap", "roce-a, ns/roce-b@net2, tap"),
        (
            '[{"name": "tap", "ips": ["10.0.0.1"]}]',
            '[{"name": "roce-a"}, {"name": "roce-b", "namespace": "ns", "interface": "net2"},'
            ' {"name": "tap", "ips": ["10.0.0.1"]}]',
        ),
    ],
)
def test_networks_are_added_to_those_of_the_fabric(tmp_path: Path, written: str, networks: str) -> None:
    overrides = f"""fabric: {{kind: roce, networks: [roce-a, ns/roce-b@net2]}}
    workloads: {{web: {{annotations: {{{NETWORKS}: '{written}'}}}}}}
"""
    job = manifests(tmp_path, overrides, GPU_MESH)["workload/web:job"]
    assert job["spec"]["template"]["metadata"]["annotations"][NETWORKS] == networks


def test_networks_of_a_workload_without_a_fabric_stay_as_written(tmp_path: Path) -> None:
    made = manifests(tmp_path, f"workloads: {{web: {{annotations: {{{NETWORKS}: tap}}}}}}")
    assert made["workload/web:deployment"]["spec"]["template"]["metadata"]["annotations"][NETWORKS] == "tap"


@pytest.mark.parametrize("written", ["[{", '{"name": "tap"}', '["tap"]', "a b", "[]x"])
def test_networks_that_multus_cant_read_are_refused(tmp_path: Path, written: str) -> None:
    with pytest.raises(DiagnosticsError) as caught:
        resolution(tmp_path, f"workloads: {{web: {{annotations: {{{NETWORKS}: '{written}'}}}}}}")
    (problem,) = caught.value.diagnostics
    assert problem.path.startswith("environments.dc.workloads.web.annotations")
    assert "NetworkAttachmentDefinition" in problem.message


def test_gpu_pods_keep_their_own_tolerations(tmp_path: Path) -> None:
    overrides = """fabric: {kind: infiniband}
    workloads: {web: {pod: {tolerations: [{key: team, operator: Exists}]}}}
"""
    pod = manifests(tmp_path, overrides, GPU_MESH)["workload/web:job"]["spec"]["template"]["spec"]
    assert [each["key"] for each in pod["tolerations"]] == ["nvidia.com/gpu", "team"]


@pytest.mark.parametrize(
    ("pod", "policy"),
    [
        ("hostNetwork: true", "ClusterFirstWithHostNet"),
        ("hostNetwork: true, dnsPolicy: Default", "Default"),
        ("hostNetwork: false", None),
    ],
)
def test_pods_in_the_network_of_their_node_still_find_services(tmp_path: Path, pod: str, policy: str | None) -> None:
    made = manifests(tmp_path, f"workloads: {{web: {{pod: {{{pod}}}}}}}")["workload/web:deployment"]
    assert made["spec"]["template"]["spec"].get("dnsPolicy") == policy


@pytest.mark.parametrize(
    ("keys", "pod", "surge"),
    [
        ("ports: {http: 8000}, ", "hostNetwork: true", 0),
        ("ports: {http: 8000}, ", "hostNetwork: false", 1),
        ("", "hostNetwork: true", 1),
        ("", "containers: [{name: proxy, image: 'acme/proxy:1', ports: [{containerPort: 80, hostPort: 80}]}]", 0),
        ("", "hostNetwork: true, containers: [{name: proxy, image: 'a:1', ports: [{containerPort: 80}]}]", 0),
        ("", "containers: [{name: proxy, image: 'acme/proxy:1', ports: [{containerPort: 80}]}]", 1),
    ],
)
def test_ports_of_a_node_are_free_before_the_next_pod_starts(tmp_path: Path, keys: str, pod: str, surge: int) -> None:
    mesh = MESH.replace("secrets: {TOKEN", f"{keys}secrets: {{TOKEN")
    overrides = f"workloads: {{web: {{pod: {{{pod}}}}}}}"
    strategy = manifests(tmp_path, overrides, mesh)["workload/web:deployment"]["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": surge, "maxUnavailable": 1 - surge}
    notes = [note for note in resolution(tmp_path, overrides, mesh).notes if "each roll-out leaves it" in note]
    expected = [
        "workload/web: each roll-out leaves it without a pod until the new one is ready, as `pod` in environments.yaml"
        " gives it ports of its node, which the old pod has until it ends"
    ]
    assert notes == ([] if surge else expected)
