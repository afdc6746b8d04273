"""A delete lasts as long as the pods may take to end, and a create waits for what still has its name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshwire import marks
from meshwire.kubernetes import errors
from providers.kubernetes import apply, diffing, objects
from providers.kubernetes.connection import ApiError
from providers.kubernetes.provider import KubernetesProvider
from providers.kubernetes.session import Session
from providers.kubernetes.waits import readiness, waiting
from providers.plugin.provider import ProviderError
from tests.unit.providers.provider_clock import Time

TOKEN = "kubernetes:batch/v1:Job"
URN = f"urn:pulumi:cw::saver::{TOKEN}::workload/pretrain:job"
Object = dict[str, Any]


def job(grace_s: int, **annotations: str) -> Object:
    meta = {"name": "pretrain", "namespace": "saver", "annotations": annotations}
    pod = {"terminationGracePeriodSeconds": grace_s, "containers": [{"name": "main", "image": "train:1.4"}]}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": {"spec": pod}}}


class Cluster:
    """One object, whose pods take `saving_s` to end once it is deleted."""

    def __init__(self, clock: Time, saving_s: float) -> None:
        self.clock, self.saving_s = clock, saving_s
        self.there: Object | None = None
        self.gone_at_s = -1.0
        self.pods: list[Object] = []

    def _look(self) -> None:
        if 0 <= self.gone_at_s <= self.clock.now_s:
            self.there, self.gone_at_s = None, -1.0

    def get(self, *_: Any) -> Object:
        self._look()
        if self.there is None:
            raise ApiError(errors.ApiError(404, "not found", reason="NotFound"))
        return self.there

    def create(self, _gvk: objects.Gvk, asked: Object, **_: Any) -> Object:
        self._look()
        if self.there is not None:
            deleting = "object is being deleted: " if self.gone_at_s >= 0 else ""
            message = f'{deleting}jobs.batch "pretrain" already exists'
            raise ApiError(errors.ApiError(409, message, reason="AlreadyExists"))
        meta = {**asked["metadata"], "uid": f"made at {self.clock.now_s}"}
        self.there = {**asked, "metadata": meta}
        return self.there

    def delete(self, *_: Any, **__: Any) -> None:
        live = self.get()
        live["metadata"]["deletionTimestamp"] = "now"
        self.gone_at_s = self.clock.now_s + self.saving_s

    def items(self, gvk: objects.Gvk, *_: Any, **__: Any) -> list[Object]:
        return self.pods if gvk.kind == "Pod" else []

    def forget(self, _: Any) -> None:
        """Nothing is remembered here."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    for module in (apply, waiting):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=made.monotonic))
    return made


def provider_of(cluster: Cluster) -> KubernetesProvider:
    found = KubernetesProvider()
    found.cancelled = cast("Any", cluster.clock)
    api = cast("Any", cluster)
    found._cluster._session = Session(api, waiting.Waiter(api, cast("Any", cluster.clock)), "default")
    return found


def create(provider: KubernetesProvider, asked: Object) -> Any:
    return provider.create(TOKEN, urn=URN, inputs=asked, timeout_s=0, preview=False)


def delete(provider: KubernetesProvider, asked: Object, timeout_s: float = 0) -> None:
    provider.delete(TOKEN, urn=URN, id="saver/pretrain", inputs=asked, outputs={}, timeout_s=timeout_s)


@pytest.mark.parametrize("annotation", ["pulumi.com/skipAwait", "pulumi.com/waitFor"])
@pytest.mark.parametrize(("grace_s", "saving_s"), [(120, 40), (900, 850), (3600, 3700)])
def test_a_changed_job_is_made_once_the_old_one_has_saved(
    clock: Time, annotation: str, grace_s: int, saving_s: int
) -> None:
    """States of before have `skipAwait` on jobs: it is about getting ready, not about the end."""
    cluster = Cluster(clock, saving_s)
    provider = provider_of(cluster)
    asked = job(grace_s, **{annotation: "true" if "skip" in annotation else "jsonpath={.metadata.uid}"})
    create(provider, asked)
    delete(provider, asked)
    assert (cluster.there, clock.now_s >= saving_s) == (None, True)
    create(provider, asked)
    assert cluster.there is not None


def test_a_create_waits_for_what_an_earlier_run_began_to_delete(clock: Time) -> None:
    cluster = Cluster(clock, saving_s=850)
    provider = provider_of(cluster)
    asked = job(900, **{"pulumi.com/skipAwait": "true"})
    create(provider, asked)
    cluster.delete()
    create(provider, asked)
    assert cluster.there is not None
    assert cluster.there["metadata"]["uid"] != "made at 0.0"


def test_a_restart_whose_engine_was_killed_in_the_middle_is_brought_to_its_end(clock: Time) -> None:
    """The next run reads the job that the killed one was deleting: still there, it is on its way out for good."""
    cluster = Cluster(clock, saving_s=850)
    provider = provider_of(cluster)
    asked = job(900, **{"pulumi.com/waitFor": readiness.EXISTS})
    create(provider, asked)
    assert provider.read(TOKEN, urn=URN, id="saver/pretrain", inputs=asked, outputs={}).id == "saver/pretrain"
    cluster.delete()
    assert provider.read(TOKEN, urn=URN, id="saver/pretrain", inputs=asked, outputs={}).id == ""
    create(provider, asked)
    assert provider.read(TOKEN, urn=URN, id="saver/pretrain", inputs=asked, outputs={}).id == "saver/pretrain"


def test_a_namespace_on_its_way_out_is_not_taken_for_gone(clock: Time) -> None:
    """Its volumes cost money until their driver has deleted them: `destroy` has to wait for them."""
    cluster = Cluster(clock, saving_s=850)
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "saver"}}
    cluster.create(objects.NAMESPACE, space)
    cluster.delete()
    token = "kubernetes:core/v1:Namespace"
    known = {**space, "metadata": {"name": "saver", "uid": "u1"}}
    assert provider_of(cluster).read(token, urn=URN, id="saver", inputs={}, outputs=known).id == "saver"


def test_what_never_ends_is_told_as_such_and_not_as_somebody_elses(clock: Time) -> None:
    cluster = Cluster(clock, saving_s=1e9)
    provider = provider_of(cluster)
    asked = job(60, **{"pulumi.com/skipAwait": "true"})
    create(provider, asked)
    with pytest.raises(ProviderError, match=r"pretrain is still there.*\[code=NotGone\]"):
        delete(provider, asked)
    with pytest.raises(ProviderError, match=r"pretrain is still there.*\[code=NotGone\]"):
        create(provider, asked)


def test_a_custom_timeout_counts_as_it_is(clock: Time) -> None:
    cluster = Cluster(clock, saving_s=850)
    provider = provider_of(cluster)
    asked = job(900)
    cluster.create(objects.Gvk("batch", "v1", "Job"), asked)
    with pytest.raises(ProviderError, match=r"\[code=NotGone\]"):
        delete(provider, asked, timeout_s=20)
    assert clock.now_s < 30


def test_a_namespace_is_waited_for_as_long_as_its_pods_may_take(clock: Time) -> None:
    cluster = Cluster(clock, saving_s=850)
    cluster.pods = [{"kind": "Pod", "spec": {"terminationGracePeriodSeconds": 900}}]
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "saver"}}
    cluster.create(objects.NAMESPACE, space)
    token = "kubernetes:core/v1:Namespace"
    provider = provider_of(cluster)
    provider.delete(token, urn=URN, id="saver", inputs=space, outputs={}, timeout_s=0)
    assert cluster.there is None


def test_a_job_made_by_an_earlier_version_is_changed_in_place_and_not_run_again() -> None:
    old, new = job(120, **{"pulumi.com/skipAwait": "true"}), job(120, **{"pulumi.com/waitFor": readiness.EXISTS})
    found = diffing.diff(old=old, new=new, mutable_config_maps=False, mutable_secrets=True, unready=False)
    assert (found.changes, found.replaces) == (True, ())


def test_a_job_is_ready_as_soon_as_it_is_there(clock: Time) -> None:
    cluster = Cluster(clock, saving_s=0)
    create(provider_of(cluster), job(120, **{"pulumi.com/waitFor": readiness.EXISTS}))
    assert clock.now_s == 0


def test_what_has_no_pods_and_asks_for_no_wait_is_not_waited_for(clock: Time) -> None:
    cluster = Cluster(clock, saving_s=850)
    meta = {"name": "c", "namespace": "saver", "annotations": {"pulumi.com/skipAwait": "true"}}
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}
    cluster.create(objects.Gvk("", "v1", "ConfigMap"), settings)
    token = "kubernetes:core/v1:ConfigMap"
    provider = provider_of(cluster)
    provider.delete(token, urn=URN, id="saver/c", inputs=settings, outputs={}, timeout_s=0)
    assert clock.now_s == 0


def test_a_namespace_of_somebody_else_is_let_go_of_and_not_deleted(clock: Time) -> None:
    """The claims of its owner are in it. What was ours, one label, is taken away by an apply of nothing."""
    applied: list[Object] = []

    class Namespaces(Cluster):
        def delete(self, *_: Any, **__: Any) -> None:
            raise AssertionError("the namespace was deleted, with every claim in it")

        def apply(self, _gvk: objects.Gvk, asked: Object, **_: Any) -> Object:
            applied.append(asked)
            return asked

    cluster = Namespaces(clock, 0)
    label = {"meshctl.dev/environment": "dc1"}
    declared: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "acme", "labels": label}}
    cluster.there = {**declared, "metadata": {**declared["metadata"], "uid": "of its owner"}}
    token = "kubernetes:core/v1:NamespacePatch"
    provider_of(cluster).delete(token, urn=URN, id="acme", inputs=declared, outputs={}, timeout_s=0)
    assert applied == [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "acme"}}]
    assert cluster.there is not None


@pytest.mark.parametrize(("annotations", "waits"), [({marks.GONE_WITH_VOLUME: "true"}, True), ({}, False)])
def test_a_claim_whose_driver_goes_next_is_gone_with_its_volume(
    clock: Time, annotations: dict[str, str], *, waits: bool
) -> None:
    cluster = Cluster(clock, saving_s=1)

    def volume(claim: str, **bound: str) -> Object:
        reference = {"namespace": "saver", "name": claim, **bound}
        spec = {"persistentVolumeReclaimPolicy": "Delete", "claimRef": reference}
        return {"kind": "PersistentVolume", "metadata": {"name": f"pv-{claim}"}, "spec": spec}

    def items(gvk: objects.Gvk, *_: Any, **__: Any) -> list[Object]:
        left = [volume("data", uid="u-1")] if clock.now_s < 60 else []
        never_bound = volume("data")  # reserved for a claim: no driver looks at it
        return [volume("other", uid="u-2"), never_bound, *left] if gvk.kind == "PersistentVolume" else []

    cluster.items = items  # type: ignore[method-assign]
    provider = provider_of(cluster)
    meta = {"name": "data", "namespace": "saver", "annotations": annotations}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": {}}
    cluster.create(waiting.CLAIM, claim)
    provider.delete(
        "kubernetes:core/v1:PersistentVolumeClaim", urn=URN, id="saver/data", inputs=claim, outputs={}, timeout_s=0
    )
    assert (clock.now_s >= 60) is waits
