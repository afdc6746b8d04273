"""A kubeconfig with any value in any place chooses a cluster, or is an error that says what to do."""

from __future__ import annotations

import copy
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import yaml

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.errors import MeshError
from providers.kubernetes import kubeconfig as of_provider
from providers.kubernetes.connection import Connection
from providers.plugin.provider import ProviderError

WHOLE: dict[str, Any] = {
    "apiVersion": "v1",
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "n"}}],
    "clusters": [{"name": "k", "cluster": {"server": "https://127.0.0.1:1", "insecure-skip-tls-verify": True}}],
    "users": [
        {
            "name": "u",
            "user": {
                "token": "t",
                "tokenFile": "",
                "client-certificate": "",
                "client-key": "",
                "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "true", "args": ["a"]},
            },
        }
    ],
}
HOSTILE = [
    "\0",
    "~nosuchuser/x",
    "x" * 5000,
    "\u202ex",
    "",
    " ",
    "https://[",
    "https://u:p@h:x/",
    7,
    None,
    [],
    {},
    ["x"],
]
GONE = object()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    made = copy.deepcopy(WHOLE)
    inner: Any = made
    for part in path[:-1]:
        inner = inner[part]
    if value is GONE:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return made


@pytest.fixture(autouse=True)
def _one_tls_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the system's certificates takes most of the time of a client that asks nothing."""
    empty = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    monkeypatch.setattr(httpx, "create_ssl_context", lambda **_: empty)


@pytest.mark.parametrize("path", list(places(WHOLE)), ids=str)
def test_any_value_in_any_place(tmp_path: Path, path: tuple[Any, ...]) -> None:
    file = tmp_path / "config"
    for value in (*HOSTILE, GONE):
        file.write_text(yaml.safe_dump(changed(path, value)))
        with suppress(MeshError):
            ClusterAccess("dc1", str(file)).client().close()
        with suppress(ProviderError):
            connect(str(file))


def connect(given: str) -> None:
    Connection(of_provider.load(given, context="", cluster=""), threading.Event()).close()


@pytest.mark.parametrize("given", ["~nosuchuser/config", "\0", "x" * 5000, "{", "\n", "\n- a", ":", "{a: [}"])
def test_any_kubeconfig(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "\0" not in given:
        monkeypatch.setenv("KUBECONFIG", given)
    for kubeconfig in {given, "" if "\0" not in given else given}:
        with pytest.raises(MeshError) as refused:
            ClusterAccess("dc1", kubeconfig).client()
        assert refused.value.hint
        with pytest.raises(ProviderError):
            connect(kubeconfig)
