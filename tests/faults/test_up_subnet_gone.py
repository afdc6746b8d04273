"""A subnet that somebody deletes after the questions of an `up`, while that runs: one clear answer, and the next `up`
goes on.

For `nox -s faults`. The subnet is of a zone in which the control plane is not: AWS does not delete one that has its
interfaces.
"""

from __future__ import annotations

import pytest

from tests.faults.small_mesh import BEGUN, ENVIRONMENTS, counts, faults
from tests.faults.started import started
from tests.lab_fixture import RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

ZONE = "us-east-1c"


def test_a_subnet_that_goes_between_the_questions_and_the_nodes(small: RunningLab) -> None:
    two = "zones: [us-east-1a, us-east-1b]"
    assert two in ENVIRONMENTS
    files = ENVIRONMENTS.replace(two, f"zones: [us-east-1a, us-east-1b, {ZONE}]")
    (small.folder / "environments.yaml").write_text(files)
    # the call is held up, so that the subnet is gone by the time at which EKS looks at it
    faults(small, {"operation": "CreateNodegroup", "error": "ThrottlingException", "times": 7})
    with started(small, "-v", "up", "aws-east", "--yes") as up:
        up.wait_for(BEGUN["Nodegroup"])
        subnet = _delete_subnet(small)
        assert up.ended() == 3, up.said()
    error = up.said().partition("\nerror: ")[2]
    assert error.startswith("up aws-east: 1 resource failed: pool/web:nodegroup")
    assert f"The subnet ID '{subnet}' does not exist" in up.said()
    assert "hint: somebody deleted a subnet of the environment: run `up` again, which makes it anew" in error
    faults(small)
    small.meshctl("up", "aws-east", "--yes", timeout_s=400)
    assert counts(small)["subnets"] == 6
    assert small.json("plan", "aws-east")["changes"] == []
    eks = small.boto3("eks")
    [cluster] = [name for name in eks.list_clusters()["clusters"] if name.startswith("small-")]
    group = eks.describe_nodegroup(clusterName=cluster, nodegroupName="web")["nodegroup"]
    assert (group["status"], len(group["subnets"])) == ("ACTIVE", 3)
    assert subnet not in group["subnets"]


def _delete_subnet(here: RunningLab) -> str:
    """The private one of the zone, which only the nodes need; its route goes with it."""
    ec2 = here.boto3("ec2")
    filters = {"tag:meshctl.dev/mesh": "small", "availability-zone": ZONE, "map-public-ip-on-launch": "false"}
    described = ec2.describe_subnets(Filters=[{"Name": name, "Values": [value]} for name, value in filters.items()])
    [subnet_id] = [each["SubnetId"] for each in described["Subnets"]]
    ec2.delete_subnet(SubnetId=subnet_id)
    return str(subnet_id)
