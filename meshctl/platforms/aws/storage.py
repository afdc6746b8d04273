"""Storage on AWS: S3 buckets, FSx for Lustre or EFS, EBS gp3 volumes. PURE.

Part of the platform (`meshctl.platforms.aws`); declared by `stacks.aws`.
"""

from __future__ import annotations

import math
from typing import Any, Final

from meshctl.catalog import Machine
from meshctl.model import mesh as mesh_model
from meshctl.model.deployment import FileSystem, Gap, ObjectStore, Pool, Price
from meshctl.model.files.units import format_gib
from meshctl.resolve.data.storage import Place, Stored, block_of_class, gap, salted_bucket_name

_FSX_UNITS: Final = (125, 250, 500, 1000)  # PERSISTENT_2 SSD, MB/s per TiB (FSx API, 2026-08-07)
# Source: EBS user guide, volume types; 16 TiB until 2025 (AWS re:Invent 2025, STG320).
_GP3_MAX_GIB: Final = 64 * 1024
_GP3: Final = "gp3"
# FSx bills 1200 GiB as 1200 GB (price examples of the FSx for Lustre price page), and prices are for decimal GB
_BILLED_GB_PER_GIB: Final = 1e9 / 2**30

# What is deleted or overwritten can be brought back for that long; it is paid for like the rest.
OLD_VERSIONS_DAYS: Final = 30
UNFINISHED_UPLOADS_DAYS: Final = 7
_ALL_BLOCKED: Final = dict.fromkeys(
    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
)
_LIFECYCLE: Final = {
    "Rules": [
        {
            "ID": "meshctl",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "NoncurrentVersionExpiration": {"NoncurrentDays": OLD_VERSIONS_DAYS},
            "Expiration": {"ExpiredObjectDeleteMarker": True},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UNFINISHED_UPLOADS_DAYS},
        }
    ]
}
BUCKET_SETTINGS: Final[dict[str, Any]] = {
    "BucketEncryption": {
        "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": True}]
    },
    "PublicAccessBlock": _ALL_BLOCKED,
    "Versioning": {"Status": "Enabled"},
    "LifecycleConfiguration": _LIFECYCLE,
    "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
}


def weka_interfaces(machine: Machine, pool: Pool) -> int:
    """How many network interfaces are left for WEKA: without those that the node starts with, for itself and for EFA,
    and one of the VPC CNI. Source: github.com/weka/weka-eks, weka-axon/README.md: 6 of the 8 of an i3en.12xlarge."""
    own = len(pool.fabric.interfaces) if pool.fabric else 0
    return max(machine.interfaces - max(own, 1) - 1, 0)


def store(place: Place, name: str, storage: mesh_model.Storage) -> Stored | Gap:
    environment: Any = place.environment
    bucket = salted_bucket_name(place, name, environment.account)
    bucket_store = ObjectStore(
        name=name,
        bucket=bucket,
        size_gib=storage.size_gib,
        region=place.region,
        profile=environment.profile or "",
        ephemeral=storage.ephemeral,
        price=place.price(name, storage.size_gib, "object"),
    )
    return Stored(bucket_store, f"S3 bucket {bucket}")


def fsx_size(size_gib: float, throughput_mbps: float) -> tuple[int, int]:
    """Size (GiB) and MB/s per TiB that FSx for Lustre sells: 1200, 2400, then steps of 2400; 125 to 1000.

    Grows the size where even the highest rate would be too slow.
    """
    needed_gib = max(size_gib, throughput_mbps / _FSX_UNITS[-1] * 1024)
    size = 1200 if needed_gib <= 1200 else math.ceil(needed_gib / 2400) * 2400
    fast_enough = (unit for unit in _FSX_UNITS if size / 1024 * unit >= throughput_mbps)
    return size, next(fast_enough, _FSX_UNITS[-1])


def file_system(place: Place, name: str, storage: mesh_model.Storage) -> Stored | Gap:
    """FSx for Lustre where the mesh asks for a throughput, else EFS."""
    if not storage.throughput_mbps:
        size = math.ceil(storage.size_gib)
        price = place.price(name, size, "efs")
        system = FileSystem(name=name, ephemeral=storage.ephemeral, service="efs", size_gib=size, price=price)
        return Stored(system, "EFS, elastic throughput")
    size, unit = fsx_size(storage.size_gib, storage.throughput_mbps)
    system = FileSystem(
        name=name,
        throughput_mbps=storage.throughput_mbps,
        ephemeral=storage.ephemeral,
        service="fsx-lustre",
        size_gib=size,
        per_unit_throughput=unit,
        deployment_type="PERSISTENT_2",
        zone=place.zone,
        price=_lustre_price(place, name, size, unit),
    )
    return Stored(system, f"FSx for Lustre, {format_gib(size)} at {unit} MB/s per TiB, in {place.zone}")


def _lustre_price(place: Place, name: str, size_gib: int, unit: int) -> Price:
    """By its MB/s per TiB; said as before where there is no price, so that what is up keeps its digest."""
    price = place.price(name, size_gib * _BILLED_GB_PER_GIB, f"fsx-lustre-{unit}")
    return price if price.usd_per_hour is not None else place.price(name, size_gib, "fsx-lustre")


def block(place: Place, name: str, storage: mesh_model.Storage) -> Stored | Gap:
    size = math.ceil(storage.size_gib)
    if size > _GP3_MAX_GIB:
        hint = "lower its size, or use kind: filesystem or object"
        best = f"an EBS gp3 volume of {_GP3_MAX_GIB:,} GiB"
        return gap(name, f"a volume of {size:,} GiB for each pod", best, hint)
    return Stored(block_of_class(place, name, storage, _GP3), "EBS gp3 volume for each pod")
