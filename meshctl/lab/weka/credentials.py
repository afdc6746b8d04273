"""The Secrets that the operator makes for a WekaCluster, and the accounts in them. PURE. Called by `controllers.weka`.

Names and keys: weka/weka-operator, `doc/operator/operations/secrets-management.md`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshctl.lab.weka.kinds.definitions import GROUP, VERSION

ADMIN, CLIENT, CSI = "ClusterAdmin", "Regular", "CSI"
ORGANIZATION_ADMIN: Final = "OrgAdmin"
Object = dict[str, Any]
ORGANIZATION: Final = "Root"


@dataclass(frozen=True)
class Account:
    """A user of WEKA's REST API."""

    username: str
    password: str
    role: str
    organization: str = ORGANIZATION


@dataclass(frozen=True)
class Accounts:
    """Those that the operator makes when a cluster forms."""

    operator: Account
    admin: Account
    client: Account
    csi: Account
    join_token: str

    @property
    def all(self) -> tuple[Account, ...]:
        return self.operator, self.admin, self.client, self.csi


def accounts(uid: str, passwords: Mapping[str, str]) -> Accounts:
    """`uid`: of the WekaCluster. `passwords`: for operator, admin, client, csi and join."""
    tail = uid.rpartition("-")[2]
    return Accounts(
        operator=Account(f"weka-operator-{tail}", passwords["operator"], ADMIN),
        admin=Account(f"weka{tail}", passwords["admin"], ADMIN),
        client=Account(f"wekaclient{tail}", passwords["client"], CLIENT),
        csi=Account(f"wekacsi{tail}", passwords["csi"], CSI),
        join_token=passwords["join"],
    )


def secrets(cluster: Object, made: Accounts, endpoints: str) -> list[Object]:
    """`endpoints`: `address:port`, with commas between them."""
    metadata = cluster["metadata"]
    name = metadata["name"]
    of_csi = {
        "username": made.csi.username,
        "password": made.csi.password,
        "organization": ORGANIZATION,
        "endpoints": endpoints,
        "scheme": "https",
        "nfsTargetIps": "",
    }
    joining = {"join-secret": made.join_token}
    return [
        _secret(metadata, f"weka-operator-{metadata['uid']}", _login(made.operator) | joining),
        _secret(metadata, f"weka-cluster-{name}", _login(made.admin)),
        _secret(metadata, f"weka-client-{name}", _login(made.client) | joining),
        _secret(metadata, f"weka-csi-{name}", of_csi),
    ]


def _login(account: Account) -> dict[str, str]:
    return {"username": account.username, "password": account.password, "org": account.organization}


def _secret(owner: Mapping[str, str], name: str, values: Mapping[str, str]) -> Object:
    reference = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "WekaCluster",
        "name": owner["name"],
        "uid": owner["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": name, "namespace": owner["namespace"], "ownerReferences": [reference]},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }
