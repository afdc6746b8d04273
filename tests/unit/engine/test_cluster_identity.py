"""Where a state says that its objects are, and what is refused elsewhere."""

from typing import Any

import pytest

from meshctl.clients.kubernetes import clusters
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.deploy.guards import cluster_identity
from meshctl.errors import CredentialsError, UnreachableError, UsageError
from meshctl.model.stack_state import StackState
from tests.unit import states

PROVIDER = "urn:pulumi:cw::llm-prod::pulumi:providers:kubernetes::kubernetes"
POOL = "urn:pulumi:cw::llm-prod::kubernetes:compute.coreweave.com/v1alpha1:NodePool::pool/train:nodepool"
HERE, THERE = ClusterAccess("cw", context="cw"), ClusterAccess("cw", context="dc1")


MADE = {"urn": POOL, "type": POOL.split("::")[2], "provider": f"{PROVIDER}::1"}
BEGUN = [{"type": "creating", "resource": MADE}]


def provider(uid: str = "uid-cw", **inputs: str) -> dict[str, Any]:
    given = {"context": "cw", **({"clusterIdentifier": uid} if uid else {}), **inputs}
    return {"urn": PROVIDER, "id": "1", "type": "pulumi:providers:kubernetes", "inputs": given}


def state(uid: str = "uid-cw", **inputs: str) -> StackState:
    return states.state(provider(uid, **inputs), MADE)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | Exception]:
    """What each context leads to: the UID that is answered, or the error."""
    found: dict[str, str | Exception] = {"cw": "uid-cw", "dc1": "uid-dc1"}

    def uid(access: ClusterAccess) -> str:
        answer = found[access.context]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(clusters, "uid", uid)
    return found


def test_the_state_has_the_cluster_and_the_way_to_it() -> None:
    assert cluster_identity.recorded_access("cw", states.NOTHING) is None
    assert cluster_identity.recorded_access("cw", state()) == ClusterAccess("cw", context="cw", uid="uid-cw")
    assert cluster_identity.recorded_access("cw", state("")) == ClusterAccess("cw", context="cw")


def test_what_a_killed_run_had_only_begun_counts_too() -> None:
    assert cluster_identity.recorded_access("cw", states.state(provider())) is None
    assert cluster_identity.recorded_access("cw", states.state(provider(), pending_operations=BEGUN)) is not None


def test_a_cluster_that_the_stack_made_is_not_asked_for() -> None:
    made = state("", kubeconfig='{"clusters": []}')
    assert cluster_identity.recorded_access("aws-east", made) is None
    cluster_identity.check_destroy("aws-east", made)


def test_another_cluster_is_refused_with_both_names_and_what_to_do() -> None:
    cluster_identity.check_change(HERE, state(), "uid-cw")
    cluster_identity.check_change(THERE, states.NOTHING, "uid-dc1")
    with pytest.raises(UsageError) as caught:
        cluster_identity.check_change(THERE, state(), "uid-dc1")
    assert caught.value.what.startswith('cw is in another cluster than the one that the context "dc1" of')
    assert 'uid-cw (the context "cw" of' in caught.value.why
    assert "uid-dc1" in caught.value.why
    assert "meshctl migrate cw NEW" in caught.value.hint
    assert "--forget-cluster" in caught.value.hint


def test_another_way_to_the_same_cluster_is_fine() -> None:
    cluster_identity.check_change(ClusterAccess("cw", "/home/me/config", "renamed"), state(), "uid-cw")


def test_a_state_of_an_older_version_is_compared_by_the_way_that_it_names(world: dict[str, str | Exception]) -> None:
    cluster_identity.check_change(HERE, state(""), "uid-new")
    with pytest.raises(UsageError):
        cluster_identity.check_change(THERE, state(""), "uid-dc1")
    world["cw"] = CredentialsError("no such context")
    cluster_identity.check_change(THERE, state(""), "uid-dc1")


def test_what_a_killed_run_began_is_looked_for_in_the_right_cluster_only(world: dict[str, str | Exception]) -> None:
    killed = states.state(provider(), {**MADE, "custom": True}, pending_operations=BEGUN)
    renamed = ClusterAccess("cw", context="cw-east")
    cluster_identity.check_change(renamed, killed, "uid-cw")
    world["cw"] = "uid-dc1"
    cluster_identity.check_change(renamed, state(), "uid-cw")
    with pytest.raises(UsageError):
        cluster_identity.check_change(renamed, killed, "uid-cw")


def test_destroy_asks_the_cluster_of_the_state(world: dict[str, str | Exception]) -> None:
    cluster_identity.check_destroy("cw", states.NOTHING)
    cluster_identity.check_destroy("cw", state())
    world["cw"] = "uid-new"
    with pytest.raises(UsageError):
        cluster_identity.check_destroy("cw", state())
    world["cw"] = UnreachableError("no answer", hint="check the network")
    with pytest.raises(UnreachableError) as caught:
        cluster_identity.check_destroy("cw", state())
    assert caught.value.hint.endswith("`meshctl destroy cw --forget-cluster`")


def test_where_the_last_run_looked_is_not_guessed_from_this_shell(
    world: dict[str, str | Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state has no path where the standard place was used, which another shell has elsewhere."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    world["cw"] = CredentialsError("no such context", hint="check it")
    with pytest.raises(CredentialsError) as caught:
        cluster_identity.check_destroy("cw", state())
    place = 'the last `up` reached the cluster through the context "cw" of its shell\'s kubeconfig'
    assert f"{place} (this run reads ~/.kube/config: set $KUBECONFIG as it was then" in caught.value.hint
    world["cw"] = "uid-new"
    with pytest.raises(UsageError) as refused:
        cluster_identity.check_destroy("cw", state())
    assert "set $KUBECONFIG as it was when `up` ran" in refused.value.hint


def test_only_what_is_really_gone_can_be_forgotten(world: dict[str, str | Exception]) -> None:
    there = cluster_identity.recorded_access("cw", state())
    with pytest.raises(UsageError, match="cw has nothing in an existing cluster"):
        cluster_identity.refuse_forgetting(None, "cw", HERE)
    with pytest.raises(UsageError, match="still exists"):
        cluster_identity.refuse_forgetting(there, "cw", THERE)
    world["cw"], world["dc1"] = UnreachableError("no answer"), "uid-cw"
    with pytest.raises(UsageError, match='the context "dc1"'):
        cluster_identity.refuse_forgetting(there, "cw", THERE)
    world["dc1"] = "uid-dc1"
    cluster_identity.refuse_forgetting(there, "cw", THERE)
    cluster_identity.refuse_forgetting(there, "cw", None)


def test_buckets_are_not_forgotten() -> None:
    bucket = {"urn": "…::storage/weights:bucket", "type": "meshaws:s3:Bucket"}
    left = cluster_identity.without_cluster(states.state(provider(), MADE, bucket, pending_operations=BEGUN))
    assert left.written() == {"resources": [bucket], "pending_operations": []}
