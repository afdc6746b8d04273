"""Deployments are kept in the state and named by their digest: what a release adds must not change them unused.

The plan of a migration, which its journal keeps, holds deployments and is read by older releases as well.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator

import pytest

from meshctl.migrate.planning.plan import MigrationPlan
from meshctl.model.deployment import Deployment
from meshctl.model.value import Value
from tests.unit.render.sample import sample

# By the name of the class: the keys that every release has written. Not to be extended: see `added_later` in
# meshctl/model/deployment.py.
# A new class gets a line of its own here, and an `added_later` field of another class holds it.
ALWAYS_WRITTEN: dict[str, str] = {
    "AwsNetwork": "cidr subnets",
    "Before": "args command env image",
    "Block": "ephemeral name price size_gib storage_class",
    "Certificate": "host issuer",
    "Checkpoint": "grace_s signal storage",
    "Cluster": "context kubeconfig name public_access_cidrs version version_asked",
    "Cost": "source subject usd what",
    "Deployment": "blocks cluster endpoints environment file_systems labels mesh network object_stores pools profile"
    " provider region workloads",
    "Elsewhere": "addresses certified_host environment port weight",
    "Endpoint": "host name port workload",
    "EndpointCertificate": "profile zone",
    "ExistingFileSystem": "dns_name id mount_name",
    "Expanded": "endpoints migration workloads",
    "Fabric": "bandwidth_gbps env interfaces kind name placement resource resource_count",
    "FileSystem": "deployment_type ephemeral name per_unit_throughput price service size_gib storage_class"
    " throughput_mbps zone",
    "Health": "path port",
    "JoinedWeka": "cluster endpoints namespace secret",
    "KaiScheduler": "node_pool",
    "Metrics": "path port",
    "MigrationPlan": "costs moves notes options source stays stopped target warm",
    "Mount": "ephemeral kind path read_only storage",
    "NetworkInterface": "device_index interface_type network_card_index",
    "NeuralMesh": "client client_pools compute data_interfaces drive_paths drives encryption ethernet_devices hot_spare"
    " image image_pull_secret joined least_nodes licence_secret makes_interfaces name namespace net_capacity_gib nodes"
    " operator_chart operator_version pool read_mbps redundancy shares sign_drives stripe_width udp write_mbps",
    "NfsExport": "mount_options path server",
    "NodeShare": "cpu_cores drives hugepages_mib memory_gib network_interfaces set_aside_mib",
    "ObjectStore": "addressing bucket endpoint ephemeral name pod_endpoint prefix price profile region size_gib",
    "Options": "deep_verify observe_s replace_target_data take_over",
    "Pool": "alternatives ami_type arch cpu_cores disk_gib fabric gpu_memory_gib gpu_model gpus_per_node labels"
    " machine market memory_gib name node_names nodes nodes_max nodes_min price rejected reservation role"
    " scratch_gb taints zones",
    "Price": "date source subject usd_per_hour",
    "Rejected": "machine reason",
    "RemadeIndex": "documents minutes objects passages source total_bytes workload",
    "Scale": "cooldown_s metric target",
    "ReservedCapacity": "ends placement_group starts",
    "Share": "weight workload",
    "StoreMove": "egress_source egress_usd foreign_objects minutes minutes_source objects read_bytes source_url store"
    " target_objects target_url total_bytes",
    "Subnet": "cidr name public zone",
    "Taint": "effect key value",
    "Toleration": "effect key value",
    "WekaContainers": "containers cores drives hugepages_mib hugepages_offset_mib",
    "WekaEncryption": "address auth_path key_name role transit_path",
    "WekaOrganization": "admin_secret drive_quota_gib driver_secret name quota_gib",
    "Workload": "accelerators args checkpoint command cpu env health image image_pull_secrets kind memory_gib mounts"
    " name paused pool ports replicas secrets staged_gib",
}


def models(annotation: object) -> Iterator[type[Value]]:
    """The values that an annotation names: `tuple[Pool, ...]`, `Health | None`."""
    if isinstance(annotation, type) and not typing.get_args(annotation) and issubclass(annotation, Value):
        yield annotation
    for part in typing.get_args(annotation):
        yield from models(part)


def persisted() -> dict[str, type[Value]]:
    """All values that a deployment or a migration's plan may hold, by the names of their classes."""
    seen: dict[str, type[Value]] = {}
    waiting: list[type[Value]] = [Deployment, MigrationPlan]
    while waiting:
        model = waiting.pop()
        if model.__name__ not in seen:
            seen[model.__name__] = model
            waiting += [part for field in model.model_fields.values() for part in models(field.annotation)]
    return seen


def test_all_persisted_values_are_listed() -> None:
    assert sorted(persisted()) == sorted(ALWAYS_WRITTEN)


@pytest.mark.parametrize("name", sorted(ALWAYS_WRITTEN))
def test_a_field_that_is_not_used_is_not_written(name: str) -> None:
    fields = persisted()[name].model_fields
    assert sorted(key for key, field in fields.items() if field.exclude_if is None) == ALWAYS_WRITTEN[name].split(), (
        f"a new field of {name} needs the default `added_later(…)`: without it the deployments of older releases get"
        " another digest, and older releases can't read those of this one"
    )


def test_a_later_field_is_left_out_while_it_is_not_used() -> None:
    workload = sample("aws").workloads[0]
    assert sorted(workload.model_dump()) == ALWAYS_WRITTEN["Workload"].split()


def test_a_deployment_that_uses_a_later_field_is_read_as_it_was_written() -> None:
    deployment = sample("aws").finished({"pretrain": "aws-1"})
    assert deployment.model_dump()["workloads"][1]["finished_in"] == "aws-1"
    assert Deployment.model_validate(deployment.model_dump(mode="json")) == deployment
