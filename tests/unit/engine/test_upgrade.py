"""Which changes of the Kubernetes version can be made."""

import pytest

from meshctl.deploy.guards.upgrade import refuse_version_jump, with_running_version
from meshctl.errors import UsageError
from meshctl.model.deployment import Cluster
from meshctl.model.stack_state import StackState
from tests.unit import states
from tests.unit.deployments import deployment


def state(version: str) -> StackState:
    return states.state({"type": "meshaws:eks:Cluster", "urn": "u", "outputs": {"version": version}})


@pytest.mark.parametrize(("there", "wanted"), [("1.33", "1.33"), ("1.33", "1.34"), ("1.9", "1.10")])
def test_the_next_minor_version_can_be_reached(there: str, wanted: str) -> None:
    refuse_version_jump("aws-east", state(there), wanted, "EKS")


def test_a_new_cluster_may_have_any_version() -> None:
    refuse_version_jump("aws-east", states.NOTHING, "1.36", "EKS")


def test_more_than_one_minor_version_at_once_is_refused_with_the_first_step() -> None:
    with pytest.raises(UsageError) as caught:
        refuse_version_jump("aws-east", state("1.32"), "1.35", "EKS")
    assert caught.value.what == "aws-east runs Kubernetes 1.32 and can't go to 1.35 at once"
    assert 'version: "1.33"' in caught.value.hint


def test_an_older_version_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        refuse_version_jump("aws-east", state("1.34"), "1.33", "EKS")
    assert caught.value.what == "aws-east runs Kubernetes 1.34 and can't go back to 1.33"


def test_a_cluster_keeps_its_version_until_another_one_is_asked_for() -> None:
    made = deployment("aws-east", cluster=Cluster(name="c", version="1.35"))
    assert with_running_version(made, state("1.33")).cluster.version == "1.33"
    assert with_running_version(made, states.NOTHING).cluster.version == "1.35"
    asked = deployment("aws-east", cluster=Cluster(name="c", version="1.34", version_asked=True))
    assert with_running_version(asked, state("1.33")) is asked
