"""Deployments, and answers of AWS as it words them, for the tests of what it is asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from meshctl.model.deployment import Deployment
from meshctl.model.questions import ApiAnswer, Findings, InPlace
from meshctl.platforms import registry
from meshctl.platforms.interface import Preflight
from tests.unit.resolve.meshes import AWS, resolved

H100 = {"model": "H100", "count": 8}
RESERVATION = "cr-0123"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOTHING = InPlace()
# what an environment in two zones has once its network and cluster are there
MADE = {
    "meshaws:ec2:Vpc": 1,
    "meshaws:ec2:Address": 2,
    "meshaws:ec2:NatGateway": 2,
    "meshaws:ec2:Subnet": 4,
    "meshaws:eks:Cluster": 1,
}


def deployment(pools: dict[str, Any], more: dict[str, Any] | None = None, **environment: Any) -> Deployment:
    """`more`: other sections of the mesh; the rest goes into the environment."""
    resolution = resolved(pools, {**AWS, **environment}, **(more or {}))
    assert resolution.deployment is not None, resolution.gaps
    return resolution.deployment


def up_as(deployment: Deployment) -> InPlace:
    """All of it came up."""
    return InPlace(deployment.pools, MADE)


def aws() -> Preflight:
    part = registry.platform("aws").preflight
    assert part is not None
    return part


def asked(wanted: Deployment, in_place: InPlace = NOTHING) -> dict[str, str]:
    """The operation by the name of the question."""
    return {question.name: question.operation for question in aws().questions(wanted, in_place)}


def findings(wanted: Deployment, answers: dict[str, ApiAnswer], in_place: InPlace = NOTHING) -> Findings:
    return aws().findings(wanted, in_place, answers)


def hours(number: float) -> datetime:
    """As many hours from now."""
    return NOW + timedelta(hours=number)


def reservation(**changes: Any) -> ApiAnswer:
    """As DescribeCapacityReservations gives it: four instances, all free."""
    described = {
        "CapacityReservationId": RESERVATION,
        "InstanceType": "p5.48xlarge",
        "AvailabilityZone": "us-east-1b",
        "State": "active",
        "TotalInstanceCount": 4,
        "AvailableInstanceCount": 4,
    }
    return ApiAnswer({"CapacityReservations": [described | changes]}, asked_at_s=NOW.timestamp())
