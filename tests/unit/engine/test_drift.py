"""What is gone and what others changed is seen: each object of a mesh, each declared field, on every platform."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from meshctl.changes import PropertyChange, Step, done_text, group, plan_text
from meshctl.deploy.fields import live_objects, ownership
from meshctl.deploy.fields.ownership import Ownership
from meshctl.deploy.runs import drift_check
from meshctl.engine import drift
from meshctl.engine.run import StackRun
from meshctl.errors import CredentialsError, UnreachableError
from meshctl.model.deployment import Cluster, Provider
from meshctl.model.stack_state import Resource, StackState
from meshctl.render import LateValue, PlatformObject
from stacks.platform import token
from tests.unit.deployments import deployment
from tests.unit.render.sample import sample
from tests.unit.states import NOTHING, state

PROVIDERS: tuple[Provider, ...] = ("aws", "coreweave", "onprem")
URN = "urn:pulumi:here::llm-prod::"


def declared(provider: Provider) -> list[PlatformObject]:
    return ownership._declared(sample(provider))


def given(value: Any) -> Any:
    """As an API server has it: deferred values are values."""
    if isinstance(value, Mapping):
        return {key: given(item) for key, item in value.items()}
    if isinstance(value, list):
        return [given(item) for item in value]
    return "given" if isinstance(value, LateValue) else value


def in_state(item: PlatformObject) -> dict[str, Any]:
    live = {**given(item.manifest), "status": {"seen": 1}}
    live["metadata"] = {**live["metadata"], "uid": "u1", "resourceVersion": "7"}
    return {"urn": f"{URN}{token(item)}::{item.name}", "type": token(item), "custom": True, "outputs": live}


def world(provider: Provider) -> tuple[StackState, Ownership]:
    """The state of an environment that is up, and its live objects, all as they were left."""
    items = [item for item in declared(provider) if item.kind not in live_objects.NOT_READ]
    before = state(*(in_state(item) for item in items))
    live = {}
    for item, resource in zip(items, before.resources, strict=True):
        now: Any = copy.deepcopy(resource.outputs)
        now["metadata"]["resourceVersion"] = "9"
        now["status"] = {"seen": 2}
        live[item.name] = (live_objects.reference(item), now)
    return before, Ownership("here", live=live, expected=tuple(items))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path


@pytest.mark.parametrize("provider", PROVIDERS)
def test_nothing_changed_is_no_drift(provider: Provider) -> None:
    assert drift_check.object_drift(*world(provider)) == ()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_object_that_is_deleted_is_missed(provider: Provider) -> None:
    before, owned = world(provider)
    for item in owned.expected:
        live = {name: found for name, found in owned.live.items() if name != item.name}
        seen = drift_check.object_drift(before, Ownership("here", live=live, expected=owned.expected))
        assert [(step.op, step.urn.rsplit("::", 1)[1]) for step in seen] == [("delete", item.name)]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_declared_field_that_is_changed_or_removed_is_seen(provider: Provider) -> None:
    before, owned = world(provider)
    for item, one in zip(owned.expected, before.resources, strict=True):
        for path in leaves({key: item.manifest[key] for key in item.manifest if key not in ("apiVersion", "kind")}):
            if path == ("metadata", "name") or any(
                ".".join(map(str, path)).startswith(ignored) for ignored in item.ignore_changes
            ):
                continue
            live = copy.deepcopy(owned.live[item.name][1])
            holder: Any = live
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = "changed by hand"
            changed = {item.name: (owned.live[item.name][0], live)}
            seen = drift_check.object_drift(
                before.with_resources([one]), Ownership("here", live=changed, expected=(item,))
            )
            assert [step.urn.rsplit("::", 1)[1] for step in seen] == [item.name], path


def deployment_step(was: dict[str, Any], now: dict[str, Any]) -> Step | None:
    kind = "kubernetes:apps/v1:Deployment"
    resource = {"urn": f"{URN}{kind}::workload/chat:deployment", "type": kind, "outputs": {"spec": was}}
    return drift.drift_of_object(
        Resource(resource), {"spec": {"replicas": 2, "limits": {"hugepages": "5120Mi"}, "empty": ""}}, {"spec": now}
    )


def test_another_spelling_and_a_default_are_no_change() -> None:
    """The API server writes 5120Mi as 5Gi, and leaves out what is empty."""
    server = {"replicas": 2, "limits": {"hugepages": "5Gi"}, "revisionHistoryLimit": 10}
    assert deployment_step(server, copy.deepcopy(server)) is None
    assert deployment_step(server, {**server, "revisionHistoryLimit": 3}) is None  # not declared: others' business


def test_items_of_lists_are_compared_by_what_tells_them_apart() -> None:
    kind = "kubernetes:core/v1:Service"
    ports = [{"name": "a", "port": 1}, {"name": "b", "port": 2}]
    resource = {"urn": f"{URN}{kind}::workload/chat:service", "type": kind, "outputs": {"spec": {"ports": ports}}}
    turned = {"spec": {"ports": [{"name": "b", "port": 3}, {"name": "a", "port": 1}]}}
    step = drift.drift_of_object(Resource(resource), {"spec": {"ports": ports}}, turned)
    assert step is not None
    assert [change.path for change in step.properties] == ["spec.ports[1].port"]


def test_a_plan_tells_drift_apart_from_changes_of_the_mesh() -> None:
    scaled = deployment_step({"replicas": 2}, {"replicas": 3})
    assert scaled is not None
    job = drift.drift_of_gone(Resource(resource("kubernetes:batch/v1:Job", "workload/pretrain:job")))
    plan = group([], environment="here", digest="d", hourly_usd_before=None, hourly_usd_after=None, drift=(scaled, job))
    assert plan.pending
    assert plan.changes == ()
    text = plan_text(plan)
    assert "changed outside meshctl; `up` sets it back:" in text
    assert "~ workload/chat      replicas 2 -> 3" in text
    assert "+ workload/pretrain  gone: job, which runs again" in text
    assert "no changes (" not in text
    assert "set back:" in done_text(plan)
    outside = plan.document()["outside"]
    assert [(change["subject"], change["action"]) for change in outside] == [
        ("workload/chat", "update"),
        ("workload/pretrain", "create"),
    ]


def test_what_a_preview_mends_is_no_change_of_the_mesh() -> None:
    def step(name: str, op: str, *paths: str) -> Step:
        return Step(f"{URN}t::{name}", "t", op, properties=tuple(map(PropertyChange, paths)))

    seen = (step("gone", "delete"), step("moved", "update", "a"), step("both", "update", "a"))
    preview = [
        step("gone", "create"),
        step("moved", "update", "a"),
        step("both", "update", "a", "b"),
        step("mine", "update", "a"),
    ]
    left = drift.steps_without_drift(preview, seen)
    assert [(s.urn.rsplit("::", 1)[1], s.op, [c.path for c in s.properties]) for s in left] == [
        ("moved", "same", ["a"]),
        ("both", "update", ["b"]),
        ("mine", "update", ["a"]),
    ]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("cluster:addon-vpc-cni", "configurationValues"),
        ("cluster:eks", "resourcesVpcConfig.subnetIds[2]"),
        ("cluster:eks", "upgradePolicy.supportType"),
        ("pool/train:nodegroup", "nodeRepairConfig.enabled"),
    ],
)
def test_what_an_up_leaves_alone_is_no_drift(name: str, path: str) -> None:
    """`plan` said of the network plugin's settings, which it had asked for itself, that `up` sets them back."""
    left = Step(f"{URN}meshaws:eks:X::{name}", "meshaws:eks:X", "update", properties=(PropertyChange(path),))
    assert drift.drift_of_refresh([left]) == []
    both = replace(left, properties=(PropertyChange(path), PropertyChange("roleArn")))
    [step] = drift.drift_of_refresh([both])
    assert [each.path for each in step.properties] == ["roleArn"]
    driver = replace(left, urn=f"{URN}meshaws:eks:Addon::cluster:addon-aws-ebs-csi-driver")
    assert drift.drift_of_refresh([driver]) == [driver]


class Recorded:
    """What a run is asked to do to the state."""

    def __init__(self, results: list[Step], state: StackState = NOTHING) -> None:
        self.results = results
        self.known = state
        self.asked: list[tuple[str, list[str]]] = []

    def compare(self, urns: list[str]) -> list[Step]:
        self.asked.append(("compare", urns))
        return self.results

    def mark_changed(self, urns: frozenset[str]) -> None:
        self.asked.append(("mark", sorted(urns)))

    def reread(self, urns: list[str]) -> list[Step]:
        self.asked.append(("reread", urns))
        return self.results

    def rewrite(self, change: Any) -> None:
        self.asked.append((change.__name__, []))
        self.known = change(self.known)

    def state(self) -> StackState:
        return self.known


def resource(kind: str, name: str) -> dict[str, Any]:
    return {"urn": f"{URN}{kind}::{name}", "type": kind, "custom": True}


def test_an_up_marks_what_was_changed_and_reads_what_may_be_gone() -> None:
    bucket, chat, job = (
        resource("meshaws:s3:Bucket", "storage/w:bucket"),
        resource("kubernetes:apps/v1:Deployment", "workload/chat:deployment"),
        resource("kubernetes:batch/v1:Job", "workload/pretrain:job"),
    )
    run = Recorded([Step(bucket["urn"], bucket["type"], "delete"), Step(job["urn"], job["type"], "delete")])
    changed = Step(chat["urn"], chat["type"], "update", properties=(PropertyChange("spec.replicas"),))
    seen = drift_check.write_drift_into_state(
        as_run(run), drift_check.urns_to_read(state(bucket, chat, job)), (changed, drift.drift_of_gone(Resource(job)))
    )
    assert run.asked == [("mark", [chat["urn"]]), ("reread", sorted([bucket["urn"], job["urn"]]))]
    assert sorted(step.urn for step in seen.drift) == sorted([bucket["urn"], chat["urn"], job["urn"]])


def as_run(run: Any) -> StackRun:
    found: StackRun = run
    return found


def test_every_kind_that_is_declared_is_looked_at_or_read_by_the_engine() -> None:
    for provider in PROVIDERS:
        items = declared(provider)
        read = {resource["urn"] for resource in (in_state(item) for item in items)}
        engine_drift = set(drift_check.urns_to_read(state(*(in_state(item) for item in items))))
        in_cluster = {in_state(item)["urn"] for item in items if item.kind not in live_objects.NOT_READ}
        assert engine_drift | in_cluster == read


def test_a_workload_that_is_being_deleted_counts_as_gone_and_a_claim_does_not() -> None:
    before, owned = world("onprem")
    leaving = {}
    for item in owned.expected:
        live = copy.deepcopy(owned.live[item.name][1])
        live["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        leaving[item.name] = (owned.live[item.name][0], live)
    seen = drift_check.object_drift(before, Ownership("here", live=leaving, expected=owned.expected))
    with_pods = {item.name for item in owned.expected if item.kind in ("Deployment", "StatefulSet", "Job")}
    assert {step.urn.rsplit("::", 1)[1] for step in seen} == with_pods


def test_a_cluster_that_does_not_answer_is_an_error_unless_aws_says_that_it_is_gone() -> None:
    cluster, secret = resource("meshaws:eks:Cluster", "cluster:eks"), resource("kubernetes:core/v1:Secret", "s:secret")
    before = state(cluster, secret)
    silent = Ownership("here", unreachable=UnreachableError("no answer"))
    for looks in (drift_check.refresh_state, partial(drift_check.detect_drift, allowed=lambda: None)):
        with pytest.raises(UnreachableError):
            looks(as_run(Recorded([], before)), deployment(), before, silent)
    run = Recorded([Step(cluster["urn"], cluster["type"], "delete")], before)
    assert drift_check.refresh_state(as_run(run), deployment(), before, silent).cluster_is_gone
    # its objects leave the state first: a kill then leaves a cluster that can be found gone again
    assert [asked for asked, _ in run.asked] == ["compare", "without_cluster", "reread"]


def test_a_run_that_was_killed_after_it_had_found_the_cluster_gone_goes_on() -> None:
    vpc, secret = resource("meshaws:ec2:Vpc", "network:vpc"), resource("kubernetes:core/v1:Secret", "s:secret")
    before = state(vpc, secret)
    silent = Ownership("here", unreachable=UnreachableError("no answer"))
    assert drift_check.detect_drift(as_run(Recorded([])), deployment(), before, silent, lambda: None).cluster_is_gone
    run = Recorded([], before)
    assert drift_check.refresh_state(as_run(run), deployment(), before, silent).cluster_is_gone
    assert run.asked == [("without_cluster", []), ("reread", [vpc["urn"]])]


def test_objects_that_an_interrupted_run_did_not_get_to_are_passed_over() -> None:
    """What it had deleted to make it anew, and what it had begun and turned out not to be there."""
    before, owned = world("onprem")
    first, *others = before.resources
    assert drift_check.object_drift(before.with_resources(others), owned) == ()
    live = {name: found for name, found in owned.live.items() if name != owned.expected[0].name}
    replaced = before.with_resources([first.with_fields(pendingReplacement=True), *others])
    assert drift_check.object_drift(replaced, Ownership("here", live=live, expected=owned.expected)) == ()


def test_what_an_interrupted_run_had_begun_is_no_drift_and_changes_the_preview() -> None:
    vpc, begun = resource("meshaws:ec2:Vpc", "network:vpc"), resource("meshaws:ec2:Subnet", "network:subnet")
    before = state(vpc, {**begun, "id": "unanswered"})
    run = Recorded([])
    seen = drift_check.detect_drift(as_run(run), deployment(), before, Ownership("here"), lambda: None)
    assert run.asked == [("compare", [vpc["urn"]])]
    assert (seen.drift, seen.changes_the_preview) == ((), True)


def test_by_another_kubeconfig_than_before_the_engine_reads_no_object() -> None:
    """The old one may lead to another cluster by now, where all would read as gone: `up` would forget it."""
    made_by = {
        **resource("pulumi:providers:kubernetes", "kubernetes"),
        "id": "p1",
        "inputs": {"kubeconfig": "/old/config", "context": "cw", "clusterIdentifier": "uid-cw"},
    }
    provider = f"{made_by['urn']}::p1"
    bucket, secret = (
        resource("meshaws:s3:Bucket", "storage/w:bucket"),
        resource(drift_check._SECRET, "workload/chat:secrets"),
    )
    job = {**resource("kubernetes:batch/v1:Job", "workload/pretrain:job"), "provider": provider}
    before = state(made_by, bucket, {**secret, "provider": provider}, job)
    here = deployment("cw", cluster=Cluster(name="cw", kubeconfig="/new/config", context="cw"))
    assert not drift_check._can_read(here, before, Ownership("cw"))
    run = Recorded([])
    drift_check.write_drift_into_state(
        as_run(run),
        drift_check.urns_to_read(before, in_cluster=False),
        (drift.drift_of_gone(Resource(job)),),
        reads_objects=False,
    )
    assert run.asked == [("mark", [job["urn"]]), ("reread", [bucket["urn"]])]


@pytest.mark.parametrize(("recorded", "is_other"), [("anna", True), ("", False)])
def test_a_profile_that_is_no_longer_the_one_of_the_environment_looks_at_nothing(
    recorded: str, *, is_other: bool
) -> None:
    provider = {**resource("pulumi:providers:meshaws", "aws"), "inputs": {"profile": recorded}}
    bucket = resource("meshaws:s3:Bucket", "storage/w:bucket")

    class Refused(Recorded):
        def reread(self, urns: list[str]) -> list[Step]:
            raise CredentialsError("no profile of that name")

        compare = reread

    def looked() -> list[drift_check.DriftCheck]:
        run, before = Refused([]), state(provider, bucket)
        return [
            drift_check.detect_drift(as_run(run), deployment(), before, Ownership("here"), lambda: None),
            drift_check.refresh_state(as_run(run), deployment(), before, Ownership("here")),
        ]

    if is_other:
        assert [seen.is_other_profile for seen in looked()] == [True, True]
    else:
        with pytest.raises(CredentialsError):
            looked()
