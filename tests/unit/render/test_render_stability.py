"""A pod's specification depends on what its workload uses only: an edit elsewhere in the mesh restarts nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from meshctl import render
from meshctl.catalog import load_catalog
from meshctl.model.environment import Environments
from meshctl.model.mesh import Mesh
from meshctl.resolve import resolve

CATALOG = load_catalog()
GPUS = {"role": "training", "nodes": 2, "accelerator": {"model": "H100", "count": 8}}
WITHOUT_STORES: dict[str, Any] = {
    "apiVersion": "meshctl/v1",
    "kind": "Mesh",
    "name": "m",
    "pools": {"train": GPUS},
    "workloads": {
        "pretrain": {"kind": "training", "pool": "train", "image": "a/train:1", "resources": {"accelerators": 8}}
    },
}
MESH: dict[str, Any] = {
    **WITHOUT_STORES,
    "storage": {"ckpt": {"kind": "object", "size": "1TiB"}},
    "workloads": {"pretrain": {**WITHOUT_STORES["workloads"]["pretrain"], "mounts": {"ckpt": {"path": "/ckpt"}}}},
}
ENVIRONMENTS = Environments.model_validate(
    {
        "apiVersion": "meshctl/v1",
        "kind": "Environments",
        "environments": {
            "aws": {"provider": "aws", "region": "us-east-1", "zones": ["us-east-1a", "us-east-1b"]},
            "cw": {"provider": "coreweave", "region": "US-EAST-04A", "objectStorage": {"profile": "cw"}},
            "dc": {
                "provider": "onprem",
                "kubernetes": {"context": "dc"},
                "objectStorage": {"endpoint": "https://s3.dc.example"},
                "storageClasses": {"filesystem": "nfs", "block": "local-path"},
            },
        },
        "dns": {"provider": "route53", "zone": "example.com"},
    }
)
EDITS: dict[str, dict[str, Any]] = {
    "a bucket": {"storage": {"aaa": {"kind": "object", "size": "1TiB"}}},
    "a file system": {"storage": {"shared": {"kind": "filesystem", "size": "1TiB"}}},
    "a pool of plain nodes": {"pools": {"web": {"nodes": 1, "cpu": {"cores": 8}}}},
    "a pool of GPU nodes": {"pools": {"more": GPUS}},
    "a name for another workload": {
        "pools": {"web": {"nodes": 1, "cpu": {"cores": 8}}},
        "workloads": {"ui": {"kind": "service", "pool": "web", "image": "a/ui:1", "ports": {"http": 80}}},
        "endpoints": {"ui": {"host": "ui.example.com", "workload": "ui", "port": "http"}},
    },
    "a label": {"labels": {"team": "genai"}},
}


def template(document: dict[str, Any], environment: str) -> dict[str, Any]:
    found = resolve(Mesh.model_validate(document), ENVIRONMENTS, environment, CATALOG)
    assert found.deployment, found.gaps
    objects = {item.name: item.manifest for item in render.platform_objects(found.deployment)}
    pods: dict[str, Any] = objects["workload/pretrain:job"]["spec"]["template"]
    return pods


def edited(document: dict[str, Any], edit: dict[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(document)
    for section, entries in edit.items():
        made[section] = {**made.get(section, {}), **entries}
    return made


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("mesh", [WITHOUT_STORES, MESH], ids=["without-stores", "with-a-store"])
@pytest.mark.parametrize("environment", ["aws", "cw", "dc"])
def test_an_edit_elsewhere_changes_no_pod(environment: str, mesh: dict[str, Any], edit: str) -> None:
    assert template(edited(mesh, EDITS[edit]), environment) == template(mesh, environment)


@pytest.mark.parametrize("ephemeral", [True, False])
def test_a_label_changes_no_volume_of_a_pod(ephemeral: bool) -> None:
    """What a StatefulSet says of volumes is fixed, and what a job says of anything: a label would replace them."""
    document = {
        **WITHOUT_STORES,
        "storage": {"disk": {"kind": "block", "size": "10GiB", "ephemeral": ephemeral}},
        "workloads": {
            name: {"kind": kind, "pool": "train", "image": "a/b:1", "mounts": {"disk": {"path": "/d"}}}
            for name, kind in (("site", "service"), ("crunch", "batch"))
        },
    }

    def volumes(mesh: dict[str, Any]) -> list[Any]:
        found = resolve(Mesh.model_validate(mesh), ENVIRONMENTS, "dc", CATALOG)
        assert found.deployment, found.gaps
        specs = [
            item.manifest.get("spec", {}) for item in render.platform_objects(found.deployment) if "/" in item.subject
        ]
        pods = [spec for spec in specs if "template" in spec]
        return [(s.get("volumeClaimTemplates"), s["template"]["spec"].get("volumes")) for s in pods]

    assert len(volumes(document)) == 2
    assert volumes({**document, "labels": {"team": "genai"}}) == volumes(document)
