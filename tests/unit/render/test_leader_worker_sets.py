"""Groups of pods as a LeaderWorkerSet: what its controller needs, and what its pods are told."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl import render
from meshctl.model.deployment import Before, Deployment, Metrics, Mount, Workload
from meshctl.render.objects import PlatformObject
from tests.unit.render.sample import CHAT, sample

LLAMA = CHAT.model_copy(update={"nodes_per_replica": 3})


def with_controller(workload: Workload = LLAMA, **changes: Any) -> Deployment:
    made = sample("coreweave")
    return made.model_copy(update={"workloads": (workload,), "has_group_controller": True, **changes})


def group_set(deployment: Deployment) -> PlatformObject:
    (made,) = [item for item in render.platform_objects(deployment) if item.kind == "LeaderWorkerSet"]
    return made


def template(workload: Workload, name: str) -> dict[str, Any]:
    groups = group_set(with_controller(workload)).manifest["spec"]["leaderWorkerTemplate"]
    made: dict[str, Any] = groups[f"{name}Template"]
    return made


def container(workload: Workload, name: str) -> dict[str, Any]:
    made: dict[str, Any] = template(workload, name)["spec"]["containers"][0]
    return made


def test_a_set_has_the_groups_and_restarts_one_as_a_whole() -> None:
    made = group_set(with_controller())
    spec = made.manifest["spec"]
    assert (made.name, made.wait) == ("workload/chat:leader-worker-set", True)
    assert spec["replicas"] == 2
    assert spec["startupPolicy"] == "LeaderCreated"
    assert spec["networkConfig"] == {"subdomainPolicy": "UniquePerReplica"}
    assert spec["rolloutStrategy"] == {
        "type": "RollingUpdate",
        "rollingUpdateConfiguration": {"maxUnavailable": 1, "maxSurge": 0},
    }
    assert spec["leaderWorkerTemplate"]["size"] == 3
    assert spec["leaderWorkerTemplate"]["restartPolicy"] == "RecreateGroupOnPodRestart"
    annotations = made.manifest["metadata"]["annotations"]
    assert annotations["pulumi.com/waitFor"] == "condition=Available"
    assert annotations["pulumi.com/timeoutSeconds"].isdigit()


def test_only_the_leader_has_ports_health_and_metrics() -> None:
    workload = LLAMA.model_copy(update={"metrics": Metrics(port="http", path="/metrics")})
    leader, worker = container(workload, "leader"), container(workload, "worker")
    assert [port["containerPort"] for port in leader["ports"]] == [8000]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= leader.keys()
    assert not {"ports", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle"} & worker.keys()
    scraped = [template(workload, name)["metadata"].get("annotations", {}) for name in ("leader", "worker")]
    assert ["prometheus.io/scrape" in annotations for annotations in scraped] == [True, False]


def test_leader_and_workers_differ_in_nothing_else() -> None:
    leader, worker = template(LLAMA, "leader"), template(LLAMA, "worker")
    assert leader["spec"]["containers"][0].pop("ports")
    for key in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle"):
        leader["spec"]["containers"][0].pop(key)
    assert leader["spec"] == worker["spec"]
    roles = [each["metadata"]["labels"].pop("meshctl.dev/role") for each in (leader, worker)]
    assert roles == ["leader", "worker"]
    assert leader["metadata"] == worker["metadata"]


@pytest.mark.parametrize("name", ["leader", "worker"])
def test_pods_are_told_their_place_in_their_group(name: str) -> None:
    entries = container(LLAMA, name)["env"]
    env = {entry["name"]: entry for entry in entries}
    index = "metadata.labels['leaderworkerset.sigs.k8s.io/{}-index']"
    assert env["MESH_REPLICA"]["valueFrom"]["fieldRef"]["fieldPath"] == index.format("group")
    assert env["MESH_RANK"]["valueFrom"]["fieldRef"]["fieldPath"] == index.format("worker")
    assert env["MESH_NODES"]["value"] == "3"
    assert env["MESH_LEADER"]["value"] == "chat-$(MESH_REPLICA).chat-$(MESH_REPLICA)"
    assert env["MESH_HOSTS"]["value"].replace("$(MESH_REPLICA)", "1") == "chat-1.chat-1,chat-1-1.chat-1,chat-1-2.chat-1"
    names = [entry["name"] for entry in entries]
    assert names.index("MESH_REPLICA") < min(names.index("MESH_LEADER"), names.index("MESH_HOSTS"))
    assert len(names) == len(set(names))


def test_texts_of_users_may_refer_to_them() -> None:
    step = Before(image="acme/wait:1", command=("wait-for", "$(MESH_LEADER)"), env={"RANK": "$(MESH_RANK)"})
    workload = LLAMA.model_copy(
        update={
            "args": ("--nnodes", "$(MESH_NODES)", "--master", "$(MESH_LEADER)"),
            "env": {"A_HOSTS": "$(MESH_HOSTS)"},
            "before": (step,),
        }
    )
    made = container(workload, "worker")
    assert made["args"] == ["--nnodes", "$(MESH_NODES)", "--master", "$(MESH_LEADER)"]
    names = [entry["name"] for entry in made["env"]]
    assert names.index("MESH_HOSTS") < names.index("A_HOSTS")
    assert next(entry["value"] for entry in made["env"] if entry["name"] == "A_HOSTS") == "$(MESH_HOSTS)"
    before = template(workload, "worker")["spec"]["initContainers"][-1]
    assert before["command"] == ["wait-for", "$(MESH_LEADER)"]
    assert {entry["name"]: entry.get("value") for entry in before["env"]}["RANK"] == "$(MESH_RANK)"


def test_the_pods_of_a_group_are_spread_over_nodes_and_not_over_zones() -> None:
    (constraint,) = template(LLAMA, "worker")["spec"]["topologySpreadConstraints"]
    assert constraint["topologyKey"] == "kubernetes.io/hostname"
    assert constraint["matchLabelKeys"] == ["leaderworkerset.sigs.k8s.io/group-key"]
    assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"


def test_a_paused_set_has_no_groups_and_nobody_waits_for_it() -> None:
    made = group_set(with_controller(LLAMA.model_copy(update={"paused": True})))
    assert (made.manifest["spec"]["replicas"], made.wait) == (0, False)


def test_what_is_true_in_one_environment_only_is_true_of_all_pods() -> None:
    workload = LLAMA.model_copy(
        update={
            "labels": {"squad": "nlp"},
            "annotations": {"a": "b"},
            "pod": {"runtimeClassName": "nvidia"},
        }
    )
    made = group_set(with_controller(workload)).manifest
    assert made["metadata"]["labels"]["squad"] == "nlp"
    for name in ("leader", "worker"):
        of_pod = template(workload, name)
        assert of_pod["metadata"]["labels"]["squad"] == "nlp"
        assert of_pod["metadata"]["labels"]["meshctl.dev/role"] == name
        assert of_pod["metadata"]["annotations"]["a"] == "b"
        assert of_pod["spec"]["runtimeClassName"] == "nvidia"


def test_groups_that_keep_volumes_are_written_out() -> None:
    """A LeaderWorkerSet of this version has no claims."""
    workload = LLAMA.model_copy(update={"mounts": (Mount(storage="rows", kind="block", path="/rows"),)})
    made = render.platform_objects(with_controller(workload))
    assert "LeaderWorkerSet" not in {item.kind for item in made}


@pytest.mark.parametrize("changes", [{"has_group_controller": False}, {"workloads": (CHAT,)}])
def test_nothing_else_becomes_a_set(changes: dict[str, Any]) -> None:
    made = render.platform_objects(with_controller(**changes)) if "workloads" not in changes else None
    made = made or render.platform_objects(with_controller(CHAT))
    assert "LeaderWorkerSet" not in {item.kind for item in made}
