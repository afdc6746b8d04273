"""What Kueue is told of pools that lend, and how the pods of what serves and of burst jobs are written."""

from __future__ import annotations

from typing import Any

from meshctl import render
from meshctl.deploy.guards.running import running_pods
from meshctl.model.keys import lending
from meshctl.render import PlatformObject
from tests.unit.resolve.lending_meshes import chat, deployed, sweep
from tests.unit.resolve.meshes import DC
from tests.unit.resolve.test_group_controller import state_of


def objects(**more: Any) -> dict[str, PlatformObject]:
    return {item.name: item for item in render.platform_objects(deployed(**more))}


def quotas(item: PlatformObject) -> dict[str, dict[str, str]]:
    """The quota of accelerators, by flavor."""
    (group,) = item.manifest["spec"]["resourceGroups"]
    resources = {flavor["name"]: flavor["resources"][0] for flavor in group["flavors"]}
    assert {each["name"] for each in resources.values()} == {"nvidia.com/gpu"}
    return {
        name: {key: value for key, value in resource.items() if key != "name"} for name, resource in resources.items()
    }


def test_the_lender_owns_all_of_its_accelerators_and_lends_some() -> None:
    made = objects()
    assert quotas(made["pool/serve:cluster-queue"]) == {
        "m.serve": {"nominalQuota": "24", "borrowingLimit": "0", "lendingLimit": "16"}
    }
    assert quotas(made["pool/train:cluster-queue"]) == {
        "m.train": {"nominalQuota": "8", "borrowingLimit": "0", "lendingLimit": "0"},
        "m.serve": {"nominalQuota": "0", "borrowingLimit": "16"},
    }
    queues = [made[f"pool/{pool}:cluster-queue"].manifest["spec"] for pool in ("serve", "train")]
    assert {queue["cohortName"] for queue in queues} == {"m"}
    assert all(
        queue["preemption"]
        == {"reclaimWithinCohort": "Any", "borrowWithinCohort": {"policy": "Never"}, "withinClusterQueue": "Never"}
        for queue in queues
    )


def test_no_other_mesh_has_a_pool_with_the_same_queue_and_flavor() -> None:
    one, other = deployed(), deployed()
    (serve, train) = (one.pool("serve"), one.pool("train"))
    named = [
        lending.object_name(one.model_copy(update={"mesh": "a-b"}), serve.model_copy(update={"name": "c"})),
        lending.object_name(other.model_copy(update={"mesh": "a"}), train.model_copy(update={"name": "b-c"})),
    ]
    assert named == ["a-b.c", "a.b-c"]


def test_queues_that_are_up_keep_their_names() -> None:
    now = deployed()
    before = now.model_copy(update={"has_dotted_queues": False})
    running = running_pods.with_running_pods(now, state_of(before))
    made = {item.name: item for item in render.platform_objects(running)}
    assert made["pool/serve:flavor"].manifest["metadata"]["name"] == "m-serve"
    assert set(quotas(made["pool/train:cluster-queue"])) == {"m-train", "m-serve"}
    without = deployed(serve={"nodes": 3, "accelerator": {"model": "H100", "count": 8}}, chat=chat(), sweep=None)
    assert not without.has_dotted_queues
    for nothing_to_keep in (without, None):
        assert running_pods.with_running_pods(now, state_of(nothing_to_keep)).has_dotted_queues


def test_all_that_pods_ask_for_is_covered() -> None:
    beside = {"name": "proxy", "image": "p", "resources": {"limits": {"example.com/nic": "1"}}}
    made = objects(environment={**DC, "workloads": {"sweep": {"pod": {"containers": [beside]}}}})
    (group,) = made["pool/train:cluster-queue"].manifest["spec"]["resourceGroups"]
    covered = ["nvidia.com/gpu", "cpu", "ephemeral-storage", "example.com/nic", "memory"]
    assert group["coveredResources"] == covered
    for flavor in group["flavors"]:
        assert [resource["name"] for resource in flavor["resources"]] == covered


def test_the_flavor_is_the_nodes_of_the_pool() -> None:
    spec = objects()["pool/serve:flavor"].manifest["spec"]
    assert spec["nodeLabels"] == {"meshctl.dev/mesh": "m", "meshctl.dev/pool": "serve"}


def test_pods_that_serve_are_counted_by_labels_of_their_own() -> None:
    deployment = objects()["workload/chat:deployment"]
    template = deployment.manifest["spec"]["template"]["metadata"]
    assert template["labels"]["kueue.x-k8s.io/queue-name"] == "serve"
    assert template["labels"]["kueue.x-k8s.io/managed"] == "true"
    # without a finalizer, so that they end also where Kueue does not answer
    assert template["annotations"]["kueue.x-k8s.io/pod-suspending-parent"] == "deployment"
    # Kueue lets no Deployment with ready pods change its queue, and what is up has none yet
    assert "kueue.x-k8s.io/queue-name" not in deployment.manifest["metadata"]["labels"]
    assert deployment.manifest["spec"]["selector"]["matchLabels"].keys() <= template["labels"].keys()


def test_a_burst_job_runs_in_its_pool_or_on_what_others_lend() -> None:
    job = objects(sweep=sweep(), plain=sweep(burst=False))
    pod = job["workload/sweep:job"].manifest["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"meshctl.dev/mesh": "m"}
    (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "meshctl.dev/pool", "operator": "In", "values": ["train", "serve"]}]
    assert job["workload/sweep:job"].manifest["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "train"
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    plain = job["workload/plain:job"].manifest["spec"]["template"]["spec"]
    assert plain["nodeSelector"]["meshctl.dev/pool"] == "train"
    assert "affinity" not in plain


def test_what_is_used_is_deleted_last() -> None:
    made = objects()
    names = list(made)
    for item in made.values():
        assert all(names.index(other) < names.index(item.name) for other in item.depends_on if other in names)
    assert "pool/serve:queue" in made["workload/chat:deployment"].depends_on
    assert "pool/train:queue" in made["workload/sweep:job"].depends_on
    assert {"pool/train:flavor", "pool/serve:flavor"} == set(made["pool/train:cluster-queue"].depends_on)


def test_a_mesh_without_lending_is_rendered_as_before() -> None:
    made = objects(serve={"nodes": 3, "accelerator": {"model": "H100", "count": 8}}, chat=chat(), sweep=None)
    assert not [name for name in made if name.startswith("pool/") and "queue" in name]
    template = made["workload/chat:deployment"].manifest["spec"]["template"]["metadata"]
    assert not [key for key in template["labels"] if "kueue" in key]
