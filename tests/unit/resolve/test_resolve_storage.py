"""Storage and workloads: what carries them, and whether they fit."""

from __future__ import annotations

import re
from typing import Any

import pytest

from meshctl.model.deployment import Deployment
from meshctl.platforms.aws.storage import fsx_size
from meshctl.resolve.data.storage import at_endpoint, bucket_name
from tests.unit.resolve.meshes import AWS, CW, DC, H100, gap, resolved

WEB = {"p": {"nodes": 2, "cpu": {"cores": 16, "memory": "64GiB"}}}


def stored(storage: dict[str, Any], environment: dict[str, Any]) -> Deployment:
    found = resolved(WEB, environment, storage={"s": storage}).deployment
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("size", "throughput", "sold"),
    [
        (100, 100, (1200, 125)),
        (1200, 200, (1200, 250)),
        (1201, 100, (2400, 125)),
        (2401, 100, (4800, 125)),
        (4800, 1200, (4800, 500)),
        (1000, 2000, (2400, 1000)),
        (1000, 5000, (7200, 1000)),
        (1, 2400 * 3 / 1024 * 1000, (7200, 1000)),
        (1, 1_000_000_000, (1_024_000_800, 1000)),
    ],
)
def test_fsx_sizes(size: float, throughput: float, sold: tuple[int, int]) -> None:
    assert fsx_size(size, throughput) == sold


def test_aws_file_systems() -> None:
    fast = stored({"kind": "filesystem", "size": "4800GiB", "throughput": "1.2GB/s"}, AWS).file_systems[0]
    assert (fast.service, fast.deployment_type, fast.zone) == ("fsx-lustre", "PERSISTENT_2", "us-east-1a")
    assert stored({"kind": "filesystem", "size": "1TiB"}, AWS).file_systems[0].service == "efs"


def test_classes_elsewhere() -> None:
    system, disk = {"kind": "filesystem", "size": "1TiB"}, {"kind": "block", "size": "500GiB"}
    assert stored(system, CW).file_systems[0].storage_class == "shared-vast"
    assert stored(system, DC).file_systems[0].storage_class == "nfs"
    assert stored(disk, AWS).blocks[0].storage_class == "gp3"
    assert stored(disk, CW).blocks[0].storage_class == "shared-vast"
    assert stored(disk, DC).blocks[0].storage_class == "local-path"


def test_object_stores() -> None:
    storage = {"kind": "object", "size": "1TiB"}
    on_aws = stored(storage, AWS).object_stores[0]
    assert (on_aws.endpoint, on_aws.region, on_aws.addressing) == ("", "us-east-1", "auto")
    assert on_aws.bucket.startswith("m-e-s-")
    in_dc = stored(storage, DC).object_stores[0]
    assert (in_dc.endpoint, in_dc.addressing, in_dc.pod_endpoint) == ("https://s3.dc.example", "path", "")
    given = {**CW, "objectStorage": {"endpoint": "https://cwobject.com", "profile": "cw"}}
    on_cw = stored(storage, given).object_stores[0]
    assert (on_cw.addressing, on_cw.pod_endpoint, on_cw.region) == ("virtual", "http://cwlota.com", "US-EAST-04A")


def test_an_endpoint_that_only_the_profile_knows() -> None:
    store = stored({"kind": "object", "size": "1TiB"}, CW).object_stores[0]
    assert (store.endpoint, store.addressing, store.profile) == ("", "auto", "cw")
    local = at_endpoint(store, "http://127.0.0.1:8333")
    assert (local.endpoint, local.addressing, local.pod_endpoint) == ("http://127.0.0.1:8333", "path", "")
    real = at_endpoint(store, "https://cwobject.com")
    assert (real.addressing, real.pod_endpoint) == ("virtual", "http://cwlota.com")


@pytest.mark.parametrize(
    "parts", [("m", "e", "s"), ("a" * 30, "b" * 30, "c" * 30), ("cw-x", "e", "s"), ("int", "e", "s")]
)
def test_bucket_names_are_valid_everywhere(parts: tuple[str, str, str]) -> None:
    name = bucket_name(*parts, "aws/us-east-1")
    assert re.match(r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", name)
    assert not name.startswith(("cw-", "int", "vip-", "xn--"))
    assert name == bucket_name(*parts, "aws/us-east-1")
    assert name != bucket_name(*parts, "aws/us-west-2")


def test_no_object_store_is_a_gap() -> None:
    environment = {key: value for key, value in CW.items() if key != "objectStorage"}
    found = resolved(WEB, environment, storage={"s": {"kind": "object", "size": "1TiB"}})
    assert "objectStorage" in gap(found, "storage/s").hint


def work(**more: Any) -> dict[str, Any]:
    return {"w": {"kind": "service", "pool": "p", "image": "i", **more}}


@pytest.mark.parametrize(
    ("workload", "wanted"),
    [
        ({"resources": {"cpu": 17}}, "17 CPU cores per pod"),
        ({"resources": {"memory": "65GiB"}}, "65 GiB memory per pod"),
        ({"resources": {"accelerators": 1}}, "1 accelerators per pod"),
        ({"resources": {"cpu": 9}, "replicas": 3}, "3 pods on pool p"),
        ({"kind": "training", "nodes": 3}, "3 pods on pool p"),
    ],
)
def test_workloads_that_do_not_fit(workload: dict[str, Any], wanted: str) -> None:
    assert gap(resolved(WEB, AWS, workloads=work(**workload)), "workload/w").wanted == wanted


def test_workloads_that_fit() -> None:
    found = resolved(WEB, AWS, workloads=work(resources={"cpu": 7}, replicas=4)).deployment
    assert found is not None
    assert found.workloads[0].replicas == 4
    gang = resolved(WEB, AWS, workloads={"w": {"kind": "training", "pool": "p", "image": "i"}}).deployment
    assert gang is not None
    assert gang.workloads[0].replicas == 2


def test_workloads_of_one_pool_share_its_accelerators() -> None:
    one = {"kind": "inference", "pool": "p", "image": "i", "replicas": 2, "resources": {"accelerators": 8}}
    found = resolved({"p": H100}, AWS, workloads={"a": one, "b": one})
    assert gap(found, "pool/p").wanted == "32 accelerators for a and b together"


def test_scratch_data_does_not_make_a_writer() -> None:
    storage = {"data": {"kind": "object", "size": "1GiB"}, "tmp": {"kind": "block", "size": "1GiB", "ephemeral": True}}
    mounts: dict[str, dict[str, Any]] = {"data": {"path": "/data", "readOnly": True}, "tmp": {"path": "/scratch"}}
    reader = resolved(WEB, AWS, storage=storage, workloads=work(mounts=mounts)).deployment
    assert reader is not None
    assert not reader.workloads[0].writes
    mounts["data"]["readOnly"] = False
    writer = resolved(WEB, AWS, storage=storage, workloads=work(mounts=mounts)).deployment
    assert writer is not None
    assert writer.workloads[0].writes


def test_each_pod_has_its_own_block_volume_in_the_price() -> None:
    storage = {"disk": {"kind": "block", "size": "1000GiB"}}
    found = resolved(WEB, CW, storage=storage, workloads=work(replicas=2, mounts={"disk": {"path": "/d"}})).deployment
    assert found is not None
    assert found.blocks[0].price.usd_per_hour == pytest.approx(2 * 1000 * 2**30 / 1e9 * 0.07 / 730, abs=1e-4)


@pytest.mark.parametrize(
    ("size", "read_only", "staging_s"),
    [("2TiB", True, 8797), ("140GiB", True, 602), ("139GiB", True, 0), ("2TiB", False, 0)],
)
def test_b7_a_long_copy_before_the_start_is_waited_for(size: str, read_only: bool, staging_s: int) -> None:
    reader = {"kind": "service", "pool": "p", "image": "a:1", "mounts": {"s": {"path": "/d", "readOnly": read_only}}}
    store = {"kind": "object", "size": size}
    made = resolved({"p": H100}, AWS, storage={"s": store}, workloads={"w": reader}).deployment
    assert made is not None
    assert made.workload("w").staging_s == staging_s
