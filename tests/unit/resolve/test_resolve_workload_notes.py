"""What may keep a workload from running though it fits is noted, where it is true."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.changes import Step
from meshctl.deploy.runs import plans
from tests.unit.deployments import deployment
from tests.unit.resolve.meshes import AWS, CW, DC, resolved

ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com/nccl-tests:latest"
POOLS = {"web": {"nodes": 1, "cpu": {"cores": 4}}}
DNS = {"provider": "route53", "zone": "example.com"}


def notes(environment: dict[str, Any], *, endpoint: bool = False, **fields: Any) -> list[str]:
    workload = {"kind": "service", "pool": "web", "image": "a/b:1", **fields}
    more: dict[str, Any] = {"workloads": {"front": workload}}
    if endpoint:
        more |= {"endpoints": {"shop": {"host": "shop.example.com", "workload": "front", "port": "http"}}, "dns": DNS}
    found = resolved(POOLS, environment, **more).notes
    return [note for note in found if note.startswith("workload/front: ")]


@pytest.mark.parametrize(
    "image",
    [
        ECR,
        "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com/a/b@sha256:" + "0" * 64,
        "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/a",
        "123456789012.dkr-ecr.us-east-1.on.aws/a:1",
    ],
)
@pytest.mark.parametrize("environment", [CW, DC])
def test_an_image_of_ecr_outside_aws(environment: dict[str, Any], image: str) -> None:
    (note,) = notes(environment, image=image)
    assert f"{image}: nodes that are not of the platform aws can't pull it without imagePullSecrets; " in note
    assert "lasts 12 hours" in note
    (note,) = notes(environment, image=image, imagePullSecrets=["ecr"])
    assert note.startswith(f"workload/front: {image}: a token of ECR lasts 12 hours")


def test_no_note_where_nodes_pull_it_by_themselves_or_the_registry_is_another() -> None:
    assert notes(AWS, image=ECR) == []
    for image in ("public.ecr.aws/nginx/nginx:1", "ghcr.io/acme/train:1", "ecr.example.com/a:1", "nginx:1"):
        assert notes(CW, image=image) == []


def test_no_note_where_a_mirror_has_the_image() -> None:
    registry = ECR.partition("/")[0]
    assert notes({**DC, "images": {registry: "mirror.dc.example"}}, image=ECR) == []
    assert notes({**DC, "images": {"ghcr.io": "mirror.dc.example"}}, image=ECR) != []


@pytest.mark.parametrize("environment", [AWS, CW, DC])
def test_a_port_below_1024_is_noted(environment: dict[str, Any]) -> None:
    (note,) = notes(environment, ports={"http": 80, "metrics": 1024})
    assert "its port http is 80; " in note
    assert "containerd from 2.0 on does, containerd 1.x and CRI-O only when" in note


@pytest.mark.parametrize(("user", "count"), [("root", 0), ("image", 0), (1001, 1)])
def test_who_has_what_the_runtime_gives_may_listen_below_1024(user: str | int, count: int) -> None:
    assert len(notes(DC, ports={"http": 80}, user=user)) - len(notes(DC, user=user)) == count


@pytest.mark.parametrize("image", ["redis:8.2.1", "docker.io/library/redis@sha256:" + 64 * "0", "postgres"])
def test_an_image_with_a_user_of_its_own_is_noted(image: str) -> None:
    (note,) = notes(CW, image=image)
    assert "belong to the image's own user" in note
    assert "write `user: 999`" in note
    assert notes(CW, image=image, user=999) == notes(CW, image=image, user="image") == []


@pytest.mark.parametrize(
    "image", ["redis/redis-stack:7", "ghcr.io/acme/redis:8", "registry.example.com/library/redis:8"]
)
def test_images_of_others_are_not_taken_for_official_ones(image: str) -> None:
    assert notes(CW, image=image) == []


def test_sshd_without_the_rights_of_root_is_noted() -> None:
    (note,) = notes(CW, command=["bash", "-c"], args=["/usr/sbin/sshd -D -e &\nexec mpirun a"])
    assert "its command starts sshd" in note
    assert "write `user: root`" in note
    assert notes(CW, command=["/usr/sbin/sshd", "-D"], user="root") == []
    assert notes(CW, args=["cat /etc/ssh/sshd_config", "my-sshd.sh"]) == []


def test_an_endpoint_needs_a_controller_where_the_platform_brings_none() -> None:
    (note,) = notes(DC, endpoint=True, ports={"http": 8080})
    assert (
        "its endpoint shop needs something in the cluster that gives Services of type LoadBalancer an address" in note
    )
    assert notes(AWS, endpoint=True, ports={"http": 8080}) == []
    assert notes(CW, endpoint=True, ports={"http": 8080}) == []
    assert notes(DC, ports={"http": 8080}) == []


def test_variables_that_kubernetes_would_put_in_are_noted() -> None:
    fields: dict[str, Any] = {"args": ["--token=$(HF_TOKEN)", "$(date) $(HOME) $(MESH_POOL)"], "env": {"PORT": "80"}}
    (note,) = notes(DC, secrets={"HF_TOKEN": "hf"}, **fields)
    assert note.startswith(
        "workload/front: $(HF_TOKEN) in its texts stays as written, since only $(MESH_…) is replaced"
    )
    assert 'exec PROGRAM "$HF_TOKEN"' in note
    (note,) = notes(DC, secrets={"HF_TOKEN": "hf"}, **{**fields, "env": {"PORT": "80", "URL": "a:$(PORT)"}})
    assert "$(HF_TOKEN), $(PORT) in its texts stay as written" in note
    assert notes(DC, **{**fields, "args": ["$HF_TOKEN"]}) == []


def test_a_plan_notes_it_for_the_workloads_that_it_changes() -> None:
    given = deployment("cw")
    workloads = tuple(each.model_copy(update={"image": ECR}) for each in given.workloads)
    given = given.model_copy(update={"workloads": workloads, "endpoints": ()})

    def step(name: str, op: str) -> Step:
        type_ = "kubernetes:apps/v1:Deployment"
        return Step(urn=f"urn:pulumi:cw::llm-prod::{type_}::workload/{name}:deployment", type=type_, op=op)

    found = plans.plan_of_preview(given, [step("chat", "same"), step("pretrain", "update")], None, ())
    assert [note[:17] for note in found.notes] == ["workload/pretrain"]
    assert plans.plan_of_preview(given, [step("chat", "same"), step("chat", "delete")], None, ()).notes == ()


def test_images_and_texts_of_steps_before_count_too() -> None:
    registry = ECR.partition("/")[0]
    step: dict[str, Any] = {"image": ECR}
    (note,) = notes(CW, before=[step, step])
    assert f"{ECR}: nodes that are not of the platform aws can't pull it" in note
    assert len(notes(CW, image=ECR, before=[step])) == 1
    assert notes({**DC, "images": {registry: "mirror.dc.example"}}, before=[step]) == []
    step = {"image": "a/b:1", "args": ["$(OWN) $(STEP)"], "env": {"STEP": "1", "COPY": "$(STEP)"}}
    (note,) = notes(DC, env={"OWN": "1"}, before=[step])
    assert note.startswith("workload/front: $(OWN), $(STEP) in its texts stay as written")
    assert notes(DC, args=["$(STEP)"], before=[{"image": "a/b:1", "env": {"STEP": "1"}}]) == []


def test_vllm_is_told_to_wait_for_open_requests() -> None:
    image, ports = "registry.example.com/vllm/vllm-openai:v0.19.0", {"http": 8000}
    (note,) = notes(DC, image=image, ports=ports, drain="10m")
    assert note.endswith('wait for them with `args: [--shutdown-timeout, "600"]`')
    assert notes(DC, image=image, ports=ports, args=["--shutdown-timeout=600"]) == []
    assert notes(DC, image=image) == [], "it gets no requests"
    assert notes(DC, image="acme/vllm-openai-router:1", ports=ports) == []


def test_a_load_balancer_that_does_not_wait_is_noted() -> None:
    ports = {"http": 8080}
    (note,) = notes(AWS, drain="10m", ports=ports, endpoint=True)
    assert "10 to 20 s after the last ready pod on a node begins to terminate" in note
    assert "requests get the whole 10m only if another pod of the workload is on the same node" in note
    (note,) = notes(AWS, kind="inference", ports=ports, endpoint=True)
    assert "requests get the whole 5m only" in note, "which is what it gets where the mesh says nothing"
    assert notes(AWS, ports=ports, endpoint=True) == notes(CW, drain="10m", ports=ports, endpoint=True) == []
