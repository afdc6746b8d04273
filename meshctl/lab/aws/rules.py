"""The rules by which the lab's AWS API refuses, each with the public source that it is taken from. PURE.

A refusal names its rule (`ApiError(…, rule=rules.TYPE_EXISTS)`), and the API logs one line for each of them. What names
none follows the reference of its operation. `docs/lab.md` has this table, too, and a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Rule:
    """`calls`: the operations that obey it. `refuses`: what they refuse, or fail a while later."""

    id: str
    calls: str
    refuses: str
    source: str


TYPE_EXISTS: Final = Rule(
    "type-exists", "CreateNodegroup", "an instance type that does not exist", "EKS API reference, CreateNodegroup"
)
TYPE_IN_ZONE: Final = Rule(
    "type-in-zone",
    "CreateNodegroup",
    "a type that one of the subnets' zones does not have",
    "eksctl issue 6461; ec2-spot-workshops issue 154",
)
ARCHITECTURE: Final = Rule(
    "architecture",
    "CreateNodegroup",
    "an image for another processor than the type has",
    "EKS API reference, CreateNodegroup, amiType",
)
TYPES_TWICE: Final = Rule(
    "types-twice",
    "CreateNodegroup",
    "instance types in the launch template and in the call",
    "terraform-aws-eks issues 1386 and 1545",
)
TEMPLATE_MEMBERS: Final = Rule(
    "template-members",
    "CreateNodegroup",
    "SubnetId, IamInstanceProfile, market and hibernation options in the template",
    "EKS user guide, Customize managed nodes with launch templates",
)
TEMPLATE_GROUPS: Final = Rule(
    "template-groups",
    "CreateNodegroup",
    "network interfaces and security groups of the instance in one template",
    "EC2 API reference, RunInstances, SecurityGroupIds",
)
GROUP_EXISTS: Final = Rule(
    "group-exists",
    "CreateNodegroup, UpdateNodegroupConfig, later",
    "a security group that does not exist",
    "EKS API reference, Issue, Ec2SecurityGroupNotFound",
)
EFA_INTERFACES: Final = Rule(
    "efa-interfaces",
    "CreateNodegroup, later",
    "more EFA interfaces than the type has, or on a network card that it does not have",
    "EC2 user guide, Elastic Fabric Adapter; EKS API reference, Issue",
)
FREE_ADDRESSES: Final = Rule(
    "free-addresses",
    "CreateNodegroup, UpdateNodegroupConfig, later",
    "more nodes than the subnets have free addresses for: those start, and no more",
    "EKS API reference, Issue, InsufficientFreeAddresses",
)
RESERVATION: Final = Rule(
    "reservation",
    "CreateNodegroup, UpdateNodegroupConfig, later",
    "a capacity reservation or block that does not exist, has not begun or is over, is for another type or zone, or has"
    " too few machines",
    "EC2 user guide, Launch instances into an existing Capacity Reservation; Capacity Blocks for ML",
)
RESERVATION_GROUP: Final = Rule(
    "reservation-group",
    "CreateNodegroup, UpdateNodegroupConfig, later",
    "a reservation that was made in a placement group, which the launch template does not name",
    "EC2 user guide, Use Capacity Reservations with cluster placement groups",
)
BLOCK_UPDATE: Final = Rule(
    "block-update",
    "UpdateNodegroupVersion, later",
    "nodes of a capacity block that are up: there is no room for others beside them",
    "EKS user guide, Create a managed node group with Capacity Blocks for ML",
)
BLOCK_END: Final = Rule(
    "block-end",
    "CreateNodegroup, later",
    "nodes in a block that has not begun, or from 30 minutes (UltraServers: 60) before its end: they go",
    "EC2 user guide, Capacity Blocks for ML",
)
VCPU_QUOTA: Final = Rule(
    "vcpu-quota",
    "CreateNodegroup, UpdateNodegroupConfig, later",
    "more vCPUs than the quota of this kind of instance: those within it start",
    "eksctl issue 4732; EC2 user guide, On-Demand Instance limits",
)
SPOT_ROLE: Final = Rule(
    "spot-role",
    "CreateNodegroup, UpdateNodegroupConfig, later",
    "spot instances in an account without their service-linked role",
    "terraform-aws-eks issue 2565; eksctl issue 6064",
)
LINKED_ROLE: Final = Rule(
    "linked-role",
    "CreateCluster, CreateNodegroup, CreateFileSystem (FSx), CreateMountTarget",
    "a caller without iam:CreateServiceLinkedRole, in an account where the service has not made its role yet",
    "XenitAB/terraform-modules pull request 396; terraform-aws-eks issue 823; aws-parallelcluster issue 6122",
)
CAPACITY: Final = Rule(
    "capacity",
    "CreateNodegroup, UpdateNodegroupConfig, later",
    "more machines than EC2 has of any type of the group (`capacity.json`), or none, on order",
    "eksctl issue 4732; containers-roadmap issues 2204 and 2326; kubernetes/autoscaler issue 4811",
)
NODE_VERSION: Final = Rule(
    "node-version",
    "UpdateNodegroupVersion",
    "another version of Kubernetes than the cluster's or the nodes' own",
    "EKS API reference, UpdateNodegroupVersion",
)
IMAGE_RELEASE: Final = Rule(
    "image-release",
    "CreateNodegroup, UpdateNodegroupVersion",
    "a release of an image that there is not, or that is of another Kubernetes version",
    "EKS API reference, UpdateNodegroupVersion; crossplane-contrib/provider-aws issue 1601",
)
KUBERNETES_VERSION: Final = Rule(
    "kubernetes-version",
    "CreateCluster, UpdateClusterVersion",
    "a version of Kubernetes that EKS does not have, or a step of more than one minor version",
    "EKS user guide, Understand the Kubernetes version lifecycle on EKS",
)
CLUSTER_ZONES: Final = Rule(
    "cluster-zones",
    "CreateCluster, UpdateClusterConfig",
    "subnets of one zone alone",
    "EKS user guide, VPC and subnet requirements",
)
CONTROL_PLANE_ZONES: Final = Rule(
    "control-plane-zones",
    "CreateCluster",
    "a subnet in use1-az3, usw1-az2 or cac1-az3",
    "EKS user guide, VPC and subnet requirements; eksctl issue 118; rancher issue 14224 (validZones)",
)
CLUSTER_ADDRESSES: Final = Rule(
    "cluster-addresses",
    "CreateCluster, later",
    "a subnet with fewer than six free addresses",
    "EKS user guide, VPC and subnet requirements; EKS API reference, ClusterIssue",
)
PUBLIC_NETWORKS: Final = Rule(
    "public-networks",
    "CreateCluster, UpdateClusterConfig",
    "more than 40 networks from which the API server can be reached",
    "EKS user guide, Service quotas: Public endpoint access CIDR ranges per cluster",
)
CLUSTER_QUOTA: Final = Rule(
    "cluster-quota", "CreateCluster", "more clusters than the quota", "EKS user guide, Service quotas"
)
NODE_GROUP_QUOTA: Final = Rule(
    "node-group-quota",
    "CreateNodegroup",
    "more node groups in a cluster than the quota",
    "EKS user guide, Service quotas: Managed node groups per cluster",
)
NODES_QUOTA: Final = Rule(
    "nodes-quota",
    "CreateNodegroup, UpdateNodegroupConfig",
    "a node group that may have more nodes than the quota",
    "EKS user guide, Service quotas: Nodes per managed node group; EKS API reference, NodegroupScalingConfig, maxSize",
)
ADDRESS_QUOTA: Final = Rule(
    "address-quota",
    "AllocateAddress",
    "more Elastic IPs than the quota",
    "EC2 API reference, Error codes, AddressLimitExceeded",
)
VPC_QUOTA: Final = Rule(
    "vpc-quota", "CreateVpc", "more VPCs than the quota", "EC2 API reference, Error codes, VpcLimitExceeded"
)
GATEWAY_QUOTA: Final = Rule(
    "gateway-quota",
    "CreateNatGateway",
    "more NAT gateways in a zone than the quota, those that are being deleted among them",
    "VPC user guide, Amazon VPC quotas; EC2 API reference, Error codes, NatGatewayLimitExceeded",
)
LUSTRE_QUOTA: Final = Rule(
    "lustre-quota",
    "CreateFileSystem, UpdateFileSystem",
    "more FSx for Lustre of type PERSISTENT_2 than the quota",
    "FSx for Lustre user guide, Quotas; FSx API reference, ServiceLimitExceeded",
)
INLINE_POLICIES: Final = Rule(
    "inline-policies",
    "PutRolePolicy",
    "more than 10,240 characters of policy in a role, blanks not counted",
    "IAM user guide, IAM and AWS STS quotas; amplify-cli issue 1699",
)
DEPENDENCY: Final = Rule(
    "dependency",
    "DeleteVpc, DeleteSubnet, DeleteSecurityGroup, DetachInternetGateway, ReleaseAddress",
    "what something else still uses",
    "EC2 API reference, Error codes, DependencyViolation",
)
ADDON_REPLICAS: Final = Rule(
    "addon-replicas",
    "CreateAddon, later",
    "an add-on whose replicas do not run is `DEGRADED`",
    "containers-roadmap issue 1389; EKS API reference, AddonIssue",
)
CERTIFICATE_HOST: Final = Rule(
    "certificate-host",
    "RequestCertificate",
    "a first domain name of more than 64 characters",
    "ACM API reference, RequestCertificate, DomainName",
)
CERTIFICATE_CAA: Final = Rule(
    "certificate-caa",
    "RequestCertificate, later",
    "a host whose CAA records let no authority of Amazon issue",
    "ACM user guide, Certification Authority Authorization problems; ACM API reference, FailureReason",
)
CERTIFICATE_IN_USE: Final = Rule(
    "certificate-in-use",
    "DeleteCertificate",
    "a certificate that a load balancer uses",
    "ACM API reference, DeleteCertificate, ResourceInUseException",
)
LISTENER_CERTIFICATE: Final = Rule(
    "listener-certificate",
    "CreateListener, by the cluster's controller",
    "a certificate that is not issued",
    "terraform-provider-aws issues 26245 and 41789 (UnsupportedCertificate)",
)
LISTENER_REGION: Final = Rule(
    "listener-region",
    "CreateListener, by the cluster's controller",
    "a certificate of another region, or one that does not exist",
    "ELB API reference, CreateListener, CertificateNotFound; terraform-provider-aws issue 11334",
)
ENTRY_PRINCIPAL: Final = Rule(
    "entry-principal",
    "CreateAccessEntry",
    "a session of STS, and a role or user that the account does not have: of a role with a path, its ARN without it",
    "EKS API reference, CreateAccessEntry, principalArn; appmod-blueprints issue 319; terraform-aws-eks issue 2969",
)
ENTRY_TAKEN: Final = Rule(
    "entry-taken",
    "CreateAccessEntry",
    "a second entry for one principal",
    "EKS API reference, CreateAccessEntry; terraform-aws-eks issue 2968",
)
CALLER_REFERENCE: Final = Rule(
    "caller-reference",
    "CreateHealthCheck",
    "the reference of another check, or of one that was deleted",
    "Route 53 API reference, CreateHealthCheck, CallerReference",
)
DRY_RUN: Final = Rule(
    "dry-run",
    "any call of EC2 with `DryRun`",
    "all of them: with `DryRunOperation` who has the rights for it, with `UnauthorizedOperation` who has not",
    "EC2 API reference, Common query parameters, DryRun",
)
DEFAULT_VPC: Final = Rule(
    "default-vpc",
    "RunInstances",
    "an instance without a subnet, in an account without a default VPC",
    "karpenter-provider-aws issue 7834",
)
LAUNCH_RIGHTS: Final = Rule(
    "launch-rights",
    "CreateNodegroup, RunInstances",
    "instances that the caller's policies or a guard rail forbid, by type, tags, metadata service or encryption",
    "eksctl issue 1603; aws-samples/terraform-eks-code issue 13; Service Authorization Reference, RunInstances",
)
UNSEEN: Final = Rule(
    "eventual-consistency",
    "any call of EC2",
    "what was made a moment ago, where `account.json` says so",
    "EC2 developer guide, Eventual consistency in the Amazon EC2 API",
)
REGION_ENABLED: Final = Rule(
    "region-enabled",
    "any call but S3's",
    "a region that the account has not enabled, where `account.json` says so",
    "AWS Account Management reference, Specify which AWS Regions your account can use; steampipe-plugin-aws issue 75;"
    " aws/chalice issue 1445",
)
MODEL: Final = Rule(
    "model",
    "any call but S3's",
    "a value that is too long or too short, out of its range, of another form or none of its enum",
    "the API reference of each service, as botocore's models have it",
)
ON_ORDER: Final = Rule("on-order", "any call", "what `faults.json` names", "faults.json in the lab's folder")

ALL: Final = tuple(value for value in dict(globals()).values() if isinstance(value, Rule))


def by_reference(service: str, operation: str) -> Rule:
    """The rule of a refusal that names none: the service's reference says what its operation takes."""
    return Rule("api-reference", operation, "", f"{service} API reference, {operation}")
