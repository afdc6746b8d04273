"""WEKA NeuralMesh as `resolve` placed it: one cluster of storage containers on nodes of one pool. PURE.

Read through `meshctl.model.deployment`, of which it is a part. Made by `meshctl.resolve.data.neural_mesh` from the
file systems whose engine is `neuralmesh`; declared by `meshctl.render.cluster.neural_mesh`; played in the lab by
`meshctl.lab.controllers.weka`. Names of fields follow the vendor's custom resources (`weka.weka.io/v1alpha1`).
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from meshctl.model.value import Value, added_later

OPERATOR_NAMESPACE: Final = "weka-operator-system"  # where the vendor's chart is installed
OPERATOR_MARK: Final = "meshctl-weka-operator"  # the ConfigMap beside it that says which mesh has installed it
VENDORS_DRIVERS: Final = "https://drivers.weka.io"
GRACE: Final = "24h"  # how long the operator keeps a cluster that was deleted, and can bring it back; the vendor's own


class WekaContainers(Value):
    """Containers of one kind, at most one on a node. The pod of one requests `hugepages_mib` and
    `hugepages_offset_mib`, and in DPDK mode 64 MiB more for each core, which the operator adds to the former by itself.
    Those of drives and clients are the operator's own defaults, calculated here; those of compute must be written."""

    containers: int
    cores: int  # of one container
    drives: int = 0  # of one container; only drive containers have any
    hugepages_mib: int
    hugepages_offset_mib: int


class NodeShare(Value):
    """What storage takes of each node of a pool, before anything is left for the mesh's pods. `hugepages_mib`: what its
    pods request; `set_aside_mib`: what a node sets aside for that when it starts, with room to spare. `disk_gib`: of
    its root disk, beside what pods have; 0 = of nodes that came up before it was planned for."""

    cpu_cores: int
    memory_gib: float  # without huge pages
    hugepages_mib: int
    set_aside_mib: int = 0
    network_interfaces: int  # WEKA's own, in DPDK mode; 0 in UDP mode
    drives: int = 0
    disk_gib: int = added_later(0)


class WekaEncryption(Value):
    """A key in a Vault's transit engine, by reference."""

    address: str
    role: str
    key_name: str
    auth_path: str = "kubernetes"
    transit_path: str = "transit"


class WekaOrganization(Value):
    """The tenant in which the file systems are, instead of WEKA's own `Root`. `admin_secret`, `driver_secret`: names
    under `secrets`, of the passwords of its two users. `quota_gib`, `drive_quota_gib`: 0 = nothing is said of them."""

    name: str
    admin_secret: str
    driver_secret: str
    quota_gib: int = 0
    drive_quota_gib: int = 0


class JoinedWeka(Value):
    """A WEKA cluster that somebody else made: meshctl makes clients and volumes, and never the cluster.

    Either `cluster` and `namespace` name a WekaCluster in this Kubernetes cluster, or `endpoints` are `host:14000`.
    `secret`: the Secret with the API user, in the mesh's namespace.
    """

    cluster: str = ""
    namespace: str = ""
    endpoints: tuple[str, ...] = ()
    secret: str = ""
    csi_driver: str = added_later("")  # the name of its CSI driver; "" = as the vendor's operator or chart calls it


class NeuralMesh(Value):
    """One WEKA cluster. `name` is also that of its namespace's objects: `MESH` of the deployment.

    `pool`: whose nodes carry containers and drives; "" where the cluster is joined. `client_pools`: whose pods mount
    its file systems; where none do, one whose client brings the CSI driver. `shares`: by pool, what is taken of each
    node. `stripe_width` D, `redundancy` P: see `resolve.data.neural_mesh_sizing` for what follows from them.
    `least_nodes`: with fewer nodes of `pool` the cluster loses data or stands still.
    """

    name: str
    namespace: str
    pool: str
    nodes: int
    # how many it was formed with, by which WEKA's own records are laid out; 0 = `nodes`
    formed_nodes: int = added_later(0)
    least_nodes: int
    client_pools: tuple[str, ...]
    image: str
    image_pull_secret: str = ""
    operator_chart: str = "oci://quay.io/weka.io/helm/weka-operator"
    operator_version: str
    # whether meshctl installs the operator; not where the cluster has had one before: that is somebody else's
    installs_operator: bool = added_later(True)
    # who serves WEKA's kernel modules; "" = a service in the cluster builds them, without internet
    drivers_service: str = added_later(VENDORS_DRIVERS)
    drives: WekaContainers | None = None  # None where the cluster is joined
    compute: WekaContainers | None = None
    client: WekaContainers
    stripe_width: int = 0
    redundancy: Literal[2, 4] = 2
    hot_spare: int = 0
    udp: bool = False
    ethernet_devices: tuple[str, ...] = ()
    makes_interfaces: bool = False  # a policy `ensure-nics` has to give nodes their data interfaces
    data_interfaces: int = 0  # of that policy: WEKA's interfaces and one
    # pods have their addresses from a node's first interface alone, in blocks; not in clusters that came up before
    # that, until WEKA is given a further pool
    has_address_blocks: bool = added_later(False)
    sign_drives: Literal["", "aws-all", "all-not-root", "device-paths"] = ""
    drive_paths: tuple[str, ...] = ()
    shares: dict[str, NodeShare] = Field(default_factory=dict)
    net_capacity_gib: float = 0
    read_mbps: float = 0  # expected of the whole cluster, decimal MB/s; 0 = no expectation known
    write_mbps: float = 0
    licence_secret: str = ""  # the Secret with the licence; "" = none, which the vendor allows for a time
    encryption: WekaEncryption | None = None
    organization: WekaOrganization | None = added_later(None)
    joined: JoinedWeka | None = None

    @property
    def own_secrets(self) -> tuple[str, ...]:
        """The names under `secrets` whose values only its settings and its driver read."""
        of_organization = (self.organization.admin_secret, self.organization.driver_secret) if self.organization else ()
        return tuple(name for name in (self.licence_secret, *of_organization) if name)
