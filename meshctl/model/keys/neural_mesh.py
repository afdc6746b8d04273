"""What the users' files say of a NeuralMesh: the keys of environments.yaml, and how the keys of both files go together.
PURE.

Read by `model.environment` (the sections), `references` and `environment_references` (the problems), which run on
parsed files that may not be valid. All NeuralMesh file systems of a mesh live in one WEKA cluster, on the drives of one
pool: see docs/adr/0067-neuralmesh.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from meshctl.model.files.file_problems import Path, Problem, items, mapping, missing
from meshctl.model.files.key_values import AbsolutePath, Count, DnsLabel, Image, Text
from meshctl.model.files.sections import Section
from meshctl.model.files.units import Gib

ENGINE: Final = "neuralmesh"
_ONLY_OF_ENGINE: Final = ("pool", "tier", "protection")
_OF_A_CLUSTER: Final = "all NeuralMesh file systems of a mesh are in one WEKA cluster"


def is_carried(storage: Mapping[str, Any]) -> bool:
    """Whether a storage, as it is written in mesh.yaml, is a NeuralMesh file system."""
    return storage.get("engine") == ENGINE and storage.get("kind") == "filesystem"


def _matching(pattern: str, complaint: str) -> AfterValidator:
    def checked(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f'"{text}" is not {complaint}')
        return text

    return AfterValidator(checked)


def _with_version(image: str) -> str:
    # the API server refuses any other: WekaCluster, spec.image, pattern ^.+:\d+\.\d+\.\d+.*$
    if not re.fullmatch(r".+:\d+\.\d+\.\d+.*", image):
        raise ValueError(f'"{image}" has no version: WEKA takes images like weka-in-container:4.4.21.2, with a tag')
    return image


_WekaImage = Annotated[Image, AfterValidator(_with_version)]
_OperatorVersion = Annotated[
    str, _matching(r"v?\d+\.\d+\.\d+[0-9A-Za-z.+-]*", "a version of the operator's chart like v1.11.0")
]
_Chart = Annotated[str, _matching(r"(oci|https?)://\S+|/\S+", "a chart like oci://quay.io/weka.io/helm/weka-operator")]
_Device = Annotated[str, _matching(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,30}", "a network device like eth1")]
_Endpoint = Annotated[str, _matching(r"([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\]):\d{1,5}", "HOST:14000")]
_ObjectName = Annotated[
    str, _matching(r"(?=.{1,253}$)[a-z0-9]([a-z0-9.-]*[a-z0-9])?", "the name of an object in a cluster")
]
# 63 characters, as of a CSIDriver: Kubernetes API, storage/v1
_CsiDriver = Annotated[
    str, _matching(r"(?=.{1,63}$)[a-z0-9]([a-z0-9.-]*[a-z0-9])?", "the name of a CSI driver like csi.weka.io")
]
_DriverService = Annotated[
    str,
    _matching(
        r"cluster|https?://[^\s/]+(/\S*)?", '"cluster", or the address of a service like https://drivers.weka.io'
    ),
]
# "Root" is the organization that each cluster has, and which can't be limited
_OrganizationName = Annotated[
    str,
    _matching(
        r"(?!(?i:root)$)[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
        'the name of an organization: letters, digits, ".", "_" and "-", at most 63, and not "Root", which each cluster'
        " has by itself",
    ),
]
_VaultAddress = Annotated[str, _matching(r"https?://[^\s/]+(/\S*)?", "the address of a Vault like https://vault:8200")]


class Vault(Section):
    """Where the key is that encrypts the master key: in a transit engine. `key`: its name there."""

    address: _VaultAddress
    role: Text
    key: Text = "weka-key"
    auth_path: Text = "kubernetes"
    transit_path: Text = "transit"


class Encryption(Section):
    vault: Vault


class Organization(Section):
    """A tenant of the WEKA cluster, in which all file systems of the mesh are. `admin_password`, `driver_password`:
    names under `secrets`, of the passwords of its administrator and of the CSI driver's user. `quota_gib`: of all its
    file systems together, on drives and in object stores; `drive_quota_gib`: on drives. None: as it is there."""

    name: _OrganizationName
    admin_password: DnsLabel
    driver_password: DnsLabel
    quota_gib: Gib | None = Field(None, alias="quota")
    drive_quota_gib: Gib | None = Field(None, alias="driveQuota")


class NeuralMeshOptions(Section):
    """How WEKA is installed and what it uses here. What is left out is the platform's, or that of meshctl's catalog.

    `drives`: how many local NVMe drives each node has, or their paths, where only these may be taken. `devices`: the
    network devices that WEKA uses. `udp`: WEKA leaves the network to the kernel, which needs no interfaces of its own.
    `driver_service`: who serves WEKA's kernel modules; `cluster`: one that the operator runs there, which builds them.
    `licence`, `image_pull_secret`: names under `secrets`, as workloads have them.
    """

    image: _WekaImage | None = None
    operator: _OperatorVersion | None = None
    chart: _Chart | None = None
    image_pull_secret: DnsLabel | None = None
    licence: DnsLabel | None = None
    udp: Annotated[bool, Field(strict=True)] = False
    devices: tuple[_Device, ...] = ()
    driver_service: _DriverService | None = None
    drives: Count | Annotated[tuple[AbsolutePath, ...], Field(min_length=1)] | None = None
    encryption: Encryption | None = None
    organization: Organization | None = None


class WekaCluster(Section):
    """A WEKA cluster that exists: a WekaCluster of this Kubernetes cluster, or one elsewhere by its endpoints.
    `secret`: the Secret with its API user, in the mesh's namespace. `driver`: its CSI driver, as
    `kubectl get csidrivers` calls it; left out, as the operator or the chart of csi-wekafs does by itself."""

    cluster: _ObjectName | None = None
    namespace: DnsLabel | None = None
    endpoints: tuple[_Endpoint, ...] = ()
    secret: _ObjectName | None = None
    driver: _CsiDriver | None = None


def problems(mesh: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the NeuralMesh keys of `storage` in mesh.yaml."""
    document = dict(mesh)
    pools, stores = mapping(document.get("pools")), mapping(document.get("storage"))
    carried = [(name, storage) for name, storage in items(document, "storage") if is_carried(storage)]
    for name, storage in items(document, "storage"):
        at: Path = ("storage", name)
        if not is_carried(storage):
            yield from (
                ((*at, key), f"only with `engine: {ENGINE}` of a file system; leave it out")
                for key in _ONLY_OF_ENGINE
                if key in storage
            )
            continue
        yield from _of_pool((*at, "pool"), storage.get("pool"), pools)
        yield from _of_tier((*at, "tier"), storage.get("tier"), stores)
    for key in ("pool", "protection"):
        yield from _unequal(key, carried)


def _of_pool(at: Path, name: object, pools: dict[str, Any]) -> Iterator[Problem]:
    yield from missing(at, "pool", name, pools)
    pool = pools.get(name) if isinstance(name, str) else None
    if isinstance(pool, dict) and "scratch" not in pool:
        yield (
            at,
            f'pool "{name}" has no `scratch`, so that its nodes have no drives to keep files on; write how much local'
            " NVMe a node must have, as in `scratch: 30TB`",
        )


def _of_tier(at: Path, name: object, stores: dict[str, Any]) -> Iterator[Problem]:
    yield from missing(at, "storage", name, stores)
    kind = mapping(stores.get(name)).get("kind") if isinstance(name, str) else None
    if kind is not None and kind != "object":
        yield at, f'"{name}" is of kind {kind}; cold data goes to an object store: name storage of `kind: object`'


def _unequal(key: str, carried: list[tuple[str, dict[str, Any]]]) -> Iterator[Problem]:
    written = [(name, storage[key]) for name, storage in carried if key in storage]
    for name, value in written[1:]:
        first, expected = written[0]
        if value != expected:
            yield (
                ("storage", name, key),
                f'storage "{first}" has `{key}: {expected}`, and {_OF_A_CLUSTER}; write the same for both',
            )


def joined_problems(at: Path, existing: Mapping[str, Any], storage: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with `weka` of one entry under `storage` of an environment. `storage`: of the same name in the
    mesh; empty where the mesh has none."""
    weka = existing.get("weka")
    if not isinstance(weka, dict):
        return
    place: Path = (*at, "weka")
    if storage.get("kind") == "filesystem" and not is_carried(storage):
        yield place, f"only a file system with `engine: {ENGINE}` can be in a WEKA cluster; write it in mesh.yaml"
    if ("cluster" in weka) == ("endpoints" in weka):
        message = "needs `cluster` and `namespace` of a WekaCluster in this Kubernetes cluster, or else `endpoints`"
        yield place, f"{message} and `secret` of one elsewhere"
    elif "cluster" in weka and "namespace" not in weka:
        yield place, "needs `namespace`, too: where the WekaCluster is"
    elif "endpoints" in weka and "secret" not in weka:
        yield place, "needs `secret`, too: the Secret with the WEKA user, in the mesh's namespace"


def unequal_joins(at: Path, existing: Mapping[str, Any], carried: Mapping[str, Any]) -> Iterator[Problem]:
    """File systems of one environment that would be in several WEKA clusters. `existing`: `storage` of the environment.
    `carried`: the NeuralMesh file systems of the mesh."""
    entries = {name: mapping(existing.get(name)) for name in carried}
    joined = {name: entry["weka"] for name, entry in entries.items() if "weka" in entry}
    if not joined:
        return
    first, expected = next(iter(joined.items()))
    for name, weka in joined.items():
        if weka != expected:
            yield (*at, name, "weka"), f'storage "{first}" is in another one, and {_OF_A_CLUSTER}; write the same'
    for name, entry in entries.items():
        if not entry:
            yield (
                at,
                f'storage "{first}" is in a WEKA cluster that exists, and {_OF_A_CLUSTER}; write the same `weka` for'
                f' "{name}"',
            )
