"""WEKA's REST API (`/api/v2`), as far as it is played: who may call what. PURE, but for the systems that it changes.

Called by `server` for each request; `file_system_calls` and `snapshot_calls` have what is asked of data,
`organization_calls` what is asked of organizations and users. Paths, fields
and forms of answers: the API's own description (api.docs.weka.io, 5.1); roles: docs.weka.io, "User management".
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from meshctl.lab.weka import credentials
from meshctl.lab.weka.api.system import Bucket, System, new_uid
from meshctl.lab.weka.api.uploads import ObjectStoreError, Store
from meshctl.lab.weka.credentials import Account

Object = dict[str, Any]
TOKEN_S: Final = 300
CLUSTER_ADMINS: Final = (credentials.ADMIN,)
ADMINS: Final = (credentials.ADMIN, credentials.ORGANIZATION_ADMIN)  # each in the organization that is its own
DRIVERS: Final = (*ADMINS, credentials.CSI)
EVERYBODY: Final = (*DRIVERS, credentials.CLIENT)
AUTH_METHODS: Final = ("None", "AWSSignature2", "AWSSignature4")
SITES: Final = ("local", "remote")


class RefusedError(Exception):
    """A call that is refused. `status`: of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Call:
    """`account`: who calls. `parts`: of the path, by their names in the route. `others`: every other system of the
    lab."""

    system: System
    account: Account
    body: Mapping[str, Any]
    parts: Mapping[str, str]
    query: Mapping[str, str]
    open_bucket: Callable[[Bucket], Store]
    others: tuple[System, ...] = ()

    def need(self, *names: str) -> None:
        """Raises: RefusedError where the body has not all of these."""
        missing = [name for name in names if self.body.get(name) in (None, "")]
        if missing:
            raise RefusedError(400, f"missing parameters: {', '.join(missing)}")


@dataclass(frozen=True)
class Route:
    """`path`: with `{name}` for a part of any text."""

    method: str
    path: str
    roles: tuple[str, ...]
    answer: Callable[[Call], Any]

    def match(self, method: str, path: str) -> dict[str, str] | None:
        expression = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        matched = re.fullmatch(expression, path) if method == self.method else None
        return matched.groupdict() if matched else None


@dataclass
class Sessions:
    """Tokens that were given out: those for access with their account and the moment at which they expire, those that
    renew them with their account."""

    access: dict[str, tuple[Account, float]] = field(default_factory=dict)
    refresh: dict[str, Account] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic

    def account_of(self, token: str) -> Account:
        """Raises: RefusedError for a token that was not given out, or has expired."""
        account, expires = self.access.get(token, (None, 0.0))
        if account is None or self.clock() > expires:
            raise RefusedError(401, "Unauthorized")
        return account

    def log_in(self, system: System, body: Mapping[str, Any]) -> Object:
        """Raises: RefusedError for an account or a password that the system does not have."""
        organization = body.get("org") or credentials.ORGANIZATION
        account = system.accounts.get(f"{organization}/{body.get('username', '')}")
        if account is None or account.password != body.get("password"):
            raise RefusedError(401, "Unauthorized")
        return self._tokens(account)

    def renew(self, body: Mapping[str, Any]) -> Object:
        account = self.refresh.pop(str(body.get("refresh_token", "")), None)
        if account is None:
            raise RefusedError(401, "Unauthorized")
        return self._tokens(account)

    def _tokens(self, account: Account) -> Object:
        access, refresh = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        self.access[access], self.refresh[refresh] = (account, self.clock() + TOKEN_S), account
        return {"access_token": access, "token_type": "Bearer", "expires_in": TOKEN_S, "refresh_token": refresh}


def cluster(call: Call) -> Object:
    system = call.system
    return {
        "name": system.name,
        "guid": system.guid,
        "release": system.version,
        "status": "OK",
        "io_status": "STARTED",
        "licensing": {"mode": "Classic" if system.licence else "Unlicensed"},
        "capacity": {
            "total_bytes": system.capacity_bytes,
            "unprovisioned_bytes": max(system.capacity_bytes - system.provisioned_bytes, 0),
        },
    }


def alerts(call: Call) -> list[Object]:
    return alerts_of(call.system)


def alerts_of(system: System) -> list[Object]:
    if system.licence:
        return []
    return [
        {
            "type": "NoClusterLicense",
            "title": "No License Assigned",
            "fmt": "This cluster does not have a license assigned",
            "action": "Obtain a license at https://get.weka.io for the GUID of this cluster and set it",
            "muted": False,
            "params": {"guid": system.guid},
        }
    ]


def licence(call: Call) -> Object:
    return {"mode": "Classic" if call.system.licence else "Unlicensed", "license": call.system.licence, "error": ""}


def set_licence(call: Call) -> None:
    """A licence names the GUID of its cluster, which exists only once that is formed."""
    call.need("license")
    text = str(call.body["license"])
    if call.system.guid not in text:
        raise RefusedError(400, f"License is not for this cluster: its GUID is {call.system.guid}")
    call.system.licence = text
    call.system.save()


def reset_licence(call: Call) -> None:
    call.system.licence = ""
    call.system.save()


def buckets(call: Call) -> list[Object]:
    return [described_bucket(each) for each in call.system.buckets_in(call.account.organization)]


def described_bucket(bucket: Bucket) -> Object:
    return {
        "uid": bucket.uid,
        "name": bucket.name,
        "obs_name": f"default-{bucket.site}",
        "obs_site": bucket.site,
        "protocol": bucket.protocol,
        "hostname": bucket.hostname,
        "port": bucket.port,
        "bucket": bucket.bucket,
        "region": bucket.region,
        "access_key_id": bucket.access_key,
        "secret_key": "**********",
        "status": "UP",
        "status_upload": "UP",
        "status_download": "UP",
        "status_remove": "UP",
    }


def add_bucket(call: Call) -> Object:
    """The connection is tried first, unless `skip_verification` says otherwise."""
    call.need("name", "hostname", "port", "bucket")
    body = call.body
    site, method = str(body.get("obs_site", "local")).lower(), body.get("auth_method", "None")
    if site not in SITES:
        raise RefusedError(400, f"obs_site: {site} is not one of {', '.join(SITES)}")
    if method not in AUTH_METHODS:
        raise RefusedError(400, f"auth_method: {method} is not one of {', '.join(AUTH_METHODS)}")
    if any(each.name == body["name"] for each in call.system.buckets_in(call.account.organization)):
        raise RefusedError(400, f"Object store bucket {body['name']} already exists")
    made = Bucket(
        uid=new_uid(),
        name=str(body["name"]),
        site=site,
        hostname=str(body["hostname"]),
        port=int(body["port"]),
        bucket=str(body["bucket"]),
        protocol=str(body.get("protocol", "HTTP")).upper(),
        region=str(body.get("region", "")),
        access_key=str(body.get("access_key_id", "")),
        secret_key=str(body.get("secret_key", "")),
        organization=call.account.organization,
    )
    _verify(call, made)
    call.system.buckets[made.uid] = made
    call.system.save()
    return described_bucket(made)


def _verify(call: Call, bucket: Bucket) -> None:
    if call.body.get("skip_verification"):
        return
    try:
        call.open_bucket(bucket).check()
    except ObjectStoreError as error:
        raise RefusedError(400, f"Failed to verify the object store: {error}") from error


def change_bucket(call: Call) -> Object:
    """New keys, or another address of the same store."""
    made = _known_bucket(call)
    fields = {"access_key_id": "access_key", "secret_key": "secret_key", "hostname": "hostname", "region": "region"}
    given: dict[str, Any] = {fields[name]: str(value) for name, value in call.body.items() if name in fields}
    changed = replace(made, **given)
    _verify(call, changed)
    call.system.buckets[changed.uid] = changed
    call.system.save()
    return described_bucket(changed)


def _known_bucket(call: Call) -> Bucket:
    """Of the caller's organization. Raises: RefusedError."""
    made = call.system.buckets.get(call.parts["uid"])
    if made is None or made.organization != call.account.organization:
        raise RefusedError(404, "Object store bucket not found")
    return made


def remove_bucket(call: Call) -> None:
    made = _known_bucket(call)
    users = [each.name for each in call.system.file_systems.values() if made.uid in each.buckets]
    if users:
        raise RefusedError(400, f"Object store bucket {made.name} is attached to {', '.join(users)}")
    del call.system.buckets[made.uid]
    call.system.save()


def groups(call: Call) -> list[Object]:
    return [{"uid": name, "name": name} for name in call.system.groups]


def add_group(call: Call) -> Object:
    call.need("name")
    name = str(call.body["name"])
    if name in call.system.groups:
        raise RefusedError(400, f"Filesystem group {name} already exists")
    call.system.groups.append(name)
    call.system.save()
    return {"uid": name, "name": name}


ROUTES: Final = (
    Route("GET", "cluster", EVERYBODY, cluster),
    Route("GET", "alerts", EVERYBODY, alerts),
    Route("GET", "license", EVERYBODY, licence),
    Route("POST", "license", CLUSTER_ADMINS, set_licence),
    Route("DELETE", "license", CLUSTER_ADMINS, reset_licence),
    Route("GET", "objectStoreBuckets", EVERYBODY, buckets),
    Route("POST", "objectStoreBuckets", ADMINS, add_bucket),
    Route("PUT", "objectStoreBuckets/{uid}", ADMINS, change_bucket),
    Route("DELETE", "objectStoreBuckets/{uid}", ADMINS, remove_bucket),
    Route("GET", "fileSystemGroups", EVERYBODY, groups),
    Route("POST", "fileSystemGroups", CLUSTER_ADMINS, add_group),
)
