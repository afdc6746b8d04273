"""The WEKA cluster of a mesh, its clients, and all that they need in Kubernetes. PURE.

Called by `platform`. Kinds and fields are those of `weka.weka.io/v1alpha1`: doc/api_dump of
github.com/weka/weka-operator, read 2026-11-29. The operator may come with the same run (`weka_operator`): until it is
there the API server knows none of its kinds, and a preview says of these objects only that they come. What has to be
there before what:

    operator -> policies (interfaces, drives) -> WekaCluster, waited for until it is Ready -> settings by REST
             -> WekaClients -> storage classes and volumes -> claims (`render.pod.file_systems`) -> pods

and the other way round when all goes: file systems before their cluster, and the cluster while its operator still runs.
"""

from __future__ import annotations

import math
from typing import Any, Final

from meshctl.model.deployment import Deployment, NeuralMesh, WekaContainers
from meshctl.model.neural_mesh import GRACE
from meshctl.render.cluster import weka_operator, weka_organization, weka_settings
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import overrides, pods, registries, weka_volumes
from meshctl.render.templates import render

API: Final = "weka.weka.io/v1alpha1"
CLUSTER: Final = "neuralmesh:cluster"
_KINDS: Final = dict.fromkeys(("WekaCluster", "WekaClient", "WekaPolicy"), (API, "spec"))
# of the service that the policy makes: weka/weka-operator, internal/controllers/operations, EnsureDistServiceOperation
_IN_CLUSTER_DRIVERS: Final = "https://{policy}-dist.{namespace}.svc.cluster.local:60002"
_DRIVERS_POLICY: Final = "weka-drivers"
_POLICY_INTERVAL: Final = "5m"
# doc/operator/deployment/cluster-aws-eks.md of weka/weka-operator: the ports that the operator would choose are taken
# on nodes whose interfaces a policy makes
_BASE_PORT: Final = 15000
# doc/operator/deployment/cluster-provisioning.md: above it a larger raft and a later start
_MANY_CONTAINERS: Final = 10
_LARGE_RAFT: Final = 9
_START_SHARE: Final = 0.8
# The vendor's rule: a cluster that is not Ready within ten minutes has failed. Both plugins read the annotations.
_WAIT: Final = {"pulumi.com/waitFor": "jsonpath={.status.status}=Ready", "pulumi.com/timeoutSeconds": "600"}
_DELETE_S: Final = 1800  # containers leave one after the other, each after its drives
# Both are fixed at formation: those of a cluster that is up stay what they are
_FIXED: Final = ("spec.redundancyLevel", "spec.stripeWidth")


def objects(deployment: Deployment, *, namespace: str) -> list[PlatformObject]:
    """Everything but the claims; nothing for a mesh without NeuralMesh. `namespace`: the logical name of the mesh's.

    Raises: MeshError when the mesh's name is too long for a CSI driver.
    """
    mesh = deployment.neural_mesh
    if mesh is None:
        return []
    made = weka_operator.objects(deployment, mesh, namespace=namespace)
    secret = (registries.logical_name(mesh.image_pull_secret),) if mesh.image_pull_secret else ()
    needs = (*((weka_operator.INSTALL,) if made else ()), namespace, *secret)
    made += _policies(deployment, mesh, needs)
    if mesh.joined is None:
        made.append(_cluster(deployment, mesh, tuple(item.name for item in made) or needs))
        needs = (*needs, CLUSTER)
        made += weka_settings.objects(deployment, mesh, needs)
    clients = _clients(deployment, mesh, needs)
    drivers_user = (weka_organization.DRIVER,) if weka_organization.of(mesh) is not None else ()
    mounts = (*(client.name for client in clients), *needs, *drivers_user)
    return [*made, *clients, *weka_volumes.objects(deployment, mesh, mounts, made_by=weka_settings.SETTINGS)]


def _object(
    deployment: Deployment,
    mesh: NeuralMesh,
    kind: str,
    name: str,
    spec: dict[str, Any],
    annotations: dict[str, str] | None = None,
) -> dict[str, Any]:
    values = {
        "kind": kind,
        "name": name,
        "namespace": mesh.namespace,
        "labels": pods.common_labels(deployment),
        "annotations": annotations or {},
        "spec": spec,
    }
    (manifest,) = render("platform/weka-object.yaml.j2", (kind,), values, _KINDS)
    return manifest


def _policies(deployment: Deployment, mesh: NeuralMesh, needs: tuple[str, ...]) -> list[PlatformObject]:
    """What prepares nodes: WEKA's own network interfaces, its mark on drives, kernel modules without internet."""
    made = []
    if mesh.makes_interfaces:
        # one for each pool, as the number of interfaces is that of its machines
        pools = sorted(name for name, share in mesh.shares.items() if share.network_interfaces)
        made += [_interfaces_policy(deployment, mesh, pool, needs) for pool in pools]
    if mesh.sign_drives:
        made.append(_policy(deployment, mesh, "sign-drives", _signing(deployment, mesh), needs))
    if not mesh.drivers_service:
        made.append(_policy(deployment, mesh, _DRIVERS_POLICY, _drivers(deployment, mesh), needs))
    return made


def _signing(deployment: Deployment, mesh: NeuralMesh) -> dict[str, Any]:
    """Without an image: the operator has its own for this, and refuses another."""
    payload: dict[str, Any] = {"type": mesh.sign_drives, "nodeSelector": deployment.node_labels(mesh.pool)}
    if mesh.drive_paths:
        payload["devicePaths"] = list(mesh.drive_paths)
    return {
        "type": "sign-drives",
        "tolerations": pods.tolerations(deployment, deployment.pool(mesh.pool)),
        "payload": {"signDrivesPayload": payload, "interval": _POLICY_INTERVAL},
    }


def _drivers(deployment: Deployment, mesh: NeuralMesh) -> dict[str, Any]:
    image = _image(deployment, mesh)
    selectors = [deployment.node_labels(pool) for pool in _pools(mesh)]
    return {
        **image,
        "type": "enable-local-drivers-distribution",
        "tolerations": pods.tolerations_of_all(deployment),
        "payload": {
            "driverDistPayload": {"ensureImages": [image["image"]], "nodeSelectors": selectors},
            "interval": _POLICY_INTERVAL,
        },
    }


def _interfaces_policy(deployment: Deployment, mesh: NeuralMesh, pool: str, needs: tuple[str, ...]) -> PlatformObject:
    share = mesh.shares[pool]
    (manifest,) = render(
        "platform/weka-interfaces.yaml.j2",
        ("WekaPolicy",),
        {
            "name": f"{mesh.name}-ensure-nics-{pool}",
            "namespace": mesh.namespace,
            "labels": pods.common_labels(deployment),
            "images": _image(deployment, mesh),
            "tolerations": pods.tolerations(deployment, deployment.pool(pool)),
            # WEKA's own and one
            "interfaces": mesh.data_interfaces if pool == mesh.pool else share.network_interfaces + 1,
            "node_selector": deployment.node_labels(pool),
            "interval": _POLICY_INTERVAL,
        },
        _KINDS,
    )
    return PlatformObject(f"neuralmesh:ensure-nics-{pool}", manifest, depends_on=needs)


def _policy(
    deployment: Deployment, mesh: NeuralMesh, kind: str, spec: dict[str, Any], needs: tuple[str, ...]
) -> PlatformObject:
    manifest = _object(deployment, mesh, "WekaPolicy", f"{mesh.name}-{kind}", spec)
    return PlatformObject(f"neuralmesh:{kind}", manifest, depends_on=needs)


def _pools(mesh: NeuralMesh) -> list[str]:
    """Whose nodes run containers of WEKA."""
    return sorted({*mesh.client_pools, *([mesh.pool] if mesh.pool else [])})


def _image(deployment: Deployment, mesh: NeuralMesh) -> dict[str, str]:
    secret = {"imagePullSecret": registries.secret_of(mesh)} if mesh.image_pull_secret else {}
    return {"image": overrides.image_here(deployment, mesh.image), **secret}


def _common_spec(deployment: Deployment, mesh: NeuralMesh) -> dict[str, Any]:
    """What a cluster and its clients both say."""
    policy = f"{mesh.name}-{_DRIVERS_POLICY}"
    drivers = mesh.drivers_service or _IN_CLUSTER_DRIVERS.format(policy=policy, namespace=mesh.namespace)
    network: dict[str, Any] = {"udpMode": mesh.udp}
    if mesh.ethernet_devices:
        network["ethDevices"] = list(mesh.ethernet_devices)
    return {**_image(deployment, mesh), "driversDistService": drivers, "network": network}


def _cluster(deployment: Deployment, mesh: NeuralMesh, needs: tuple[str, ...]) -> PlatformObject:
    drives, compute = mesh.drives, mesh.compute
    if drives is None or compute is None:
        raise ValueError(f"the WEKA cluster {mesh.name} has no containers, and is not joined")
    spec = {
        **_common_spec(deployment, mesh),
        "template": "dynamic",
        "nodeSelector": deployment.node_labels(mesh.pool),
        "rawTolerations": pods.tolerations(deployment, deployment.pool(mesh.pool)),
        "dynamicTemplate": _template(drives, compute),
        "hotSpare": mesh.hot_spare,
        "redundancyLevel": mesh.redundancy,
        "gracefulDestroyDuration": GRACE,
        **_of_many_containers(mesh.formed_nodes or max(drives.containers, compute.containers), drives.drives),
    }
    if mesh.stripe_width:
        spec["stripeWidth"] = mesh.stripe_width
    if mesh.makes_interfaces:
        spec["ports"] = {"basePort": _BASE_PORT}
    group = weka_volumes.driver(deployment, mesh).group
    if group:
        spec["csiConfig"] = {"csiGroup": group}
    if mesh.encryption is not None:
        key = mesh.encryption
        vault = {"address": key.address, "role": key.role, "keyName": key.key_name, "method": "kubernetes"}
        spec["encryption"] = {"vault": {**vault, "authPath": key.auth_path, "transitPath": key.transit_path}}
    manifest = _object(deployment, mesh, "WekaCluster", mesh.name, spec, _WAIT)
    left = _FIXED if mesh.stripe_width else _FIXED[:1]
    return PlatformObject(CLUSTER, manifest, wait=True, depends_on=needs, left=left, delete_s=_DELETE_S)


def _template(drives: WekaContainers, compute: WekaContainers) -> dict[str, int]:
    return {
        "driveContainers": drives.containers,
        "driveCores": drives.cores,
        "numDrives": drives.drives,
        "driveHugepages": drives.hugepages_mib,
        "driveHugepagesOffset": drives.hugepages_offset_mib,
        "computeContainers": compute.containers,
        "computeCores": compute.cores,
        "computeHugepages": compute.hugepages_mib,
        "computeHugepagesOffset": compute.hugepages_offset_mib,
    }


def _of_many_containers(formed_with: int, drives: int) -> dict[str, Any]:
    """As it was formed: a cluster that has grown past the limit since then is not asked for another raft. `drives`: of
    each container."""
    if formed_with <= _MANY_CONTAINERS:
        return {}
    least = math.ceil(formed_with * drives * _START_SHARE)
    return {
        "leadershipRaftSize": _LARGE_RAFT,
        "bucketRaftSize": _LARGE_RAFT,
        "startIoConditions": {"minNumDrives": least},
    }


def _clients(deployment: Deployment, mesh: NeuralMesh, needs: tuple[str, ...]) -> list[PlatformObject]:
    """One for each pool whose pods mount file systems, since a selector names one pool's nodes. The first brings the
    CSI driver's controller, of which a cluster has one."""
    return [
        PlatformObject(
            f"neuralmesh:client-{pool}",
            _object(deployment, mesh, "WekaClient", f"{mesh.name}-{pool}", _client_spec(deployment, mesh, pool)),
            wait=True,  # for its end, before that of the cluster: nobody waits for a client to get ready
            depends_on=needs,
            delete_s=_DELETE_S,
        )
        for pool in sorted(mesh.client_pools)
    ]


def _client_spec(deployment: Deployment, mesh: NeuralMesh, pool: str) -> dict[str, Any]:
    spec = {
        **_common_spec(deployment, mesh),
        **_target(mesh),
        "nodeSelector": deployment.node_labels(pool),
        "rawTolerations": pods.tolerations(deployment, deployment.pool(pool)),
        "coresNum": mesh.client.cores,
        "hugepages": mesh.client.hugepages_mib,
        "hugepagesOffset": mesh.client.hugepages_offset_mib,
        "upgradePolicy": {"type": "rolling"},
    }
    if pool != min(mesh.client_pools):
        spec["csiConfig"] = {"disableControllerCreation": True}
    return spec


def _target(mesh: NeuralMesh) -> dict[str, Any]:
    joined = mesh.joined
    if joined is None:
        return {"targetCluster": {"name": mesh.name, "namespace": mesh.namespace}}
    if joined.cluster:
        return {"targetCluster": {"name": joined.cluster, "namespace": joined.namespace}}
    return {"joinIpPorts": list(joined.endpoints), "wekaSecretRef": joined.secret}
