"""`check` of files with any text in any place ends in diagnostics, gaps or success: never in an internal error."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from meshctl.cli.check import check
from meshctl.cli.context import Context
from meshctl.errors import MeshError

TEXTS = ["\0", "~nosuchuser/x", "file://~nosuchuser/x", "\u202e\x1b[1m", "x" * 10_000, "", "\ud800", "https://u:p@[#"]
KEYS = ["\0", "\u202e", "x" * 900]
MESH: dict[str, Any] = {
    "apiVersion": "meshctl/v1",
    "kind": "Mesh",
    "name": "m",
    "labels": {"team": "genai"},
    "pools": {
        "p": {
            "role": "training",
            "nodes": {"min": 1, "max": 2},
            "accelerator": {"model": ["H100"], "count": 8, "memory": "80GB"},
            "cpu": {"cores": 8, "memory": "1TiB"},
            "scratch": "1TB",
            "arch": "amd64",
            "fabric": "f",
            "capacity": "reserved",
        }
    },
    "fabrics": {"f": {"kind": "rdma", "bandwidth": "400Gbps", "placement": "cluster"}},
    "storage": {
        "o": {"kind": "object", "size": "1TiB"},
        "s": {"kind": "filesystem", "size": "1200GiB", "throughput": "1GB/s", "engine": "native"},
        "b": {"kind": "block", "size": "5GiB"},
    },
    "workloads": {
        "w": {
            "kind": "service",
            "pool": "p",
            "image": "a/b:1",
            "imagePullSecrets": ["registry"],
            "command": ["run"],
            "args": ["x"],
            "env": {"A": "b"},
            "user": "root",
            "files": {"/etc/app.yaml": "mesh.yaml"},
            "secrets": {"TOKEN": "token", "/run/mesh/token": "token"},
            "resources": {"accelerators": 8, "cpu": 4, "memory": "5GiB"},
            "ports": {"http": 80},
            "health": {"path": "/health", "port": "http"},
            "mounts": {"o": {"path": "/o"}, "b": {"path": "/b"}},
        },
        "t": {
            "kind": "training",
            "pool": "p",
            "nodes": 1,
            "image": "a/b:1",
            "mounts": {"s": {"path": "/s"}},
            "checkpoint": {"storage": "s", "signal": "SIGTERM", "grace": "120s"},
        },
    },
    "endpoints": {"e": {"host": "chat.example.com", "workload": "w", "port": "http"}},
    "limits": {"hourly": "1500 USD"},
}
ENVIRONMENTS: dict[str, Any] = {
    "apiVersion": "meshctl/v1",
    "kind": "Environments",
    "environments": {
        "aws": {
            "provider": "aws",
            "region": "us-east-1",
            "zones": ["us-east-1a", "us-east-1b"],
            "profile": "x",
            "account": "123456789012",
            "network": {"cidr": "10.64.0.0/16", "adopt": {"vpc": "v", "subnets": ["s"], "cluster": "c"}},
            "capacity": {"reservations": ["cr-1"], "blocks": [{"id": "cr-2", "pool": "p", "zone": "us-east-1a"}]},
            "kubernetes": {"version": "1.35", "publicAccessCidrs": ["203.0.113.0/24"]},
            "prices": {"p": "21.50 USD/h"},
        },
        "cw": {
            "provider": "coreweave",
            "region": "US-EAST-04A",
            "kubernetes": {"kubeconfig": "config", "context": "cw"},
            "objectStorage": {
                "endpoint": "https://cwobject.com",
                "profile": "x",
                "region": "us",
                "addressing": "virtual",
            },
            "storageClasses": {"filesystem": "s", "block": "b"},
        },
        "dc": {
            "provider": "onprem",
            "region": "somewhere",
            "inventory": "hosts.yaml",
            "kubernetes": {"kubeconfig": "~/config", "context": "dc"},
            "fabric": {"kind": "roce", "resource": "rdma/ib", "env": {"A": "b"}},
        },
    },
    "dns": {"provider": "route53", "zone": "example.com", "ttl": "30s", "profile": "x"},
    "state": {"backend": "file://./.meshctl/state", "secrets": "passphrase"},
    "secrets": {"token": {"env": "TOKEN"}, "registry": {"file": "registry.json"}},
}
app = typer.Typer()
app.command()(check)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a text or a mapping's key stands; a key's path ends in `[key]`."""
    if isinstance(value, str):
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if isinstance(key, str):
            yield (*path, key, "[key]")
        yield from places(inner, (*path, key))


def changed(document: dict[str, Any], path: tuple[Any, ...], text: str) -> dict[str, Any]:
    made = copy.deepcopy(document)
    inner: Any = made
    is_key = path[-1] == "[key]"
    steps = path[:-1] if is_key else path
    for part in steps[:-1]:
        inner = inner[part]
    if is_key:
        inner[text] = inner.pop(steps[-1])
    else:
        inner[steps[-1]] = text
    return made


def checked(folder: Path, mesh: dict[str, Any], environments: dict[str, Any], output: str) -> str:
    """What `check` says. Anything but success, gaps and the errors that a user may meet is raised."""
    for name, document in (("mesh", mesh), ("environments", environments)):
        text = json.dumps(document, ensure_ascii=False)  # which is YAML, too
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8", errors="backslashreplace")
    given = Context(folder / "mesh.yaml", folder / "environments.yaml", output=output)
    result = CliRunner().invoke(app, [], obj=given)
    if isinstance(result.exception, MeshError):
        assert result.exception.what
        return "\n".join(map(str, getattr(result.exception, "diagnostics", [result.exception.what])))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 65)
    return result.stdout


@pytest.mark.parametrize("path", list(places(MESH)), ids=lambda path: ".".join(map(str, path)))
def test_any_text_in_any_place_of_a_mesh(tmp_path: Path, path: tuple[Any, ...]) -> None:
    for text in KEYS if path[-1] == "[key]" else TEXTS:
        assert checked(tmp_path, changed(MESH, path, text), ENVIRONMENTS, "json")


@pytest.mark.parametrize("path", list(places(ENVIRONMENTS)), ids=lambda path: ".".join(map(str, path)))
def test_any_text_in_any_place_of_environments(tmp_path: Path, path: tuple[Any, ...]) -> None:
    for text in KEYS if path[-1] == "[key]" else TEXTS:
        assert checked(tmp_path, MESH, changed(ENVIRONMENTS, path, text), "human")


def test_the_files_are_right_as_they_are(tmp_path: Path) -> None:
    assert '"feasible"' in checked(tmp_path, MESH, ENVIRONMENTS, "json")
