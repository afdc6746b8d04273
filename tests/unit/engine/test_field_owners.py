"""Who owns which field of live objects, and what an `up` does about it.

`recorded_field_owners.json` holds a Deployment and a Job as an API server (1.36) gave them after `kubectl scale`, `set
image`, `set env`, `annotate` and `patch` on what an `up` had made; tests/contract/test_field_owners.py does the same.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from meshctl import render
from meshctl.deploy.fields.field_owners import Manager, field_conflicts, path_text, without_fields
from meshctl.deploy.fields.field_rules import REPLICAS, Decision, Verdict, autoscaled, decide, matches, refuse, shown
from meshctl.errors import OwnedFieldsError
from meshctl.render import LateValue
from tests.unit.deployments import deployment

RECORDED = json.loads((Path(__file__).parent / "recorded_field_owners.json").read_text())
CHAT, PRETRAIN = "workload/chat:deployment", "workload/pretrain:job"
AUTOSCALED = {("Deployment", "chat"): "chat-hpa"}
IMAGE = "workload/chat:.spec.template.spec.containers[main].image"
POOL = "workload/chat:.spec.template.spec.containers[main].env[MESH_POOL].value"


def declared(name: str) -> dict[str, Any]:
    return next(item.manifest for item in render.platform_objects(deployment("dc1")) if item.name == name)


def live(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = copy.deepcopy(RECORDED[kind])
    return found


def decided(*take_over: str, scalers: dict[tuple[str, str], str] | None = None) -> dict[str, Decision]:
    found = [
        *field_conflicts(CHAT, declared(CHAT), live("deployment")),
        *field_conflicts(PRETRAIN, declared(PRETRAIN), live("job")),
    ]
    decisions = [decide(conflict, scalers or {}, take_over) for conflict in found]
    return {decision.name: decision for decision in decisions}


def test_what_others_set_to_another_value_is_a_conflict_and_nothing_else() -> None:
    found = {name: (d.owner, d.conflict.live, d.conflict.wanted) for name, d in decided().items()}
    assert found == {
        "workload/chat:.metadata.annotations[pulumi.com/timeoutSeconds]": ("kubectl-annotate", "1", "2400"),
        "workload/chat:.spec.replicas": ("kubectl", 3, 2),
        POOL: ("kubectl-set", "other", "serve"),
        IMAGE: ("kubectl-set", "vllm/vllm-openai:v0.12.0", "vllm/vllm-openai:v0.11.0"),
        "workload/pretrain:.spec.parallelism": ("kubectl-patch", 2, 4),
        "workload/pretrain:.spec.suspend": ("kubectl-patch", True, False),
    }


def test_the_value_that_the_mesh_wants_is_no_conflict_whoever_set_it() -> None:
    same = live("deployment")
    same["spec"]["replicas"] = 2
    assert "workload/chat:.spec.replicas" not in {
        f"{c.subject}:{path_text(c.path)}" for c in field_conflicts(CHAT, declared(CHAT), same)
    }


def test_what_only_the_engine_knows_is_not_compared() -> None:
    wanted = declared(CHAT)
    wanted["spec"]["replicas"] = LateValue("later")
    assert all(conflict.path != REPLICAS for conflict in field_conflicts(CHAT, wanted, live("deployment")))


def test_an_object_without_owners_has_no_conflicts() -> None:
    bare = live("deployment")
    del bare["metadata"]["managedFields"]
    assert field_conflicts(CHAT, declared(CHAT), bare) == []


def test_what_a_migration_must_move_is_taken_over_and_the_rest_is_for_a_person() -> None:
    verdicts = {name: decision.verdict for name, decision in decided().items()}
    assert verdicts["workload/chat:.spec.replicas"] is Verdict.TAKE_OVER
    assert verdicts["workload/pretrain:.spec.suspend"] is Verdict.TAKE_OVER
    assert verdicts["workload/pretrain:.spec.parallelism"] is Verdict.SET
    assert verdicts[IMAGE] is verdicts[POOL] is Verdict.REFUSE


def test_progress_says_what_is_taken_over_from_whom() -> None:
    assert decided()["workload/chat:.spec.replicas"].report == (
        "takes over .spec.replicas of deployment chat from kubectl (3 -> 2)"
    )


def test_a_plan_says_who_changed_what_and_what_up_will_do() -> None:
    forecasts = {name: decision.forecast for name, decision in decided().items()}
    assert forecasts["workload/chat:.spec.replicas"] == (
        "workload/chat: .spec.replicas of deployment chat is 3, set by kubectl: `up` sets it back to 2"
    )
    assert forecasts[IMAGE] == (
        "workload/chat: .spec.template.spec.containers[main].image of deployment chat is vllm/vllm-openai:v0.12.0, set"
        f" by kubectl-set, and the mesh says vllm/vllm-openai:v0.11.0: `up` needs --take-over '{IMAGE}'"
    )


@pytest.mark.parametrize("given", [IMAGE, "workload/chat:.spec.template", "workload/chat:.spec", "workload/chat"])
def test_a_field_is_taken_over_by_its_name_or_by_what_it_is_a_part_of(given: str) -> None:
    assert decided(given)[IMAGE].verdict is Verdict.TAKE_OVER


@pytest.mark.parametrize("given", ["workload/cha", "workload/chat:.spec.temp", "storage/chat", f"{IMAGE}s"])
def test_another_name_takes_nothing_over(given: str) -> None:
    assert decided(given)[IMAGE].verdict is Verdict.REFUSE
    assert not matches(IMAGE, [given])


def test_a_refusal_names_all_fields_and_the_command_that_goes_on() -> None:
    with pytest.raises(OwnedFieldsError) as caught:
        refuse("dc1", "up", list(decided().values()))
    error = caught.value
    assert [field.name for field in error.fields] == [
        "workload/chat:.metadata.annotations[pulumi.com/timeoutSeconds]",
        POOL,
        IMAGE,
    ]
    assert "set by kubectl-annotate; the mesh says 2400 (and 2 more)" in error.what
    assert "is other, set by kubectl-set; the mesh says serve; " in error.why
    assert "`meshctl up dc1 --take-over 'workload/chat:.metadata" in error.hint
    assert f"--take-over '{IMAGE}'" in error.hint
    with pytest.raises(OwnedFieldsError) as caught:
        refuse("dc1", "migrate", list(decided().values()))
    assert "`meshctl migrations resume --take-over 'workload/chat:.metadata" in caught.value.hint
    assert "mesh.yaml" not in caught.value.hint, "the migration goes on with what it was planned with"
    with pytest.raises(OwnedFieldsError) as caught:
        refuse("dc1", "meshctl migrate dc1 cw", list(decided().values()))
    assert caught.value.hint.startswith("write the value into mesh.yaml, or into environments.yaml")
    assert "`meshctl migrate dc1 cw --take-over 'workload/chat:.metadata" in caught.value.hint


def test_nothing_to_decide_is_no_refusal() -> None:
    refuse("dc1", "up", list(decided("workload/chat").values()))


def by_autoscaler(replicas: int) -> dict[str, Any]:
    """As the controller of HorizontalPodAutoscalers leaves it."""
    found = live("deployment")
    found["spec"]["replicas"] = replicas
    found["metadata"]["managedFields"][0]["manager"] = "kube-controller-manager"
    return found


@pytest.mark.parametrize(
    ("replicas", "wanted", "scalers", "verdict"),
    [
        (5, 2, AUTOSCALED, Verdict.LEAVE),
        (5, 0, AUTOSCALED, Verdict.TAKE_OVER),  # to pause
        (0, 2, AUTOSCALED, Verdict.TAKE_OVER),  # to start
        (5, 2, {}, Verdict.TAKE_OVER),  # the autoscaler is gone
    ],
    ids=["scaled", "pause", "start", "gone"],
)
def test_an_autoscaler_keeps_the_replicas_unless_they_pause_or_start(
    replicas: int, wanted: int, scalers: dict[tuple[str, str], str], verdict: Verdict
) -> None:
    manifest = declared(CHAT)
    manifest["spec"]["replicas"] = wanted
    found = field_conflicts(CHAT, manifest, by_autoscaler(replicas))
    (decision,) = [decide(conflict, scalers, ()) for conflict in found if conflict.path == REPLICAS]
    assert decision.verdict is verdict
    assert decision.owner == ("the autoscaler chat-hpa" if scalers else "an autoscaler")


def test_replicas_of_an_autoscaler_can_be_taken_over_by_name() -> None:
    decision = decided("workload/chat:.spec.replicas", scalers=AUTOSCALED)["workload/chat:.spec.replicas"]
    assert decision.verdict is Verdict.TAKE_OVER


def test_an_autoscaler_that_has_not_scaled_yet_is_left_alone_too() -> None:
    manifest = declared(CHAT)
    ours = live("deployment")
    ours["metadata"]["managedFields"] = [
        e for e in ours["metadata"]["managedFields"] if e.get("subresource") != "scale"
    ]
    conflict = autoscaled(CHAT, manifest, ours)
    assert conflict is not None
    assert decide(conflict, AUTOSCALED, ()).forecast == (
        "workload/chat: .spec.replicas of deployment chat is 3, set by the autoscaler chat-hpa: `up` does not set the"
        " mesh's 2, because the autoscaler chat-hpa scales it"
    )
    ours["spec"]["replicas"] = 2  # as the mesh says, for the moment
    held = autoscaled(CHAT, manifest, ours)
    assert held is not None
    assert decide(held, AUTOSCALED, ()).verdict is Verdict.LEAVE


@pytest.mark.parametrize(
    ("there", "verdict"), [("600Gi", Verdict.LEAVE), ("1Ti", Verdict.LEAVE), ("400Gi", Verdict.TAKE_OVER)]
)
def test_a_claim_that_was_grown_stays_and_one_that_is_to_grow_grows(there: str, verdict: Verdict) -> None:
    def claim(size: str) -> dict[str, Any]:
        spec = {"resources": {"requests": {"storage": size}}}
        return {"kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": spec}

    fields: dict[str, Any] = {"f:spec": {"f:resources": {"f:requests": {"f:storage": {}}}}}
    entry = {"manager": "pvc-autoresizer", "operation": "Update", "fieldsV1": fields}
    found = claim(there) | {"metadata": {"name": "data", "managedFields": [entry]}}
    (conflict,) = field_conflicts("storage/data:claim", claim("500Gi"), found)
    assert decide(conflict, {}, ()).verdict is verdict


def test_a_released_field_goes_from_others_alone_and_entries_without_fields_go() -> None:
    before = live("deployment")
    image = ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"main"}', "f:image")
    entries = without_fields(before, [REPLICAS, image])
    managers = [entry["manager"] for entry in entries]
    assert managers == [e["manager"] for e in before["metadata"]["managedFields"] if e.get("subresource") != "scale"]
    (left,) = [entry for entry in entries if entry["manager"] == "kubectl-set"]
    assert "f:image" not in json.dumps(left)
    assert "MESH_POOL" in json.dumps(left)
    ours = [entry for entry in entries if Manager(entry["manager"], "Update").is_ours]
    assert ours == [e for e in before["metadata"]["managedFields"] if e["manager"].startswith("pulumi-kubernetes")]


def test_paths_are_readable() -> None:
    ports = ("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:targetPort")
    assert path_text(ports) == ".spec.ports[80/TCP].targetPort"
    assert (
        path_text(("f:metadata", "f:labels", "f:app.kubernetes.io/name")) == ".metadata.labels[app.kubernetes.io/name]"
    )


def test_long_values_are_cut() -> None:
    assert shown("x" * 100) == "x" * 59 + "…"
    assert shown(True) == "true"
