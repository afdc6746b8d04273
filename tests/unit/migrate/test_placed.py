"""What a platform decides when an environment comes up (zones, the cluster's maker) is no change by somebody else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshctl.errors import MigrationError
from meshctl.migrate.gateway import UpResult
from meshctl.model.deployment import Deployment, ReservedCapacity
from meshctl.model.questions import Findings
from tests.unit.migrate.fake_gateway import FakeGateway
from tests.unit.migrate.moves import OPTIONS, assert_at, migrations_of, moved

MAKER = "arn:aws:iam::123456789012:user/alice"


class Placing(FakeGateway):
    """Its platform puts the pool into another zone than the files name, and lets the maker of the cluster in."""

    findings = Findings({"train": ("us-east-1c",)}, maker=MAKER)

    def up(self, deployment: Deployment, say: Callable[[str], None]) -> UpResult:
        result = super().up(deployment, say)
        self.deployments[deployment.environment] = self.findings.placed(deployment)
        return result


def test_a_migration_goes_on_in_what_the_platform_decided() -> None:
    gateway = Placing().begin()
    migrations = moved(gateway)
    assert migrations.history()[1].state == "waiting"
    assert_at(gateway, "west", "east")
    deployed = gateway.deployments["west"]
    assert deployed is not None
    assert (deployed.cluster.maker, deployed.pools[0].zones) == (MAKER, ("us-east-1c",))


@pytest.mark.parametrize(
    "findings",
    [
        Findings(equal_machines={"train": ("gpu-other",)}),
        Findings(reserved={"train": ReservedCapacity(ends="2026-12-04T11:30:00Z", placement_group="theirs")}),
    ],
    ids=["equal machines", "reservation"],
)
def test_machines_and_reservations_of_the_target_are_what_was_brought_up(findings: Findings) -> None:
    class Machines(Placing):
        pass

    Machines.findings = findings
    gateway = Machines().begin()
    migrations = moved(gateway)
    assert_at(gateway, "west", "east")
    migrations.rollback()
    assert_at(gateway, "east", "west")


def test_nodes_that_an_older_release_planned_without_their_set_up_are_what_was_brought_up() -> None:
    class SettingUp(Placing):
        def up(self, deployment: Deployment, say: Callable[[str], None]) -> UpResult:
            result = super().up(deployment, say)
            pools = tuple(pool.model_copy(update={"setup": ("huge-pages",)}) for pool in deployment.pools)
            self.deployments[deployment.environment] = deployment.model_copy(update={"pools": pools})
            return result

    gateway = SettingUp().begin()
    moved(gateway)
    assert_at(gateway, "west", "east")


def test_what_an_older_release_planned_without_a_drain_is_what_was_brought_up() -> None:
    """An `up` gives a drain to workloads that are new, and new load balancers the nodes of their own pods."""

    class Draining(Placing):
        def up(self, deployment: Deployment, say: Callable[[str], None]) -> UpResult:
            result = super().up(deployment, say)
            workloads = tuple(each.model_copy(update={"drain_s": 300}) for each in deployment.workloads)
            endpoints = tuple(each.model_copy(update={"own_nodes_only": True}) for each in deployment.endpoints)
            decided = {"workloads": workloads, "endpoints": endpoints}
            self.deployments[deployment.environment] = deployment.model_copy(update=decided)
            return result

    gateway = Draining().begin()
    moved(gateway)
    assert_at(gateway, "west", "east")


def test_it_goes_back_to_what_the_platform_decided() -> None:
    gateway = Placing().begin()
    migrations = moved(gateway)
    migrations.rollback()
    assert_at(gateway, "east", "west")


def test_what_somebody_else_has_changed_is_still_seen() -> None:
    class Changing(Placing):
        findings = Findings(maker=MAKER)

        def up(self, deployment: Deployment, say: Callable[[str], None]) -> UpResult:
            result = super().up(deployment, say)
            deployed = self.deployments[deployment.environment]
            assert deployed is not None
            self.deployments[deployment.environment] = deployed.model_copy(update={"labels": {"team": "other"}})
            return result

    migrations = migrations_of(Changing().begin())
    with pytest.raises(MigrationError, match="is not what was brought up"):
        migrations.start(migrations.plan("east", "west", OPTIONS))
