"""Makes an organization of a WEKA cluster and its users, and sets inside it what `settings` sets. EDGE, but for what is
marked PURE.

Runs in the place of `settings` where the file systems of a mesh are in an organization of their own, with an account
that may change the driver's Secret and nothing else. The cluster's administrator makes the organization and sets its
quotas, but sees nothing in it: object stores, file systems and users are made by the organization's own administrator.
The CSI driver works by a third user, whose Secret lacks only the addresses of the cluster, which this program adds.
Running it again changes nothing but what the settings say differently. It deletes nothing, and changes no password:
where a user has another one, it says so and ends. Rules: docs.weka.io, "Organizations management" and "User
management"; fields: docs/OrganizationsBody.md, UidLimitsBody.md and UsersBody.md of github.com/weka/RESTapi_client at
25799c1e.

Beside the variables of `settings`: ORGANIZATION_ADMIN_PASSWORD, ORGANIZATION_DRIVER_PASSWORD, and ORGANIZATION in JSON,
without quotas that the mesh does not say:

    {"name": "research", "admin": "meshctl-admin", "driver": "meshctl-csi", "total_quota": 1, "ssd_quota": 1,
     "namespace": "m", "secret": "weka-organization-csi"}
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from settings import ASK_S, UNANSWERED, Account, Json, RefusedError, Rest, Settings, SilentError, apply, read_settings

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MANAGER = "meshctl-weka-settings"
QUOTAS = ("total_quota", "ssd_quota")  # bytes; 0 is none
DRIVERS_ROLE = "csi"
Say = Callable[[str], None]
LogIn = Callable[[Account], Rest]


@dataclass(frozen=True)
class Organization:
    """`quotas`: those that the mesh says. `secret`: where the API server has that of the driver. `addresses`: what the
    Secret lacks."""

    name: str
    admin: Account
    driver: Account
    quotas: Json
    secret: str
    addresses: Mapping[str, str]


def read_organization(variables: Mapping[str, str]) -> Organization:
    """PURE. Raises: KeyError, ValueError."""
    declared = json.loads(variables["ORGANIZATION"])
    name = declared["name"]
    late = {"endpoints": "WEKA_ENDPOINTS", "scheme": "WEKA_SCHEME", "caCertificate": "WEKA_CA"}
    return Organization(
        name=name,
        admin=Account(declared["admin"], variables["ORGANIZATION_ADMIN_PASSWORD"], name),
        driver=Account(declared["driver"], variables["ORGANIZATION_DRIVER_PASSWORD"], name),
        quotas={key: declared[key] for key in QUOTAS if key in declared},
        secret=f"/api/v1/namespaces/{declared['namespace']}/secrets/{declared['secret']}",
        addresses={key: variables[variable] for key, variable in late.items() if variables.get(variable)},
    )


def ensure_organization(log_in: LogIn, cluster: Rest, wanted: Organization) -> str:
    """`cluster`: as its administrator. Nothing is changed of one whose administrator is not ours. Raises: RefusedError,
    SilentError."""
    organizations = cluster.call("GET", "organizations") or ()
    current = next((each for each in organizations if each.get("name") == wanted.name), None)
    if current is None:
        admin = {"username": wanted.admin.user, "password": wanted.admin.password}
        cluster.call("POST", "organizations", {"name": wanted.name, **admin, **wanted.quotas})
        return f"organization {wanted.name}: made"
    _users(log_in, wanted)
    before = {key: int(current.get(key) or 0) for key in QUOTAS}
    after = {**before, **wanted.quotas}
    if after == before:
        return f"organization {wanted.name}: as it should be"
    cluster.call("PUT", f"organizations/{current['uid']}/limits", after)
    return f"organization {wanted.name}: other quotas"


def ensure_driver(log_in: LogIn, wanted: Organization) -> str:
    """The user of the CSI driver. Raises: RefusedError, also where it is another kind of user; SilentError."""
    name = wanted.driver.user
    current = next((each for each in _users(log_in, wanted) if each.get("username") == name), None)
    if current is None:
        user = {"username": name, "password": wanted.driver.password, "role": DRIVERS_ROLE}
        log_in(wanted.admin).call("POST", "users", user)
    elif str(current.get("role")).lower() != DRIVERS_ROLE:
        raise RefusedError(
            f"the user {name} of the organization {wanted.name} has the role {current.get('role')}, and the CSI driver"
            f" works by one with the role {DRIVERS_ROLE}: rename it, or name another organization"
        )
    driver = log_in(wanted.driver)
    _as_user(wanted.driver, lambda: driver.call("GET", "cluster"))
    return f"user {name}: {'made' if current is None else 'as it should be'}"


def _users(log_in: LogIn, wanted: Organization) -> Sequence[Json]:
    """Those of the organization, as its administrator sees them. Raises: RefusedError, SilentError."""
    admin = log_in(wanted.admin)
    return _as_user(wanted.admin, lambda: admin.call("GET", "users")) or ()


def _as_user(account: Account, call: Callable[[], Any]) -> Any:
    """Raises: RefusedError, which says what is wrong where the user can't log in; SilentError."""
    try:
        return call()
    except RefusedError as error:
        raise RefusedError(
            f"the organization {account.organization} is there, and its user {account.user} can't be used ({error});"
            " make it there, or give it the password that the mesh has, or name another organization: no password is"
            " changed here"
        ) from None


class Api:
    """The Kubernetes API server, with the account of this pod."""

    def __init__(self, variables: Mapping[str, str] = os.environ) -> None:
        host, port = variables["KUBERNETES_SERVICE_HOST"], variables["KUBERNETES_SERVICE_PORT"]
        self.url = f"https://{f'[{host}]' if ':' in host else host}:{port}"
        self.tls = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))

    def merge(self, path: str, change: Json) -> None:
        """Raises: SilentError, also where the API server says no: the Job then tries it once more."""
        headers = {
            "Authorization": f"Bearer {(ACCOUNT / 'token').read_text().strip()}",
            "Content-Type": "application/merge-patch+json",
        }
        url = f"{self.url}{path}?fieldManager={MANAGER}"
        request = urllib.request.Request(url, json.dumps(change).encode(), headers, method="PATCH")  # noqa: S310 (https)
        try:
            with urllib.request.urlopen(request, timeout=ASK_S, context=self.tls):  # noqa: S310 (https)
                return
        except UNANSWERED as error:
            raise SilentError(f"the driver's Secret could not be changed: {error}") from None


def lead_the_driver(merge: Callable[[str, Json], None], wanted: Organization) -> str:
    """Add the cluster's addresses to the driver's Secret. Raises: SilentError."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in wanted.addresses.items()}
    merge(wanted.secret, {"data": data})
    return "the driver's Secret has the addresses of the cluster"


def apply_in(
    wanted: Organization, settings: Settings, log_in: LogIn, merge: Callable[[str, Json], None], say: Say
) -> None:
    """The organization, then the settings: a licence that is refused is said at the end, and keeps no files from pods.
    Raises: RefusedError, SilentError."""
    cluster = log_in(settings.account)
    say(ensure_organization(log_in, cluster, wanted))
    say(ensure_driver(log_in, wanted))
    say(lead_the_driver(merge, wanted))
    refusal = _refusal(lambda: apply(cluster, replace(settings, object_stores=(), file_systems=()), say))
    apply(log_in(wanted.admin), replace(settings, licence=""), say)
    if refusal is not None:
        raise refusal


def _refusal(call: Callable[[], None]) -> RefusedError | None:
    """Raises: SilentError."""
    try:
        call()
    except RefusedError as error:
        return error
    return None


def main() -> int:
    try:
        settings, wanted = read_settings(os.environ), read_organization(os.environ)
        merge = Api().merge
        apply_in(
            wanted,
            settings,
            lambda account: Rest(replace(settings, account=account)),
            merge,
            lambda line: print(line, flush=True),  # noqa: T201 (the pod's log)
        )
    except (RefusedError, SilentError, OSError, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except KeyError as error:
        print(f"the variable {error} is missing", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
