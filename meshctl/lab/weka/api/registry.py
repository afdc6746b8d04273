"""Every WEKA system of a lab, with its address and its REST API. EDGE: files and servers.

One for the process that plays the controllers of all clusters (`of`): a file system may be downloaded by the cluster on
one side from what that on the other side has uploaded.
"""

from __future__ import annotations

import json
import secrets
import shutil
from functools import cache
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Final

from meshctl.lab.network.ports import loopback_network
from meshctl.lab.pods import identity
from meshctl.lab.state import read_json, write_atomically
from meshctl.lab.weka import credentials
from meshctl.lab.weka.api import server, system
from meshctl.lab.weka.api.system import Bucket, System
from meshctl.lab.weka.api.uploads import S3

PORT: Final = 14000
_BLOCKS: Final = range(250, 255)
_LOW: Final = range(252, 255)  # of the lab's network: those below are for Services (`network.allocation`)
_PASSWORDS: Final = ("operator", "admin", "client", "csi", "join")


class Registry:
    """`systems`: by the name of their folders, `kubernetes cluster.namespace.name`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.systems: dict[str, System] = {}
        self.servers: dict[str, ThreadingHTTPServer] = {}

    def all(self) -> list[System]:
        return list(self.systems.values())

    def formed(self, kubernetes_cluster: str, namespace: str, name: str, uid: str) -> System | None:
        """The system of the WekaCluster with this uid, serving; None before it has formed. One of the same name that is
        left of a Kubernetes cluster that is gone goes, too."""
        folder = system.folder_of(self.root, kubernetes_cluster, namespace, name)
        present = self.systems.get(folder.name) or system.load(folder)
        if present is not None and present.uid != uid:
            self.remove(kubernetes_cluster, namespace, name)
            return None
        if present is not None:
            self._serve(folder.name, present)
        return present

    def form(self, kubernetes_cluster: str, namespace: str, name: str, *, uid: str, version: str, kms: str) -> System:
        """Make the system of a WekaCluster with this uid."""
        folder = system.folder_of(self.root, kubernetes_cluster, namespace, name)
        passwords = {purpose: secrets.token_urlsafe(18) for purpose in _PASSWORDS}
        made = System(folder, name, system.new_uid(), version, uid, kms, passwords=passwords)
        accounts = credentials.accounts(uid, passwords).all
        made.accounts = {f"{each.organization}/{each.username}": each for each in accounts}
        folder.mkdir(parents=True, exist_ok=True)
        made.save()
        self._serve(folder.name, made)
        return made

    def remove(self, kubernetes_cluster: str, namespace: str, name: str) -> None:
        """End a system, with all that it has."""
        folder = system.folder_of(self.root, kubernetes_cluster, namespace, name)
        self.systems.pop(folder.name, None)
        running = self.servers.pop(folder.name, None)
        if running is not None:
            running.shutdown()
            running.server_close()
        self._write({key: address for key, address in self._addresses().items() if key != folder.name})
        shutil.rmtree(folder, ignore_errors=True)

    def endpoint(self, each: System) -> str:
        return f"{self._address(each.folder.name)}:{PORT}"

    def at(self, endpoints: str) -> System | None:
        """The system that one of these `address:port` leads to."""
        wanted = {each.strip() for each in endpoints.split(",")}
        return next((each for each in self.systems.values() if self.endpoint(each) in wanted), None)

    def _serve(self, key: str, each: System) -> None:
        self.systems[key] = each
        if key not in self.servers:
            api = server.Api(each, self.all, self._open_bucket)
            self.servers[key] = server.serve(api, self.root / "certificates", self._address(key), PORT)

    def _open_bucket(self, bucket: Bucket) -> S3:
        """Names of AWS lead to the lab's AWS."""
        return S3(bucket, identity.endpoint(self.root) if bucket.is_of_aws else "")

    def _address(self, key: str) -> str:
        addresses = self._addresses()
        if key not in addresses:
            network = loopback_network(self.root)
            every = (f"127.{network}.{block}.{low}" for block in _BLOCKS for low in _LOW)
            addresses[key] = next(address for address in every if address not in addresses.values())
            self._write(addresses)
        return addresses[key]

    def _addresses(self) -> dict[str, str]:
        return read_json(self.root / system.FOLDER / "addresses.json")

    def _write(self, addresses: dict[str, str]) -> None:
        write_atomically(self.root / system.FOLDER / "addresses.json", json.dumps(addresses))


@cache
def of(root: Path) -> Registry:
    """That of a lab, for this process."""
    return Registry(root)
