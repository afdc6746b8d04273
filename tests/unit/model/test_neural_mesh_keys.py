"""What `engine: neuralmesh` and its keys may not say, with the message at its place in the file."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from meshctl.model.files.environment_references import check_existing_storage
from meshctl.model.files.references import check_mesh
from meshctl.model.keys.neural_mesh import NeuralMeshOptions, WekaCluster

POOLS = {"drives": {"nodes": 6, "scratch": "30TB"}, "plain": {"nodes": 2}, "more": {"nodes": 6, "scratch": "30TB"}}
FILES = {"kind": "filesystem", "size": "1TiB", "engine": "neuralmesh"}
BUCKET = {"kind": "object", "size": "1TiB"}


def problems(**storage: Any) -> list[tuple[str, str]]:
    mesh = {"name": "m", "pools": POOLS, "storage": storage}
    return [(".".join(map(str, path)), message) for path, message in check_mesh(mesh)]


def test_what_goes_together() -> None:
    assert problems(s={**FILES, "pool": "drives", "tier": "cold", "protection": 4}, t=FILES, cold=BUCKET) == []


@pytest.mark.parametrize("kind", ["object", "block", "local"])
def test_only_a_file_system_has_an_engine(kind: str) -> None:
    assert ("storage.s.engine", f"only for kind filesystem, not {kind}") in problems(s={**FILES, "kind": kind})


@pytest.mark.parametrize("key", ["pool", "tier", "protection"])
@pytest.mark.parametrize("engine", [{}, {"engine": "native"}])
def test_keys_without_the_engine(key: str, engine: dict[str, str]) -> None:
    (found,) = problems(s={"kind": "filesystem", "size": "1TiB", **engine, key: "drives"})
    assert found == (f"storage.s.{key}", "only with `engine: neuralmesh` of a file system; leave it out")


def test_a_pool_without_drives_and_one_that_is_none() -> None:
    ((path, message),) = problems(s={**FILES, "pool": "plain"})
    assert path == "storage.s.pool"
    assert message.startswith('pool "plain" has no `scratch`')
    assert problems(s={**FILES, "pool": "drive"}) == [
        ("storage.s.pool", 'no pool named "drive"; did you mean "drives"?')
    ]


def test_cold_data_goes_to_an_object_store() -> None:
    ((path, message),) = problems(s={**FILES, "tier": "t"}, t=FILES)
    assert path == "storage.s.tier"
    assert message.startswith('"t" is of kind filesystem; cold data goes to an object store')
    assert problems(s={**FILES, "tier": "nowhere"}) == [("storage.s.tier", 'no storage named "nowhere"')]


@pytest.mark.parametrize(("key", "first", "second"), [("pool", "drives", "more"), ("protection", 2, 4)])
def test_all_are_in_one_cluster(key: str, first: Any, second: Any) -> None:
    ((path, message),) = problems(s={**FILES, key: first}, t={**FILES, key: second}, u=FILES)
    assert path == f"storage.t.{key}"
    assert message.startswith(f'storage "s" has `{key}: {first}`, and all NeuralMesh file systems of a mesh are in one')


def joins(storage: dict[str, Any], **entries: Any) -> list[tuple[str, str]]:
    environments = {"environments": {"e": {"storage": entries}}}
    found = check_existing_storage({"storage": storage}, environments)
    return [(".".join(map(str, path)), message) for path, message in found]


USERS = {"adminPassword": "weka-admin", "driverPassword": "weka-driver"}
WEKA = {"weka": {"cluster": "main", "namespace": "weka"}}
ELSEWHERE = {"weka": {"endpoints": ["10.0.0.1:14000"], "secret": "weka-api"}}
AT = "environments.e.storage"


def test_a_cluster_is_joined() -> None:
    assert joins({"s": FILES, "t": FILES}, s=WEKA, t=WEKA) == []
    assert joins({"s": FILES}, s=ELSEWHERE) == []


@pytest.mark.parametrize(
    ("weka", "words"),
    [
        ({}, "needs `cluster` and `namespace`"),
        ({**WEKA["weka"], **ELSEWHERE["weka"]}, "needs `cluster` and `namespace`"),
        ({"cluster": "main"}, "needs `namespace`, too"),
        ({"endpoints": ["10.0.0.1:14000"]}, "needs `secret`, too"),
    ],
)
def test_a_cluster_is_named_in_one_way(weka: dict[str, Any], words: str) -> None:
    ((path, message),) = joins({"s": FILES}, s={"weka": weka})
    assert path == f"{AT}.s.weka"
    assert message.startswith(words)


def test_only_the_engine_joins_one_and_all_of_it_do() -> None:
    ((path, message),) = joins({"s": {**FILES, "engine": "native"}}, s=WEKA)
    assert (path, message[:41]) == (f"{AT}.s.weka", "only a file system with `engine: neuralme")
    assert joins({"s": BUCKET}, s=WEKA)[0][1] == (
        "only storage of kind filesystem can be a file system of a WEKA cluster that exists; this is object"
    )
    ((path, message),) = joins({"s": FILES, "t": FILES}, s=WEKA)
    assert (path, message[-29:]) == (AT, 'write the same `weka` for "t"')
    ((path, message),) = joins({"s": FILES, "t": FILES}, s=WEKA, t=ELSEWHERE)
    assert path == f"{AT}.t.weka"
    assert joins({"s": FILES, "t": FILES}, s=WEKA, t={"claim": "c"}) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image": "quay.io/weka.io/weka-in-container:latest"}, "has no version"),
        ({"image": f"quay.io/weka.io/weka@sha256:{'a' * 64}"}, "has no version"),
        ({"operator": "latest"}, "is not a version of the operator's chart"),
        ({"chart": "weka-operator"}, "is not a chart"),
        ({"devices": ["eth 1"]}, "is not a network device"),
        ({"encryption": {"vault": {"address": "vault", "role": "weka"}}}, "is not the address of a Vault"),
        ({"organization": {**USERS, "name": "root"}}, "is not the name of an organization"),
        ({"organization": {**USERS, "name": "a b"}}, "is not the name of an organization"),
    ],
)
def test_values_that_the_cluster_would_refuse(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TypeAdapter(NeuralMeshOptions).validate_python(options)


@pytest.mark.parametrize("driver", ["CSI.weka.io", f"{'a' * 64}.weka.io", "csi.weka.io."])
def test_a_driver_has_a_name_of_kubernetes(driver: str) -> None:
    assert WekaCluster.model_validate({**WEKA["weka"], "driver": "csi.weka.io"}).driver == "csi.weka.io"
    with pytest.raises(ValidationError, match="is not the name of a CSI driver"):
        WekaCluster.model_validate({**WEKA["weka"], "driver": driver})


def test_drives_are_a_number_or_paths() -> None:
    assert NeuralMeshOptions.model_validate({"drives": 8}).drives == 8
    assert NeuralMeshOptions.model_validate({"drives": ["/dev/nvme1n1"]}).drives == ("/dev/nvme1n1",)
    for wrong in (0, [], ["nvme1n1"]):
        with pytest.raises(ValidationError):
            NeuralMeshOptions.model_validate({"drives": wrong})
