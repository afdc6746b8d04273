"""The JSON documents that the AWS stack hands to other programs."""

import email
import json
import subprocess
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml

from meshctl.model.deployment import Cluster, Fabric, NodeShare, Pool
from stacks.aws import arns
from stacks.aws.cluster import endpoint_access, kubeconfig_text, role_name
from stacks.aws.pools import at_once, user_data
from stacks.aws.storage import bucket_policy
from tests.unit.deployments import deployment


def test_the_kubeconfig_holds_no_secret_and_calls_for_tokens() -> None:
    made = deployment("aws-east", profile="prod")
    config = json.loads(kubeconfig_text(made, name="llm-prod-aws-east", endpoint="https://x", authority="Q0E="))
    assert config["current-context"] == "aws-east"
    plugin = config["users"][0]["user"]["exec"]
    assert plugin["args"] == [
        *["eks-token", "--cluster-name", "llm-prod-aws-east", "--region", "us-east-1", "--profile", "prod"]
    ]
    assert set(config["users"][0]["user"]) == {"exec"}


def allowed(statements: list[dict[str, Any]], action: str) -> set[str]:
    """What a policy document allows an action on."""
    return {arn for statement in statements if action in statement["Action"] for arn in statement["Resource"]}


def test_a_workload_reads_what_it_mounts_read_only_and_no_other_bucket() -> None:
    made = deployment("aws-east")
    statements = json.loads(bucket_policy(made, made.workload("chat")))["Statement"]
    weights = "arn:aws:s3:::llm-prod-aws-east-weights"
    assert allowed(statements, "s3:ListBucket") == {weights}
    assert allowed(statements, "s3:GetObject") == {f"{weights}/*"}
    assert allowed(statements, "s3:PutObject") == allowed(statements, "s3:DeleteObject") == set()


def test_a_workload_writes_what_it_mounts_writable_and_where_its_checkpoints_are() -> None:
    made = deployment("aws-east")
    training = made.workload("pretrain")
    for workload in (training, training.model_copy(update={"mounts": ()})):
        statements = json.loads(bucket_policy(made, workload))["Statement"]
        bucket = "arn:aws:s3:::llm-prod-aws-east-checkpoints"
        assert allowed(statements, "s3:ListBucket") == {bucket}
        assert allowed(statements, "s3:GetObject") == allowed(statements, "s3:PutObject") == {f"{bucket}/*"}
        assert not any("*" in action for statement in statements for action in statement["Action"])


def test_a_workload_without_buckets_has_no_policy() -> None:
    made = deployment("aws-east")
    assert bucket_policy(made, made.workload("chat").model_copy(update={"mounts": ()})) == ""


def test_role_names_are_short_enough_and_differ() -> None:
    assert role_name("llm-prod-aws-east-workload-chat") == "llm-prod-aws-east-workload-chat"
    longest = "m" * 30 + "-" + "e" * 30
    long = [role_name(f"{longest}-{what}") for what in ("cluster", "nodes", "ebs-driver", "workload-" + "x" * 40)]
    assert len(set(long)) == 4
    assert all(len(name) <= 64 for name in long)


def test_the_api_server_is_open_to_the_networks_that_are_named_or_to_the_vpc_alone() -> None:
    def access(*cidrs: str) -> dict[str, Any]:
        return endpoint_access(deployment("aws-east", cluster=Cluster(name="c", public_access_cidrs=cidrs)))

    assert access("203.0.113.0/24")["publicAccessCidrs"] == ["203.0.113.0/24"]
    assert access() == {"endpointPublicAccess": False, "endpointPrivateAccess": True}
    assert endpoint_access(deployment("aws-east"))["publicAccessCidrs"] == ["0.0.0.0/0"]


@pytest.mark.parametrize("name", botocore.session.get_session().get_available_partitions())
def test_a_region_is_in_the_partition_that_aws_says(name: str) -> None:
    regions = botocore.session.get_session().get_available_regions("ec2", name)
    assert {arns.partition(region) for region in regions} == {name}


def test_arns_are_those_of_the_regions_partition() -> None:
    made = deployment("aws-east").model_copy(update={"region": "us-gov-west-1"})
    policy = arns.managed_policy(made, "AmazonEKSClusterPolicy")
    assert policy == "arn:aws-us-gov:iam::aws:policy/AmazonEKSClusterPolicy"
    statements = json.loads(bucket_policy(made, made.workload("chat")))["Statement"]
    assert allowed(statements, "s3:ListBucket") == {"arn:aws-us-gov:s3:::llm-prod-aws-east-weights"}


def parts_of(pool: Pool) -> dict[str, str]:
    """The user data's parts by their type."""
    walked = list(email.message_from_string(user_data(pool)).walk())[1:]
    return {part.get_content_type(): str(part.get_payload()) for part in walked}


def test_a_node_with_efa_lets_its_containers_lock_memory() -> None:
    pool = deployment("aws-east").pool("train")
    efa = Fabric(name="backend", kind="efa", bandwidth_gbps=3200, placement="cluster")
    pool = pool.model_copy(update={"scratch_gb": 30_000, "fabric": efa})
    parts = parts_of(pool)
    assert list(parts) == ["application/node.eks.aws", "text/x-shellscript"]
    assert yaml.safe_load(parts["application/node.eks.aws"])["spec"]["instance"]["localStorage"] == {
        "strategy": "RAID0"
    }
    assert parts["text/x-shellscript"].startswith("#!/bin/sh\n")
    assert "LimitMEMLOCK=infinity" in parts["text/x-shellscript"]
    alone = pool.model_copy(update={"fabric": None})
    assert list(parts_of(alone)) == ["application/node.eks.aws"]
    assert user_data(alone.model_copy(update={"scratch_gb": 0})) == ""


def test_nodes_of_storage_have_cores_of_its_own_and_huge_pages_that_stay() -> None:
    share = NodeShare(
        cpu_cores=15, memory_gib=45, hugepages_mib=16_284, set_aside_mib=20_480, network_interfaces=6, drives=4
    )
    pool = deployment("aws-east").pool("train").model_copy(update={"storage": share, "scratch_gb": 0})
    parts = parts_of(pool)
    config = yaml.safe_load(parts["application/node.eks.aws"])
    assert config["spec"]["kubelet"]["config"] == {"cpuManagerPolicy": "static"}
    script = parts["text/x-shellscript"]
    assert "wanted=$(($(cat $pages) + 10240))" in script
    assert "Before=kubelet.service" in script
    both = user_data(pool.model_copy(update={"setup": ("huge-pages",)}))
    assert both.index("110 * $(nproc)") < both.index("+ 10240")  # it adds to what others set aside
    assert at_once(pool.model_copy(update={"nodes_max": 100})) == {"maxUnavailable": 1}
    assert "ip_local_reserved_ports" not in both
    assert "ip_local_reserved_ports = 45000-45499" in user_data(pool.model_copy(update={"setup": ("storage-ports",)}))
    client = share.model_copy(update={"drives": 0})
    assert at_once(pool.model_copy(update={"nodes_max": 100, "storage": client})) == {"maxUnavailablePercentage": 10}


def test_a_script_of_a_node_is_valid_shell(tmp_path: Path) -> None:
    share = NodeShare(cpu_cores=15, memory_gib=45, hugepages_mib=16_284, set_aside_mib=20_480, network_interfaces=6)
    pool = deployment("aws-east").pool("train").model_copy(update={"storage": share, "scratch_gb": 0})
    pages, unit = tmp_path / "nr_hugepages", tmp_path / "storage-pages.service"
    pages.write_text("21121\n")
    script = parts_of(pool)["text/x-shellscript"]
    script = script.replace("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", str(pages))
    script = script.replace("/etc/systemd/system/storage-pages.service", str(unit)).replace("systemctl", "true")
    subprocess.run(["/bin/sh", "-e"], input=script, text=True, check=True, timeout=60)
    assert pages.read_text() == "31361\n"
    assert f"ExecStart=/bin/sh -c 'echo 31361 > {pages}'" in unit.read_text()


def test_b5_new_nodes_get_what_efa_and_lustre_need() -> None:
    pool = deployment("aws-east").pool("train")
    assert "nr_hugepages" not in user_data(pool)
    pages = user_data(pool.model_copy(update={"setup": ("huge-pages",)}))
    assert "wanted=$((110 * $(nproc) + 1))" in pages
    assert "lustre" not in pages
    both = user_data(pool.model_copy(update={"setup": ("huge-pages", "lustre-client")}))
    assert "modprobe lustre || dnf install -y lustre-client" in both
    assert [part.get_content_type() for part in list(email.message_from_string(both).walk())[1:]] == [
        "text/x-shellscript",
        "text/x-shellscript",
    ]
