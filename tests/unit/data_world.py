"""An environment in memory with buckets, a file system and volumes in its cluster: what a run would do to its data.

For the tests of data loss. The engine's part is played by comparing the objects that `render` makes of two deployments;
the cluster's by making the claims of StatefulSets, and letting a namespace take all claims with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

import stacks.buckets
from meshctl import render
from meshctl.changes.steps import Step, subject_of
from meshctl.clients.kubernetes import clusters
from meshctl.deploy import kubeconfig
from meshctl.deploy.fields import ownership
from meshctl.deploy.fields.ownership import Ownership
from meshctl.deploy.guards import cluster_identity, preconditions, volume_sizes
from meshctl.deploy.jobs import job_states
from meshctl.deploy.session import Session
from meshctl.errors import UnreachableError
from meshctl.model.deployment import Deployment, ObjectStore
from meshctl.model.environment import Environments
from meshctl.model.stack_state import StackOutputs, StackState
from meshctl.objects import object_access
from stacks import platform
from tests.unit.fake_cluster import FakeClient
from tests.unit.states import state

CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
STATEFUL_SET = "kubernetes:apps/v1:StatefulSet"
NAMESPACE = "kubernetes:core/v1:Namespace"
BUCKET = "meshaws:s3:Bucket"
LUSTRE = "meshaws:fsx:FileSystem"
STACK = "pulumi:pulumi:Stack"
_IN_CLUSTER = ("Namespace", "PersistentVolumeClaim", "StatefulSet", "Deployment", "Job")

ENVIRONMENTS = Environments.model_validate(
    {
        "apiVersion": "meshctl/v1",
        "kind": "Environments",
        "environments": {"dc1": {"provider": "onprem", "kubernetes": {"kubeconfig": "k"}}},
    }
)


def wanted(deployment: Deployment) -> dict[str, dict[str, Any]]:
    """The resources of a deployment by URN, in the order in which they are made."""
    base = f"urn:pulumi:{deployment.environment}::{deployment.mesh}::"

    def resource(type_: str, name: str, inputs: Mapping[str, Any], id_: str) -> dict[str, Any]:
        return {"urn": f"{base}{type_}::{name}", "type": type_, "custom": True, "inputs": dict(inputs), "id": id_}

    made = [
        resource(BUCKET, f"storage/{s.name}:bucket", {"Bucket": s.bucket, "ForceDestroy": s.ephemeral}, s.bucket)
        for s in deployment.object_stores
    ]
    made += [
        resource(LUSTRE, f"storage/{s.name}:lustre", {"SubnetIds": s.zone}, f"fs-{s.name}-{s.zone}")
        for s in deployment.file_systems
        if s.service == "fsx-lustre"
    ]
    for item in render.platform_objects(deployment):
        if item.kind in _IN_CLUSTER:
            made.append(resource(platform.token(item), item.name, item.manifest, item.name))
    return {each["urn"]: each for each in made}


def _is_replaced(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    spec, other = old["inputs"].get("spec") or {}, new["inputs"].get("spec") or {}
    if old["type"] == STATEFUL_SET:
        return bool(spec.get("volumeClaimTemplates") != other.get("volumeClaimTemplates"))
    if old["type"] == CLAIM:
        return bool(spec != other)
    if old["type"] == LUSTRE:
        return bool(old["inputs"] != new["inputs"])
    return bool(old["type"] == BUCKET and old["inputs"]["Bucket"] != new["inputs"]["Bucket"])


@dataclass
class World:
    """What is there, and what the state knows of it. Everything that is made gets data at once."""

    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    saved: dict[str, Any] = field(default_factory=dict)  # the outputs of the stack
    objects: dict[str, int] = field(default_factory=dict)  # bucket -> how many it holds
    volumes: dict[str, tuple[str, str]] = field(default_factory=dict)  # claim -> its volume, the size asked for
    number: int = 0
    silent: bool = False  # the cluster does not answer
    declared: Deployment | None = None  # what the program of the next run declares

    def begin(self, deployment: Deployment) -> World:
        self.apply(deployment)
        return self

    def deployed(self) -> Deployment:
        return Deployment.model_validate(self.saved["deployment"])

    def _ephemeral(self) -> set[str]:
        stores = self.deployed().ephemeral if self.saved else {}
        return {f"storage/{name}" for name, is_ephemeral in stores.items() if is_ephemeral}

    def safe(self) -> set[str]:
        """By the platform's own names: what holds data, is protected, and is used by the mesh."""
        if not self.resources:
            return set()
        ephemeral = self._ephemeral()
        found = set()
        for urn, each in self.resources.items():
            lasting = subject_of(urn) not in ephemeral
            if each["type"] == BUCKET and lasting and self.objects.get(each["inputs"]["Bucket"]):
                found.add(each["inputs"]["Bucket"])
            elif each["type"] == LUSTRE and lasting:
                found.add(each["id"])
            elif each["type"] == CLAIM and lasting and each["inputs"]["metadata"]["name"] in self.volumes:
                if not each["inputs"]["spec"].get("volumeName"):
                    found.add(self.volumes[each["inputs"]["metadata"]["name"]][0])
            elif each["type"] == STATEFUL_SET:
                blocks = [claim["metadata"]["name"] for claim in each["inputs"]["spec"].get("volumeClaimTemplates", ())]
                used = tuple(f"{block}-{each['inputs']['metadata']['name']}-" for block in blocks)
                found |= {volume for claim, (volume, _) in self.volumes.items() if claim.startswith(used)}
        return found

    def claims_of(self, stateful_set: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for claim in stateful_set["spec"].get("volumeClaimTemplates", ()):
            for pod in range(stateful_set["spec"]["replicas"]):
                name = f"{claim['metadata']['name']}-{stateful_set['metadata']['name']}-{pod}"
                yield name, claim["spec"]["resources"]["requests"]["storage"]

    def steps(self, deployment: Deployment) -> list[Step]:
        new, old = wanted(deployment), self.resources
        found = [
            Step(u, each["type"], self._op(each, new.get(u)), each["inputs"], (new.get(u) or {}).get("inputs") or {})
            for u, each in old.items()
        ]
        return found + [Step(u, each["type"], "create", {}, each["inputs"]) for u, each in new.items() if u not in old]

    def _op(self, old: Mapping[str, Any], new: Mapping[str, Any] | None) -> str:
        if new is None:
            return "delete"
        if _is_replaced(old, new):
            return "replace"
        return "same" if old["inputs"] == new["inputs"] else "update"

    def apply(self, deployment: Deployment) -> None:
        new = wanted(deployment)
        for urn, each in reversed(list(self.resources.items())):
            if urn not in new or _is_replaced(each, new[urn]):
                self.delete(urn)
        for urn, each in new.items():
            self._made(each, is_new=urn not in self.resources)
        self.resources = new
        self.saved = {"deployment": deployment.model_dump(mode="json")}

    def _made(self, each: Mapping[str, Any], *, is_new: bool) -> None:
        if each["type"] == BUCKET and is_new:
            self.objects[each["inputs"]["Bucket"]] = 2
        elif each["type"] == CLAIM and is_new:
            size = each["inputs"]["spec"]["resources"]["requests"]["storage"]
            self._bind(each["inputs"]["metadata"]["name"], size)
        elif each["type"] == STATEFUL_SET:
            for claim, size in self.claims_of(each["inputs"]):
                self._bind(claim, size)

    def _bind(self, claim: str, size: str) -> None:
        if claim not in self.volumes:
            self.number += 1
            self.volumes[claim] = (f"pvc-{self.number}", size)

    def delete(self, urn: str) -> None:
        gone = self.resources.pop(urn)
        if gone["type"] == BUCKET and not gone.get("retainOnDelete"):
            bucket, held = gone["inputs"]["Bucket"], self.objects.get(gone["inputs"]["Bucket"])
            assert gone["inputs"].get("ForceDestroy") or not held, f"{bucket} is not empty: the store refuses"
            self.objects.pop(bucket, None)
        elif gone["type"] == CLAIM:
            self.volumes.pop(gone["inputs"]["metadata"]["name"], None)
        elif gone["type"] == NAMESPACE:
            self.volumes.clear()

    # the run of the stack ------------------------------------------------------------------------------------------
    @property
    def name(self) -> str:
        return "dc1"

    def outputs(self) -> StackOutputs:
        return self.state().outputs

    def state(self, **_: Any) -> StackState:
        if not self.resources and not self.saved:
            return StackState()
        stack = {"urn": "urn:pulumi:dc1::llm-prod::s", "type": STACK, "outputs": self.saved}
        return state(stack, *self.resources.values())

    recovered_state = state

    def preview(self, **_: Any) -> Any:
        assert self.declared is not None
        return SimpleNamespace(steps=self.steps(self.declared))

    def compare(self, _urns: Any) -> list[Step]:
        return []

    reread = compare

    def up(self, **_: Any) -> Any:
        record = self.preview()
        assert self.declared is not None
        self.apply(self.declared)
        return record

    def preview_destroy(self) -> Any:
        steps = [Step(urn, each["type"], "delete", each["inputs"]) for urn, each in self.resources.items()]
        return SimpleNamespace(steps=steps)

    def destroy(self, **_: Any) -> Any:
        record = self.preview_destroy()
        for urn in reversed(list(self.resources)):
            self.delete(urn)
        self.saved = {}
        return record

    def retain(self, urns: frozenset[str]) -> None:
        self.resources = {u: {**r, "retainOnDelete": u in urns} for u, r in self.resources.items()}

    def empty_on_delete(self, urns: frozenset[str]) -> None:
        for urn in urns:
            resource = self.resources[urn]
            self.resources[urn] = {**resource, "inputs": {**resource["inputs"], "ForceDestroy": True}}

    # the cluster ---------------------------------------------------------------------------------------------------
    @contextmanager
    def connected(self) -> Iterator[FakeClient]:
        if self.silent:
            raise UnreachableError("the cluster does not answer")
        claims = [_claim(name, volume, size) for name, (volume, size) in self.volumes.items()]
        volumes = [
            {"metadata": {"name": volume}, "spec": {"csi": {"volumeHandle": f"vol-{volume}"}}}
            for volume, _ in self.volumes.values()
        ]
        yield FakeClient({"persistentvolumeclaims": claims, "persistentvolumes": volumes})


def _claim(name: str, volume: str, size: str) -> dict[str, Any]:
    resources = {"requests": {"storage": size}}
    return {"metadata": {"name": name}, "spec": {"volumeName": volume, "resources": resources}}


@dataclass
class Buckets:
    """A run of the buckets alone: the rest of the world stays as it is."""

    world: World
    program: Callable[[], None]

    def run_check(self, _: Any) -> None:
        """Nobody else changes the state."""

    refuse_newly_made = None

    def _declared(self) -> Deployment:
        declared: list[Deployment] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stacks.buckets, "declare_alone", lambda deployment, _: declared.append(deployment))
            self.program()
        return declared[0]

    def preview(self) -> Any:
        wanted_urns = wanted(self._declared())
        steps = self.world.steps(self._declared())
        return SimpleNamespace(steps=[s for s in steps if s.type == BUCKET and s.urn in wanted_urns])

    def up(self) -> Any:
        record = self.preview()
        for urn, each in wanted(self._declared()).items():
            if each["type"] == BUCKET:
                self.world.objects.setdefault(each["inputs"]["Bucket"], 0)
                self.world.resources[urn] = each
        return record


@dataclass
class InMemory(Session):
    """The session of one mesh, on that world."""

    world: World = field(default_factory=World)

    def stack_run(self, stack: str, program: Any = None, *, only: Any = None, **_: Any) -> Any:
        return self.world if only is None else Buckets(self.world, program)

    def environment_run(self, deployment: Deployment, *_: Any, **__: Any) -> Any:
        self.world.declared = deployment
        return self.world

    @property
    def dns_records(self) -> Any:
        return SimpleNamespace(current=dict, write=lambda *_: None, drop=lambda *_: None)

    def unmanaged_stacks(self) -> Any:
        return ()


@contextmanager
def patched(world: World) -> Iterator[None]:
    """While it lasts, everything outside of the session is that world."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster_identity, "declared_cluster_uid", lambda _: "uid")
        patch.setattr(cluster_identity, "check_change", lambda *_: None)
        patch.setattr(clusters, "access", lambda *_: SimpleNamespace(connected=world.connected, name="dc1"))
        patch.setattr(preconditions, "check_change", lambda *_: None)
        patch.setattr(preconditions, "check_destroy", lambda *_: None)
        patch.setattr(preconditions, "check_object_storage", lambda *_: None)
        patch.setattr(job_states, "jobs_of_deployment", lambda *_: {})
        patch.setattr(ownership, "read_ownership", lambda deployment, *_: Ownership(deployment.environment))
        patch.setattr(volume_sizes, "grow", lambda *_: None)
        patch.setattr(kubeconfig, "remove_context", lambda *_: None)
        patch.setattr(object_access, "content_summary", lambda store: _held(world, store))
        patch.setattr(object_access, "owner_urn", lambda store: _owner(world, store))
        yield


def _held(world: World, store: ObjectStore) -> str:
    count = world.objects.get(store.bucket, 0)
    return f"{count} objects, {count} GiB" if count else ""


def _owner(world: World, store: ObjectStore) -> str:
    return next((u for u, r in world.resources.items() if r["inputs"].get("Bucket") == store.bucket), "")
