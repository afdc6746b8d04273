"""Access entries of a cluster: those of its maker and of its administrators, one for each."""

from __future__ import annotations

from tests.unit.stacks.declared_on_aws import Recorder, declared, example

ALICE, BOB = "arn:aws:iam::123456789012:user/alice", "arn:aws:iam::123456789012:role/ml/bob"


def program(*, maker: str = "", admins: tuple[str, ...] = ()) -> Recorder:
    deployment = example()
    cluster = deployment.cluster.model_copy(update={"maker": maker, "admins": admins})
    return declared(deployment.model_copy(update={"cluster": cluster}))


def principals(program: Recorder) -> dict[str, str]:
    return {name: inputs["principalArn"] for name, inputs in program.of_type("eks:AccessEntry").items()}


def test_a2_the_maker_of_a_new_cluster_has_an_entry_and_no_hidden_right() -> None:
    new = program(maker=ALICE)
    assert principals(new) == {"cluster:maker": ALICE}
    [association] = new.of_type("eks:AccessPolicyAssociation").values()
    assert association["policyArn"] == "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
    config = new.inputs["cluster:eks"]["accessConfig"]
    assert config["bootstrapClusterCreatorAdminPermissions"] is False
    assert "cluster:maker-policy" in new.waits_for["platform:namespace"]


def test_a_cluster_of_an_older_release_keeps_what_would_make_it_anew() -> None:
    older = program(admins=(BOB,))
    config = older.inputs["cluster:eks"]["accessConfig"]
    assert config["bootstrapClusterCreatorAdminPermissions"] is True
    [name] = principals(older)
    assert name.startswith("cluster:admin-bob-")


def test_a_maker_who_is_in_the_list_has_one_entry() -> None:
    """EKS refuses a second one with 409."""
    both = principals(program(maker=ALICE, admins=(ALICE, BOB)))
    assert sorted(both.values()) == sorted([ALICE, BOB])
    assert both["cluster:maker"] == ALICE
