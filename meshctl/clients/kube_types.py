"""Has lightkube's types described before threads use them. EDGE (imports the client library).

Called by `cluster_access` before a client is handed out. lightkube decodes answers with msgspec, which describes a type
when it is first decoded, and puts the description where other threads find it before it is complete: two threads that
decode their first pod at the same moment end the whole process with a segmentation fault (msgspec 0.22.0; seen, and
brought about in 53 of 60 tries by `tests/unit/engine/test_kube_types.py` without this).
"""

from __future__ import annotations

import threading

from lightkube.config.kubeconfig import KubeConfig
from lightkube.core import decoders
from lightkube.resources.apps_v1 import Deployment, StatefulSet
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import (
    Namespace,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    Secret,
    Service,
)
from lightkube.resources.storage_v1 import StorageClass

# All that meshctl reads by its type; what it reads as plain JSON (`live_objects`) shares the list's metadata.
READ = (
    Deployment,
    Job,
    Namespace,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    Secret,
    Service,
    StatefulSet,
    StorageClass,
)
_KUBECONFIG = {
    "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    "clusters": [{"name": "x", "cluster": {"server": "https://x"}}],
    "users": [
        {"name": "x", "user": {"exec": {"apiVersion": "v1", "command": "x", "env": [{"name": "x", "value": "x"}]}}}
    ],
}
_lock = threading.Lock()
_described = threading.Event()


def describe() -> None:
    """Once for the process; others wait until it is done."""
    with _lock:
        if _described.is_set():
            return
        for resource in READ:
            decoders.decode_list(b'{"items": [], "metadata": {}}', resource)
        decoders.decode_status(b"{}")
        KubeConfig.from_dict(_KUBECONFIG)
        _described.set()
