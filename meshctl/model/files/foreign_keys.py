"""What to write instead of keys and values that other tools have: Kubernetes, SkyPilot, dstack, Compose. PURE.

Asked by `messages` for a key or value that mesh.yaml or environments.yaml doesn't have, before a similar name is
guessed: a guess such as "cpu" for `gpu` would mislead. A test keeps every key of the model itself out of these tables.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshctl.model.files import foreign_environment_keys, foreign_forms

Path = tuple[str | int, ...]

_NOT_YET = "not in this version"
_ACCELERATORS_OF_POOL = "write `accelerator: {model: H100, count: 8}`"
_ACCELERATORS_OF_POD = "write `resources: {accelerators: 1}` in the workload"
_GPUS = "write `accelerators: 1`, or `accelerators: all` for those of a whole node"
_SLICE = "write `share: mig-3g.40gb`, and in `count` how many of these slices a node has"
_SLICES = "nvidia.com/mig-"
_RESOURCES = "write `resources: {cpu: 4, memory: 16GiB, accelerators: 1}`"
_HEALTH = (
    "write `health: {port: NAME, path: /health}`; startup, readiness and liveness follow from it, see docs/mesh.md"
)
_PLACED_BY_POOL = "a workload's pods run on the nodes of its `pool`, and tolerate what these are tainted with"


def _in_environment(entry: str) -> str:
    """A hint for what holds in one environment only: where in environments.yaml the entry is written."""
    return f"in environments.yaml under the environment's name: `workloads: {{NAME: {{{entry}}}}}`"


_ANNOTATIONS = f"write them {_in_environment('annotations: {KEY: TEXT}')}"
_SCALING = "write `replicas: {min: 1, max: 4}` and `scale: {metric: queue-depth, target: 5}`"
_SCALE = "write `scale: {metric: queue-depth, target: 5, cooldown: 5m}`"
_INIT = "write `before: [{image: acme/prepare:1, command: [prepare]}]`; its steps share mounts and variables"
_SIDECAR = (
    "run the second program as a workload of its own, or add a container for one environment, "
    + _in_environment("pod: {containers: [{name: proxy, image: 'acme/proxy:1'}]}")
)
_VOLUMES = "declare it under `storage` of the mesh, and mount it: `mounts: {NAME: {path: /data}}`"
_ACCOUNT = "each workload has a service account of its own, which may use the buckets that it mounts, and nothing else"
_FILES = "write `files: {/etc/app.yaml: app.yaml}`: a path in the pods, and a file beside mesh.yaml"
_USER = "write `user: root`, `user: image` or a number; without it pods run as user 1000, see docs/container.md"
_SHM = "not needed: pods with accelerators have /dev/shm without the limit of 64 MiB"
_PULL = "not needed: give a changed image a new tag or digest, and pods are started with it"
_PRIORITY = f"{_NOT_YET}: it follows from `kind`: inference, service, training, batch"
_ORDER = (
    "for jobs write `after: [JOB]`, which starts one when others have ended well; servers are all started together, and"
    " wait in `command` for what another one makes"
)
_GRACE = (
    "for `kind: inference` and `service` write `drain: 10m`; for `training` `checkpoint: {storage: NAME, grace: 10m}`;"
    " others have 30 s"
)
_GANG = (
    "write `nodes: N`: each of the `replicas` is then a group of N pods, whose rank 0 has the ports and the health; all"
    " have MESH_RANK, MESH_NODES and MESH_LEADER, see docs/container.md"
)
_RETRIES = "not needed: a failed pod of a job is started again, three times for each of its pods"
_LAUNCHER = "start torchrun in `command` with $(MESH_RANK), $(MESH_NODES) and $(MESH_LEADER), see docs/container.md"
_EXPOSED = "the load balancer of an endpoint passes TCP on; let the workload ask for credentials"
_ACCESS = "write `access: internal` or `access: public`, for some networks alone with `cidrs: [203.0.113.0/24]`"
_TLS = (
    "write `tls: true` for a certificate of the platform, or `tls: {secret: NAME}`, with a certificate and its key in"
    " that secret; or end TLS in the workload"
)
_RDMA = "write `kind: rdma`, which becomes EFA, InfiniBand or RoCE, or `kind: ethernet`"
_ROUTES = "write `routes: {/v1/embeddings: embed/http, /: chat/http}` in place of `workload` and `port`"
_METRICS = "write `metrics: {port: NAME}` in the workloads: collectors find their pods by annotations"
_EXISTING = (
    "name what exists in environments.yaml: `storage: {NAME: {bucket: BUCKET}}`, `{NAME: {claim: CLAIM}}`,"
    " `{NAME: {nfs: HOST:/EXPORT}}` or `{NAME: {fileSystem: fs-…}}`"
)
_CLASS = "name the class in environments.yaml: `storageClasses: {filesystem: …, block: …}`"
_MACHINE = "say what the nodes must have (`accelerator`, `cpu`); the machine type follows from it in each environment"
_COUNT_OF_NODES = "write `nodes: N`, or `nodes: {min: N, max: M}`"

_OF_WORKLOAD = {
    "accelerator": _ACCELERATORS_OF_POD,
    "accelerators": _ACCELERATORS_OF_POD,
    "affinity": f"{_PLACED_BY_POOL}; more is written {_in_environment('pod: {affinity: {…}}')}",
    "annotations": _ANNOTATIONS,
    "autoscale": _SCALING,
    "autoscaling": _SCALING,
    "backoffLimit": _RETRIES,
    "completions": "write `replicas: N`: each of the N pods of a batch job must complete once",
    "config": _FILES,
    "configMaps": _FILES,
    "containers": _SIDECAR,
    "cpu": _RESOURCES,
    "dependsOn": _ORDER,
    "depends_on": _ORDER,
    "entrypoint": "write `command: [PROGRAM, …]`",
    "envFrom": "list each variable under `env`, or under `secrets` where its value is secret",
    "environment": "write `env: {NAME: value}`",
    "envs": "write `env: {NAME: value}`",
    "expose": "write `ports: {http: 8000}`; an entry of `endpoints` makes a port reachable from outside",
    "gpu": _ACCELERATORS_OF_POD,
    "gpus": _ACCELERATORS_OF_POD,
    "grace": _GRACE,
    "group": _GANG,
    "healthcheck": _HEALTH,
    "hostIPC": _SHM,
    "hostNetwork": (
        "for RDMA not needed, as pods get the devices of their pool's `fabric`; otherwise write it "
        + _in_environment("pod: {hostNetwork: true}")
    ),
    "imagePullPolicy": _PULL,
    "initContainers": _INIT,
    "labels": (
        "labels of the mesh (`labels` at its top) are on all that belongs to it; those of one workload are written "
        + _in_environment("labels: {KEY: VALUE}")
    ),
    "leader": _GANG,
    "lifecycle": (
        "not needed: a service's pod still gets requests for 10 s after its deletion begins, then SIGTERM; `drain: 10m`"
        " says how long it may take to finish them"
    ),
    "limits": _RESOURCES,
    "livenessProbe": _HEALTH,
    "maxReplicas": _SCALING,
    "maxRestarts": _RETRIES,
    "memory": _RESOURCES,
    "minReplicas": _SCALING,
    "monitoring": _METRICS,
    "nodeSelector": f"{_PLACED_BY_POOL}; more is written {_in_environment('pod: {nodeSelector: {KEY: VALUE}}')}",
    "parallelism": "write `replicas: N`: all pods of a batch job run at once",
    "podAnnotations": _ANNOTATIONS,
    "podMonitor": _METRICS,
    "priority": _PRIORITY,
    "priorityClassName": _PRIORITY,
    "pullPolicy": _PULL,
    "rdzv": _LAUNCHER,
    "readinessProbe": _HEALTH,
    "requests": _RESOURCES,
    "restart": _RETRIES,
    "restartPolicy": _RETRIES,
    "run": 'write `command: [sh, -c, "…"]`',
    "runtimeClassName": f"write it {_in_environment('pod: {runtimeClassName: CLASS}')}",
    "schedule": f"{_NOT_YET}: a batch job runs once; start it by `meshctl restart NAME` from a scheduler of yours",
    "securityContext": _USER,
    "serviceAccount": _ACCOUNT,
    "serviceAccountName": _ACCOUNT,
    "serviceMonitor": _METRICS,
    "setup": _INIT,
    "shm": _SHM,
    "shm_size": _SHM,
    "sidecars": _SIDECAR,
    "size": _GANG,
    "startupProbe": _HEALTH,
    "strategy": "not needed: pods are replaced one after the other",
    "terminationGracePeriod": _GRACE,
    "terminationGracePeriodSeconds": _GRACE,
    "tolerations": (
        f"{_PLACED_BY_POOL}; more are written " + _in_environment("pod: {tolerations: [{key: KEY, operator: Exists}]}")
    ),
    "topologySpreadConstraints": "not needed: pods are spread over nodes and zones",
    "updateStrategy": "not needed: pods are replaced one after the other",
    "volumeMounts": "write `mounts: {NAME: {path: /data}}` for an entry of `storage`",
    "volumes": _VOLUMES,
    "working_dir": "write `workingDir: /app`",
    "workdir": "write `workingDir: /app`",
}

# By the section in which the key stands; `*` is the name of an entry.
_KEYS: Mapping[Path, Mapping[str, str]] = {
    (): {
        "autoscaling": _SCALING,
        "deployments": "write them under `workloads`, with `kind: service`",
        "environments": "environments have a file of their own, environments.yaml",
        "jobs": "write them under `workloads`, with `kind: batch` or `kind: training`",
        "metadata": "write `name` and `labels` at the top of the file",
        "monitoring": _METRICS,
        "secrets": "say in environments.yaml where secrets come from, and under `secrets` of a workload which it gets",
        "services": "write them under `workloads` with `kind: service`, and their names in DNS under `endpoints`",
        "spec": "write its content at the top of the file",
        "volumes": "write them under `storage`",
    },
    ("pools", "*"): {
        "accelerators": _ACCELERATORS_OF_POOL,
        "autoscaling": "write `nodes: {min: N, max: M}`",
        "count": _COUNT_OF_NODES,
        "desiredSize": _COUNT_OF_NODES,
        "diskSize": "write `scratch: 1TB` for local NVMe, or declare `storage`",
        "gpu": _ACCELERATORS_OF_POOL,
        "gpus": _ACCELERATORS_OF_POOL,
        "instanceType": _MACHINE,
        "instance_type": _MACHINE,
        "labels": "nodes carry meshctl.dev/mesh, meshctl.dev/pool and meshctl.dev/role, and no labels of your own",
        "machineType": _MACHINE,
        "maxSize": _COUNT_OF_NODES,
        "memory": "write `cpu: {memory: 64GiB}`, or `accelerator: {model: H100, count: 8, memory: 80GB}`",
        "minSize": _COUNT_OF_NODES,
        "nodeSelector": f"{_NOT_YET}: nodes of an existing cluster are chosen by their hardware",
        "replicas": _COUNT_OF_NODES,
        "size": _COUNT_OF_NODES,
        "spot": "write `capacity: spot`",
        "taints": "not needed: nodes with accelerators get the taint that their platform uses",
    },
    ("pools", "*", "accelerator"): {
        "mig": _SLICE,
        "migProfile": _SLICE,
        "name": "write `model: H100`",
        "partition": _SLICE,
        "profile": _SLICE,
        "type": "write `model: H100`",
    },
    ("fabrics", "*"): {
        "efa": _RDMA,
        "infiniband": _RDMA,
        "interface": "write `fabric: {env: {NCCL_SOCKET_IFNAME: …}}` under the environment's name in environments.yaml",
        "rdma": _RDMA,
        "type": _RDMA,
    },
    ("storage", "*"): {
        "accessMode": "it follows from `kind`: a file system is shared by pods, a block belongs to one pod",
        "accessModes": "it follows from `kind`: a file system is shared by pods, a block belongs to one pod",
        "bucket": _EXISTING,
        "capacity": "write `size: 1TiB`",
        "class": _CLASS,
        "existing": _EXISTING,
        "existingClaim": _EXISTING,
        "medium": f"{_NOT_YET}: pods with accelerators have /dev/shm; `kind: local` is on disk",
        "mount": "write `mounts: {NAME: {path: /data}}` in the workload that uses it",
        "objectStore": "write `tier: NAME`, of storage of `kind: object`",
        "path": "write `mounts: {NAME: {path: /data}}` in the workload that uses it",
        "redundancyLevel": "write `protection: 2`, or 4",
        "source": _EXISTING,
        "storageClass": _CLASS,
        "storageClassName": _CLASS,
        "tiering": "write `tier: NAME`, of storage of `kind: object`",
    },
    ("workloads", "*"): _OF_WORKLOAD,
    ("blueprints", "*"): {
        "autoscaling": "write `replicas: {min: 1, max: 4}`, and `scale` into the slot",
        "checkpoint": "write `checkpoints: 500GiB`, or the name of a storage",
        "documents": "a blueprint `rag` has them as `corpus: NAME`, of a storage",
        "embedding": "a blueprint `rag` has `embed: tei` and `embedModel: NAME`",
        "embeddings": "a blueprint `rag` has `embed: tei` and `embedModel: NAME`",
        "entrypoint": "write `script: train.py` for torchrun, or `command` into the slot",
        "gpu": _GPUS,
        "gpus": _GPUS,
        "host": "write `endpoint: chat.example.com`",
        "hostname": "write `endpoint: chat.example.com`",
        "model_name": "write `model: NAME`",
        "overrides": "write keys of the workload into the slot: `llm: {args: [--max-model-len, '8192']}`",
        "parts": "write each slot beside the other keys: `llm: sglang`",
        "password": "write `token: NAME`, of a secret",
        "slots": "write each slot beside the other keys: `llm: sglang`",
        "storage": "write `weights`, `checkpoints`, `corpus`, `data` or `home`, whichever the blueprint has",
        "tensorParallelSize": "follows from `accelerators`",
        "type": "write `kind: serve`",
        "vectorDb": "a blueprint `rag` has `store: milvus`, `store: pgvector` or a URL",
        "vectorStore": "a blueprint `rag` has `store: milvus`, `store: pgvector` or a URL",
    },
    ("workloads", "*", "before"): {
        "name": "a step has no name: steps run in the order in which they stand here",
        "volumeMounts": "not needed: a step has the mounts of its workload",
    },
    ("workloads", "*", "metrics"): {
        "enabled": "leave it out: `metrics` says that there are some",
        "interval": "leave it out: who collects the metrics says how often",
        "targetPort": "write `port: NAME`, of one of the workload's `ports`",
    },
    ("workloads", "*", "scale"): {
        "cooldownPeriod": "write `cooldown: 5m`",
        "max": "write `replicas: {min: 1, max: 4}` beside `scale`",
        "maxReplicas": "write `replicas: {min: 1, max: 4}` beside `scale`",
        "min": "write `replicas: {min: 1, max: 4}` beside `scale`",
        "minReplicas": "write `replicas: {min: 1, max: 4}` beside `scale`",
        "stabilizationWindowSeconds": "write `cooldown: 5m`",
        "threshold": "write `target: 5`",
        "trigger": _SCALE,
        "triggers": _SCALE,
        "type": "write `metric: queue-depth`",
    },
    ("workloads", "*", "resources"): {
        "gpu": _GPUS,
        "gpus": _GPUS,
        "limits": "write `accelerators`, `cpu` and `memory` here: memory is request and limit, cpu a request",
        "nvidia.com/gpu": _GPUS,
        "requests": "write `accelerators`, `cpu` and `memory` here: memory is request and limit, cpu a request",
    },
    ("workloads", "*", "mounts", "*"): {
        "mountPath": "write `path`",
        "ro": "write `readOnly: true`",
        "readonly": "write `readOnly: true`",
        "subPath": f"{_NOT_YET}: a storage is mounted whole; use a folder below `path`",
    },
    ("endpoints", "*"): {
        "auth": _EXPOSED,
        "domain": "write `host: chat.example.com`",
        "hostname": "write `host: chat.example.com`",
        "internal": _ACCESS,
        "certificate": _TLS,
        "path": _ROUTES,
        "paths": _ROUTES,
        "protocol": _TLS,
        "public": _ACCESS,
        "rules": _ROUTES,
        "service": "write `workload: NAME`",
        "ssl": _TLS,
        "visibility": _ACCESS,
    },
}

_VALUES: Mapping[Path, Mapping[str, str]] = {
    ("storage", "*", "kind"): {
        "bucket": "object",
        "disk": "block",
        "efs": "filesystem",
        "emptydir": "local, a folder on the disk of each pod's node; memory is /dev/shm",
        "fsx": "filesystem",
        "gcs": "object",
        "hostpath": "local, a folder on the disk of each pod's node",
        "nfs": "filesystem",
        "nvme": "local",
        "pvc": "filesystem if pods share it, block if each pod has its own",
        "s3": "object",
        "scratch": "local",
        "volume": "filesystem if pods share it, block if each pod has its own",
    },
    ("workloads", "*", "kind"): {
        "cronjob": "batch, started by `meshctl restart NAME` from a scheduler of yours",
        "daemonset": "nothing: meshctl installs what nodes need",
        "deployment": "service, or inference for a model server",
        "job": "batch, or training for a gang",
        "jobset": "training",
        "mpijob": "training",
        "pytorchjob": "training",
        "statefulset": "service with a `block` storage among its `mounts`",
        "task": "batch, or training for a gang",
    },
}


def key_advice(path: Path) -> str:
    """What to write instead of the unknown key at the end of the path; empty where nothing is known about it."""
    section, key = _pattern(path[:-1]), str(path[-1])
    if section == ("workloads", "*", "resources") and key.startswith(_SLICES):
        share = key.removeprefix("nvidia.com/")
        return f"write `accelerators: 1` here, and `share: {share}` in the `accelerator` of the pool"
    return {**_KEYS, **foreign_environment_keys.KEYS}.get(section, {}).get(key, "")


def value_advice(path: Path, value: object) -> str:
    """Which of the possible values stands for this one of another tool; empty where none is known."""
    return _VALUES.get(_pattern(path), {}).get(value.lower(), "") if isinstance(value, str) else ""


def missing_advice(path: Path) -> str:
    """What to write where the key at the end of the path is missing; empty where its name says it."""
    return foreign_forms.MISSING.get(_pattern(path[:-1]), "")


def form_of(path: Path) -> str:
    """An example of what stands at the path, for a value of another form; empty where there is none."""
    return foreign_forms.FORMS.get(_pattern(path), "")


def mapping_advice(path: Path) -> str:
    """What a mapping would mean where a number is expected; empty where nobody would write one."""
    return foreign_forms.OF_NUMBERS.get(_pattern(path), "")


def _pattern(path: Path) -> Path:
    """The path with `*` for the names that users choose: every second part, as far as sections lie in mappings. An
    entry of a list of accelerators has the form and the keys of one that stands alone, and a step `before` those of
    the list."""
    with_names = {
        *((section,) for section in ("pools", "storage", "workloads", "endpoints", "fabrics", "blueprints")),
        *(("workloads", "*", section) for section in ("mounts", "ports")),
        ("environments",),
        *(("environments", "*", section) for section in ("storage", "workloads")),
    }
    lists = {("pools", "*", "accelerator"), ("workloads", "*", "before")}
    pattern: Path = ()
    for part in path:
        if pattern in lists and isinstance(part, int):
            continue
        pattern = (*pattern, "*" if pattern in with_names else part)
    return pattern


def all_keys() -> list[tuple[Path, str]]:
    """(section, key) of every entry, for the test that compares them with the model."""
    return [(section, key) for section, entries in _KEYS.items() for key in entries]
