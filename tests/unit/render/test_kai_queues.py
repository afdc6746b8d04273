"""What KAI Scheduler is told of pools that lend, and by what it knows the pods that it places."""

from __future__ import annotations

from typing import Any

from meshctl import render
from meshctl.model.deployment import Deployment
from meshctl.render import PlatformObject
from tests.unit.resolve.lending_meshes import SERVE, sweep
from tests.unit.resolve.meshes import DC
from tests.unit.resolve.test_kai import KAI_DC, with_kai
from tests.unit.resolve.test_resolve_fit import service

GANG = service(2, "training", accelerators=8) | {"pool": "train"}
TWO_NODES = {**SERVE, "nodes": 2, "lend": None}


def deployed(**more: Any) -> Deployment:
    deployment: Deployment | None = with_kai(**more).deployment
    assert deployment is not None
    return deployment


def objects(deployment: Deployment) -> dict[str, PlatformObject]:
    return {item.name: item for item in render.platform_objects(deployment)}


def queue(made: dict[str, PlatformObject], name: str) -> tuple[str, str, dict[str, Any]]:
    """Name, parent and what it has of accelerators."""
    manifest = made[name].manifest
    assert (manifest["apiVersion"], manifest["kind"]) == ("scheduling.run.ai/v2", "Queue")
    spec = manifest["spec"]
    # a pod whose cores were above the quota of its queue could be taken back, or would not start at all
    assert spec["resources"]["cpu"] == spec["resources"]["memory"] == {"quota": -1, "limit": -1, "overQuotaWeight": 1}
    return manifest["metadata"]["name"], spec.get("parentQueue", ""), spec["resources"]["gpu"]


def test_a_pool_owns_its_accelerators_and_lends_some_that_nobody_is_promised() -> None:
    made = objects(deployed())
    assert queue(made, "platform:kai-queue") == ("m", "", {"quota": 32, "limit": -1, "overQuotaWeight": 0})
    assert queue(made, "pool/serve:kai-queue") == ("m.serve", "m", {"quota": 24, "limit": 24, "overQuotaWeight": 0})
    assert queue(made, "pool/serve:kai-lent-queue") == (
        "m.serve.lent",
        "m",
        {"quota": 0, "limit": 16, "overQuotaWeight": 1},
    )
    assert queue(made, "pool/train:kai-queue") == ("m.train", "m", {"quota": 8, "limit": 8, "overQuotaWeight": 0})
    assert "pool/train:kai-lent-queue" not in made
    lent = made["pool/serve:kai-lent-queue"].manifest["spec"]
    assert (lent["priority"], lent["reclaimMinRuntime"]) == (50, "0s")
    assert not [name for name in made if name.endswith((":flavor", ":cluster-queue", ":queue"))], "nothing of Kueue"


def template(item: PlatformObject) -> tuple[dict[str, Any], dict[str, str]]:
    """Spec and labels of its pods."""
    pod = item.manifest["spec"]["template"]
    return pod["spec"], pod["metadata"]["labels"]


def test_pods_that_serve_are_never_taken_back() -> None:
    spec, labels = template(objects(deployed())["workload/chat:deployment"])
    assert spec["schedulerName"] == "kai-scheduler"
    assert labels["kai.scheduler/queue"] == "m.serve"
    assert labels["kai.scheduler/preemptibility"] == "non-preemptible"
    assert not [key for key in labels if "kueue" in key]


def test_a_burst_job_may_run_on_lent_nodes_and_is_taken_back_there() -> None:
    job = objects(deployed())["workload/sweep:job"]
    spec, labels = template(job)
    assert (labels["kai.scheduler/queue"], labels["kai.scheduler/preemptibility"]) == ("m.serve.lent", "preemptible")
    assert spec["schedulerName"] == "kai-scheduler"
    assert spec["nodeSelector"] == {"meshctl.dev/mesh": "m"}
    affinity = spec["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["train", "serve"]
    (preference,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    assert preference["preference"]["matchExpressions"][0]["values"] == ["train"]
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]
    assert job.manifest["spec"]["suspend"] is False, "its pods wait for nodes, and nobody starts the job"


def test_a_gang_starts_together_by_kai_and_keeps_its_place() -> None:
    job = objects(deployed(pretrain=GANG, train=TWO_NODES))["workload/pretrain:job"]
    spec, labels = template(job)
    assert job.manifest["metadata"]["annotations"]["kai.scheduler/batch-min-member"] == "2"
    assert "schedulingGates" not in spec
    assert labels["kai.scheduler/preemptibility"] == "non-preemptible"
    single = objects(deployed(sweep=sweep(replicas=2)))["workload/sweep:job"]
    assert "kai.scheduler/batch-min-member" not in single.manifest["metadata"].get("annotations", {})


def test_a_part_of_the_cluster_is_named_on_queues_and_pods() -> None:
    deployment = deployed()
    assert deployment.kai is not None
    parted = deployment.model_copy(update={"kai": deployment.kai.model_copy(update={"node_pool": "gpus"})})
    made = objects(parted)
    for name in ("platform:kai-queue", "pool/serve:kai-queue", "pool/serve:kai-lent-queue"):
        assert made[name].manifest["metadata"]["labels"]["kai.scheduler/node-pool"] == "gpus"
    for name in ("workload/chat:deployment", "workload/sweep:job"):
        assert template(made[name])[1]["kai.scheduler/node-pool"] == "gpus"


def test_what_is_used_is_deleted_last() -> None:
    made = objects(deployed())
    names = list(made)
    for item in made.values():
        assert all(names.index(other) < names.index(item.name) for other in item.depends_on if other in names)
    assert made["pool/serve:kai-lent-queue"].depends_on == ("platform:kai-queue",)
    assert "pool/serve:kai-queue" in made["workload/chat:deployment"].depends_on
    assert "pool/serve:kai-lent-queue" in made["workload/sweep:job"].depends_on


def test_without_the_key_nothing_changes() -> None:
    made = objects(deployed(environment=DC))
    assert not [name for name in made if "kai" in name]
    spec, labels = template(made["workload/sweep:job"])
    assert "schedulerName" not in spec
    assert not [key for key in labels if "kai.scheduler" in key]
    assert KAI_DC != DC
