"""`stacks.platform` under Pulumi and a real API server: nothing left to change after `up`, no secret in the state."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pulumi
import pytest

from meshctl import render
from meshctl.engine import workspace
from meshctl.engine.events import Recorder
from meshctl.engine.run import StackRun
from meshctl.model.deployment import Deployment
from stacks import kubernetes, platform
from tests.contract.kubernetes_recording.control_plane import ControlPlane
from tests.unit.render.sample import sample

SECRETS = ("object_storage.access_key_id", "object_storage.secret_access_key", "secret.hf-token")
PLANTED = "planted-value"


class Program:
    """An environment without its buckets; `deployment` may be changed between runs."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self.deployment = deployment
        backend = workspace.Backend(f"file://{folder}/state", "passphrase", folder)
        pulumi_program = workspace.pulumi_program()
        stack = workspace.open_stack(backend, "llm", "s", self.declare, pulumi_program)
        self.run = StackRun(stack, pulumi_program)

    def declare(self) -> None:
        provider = kubernetes.provider(self.deployment)
        pools = platform.declare_nodes(self.deployment, provider=provider, late={})
        late: dict[str, Any] = {name: pulumi.Output.secret(PLANTED) for name in SECRETS}
        late |= {f"revision.{name}": "1" for name in render.secrets(self.deployment)}
        addresses = platform.declare(self.deployment, provider=provider, late=late, pools=pools)
        pulumi.export("addresses", addresses)

    def up(self) -> Counter[str]:
        return pluralize(self.run.up())

    def preview(self) -> Counter[str]:
        return pluralize(self.run.preview())


def pluralize(record: Recorder) -> Counter[str]:
    return Counter(step.action for step in record.steps if step.action and not step.is_engine_own)


def label(plane: ControlPlane, node: str) -> Any:
    return plane.call("GET", f"/api/v1/nodes/{node}")["metadata"]["labels"].get("meshctl.dev/pool")


@pytest.mark.lab
@pytest.mark.exhaustive
def test_up_pause_change_destroy(plane: ControlPlane, tmp_path: Path) -> None:
    nfs = {"metadata": {"name": "nfs"}, "provisioner": "nfs.csi.k8s.io", "volumeBindingMode": "WaitForFirstConsumer"}
    plane.call("POST", "/apis/storage.k8s.io/v1/storageclasses", nfs)  # with nobody here to serve it
    cluster = sample("onprem").cluster.model_copy(update={"kubeconfig": str(plane.kubeconfig)})
    running_mesh = sample("onprem").model_copy(update={"mesh": "llm-stack", "cluster": cluster})
    everything = frozenset(workload.name for workload in running_mesh.workloads)
    program = Program(running_mesh.paused(everything), tmp_path)

    assert set(program.up()) == {"create"}
    assert set(program.preview()) == {"same"}
    assert label(plane, "serve-0") == "serve"
    assert not [file for file in (tmp_path / "state").rglob("*") if file.is_file() and PLANTED in file.read_text()]

    program.deployment = running_mesh.paused(frozenset({"chat", "index"}))  # no scheduler here to make them ready
    assert program.up()["update"] == 2
    assert set(program.preview()) == {"same"}

    workloads = tuple(w.model_copy(update={"image": "other:1"}) for w in program.deployment.workloads)
    program.deployment = program.deployment.model_copy(update={"workloads": workloads})
    changes = program.up()
    assert (changes["replace"], changes["update"]) == (2, 2)  # jobs can't be changed in place, the others can

    endpoints = tuple(e.model_copy(update={"access": "internal"}) for e in program.deployment.endpoints)
    program.deployment = program.deployment.model_copy(update={"endpoints": endpoints})
    changes = program.up()
    assert (changes["create"], changes["delete"]) == (1, 1)  # an internal load balancer for the public one

    program.run.destroy()
    assert label(plane, "serve-0") is None
