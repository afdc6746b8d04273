"""Machine types of the same shape that a new node group may start too, where EC2 has none of its own type."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from meshctl.catalog import Machine, load_catalog
from meshctl.deploy import deploy_state
from meshctl.deploy.guards.running import running_pods
from meshctl.deploy.guards.running.pools import pools_in_place, running_machines
from meshctl.deploy.runs import begun_pools
from meshctl.lab.aws.eks import launch_rules
from meshctl.lab.aws.errors import ApiError
from meshctl.model.deployment import Deployment, Pool
from meshctl.model.observed import DeployState
from meshctl.model.questions import ApiAnswer, InPlace
from meshctl.model.stack_state import STACK_TYPE, StackState
from meshctl.platforms.aws import equal_machines
from tests.unit import states
from tests.unit.preflight.asking import NOTHING, aws, deployment, findings, up_as
from tests.unit.stacks.declared_on_aws import declared, example

WEB = {"web": {"nodes": 2, "cpu": {"cores": 4, "memory": "16GiB"}}}
ZONES = ("us-east-1a", "us-east-1b")
OWN, OTHER = "m6i.xlarge", "m7i.xlarge"


def web() -> Deployment:
    return deployment(WEB)


def offers(**letters: str) -> dict[str, ApiAnswer]:
    rows = [
        {"InstanceType": name.replace("_", "."), "Location": f"us-east-1{letter}"}
        for name, each in letters.items()
        for letter in each
    ]
    return {"offerings": ApiAnswer({"InstanceTypeOfferings": rows})}


def machines() -> dict[str, Machine]:
    return {machine.name: machine for machine in load_catalog().machines["aws"]}


def test_finding_a7_a_new_pool_may_have_another_machine_of_its_shape() -> None:
    wanted = web()
    assert wanted.pool("web").machine == OWN
    [question] = [each for each in aws().questions(wanted, NOTHING) if each.name == "offerings"]
    assert question.arguments["Filters"] == [{"Name": "instance-type", "Values": [OWN, OTHER]}]
    made = findings(wanted, offers(m6i_xlarge="ab", m7i_xlarge="ab"))
    assert made.placed(wanted).pool("web").equal_machines == (OTHER,)
    assert f"pool web: where EC2 has no {OWN}, its nodes are {OTHER}, of the same shape" in made.notes


@pytest.mark.parametrize("answers", [offers(m6i_xlarge="ab", m7i_xlarge="a"), {"offerings": ApiAnswer(code="Denied")}])
def test_finding_a7_not_one_that_a_zone_of_it_lacks_nor_one_that_nobody_knows_of(answers: dict[str, ApiAnswer]) -> None:
    wanted = web()
    assert findings(wanted, answers).placed(wanted).pool("web").equal_machines == ()


def test_finding_a7_of_the_zones_that_the_pool_goes_to() -> None:
    wanted = web()
    made = findings(wanted, offers(m6i_xlarge="a", m7i_xlarge="a")).placed(wanted).pool("web")
    assert (made.zones, made.equal_machines) == (ZONES[:1], (OTHER,))


@pytest.mark.parametrize(
    "changes",
    [
        {"verified": False},
        {"memory_gib": 32.0},
        {"cpu_cores": 8},
        {"arch": "arm64"},
        {"scratch_gb": 100.0},
        {"pods": 10},
        {"quota_code": "L-1"},
        {"gpu_model": "T4", "gpu_count": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_finding_a7_another_shape_is_none_of_its_machines(changes: dict[str, Any]) -> None:
    wanted, catalog = web(), machines()
    assert equal_machines.candidates(wanted.pool("web"), (), catalog) == (OTHER,)
    catalog[OTHER] = replace(catalog[OTHER], **changes)
    assert equal_machines.candidates(wanted.pool("web"), (), catalog) == ()


def test_finding_a7_nodes_that_depend_on_their_type_have_one() -> None:
    pool, catalog = web().pool("web"), machines()
    assert equal_machines.candidates(pool.model_copy(update={"reservation": "cr-1"}), (), catalog) == ()
    picky = [
        each.model_copy(update={"pool": "web", "pod": {"nodeSelector": {"a": "b"}}}) for each in example().workloads
    ]
    assert equal_machines.candidates(pool, picky[:1], catalog) == ()
    efa = example().pool("train").fabric
    assert efa is not None
    assert efa.kind == "efa"
    assert equal_machines.candidates(pool.model_copy(update={"fabric": efa}), (), catalog) == ()


def test_finding_a7_a_group_that_is_up_keeps_its_types() -> None:
    wanted = web()
    new = findings(wanted, offers(m6i_xlarge="ab", m7i_xlarge="ab")).placed(wanted)
    older = up_as(wanted)  # as a version before made it
    assert running_machines.with_running_machines(new, older).pool("web").equal_machines == ()
    assert running_machines.with_running_machines(wanted, up_as(new)).pool("web").equal_machines == (OTHER,)
    assert running_machines.with_running_machines(new, InPlace()) is new


def state_with(wanted: Deployment, status: str) -> StackState:
    """A run was stopped while it waited for the node group."""
    group = {
        "urn": "urn:pulumi:e::m::meshaws:eks:Nodegroup::pool/web:nodegroup",
        "type": "meshaws:eks:Nodegroup",
        "custom": True,
        "id": "m|web",
        "outputs": {"status": status},
        "initErrors": ["interrupted"],
    }
    outputs = {"deployment": wanted.model_dump(mode="json")}
    return states.state({"urn": "s", "type": STACK_TYPE, "outputs": outputs}, group)


@pytest.mark.parametrize("status", ["CREATING", "DEGRADED", "UPDATING", "ACTIVE"])
def test_finding_a7_a_group_that_a_run_did_not_wait_for_keeps_its_types_and_its_set_up(status: str) -> None:
    older = web()
    lustre = older.model_copy(update={"pools": (older.pool("web").model_copy(update={"setup": ("lustre-client",)}),)})
    new = findings(older, offers(m6i_xlarge="ab", m7i_xlarge="ab")).placed(older)
    kept = running_pods.with_running_pods(new, state_with(lustre, status)).pool("web")
    assert (kept.equal_machines, kept.setup) == ((), ("lustre-client",))
    failed = running_pods.with_running_pods(new, state_with(lustre, "CREATE_FAILED")).pool("web")
    assert (failed.equal_machines, failed.setup) == ((OTHER,), ())


def test_finding_a7_a_group_that_goes_to_other_zones_gets_the_types_that_they_have() -> None:
    """It is made anew there, and EKS refuses a type that a zone lacks."""
    older = findings(web(), offers(m6i_xlarge="ab", m7i_xlarge="ab")).placed(web())
    elsewhere = findings(web(), offers(m6i_xlarge="a")).placed(web())
    made = running_pods.with_running_pods(elsewhere, state_with(older, "CREATING")).pool("web")
    assert (made.zones, made.equal_machines) == (ZONES[:1], ())


STACK = "urn:pulumi:e::m::pulumi:pulumi:Stack::m-e"


def killed(begun: Deployment, before: Deployment | None, machines: list[str], status: str = "ACTIVE") -> StackState:
    """The state after a run was killed that had made the group and declared no outputs. `before`: what an earlier run
    declared."""
    outputs = {"deployment": before.model_dump(mode="json")} if before else {}
    stack = [{"urn": STACK, "type": STACK_TYPE, "outputs": outputs}] if before else []
    group = {
        "urn": "urn:pulumi:e::m::meshaws:eks:Nodegroup::pool/web:nodegroup",
        "type": "meshaws:eks:Nodegroup",
        "custom": True,
        "id": "m|web",
        "inputs": {"instanceTypes": machines},
        "outputs": {"status": status},
    }
    made = states.state(*stack).with_begun(begun, STACK).written()
    return states.read({**made, "resources": [*made["resources"], group]})


def test_finding_a7_a_group_of_a_first_run_that_was_killed_keeps_its_types_zones_and_set_up() -> None:
    """The next run may get another answer, or none."""
    decided = findings(web(), offers(m6i_xlarge="ab", m7i_xlarge="ab")).placed(web())
    pool = decided.pool("web").model_copy(update={"setup": ("lustre-client",)})
    decided = decided.model_copy(update={"pools": (pool,)})
    state = killed(decided, None, [pool.machine, OTHER])
    assert state.deployment is None
    for answered in (web(), findings(web(), offers(m6i_xlarge="ab")).placed(web())):
        kept = running_pods.with_running_pods(answered, state).pool("web")
        assert (kept.equal_machines, kept.zones, kept.setup) == ((OTHER,), pool.zones, pool.setup)
    begun = running_pods.with_running_pods(web(), killed(decided, None, [pool.machine, OTHER], "CREATING")).pool("web")
    assert begun.equal_machines == (OTHER,)
    failed = running_pods.with_running_pods(web(), killed(decided, None, [], "CREATE_FAILED")).pool("web")
    assert failed.equal_machines == ()


def test_finding_a7_so_does_a_group_that_a_later_run_has_made_anew_and_no_other_one() -> None:
    older = web()
    pool = older.pool("web").model_copy(update={"machine": OTHER, "equal_machines": ("m6i.xlarge",)})
    moved = older.model_copy(update={"pools": (pool,)})
    asked = moved.model_copy(update={"pools": (pool.model_copy(update={"equal_machines": ()}),)})
    made = killed(moved, older, [OTHER, "m6i.xlarge"])
    assert running_pods.with_running_pods(asked, made).pool("web").equal_machines == ("m6i.xlarge",)
    not_yet = killed(moved, older, ["m6i.xlarge"])
    assert [each.machine for each in pools_in_place.in_place(not_yet).pools] == [older.pool("web").machine]


def test_a_run_writes_what_it_decides_only_where_it_makes_a_pool() -> None:
    wanted = web()
    assert begun_pools.decides(wanted, states.NOTHING)
    assert not begun_pools.decides(wanted, states.NOTHING.with_begun(wanted, STACK))
    up = state_with(wanted, "ACTIVE")
    assert not begun_pools.decides(wanted, up)
    more = wanted.pool("web").model_copy(update={"name": "more"})
    grown = wanted.model_copy(update={"pools": (*wanted.pools, more)})
    assert begun_pools.decides(grown, up)
    assert not begun_pools.decides(grown, up.with_begun(grown, STACK))
    existing = grown.model_copy(update={"provider": "onprem"})
    assert not begun_pools.decides(existing, states.NOTHING)


def test_what_a_run_begins_with_is_read_again_and_is_no_deployment() -> None:
    state = states.read(states.NOTHING.with_begun(example(), STACK).written())
    assert state.deployment is None
    assert state.begun is not None
    assert state.begun.pools == example().pools
    assert [each.urn for each in state.resources] == [STACK]
    assert deploy_state.deploy_state(state) is DeployState.NOTHING
    both = state.with_deployment(example())
    assert both.deployment == example()


@pytest.mark.parametrize(
    ("status", "came_up"), [("CREATING", False), *((each, True) for each in ("UPDATING", "DEGRADED", "ACTIVE"))]
)
def test_a_pool_came_up_also_if_its_last_update_was_not_waited_for(status: str, came_up: bool) -> None:
    """Nor got its nodes: EKS calls a group of 2 that grows to 4 degraded where there are no machines for the others."""
    assert bool(pools_in_place.in_place(state_with(web(), status)).pools) == came_up


def test_finding_a7_the_group_names_all_of_them_its_own_first() -> None:
    wanted = example()
    web = wanted.pool("web").model_copy(update={"equal_machines": (OTHER,)})
    wanted = wanted.model_copy(update={"pools": tuple(web if each.name == "web" else each for each in wanted.pools)})
    groups = declared(wanted).inputs
    assert groups["pool/web:nodegroup"]["instanceTypes"] == [web.machine, OTHER]
    assert groups["pool/train:nodegroup"]["instanceTypes"] == ["p5.48xlarge"]


def test_a_mix_of_architectures_is_refused_by_the_lab_as_by_eks() -> None:
    pool: Pool = web().pool("web")
    launch = launch_rules.Launch("us-east-1", (OWN, "m7g.xlarge"), ZONES[:1], 1, {}, pool.ami_type)
    with pytest.raises(ApiError, match="not valid for AMI type"):
        launch_rules.refuse(launch)
