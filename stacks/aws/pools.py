"""Pools as EKS managed node groups, each with a launch template. Called by `program`.

What a launch template of a managed node group may hold, and the EFA rules, are listed with their sources in
docs/architecture.md ("AWS facts").
"""

from __future__ import annotations

import base64
import math
from typing import Any

from meshctl.model.deployment import AWS_ROOT_VOLUME_GIB, Deployment, NodeShare, Pool
from stacks.aws.cluster import Eks, version_left_alone
from stacks.aws.network import Network, name_tags
from stacks.resources import AwsProvider, AwsResource, identity_tags

_ONE_BY_ONE = 10  # nodes at most; a larger pool is updated by shares
_SHARE_PERCENT = 10
_PAGE_MIB = 2
_START_S = 3600
_BATCH_S = 1200
_EFFECTS = {"NoSchedule": "NO_SCHEDULE", "NoExecute": "NO_EXECUTE", "PreferNoSchedule": "PREFER_NO_SCHEDULE"}
_ANOTHER = "another reservation"  # instead of the moment at which a pool gets nodes
_CAPACITY_TYPES = {
    "on-demand": "ON_DEMAND",
    "reserved": "ON_DEMAND",
    "spot": "SPOT",
    "capacity-block": "CAPACITY_BLOCK",
}
_TAGGED_BY_TEMPLATE = ("instance", "volume", "network-interface")  # EKS tags the node group alone

# nodeadm joins the instance store disks to one volume, on which images and emptyDirs then live.
_SCRATCH = (
    "application/node.eks.aws",
    """---
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  instance:
    localStorage:
      strategy: RAID0
""",
)

# EFA pins the buffers that it sends from. Containers inherit containerd's limit of locked memory, 8 MiB by systemd's
# default, and a capability would not help: only root gets it into effect (NVIDIA/nvidia-container-toolkit issue 2037).
_LOCKED_MEMORY = (
    "text/x-shellscript",
    """#!/bin/sh
mkdir -p /etc/systemd/system/containerd.service.d
printf '[Service]\\nLimitMEMLOCK=infinity\\n' > /etc/systemd/system/containerd.service.d/10-locked-memory.conf
systemctl daemon-reload
systemctl try-restart containerd
""",
)

# Pods with EFA ask for huge pages. EFA's installer sets them aside (efa-config: 110 of 2 MiB for each core and one
# more, as nodes show them in awsome-distributed-training); the images install it with `--minimal` (amazon-eks-ami,
# install-efa.sh), and where that leaves them out no such pod would start. This runs before the kubelet counts them.
_HUGE_PAGES = (
    "text/x-shellscript",
    """#!/bin/sh
pages=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
wanted=$((110 * $(nproc) + 1))
[ "$(cat $pages)" -ge $wanted ] || echo $wanted > $pages
""",
)

# What the containers of WEKA need of a node: cores of their own, and huge pages beside those of others, also after the
# node was started again. Source: github.com/weka/weka-eks, modules/eks/nodeadm-userdata.yaml.tftpl at 6b2ea9a6.
_OWN_CORES = (
    "application/node.eks.aws",
    """---
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  kubelet:
    config:
      cpuManagerPolicy: static
""",
)
_STORAGE_PAGES = """#!/bin/sh
pages=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
wanted=$(($(cat $pages) + {pages}))
echo $wanted > $pages
cat > /etc/systemd/system/storage-pages.service << EOF
[Unit]
Description=Huge pages for the storage
Before=kubelet.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'echo $wanted > $pages'
[Install]
WantedBy=multi-user.target
EOF
systemctl daemon-reload
systemctl enable storage-pages.service
"""

# The module is in Amazon's kernel 6.1 (amazon-linux-2023 issue 723). Images since Kubernetes 1.33 have kernel 6.12, and
# their maintainers leave the client to user data (amazon-eks-ami issue 2205 and pull request 2696). Not tried.
_LUSTRE_CLIENT = (
    "text/x-shellscript",
    """#!/bin/sh
modprobe lustre || dnf install -y lustre-client
""",
)


# The ports of WEKA's clients, which are among those that the kernel gives to whoever asks for any: 500 from 45000 on.
# Source: docs.weka.io, WEKA Operator deployments ("Reserve the range on every node"), read 2026-11-29. Not tried.
_STORAGE_PORTS = (
    "text/x-shellscript",
    """#!/bin/sh
echo 'net.ipv4.ip_local_reserved_ports = 45000-45499' > /etc/sysctl.d/90-storage-ports.conf
sysctl -p /etc/sysctl.d/90-storage-ports.conf
""",
)


def declare_fabric_group(deployment: Deployment, network: Network, aws: AwsProvider) -> AwsResource | None:
    """The security group of EFA traffic: all protocols, between its own members, both ways. None without such a
    pool."""
    if not any(pool.fabric and pool.fabric.kind == "efa" for pool in deployment.pools):
        return None
    group = AwsResource.declare(
        "ec2:SecurityGroup",
        "network:fabric-security-group",
        {
            "GroupName": f"{deployment.cluster.name}-fabric",
            "Description": "EFA traffic between the nodes of a pool",
            "VpcId": network.vpc_id,
            "Tags": name_tags(f"{deployment.cluster.name}-fabric"),
        },
        outputs=["GroupId"],
        provider=aws,
    )
    group_id = group.get("GroupId")
    itself = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group_id}]}]
    for direction in ("Ingress", "Egress"):
        AwsResource.declare(
            f"ec2:SecurityGroup{direction}",
            f"network:fabric-{direction.lower()}",
            {"GroupId": group_id, "IpPermissions": itself},
            provider=aws,
        )
    return group


def system_pool(deployment: Deployment) -> Pool:
    """The pool whose nodes DNS and the add-ons' controllers run on, which tolerate no taint. All else waits for it, and
    for no other: a pool for which there are no machines then holds up only what runs on it."""
    usable = [pool for pool in deployment.pools if not pool.taints and pool.nodes_now]
    plain = [pool for pool in usable if not pool.gpus_per_node]
    return next(iter([*plain, *usable, *deployment.pools]))


def declare_pool(
    deployment: Deployment, pool: Pool, network: Network, eks: Eks, fabric_group: AwsResource | None, aws: AwsProvider
) -> AwsResource:
    template = _launch_template(deployment, pool, eks, fabric_group, aws)
    return AwsResource.declare(
        "eks:Nodegroup",
        f"pool/{pool.name}:nodegroup",
        _node_group(deployment, pool, network, eks, template),
        provider=aws,
        depends_on=[*eks.before_nodes, *network.routes],
        # nodes that came up without repair are replaced by nobody unless somebody asks
        ignore_changes=["nodeRepairConfig", *version_left_alone(deployment, "version")],
        timeout_s=deadline_s(pool),
    )


def _node_group(
    deployment: Deployment, pool: Pool, network: Network, eks: Eks, template: AwsResource
) -> dict[str, Any]:
    capacity_block = pool.market == "capacity-block"
    return {
        "clusterName": eks.name,
        "nodegroupName": pool.name,
        # follows the control plane, whose update is done before: `clusterName` is an output of it
        "version": deployment.cluster.version or None,
        # named only once somebody has asked for the newest: see `deploy.guards.running.pools.running_releases`
        "releaseVersion": pool.image_release or None,
        "nodeRole": eks.node_role.get("Arn"),
        "subnets": network.private(pool.zones),
        # a capacity block wants the type in the template, where it may then not be repeated
        "instanceTypes": None if capacity_block else [pool.machine, *pool.equal_machines],
        "amiType": pool.ami_type,
        "capacityType": _CAPACITY_TYPES[pool.market],
        # `desiredSize` is where the group starts; from then on it is whoever scales who moves it (Row.bounded)
        "scalingConfig": {
            "minSize": min(pool.nodes_min, pool.nodes_now),
            "maxSize": pool.nodes_max,
            "desiredSize": pool.nodes_now,
        },
        # before its reservation begins, no machine of it can start, whatever size the group has (Row.bounded); nor
        # after its end
        "emptyUntil": _ANOTHER if pool.has_ended else pool.starts or None,
        "updateConfig": {**at_once(pool), "updateStrategy": _update_strategy(pool)},
        "labels": dict(sorted(pool.labels.items())),
        "taints": [{"key": t.key, "value": t.value, "effect": _EFFECTS[t.effect]} for t in pool.taints] or None,
        # a node whose GPU fails (an XID error) stays in its group otherwise, and fails each job that gets it
        "nodeRepairConfig": {"enabled": True} if pool.gpus_per_node else None,
        "launchTemplate": {
            "id": template.get("LaunchTemplateId"),
            # what the row makes is the default; the latest may be one that somebody else added
            "version": template.get("DefaultVersionNumber").apply(_version_text),
        },
    }


def at_once(pool: Pool) -> dict[str, int]:
    """How many nodes an update may take at once: one by one it would take days for a large pool (a GPU node is drained,
    ended, launched and joined in ten to twenty minutes). Of nodes that carry drives of storage one, all the same."""
    carries_drives = pool.storage is not None and pool.storage.drives > 0
    one_by_one = carries_drives or pool.nodes_max <= _ONE_BY_ONE
    return {"maxUnavailable": 1} if one_by_one else {"maxUnavailablePercentage": _SHARE_PERCENT}


def deadline_s(pool: Pool) -> int:
    """For a node group to be made, or for all of its nodes to be updated in their batches."""
    size = at_once(pool).get("maxUnavailable") or max(1, pool.nodes_max * _SHARE_PERCENT // 100)
    return _START_S + math.ceil(pool.nodes_max / size) * _BATCH_S


def _update_strategy(pool: Pool) -> str:
    """Whether an update starts a new node before it ends an old one ("Understand each phase of node updates" in the EKS
    user guide). A reservation has no room for it, and machines with EFA are rarely to be had: there the old one goes
    first."""
    efa = pool.fabric is not None and pool.fabric.kind == "efa"
    return "MINIMAL" if pool.reservation or efa else "DEFAULT"


def _version_text(number: Any) -> str:
    """Numbers travel as doubles; EKS wants the version as text."""
    return str(int(number)) if number is not None else ""


def resource_name(deployment: Deployment, pool: Pool) -> str:
    """Of the pool's launch template and placement group, both unique in a region, and the tag `Name` of its nodes."""
    return f"{deployment.cluster.name}-{pool.name}"


def has_own_placement_group(pool: Pool) -> bool:
    """Whether meshctl makes a placement group for the pool. The machines of a reservation are where it has them."""
    return pool.fabric is not None and pool.fabric.placement != "any" and not pool.reservation


def _launch_template(
    deployment: Deployment, pool: Pool, eks: Eks, fabric_group: AwsResource | None, aws: AwsProvider
) -> AwsResource:
    data: dict[str, Any] = {
        **instance_settings(deployment, pool),
        **_network(pool, eks, fabric_group),
        **_placement(deployment, pool, aws),
        **_reservation(pool),
    }
    if text := user_data(pool):
        data["UserData"] = base64.b64encode(text.encode()).decode()
    return AwsResource.declare(
        "ec2:LaunchTemplate",
        f"pool/{pool.name}:launch-template",
        {"LaunchTemplateName": resource_name(deployment, pool), "LaunchTemplateData": data},
        outputs=["LaunchTemplateId", "DefaultVersionNumber"],
        provider=aws,
    )


def instance_settings(deployment: Deployment, pool: Pool) -> dict[str, Any]:
    """What the template says of each instance beside its place, as RunInstances takes it, too: guard rails look at it
    (`meshctl.platforms.aws.preflight.dry_runs`)."""
    return {
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": _hops(pool)},
        "BlockDeviceMappings": [
            {
                "DeviceName": "/dev/xvda",
                "Ebs": {
                    "VolumeSize": AWS_ROOT_VOLUME_GIB + (pool.storage.disk_gib if pool.storage is not None else 0),
                    "VolumeType": "gp3",
                    "Encrypted": True,
                    "DeleteOnTermination": True,
                },
            }
        ],
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": instance_tags(deployment, pool)} for kind in _TAGGED_BY_TEMPLATE
        ],
    }


def _hops(pool: Pool) -> int:
    """One: pods, which are two away, can't take the node's role; what needs it runs in the host's network. The operator
    of WEKA does not, and attaches network interfaces by the node's role, for which AmazonEKS_CNI_Policy is enough."""
    return 2 if pool.storage is not None and pool.storage.network_interfaces else 1


def user_data(pool: Pool) -> str:
    """What a node is told at its start, as MIME multipart; empty where there is nothing to tell."""
    parts = [_SCRATCH] if pool.scratch_gb else []
    parts += [_LOCKED_MEMORY] if pool.fabric and pool.fabric.kind == "efa" else []
    parts += [_HUGE_PAGES] if "huge-pages" in pool.setup else []
    parts += [_LUSTRE_CLIENT] if "lustre-client" in pool.setup else []
    parts += [_STORAGE_PORTS] if "storage-ports" in pool.setup else []
    parts += _for_storage(pool.storage) if pool.storage else []
    if not parts:
        return ""
    head = 'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="//"\n'
    return head + "".join(f"\n--//\nContent-Type: {kind}\n\n{text}" for kind, text in parts) + "--//--\n"


def _for_storage(share: NodeShare) -> list[tuple[str, str]]:
    """After all else that sets huge pages aside, to which it adds."""
    return [_OWN_CORES, ("text/x-shellscript", _STORAGE_PAGES.format(pages=share.set_aside_mib // _PAGE_MIB))]


def instance_tags(deployment: Deployment, pool: Pool) -> list[dict[str, str]]:
    """On what a node is made of: whose it is, for bills, and what the environment requires, without which a guard rail
    refuses the instance. Without the mesh's labels: a change of the template rolls all nodes of the pool, which a new
    label isn't worth."""
    tags = {
        "Name": resource_name(deployment, pool),
        **deployment.cluster.tags,
        **identity_tags(deployment),
        "meshctl.dev/pool": pool.name,
    }
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _network(pool: Pool, eks: Eks, fabric_group: AwsResource | None) -> dict[str, Any]:
    """Security groups: in the interfaces where there are any, at the top level otherwise, never both.

    A template that names any group loses the cluster's own, so it is listed here.
    """
    interfaces = pool.fabric.interfaces if pool.fabric else ()
    if not interfaces or fabric_group is None:
        return {"SecurityGroupIds": [eks.security_group_id]}
    groups = [eks.security_group_id, fabric_group.get("GroupId")]
    return {
        "NetworkInterfaces": [
            {
                "NetworkCardIndex": interface.network_card_index,
                "DeviceIndex": interface.device_index,
                "InterfaceType": interface.interface_type,
                "Groups": groups,
                "DeleteOnTermination": True,
            }
            for interface in interfaces
        ]
    }


def _placement(deployment: Deployment, pool: Pool, aws: AwsProvider) -> dict[str, Any]:
    # the machines of a reservation are in its own group, and start in no other, nor without it ("Use Capacity
    # Reservations with cluster placement groups", EC2 user guide); a block has none
    if pool.reserved is not None and pool.reserved.placement_group:
        return {"Placement": {"GroupName": pool.reserved.placement_group}}
    if pool.fabric is None or not has_own_placement_group(pool):
        return {}
    group = AwsResource.declare(
        "ec2:PlacementGroup",
        f"pool/{pool.name}:placement-group",
        {"GroupName": resource_name(deployment, pool), "Strategy": pool.fabric.placement},
        outputs=["GroupName"],
        provider=aws,
    )
    return {"Placement": {"GroupName": group.get("GroupName")}}


def _reservation(pool: Pool) -> dict[str, Any]:
    if not pool.reservation:
        return {}
    target: dict[str, Any] = {
        "CapacityReservationSpecification": {"CapacityReservationTarget": {"CapacityReservationId": pool.reservation}}
    }
    if pool.market == "capacity-block":
        target |= {"InstanceMarketOptions": {"MarketType": "capacity-block"}, "InstanceType": pool.machine}
    return target
