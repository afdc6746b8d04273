"""How long the engine waits for the end of what has pods, as it goes over the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi.runtime.mocks import MockMonitor

from meshctl import render
from meshctl.model.deployment import Checkpoint, Deployment
from stacks import platform
from stacks.kubernetes import KubernetesProvider
from tests.unit.event_loops import event_loops
from tests.unit.render.sample import sample


class Nothing(pulumi.runtime.Mocks):  # type: ignore[misc]  # pulumi.runtime is not typed
    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        return f"{args.name}-id", dict(args.inputs)

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(args.token)


class Monitor(MockMonitor):  # type: ignore[misc]  # pulumi.runtime is not typed
    """Keeps each resource as it was registered, by its name."""

    def __init__(self) -> None:
        super().__init__(Nothing())
        self.asked: dict[str, Any] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 (the engine's own name)
        self.asked[request.name] = request
        return super().RegisterResource(request)


def declared(given: Deployment, more_late: Mapping[str, Any] | None = None) -> dict[str, Any]:
    monitor = Monitor()
    late = {**dict.fromkeys(render.late_names(render.platform_objects(given)), "late"), **(more_late or {})}

    def program() -> None:
        provider = KubernetesProvider("kubernetes", {}, "4.34.2")
        platform.declare(given, provider=provider, late=late)

    with event_loops():
        pulumi.runtime.set_mocks(Nothing(), monitor=monitor)
        pulumi.runtime.test(program)()
    return monitor.asked


def test_the_end_of_a_job_is_waited_for_as_long_as_its_grace() -> None:
    given = sample("coreweave")
    job = next(w for w in given.workloads if w.kind == "training")
    saving = job.model_copy(update={"checkpoint": Checkpoint(storage="checkpoints", grace_s=3600)})
    workloads = tuple(saving if w.name == job.name else w for w in given.workloads)
    asked = declared(given.model_copy(update={"workloads": workloads}))
    found = asked[f"workload/{job.name}:job"]
    assert found.customTimeouts.delete == asked["platform:namespace"].customTimeouts.delete == "3720s"
    assert found.customTimeouts.create == ""


def test_a_job_is_not_waited_for_but_its_end_is() -> None:
    asked = declared(sample("coreweave"))
    jobs = [request.object for name, request in asked.items() if name.endswith(":job")]
    assert len(jobs) == 2
    for job in jobs:
        assert dict(job["metadata"]["annotations"]) == {"pulumi.com/waitFor": "jsonpath={.metadata.uid}"}
    assert not asked["platform:namespace"].customTimeouts.delete


def test_the_end_of_groups_is_waited_for_as_long_as_their_drain() -> None:
    given = sample("coreweave")
    chat = next(w for w in given.workloads if w.kind == "inference")
    grouped = chat.model_copy(update={"nodes_per_replica": 2, "drain_s": 3000, "mounts": ()})
    workloads = tuple(grouped if w.name == chat.name else w for w in given.workloads)
    asked = declared(given.model_copy(update={"workloads": workloads, "has_group_controller": True}))
    found = asked[f"workload/{chat.name}:leader-worker-set"]
    assert found.customTimeouts.delete == asked["platform:namespace"].customTimeouts.delete == "3130s"
