"""Replicas of several pods: the objects of their groups, who gets requests, what the pods know, how they are rolled."""

from __future__ import annotations

import re
from typing import Any

import pytest

from meshctl import render
from meshctl.model.deployment import Deployment, Metrics, Mount, Workload
from meshctl.model.pods import object_names
from meshctl.render import PlatformObject
from stacks import platform
from tests.unit.render.sample import sample
from tests.unit.stacks.test_platform_waits import declared

PROVIDERS = ("aws", "coreweave", "onprem")


def grouped(provider: Any = "aws", **changes: Any) -> Deployment:
    """Two groups of three pods of `chat`, one of them for each node."""
    given = sample(provider)
    fields = {"nodes_per_replica": 3, **changes}
    workloads = tuple(w.model_copy(update=fields) if w.name == "chat" else w for w in given.workloads)
    return given.model_copy(update={"workloads": workloads})


def objects(deployment: Deployment) -> dict[str, PlatformObject]:
    items = render.platform_objects(deployment)
    return {item.name.partition(":")[2]: item for item in items if item.subject == "workload/chat"}


def template(deployment: Deployment, name: str) -> dict[str, Any]:
    value: dict[str, Any] = objects(deployment)[name].manifest["spec"]["template"]
    return value


def env(deployment: Deployment, name: str) -> dict[str, Any]:
    (main,) = template(deployment, name)["spec"]["containers"]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in main["env"]}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_group_has_a_leader_and_workers_with_ranks(provider: Any) -> None:
    given = objects(grouped(provider))
    sets = {name: item.manifest for name, item in given.items() if item.kind == "StatefulSet"}
    assert list(sets) == ["group-0-leader", "group-0-worker", "group-1-leader", "group-1-worker"]
    assert "deployment" not in given
    assert [(s["metadata"]["name"], s["spec"]["replicas"], s["spec"].get("ordinals")) for s in sets.values()] == [
        ("chat-0", 1, None),
        ("chat-0-workers", 2, {"start": 1}),
        ("chat-1", 1, None),
        ("chat-1-workers", 2, {"start": 1}),
    ]
    for manifest in sets.values():
        spec = manifest["spec"]
        assert spec["podManagementPolicy"] == "Parallel"
        assert spec["serviceName"] == given["pods"].manifest["metadata"]["name"]
        assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
        assert "volumeClaimTemplates" not in spec
        assert spec["template"]["spec"]["serviceAccountName"] == "chat"
    selectors = [tuple(sorted(s["spec"]["selector"]["matchLabels"].items())) for s in sets.values()]
    assert len(set(selectors)) == len(selectors)


def test_the_pods_of_a_group_know_each_other() -> None:
    hosts = "chat-1-0.chat-pods,chat-1-workers-1.chat-pods,chat-1-workers-2.chat-pods"
    both = {"MESH_NODES": "3", "MESH_LEADER": "chat-1-0.chat-pods", "MESH_HOSTS": hosts, "MESH_REPLICA": "1"}
    leader, worker = (env(grouped(), f"group-1-{role}") for role in ("leader", "worker"))
    assert both.items() <= leader.items()
    assert both.items() <= worker.items()
    assert leader["MESH_RANK"] == "0"
    assert worker["MESH_RANK"] == {"fieldRef": {"fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}}
    assert leader["LOG_LEVEL"] == worker["LOG_LEVEL"] == "info"


def test_a_pod_is_found_by_name_before_it_is_ready() -> None:
    pods = objects(grouped())["pods"].manifest["spec"]
    assert pods["publishNotReadyAddresses"] is True
    assert pods["clusterIP"] == "None"
    assert "meshctl.dev/role" not in pods["selector"]
    assert "ports" not in pods


@pytest.mark.parametrize("provider", PROVIDERS)
def test_requests_and_probes_are_for_leaders_alone(provider: Any) -> None:
    given = grouped(provider, metrics=Metrics(port="http", path="/metrics"))
    for service in ("service", "load-balancer"):
        assert objects(given)[service].manifest["spec"]["selector"]["meshctl.dev/role"] == "leader"
    leader, worker = (template(given, f"group-0-{role}") for role in ("leader", "worker"))
    assert leader["metadata"]["labels"]["meshctl.dev/role"] == "leader"
    assert worker["metadata"]["labels"]["meshctl.dev/role"] == "worker"
    (of_leader,), (of_worker,) = (each["spec"]["containers"] for each in (leader, worker))
    probes = {"startupProbe", "readinessProbe", "livenessProbe", "ports"}
    assert probes <= of_leader.keys()
    assert not probes & of_worker.keys()
    assert "prometheus.io/scrape" in leader["metadata"]["annotations"]
    assert "prometheus.io/scrape" not in worker["metadata"].get("annotations", {})
    assert of_leader["resources"] == of_worker["resources"]
    assert set(objects(given)["load-balancer"].depends_on) >= {
        "workload/chat:group-0-leader",
        "workload/chat:group-1-leader",
    }


def test_workers_stay_until_their_leader_has_answered() -> None:
    leader, worker = (template(grouped(), f"group-0-{role}")["spec"] for role in ("leader", "worker"))
    leader_s = leader["terminationGracePeriodSeconds"]
    assert worker["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": leader_s}}}
    assert worker["terminationGracePeriodSeconds"] > leader_s


def test_the_pods_of_one_group_are_spread_over_nodes_and_not_over_zones() -> None:
    (spread,) = template(grouped(), "group-1-worker")["spec"]["topologySpreadConstraints"]
    labels = spread["labelSelector"]["matchLabels"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert labels["meshctl.dev/group"] == "1"
    assert "meshctl.dev/role" not in labels


def test_paused_groups_have_no_pods() -> None:
    sets = [item for item in objects(grouped(paused=True)).values() if item.kind == "StatefulSet"]
    assert [item.manifest["spec"]["replicas"] for item in sets] == [0, 0, 0, 0]
    assert not any(item.wait for item in sets)


def test_each_pod_of_a_group_keeps_a_volume_of_its_own() -> None:
    mounts = (Mount(storage="rows", kind="block", path="/rows"),)
    given = objects(grouped(mounts=mounts))
    for name in ("group-0-leader", "group-0-worker"):
        (claim,) = given[name].manifest["spec"]["volumeClaimTemplates"]
        assert claim["metadata"]["name"] == "rows"


def test_names_of_groups_are_those_that_the_mesh_checks() -> None:
    mesh = {
        "storage": {"rows": {"kind": "block"}},
        "workloads": {
            "chat": {
                "kind": "inference",
                "replicas": 2,
                "nodes": 3,
                "ports": {"http": 8000},
                "secrets": {"HF_TOKEN": "hf-token"},
                "mounts": {"rows": {"path": "/rows"}},
            }
        },
        "endpoints": {"chat": {"workload": "chat"}},
    }
    names = {(each.kind, each.name) for each in object_names.objects(mesh)}
    given = grouped(mounts=(Mount(storage="rows", kind="block", path="/rows"),))
    kinds = ("StatefulSet", "Service", "Secret", "ServiceAccount")
    rendered = {
        (item.kind, item.manifest["metadata"]["name"]) for item in objects(given).values() if item.kind in kinds
    }
    for item in objects(given).values():
        if item.kind == "StatefulSet":
            spec = item.manifest["spec"]
            number = spec.get("ordinals", {}).get("start", 0)
            rendered.add(("PersistentVolumeClaim", f"rows-{item.manifest['metadata']['name']}-{number}"))
    of_a_controller = {("Service", f"chat-{group}") for group in range(2)}  # as groups are called where one keeps them
    assert names == rendered | of_a_controller


def test_names_fit_into_labels() -> None:
    long = Workload.model_validate({**sample("aws").workload("chat").model_dump(), "name": "a" * 30})
    given = grouped()
    workload = long.model_copy(update={"nodes_per_replica": 100, "replicas": 100})
    deployment = given.model_copy(update={"workloads": (workload,), "endpoints": ()})
    sets = [item.manifest for item in render.platform_objects(deployment) if item.kind == "StatefulSet"]
    # a pod's name is a label, and so is the revision: the name of the set and a hash of ten
    assert max(len(f"{each['metadata']['name']}-0123456789") for each in sets) <= 63


def test_what_has_no_groups_is_as_it_was() -> None:
    assert grouped(nodes_per_replica=1) == sample("aws")
    assert grouped(nodes_per_replica=1).digest == sample("aws").digest


def test_a_first_start_waits_for_no_other_group_and_a_roll_out_for_each() -> None:
    given = grouped()
    first = declared(given)
    sets = {name: re.sub(r".*:group-", "", name) for name in first if ":group-" in name}
    assert len(sets) == 4
    for name in sets:
        assert not _of_groups(first[name].dependencies)
        assert list(first[name].replaceOnChanges) == ["spec.template"]
        assert first[name].deleteBeforeReplace
    up = {render.up_name(name): True for name in sets}
    rolled = declared(given, up)
    assert not _of_groups(rolled["workload/chat:group-0-leader"].dependencies)
    for role in ("leader", "worker"):
        assert _of_groups(rolled[f"workload/chat:group-1-{role}"].dependencies) == {"0-leader", "0-worker"}
    del up[render.up_name("workload/chat:group-1-leader")]
    del up[render.up_name("workload/chat:group-1-worker")]
    assert not _of_groups(declared(given, up)["workload/chat:group-1-leader"].dependencies)


def _of_groups(urns: Any) -> set[str]:
    return {urn.rpartition(":group-")[2] for urn in urns if ":group-" in urn}


def test_no_other_object_is_replaced_by_a_changed_template() -> None:
    assert platform.token(objects(sample("aws"))["deployment"]) == "kubernetes:apps/v1:Deployment"
    assert not objects(sample("aws"))["deployment"].replace_on
