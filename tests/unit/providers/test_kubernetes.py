"""The pure core of the `kubernetes` stand-in: names, checks, diffs, readiness, ownership of fields."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from meshwire.kubernetes import errors
from providers.kubernetes import apply, checking, config, diffing, kubeconfig, objects
from providers.kubernetes.connection import ApiError
from providers.kubernetes.waits import readiness, waiting
from providers.plugin.provider import Kind, ProviderError
from providers.plugin.values import UNKNOWN, Secret

URN = "urn:pulumi:dev::llm::kubernetes:core/v1:ConfigMap::settings"


def config_map(**more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}, **more}


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("kubernetes:core/v1:Namespace", ("", "v1", "Namespace")),
        ("kubernetes:apps/v1:Deployment", ("apps", "v1", "Deployment")),
        ("kubernetes:meshctl.dev/v1:Thing", ("meshctl.dev", "v1", "Thing")),
    ],
)
def test_a_token_names_a_kind(token: str, expected: tuple[str, str, str]) -> None:
    found = objects.token_gvk(token)
    assert (found.group, found.version, found.kind) == expected


def test_a_helm_release_needs_the_official_plugin() -> None:
    with pytest.raises(ProviderError, match="official kubernetes plugin"):
        objects.token_gvk("kubernetes:helm.sh/v3:Release")


def test_a_patch_is_told_by_its_token_not_by_a_kind_that_ends_alike() -> None:
    assert objects.is_patch("kubernetes:core/v1:NodePatch", {"kind": "Node"})
    assert not objects.is_patch("kubernetes:example.com/v1:SecurityPatch", {"kind": "SecurityPatch"})


def test_text_of_a_secret_becomes_data_and_is_marked() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "data": {"a": "eA=="}, "stringData": {"b": "y", "c": UNKNOWN}}
    found = objects.normalise(secret)
    assert found["data"] == {"a": "eA==", "b": "eQ==", "c": UNKNOWN}
    assert objects.marked(found)["data"] == Secret(found["data"])


def job_with(*keys: str, kind: str = "Job") -> dict[str, Any]:
    pod = {"tolerations": [{"key": key, "operator": "Exists"} for key in keys]} if keys else {}
    return {"apiVersion": "batch/v1", "kind": kind, "spec": {"suspend": False, "template": {"spec": pod}}}


@pytest.mark.parametrize(
    ("declared", "live", "applied"),
    [
        (job_with("gpu"), job_with("gpu", "spot"), job_with("gpu", "spot")),
        (job_with("gpu"), job_with("gpu"), job_with("gpu")),
        (job_with(), job_with("spot"), job_with()),  # nothing is declared, so nothing is applied
        (job_with("gpu", kind="Deployment"), job_with("spot", kind="Deployment"), job_with("gpu", kind="Deployment")),
    ],
)
def test_an_update_of_a_job_leaves_the_tolerations_that_kueue_has_added(
    declared: dict[str, Any], live: dict[str, Any], applied: dict[str, Any]
) -> None:
    assert apply.with_live_flavor(declared, live) == applied


def test_an_update_of_a_job_leaves_the_nodes_that_kueue_has_chosen() -> None:
    """The API server takes a selector as one field: with the declared one the apply would meet Kueue's."""

    def job(selector: dict[str, str] | None, kind: str = "Job") -> dict[str, Any]:
        pod = {"containers": []} if selector is None else {"containers": [], "nodeSelector": selector}
        return {"kind": kind, "spec": {"template": {"spec": pod}}}

    declared, chosen = {"meshctl.dev/mesh": "m"}, {"meshctl.dev/mesh": "m", "meshctl.dev/pool": "serve"}
    assert apply.with_live_flavor(job(declared), job(chosen)) == job(chosen)
    assert apply.with_live_flavor(job(None), job(chosen)) == job(None)
    assert apply.with_live_flavor(job(declared), job(None)) == job(declared)
    assert apply.with_live_flavor(job(declared, "Deployment"), job(chosen)) == job(declared, "Deployment")


def test_schema_extensions_have_dashes_for_the_server_and_underscores_for_programs() -> None:
    schema = {"x_kubernetes_preserve_unknown_fields": True}
    assert objects.from_pulumi(schema) == {"x-kubernetes-preserve-unknown-fields": True}
    assert objects.to_pulumi(objects.from_pulumi(schema)) == schema


def test_the_field_manager_is_the_resources_own_and_stays() -> None:
    fresh = objects.field_manager(URN, {}, {})
    assert fresh == objects.field_manager(URN, {}, {}) != objects.field_manager(URN + "2", {}, {})
    assert objects.field_manager(URN, {}, {"__fieldManager": "pulumi-kubernetes-00"}) == "pulumi-kubernetes-00"
    noted = {"metadata": {"annotations": {"pulumi.com/patchFieldManager": "mine"}}}
    assert objects.field_manager(URN, noted, {"__fieldManager": "other"}) == "mine"


def test_pruning_takes_live_values_of_the_fields_that_were_asked_for() -> None:
    live = {"spec": {"replicas": 3, "containers": [{"name": "sidecar"}, {"name": "c", "image": "b", "tty": False}]}}
    asked = {"spec": {"replicas": 1, "containers": [{"name": "c", "image": "a"}], "gone": 1}}
    assert objects.prune(live, asked) == {"spec": {"replicas": 3, "containers": [{"name": "c", "image": "b"}]}}


def checked(inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    options = {"olds": {}, "namespaced": True, "default_namespace": "default", "patch": False, **more}
    found, failures = checking.checked(urn=URN, inputs=inputs, **options)
    assert not failures
    return found


def test_a_name_is_drawn_once_and_kept() -> None:
    first = checked({"kind": "ConfigMap", "metadata": {}})
    assert first["metadata"]["name"].startswith("settings-")
    assert first["metadata"]["namespace"] == "default"
    assert checked({"kind": "ConfigMap"}, olds=first) == first
    assert checked({"kind": "ConfigMap"})["metadata"]["name"] != first["metadata"]["name"]


def test_names_that_are_given_or_not_known_yet_stay() -> None:
    assert checked({"metadata": {"name": "a", "namespace": "n"}})["metadata"] == {"name": "a", "namespace": "n"}
    unknown = {"name": UNKNOWN, "namespace": UNKNOWN}
    assert checked({"metadata": unknown})["metadata"] == unknown
    assert checked({"metadata": {"generateName": "x-"}})["metadata"] == {"generateName": "x-", "namespace": "default"}


def test_a_patch_without_a_name_is_refused() -> None:
    _, failures = checking.checked(
        urn=URN, inputs={"metadata": {}}, olds={}, namespaced=False, default_namespace="", patch=True
    )
    assert [failure.path for failure in failures] == ["metadata.name"]


def diff(old: dict[str, Any], new: dict[str, Any], **more: Any) -> Any:
    options = {"mutable_config_maps": False, "mutable_secrets": False, "unready": False, **more}
    return diffing.diff(old=old, new=new, **options)


def test_equal_inputs_have_no_difference() -> None:
    found = diff(config_map(data={"a": "1"}), config_map(data={"a": "1"}))
    assert not found.changes
    assert found.detailed == {}


def test_data_of_a_config_map_needs_a_new_one_unless_configured_otherwise() -> None:
    old, new = config_map(data={"a": "1"}), config_map(data={"a": "2"})
    assert diff(old, new).detailed == {"data.a": Kind.UPDATE_REPLACE}
    assert diff(old, new).delete_before_replace
    assert diff(old, new, mutable_config_maps=True).detailed == {"data.a": Kind.UPDATE}
    assert diff({**old, "immutable": True}, {**new, "immutable": True}, mutable_config_maps=True).replaces == (
        "data.a",
    )


def test_a_new_name_lets_the_old_object_stay_until_the_new_one_is_there() -> None:
    moved = {**config_map(), "metadata": {"name": "b", "namespace": "n"}}
    found = diff(config_map(), moved)
    assert found.replaces == ("metadata.name",)
    assert not found.delete_before_replace


@pytest.mark.parametrize(
    ("api_version", "kind", "spec", "changed", "replaces"),
    [
        ("apps/v1", "Deployment", {"selector": {"x": "1"}}, {"selector": {"x": "2"}}, True),
        ("apps/v1", "Deployment", {"replicas": 1}, {"replicas": 2}, False),
        ("batch/v1", "Job", {"template": {"x": 1}}, {"template": {"x": 2}}, True),
        ("batch/v1", "Job", {"suspend": True}, {"suspend": False}, False),
        ("v1", "PersistentVolumeClaim", {"storageClassName": "a"}, {"storageClassName": "b"}, True),
        ("v1", "PersistentVolumeClaim", {"resources": {"x": 1}}, {"resources": {"x": 2}}, False),
        ("v1", "Service", {"clusterIP": "None"}, {"clusterIP": ""}, True),
        ("v1", "Pod", {"containers": [{"image": "a"}]}, {"containers": [{"image": "b"}]}, True),
    ],
)  # fmt: skip
def test_fields_that_cannot_change(
    api_version: str, kind: str, spec: dict[str, Any], changed: dict[str, Any], *, replaces: bool
) -> None:
    old = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}, "spec": spec}
    found = diff(old, {**old, "spec": changed})
    assert found.changes
    assert bool(found.replaces) is replaces


def test_lists_differ_by_position_and_keys_with_dots_are_quoted() -> None:
    old = {"metadata": {"labels": {"meshctl.dev/pool": "a"}}, "items": [1, {"x": 1}]}
    new = {"metadata": {"labels": {"meshctl.dev/pool": "b"}}, "items": [1, {"x": 2}, 3]}
    assert set(diff(old, new).detailed) == {'metadata.labels["meshctl.dev/pool"]', "items[1].x", "items[2]"}


def test_a_failed_object_is_replaced_on_request() -> None:
    found = diff(config_map(), config_map(), unready=True)
    assert found.changes
    assert found.replaces == ("metadata",)


def cluster(server: str, token: str = "t") -> str:  # noqa: S107 (no real one)
    return json.dumps(
        {
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
            "current-context": "x",
        }
    )


def test_only_another_cluster_replaces_what_lives_in_it() -> None:
    old = {"kubeconfig": cluster("https://a")}
    assert not config.diff(olds=old, news=old).changes
    renewed = config.diff(olds=old, news={"kubeconfig": cluster("https://a", "new")})
    assert renewed.changes
    assert not renewed.replaces
    assert config.diff(olds=old, news={"kubeconfig": cluster("https://b")}).replaces == ("kubeconfig",)
    assert config.diff(olds=old, news={"kubeconfig": UNKNOWN}).replaces == ("kubeconfig",)
    named = {"clusterIdentifier": "one"}
    assert not config.diff(olds={**old, **named}, news={"kubeconfig": UNKNOWN, **named}).replaces
    assert not config.diff(olds=old, news={**old, "namespace": "n"}).replaces


def test_flags_arrive_as_text_or_as_themselves() -> None:
    assert config.settings({}).server_side_apply
    assert not config.settings({"enableServerSideApply": "false"}).server_side_apply
    assert config.settings({"deleteUnreachable": True}).delete_unreachable
    assert config.settings({"kubeconfig": UNKNOWN}).kubeconfig is None


def test_several_kubeconfigs_are_one_and_the_first_wins(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text(cluster("https://first"))
    second.write_text(cluster("https://second").replace('"name": "x"', '"name": "y"'))
    loaded = kubeconfig.load(f"{first}:{second}", context="y", cluster="")
    assert loaded.server == "https://first"
    assert loaded.namespace == "team"
    with pytest.raises(ProviderError, match='has no context "z"; it has x, y'):
        kubeconfig.load(f"{first}:{second}", context="z", cluster="")


def workload(status: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "d", "generation": 2}, "spec": {"replicas": 2, **spec}, "status": status}


def test_a_deployment_is_ready_when_all_new_replicas_are_available() -> None:
    done = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
    assert readiness.deployment(workload(done)).ready
    assert not readiness.deployment(workload({**done, "observedGeneration": 1})).ready
    assert readiness.deployment(workload({**done, "replicas": 3})).message == "old replicas still run"
    stuck = {**done, "availableReplicas": 0, "conditions": [
        {"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]}  # fmt: skip
    assert readiness.deployment(workload(stuck)).failed
    none = {"observedGeneration": 2}
    assert readiness.deployment(workload(none, replicas=0)).ready


def test_a_job_is_done_or_failed_by_its_conditions() -> None:
    assert readiness.job({"status": {"conditions": [{"type": "Complete", "status": "True"}]}}).ready
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "no more"}
    found = readiness.job({"status": {"conditions": [failed]}})
    assert (found.failed, found.code) == (True, "BackoffLimitExceeded")


def test_pods_say_what_is_wrong_with_them() -> None:
    waiting = {"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/4 nodes"}
    pod = {"metadata": {"name": "p"}, "status": {"conditions": [unscheduled], "containerStatuses": [waiting]}}
    assert readiness.pod_troubles(pod) == [
        "pod p: 0/4 nodes [code=Unschedulable]",
        "pod p: container c: ImagePullBackOff: no such image [code=ImagePullBackOff]",
    ]


def test_a_held_pod_says_what_its_gang_waits_for() -> None:
    gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "non-empty gates"}
    pod = {"metadata": {"name": "p"}, "status": {"conditions": [gated]}}
    assert readiness.pod_troubles(pod) == ["pod p: non-empty gates [code=SchedulingGated]"]
    pod["metadata"] = {"name": "p", "annotations": {"meshctl.dev/gang-waits": "waits for room for 1 more of its pods"}}
    said = "pod p: its gang waits for room for 1 more of its pods [code=SchedulingGated]"
    assert readiness.pod_troubles(pod) == [said]


def crashed(*, ready: bool) -> dict[str, Any]:
    last = {"terminated": {"exitCode": 3, "reason": "Error"}}
    return {"name": "c", "ready": ready, "restartCount": 1, "state": {"running": {}}, "lastState": last}


def test_a_container_between_two_crashes_is_in_trouble() -> None:
    pod = {"metadata": {"name": "p"}, "status": {"containerStatuses": [crashed(ready=False)]}}
    said = "pod p: container c: CrashLoopBackOff: exit code 3 [code=CrashLoopBackOff]"
    assert readiness.pod_troubles(pod) == [said]
    well = {"metadata": {"name": "p"}, "status": {"containerStatuses": [crashed(ready=True)]}}
    assert readiness.pod_troubles(well) == []
    assert readiness.restart_troubles(well) == [said]


def test_a_crashing_container_is_told_alike_all_along_with_what_it_said_last() -> None:
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "Traceback:\n  …\nOSError: no weights\n"}}
    back_off = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container=c"}}
    states = [(ended, {}), (back_off, ended), ({"running": {}}, ended)]
    told = {
        line
        for state, last in states
        for line in readiness.pod_troubles(
            {
                "metadata": {"name": "p"},
                "status": {
                    "containerStatuses": [
                        {"name": "c", "ready": False, "restartCount": 2, "state": state, "lastState": last}
                    ]
                },
            }
        )
    }
    assert told == {"pod p: container c: CrashLoopBackOff: exit code 1: OSError: no weights [code=CrashLoopBackOff]"}


FAILS = {"reason": "Unhealthy", "message": "Startup probe failed: HTTP probe failed with statuscode: 503"}
KILLS = {"reason": "Killing", "message": "Container c failed startup probe, will be restarted"}


def unready(**container: Any) -> dict[str, Any]:
    """A pod with a health check that runs and is not ready."""
    not_ready = {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "c is not ready"}
    status = {"phase": "Running", "conditions": [not_ready], "containerStatuses": [container] if container else []}
    spec = {"containers": [{"name": "c", "startupProbe": {"tcpSocket": {"port": 80}}}]}
    return {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec, "status": status}


def test_a_pod_that_is_not_ready_says_what_its_health_check_was_answered() -> None:
    assert readiness.pod_troubles(unready()) == ["pod p: c is not ready [code=ContainersNotReady]"]
    assert readiness.pod_troubles(unready(), [FAILS]) == [
        "pod p: the health check does not pass yet; the last answer was: HTTP probe failed with statuscode: 503 "
        "[code=HealthCheck]"
    ]


def test_a_container_that_the_kubelet_ended_for_its_health_did_not_crash() -> None:
    pod = unready(**crashed(ready=False))
    crash = ["pod p: container c: CrashLoopBackOff: exit code 3 [code=CrashLoopBackOff]"]
    assert readiness.pod_troubles(pod, [FAILS]) == crash  # refused while it was gone
    assert readiness.pod_troubles(pod, [FAILS, KILLS]) == [
        "pod p: the health check did not pass within `health.startup`, so the container is started again; the last "
        "answer was: HTTP probe failed with statuscode: 503 [code=HealthCheck]"
    ]


def test_a_wait_reads_the_events_of_pods_whose_health_is_asked_for() -> None:
    cluster = Cluster()
    cluster.objects |= {"Pod": [unready()], "Event": [FAILS]}
    live = {"metadata": {"name": "d", "namespace": "n"}, "spec": {}, "status": {}}
    waiter = waiting.Waiter(cast("Any", cluster), threading.Event())
    outcome = waiter.until_ready(objects.Gvk("apps", "v1", "Deployment"), live, timeout_s=0, status=lambda _: None)
    assert outcome.reasons[1:] == (
        "pod p: the health check does not pass yet; the last answer was: HTTP probe failed with statuscode: 503 "
        "[code=HealthCheck]",
    )


def test_a_stateful_set_counts_pods_that_stay_up() -> None:
    status = {"observedGeneration": 2, "readyReplicas": 2, "updatedReplicas": 2, "availableReplicas": 1}
    assert readiness.stateful_set(workload(status)).ready
    assert readiness.stateful_set(workload(status, minReadySeconds=10)).message == "1 of 2 replicas are available"


class Cluster:
    """Answers what a wait asks: one pod that mounts two claims, of which one does not exist."""

    def __init__(self) -> None:
        unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/4 nodes"}
        volumes = [{"persistentVolumeClaim": {"claimName": name}} for name in ("data", "gone")]
        pod = {"metadata": {"name": "p"}, "spec": {"volumes": volumes}, "status": {"conditions": [unscheduled]}}
        self.objects: dict[str, list[dict[str, Any]]] = {
            "Pod": [pod],
            "PersistentVolumeClaim": [{"metadata": {"name": "data", "uid": "1"}, "status": {"phase": "Pending"}}],
            "Event": [{"type": "Warning", "message": "no class", "reason": "ProvisioningFailed"}],
        }

    def items(self, gvk: objects.Gvk, _namespace: str, **_query: str) -> list[dict[str, Any]]:
        return self.objects[gvk.kind]

    def get(self, *_: Any) -> dict[str, Any]:
        raise ApiError(errors.ApiError(404, "not found"))


def test_a_wait_says_what_holds_the_claims_of_its_pods() -> None:
    live = {"metadata": {"name": "d", "namespace": "n"}, "spec": {}, "status": {}}
    waiter = waiting.Waiter(cast("Any", Cluster()), threading.Event())
    gvk = objects.Gvk("apps", "v1", "Deployment")
    outcome = waiter.until_ready(gvk, live, timeout_s=0, status=lambda _: None)
    assert outcome.reasons[1:] == (
        "pod p: 0/4 nodes [code=Unschedulable]",
        "claim data: no class [code=ProvisioningFailed]",
    )


def test_a_long_wait_says_why_as_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "DETAILS_EVERY_S", 0)
    cancelled, said = threading.Event(), []

    def hear(message: str) -> None:
        said.append(message)
        cancelled.set()

    live = {"metadata": {"name": "d", "namespace": "n"}, "spec": {}, "status": {"observedGeneration": 1}}
    waiter = waiting.Waiter(cast("Any", Cluster()), cancelled)
    waiter.until_ready(objects.Gvk("apps", "v1", "Deployment"), live, timeout_s=60, status=hear)
    assert said == ["0 of 1 replicas are of the new version; pod p: 0/4 nodes [code=Unschedulable]"]


def test_a_service_waits_for_pods_only_where_it_selects_some() -> None:
    assert readiness.needs_endpoints({"kind": "Service", "spec": {"selector": {"a": "b"}}})
    assert not readiness.needs_endpoints({"kind": "Service", "spec": {"selector": {"a": "b"}, "clusterIP": "None"}})
    assert not readiness.needs_endpoints({"kind": "Service", "spec": {}})


def test_what_our_post_set_moves_to_the_applying_manager() -> None:
    entries = [
        {"manager": "pulumi-kubernetes", "operation": "Update", "fieldsV1": {"f:data": {"f:a": {}}}},
        {"manager": "m", "operation": "Apply", "fieldsV1": {"f:data": {"f:b": {}}}},
        {"manager": "kubectl", "operation": "Update", "fieldsV1": {}},
    ]
    moved = apply.taken_over(entries, "m")
    assert moved[0] == {"manager": "m", "operation": "Apply", "fieldsV1": {"f:data": {"f:a": {}, "f:b": {}}}}
    assert [entry["manager"] for entry in moved] == ["m", "kubectl"]
    assert apply.taken_over(moved, "m") == moved


def test_a_merge_patch_turns_old_into_new() -> None:
    old = {"a": 1, "b": {"c": 1, "d": 2}, "gone": 1}
    new = {"a": 1, "b": {"c": 2, "d": 2}, "list": [1]}
    assert apply.merge_patch(old, new) == {"gone": None, "b": {"c": 2}, "list": [1]}


def node_pool(**conditions: tuple[str, str]) -> dict[str, object]:
    listed = [{"type": k, "status": status, "message": message} for k, (status, message) in conditions.items()]
    annotations = {"pulumi.com/waitFor": "condition=AtTarget"}
    return {"kind": "NodePool", "metadata": {"annotations": annotations}, "status": {"conditions": listed}}


def test_an_object_may_name_the_condition_to_wait_for() -> None:
    waiting = node_pool(AtTarget=("False", "1 of 4 nodes"))
    rule = readiness.asked_rule(waiting)
    assert rule is not None
    assert (rule(waiting).ready, rule(waiting).failed) == (False, False)
    assert "1 of 4 nodes" in rule(waiting).message
    assert rule(node_pool(AtTarget=("True", ""))).ready
    assert readiness.asked_rule({"metadata": {}}) is None


@pytest.mark.parametrize(
    ("observed", "is_ready"), [({"observedGeneration": 1}, False), ({"observedGeneration": 2}, True), ({}, True)]
)
def test_a_condition_of_an_earlier_version_does_not_count(observed: dict[str, int], is_ready: bool) -> None:
    """cert-manager and others say which version of the object a condition is of; a Certificate of before its change is
    Ready until its controller has looked at the change."""
    annotations = {"pulumi.com/waitFor": "condition=Ready"}
    certificate = {
        "kind": "Certificate",
        "metadata": {"generation": 2, "annotations": annotations},
        "status": {"conditions": [{"type": "Ready", "status": "True", **observed}]},
    }
    rule = readiness.asked_rule(certificate)
    assert rule is not None
    assert rule(certificate).ready == is_ready


def test_what_failed_of_an_object_that_is_not_ready_is_its_last_word() -> None:
    """cert-manager's `Ready` says only that there is no Secret yet; why there is none, its `Issuing` says."""
    failed = "The certificate request has failed to complete and will be retried: CAA record prevents issuing"
    conditions = [
        {"type": "Ready", "status": "False", "reason": "DoesNotExist", "message": "Secret does not exist"},
        {"type": "Issuing", "status": "False", "reason": "Failed", "message": failed},
    ]
    annotations = {"pulumi.com/waitFor": "condition=Ready"}
    certificate = {
        "kind": "Certificate",
        "metadata": {"annotations": annotations},
        "status": {"conditions": conditions},
    }
    rule = readiness.asked_rule(certificate)
    assert rule is not None
    verdict = rule(certificate)
    assert (verdict.ready, verdict.failed) == (False, False)  # it is tried again
    assert verdict.message == f"condition Ready is not True: Secret does not exist; Issuing: {failed}"
    conditions[1] |= {"status": "True", "reason": "DoesNotExist", "message": "Issuing as Secret does not exist"}
    assert rule(certificate).message == "condition Ready is not True: Secret does not exist"


def test_a_pool_without_quota_is_not_waited_for() -> None:
    pool = node_pool(AtTarget=("False", ""), Quota=("False", "no quota for gd-8xh100ib-i128"))
    rule = readiness.asked_rule(pool)
    assert rule is not None
    verdict = rule(pool)
    assert (verdict.failed, verdict.code) == (True, "Quota")
    assert "no quota for gd-8xh100ib-i128" in verdict.message
