"""Another valid value for every field, so that `test_every_field` can see what a change of the field does. PURE.

Choices, switches and counts are made up from the field's type; a field of any other type needs an entry in
`OTHER_VALUES`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, get_args, get_origin

from tests.unit.fields.walk import Field, choices, is_union

REMOVED: Final = object()  # for a key whose value decides nothing, and without which the file is refused

# The field's path, without what stands in angle brackets -> a value that mesh.yaml or environments.yaml of
# this folder does not have. It has to be valid, and it should matter: a few more CPU cores lead to the same machine.
OTHER_VALUES: dict[str, Any] = {
    "name": "other",
    "labels": {"team": "vision"},
    "pools.*.accelerator.*.model": ["H200"],
    "pools.*.accelerator.*.memory": "200GB",
    "pools.*.accelerator.*.share": "mig-3g.71gb",
    "pools.*.cpu.cores": 500,
    "pools.*.cpu.memory": "100TiB",
    "pools.*.scratch": "900TB",
    "pools.*.fabric": "plain",
    "fabrics.*.bandwidth": "90Tbps",
    "fabrics.*.expect": 0.5,
    "storage.*.size": "20TiB",
    "storage.*.throughput": "4GB/s",
    "storage.*.pool": "train",
    "storage.*.tier": "weights",
    "workloads.*.pool": "spare",
    "workloads.*.replicas.min": 3,
    "workloads.*.replicas.max": 6,
    "workloads.*.scale.metric": "queue-depth",
    "workloads.*.scale.target": 60,
    "workloads.*.scale.cooldown": "10m",
    "workloads.*.elastic.min": 2,
    "workloads.*.image": "acme/other:2",
    "workloads.*.imagePullSecrets": ["other-registry"],
    "workloads.*.command": ["sh", "other.sh"],
    "workloads.*.args": ["--other"],
    "workloads.*.workingDir": "/other",
    "workloads.*.env": {"LOG_LEVEL": "debug"},
    "workloads.*.after": ["prepare"],
    "workloads.*.before.*.image": "acme/prepare:2",
    "workloads.*.before.*.command": ["prepare", "--fast"],
    "workloads.*.before.*.args": ["--some"],
    "workloads.*.before.*.env": {"STEP": "two"},
    "workloads.*.secrets": {"HF_TOKEN": "other-token"},
    "workloads.*.files": {"/etc/app/mesh.yaml": "mesh.yaml"},
    "workloads.*.resources.accelerators": 4,
    "workloads.*.resources.cpu": 2,
    "workloads.*.resources.memory": "3GiB",
    "workloads.*.ports": {"http": 8001, "metrics": 9001},
    "workloads.*.health.path": "/other",
    "workloads.*.health.port": "metrics",
    "workloads.*.health.live": "/live",
    "workloads.*.health.startup": "2h",
    "workloads.*.metrics.path": "/other",
    "workloads.*.metrics.port": "http",
    "workloads.*.drain": "20m",
    "workloads.*.mounts.*.path": "/other",
    "workloads.*.checkpoint.storage": "weights",
    "workloads.*.checkpoint.grace": "10m",
    "endpoints.*.host": "other.example.com",
    "endpoints.*.workload": "console",
    "endpoints.*.port": "metrics",
    "endpoints.*.routes": {"/": "console/http", "/v1": "chat/http"},
    "endpoints.*.tls.secret": "other-token",
    "endpoints.*.cidrs": ["198.51.100.0/24"],
    "blueprints.*.pool": "train",
    "blueprints.*.model": "mistral",
    "blueprints.*.weights": "shared",
    "blueprints.*.accelerators": 1,
    "blueprints.*.replicas.min": 2,
    "blueprints.*.replicas.max": 3,
    "blueprints.*.endpoint": {"host": "other.example.com", "access": "public"},
    "blueprints.*.llm": "sglang",
    "blueprints.*.image": "acme/other:2",
    "blueprints.*.script": "other.py",
    "blueprints.*.nodes": 2,
    "blueprints.*.checkpoints": "5TiB",
    "blueprints.*.data": "files",
    "blueprints.*.trainer": {"env": {"LOG_LEVEL": "debug"}},
    "blueprints.*.token": "other-token",
    "blueprints.*.home": "20GiB",
    "blueprints.*.corpus": "files",
    "blueprints.*.embedModel": "minilm",
    "blueprints.*.index": "20GiB",
    **{
        f"blueprints.*.{slot}": {"env": {"LOG_LEVEL": "debug"}}
        for slot in ("embed", "rerank", "store", "ingest", "api")
    },
    "blueprints.*.ui": "off",
    "blueprints.*.notebook": {"env": {"LOG_LEVEL": "debug"}},
    "limits.hourly": "1 USD",
    "environments.*.region": "US-WEST-01A",
    "environments.*.<aws>.region": "us-west-2",
    "environments.*.zones": ["us-east-1a", "us-east-1c"],
    "environments.*.profile": "other",
    "environments.*.account": "222222222222",
    "environments.*.network.cidr": "10.65.0.0/16",
    "environments.*.network.nat": "one",
    "environments.*.network.adopt.vpc": "vpc-1",
    "environments.*.network.adopt.subnets": ["subnet-1"],
    "environments.*.network.adopt.cluster": "prod",
    "environments.*.capacity.reservations.*.id": "cr-1",
    "environments.*.capacity.reservations.*.pool": "web",
    "environments.*.capacity.reservations.*.zone": "us-east-1b",
    "environments.*.capacity.blocks.*.id": "cr-1",
    "environments.*.capacity.blocks.*.pool": "web",
    "environments.*.capacity.blocks.*.zone": "us-east-1b",
    "environments.*.kubernetes.version": "1.34",
    "environments.*.kubernetes.publicAccessCidrs": ["203.0.113.0/24"],
    "environments.*.kubernetes.admins": ["arn:aws:iam::123456789012:role/platform"],
    "environments.*.tags": {"cost-centre": "4711"},
    "environments.*.permissionsBoundary": "arn:aws:iam::123456789012:policy/boundary",
    "environments.*.rolePath": "/genai/",
    "environments.*.offered": ["p5.48xlarge"],
    "environments.*.kubernetes.kubeconfig": "other-kubeconfig",
    "environments.*.kubernetes.context": "other",
    "environments.*.objectStorage.endpoint": "https://s3.other.example",
    "environments.*.objectStorage.profile": "other",
    "environments.*.objectStorage.region": "eu-1",
    "environments.*.storageClasses.filesystem": "other-class",
    "environments.*.storageClasses.block": "other-class",
    "environments.*.tolerations.*.key": "other",
    "environments.*.tolerations.*.value": "other",
    "environments.*.fabric.resource": "rdma/other",
    "environments.*.fabric.networks": ["roce-p1"],
    "environments.*.fabric.env": {"NCCL_DEBUG": "INFO"},
    "environments.*.inventory": REMOVED,  # SSH hosts are not supported yet, whatever the file is called
    "environments.*.storage.*.bucket": "other-weights",
    "environments.*.storage.*.claim": "other-files",
    "environments.*.storage.*.nfs": "nfs.acme.example:/other",
    "environments.*.storage.*.fileSystem": "fs-0fedcba9876543210",
    "environments.*.storage.*.mountOptions": ["soft"],
    "environments.*.storage.*.weka.cluster": "other",
    "environments.*.storage.*.weka.namespace": "other",
    "environments.*.storage.*.weka.endpoints": ["10.0.0.2:14000"],
    "environments.*.storage.*.weka.secret": "other",
    "environments.*.storage.*.weka.driver": "csi.weka.io",
    "environments.*.neuralMesh.image": "quay.io/weka.io/weka-in-container:4.4.30",
    "environments.*.neuralMesh.operator": "v1.12.0",
    "environments.*.neuralMesh.chart": "oci://mirror.example.com/weka-operator",
    "environments.*.neuralMesh.imagePullSecret": "quay",
    "environments.*.neuralMesh.licence": "weka-licence",
    "environments.*.neuralMesh.organization.name": "other",
    "environments.*.neuralMesh.organization.adminPassword": "other-admin",
    "environments.*.neuralMesh.organization.driverPassword": "other-driver",
    "environments.*.neuralMesh.organization.quota": "800TiB",
    "environments.*.neuralMesh.organization.driveQuota": "800TiB",
    "environments.*.neuralMesh.driverService": "cluster",
    "environments.*.neuralMesh.devices": ["eth1"],
    "environments.*.neuralMesh.drives": ["/dev/nvme1n1"],
    "environments.*.neuralMesh.encryption.vault.address": "https://other:8200",
    "environments.*.neuralMesh.encryption.vault.role": "other",
    "environments.*.neuralMesh.encryption.vault.key": "other",
    "environments.*.neuralMesh.encryption.vault.authPath": "other",
    "environments.*.neuralMesh.encryption.vault.transitPath": "other",
    "environments.*.workloads.*.labels": {"cost-centre": "b"},
    "environments.*.workloads.*.annotations": {"k8s.v1.cni.cncf.io/networks": "roce-p3"},
    "environments.*.workloads.*.env": {"NCCL_SOCKET_IFNAME": "net2"},
    "environments.*.workloads.*.pod": {"hostNetwork": False},
    "environments.*.workloads.*.queue": "genai",
    "environments.*.images": {"docker.io": "other.example.com"},
    "environments.*.certificates.clusterIssuer": "other",
    "environments.*.lending.nodePool": "other",
    "environments.*.prices": {"train": "1 USD/h"},
    "dns.zone": "com",
    "dns.ttl": "60s",
    "dns.profile": "other",
    "state.backend": "file://./other",
    "state.secrets": "awskms://alias/other",
    "secrets.*.env": "OTHER_TOKEN",
    "secrets.*.file": "other.json",
}

# What must change together with a field, so that the file stays valid: keys beside the field.
COMPANIONS: dict[str, dict[str, Any]] = {
    "environments.*.<aws>.region": {
        "zones": ["us-west-2a", "us-west-2b"],
        "capacity": {"reservations": [{"id": "cr-0a", "pool": "train"}], "blocks": [{"id": "cr-0b", "pool": "block"}]},
    },
    **{
        f"environments.*.<{platform}>.lending.nodePool": {"by": "kai"}
        for platform in ("coreweave", "kubernetes", "onprem")
    },
}


def others(field: Field, current: Any) -> list[Any]:
    """Values to try in place of the current one, which is None where the document does not set the field.

    Raises: LookupError where there is none, saying what to add.
    """
    untagged = without_sections(field)
    for key in (str(field), untagged):
        if key in OTHER_VALUES:
            return [OTHER_VALUES[key]]
    kind = _plain(field.annotation)
    if choices(kind):
        return [choice for choice in choices(kind) if choice != current]
    if kind is bool:
        return [not current]
    if kind is int:
        return [(current or 1) + 1]
    raise LookupError(
        f'the field {field} has no other value to try: add "{untagged}": VALUE to OTHER_VALUES in'
        " tests/unit/fields/values.py, with a valid value that mesh.yaml or environments.yaml beside it does not have"
    )


def without_sections(field: Field) -> str:
    """The field's path without what stands in angle brackets."""
    return ".".join(part for part in field.path if not part.startswith("<"))


def _plain(annotation: Any) -> Any:
    """The type without None and annotations: `Annotated[int, Ge(1)] | None` -> int."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    members = [each for each in get_args(annotation) if each is not type(None)] if is_union(annotation) else []
    return _plain(members[0]) if len(members) == 1 else annotation
