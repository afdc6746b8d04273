"""A job that comes after others: it is created suspended, and its release may start it and do nothing else."""

from __future__ import annotations

import json
from typing import Any

from meshctl import render
from meshctl.model.deployment import Deployment, Workload
from meshctl.render import LateValue
from tests.unit.deployments import deployment

PREPARE = Workload(name="prepdata", kind="batch", pool="serve", replicas=1, image="acme/prepare:1")


def in_order(**changes: object) -> Deployment:
    made = deployment()
    chat, pretrain = made.workloads
    pretrain = pretrain.model_copy(update={"after": ("prepdata",), **changes})
    return made.model_copy(update={"workloads": (chat, PREPARE, pretrain)})


def objects(made: Deployment) -> dict[str, render.PlatformObject]:
    return {item.name: item for item in render.platform_objects(made)}


def job_of(made: Deployment) -> dict[str, Any]:
    return objects(made)["workload/pretrain:job"].manifest


def test_it_is_created_suspended_and_its_suspension_is_left_to_its_release() -> None:
    made = objects(in_order())
    job = made["workload/pretrain:job"]
    assert job.manifest["spec"]["suspend"] is True
    assert job.manifest["metadata"]["annotations"] == {"meshctl.dev/after": "prepdata"}
    assert job.left == ("spec.suspend",)
    assert made["workload/prepdata:job"].manifest["spec"]["suspend"] is False


def test_the_release_waits_for_the_jobs_and_starts_the_one_it_was_made_for() -> None:
    release = objects(in_order())["workload/pretrain:release"]
    pod = release.manifest["spec"]["template"]["spec"]
    (wait,), (start,) = pod["initContainers"], pod["containers"]
    assert wait["args"][:3] == ["wait", "job/prepdata", "--for=condition=complete"]
    assert start["args"][:2] == ["patch", "job/pretrain"]
    (patch,) = [each.removeprefix("--patch=") for each in start["args"] if each.startswith("--patch=")]
    assert json.loads(patch) == {"metadata": {"uid": "$(JOB_UID)"}, "spec": {"suspend": False}}
    assert start["env"] == [{"name": "JOB_UID", "value": LateValue("uid of workload/pretrain:job")}]
    assert {"workload/pretrain:job", "workload/prepdata:job"} <= set(release.depends_on)


def test_the_release_holds_no_accelerator_and_may_change_one_job_only() -> None:
    made = objects(in_order())
    pod = made["workload/pretrain:release"].manifest["spec"]["template"]["spec"]
    for container in (*pod["initContainers"], *pod["containers"]):
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert "command" not in container  # the image has no shell
    assert pod["nodeSelector"] == {"meshctl.dev/mesh": "llm-prod"}  # any node of the mesh
    reading, writing = made["workload/pretrain:release-role"].manifest["rules"]
    assert (reading["resourceNames"], reading["verbs"]) == (["prepdata"], ["get", "list", "watch"])
    assert (writing["resourceNames"], writing["verbs"]) == (["pretrain"], ["get", "patch"])


def test_a_mesh_without_order_has_the_same_bytes_as_before() -> None:
    made = objects(deployment())
    assert not [name for name in made if "release" in name]
    job = made["workload/pretrain:job"]
    assert "annotations" not in job.manifest["metadata"]
    assert (job.manifest["spec"]["suspend"], job.left) == (False, ())


def test_a_paused_job_has_no_release_that_could_start_it() -> None:
    made = in_order().paused(frozenset({"pretrain"}))
    assert not [name for name in objects(made) if "release" in name]
    assert job_of(made)["spec"]["suspend"] is True
    assert objects(made)["workload/pretrain:job"].left == ()


def test_a_job_whose_predecessor_has_ended_elsewhere_starts_at_once() -> None:
    made = in_order().finished({"prepdata": "cw"})
    assert not [name for name in objects(made) if "release" in name]
    assert job_of(made)["spec"]["suspend"] is False


def test_a_queue_decides_when_a_job_starts() -> None:
    made = in_order(after=(), queue="genai")
    job = objects(made)["workload/pretrain:job"]
    assert job.manifest["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "genai"
    assert "kueue.x-k8s.io/queue-name" not in job.manifest["spec"]["template"]["metadata"]["labels"]
    assert (job.manifest["spec"]["suspend"], job.left) == (True, ("spec.suspend",))
    paused = job_of(made.paused(frozenset({"pretrain"})))
    assert "kueue.x-k8s.io/queue-name" not in paused["metadata"]["labels"]  # Kueue would start it again


def test_after_others_a_job_is_handed_to_its_queue_by_its_release() -> None:
    made = objects(in_order(queue="genai"))
    assert "kueue.x-k8s.io/queue-name" not in made["workload/pretrain:job"].manifest["metadata"]["labels"]
    args = made["workload/pretrain:release"].manifest["spec"]["template"]["spec"]["containers"][0]["args"]
    (patch,) = [each.removeprefix("--patch=") for each in args if each.startswith("--patch=")]
    labels = {"kueue.x-k8s.io/queue-name": "genai"}
    assert json.loads(patch) == {"metadata": {"uid": "$(JOB_UID)", "labels": labels}}


def test_a_release_is_in_the_queue_of_its_job() -> None:
    """Where Kueue manages jobs without a queue as well, it would suspend the release for good."""
    queue = "kueue.x-k8s.io/queue-name"
    made = objects(in_order(queue="genai"))
    release = made["workload/pretrain:release"]
    assert release.manifest["metadata"]["labels"][queue] == "genai"
    assert queue not in release.manifest["spec"]["template"]["metadata"]["labels"]
    # Kueue refuses another queue for a Job that has started
    assert release.replace_on == (f'metadata.labels["{queue}"]',)
    assert queue not in made["workload/pretrain:release-role"].manifest["metadata"]["labels"]
    assert queue not in objects(in_order())["workload/pretrain:release"].manifest["metadata"]["labels"]


def test_a_release_in_a_queue_asks_for_nothing_of_its_quota() -> None:
    """A ClusterQueue need not have a quota for CPU, and what is left of one may be too little: then the release would
    wait for the jobs that it holds back, or they for it."""
    pod = objects(in_order(queue="genai"))["workload/pretrain:release"].manifest["spec"]["template"]["spec"]
    assert [each["resources"] for each in (*pod["initContainers"], *pod["containers"])] == [{}, {}]


def test_the_image_of_the_release_comes_from_the_mirror() -> None:
    made = in_order().model_copy(update={"images": {"registry.k8s.io": "mirror.example.com/k8s"}})
    pod = objects(made)["workload/pretrain:release"].manifest["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"].startswith("mirror.example.com/k8s/kubectl:")
