"""The one link between stacks and providers, from both sides: resource tokens and their properties.

The AWS program is run with Pulumi's mocks, so that what is looked at is what would go over the wire: what is declared,
and what must be there before it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import botocore.session
import pulumi
import pytest
from pulumi.runtime.mocks import MockMonitor

import stacks.aws
import stacks.edge
from meshctl.catalog import load_catalog
from meshctl.load import load
from meshctl.model.deployment import EndpointCertificate
from meshctl.model.dns_splits import HealthCheck, Side, Split
from meshctl.render import zone_id_name
from meshctl.resolve import resolve
from providers.aws.rows import ALL
from providers.aws.rows_engine.checks import input_names
from stacks.aws import pools
from tests.unit.event_loops import event_loops
from tests.unit.render.sample import sample
from tests.unit.weka_mesh import joined

EXAMPLE = Path(__file__).parents[3] / "examples" / "llm-prod"
ADMIN = "arn:aws:iam::123456789012:role/platform"
LATE = {"secret.hf-token": "x", "revision.chat-secrets": "1", zone_id_name("example.com"): "Z1"}
RECORD = {"Name": "_a.chat.example.com.", "Type": "CNAME", "Value": "_b.acm-validations.aws."}


class Wire(pulumi.runtime.Mocks):  # type: ignore[misc]  # pulumi.runtime is not typed
    """Keeps what was declared, and answers with what the stack reads from it."""

    def __init__(self) -> None:
        self.declared: list[tuple[str, dict[str, Any]]] = []
        self.declared_by_name: dict[str, dict[str, Any]] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.declared.append((args.typ, dict(args.inputs)))
        self.declared_by_name[args.name] = dict(args.inputs)
        answers = {
            "identity": {"oidc": {"issuer": "https://oidc"}},
            "resourcesVpcConfig": {"clusterSecurityGroupId": "sg-1"},
            "certificateAuthority": {"data": "Q0E="},
            "DomainValidationOptions": [{"ResourceRecord": RECORD}],
            "DefaultVersionNumber": 1,
            "LatestVersionNumber": 7,  # somebody else's
        }
        unknown = dict.fromkeys(
            ("VpcId", "SubnetId", "Arn", "GroupId", "endpoint", "LaunchTemplateId", "CertificateArn"), "x"
        )
        return f"{args.name}-id", {**unknown, **answers, **args.inputs}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(f"stacks call no functions: {args.token}")


class Monitor(MockMonitor):  # type: ignore[misc]  # pulumi.runtime is not typed
    """Keeps what each resource waits for, by its name."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self.waits_for: dict[str, set[str]] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 (the engine's own name)
        self.waits_for[request.name] = {urn.split("::")[-1] for urn in request.dependencies}
        return super().RegisterResource(request)


@pytest.fixture(scope="module")
def monitor() -> Monitor:
    """After the AWS program and that of the names have been run."""
    wire = Wire()
    monitor = Monitor(wire)
    mesh, environments = load(EXAMPLE / "mesh.yaml", EXAMPLE / "environments.yaml")
    deployment = resolve(mesh, environments, "aws-east", load_catalog(), None).deployment
    assert deployment is not None
    # without throughput, the file system is EFS: both kinds in one run
    lustre = deployment.file_systems[0]
    efs = lustre.model_copy(update={"name": "home", "service": "efs"})
    cluster = deployment.cluster.model_copy(update={"admins": (ADMIN,)})
    sealed = deployment.endpoints[0].model_copy(update={"certificate": EndpointCertificate(zone="example.com")})
    changes = {"file_systems": (lustre, efs), "cluster": cluster, "endpoints": (sealed, *deployment.endpoints[1:])}
    weka = joined(makes_interfaces=True, has_address_blocks=True, image_pull_secret="")
    deployment = deployment.model_copy(update={**changes, "neural_mesh": weka})

    @pulumi.runtime.test  # type: ignore[untyped-decorator]  # pulumi.runtime is not typed
    def run() -> None:
        stacks.aws.declare(deployment, LATE)
        names = {"chat": stacks.edge.DnsRecord("chat.example.com", "aws-east", "10.0.0.1", 30, "example.com", "Z1")}
        sides = (Side("aws-east", "10.0.0.1", 153, HealthCheck("HTTP", 8000, "/")), Side("cw", "lb.example", 102))
        names["talk"] = replace(names["chat"], host="talk.example.com", split=Split("demo 1", sides))
        stacks.edge.declare(names, before={}, profile="", tags={})

    with event_loops():
        pulumi.runtime.set_mocks(wire, monitor=monitor)
        run()
    return monitor


@pytest.fixture(scope="module")
def declared(monitor: Monitor) -> list[tuple[str, dict[str, Any]]]:
    return [(token, inputs) for token, inputs in monitor.mocks.declared if token.startswith("meshaws:")]


def test_every_declared_token_and_property_is_a_rows(declared: list[tuple[str, dict[str, Any]]]) -> None:
    rows = {row.token: row for row in ALL}
    models: dict[str, Any] = {}
    session = botocore.session.get_session()
    for token, inputs in declared:
        assert token in rows, f"{token}: no such row"
        row = rows[token]
        model = models.setdefault(row.service, session.get_service_model(row.service))
        unknown = set(inputs) - input_names(row, model)
        assert not unknown, f"{token}: the row has no {sorted(unknown)}"


def test_every_row_is_declared_by_some_stack(declared: list[tuple[str, dict[str, Any]]]) -> None:
    assert {row.token for row in ALL} == {token for token, _ in declared}


def test_administrators_get_in_before_the_platform_comes_and_leave_after_it(monitor: Monitor) -> None:
    """finding A2"""
    inputs = dict(monitor.mocks.declared)
    assert inputs["meshaws:eks:AccessEntry"]["principalArn"] == ADMIN
    association = inputs["meshaws:eks:AccessPolicyAssociation"]
    assert association["policyArn"] == "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
    assert association["accessScope"] == {"type": "cluster"}
    [name] = [each for each in monitor.waits_for if each.startswith("cluster:admin-policy-")]
    assert name in monitor.waits_for["platform:namespace"]


def test_a_load_balancer_waits_for_its_certificate_and_that_for_the_record_of_the_host(monitor: Monitor) -> None:
    waits, record = monitor.waits_for, monitor.mocks.declared_by_name["endpoint/chat:proof"]
    assert waits["endpoint/chat:proof"] >= {"endpoint/chat:certificate"}
    assert waits["endpoint/chat:issued-certificate"] >= {"endpoint/chat:certificate", "endpoint/chat:proof"}
    assert "endpoint/chat:issued-certificate" in waits["workload/chat:load-balancer"]
    # the pods come up meanwhile
    assert not [name for name in waits["workload/chat:deployment"] if name.startswith("endpoint/")]
    assert (record["HostedZoneId"], record["Name"], record["ResourceRecords"]) == (
        "Z1",
        RECORD["Name"],
        [{"Value": RECORD["Value"]}],
    )


def test_b9_the_log_group_goes_after_all_else(monitor: Monitor) -> None:
    """EKS writes to it after its cluster is gone, and makes it anew"""
    waits = monitor.waits_for
    assert "cluster:logs" in waits["network:vpc"] & waits["cluster:eks"]
    assert not waits["cluster:logs"]


def test_lustre_waits_for_the_rule_that_fsx_asks_for_and_for_no_cluster(monitor: Monitor) -> None:
    waits = monitor.waits_for
    assert "storage/shared:ingress-itself" in waits["storage/shared:lustre"]
    assert "cluster:eks" not in waits["storage/shared:ingress-itself"] | waits["storage/shared:lustre"]


def test_a_pool_without_machines_holds_up_only_what_runs_on_it(monitor: Monitor) -> None:
    """finding A7"""
    waits = monitor.waits_for
    groups = {f"pool/{pool}:nodegroup" for pool in ("train", "serve", "web")}
    for name in ("platform:namespace", "cluster:addon-coredns"):
        assert waits[name] & groups == {"pool/web:nodegroup"}, name
    assert waits["workload/chat:deployment"] & groups == {"pool/serve:nodegroup"}
    assert waits["workload/pretrain:job"] & groups == {"pool/train:nodegroup"}
    # a gateway to several workloads needs the names of all
    assert not waits["workload/chat:service"] & groups - {"pool/web:nodegroup"}
    assert "pool/serve:nodegroup" in waits["workload/chat:load-balancer"]


@pytest.mark.parametrize(
    ("nodes", "wanted", "batches"),
    [
        (1, {"maxUnavailable": 1}, 1),
        (10, {"maxUnavailable": 1}, 10),
        (11, {"maxUnavailablePercentage": 10}, 11),
        (64, {"maxUnavailablePercentage": 10}, 11),
        (500, {"maxUnavailablePercentage": 10}, 10),
    ],
)
def test_a_large_pool_is_updated_by_shares_with_a_deadline_to_fit(
    nodes: int, wanted: dict[str, int], batches: int
) -> None:
    """finding A9"""
    pool = sample("aws").pools[0].model_copy(update={"nodes_max": nodes})
    assert pools.at_once(pool) == wanted
    assert pools.deadline_s(pool) == 3600 + batches * 1200


def test_no_way_to_a_file_system_goes_before_the_last_pod(monitor: Monitor) -> None:
    ways = {name for name in monitor.waits_for if name.endswith(":ingress") or ":mount-target-" in name}
    assert len(ways) == 4  # two rules, and EFS in two zones
    assert ways <= monitor.waits_for["platform:namespace"]


def test_nodes_with_efa_are_updated_without_one_to_spare(
    declared: list[tuple[str, dict[str, Any]]],
) -> None:
    groups = [inputs for token, inputs in declared if token == "meshaws:eks:Nodegroup"]
    strategies = {group["nodegroupName"]: group["updateConfig"]["updateStrategy"] for group in groups}
    assert strategies == {"train": "MINIMAL", "serve": "MINIMAL", "web": "DEFAULT"}


def test_nodes_are_made_from_our_version_of_the_template_whatever_versions_others_add(
    declared: list[tuple[str, dict[str, Any]]],
) -> None:
    groups = [inputs for token, inputs in declared if token == "meshaws:eks:Nodegroup"]
    assert {group["launchTemplate"]["version"] for group in groups} == {"1"}


def test_the_control_plane_is_in_two_zones_whatever_zones_nodes_are_in(
    declared: list[tuple[str, dict[str, Any]]],
) -> None:
    cluster = next(inputs for token, inputs in declared if token == "meshaws:eks:Cluster")
    assert len(cluster["resourcesVpcConfig"]["subnetIds"]) == 2
