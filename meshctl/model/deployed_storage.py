"""Storage as `resolve` placed it: buckets, file systems, block volumes. PURE.

Read through `meshctl.model.deployment`, of which it is a part.
"""

from __future__ import annotations

from typing import Literal

from meshctl.model.value import Price, Value, added_later


class ObjectStore(Value):
    """A bucket. Pods that mount it get `url` as MESH_<NAME>_URL."""

    name: str
    bucket: str
    prefix: str = ""
    size_gib: float
    endpoint: str = ""  # "" = the AWS endpoint of the region
    region: str
    profile: str = ""  # AWS profile of the operator's machine that may use it; "" = the default credentials
    addressing: Literal["auto", "path", "virtual"] = "auto"
    pod_endpoint: str = ""  # what pods use when that differs (CoreWeave's LOTA cache)
    ephemeral: bool = False
    is_adopted: bool = added_later(False)  # a bucket of somebody else: never created, changed or deleted by meshctl
    price: Price

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


class NfsExport(Value):
    """A folder that an NFS server offers. `mount_options`: as mount takes them; none = the client's defaults."""

    server: str
    path: str
    mount_options: tuple[str, ...] = ()


class ExistingFileSystem(Value):
    """A file system of a cloud that somebody else made: by its id, and by what a volume for it is mounted with."""

    id: str
    dns_name: str = ""  # of FSx for Lustre
    mount_name: str = ""  # of FSx for Lustre
    zone: str = added_later("")  # of an EFS file system of one zone: the only zone where it can have a mount target


class FileSystem(Value):
    """A shared file system: `service` says what carries it here."""

    name: str
    service: Literal["fsx-lustre", "efs", "storage-class", "claim", "nfs", "neuralmesh"]
    size_gib: int  # rounded up to what the service sells
    throughput_mbps: float = 0  # MB/s that the mesh asks for
    per_unit_throughput: int = 0  # FSx: MB/s per TiB
    deployment_type: str = ""  # FSx: PERSISTENT_2, ...
    zone: str = ""
    storage_class: str = ""
    ephemeral: bool = False
    # of the service "claim": a claim of somebody else, which meshctl never creates, resizes or deletes
    existing_claim: str = added_later("")
    nfs: NfsExport | None = added_later(None)  # of the service "nfs"
    # a file system that exists already; None where meshctl makes it
    existing: ExistingFileSystem | None = added_later(None)
    # of the service "neuralmesh": the object store of the mesh to which cold data goes, "" for none; and how much of
    # the size is on drives then, 0 = all of it
    tier: str = added_later("")
    drive_gib: int = added_later(0)
    price: Price

    @property
    def claim(self) -> str:
        """The name of the claim that pods mount."""
        return self.existing_claim or self.name

    @property
    def is_adopted(self) -> bool:
        """Whether the files are somebody else's: meshctl uses them, and deletes none of them."""
        return bool(self.existing_claim or self.nfs or self.existing)


class Block(Value):
    """Block storage: one claim for each pod that mounts it, or one that exists, for all of them."""

    name: str
    size_gib: int
    storage_class: str
    ephemeral: bool = False
    existing_claim: str = added_later("")  # a claim of somebody else, which meshctl never creates or deletes
    price: Price

    @property
    def is_adopted(self) -> bool:
        return bool(self.existing_claim)
