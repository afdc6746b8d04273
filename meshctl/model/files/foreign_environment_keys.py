"""What to write instead of keys and forms of other tools in environments.yaml. PURE. Asked through `foreign_keys`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Path = tuple[str | int, ...]

_IN_MESH: Final = "it is the same everywhere: write it in mesh.yaml"
_OF_POD: Final = "write it in `pod`, as Kubernetes has it: `pod: {%s}`"
_FABRIC_OF_MACHINES: Final = (
    "not needed here: the machines that are chosen for a pool have a fabric of their own; `env` is for its settings"
)
_OVERRIDE: Final = "{env: {KEY: value}}"
_BUCKET: Final = "write `bucket: NAME`"
_CLAIM: Final = "write `claim: NAME`"
_FILE_SYSTEM: Final = "write `fileSystem: fs-…`"
_EXPORT: Final = "write `nfs: HOST:/EXPORT`"
_NEURAL_MESH: Final = "write `neuralMesh: {udp: true}`; a WEKA cluster that exists is named under `storage`"
_WEKA: Final = "{cluster: weka, namespace: weka}"

# By the section in which the key stands; `*` is the name of an entry.
KEYS: Final[Mapping[Path, Mapping[str, str]]] = {
    ("environments", "*"): {
        "context": "write `kubernetes: {context: NAME}`",
        "kubeconfig": "write `kubernetes: {kubeconfig: PATH}`",
        "mirror": "write `images: {docker.io: mirror.example.com/hub}`",
        "registry": "write `images: {docker.io: mirror.example.com/hub}`",
        "storageClass": "write `storageClasses: {filesystem: CLASS, block: CLASS}`",
        "type": "write `provider`",
        "weka": _NEURAL_MESH,
        "neuralmesh": _NEURAL_MESH,
        "zone": "write `zones`, a list",
    },
    ("environments", "*", "fabric"): dict.fromkeys(("kind", "resource", "count", "networks"), _FABRIC_OF_MACHINES),
    ("environments", "*", "storage", "*"): {
        "name": f"{_BUCKET} for an object store, or `claim: NAME`",
        "s3": _BUCKET,
        "pvc": _CLAIM,
        "existingClaim": _CLAIM,
        "efs": _FILE_SYSTEM,
        "fsx": _FILE_SYSTEM,
        "id": _FILE_SYSTEM,
        "path": _EXPORT,
        "server": _EXPORT,
        "wekaCluster": f"write `weka: {_WEKA}`",
    },
    ("environments", "*", "neuralMesh"): {
        "driveCount": "write `drives: 8`",
        "ethDevice": "write `devices: [eth1]`",
        "ethDevices": "write `devices: [eth1]`",
        "imagePullSecrets": "write `imagePullSecret: NAME`, of one",
        "license": "write `licence: NAME`, of the Secret that has it",
        "numDrives": "write `drives: 8`",
        "org": "write `organization: {name: NAME, …}`",
        "operatorVersion": "write `operator: v1.11.0`",
        "pool": "write it in mesh.yaml, beside `engine: neuralmesh`",
        "redundancyLevel": "write `protection: 2` or 4 in mesh.yaml, beside `engine: neuralmesh`",
        "udpMode": "write `udp: true`",
        "vault": "write `encryption: {vault: {address: https://vault:8200, role: weka}}`",
        "version": "write `operator: v1.11.0` for the operator, and `image` for WEKA itself",
    },
    ("environments", "*", "neuralMesh", "organization"): {
        "password": "write `adminPassword: NAME` and `driverPassword: NAME`, of the secrets that have them",
        "ssdQuota": "write `driveQuota: 80TiB`",
        "totalQuota": "write `quota: 400TiB`",
    },
    ("environments", "*", "storage", "*", "weka"): {
        "csiDriver": "write `driver: csi.weka.io`",
        "csiGroup": "write the whole name: `driver: GROUP.weka.io`",
        "image": "write `neuralMesh: {image: …}`, beside `storage`",
        "joinIpPorts": "write `endpoints: [10.0.0.1:14000]`",
        "name": "write `cluster: NAME`",
        "wekaSecretRef": "write `secret: NAME`",
    },
    ("environments", "*", "workloads", "*"): {
        **dict.fromkeys(("args", "command", "files", "health", "ports", "replicas", "resources"), _IN_MESH),
        "image": f"{_IN_MESH}; another registry for it is written as `images: {{docker.io: mirror.example.com/hub}}`",
        "affinity": _OF_POD % "affinity: {…}",
        "hostNetwork": _OF_POD % "hostNetwork: true",
        "nodeSelector": _OF_POD % "nodeSelector: {KEY: VALUE}",
        "schedulerName": _OF_POD % "schedulerName: NAME",
        "securityContext": _OF_POD % "securityContext: {…}",
        "tolerations": _OF_POD % "tolerations: [{key: KEY, operator: Exists}]",
        "volumes": _OF_POD % "volumes: [{name: NAME, …}]",
    },
}

# What a section or list looks like, for a value of another form.
FORMS: Final[Mapping[Path, str]] = {
    ("environments", "*", "fabric"): "{env: {NCCL_DEBUG: INFO}}",
    ("environments", "*", "fabric", "env"): "{NCCL_DEBUG: INFO}",
    ("environments", "*", "fabric", "networks"): "[roce-p2]",
    ("environments", "*", "images"): "{docker.io: mirror.example.com/hub}",
    ("environments", "*", "kubernetes"): "{context: NAME}",
    ("environments", "*", "neuralMesh"): "{udp: true}",
    ("environments", "*", "neuralMesh", "devices"): "[eth1]",
    ("environments", "*", "neuralMesh", "encryption"): "{vault: {address: https://vault:8200, role: weka}}",
    ("environments", "*", "neuralMesh", "encryption", "vault"): "{address: https://vault:8200, role: weka}",
    ("environments", "*", "neuralMesh", "organization"): (
        "{name: research, adminPassword: weka-admin, driverPassword: weka-driver}"
    ),
    ("environments", "*", "storage"): "{weights: {bucket: acme-weights}}",
    ("environments", "*", "storage", "*"): "{bucket: acme-weights}",
    ("environments", "*", "storage", "*", "weka"): _WEKA,
    ("environments", "*", "storage", "*", "weka", "endpoints"): "[10.0.0.1:14000]",
    ("environments", "*", "storageClasses"): "{filesystem: CLASS, block: CLASS}",
    ("environments", "*", "workloads"): f"{{NAME: {_OVERRIDE}}}",
    ("environments", "*", "workloads", "*"): _OVERRIDE,
    ("environments", "*", "workloads", "*", "annotations"): "{KEY: TEXT}",
    ("environments", "*", "workloads", "*", "env"): "{KEY: value}",
    ("environments", "*", "workloads", "*", "labels"): "{KEY: VALUE}",
    ("environments", "*", "workloads", "*", "pod"): "{hostNetwork: true}",
}
