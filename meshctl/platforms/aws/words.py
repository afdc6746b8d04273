"""What is said of AWS: gaps and notes of an environment, what its price leaves out, failures and terms. PURE.

Part of the platform (`meshctl.platforms.aws`).
"""

from __future__ import annotations

from typing import Final

from meshctl.model.deployment import Deployment, Gap
from meshctl.platforms.aws import kubernetes_versions, service_prices
from meshctl.platforms.aws.environment import EVERYWHERE, AwsEnvironment
from meshctl.platforms.aws.network import MAX_ZONES
from meshctl.words import pluralize

NODE_GROUP: Final = "meshaws:eks:Nodegroup"
CLUSTER: Final = "meshaws:eks:Cluster"
ADDON: Final = "meshaws:eks:Addon"
ROLE: Final = "meshaws:iam:Role"
LUSTRE: Final = "meshaws:fsx:FileSystem"
EFS: Final = "meshaws:efs:FileSystem"
_LAUNCH_TEMPLATE: Final = "meshaws:ec2:LaunchTemplate"

_PUBLIC_NETWORKS: Final = 40  # not raised on request ("Amazon EKS service quotas", EKS user guide)

CAPACITY: Final = (
    "ask for another machine type or zone, reserve capacity (`capacity: reserved`), or try `up` again later"
)
_QUOTA: Final = "raise the quota (Service Quotas, ec2: see `meshctl check -v` for the vCPUs needed), or lower `nodes`"
_NETWORK_QUOTA: Final = "raise the quota in Service Quotas, or remove what nobody needs any more; then run `up` again"
_RESERVATION: Final = (
    "`aws ec2 describe-capacity-reservations` shows type, zone, state and free count of it: correct `capacity` in"
    " environments.yaml, or run `up` again once the reservation is active"
)
_RIGHTS: Final = (
    "the credentials lack the action that the message names: `meshctl doctor --iam-policy ENV` prints the policy that"
    " they need; if the message names an explicit deny or a boundary, only whoever manages that can allow it"
)
_SUBNET: Final = "somebody deleted a subnet of the environment: run `up` again, which makes it anew"
_NOT_PROVEN: Final = (
    "the record that the message names is written, but ACM does not see it: the zone of `dns` must be the one that the"
    " internet asks (`dig NS` of its name shows the servers of Route 53); then run `up` again"
)
_NEVER_ISSUED: Final = (
    "ACM will not issue it: the domain must be public, and its CAA records must let amazon.com issue; then run `up`"
    " again, which asks anew, or write `tls: {secret: NAME}` with a certificate of your own"
)
CREDENTIALS_HINT: Final = "only for environments on AWS and object stores: aws configure, aws sso login, or AWS_PROFILE"
PRIVATE_HINT: Final = (
    "name the network that `up` runs in: `kubernetes: {publicAccessCidrs: [203.0.113.7/32]}`; set `[]`, which closes"
    " access from the internet, once the VPC exists and meshctl runs inside it or reaches it by VPN or peering"
)
_NOT_JOINED: Final = (
    "the instances started but did not join the cluster: their subnets need a route to EKS, ECR, EC2 and S3 (NAT"
    " gateway or endpoints), and their role its policies; `aws ec2 get-console-output --instance-id ID` shows the boot"
    " log of one of the group's instances; then run `up` again, which makes the node group again"
)
# EKS puts the code of EC2 into the text of its own, `AsgInstanceLaunchFailures`.
FAILURE_HINTS: Final = {
    "InsufficientInstanceCapacity": CAPACITY,
    "UnfulfillableCapacity": CAPACITY,
    "InstanceLimitExceeded": _QUOTA,
    "VcpuLimitExceeded": _QUOTA,
    "MaxSpotInstanceCountExceeded": _QUOTA,
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted": "this account has never had spot instances: `aws iam"
    " create-service-linked-role --aws-service-name spot.amazonaws.com`, once for the account; then run `up` again",
    "AddressLimitExceeded": "each zone takes an Elastic IP for its NAT gateway, unless `network: {nat: one}` says"
    f" otherwise: {_NETWORK_QUOTA}",
    "VpcLimitExceeded": _NETWORK_QUOTA,
    **dict.fromkeys(
        ("NatGatewayLimitExceeded", "ResourceLimitExceededException", "ServiceLimitExceeded"), _NETWORK_QUOTA
    ),
    "LimitExceeded": "IAM has no room for it: fewer object stores in one workload where a policy is too long; else"
    " raise the quota that the message names in Service Quotas (iam, in us-east-1), and run `up` again",
    "InsufficientFreeAddresses": "the subnets are full: a new environment with a larger `network.cidr` has room for"
    " more nodes, or lower `nodes`",
    # of an add-on (EKS API reference, AddonIssue)
    "InsufficientNumberOfReplicas": "pods of the add-on do not run: `kubectl get pods -n kube-system` shows which ones,"
    " `kubectl describe pod` why (no node has room, a taint, an image). Then run `up` again: it goes on from there",
    "NodeCreationFailure": _NOT_JOINED,
    "InvalidSubnetID.NotFound": _SUBNET,
    "Ec2SubnetNotFound": _SUBNET,
    "InvalidCapacityReservationId.NotFound": _RESERVATION,
    "InvalidCapacityReservationState": _RESERVATION,
    "ReservationCapacityExceeded": _RESERVATION,
    "CertificateNotIssued": _NOT_PROVEN,
    # FailureReason and Status of a certificate (ACM API, CertificateDetail)
    **dict.fromkeys(("CAA_ERROR", "DOMAIN_NOT_ALLOWED", "INVALID_PUBLIC_DOMAIN"), _NEVER_ISSUED),
    **dict.fromkeys(("FAILED", "VALIDATION_TIMED_OUT", "DOMAIN_VALIDATION_DENIED"), _NEVER_ISSUED),
    **dict.fromkeys(("AccessDenied", "AccessDeniedException", "UnauthorizedOperation"), _RIGHTS),
    "Unauthorized": "if `aws sts get-caller-identity` works, its principal has no access entry in the cluster: somebody"
    " who has one adds it to `kubernetes.admins` of the environment and runs `up`; if not, renew the credentials",
    "NoAddress": "the cluster's own controller makes the load balancer: `kubectl describe service` shows why it has"
    " not, mostly a quota of Elastic Load Balancing or no free addresses in the public subnets",
}

TERMS: Final = {
    (NODE_GROUP, "scalingConfig.desiredSize"): "nodes",
    (NODE_GROUP, "scalingConfig.minSize"): "nodes.min",
    (NODE_GROUP, "scalingConfig.maxSize"): "nodes.max",
    (NODE_GROUP, "emptyUntil"): "no nodes until",
    (NODE_GROUP, "instanceTypes[0]"): "machine",
    (NODE_GROUP, "amiType"): "image of the nodes",
    (NODE_GROUP, "capacityType"): "capacity",
    (NODE_GROUP, "version"): "Kubernetes version",
    (NODE_GROUP, "launchTemplate.version"): "version of the launch template",
    (NODE_GROUP, "launchTemplate.id"): "launch template",
    (NODE_GROUP, "updateConfig.updateStrategy"): "order of node updates",
    (NODE_GROUP, "nodeRepairConfig.enabled"): "repair of broken nodes",
    (CLUSTER, "version"): "Kubernetes version",
    (CLUSTER, "upgradePolicy.supportType"): "support of the Kubernetes version",
    (ROLE, "PermissionsBoundary"): "permissions boundary",
    (ROLE, "Path"): "path of the role",
    (LUSTRE, "StorageCapacity"): "size in GiB",
    (LUSTRE, "LustreConfiguration.PerUnitStorageThroughput"): "throughput in MB/s per TiB",
}
LONG_TERMS: Final = {
    (_LAUNCH_TEMPLATE, "LaunchTemplateData.TagSpecifications"): "tags of the nodes, which are replaced for it",
    (_LAUNCH_TEMPLATE, "LaunchTemplateData.UserData"): "user data",
    # from which release to which is a note of the plan: before the first refresh the state has no release
    (NODE_GROUP, "releaseVersion"): "release of the image",
    (ADDON, "addonVersion"): "version of the add-on",
    ("meshaws:eks:PodIdentityAssociation", "associationArn"): "association",
    (CLUSTER, "resourcesVpcConfig.subnetIds"): "subnets of the control plane",
    ("meshaws:ec2:SecurityGroupIngress", "IpPermissions"): "who is let in",
}


def gaps(environment: AwsEnvironment) -> list[Gap]:
    gaps: list[Gap] = []
    if environment.network.adopt is not None:
        hint = "adopting a network is not supported yet: give network: {cidr: …} and meshctl makes one"
        gaps.append(Gap(subject="network", wanted="an existing network", best="a new VPC", hint=hint))
    zones = len(environment.zones)
    if not 2 <= zones <= MAX_ZONES:
        wanted = f"subnets in 2 to {MAX_ZONES} zones (an EKS control plane spans at least two)"
        hint = "list at least two zones of the region" if zones < 2 else f"leave out {zones - MAX_ZONES} of them"
        gaps.append(Gap(subject="network", wanted=wanted, best=pluralize(zones, "zone"), hint=hint))
    networks = len(environment.kubernetes.public_access_cidrs)
    if networks > _PUBLIC_NETWORKS:
        wanted = f"an API server that {networks} networks can reach"
        hint = "join networks that lie side by side in `kubernetes.publicAccessCidrs`, or name fewer"
        gaps.append(Gap(subject="cluster", wanted=wanted, best=f"EKS takes {_PUBLIC_NETWORKS}", hint=hint))
    for item in (*environment.capacity.reservations, *environment.capacity.blocks):
        if item.zone and item.zone not in environment.zones:
            hint = f"add {item.zone} to the environment's zones"
            gaps.append(Gap(subject=f"capacity/{item.id}", wanted=item.zone, best="no subnet there", hint=hint))
    return gaps


def notes(environment: AwsEnvironment) -> tuple[str, ...]:
    version = environment.kubernetes.version
    of_version = kubernetes_versions.words(version) if version else ""
    return (*_access_notes(environment), *([of_version] if of_version else []))


def _access_notes(environment: AwsEnvironment) -> tuple[str, ...]:
    """From where the API server can be reached: from the whole internet, though not without IAM credentials, or from
    nowhere yet."""
    cidrs = environment.kubernetes.public_access_cidrs
    if not cidrs:
        return (
            "kubernetes.publicAccessCidrs: the cluster's API server answers inside its VPC alone. A new environment is"
            f" refused, as nobody is inside a VPC that is only about to be made: {PRIVATE_HINT}",
        )
    if EVERYWHERE not in cidrs:
        return ()
    return (
        "the cluster's API server answers to the whole internet (with IAM credentials only): name your networks in"
        " kubernetes.publicAccessCidrs",
    )


def not_in_cost(deployment: Deployment) -> tuple[str, ...]:
    efs = any(system.service == "efs" for system in deployment.file_systems)
    return (
        service_prices.priced("EKS control plane", deployment.region, {"eks": 1}),
        _gateways(deployment),
        *_balancers(deployment),
        *(["data read and written on EFS"] if efs else ()),
        *(["requests to S3 and old versions of its objects"] if deployment.object_stores else ()),
        "root volumes of the nodes",
        "data transfer",
    )


def _gateways(deployment: Deployment) -> str:
    region = deployment.region
    count = len(deployment.network.nat_zones) if deployment.network else 0
    services = {"nat-gateway": count, "public-ipv4": count}
    words = service_prices.priced(pluralize(count, "NAT gateway"), region, services) + " and the data through them"
    price = service_prices.traffic("nat-gateway", region)
    return words if price is None else f"{words} ({price.usd_per_gb:g} USD/GB, list price of {price.date})"


def _balancers(deployment: Deployment) -> tuple[str, ...]:
    """One for each workload and side; a public one has an address in each zone."""
    balancers = {(endpoint.workload, endpoint.is_internal) for endpoint in deployment.endpoints}
    if not balancers:
        return ()
    region = deployment.region
    public = sum(not is_internal for _, is_internal in balancers)
    zones = {subnet.zone for subnet in deployment.network.subnets if subnet.public} if deployment.network else set()
    services = {"network-load-balancer": len(balancers), "public-ipv4": public * len(zones)}
    words = service_prices.priced(pluralize(len(balancers), "network load balancer"), region, services)
    unit = service_prices.row("nlb-capacity-unit", region)
    return (words if unit is None else f"{words} and {unit.usd_per_hour:g} USD/h for each capacity unit in use",)
